"""Many Poisson regressions on the same features: one for each neuron, with a common penalty.

    n ~ Poisson(exposure x m exp(b + w z)),      z = (feature - mean) / standard deviation

m is the neuron's mean count per exposure, so that the penalty alpha |w|^2 / 2 is measured against the
deviance per expected spike and means the same for rare and frequent neurons, for narrow and wide bins.
scikit-learn's `PoissonRegressor` does the fitting, on one thread: the problems are small, and threads that
wait for each other can cost a hundredfold on a busy machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import PoissonRegressor
from threadpoolctl import threadpool_limits

LARGEST_LOG_RATIO = 10.0  # predictions stay within exp(+-10) of the neuron's mean
SPIKES_OF_SILENT = 0.5  # a neuron without a spike gets the rate of half a spike in all its exposure


@dataclass(frozen=True)
class PoissonRegressions:
    """Fitted: `centre` and `scale` (feature,), `weights` (feature, neuron), `intercept` and `mean` (neuron,)."""

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    mean: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Expected counts per exposure, (..., feature) to (..., neuron)."""
        log_ratio = ((features - self.centre) / self.scale) @ self.weights + self.intercept
        return self.mean * np.exp(np.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))


def fit(
    features: np.ndarray, counts: np.ndarray, *, alpha: float, exposure: np.ndarray | None = None
) -> PoissonRegressions:
    """One regression for each column of the counts.

    Args:
        features: (row, feature), all finite.
        counts: (row, neuron), NaN = not observed: such rows are left out of the neuron's regression.
        alpha: the penalty.
        exposure: (row, neuron), how many counts a row stands for; one by default. Rows without exposure are
            left out.
    """
    scale = features.std(axis=0)
    centre, scale = features.mean(axis=0), np.where(scale > 0, scale, 1)
    standardised = (features - centre) / scale
    exposure = np.ones(counts.shape) if exposure is None else exposure
    with threadpool_limits(limits=1):
        fitted = [
            _fit_one(standardised, *columns, alpha) for columns in zip(counts.T, exposure.T, strict=True)
        ]
    weights, intercept, mean = (np.array(part) for part in zip(*fitted, strict=True))
    return PoissonRegressions(centre, scale, weights.T, intercept, mean)


def validated_log_likelihood(
    features: np.ndarray,
    counts: np.ndarray,
    *,
    alpha: float,
    folds: int,
    exposure: np.ndarray | None = None,
) -> float:
    """The log-likelihood (without its constant) of each block of rows, fitted on the other blocks.

    Args:
        features: (row, feature).
        counts: (row, neuron), NaN = not observed.
        alpha: the penalty.
        folds: how many blocks of consecutive rows.
        exposure: (row, neuron), as for `fit`.
    """
    total = 0.0
    rows = np.arange(len(features))
    exposed = np.ones(counts.shape) if exposure is None else exposure
    for left_out in np.array_split(rows, folds):
        others = np.delete(rows, left_out)
        fitted = fit(features[others], counts[others], alpha=alpha, exposure=exposed[others])
        expected = fitted(features[left_out]) * np.where(exposed[left_out] > 0, exposed[left_out], np.nan)
        total += np.nansum(counts[left_out] * np.log(expected) - expected + 0 * counts[left_out])
    return float(total)


def _fit_one(
    standardised: np.ndarray, counts: np.ndarray, exposure: np.ndarray, alpha: float
) -> tuple[np.ndarray, float, float]:
    """Weights (feature,), intercept and mean of one neuron; without spikes a small constant rate."""
    used = ~np.isnan(counts) & (exposure > 0)
    spikes, exposed = counts[used].sum(dtype=np.float64), exposure[used].sum(dtype=np.float64)
    if not spikes > 0:
        return np.zeros(standardised.shape[1]), 0.0, SPIKES_OF_SILENT / max(exposed, 1.0)
    mean = spikes / exposed
    relative = counts[used].astype(np.float64) / (exposure[used] * mean)
    regressor = PoissonRegressor(alpha=alpha, solver="newton-cholesky", max_iter=100)
    regressor.fit(standardised[used], relative, sample_weight=exposure[used])
    return regressor.coef_, float(regressor.intercept_), float(mean)
