"""A set of spike trials in few numbers, trial by trial: all that statistics of spikes need, of all trials or of half of them.

    axes = principal_axes(real, bin_width)
    one, other = halves(summary(real, bin_width, axes), generator)       # disjoint

Only bins in which every neuron was observed count; intervals that span others are left out, and so are, from spectra and
features, the trials that have any. Spikes within a bin are spread evenly: k of them at (j + 1/2) / k of the bin. Everything
but the correlations is kept for each trial; their sums of products are added up over trials, and subtracted for the other
half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from undertow.evaluation.chunks import chunks
from undertow.evaluation.regression import Moments, no_rows
from undertow.vocabulary import UndertowError

COMPONENTS = 5
COARSE = 0.03  # seconds: counts are summed in such bins before their principal axes are sought
EXACT = 2**24  # whole numbers up to it are exact in float32


@dataclass(frozen=True)
class Summary:
    """What is known of a set of trials.

    Attributes:
        counts: (all trials, time, neuron), 0 where a bin is not complete.
        members: (trial,) which of them belong to this set.
        complete: (trial, time) bool: every neuron was observed.
        population: (trial, time) spikes of all neurons.
        spikes: (trial, neuron).
        intervals: (3, trial, neuron): how many, their sum (s) and their sum of squares (s2).
        population_power: (trial, frequency) of the population's spikes, the trial's mean taken off; NaN for incomplete trials.
        component_power: (trial, frequency, component), likewise.
        features: (trial, feature) components in coarse bins, one after the other; NaN for incomplete trials.
        moments: sums of products of counts over complete bins.
        bin_width: seconds.
    """

    counts: np.ndarray
    members: np.ndarray
    complete: np.ndarray
    population: np.ndarray
    spikes: np.ndarray
    intervals: np.ndarray
    population_power: np.ndarray
    component_power: np.ndarray
    features: np.ndarray
    moments: Moments
    bin_width: float


PER_TRIAL = ("members", "complete", "population", "spikes", "population_power", "component_power", "features")


def summary(counts: np.ndarray, bin_width: float, axes: np.ndarray, name: str = "trials") -> Summary:
    """The summary of `counts` (trial, time, neuron), NaN = not observed.

    Args:
        counts: whole numbers.
        bin_width: seconds.
        axes: (neuron, component) on which counts are projected, see `principal_axes`.
        name: of the set, for errors.

    Raises:
        UndertowError: counts that are no counts, or no bin with all neurons observed.
    """
    complete = complete_bins(counts, name)
    filled = counts if complete.all() else np.where(complete[..., None], counts, 0)
    projected = _projected(filled, complete, axes)
    population = filled.sum(axis=2, dtype=np.float64)
    whole_population = np.where(complete.all(axis=1)[:, None], population, np.nan)
    return Summary(
        counts=filled,
        members=np.arange(len(counts)),
        complete=complete,
        population=population,
        spikes=filled.sum(axis=1, dtype=np.float64),
        intervals=interval_sums(filled, complete, bin_width),
        population_power=_power(whole_population[..., None])[..., 0],
        component_power=_power(projected),
        features=coarse(projected, bin_width).reshape(len(counts), -1),
        moments=_moments(filled, complete, np.arange(len(counts))),
        bin_width=bin_width,
    )


def complete_bins(counts: np.ndarray, name: str = "trials") -> np.ndarray:
    """(trial, time) bool: bins in which all neurons were observed; refused where there are none, or no counts."""
    if np.ndim(counts) != 3:
        raise UndertowError(
            f"The {name} have the shape {np.shape(counts)}, but must be (trial, time, neuron)."
        )
    complete = np.empty(counts.shape[:2], bool)
    for part in chunks(counts.shape):
        known = np.isfinite(counts[part])
        complete[part] = known.all(axis=2)
        values = np.where(known, counts[part], 0)
        wrong = values[(values < 0) | (values != np.rint(values))]
        if wrong.size:
            raise UndertowError(
                f"The {name} hold {wrong[0]:g}, which is no spike count; draw spikes from rates before their statistics."
            )
    if not complete.any():
        raise UndertowError(
            f"No bin of the {name} has all {counts.shape[2]} neurons observed, so nothing can be compared; leave out the neurons "
            "that were seldom observed."
        )
    return complete


def principal_axes(counts: np.ndarray, bin_width: float, components: int = COMPONENTS) -> np.ndarray:
    """(neuron, component): the directions in which the standardised counts of coarse bins vary most, times what standardises."""
    complete = complete_bins(counts)
    neurons = counts.shape[2]
    total = no_rows(np.zeros(neurons), neurons)
    for part in chunks(counts.shape):
        rows = coarse(np.where(complete[part][..., None], counts[part], np.nan), bin_width).reshape(
            -1, neurons
        )
        rows = rows[~np.isnan(rows).any(axis=1)].astype(np.float64)
        total = total + Moments(len(rows), rows.sum(axis=0), rows.T @ rows, total.origin, neurons)
    covariance = total.scatter / max(total.rows, 1)
    spread = np.sqrt(np.diag(covariance))
    scale = np.divide(1, spread, out=np.zeros(neurons), where=spread > 0)
    vectors = np.linalg.eigh(covariance * scale * scale[:, None])[1][:, ::-1][:, :components]
    return scale[:, None] * vectors


def trial_features(
    counts: np.ndarray, bin_width: float, axes: np.ndarray, name: str = "trials"
) -> np.ndarray:
    """(trial, feature): counts (trial, time, neuron) along `axes` in coarse bins; trials with incomplete bins are left out."""
    complete = complete_bins(counts, name)
    whole = complete.all(axis=1)
    return coarse(_projected(counts[whole], complete[whole], axes), bin_width).reshape(int(whole.sum()), -1)


def coarse(values: np.ndarray, bin_width: float, width: float = COARSE) -> np.ndarray:
    """Sums over runs of bins of about `width` seconds, (trial, time, column); what fills no run at the end is left out."""
    run = min(max(1, round(width / bin_width)), values.shape[1])
    runs = values.shape[1] // run
    return values[:, : runs * run].reshape(len(values), runs, run, -1).sum(axis=2)


def interval_sums(counts: np.ndarray, complete: np.ndarray, bin_width: float) -> np.ndarray:
    """Inter-spike intervals of each neuron in each trial, (3, trial, neuron): how many, sum (s), sum of squares (s2)."""
    parts = [_interval_sums(counts[part], complete[part], bin_width) for part in chunks(counts.shape)]
    return np.concatenate(parts, axis=1)


def halves(whole: Summary, generator: np.random.Generator) -> tuple[Summary, Summary]:
    """Two disjoint sets of equally many of the trials, drawn at random; an odd one is left out."""
    size = len(whole.members) // 2
    shuffled = generator.permutation(len(whole.members))
    one = _part(whole, shuffled[:size], None)
    if len(shuffled) % 2:
        return one, _part(whole, shuffled[size : 2 * size], None)
    return one, _part(whole, shuffled[size:], whole.moments - one.moments)


def _projected(counts: np.ndarray, complete: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Counts along `axes`, (trial, time, component) float64, NaN for incomplete trials."""
    columns = [
        counts[part] @ axes.astype(np.result_type(counts.dtype, np.float32)) for part in chunks(counts.shape)
    ]
    projected = np.concatenate(columns) if columns else np.zeros((*counts.shape[:2], axes.shape[1]))
    return np.where(complete.all(axis=1)[:, None, None], projected.astype(np.float64), np.nan)


def _part(whole: Summary, chosen: np.ndarray, moments: Moments | None) -> Summary:
    kept = {name: getattr(whole, name)[chosen] for name in PER_TRIAL}
    if moments is None:
        moments = _moments(whole.counts, kept["complete"], kept["members"])
    return replace(whole, **kept, intervals=whole.intervals[:, chosen], moments=moments)


def _moments(counts: np.ndarray, complete: np.ndarray, members: np.ndarray) -> Moments:
    """Sums of products over the complete bins of the trials `members`, to which the rows of `complete` belong."""
    neurons = counts.shape[2]
    parts = (
        _exact_moments(counts[members[part]][complete[part]])
        for part in chunks((len(members), *counts.shape[1:]))
    )
    return reduce(lambda total, part: total + part, parts, no_rows(np.zeros(neurons), neurons))


def _exact_moments(rows: np.ndarray) -> Moments:
    """In float32 where that is exact, for it takes half the time."""
    is_small = rows.size and float(rows.max()) ** 2 * len(rows) < EXACT
    products = np.asarray(rows, np.float32 if is_small else np.float64)
    neurons = rows.shape[1]
    return Moments(
        len(rows),
        rows.sum(axis=0, dtype=np.float64),
        (products.T @ products).astype(np.float64),
        np.zeros(neurons),
        neurons,
    )


def _interval_sums(counts: np.ndarray, complete: np.ndarray, bin_width: float) -> np.ndarray:
    trials, bins, neurons = counts.shape
    by_neuron = np.ascontiguousarray(counts.transpose(0, 2, 1)).reshape(-1)
    filled = np.flatnonzero(by_neuron)
    number = by_neuron[filled].astype(np.int64)
    place = np.repeat(filled, number)
    within = np.arange(len(place)) - np.repeat(np.cumsum(number) - number, number)
    time = place % bins + (within + 0.5) / np.repeat(number, number)
    owner = place // bins
    gaps = np.cumsum(~complete, axis=1)[owner // neurons, place % bins]
    follows = (owner[1:] == owner[:-1]) & (gaps[1:] == gaps[:-1])
    interval, whose = (np.diff(time) * bin_width)[follows], owner[1:][follows]
    sums = [np.bincount(whose, interval**power, trials * neurons) for power in (0, 1, 2)]
    return np.stack(sums).reshape(3, trials, neurons)


def _power(values: np.ndarray) -> np.ndarray:
    """Squared magnitudes at the frequencies above zero, (trial, frequency, column), of values less their mean in the trial."""
    return np.abs(np.fft.rfft(values - values.mean(axis=1, keepdims=True), axis=1)[:, 1:]) ** 2
