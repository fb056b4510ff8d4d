"""What is in a set of trials, and what is suspicious about it, in sentences.

    print(describe(trials))

Two passes over blocks of trials (which a lazily opened file reads one after the other): the first counts,
the second, one matrix product a block, looks for units whose spikes coincide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.tallies import CROWDED, Tally, coincidences, tally
from undertow.vocabulary import SPLITS, check_trials

_NEAR_SILENT = 0.1  # Hz
_CROWDED_SHARE = 0.03  # of observed entries above `tallies.CROWDED` spikes
_COINCIDENT = 0.2  # correlation in the same bin beyond that of neighbouring bins
_FEW_TRIALS = 5  # in a condition
_LISTED = 8  # names given before "and N more"
_IMAGING = ("frame_rate", "sampling", "event_unit")


@dataclass(frozen=True)
class Description:
    """Facts by name, the sentences that tell them, and warnings; `str()` gives all as a page of plain text."""

    name: str
    facts: dict[str, Any]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        found = self.warnings or ("Nothing suspicious was found.",)
        lines = [self.name, "=" * len(self.name), *self.sentences, "", *(f"! {line}" for line in found)]
        return "\n".join(lines if self.warnings else [*lines[:-1], found[0]])


def describe(trials: xr.Dataset) -> Description:
    """Facts, sentences and warnings about trials (which must follow the schema of `vocabulary.check_trials`).

    Rates in Hz are means over observed bins. Warnings name silent, near-silent and duplicated units, units
    whose spikes coincide beyond what a shared rate explains, counts that are negative or no integers, bins
    that hold too many spikes, trials without spikes or without any observed bin, and rare conditions.
    """
    counts = check_trials(trials).counts
    found = tally(counts)
    facts = {**_sizes(trials, found), **_rates(trials, found), **_labels(trials)}
    warnings = [
        *_unit_warnings(trials, found),
        *_count_warnings(found, facts),
        *_trial_warnings(facts, found),
    ]
    return Description(
        name=str(trials.attrs.get("session", "trials")),
        facts=facts,
        sentences=tuple(_sentences(facts, trials.attrs.get("notes", ""))),
        warnings=tuple(warnings),
    )


def _sizes(trials: xr.Dataset, found: Tally) -> dict[str, Any]:
    bin_width = float(trials.attrs["bin_width"])
    observed = found.trial_bins[found.trial_bins > 0]
    return {
        "trials": trials.sizes["trial"],
        "bins": trials.sizes["time"],
        "neurons": trials.sizes["neuron"],
        "bin_width": bin_width,
        "window": (float(trials.time[0]) - bin_width / 2, float(trials.time[-1]) + bin_width / 2),
        "durations": tuple(float(edge(observed, initial=0)) * bin_width for edge in (_smallest, np.max)),
        "missing_fraction": float(1 - found.observed.sum() / trials.counts.size),
        "margin": _margin(trials),
    }


def _margin(trials: xr.Dataset) -> float:
    """Seconds before the first bin, or after the last, for which there are counts around trials."""
    if "counts_around" not in trials:
        return 0.0
    before = float(trials.time[0] - trials.time_around[0])
    after = float(trials.time_around[-1] - trials.time[-1])
    return max(before, after, 0.0)


def _smallest(bins: np.ndarray, initial: int) -> int:
    return bins.min() if bins.size else initial


def _rates(trials: xr.Dataset, found: Tally) -> dict[str, Any]:
    rates = _mean_rates(trials, found)
    known = rates[np.isfinite(rates)]
    quantiles = np.quantile(known, [0, 0.25, 0.5, 0.75, 1]) if known.size else np.full(5, np.nan)
    return {"spikes": float(found.spikes.sum()), "rate_quantiles": tuple(float(rate) for rate in quantiles)}


def _mean_rates(trials: xr.Dataset, found: Tally) -> np.ndarray:
    """(neuron,) Hz, NaN for a neuron that was never observed; an event tells of the whole frame since the sample before."""
    each = trials.attrs["bin_width"]
    if trials.attrs.get("sampling") == "subframe":
        each = 1 / trials.attrs["frame_rate"]
    seconds = found.observed * float(each)
    return np.where(seconds > 0, found.spikes / np.maximum(seconds, 1e-300), np.nan)


def _labels(trials: xr.Dataset) -> dict[str, Any]:
    split = trials.split.values.astype(str)
    conditions = trials["condition"].values if "condition" in trials.coords else np.empty(0)
    values, numbers = np.unique(conditions, return_counts=True)
    return {
        "splits": {name: int((split == name).sum()) for name in SPLITS if (split == name).any()},
        "held_out": int(trials.held_out.values.sum()),
        "forward": int(trials.forward.values.sum()),
        "conditions": {str(value): int(number) for value, number in zip(values, numbers, strict=True)},
        "behaviours": _names(trials, "behaviour"),
        "inputs": _names(trials, "inputs"),
        "imaging": {name: trials.attrs[name] for name in _IMAGING if name in trials.attrs},
        "truth": [name for name in ("true_rates", "true_latents", "true_inputs") if name in trials.variables],
    }


def _names(trials: xr.Dataset, variable: str) -> list[str]:
    """Names of the channels of a variable, or their numbers; empty if there is no such variable."""
    if variable not in trials.variables:
        return []
    axis = trials[variable].dims[2]
    channels = trials.coords.get(f"{axis.removesuffix('_channel')}_channel", np.arange(trials.sizes[axis]))
    return [str(channel) for channel in np.asarray(channels)]


def _sentences(facts: dict[str, Any], notes: str) -> Iterable[str]:
    yield (
        f"{facts['trials']} trials of up to {facts['bins']} bins of {facts['bin_width'] * 1000:g} ms, "
        f"{facts['neurons']} neurons, "
        + (
            f"events of {facts['spikes']:.6g} in all."
            if facts["imaging"]
            else f"{facts['spikes']:.0f} spikes."
        )
    )
    if facts["imaging"]:
        yield (
            f"Imaging: {facts['imaging']['frame_rate']:g} frames a second, {facts['imaging']['sampling']} sampling; an event of "
            f"1 is {facts['imaging']['event_unit']}."
        )
    low, high = facts["window"]
    shortest, longest = facts["durations"]
    yield f"Time runs from {low:g} to {high:g} s; trials were observed for {shortest:g} to {longest:g} s."
    if facts["margin"]:
        yield f"Beside trials, for smoothing: counts of {facts['margin']:g} s before and after each."
    least, lower, median, upper, most = facts["rate_quantiles"]
    what = "events a second" if facts["imaging"] else "rates"
    yield (
        f"Mean {what}: median {median:.3g} Hz, half of them between {lower:.3g} and {upper:.3g} Hz, "
        f"all between {least:.3g} and {most:.3g} Hz."
    )
    yield f"Splits: {_listed(f'{number} {name}' for name, number in facts['splits'].items())}."
    yield f"Held out: {facts['held_out']} neurons; to be forecast: {facts['forward']} bins."
    yield f"Not observed: {100 * facts['missing_fraction']:.3g} % of the entries."
    for name in ("behaviours", "inputs", "truth"):
        if facts[name]:
            yield f"{name.capitalize()}: {_listed(facts[name])}."
    if facts["conditions"]:
        each = (f"{condition} ({number})" for condition, number in facts["conditions"].items())
        yield f"Conditions (trials): {_listed(each, limit=16)}."
    yield from (note for note in notes.split("\n") if note)


def _unit_warnings(trials: xr.Dataset, found: Tally) -> Iterable[str]:
    ids = trials.neuron.values
    rates = _mean_rates(trials, found)
    yield from _about(ids[found.observed == 0], "Units that were never observed")
    yield from _about(ids[(found.spikes == 0) & (found.observed > 0)], "Silent units, not one spike")
    yield from _about(
        ids[(rates > 0) & (rates < _NEAR_SILENT)], f"Near-silent units, below {_NEAR_SILENT} Hz"
    )
    duplicates = [tuple(ids[list(group)].tolist()) for group in found.duplicates]
    if duplicates:
        groups = _listed(" = ".join(map(str, group)) for group in duplicates)
        yield f"Units with identical counts, keep one of each: {groups}."
    repeated = {unit for group in found.duplicates for unit in group}
    pairs = coincidences(trials.counts, found, threshold=_COINCIDENT)
    crosstalk = [pair for pair in pairs if not {pair[0], pair[1]} <= repeated]
    if crosstalk:
        named = _listed(f"{ids[one]} and {ids[other]} ({value:.2f})" for one, other, value in crosstalk)
        yield (
            f"Units whose spikes coincide beyond what a shared rate explains (correlation within a bin minus "
            f"that across neighbouring bins above {_COINCIDENT}), probably crosstalk: {named}."
        )


def _about(ids: np.ndarray, what: str) -> Iterable[str]:
    if ids.size:
        yield f"{what} ({ids.size}): {_listed(ids.tolist())}."


def _count_warnings(found: Tally, facts: dict[str, Any]) -> Iterable[str]:
    if found.negative:
        yield f"Negative counts ({found.negative}); these are no spike counts."
    if facts["imaging"]:
        return
    if found.fractional:
        yield (
            f"Counts that are no integers ({found.fractional}); they were smoothed or scaled, and no Poisson "
            "model fits them."
        )
    share = found.crowded / max(found.observed.sum(), 1)
    if share > _CROWDED_SHARE:
        yield (
            f"{100 * share:.3g} % of the counts exceed {CROWDED}; a smaller bin width keeps more of the timing."
        )


def _trial_warnings(facts: dict[str, Any], found: Tally) -> Iterable[str]:
    yield from _about(np.flatnonzero(found.trial_bins == 0), "Trials that are all NaN, counted from 0")
    quiet = (found.trial_spikes == 0) & (found.trial_bins > 0)
    yield from _about(np.flatnonzero(quiet), "Trials without a spike, counted from 0")
    rare = [f"{name} ({number})" for name, number in facts["conditions"].items() if number < _FEW_TRIALS]
    if rare:
        yield f"Conditions with fewer than {_FEW_TRIALS} trials: {_listed(rare)}."


def _listed(names: Iterable[Any], limit: int = _LISTED) -> str:
    words: Sequence[str] = [str(name) for name in names]
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
