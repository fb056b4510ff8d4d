"""Numbers that figures need and nobody else: averages over conditions, smoothed counts, and the main
directions of factors.

All ignore NaN. These serve the eye; scores come from the room `evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SMOOTHING_SECONDS = 0.04


@dataclass(frozen=True)
class Projection:
    """Factors along their main directions: `values` (trial, time, direction), `explained` (direction) share
    of the variance.
    """

    values: np.ndarray
    explained: np.ndarray


def group_means(values: np.ndarray, member: np.ndarray, groups: int) -> np.ndarray:
    """Averages over the trials of each group, (group, time, channel); NaN where a group has nothing in a bin.

    Args:
        values: (trial, time, channel); entries that are NaN are left out.
        member: (trial) the group's index, or -1 for none.
        groups: how many groups there are.
    """
    return np.stack([_mean(values[member == group]) for group in range(groups)])


def smoothed_rates(counts: np.ndarray, bin_width: float) -> np.ndarray:
    """Rates in Hz from counts (trial, time, neuron) by a Gaussian of 40 ms (one bin where bins are wider)
    along time.

    A missing entry takes no part: both the counts and the number of observed bins are smoothed, then divided.
    """
    width = max(SMOOTHING_SECONDS / bin_width, 1.0)
    observed = np.isfinite(counts)
    weight = ndimage.gaussian_filter1d(observed.astype(float), width, axis=1, mode="constant")
    total = ndimage.gaussian_filter1d(
        np.where(observed, counts, 0.0).astype(float), width, axis=1, mode="constant"
    )
    return np.where(observed, total / np.maximum(weight, 1e-12), np.nan) / bin_width


def main_directions(factors: np.ndarray, inside: np.ndarray, at_most: int = 3) -> Projection:
    """The factors (trial, time, factor) along their first principal components; NaN where `inside` (trial,
    time) is False.
    """
    finite = inside & np.isfinite(factors).all(axis=2)
    points = factors[finite].astype(float)
    centre = points.mean(axis=0) if len(points) else np.zeros(factors.shape[2])
    covariance = (points - centre).T @ (points - centre) / max(len(points), 1)
    _, strengths, directions = np.linalg.svd(covariance)
    kept = min(at_most, len(centre))
    values = np.full((*factors.shape[:2], kept), np.nan)
    values[finite] = (points - centre) @ directions[:kept].T
    return Projection(values, strengths[:kept] / max(strengths.sum(), 1e-30))


def _mean(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    number = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
