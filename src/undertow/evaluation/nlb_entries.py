"""What the Neural Latents Benchmark's entries must be like before they are scored: there, of the right shape, in the right unit.

A common mistake is rates in Hz where expected spikes per bin are asked for: then the rates of most neurons are 1 / bin width
times their counts, which is found by comparing means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from undertow.evaluation.likelihood import mean_counts
from undertow.vocabulary import UndertowError

BIN_WIDTHS = (0.005, 0.02)  # seconds
LARGEST_FACTOR = 10.0  # by which the mean rates of half of the neurons may miss their mean counts

_TARGET = ("eval_spikes_heldout", "train_behavior", "eval_behavior")
_FORWARD = ("eval_rates_heldin_forward", "eval_rates_heldout_forward")

Entries = Mapping[str, np.ndarray]
Shape = tuple[int | None, ...]


def checked_rates(target: Entries, submission: Entries, bin_width: float | None) -> None:
    """Nothing, if all entries but the forward ones can be scored.

    Raises:
        UndertowError: an entry is missing or has the wrong shape, or held-out rates are negative, NaN or in the wrong unit.
    """
    _present("target", target, (*_TARGET, *(("eval_cond_idx",) if "psth" in target else ())))
    shapes = _expected(target)
    _present("submission", submission, shapes)
    for name, shape in shapes.items():
        _check_shape(name, submission[name].shape, shape)
    _same_neurons(submission)
    _check_values("eval_rates_heldout", submission, target["eval_spikes_heldout"], bin_width)


def has_forward(target: Entries, submission: Entries) -> bool:
    """Whether forward prediction is known and submitted."""
    return "eval_spikes_heldin_forward" in target and any(name in submission for name in _FORWARD)


def checked_forward(target: Entries, submission: Entries, bin_width: float | None) -> None:
    """Nothing, if the forward entries can be scored.

    Raises:
        UndertowError: as `checked_rates`.
    """
    _present("submission", submission, _FORWARD)
    for name in _FORWARD:
        counts = target[name.replace("rates", "spikes")]
        _check_shape(name, submission[name].shape, counts.shape)
        _check_values(name, submission, counts, bin_width)


def _present(what: str, entries: Entries, names: Sequence[str] | Mapping) -> None:
    missing = [f"'{name}'" for name in names if name not in entries]
    if missing:
        found = ", ".join(f"'{name}'" for name in entries) or "nothing"
        raise UndertowError(
            f"The {what} has no {', no '.join(missing)} (found {found}); add what is missing in the benchmark's layout."
        )


def _expected(target: Entries) -> dict[str, Shape]:
    """The shapes of the rates that are needed; None where any length will do."""
    trials, bins, held_out = target["eval_spikes_heldout"].shape
    held_in = _held_in(target, held_out)
    shapes: dict[str, Shape] = {
        "eval_rates_heldin": (trials, bins, held_in),
        "eval_rates_heldout": (trials, bins, held_out),
    }
    if target["train_behavior"].ndim == 3:
        train_trials, train_bins = target["train_behavior"].shape[:2]
        shapes["train_rates_heldin"] = (train_trials, train_bins, held_in)
        shapes["train_rates_heldout"] = (train_trials, train_bins, held_out)
    return shapes


def _held_in(target: Entries, held_out: int) -> int | None:
    """How many held-in neurons the target knows of."""
    if "eval_spikes_heldin_forward" in target:
        return target["eval_spikes_heldin_forward"].shape[-1]
    return target["psth"].shape[-1] - held_out if "psth" in target else None


def _check_shape(name: str, found: tuple[int, ...], expected: Shape) -> None:
    fits = len(found) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(found, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise UndertowError(
            f"'{name}' has the shape {found}, but the target asks for ({wanted}) trials, bins and neurons; "
            "submit the same trials, bin width and neurons."
        )


def _same_neurons(submission: Entries) -> None:
    """Where the target does not say how many neurons are held in, train and eval rates at least agree."""
    if "train_rates_heldin" in submission:
        train, evaluated = (submission[f"{split}_rates_heldin"].shape[-1] for split in ("train", "eval"))
        if train != evaluated:
            raise UndertowError(
                f"'train_rates_heldin' has {train} neurons and 'eval_rates_heldin' {evaluated}; submit the same neurons in both."
            )


def _check_values(name: str, submission: Entries, counts: np.ndarray, bin_width: float | None) -> None:
    """Negative or NaN rates where a count is known, and means that are far from those of the counts."""
    rates, known = submission[name], ~np.isnan(counts)
    for word, wrong in _wrong(rates, known):
        if wrong.any():
            where = tuple(int(index) for index in np.argwhere(wrong)[0])
            raise UndertowError(
                f"'{name}' has {int(wrong.sum())} {word} rates where counts are known, the first at (trial, bin, neuron) {where}"
                "; submit expected spikes per bin, finite and not negative."
            )
    factor = _factor(rates, counts, known)
    if not 1 / LARGEST_FACTOR <= factor <= LARGEST_FACTOR:
        raise UndertowError(
            f"The rates '{name}' are {factor:.3g} times the counts of the target in the median neuron"
            f"{_reason(factor, bin_width)}; submit expected spikes per bin."
        )


def _wrong(rates: np.ndarray, known: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "NaN", np.isnan(rates) & known
    yield "negative", (rates < 0) & known
    yield "infinite", np.isinf(rates) & known


def _factor(rates: np.ndarray, counts: np.ndarray, known: np.ndarray) -> float:
    """Mean rate over mean count of the median neuron; 1 where no neuron has a spike."""
    mean = mean_counts(counts)
    fires = mean > 0
    if not fires.any():
        return 1.0
    predicted = np.mean(rates, axis=(0, 1), where=known, dtype=np.float64)
    return float(np.median(predicted[fires] / mean[fires]))


def _reason(factor: float, bin_width: float | None) -> str:
    for width in BIN_WIDTHS if bin_width is None else (bin_width,):
        if 0.5 <= factor * width <= 2:
            return f", close to 1 / bin width ({1 / width:.0f} at {width * 1e3:g} ms): these look like rates in Hz"
    return ""
