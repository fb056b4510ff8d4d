"""How well rates predict spikes: Poisson log-likelihood and bits per spike.

    bits per spike = (ln L(model) - ln L(null)) / (number of spikes x ln 2)

The null model gives each neuron one constant rate: its mean over the evaluated counts, or another mean that
is passed in. This is the definition of the Neural Latents Benchmark. Co-smoothing is this measure on neurons
that the model never saw, forward prediction on bins that it never saw.

All functions take arrays (trial, time, neuron) and change none of them. Counts that are NaN were not observed
and contribute nothing. Rates are expected counts per bin, or Hz where `bin_width` is given. Sums run in
float64, a few trials at a time.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln

from undertow.evaluation.chunks import chunks
from undertow.vocabulary import UndertowError

SMALLEST_RATE = 1e-9  # what the benchmark puts in the place of a rate of zero


def poisson_log_likelihood(rates: np.ndarray, counts: np.ndarray, *, bin_width: float = 1.0) -> float:
    """The log-likelihood of the observed counts in nats, with its constant: sum of n ln r - r - ln n!.

    Raises:
        UndertowError: shapes differ, or where a count was observed it is negative or the rate is negative or
            not finite.
    """
    _check_shapes(rates, counts)
    total = 0.0
    for part in chunks(counts.shape):
        expected, observed = _observed_entries(rates[part], counts[part], bin_width)
        total += _log_likelihood(expected, observed) - gammaln(observed + 1).sum()
    return float(total)


def mean_counts(counts: np.ndarray) -> np.ndarray:
    """The mean observed count per bin of each neuron, (neuron,) float64; NaN for one never observed."""
    total = np.zeros(counts.shape[-1])
    observed = np.zeros(counts.shape[-1])
    axes = tuple(range(counts.ndim - 1))
    for part in chunks(counts.shape):
        values = np.asarray(counts[part], dtype=np.float64)
        seen = ~np.isnan(values)
        total += np.where(seen, values, 0).sum(axis=axes)
        observed += seen.sum(axis=axes)
    return np.divide(total, observed, out=np.full_like(total, np.nan), where=observed > 0)


def bits_per_spike(
    rates: np.ndarray,
    counts: np.ndarray,
    *,
    bin_width: float = 1.0,
    null_rates: np.ndarray | None = None,
) -> float:
    """How many bits each spike gains over a null model of constant rates; NaN where there is no spike.

    Args:
        rates: expected counts per bin, or Hz if `bin_width` is given; shape of `counts`.
        counts: (..., neuron), NaN = not observed.
        bin_width: seconds.
        null_rates: (neuron,) in the unit of `rates`, for example the mean rates in training; by default the
            mean over `counts` themselves, which is the benchmark's definition. A neuron whose null rate is not known (NaN:
            never observed in training) is left out.

    Raises:
        UndertowError: as `poisson_log_likelihood`.
    """
    _check_shapes(rates, counts)
    null = mean_counts(counts) if null_rates is None else np.asarray(null_rates) * bin_width
    gain, spikes = 0.0, 0.0
    for part in chunks(counts.shape):
        values = np.where(np.isnan(null), np.nan, np.asarray(counts[part], dtype=np.float64))
        expected, observed = _observed_entries(rates[part], values, bin_width)
        expected_by_null, _ = _observed_entries(np.broadcast_to(null, values.shape), values, 1.0)
        gain += _log_likelihood(expected, observed) - _log_likelihood(expected_by_null, observed)
        spikes += observed.sum()
    return float(gain / spikes / math.log(2)) if spikes > 0 else math.nan


def co_smoothing(
    rates: np.ndarray,
    counts: np.ndarray,
    *,
    held_out: np.ndarray,
    forward: np.ndarray | None = None,
    bin_width: float = 1.0,
    null_rates: np.ndarray | None = None,
) -> float:
    """Bits per spike of the neurons that the model never saw, over the bins that are not to be forecast.

    Args:
        rates: (trial, time, neuron) for all neurons, as for `bits_per_spike`.
        counts: (trial, time, neuron) for all neurons.
        held_out: (neuron,) bool.
        forward: (time,) bool, true for the bins to be forecast; none by default.
        bin_width: seconds, where rates are in Hz.
        null_rates: (neuron,) for all neurons, as for `bits_per_spike`.
    """
    bins = np.ones(counts.shape[1], dtype=bool) if forward is None else ~np.asarray(forward)
    return _bits_of(rates, counts, bins, np.asarray(held_out), bin_width=bin_width, null_rates=null_rates)


def forward_prediction(
    rates: np.ndarray,
    counts: np.ndarray,
    *,
    forward: np.ndarray,
    bin_width: float = 1.0,
    null_rates: np.ndarray | None = None,
) -> float:
    """Bits per spike of all neurons over the bins to be forecast, `forward` (time,) bool; as `co_smoothing`."""
    neurons = np.ones(counts.shape[2], dtype=bool)
    return _bits_of(rates, counts, np.asarray(forward), neurons, bin_width=bin_width, null_rates=null_rates)


def _bits_of(
    rates: np.ndarray,
    counts: np.ndarray,
    bins: np.ndarray,
    neurons: np.ndarray,
    *,
    bin_width: float,
    null_rates: np.ndarray | None,
) -> float:
    _check_shapes(rates, counts)
    for axis, (name, chosen) in enumerate((("bins", bins), ("neurons", neurons)), start=1):
        if chosen.shape != (counts.shape[axis],) or chosen.dtype != bool:
            raise UndertowError(
                f"The choice of {name} is {chosen.dtype} of shape {chosen.shape}, but must be one boolean "
                f"for each of the {counts.shape[axis]} {name}."
            )
    null = None if null_rates is None else np.asarray(null_rates)[neurons]
    chosen = (slice(None), *np.ix_(bins, neurons))
    return bits_per_spike(rates[chosen], counts[chosen], bin_width=bin_width, null_rates=null)


def _observed_entries(
    rates: np.ndarray, counts: np.ndarray, bin_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Expected and observed counts where one was observed, both (entry,) float64; zero rates are lifted."""
    seen = ~np.isnan(counts)
    observed = counts[seen].astype(np.float64)
    expected = rates[seen].astype(np.float64) * bin_width
    for name, values in (("rate", expected), ("count", observed)):
        wrong = values[~((values >= 0) & (values < np.inf))]
        if wrong.size:
            raise UndertowError(
                f"A {name} is {wrong[0]:g} where a count was observed ({wrong.size} such entries), but must be "
                "finite and not negative; mark entries that were not observed by NaN in the counts."
            )
    return np.where(expected == 0, SMALLEST_RATE, expected), observed


def _log_likelihood(expected: np.ndarray, observed: np.ndarray) -> float:
    """Without the constant ln n!."""
    return float((observed * np.log(expected) - expected).sum())


def _check_shapes(rates: np.ndarray, counts: np.ndarray) -> None:
    if rates.shape != counts.shape:
        raise UndertowError(
            f"The rates have the shape {rates.shape} and the counts {counts.shape}; "
            "give one rate for each count."
        )
