"""Numbers that figures need and nobody else: averages over conditions, smoothed counts, and the main
directions of factors.

All ignore NaN. These serve the eye; scores come from the room `evaluation`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

SMOOTHING_SECONDS = 0.04
_MAX_POINTS = 50_000


@dataclass(frozen=True)
class Directions:
    """The main directions of a cloud of factors, largest variance first.

    `centre` (factor) is the cloud's mean, `axes` (direction, factor) are unit vectors, and `explained`
    (direction) is the share of the variance along each.
    """

    centre: np.ndarray
    axes: np.ndarray
    explained: np.ndarray

    def project(self, factors: np.ndarray) -> np.ndarray:
        """Factors (..., factor) along the directions, (..., direction); NaN where a factor is NaN."""
        return (factors - self.centre) @ self.axes.T


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


def main_directions(points: np.ndarray, at_most: int = 3) -> Directions:
    """The first principal components of `points` (point, factor); with many points, of an even selection."""
    some = points[:: max(1, len(points) // _MAX_POINTS)].astype(float)
    centre = some.mean(axis=0) if len(some) else np.zeros(points.shape[1])
    covariance = (some - centre).T @ (some - centre) / max(len(some), 1)
    _, strengths, axes = np.linalg.svd(covariance)
    kept = min(at_most, len(centre))
    return Directions(centre, axes[:kept], strengths[:kept] / max(strengths.sum(), 1e-30))


def _mean(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    number = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
