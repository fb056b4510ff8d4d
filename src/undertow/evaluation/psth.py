"""The average response to each condition (PSTH), and how much of it the rates explain.

As in the Neural Latents Benchmark: the truth is the mean over a condition's trials of their counts, smoothed by a
Gaussian, the prediction is the mean over its evaluated trials of the rates, and R2 pools all conditions and
bins of a neuron.
"""

from __future__ import annotations

import numpy as np

from undertow.evaluation.chunks import chunks
from undertow.evaluation.r2 import R2, r2
from undertow.evaluation.smoothing import smooth
from undertow.vocabulary import UndertowError

SMOOTHING = 0.05  # seconds, standard deviation; the benchmark takes 40 to 70 ms


def psth(values: np.ndarray, condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean over the trials of each condition.

    Args:
        values: (trial, time, neuron) rates or counts, NaN = not known.
        condition: (trial,) labels.

    Returns:
        The sorted labels, and (condition, time, neuron) float64 means, NaN where no trial of a condition has
        a value.
    """
    if len(condition) != len(values):
        raise UndertowError(
            f"There are {len(condition)} condition labels for {len(values)} trials; give one for each."
        )
    labels, which = np.unique(condition, return_inverse=True)
    total = np.zeros((len(labels), *values.shape[1:]))
    known = np.zeros(total.shape)
    for part in chunks(values.shape):
        chunk = np.asarray(values[part], dtype=np.float64)
        missing = np.isnan(chunk)
        shows = (np.arange(len(labels))[:, None] == which[part]).astype(np.float64)
        total += np.tensordot(shows, np.where(missing, 0, chunk), axes=1)
        known += np.tensordot(shows, (~missing).astype(np.float64), axes=1)
    return labels, np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)


def psth_r2(
    rates: np.ndarray,
    condition: np.ndarray,
    *,
    counts: np.ndarray,
    counts_condition: np.ndarray,
    bin_width: float,
    smoothing: float = SMOOTHING,
    rates_smoothing: float = 0.0,
) -> R2:
    """R2 of each neuron's condition averages; conditions without trials on either side are left out.

    Args:
        rates: (trial, time, neuron) in Hz, of the trials to evaluate.
        condition: (trial,) their labels.
        counts: (other trial, time, neuron) from which the true averages are made, NaN = not observed. All
            trials of an experiment give the benchmark's measure; training trials alone give averages that
            share no noise with what the estimate of validation trials has seen.
        counts_condition: (other trial,) their labels.
        bin_width: seconds.
        smoothing: standard deviation of the Gaussian for the counts, seconds.
        rates_smoothing: the same for the averages of the rates; none in the benchmark. Where rates move faster than the
            Gaussian, smooth both alike: otherwise even the true rates score badly.

    Raises:
        UndertowError: no condition has trials on both sides, or labels are missing.
    """
    predicted_labels, predicted = psth(rates, condition)
    true_labels, true = psth(counts, counts_condition)
    shared, of_predicted, of_true = np.intersect1d(predicted_labels, true_labels, return_indices=True)
    if not len(shared):
        raise UndertowError(
            "The rates and the counts have no condition in common; pass trials of the same experiment."
        )
    predicted = _smoothed(predicted[of_predicted], rates_smoothing / bin_width)
    return r2(predicted, _smoothed(true[of_true], smoothing / bin_width) / bin_width)


def _smoothed(averages: np.ndarray, width: float) -> np.ndarray:
    """`averages` smoothed by `width` bins where they are known; unchanged for a width of 0."""
    return np.where(np.isnan(averages), np.nan, smooth(averages, width)) if width > 0 else averages
