"""What is shown of data that are too large to show: which trials, neurons, conditions and bins a figure
draws.

Every choice is made by a rule that a caption can state and without chance, so that the same data give the
same figure. Where a trial is shorter than the others nothing is drawn after its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import xarray as xr

SHOWN_FIRST = ("valid", "test", "train")
MAX_TRIALS = 6
MAX_RASTER_NEURONS = 60
MAX_NEURONS = 4
MAX_CONDITIONS = 8
MAX_BINS = 240


@dataclass(frozen=True)
class Grouping:
    """Trials by condition: `names` of those drawn, `member` (trial) the index into `names` or -1, `known` how
    many exist.

    Without conditions (or with about as many as trials) there is one group of all trials, and `known` is 0.
    """

    names: tuple[str, ...]
    member: np.ndarray
    known: int


def shown_split(trials: xr.Dataset) -> str:
    """The split whose single trials are drawn: validation trials where there are any, else test, else
    training trials.
    """
    present = set(np.unique(trials.split.values.astype(str)))
    return next((split for split in SHOWN_FIRST if split in present), "train")


def shown_trials(trials: xr.Dataset, at_most: int = MAX_TRIALS) -> np.ndarray:
    """Indices of at most `at_most` trials of the shown split, evenly spaced over its conditions and its
    order.
    """
    candidates = np.flatnonzero(trials.split.values.astype(str) == shown_split(trials))
    by_condition = candidates[np.argsort(conditions(trials).member[candidates], kind="stable")]
    return np.sort(evenly(by_condition, at_most))


def evenly(candidates: np.ndarray, at_most: int) -> np.ndarray:
    """At most `at_most` of the candidates, evenly spaced, in their order."""
    if len(candidates) <= at_most:
        return candidates
    return candidates[np.linspace(0, len(candidates) - 1, at_most).round().astype(int)]


def inside(trials: xr.Dataset) -> np.ndarray:
    """(trial, time) bool: False after the last observed bin of a trial; bins that are to be forecast always
    count as inside.
    """
    observed = np.isfinite(trials.counts.values).any(axis=2)
    not_over = np.logical_or.accumulate(observed[:, ::-1], axis=1)[:, ::-1]
    return not_over | trials.forward.values[None, :]


def forecast_start(trials: xr.Dataset) -> float | None:
    """The time in seconds at which the bins to be forecast begin, or None."""
    forward = np.flatnonzero(trials.forward.values)
    return float(trials.time.values[forward[0]] - trials.attrs["bin_width"] / 2) if forward.size else None


def raster_neurons(estimate: xr.Dataset, chosen: np.ndarray, at_most: int = MAX_RASTER_NEURONS) -> np.ndarray:
    """The most active neurons (by mean rate in the `chosen` trials), ordered by the time of their peak in the
    mean rate.
    """
    mean = _finite_mean(estimate.rates.values[chosen], axis=0)
    active = np.sort(np.argsort(-mean.mean(axis=0), kind="stable")[:at_most])
    return active[np.argsort(mean[:, active].argmax(axis=0), kind="stable")]


def telling_neurons(trials: xr.Dataset, estimate: xr.Dataset, at_most: int = MAX_NEURONS) -> np.ndarray:
    """The neurons whose inferred rates vary most over the shown trials; one is a held-out neuron where there
    are any.
    """
    rates = estimate.rates.values[shown_trials(trials)]
    spread = np.nan_to_num(_finite_variance(rates))
    ranked = np.argsort(-spread, kind="stable")
    best = ranked[:at_most]
    held_out = trials.held_out.values
    if held_out.any() and not held_out[best].any():
        best = np.append(best[:-1], ranked[held_out[ranked]][0])
    return best


def neuron_label(trials: xr.Dataset, index: int) -> str:
    """How a neuron is called in a figure: its own id, and whether it was held out."""
    return f"{trials.neuron.values[index]}" + (" (held out)" if trials.held_out.values[index] else "")


def trial_label(trials: xr.Dataset, index: int) -> str:
    """How a trial is called in a figure: its place among all trials, counted from 1, and its condition."""
    if "condition" not in trials.coords:
        return f"trial {index + 1}"
    name = _condition_name(trials.condition.values[index])
    if name.replace(".", "", 1).lstrip("-").isdecimal():
        name = f"condition {name}"
    return f"trial {index + 1}, {name}" if name else f"trial {index + 1}"


def conditions(trials: xr.Dataset, at_most: int = MAX_CONDITIONS) -> Grouping:
    """The trials by the column `condition`; of many conditions `at_most`, evenly spaced in sorted order."""
    everything = Grouping(("all trials",), np.zeros(trials.sizes["trial"], int), 0)
    if "condition" not in trials.coords:
        return everything
    labels = np.array([_condition_name(value) for value in trials.condition.values.tolist()])
    unique = np.array(sorted(set(labels) - {""}, key=_natural))
    if not 1 < len(unique) <= len(labels) / 2:
        return everything
    drawn = evenly(unique, at_most)
    place = {name: index for index, name in enumerate(drawn)}
    return Grouping(tuple(map(str, drawn)), np.array([place.get(name, -1) for name in labels]), len(unique))


def pooling(bins: int, at_most: int = MAX_BINS) -> int:
    """How many neighbouring bins are averaged into one so that at most `at_most` are drawn."""
    return max(1, -(-bins // at_most))


def pooled(values: np.ndarray, step: int) -> np.ndarray:
    """Averages over `step` neighbouring entries along the first axis, ignoring NaN; entries left over at the
    end are dropped.
    """
    if step == 1:
        return values
    whole = len(values) // step
    return _finite_mean(values[: whole * step].reshape(whole, step, *values.shape[1:]), axis=1)


def _finite_mean(values: np.ndarray, axis: int) -> np.ndarray:
    finite = np.isfinite(values)
    number = finite.sum(axis=axis)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _finite_variance(rates: np.ndarray) -> np.ndarray:
    flat = rates.reshape(-1, rates.shape[-1])
    mean = _finite_mean(flat, axis=0)
    return _finite_mean((flat - mean) ** 2, axis=0)


def _condition_name(value: object) -> str:
    """The label as a person writes it: 3.0 is '3'; a missing label is empty."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, (float, np.floating)):
        return "" if not np.isfinite(value) else f"{value:g}"
    return "" if value is None else str(value)


def _natural(name: str) -> tuple[tuple[int, float, str], ...]:
    """Numbers in their order, alone or within words ("target 2" before "target 10"), and before words."""
    try:
        return ((0, float(name), ""),)
    except ValueError:
        pieces = re.split(r"(\d+)", name)
        return tuple((0, float(piece), "") if piece.isdecimal() else (1, 0.0, piece) for piece in pieces)
