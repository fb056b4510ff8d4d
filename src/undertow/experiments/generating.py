"""Activity that nobody recorded: samples of the prior, walks along behaviour, trials between trials, trials of asked behaviour.

Behaviours are the columns of trials that are numbers (a reach's angle, its distance, ...) and the means of behaviour channels.
They are read from the codes of training trials by a line, and codes move so that one read-out changes and the others stay
(`evaluation/code_steps.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from undertow.evaluation.code_steps import CodeSteps, fit_steps, independent
from undertow.experiments import coding
from undertow.vocabulary import UndertowError, check_trials, closest

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

NOT_BEHAVIOURS = ("start_time", "condition", "source", "step", "distance", "trial_id", "unseen")
ANGLE_WORDS = ("angle", "direction")
RANGE = (5, 95)
"""Percentiles of a behaviour among training trials between which a walk goes."""
SUBSETS = "train"
FAR = 1.25
"""A code farther from the mean than this many times the farthest training code is far outside the data."""


def sample(
    fitted: Fitted,
    number: int,
    *,
    bins: int | None = None,
    seed: int = 0,
    spikes: str = "poisson",
    trials: xr.Dataset | None = None,
    **choices: Any,
) -> xr.Dataset:
    """So many trials from nothing: codes of the prior (the learned one, where there is one), and activity from them.

    Args:
        fitted: a model with codes.
        number: of trials.
        bins: of each; those of the fit if not given.
        seed: of codes, noise and spikes.
        spikes: "poisson", or "history": with a memory of the spikes before, fitted to the run's training trials.
        trials: those of the fit, for that; found where the run found them if not given.
        **choices: of the sampler: steps, sampler, guidance, two_phase, ...

    Returns:
        Trials whose `true_rates` (Hz) are the rates made, with `code` (trial, code_dimension) if there is one.

    Raises:
        UndertowError: no trials or bins asked for, or a choice that this model does not have.
    """
    if number < 1:
        raise UndertowError(f"{number} trials can't be sampled; ask for 1 or more.")
    fitted = coding.with_choices(fitted, choices)
    bins = fitted.session.bins if bins is None else bins
    _check_bins(bins)
    draw = coding.coded(fitted, needs_code=False).draw
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), number)
    codes = np.asarray(jax.jit(jax.vmap(lambda key: draw(key=key)))(keys))
    rates = coding.rates_of(fitted, codes, bins=bins, seed=seed)
    return coding.as_recording(fitted, rates, codes, {}, seed=seed, spikes=spikes, trials=trials)


def reconstruct(
    fitted: Fitted,
    trials: xr.Dataset,
    *,
    own_noise: bool = False,
    seed: int = 0,
    spikes: str = "poisson",
    **choices: Any,
) -> xr.Dataset:
    """Each trial made again of its code, from fresh noise, or from its own, which gives back what the code does not hold."""
    fitted = coding.with_choices(fitted, choices)
    codes = coding.encode(fitted, trials).values
    kind = _Kind(spikes, seed, own_noise)
    return _made(fitted, trials, codes, np.arange(len(codes)), {}, kind)


def interpolate(
    fitted: Fitted,
    trials: xr.Dataset,
    first: int,
    last: int,
    *,
    steps: int = 7,
    seed: int = 0,
    spikes: str = "poisson",
    **choices: Any,
) -> xr.Dataset:
    """Trials on the way from one trial to another: codes on the straight line between theirs, noise on the sphere between theirs.

    Raises:
        UndertowError: trials that are not there, or fewer steps than two.
    """
    count = trials.sizes["trial"]
    if not (0 <= first < count and 0 <= last < count) or steps < 2:
        raise UndertowError(
            f"There is no way from trial {first} to trial {last} in {steps} steps among {count} trials; give numbers from 0 to "
            f"{count - 1}, and 2 steps or more."
        )
    fitted = coding.with_choices(fitted, choices)
    codes = coding.encode(fitted, trials.isel(trial=[first, last])).values
    share = np.linspace(0, 1, steps)[:, None]
    path = (1 - share) * codes[:1] + share * codes[1:]
    starts = None
    bins = trials.sizes["time"]
    if coding.coded(fitted).has_noise:
        noise = np.random.default_rng(seed).normal(size=(2, bins, len(fitted.session.neurons)))
        turn = share[:, :, None] * np.pi / 2
        starts = np.cos(turn) * noise[:1] + np.sin(turn) * noise[1:]
    rates = coding.rates_of(fitted, path, bins=bins, seed=seed, starts=starts)
    columns = {"source": np.full(steps, first), "towards": np.full(steps, last), "step": np.arange(steps)}
    return coding.as_recording(
        fitted, rates, path, columns, seed=seed, start=_left_edge(trials), spikes=spikes, trials=trials
    )


def traverse(  # noqa: PLR0913 - what may be chosen of a walk, all by name
    fitted: Fitted,
    trials: xr.Dataset,
    behaviour: str,
    *,
    values: Sequence[float] | None = None,
    steps: int = 7,
    keep: Sequence[str] | None = None,
    sources: Sequence[int] | int = 8,
    own_noise: bool = False,
    shortest: bool = False,
    angles: Sequence[str] | None = None,
    seed: int = 0,
    spikes: str = "poisson",
    **choices: Any,
) -> xr.Dataset:
    """Trials whose one behaviour is moved through `values` while the others stay as they are.

    Args:
        fitted: a model with codes.
        trials: whose training trials say how codes and behaviour go together.
        behaviour: the one that moves.
        values: of it; `steps` from its 5th to its 95th percentile if not given, around the circle for an angle.
        steps: how many values, where they are not given.
        keep: behaviours that stay; all that are not (nearly) a line of the others if not given.
        sources: numbers of the trials that are moved, or how many, spread over all.
        own_noise: begin from each source's own noise, so that what the code does not hold stays, too.
        shortest: the shortest step of the code in place of the likeliest.
        angles: behaviours that are angles in radians; those that are called so if not given.
        seed: of noise and spikes.
        spikes: as in `sample`.
        **choices: of the sampler.

    Returns:
        Trials with the columns `source`, `step`, `asked` (the value), `distance` (of the code from the training codes, in
        standard deviations), and of every behaviour what is read from the code.

    Raises:
        UndertowError: a behaviour that was not recorded, or a source that is not there.
    """
    fitted = coding.with_choices(fitted, choices)
    name, steps_of, codes, recorded = _read_out(fitted, trials, behaviour, keep, angles)
    wanted = (
        _range(recorded[name], name in steps_of.angles, steps)
        if values is None
        else np.asarray(values, float)
    )
    chosen = _sources(sources, trials.sizes["trial"])
    source, asked = np.repeat(chosen, len(wanted)), np.tile(wanted, len(chosen))
    moved = steps_of.moved(codes[source], {name: asked}, shortest=shortest)
    columns = {"step": np.tile(np.arange(len(wanted)), len(chosen)), "asked": asked}
    kind = _Kind(spikes, seed, own_noise)
    return _moved(fitted, trials, moved, source, steps_of, columns, kind)


def generate(
    fitted: Fitted,
    trials: xr.Dataset,
    behaviour: Mapping[str, float | Sequence[float]],
    *,
    number: int = 32,
    keep: Sequence[str] | None = (),
    angles: Sequence[str] | None = None,
    seed: int = 0,
    spikes: str = "poisson",
    **choices: Any,
) -> xr.Dataset:
    """Trials of asked behaviour: codes of training trials, drawn at random, moved to where these values are read from them.

    Args:
        fitted: a model with codes.
        trials: whose training trials say how codes and behaviour go together.
        behaviour: values by name; one for all trials, or one for each.
        number: trials, where behaviour does not say how many.
        keep: behaviours that stay as they were in the trials drawn; none if not given, so that what goes with the asked values
        may follow.
        angles: as in `traverse`.
        seed: of the trials drawn, noise and spikes.
        spikes: as in `sample`.
        **choices: of the sampler.

    Raises:
        UndertowError: no behaviour, or one that was not recorded.
    """
    if not behaviour:
        raise UndertowError(
            "No behaviour was asked for; give values by name, such as {'reach_angle': 0.5}, or use sample."
        )
    fitted = coding.with_choices(fitted, choices)
    _, steps_of, codes, recorded = _read_out(fitted, trials, list(behaviour), keep, angles)
    wanted = {
        closest_behaviour(name, recorded): np.asarray(value, float) for name, value in behaviour.items()
    }
    counts = {len(value) for value in wanted.values() if value.ndim}
    number = counts.pop() if counts else number
    training = np.flatnonzero(trials.split.values == SUBSETS)
    source = np.random.default_rng(seed).choice(training, number)
    values = {name: np.broadcast_to(value, number) for name, value in wanted.items()}
    moved = steps_of.moved(codes[source], values)
    columns = {f"asked_{name}": value for name, value in values.items()}
    return _moved(fitted, trials, moved, source, steps_of, columns, _Kind(spikes, seed, own_noise=False))


class _Kind(NamedTuple):
    """How activity is made of codes: how spikes are drawn, the seed, and whether from the sources' own noise."""

    spikes: str
    seed: int
    own_noise: bool


class ReadAgain(NamedTuple):
    """What codes of generated activity say of behaviour: names, values (step, trial, behaviour), and each one's spread in
    training.

    An angle is unrolled along the steps, so that it has no jump.
    """

    names: tuple[str, ...]
    decoded: np.ndarray
    spread: np.ndarray


def read_again(fitted: Fitted, trials: xr.Dataset, made: xr.Dataset, behaviour: str) -> ReadAgain:
    """Encode the trials of a walk (`traverse`) again, and read all its behaviours from their codes."""
    names = [str(name).removeprefix("read_") for name in made.coords if str(name).startswith("read_")]
    name, read, codes, _ = _read_out(fitted, trials, behaviour, names, None)
    shown = made.drop_vars([key for key in ("true_rates", "code") if key in made])
    found = read.read(coding.encode(fitted, shown).values.astype(float))
    of_training = read.read(codes[trials.split.values == SUBSETS])
    steps = int(made.step.values.max()) + 1
    order = [name, *(other for other in read.names if other != name)]
    columns = []
    for other in order:
        by_step = found[other].reshape(-1, steps).T
        columns.append(
            _unrolled(by_step, made.asked.values[:steps], other == name) if other in read.angles else by_step
        )
    return ReadAgain(
        tuple(order), np.stack(columns, axis=2), np.array([of_training[other].std() for other in order])
    )


def _unrolled(angle: np.ndarray, asked: np.ndarray, is_asked: bool) -> np.ndarray:  # noqa: FBT001
    """Angles (step, trial) without jumps; of what was asked for in the turn that was asked for."""
    angle = np.unwrap(angle, axis=0)
    if not is_asked:
        return angle
    turns = np.round((np.unwrap(asked)[:, None] - angle).mean(0) / (2 * np.pi))
    return angle + 2 * np.pi * turns


def behaviours_of(trials: xr.Dataset) -> dict[str, np.ndarray]:
    """Every behaviour of trials (trial,): columns that are numbers and vary, and the means of behaviour channels."""
    found = {}
    for name, column in trials.coords.items():
        is_number = column.dims == ("trial",) and column.dtype.kind in "fi" and name not in NOT_BEHAVIOURS
        if is_number and np.isfinite(column.values).all() and np.ptp(column.values) > 0:
            found[str(name)] = column.values.astype(float)
    if "behaviour" in trials:
        for channel, means in zip(
            trials.behaviour_channel.values, np.nanmean(trials.behaviour.values, axis=1).T, strict=True
        ):
            if np.isfinite(means).all() and np.ptp(means) > 0:
                found.setdefault(f"{channel}", means.astype(float))
    return found


def angles_of(names: Iterable[str]) -> set[str]:
    """Those behaviours that are called angles or directions: they are taken to be in radians."""
    return {name for name in names if any(word in name for word in ANGLE_WORDS)}


def closest_behaviour(name: str, recorded: Mapping[str, np.ndarray]) -> str:
    """The behaviour of this name; blanks and hyphens count as underscores.

    Raises:
        UndertowError: a behaviour that was not recorded, listing those that were.
    """
    plain = name.replace(" ", "_").replace("-", "_")
    if plain in recorded:
        return plain
    hint = closest(plain, recorded)
    listed = "" if hint.startswith(("known", "none")) else f" Recorded are: {', '.join(recorded)}."
    raise UndertowError(f"The behaviour '{name}' was not recorded; {hint}{listed}")


def _read_out(
    fitted: Fitted,
    trials: xr.Dataset,
    asked: str | list[str],
    keep: Sequence[str] | None,
    angles: Sequence[str] | None,
) -> tuple[str, CodeSteps, np.ndarray, dict[str, np.ndarray]]:
    """The first behaviour's name, the read-out of what moves and what stays, all codes, and what was recorded."""
    recorded = behaviours_of(check_trials(trials))
    names = [closest_behaviour(name, recorded) for name in ([asked] if isinstance(asked, str) else asked)]
    is_angle = angles_of(recorded) if angles is None else set(angles)
    is_training = trials.split.values == SUBSETS
    if not is_training.any():
        raise UndertowError(
            "None of these trials is a training trial, so no read-out of behaviour can be fitted; pass those of the fit."
        )
    known = {name: values[is_training] for name, values in recorded.items()}
    kept = [closest_behaviour(name, recorded) for name in keep or ()]
    if keep is None:
        kept = _room(fitted, independent(known, names, is_angle), names, is_angle)
    codes = coding.encode(fitted, trials).values.astype(float)
    chosen = dict.fromkeys([*names, *kept])
    read = fit_steps(
        codes[is_training], {name: known[name] for name in chosen}, angles=is_angle & set(chosen)
    )
    return names[0], read, codes, recorded


def _room(fitted: Fitted, candidates: list[str], first: list[str], is_angle: set[str]) -> list[str]:
    """As many of the candidates as a code has dimensions for."""
    room, kept = coding.coded(fitted).dimension, []
    for name in candidates:
        room -= 2 if name in is_angle else 1
        if room < 0:
            break
        kept.append(name)
    return [name for name in kept if name not in first]


def _moved(
    fitted: Fitted,
    trials: xr.Dataset,
    codes: np.ndarray,
    source: np.ndarray,
    read: CodeSteps,
    columns: Mapping[str, np.ndarray],
    kind: _Kind,
) -> xr.Dataset:
    distance = read.distance(codes)
    if distance.max() > FAR * read.farthest:
        warnings.warn(
            f"{(distance > FAR * read.farthest).sum()} of {len(codes)} codes lie far outside the data: up to "
            f"{distance.max():.1f} standard deviations "
            f"from the training codes' mean, whose own farthest lies {read.farthest:.1f} away; what is made of them is a guess.",
            stacklevel=3,
        )
    columns = {
        **columns,
        "distance": distance,
        **{f"read_{name}": value for name, value in read.read(codes).items()},
    }
    return _made(fitted, trials, codes, source, columns, kind)


def _made(
    fitted: Fitted,
    trials: xr.Dataset,
    codes: np.ndarray,
    source: np.ndarray,
    columns: Mapping[str, np.ndarray],
    kind: _Kind,
) -> xr.Dataset:
    starts = None
    if kind.own_noise:
        each, place = np.unique(source, return_inverse=True)
        chosen = trials.isel(trial=each)
        starts = coding.starts_of(fitted, chosen, coding.encode(fitted, chosen).values)[place]
    inputs = trials.inputs.values[source] if "inputs" in trials else None
    is_observed = np.isfinite(trials.counts.values).any(axis=2) | trials.forward.values[None]
    lengths = is_observed.shape[1] - np.argmax(is_observed[:, ::-1], axis=1)
    rates = coding.rates_of(
        fitted,
        codes,
        bins=trials.sizes["time"],
        seed=kind.seed,
        starts=starts,
        inputs=inputs,
        lengths=lengths[source],
    )
    columns = {"source": source, **columns}
    start = _left_edge(trials)
    return coding.as_recording(
        fitted, rates, codes, columns, seed=kind.seed, start=start, spikes=kind.spikes, trials=trials
    )


def _left_edge(trials: xr.Dataset) -> float:
    return float(trials.time.values[0] - 0.5 * trials.attrs["bin_width"])


def _sources(sources: Sequence[int] | int, count: int) -> np.ndarray:
    if isinstance(sources, int):
        if sources < 1:
            raise UndertowError(
                f"A walk needs a trial to begin from, but {sources} are asked for; ask for 1 or more."
            )
        return np.unique(np.linspace(0, count - 1, min(sources, count)).round().astype(int))
    chosen = np.asarray(sources, int)
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= count:
        raise UndertowError(
            f"The sources {list(sources)} are not all among {count} trials; give numbers from 0 to {count - 1}."
        )
    return chosen


def _range(values: np.ndarray, is_angle: bool, steps: int) -> np.ndarray:  # noqa: FBT001
    if steps < 2:
        raise UndertowError(f"A walk of {steps} steps goes nowhere; take 2 or more.")
    if is_angle:
        return -np.pi + 2 * np.pi * np.arange(steps) / steps
    return np.linspace(*np.percentile(values, RANGE), steps)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise UndertowError(f"Trials of {bins} bins can't be made; give 1 or more.")
