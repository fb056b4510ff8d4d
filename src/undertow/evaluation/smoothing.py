"""Gaussian smoothing of counts, trial by trial, that knows what was not observed.

A smoothed count is the mean of the observed counts around it, weighted by a Gaussian. Missing entries and the
time outside of a trial have no weight, so nothing sags towards zero at edges and gaps, and no trial leaks
into the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.ndimage import correlate1d

from undertow.evaluation.chunks import chunks
from undertow.evaluation.likelihood import mean_counts
from undertow.vocabulary import UndertowError

REACH = 4.0  # the Gaussian is cut at this many standard deviations


def smooth(counts: np.ndarray, width: float, *, own_bin: bool = True) -> np.ndarray:
    """Counts per bin, smoothed in time.

    Args:
        counts: (trial, time, neuron), NaN = not observed.
        width: standard deviation of the Gaussian, in bins.
        own_bin: give each bin a share in its own smoothed count; without it that is a prediction from its
            neighbours.

    Returns:
        (trial, time, neuron) floats, also where a count is missing; NaN where nothing within reach was
        observed.
    """
    weights = _gaussian(width, counts.shape[1], own_bin=own_bin)
    smoothed = np.empty(counts.shape, np.result_type(counts.dtype, np.float32))
    for part in chunks(counts.shape):
        values = np.asarray(counts[part], dtype=np.float64)
        smoothed[part] = _weighted_mean(values, weights)
    return smoothed


def best_width(counts: np.ndarray, widths: Sequence[float]) -> float:
    """The width (bins) whose smoothing best predicts each count from the other bins of its trial.

    The squared error of each neuron is divided by its mean count, so that all neurons weigh alike. A bin has
    no share in its own prediction: with it, the narrowest width would always win.
    """
    return min(widths, key=lambda width: _error_of_neighbours(counts, width))


def _gaussian(width: float, bins: int, *, own_bin: bool) -> np.ndarray:
    if not (width > 0 and math.isfinite(width)):
        raise UndertowError(f"The smoothing width is {width!r} bins, but must be a positive number.")
    reach = max(1, min(math.ceil(REACH * width), bins - 1))
    distance = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (distance / width) ** 2)
    weights[reach] = 1.0 if own_bin else 0.0
    return weights


def _weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    missing = np.isnan(values)
    observed = ~missing if missing.any() else np.ones((1, values.shape[1], 1))
    total = correlate1d(np.where(missing, 0, values), weights, axis=1, mode="constant")
    weight = correlate1d(observed.astype(np.float64), weights, axis=1, mode="constant")
    weight = np.broadcast_to(weight, values.shape)
    return np.divide(total, weight, out=np.full(values.shape, np.nan), where=weight > 0)


def _error_of_neighbours(counts: np.ndarray, width: float) -> float:
    mean = mean_counts(counts)
    fires = mean > 0
    prediction = smooth(counts, width, own_bin=False)
    prediction = np.where(np.isnan(prediction), mean, prediction)[..., fires]
    return float(np.nansum((counts[..., fires] - prediction) ** 2 / mean[fires]))
