"""Who trains and who is kept back: trials into train, valid and test; neurons and bins away from the encoder.

    trials = split(trials, valid=0.2, within="condition", seed=0)
    trials = split(trials, assignment={"valid": [3, 17], "test": [40]})
    trials = hold_out(trials, neurons=0.25, forward=10, seed=0)
    validation = select(trials, "valid")

Each returns a new Dataset. What is drawn is the beginning of `numpy.random.default_rng(seed).permutation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.assignment import assigned
from undertow.vocabulary import SPLITS, UndertowError, closest


def split(
    trials: xr.Dataset,
    *,
    valid: float = 0.2,
    test: float = 0.0,
    by: str = "random",
    within: str | None = None,
    blocks: int = 5,
    seed: int = 0,
    assignment: Any = None,
) -> xr.Dataset:
    """The trials with a new `split`.

    Trials that are "test" already stay so, only an `assignment` moves them: they never slip into training.

    Args:
        trials: follow the schema of trials.
        valid: fraction of the trials for validation.
        test: fraction of the trials for the final test.
        by: "random", or "blocked": runs of neighbouring trials (by `start_time`, if there) spread over the
            session, so that slow drifts are no help.
        within: for "random", a column on `trial` (say "condition"): the same share of each of its values.
        blocks: for "blocked", the greatest number of runs.
        seed: of the draw.
        assignment: instead of a draw, one name for each trial, or a mapping from name to positions of
            trials counted from 0, where the trials left out train.

    Raises:
        UndertowError: fractions that leave no trial to train or to validate on, unknown names or columns.
    """
    if assignment is not None:
        return trials.assign_coords(split=("trial", assigned(assignment, trials.sizes["trial"])))
    fractions = {"valid": valid, "test": test}
    _check_fractions(fractions)
    draws = {
        "random": partial(_shuffled_groups, column=within),
        "blocked": partial(_rotated_stretches, blocks=blocks, fractions=fractions),
    }
    if by not in draws:
        raise UndertowError(f"Trials can't be split by '{by}'; {closest(by, draws)}")
    if by == "blocked" and within is not None:
        raise UndertowError(f"within='{within}' goes with by='random' only; leave one of the two out.")
    free = _free_trials(trials, test)
    names = np.full(trials.sizes["trial"], "test", dtype="<U5")
    names[free] = "train"
    for name, positions in _drawn(draws[by](trials, free, np.random.default_rng(seed)), fractions).items():
        names[positions] = name
    _check_all_there(names, fractions)
    return trials.assign_coords(split=("trial", names))


def hold_out(
    trials: xr.Dataset,
    *,
    neurons: float | int | Sequence[Any] = 0.25,
    forward: int = 0,
    min_rate: float = 0.0,
    seed: int = 0,
) -> xr.Dataset:
    """The trials with new flags `held_out` and `forward`: what an encoder never sees, and is scored on.

    Args:
        trials: follow the schema of trials.
        neurons: a fraction (float) or a number (int) of the candidates to draw, or a list of neuron ids.
        forward: how many bins at the end of the time axis are to be forecast.
        min_rate: Hz; candidates are the neurons whose mean rate over the training trials is above it.
        seed: of the draw.

    Raises:
        UndertowError: unknown ids, more neurons than candidates, nothing left for an encoder to see.
    """
    bins = trials.sizes["time"]
    if not (isinstance(forward, Integral) and 0 <= forward < bins):
        raise UndertowError(f"forward={forward} of {bins} bins can't be forecast; choose 0 to {bins - 1}.")
    held_out = _listed(trials, neurons) if np.ndim(neurons) else _held_out(trials, neurons, min_rate, seed)
    if held_out.all():
        raise UndertowError(f"All {held_out.size} neurons are held out; leave one for the encoder to see.")
    return trials.assign_coords(
        held_out=("neuron", held_out), forward=("time", np.arange(bins) >= bins - forward)
    )


def select(trials: xr.Dataset, split: str) -> xr.Dataset:
    """The trials of one split, "train", "valid" or "test"; an `UndertowError` where there is none."""
    if split not in SPLITS:
        raise UndertowError(f"There is no split '{split}'; {closest(split, SPLITS)}")
    chosen = np.flatnonzero(trials.split.values == split)
    if not chosen.size:
        raise UndertowError(
            f"None of the {trials.sizes['trial']} trials is '{split}', all are in "
            f"{sorted(set(trials.split.values.tolist()))}; split(trials, ...) draws anew."
        )
    return trials.isel(trial=chosen)


def _check_fractions(fractions: Mapping[str, float]) -> None:
    for name, fraction in fractions.items():
        if not (isinstance(fraction, Real) and 0 <= fraction < 1):
            raise UndertowError(
                f"{name}={fraction!r} is no fraction; choose a number from 0 up to, but not, 1."
            )
    if sum(fractions.values()) >= 1:
        raise UndertowError(
            f"The fractions {_words(fractions)} leave nothing to train on; make their sum less than 1."
        )


def _free_trials(trials: xr.Dataset, test: float) -> np.ndarray:
    is_test = trials.split.values == "test"
    if is_test.any() and test > 0:
        raise UndertowError(
            f"{is_test.sum()} trials already are 'test' and test={test} asks for more; "
            "leave out test to keep them, or give an assignment to decide for every trial."
        )
    return np.flatnonzero(~is_test)


def _shuffled_groups(
    trials: xr.Dataset, free: np.ndarray, rng: np.random.Generator, *, column: str | None
) -> list[np.ndarray]:
    """The free trials in random order, in one group for each value of the column."""
    shuffled = rng.permutation(free)
    if column is None:
        return [shuffled]
    columns = [name for name, values in trials.coords.items() if values.dims == ("trial",)]
    if column not in columns:
        raise UndertowError(f"The trials have no column '{column}'; {closest(column, columns)}")
    labels = trials[column].values[shuffled]
    return [shuffled[labels == label] for label in np.unique(labels)]


def _rotated_stretches(
    trials: xr.Dataset,
    free: np.ndarray,
    rng: np.random.Generator,
    *,
    blocks: int,
    fractions: Mapping[str, float],
) -> list[np.ndarray]:
    """Equal stretches of the session, each from a random place on such that what is drawn are neighbours."""
    if blocks < 1:
        raise UndertowError(f"blocks={blocks}, but at least one run of trials is needed.")
    clock = trials.start_time.values[free] if "start_time" in trials.coords else free
    in_order = free[np.argsort(clock, kind="stable")]
    stretches = np.array_split(in_order, max(1, min(blocks, _rounded(free.size * fractions["valid"]))))
    drawn = [sum(int(np.ceil(stretch.size * share)) for share in fractions.values()) for stretch in stretches]
    return [
        np.roll(stretch, -int(rng.integers(max(1, stretch.size - count + 1))))
        for stretch, count in zip(stretches, drawn, strict=True)
    ]


def _drawn(groups: Sequence[np.ndarray], fractions: Mapping[str, float]) -> dict[str, np.ndarray]:
    """From the front of each group its share, rounded on the running total: the sum over groups is right."""
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in fractions}
    total = 0
    for group in groups:
        left, total = group, total + group.size
        for name, fraction in fractions.items():
            share = _rounded(total * fraction) - _rounded((total - group.size) * fraction)
            drawn[name].append(left[:share])
            left = left[share:]
    return {name: np.concatenate(positions) for name, positions in drawn.items()}


def _rounded(number: float) -> int:
    return int(np.floor(number + 0.5))


def _words(fractions: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())


def _check_all_there(names: np.ndarray, fractions: Mapping[str, float]) -> None:
    for name in ("train", "valid") + ("test",) * (fractions["test"] > 0):
        if not (names == name).any():
            raise UndertowError(
                f"The fractions {_words(fractions)} of {names.size} trials leave none in '{name}'; "
                "choose other fractions, bring more trials, or cut long ones into windows (--chop SECONDS)."
            )


def _listed(trials: xr.Dataset, neurons: Sequence[Any]) -> np.ndarray:
    ids = trials.neuron.values
    missing = [neuron for neuron in neurons if neuron not in ids]
    if missing:
        raise UndertowError(f"There is no neuron {missing[0]!r}; {closest(str(missing[0]), ids)}")
    return np.isin(ids, neurons)


def _held_out(trials: xr.Dataset, neurons: float, min_rate: float, seed: int) -> np.ndarray:
    if not (isinstance(neurons, Real) and np.isfinite(neurons)):
        raise UndertowError(
            f"neurons={neurons!r} is no fraction, number, or list of ids; give for example [3, 17]."
        )
    candidates = np.flatnonzero(_training_rates(trials) > min_rate)
    wanted = _rounded(neurons * candidates.size) if isinstance(neurons, float) else int(neurons)
    if not 0 <= wanted <= candidates.size or (wanted == 0 and neurons > 0):
        raise UndertowError(
            f"neurons={neurons} asks for {wanted} of {candidates.size} neurons above {min_rate} Hz in the "
            "training trials; choose another number or another min_rate."
        )
    chosen = np.random.default_rng(seed).permutation(candidates)[:wanted]
    return np.isin(np.arange(trials.sizes["neuron"]), chosen)


def _training_rates(trials: xr.Dataset) -> np.ndarray:
    """Mean rate of each neuron in the observed bins of the training trials, Hz; 0 where none was observed."""
    counts = trials.counts.values[trials.split.values == "train"]
    observed = np.isfinite(counts).sum((0, 1))
    return np.nansum(counts, (0, 1), dtype=np.float64) / np.maximum(observed, 1) / trials.attrs["bin_width"]
