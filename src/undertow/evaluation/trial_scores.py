"""A score taken apart into its trials, so that two models of the same trials are compared trial by trial.

    score = sum_i gain_i / sum_i weight_i,        i runs over trials

Bits per spike and the R2 of rates are such sums. Trials differ far more from each other than models do on one trial; the standard
error of the paired difference leaves what trials have in common out. By the delta method for a ratio, over n trials,

    error^2 = n / (n - 1) sum_i (d_i - D w_i)^2 / (sum_i w_i)^2,   d_i: difference of the gains,  D: of the scores
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from undertow.evaluation.likelihood import mean_counts, poisson_log_likelihood
from undertow.evaluation.r2 import SMALLEST_VARIATION
from undertow.vocabulary import UndertowError


class TrialScores(NamedTuple):
    """What each trial gives to a score, and what it counts: `gains` and `weights`, (trial,) float64."""

    gains: np.ndarray
    weights: np.ndarray

    @property
    def score(self) -> float:
        """Of all trials together; NaN where nothing counts."""
        total = self.weights.sum()
        return float(self.gains.sum() / total) if total > 0 else math.nan


def bits_per_spike(
    rates: np.ndarray, counts: np.ndarray, *, bin_width: float = 1.0, null_rates: np.ndarray | None = None
) -> TrialScores:
    """`likelihood.bits_per_spike` taken apart: bits that each trial gains over the null model, and its spikes.

    Args:
        rates: (trial, time, neuron) Hz, or expected counts per bin without `bin_width`.
        counts: of the same shape, NaN = not observed.
        bin_width: seconds.
        null_rates: (neuron,) in the unit of `rates`; the mean over `counts` by default. Neurons of NaN are left out.

    Raises:
        UndertowError: shapes that differ, or negative rates or counts.
    """
    null = mean_counts(counts) / bin_width if null_rates is None else np.asarray(null_rates)
    gains, weights = np.zeros(len(counts)), np.zeros(len(counts))
    for trial, recorded in enumerate(counts):
        of_null = np.broadcast_to(null, recorded.shape)
        observed = np.where(np.isnan(of_null), np.nan, recorded)
        likelihoods = [
            poisson_log_likelihood(expected, observed, bin_width=bin_width)
            for expected in (rates[trial], of_null)
        ]
        gains[trial] = (likelihoods[0] - likelihoods[1]) / math.log(2)
        weights[trial] = np.nansum(observed, dtype=np.float64)
    return TrialScores(gains, weights)


def rate_r2(rates: np.ndarray, true_rates: np.ndarray) -> TrialScores:
    """`truth.rate_r2(...).mean` taken apart: the explained variation in each trial, and the variation; neurons count the same.

    Args:
        rates: (trial, time, neuron) in the unit of `true_rates`; NaN in either is left out.
        true_rates: of the same shape.

    Raises:
        UndertowError: shapes that differ.
    """
    if rates.shape != true_rates.shape:
        raise UndertowError(
            f"The rates have the shape {rates.shape} and the true rates {true_rates.shape}; give one for each."
        )
    guess, truth = (np.asarray(values, np.float64) for values in (rates, true_rates))
    is_known = ~(np.isnan(guess) | np.isnan(truth))
    number = np.maximum(is_known.sum((0, 1)), 1)
    mean = np.where(is_known, truth, 0.0).sum((0, 1)) / number
    variation = np.where(is_known, (truth - mean) ** 2, 0.0).sum(1)
    error = np.where(is_known, (truth - guess) ** 2, 0.0).sum(1)
    total = variation.sum(0)
    varies = total > SMALLEST_VARIATION * number * mean**2
    share = varies / np.where(varies, total, 1.0) / max(int(varies.sum()), 1)
    return TrialScores((variation - error) @ share, variation @ share)


def mean_of(several: Sequence[TrialScores]) -> TrialScores:
    """The average over fits of the same trials."""
    return TrialScores(*(np.mean(parts, axis=0) for parts in zip(*several, strict=True)))


def difference_error(first: TrialScores, second: TrialScores) -> float:
    """The standard error over trials of the difference of two scores of the same trials; NaN for a single trial."""
    trials, total = len(first.gains), first.weights.sum()
    if trials < 2:
        return math.nan
    differences = first.gains - second.gains
    deviations = differences - differences.sum() / total * first.weights
    return float(math.sqrt(trials / (trials - 1) * (deviations**2).sum()) / total)
