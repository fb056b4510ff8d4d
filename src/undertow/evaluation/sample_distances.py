"""How far two sets of samples are apart, and whether one of them repeats what was trained on.

    sliced_wasserstein(generated, real), mmd_squared(generated, real)             # (sample, dimension) each
    memorisation(generated, held_out, training).ratio                             # far below 1: copies

No measure stands alone: a sliced distance sees single directions, a kernel what happens within its width (Bischoff et al. 2024).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from undertow.vocabulary import UndertowError

PROJECTIONS = 256
FOR_MEDIAN = 500  # samples of each set from which the median distance is taken


class Memorisation(NamedTuple):
    """Distances to the nearest training sample, of generated samples beside those of samples held out.

    Attributes:
        generated: (sample,) distances.
        held_out: (sample,) distances.
        ratio: median of the generated over median of those held out; about 1 for samples of the same process.
        copied: the fraction of generated samples nearer than all but a hundredth of those held out; about 0.01.
    """

    generated: np.ndarray
    held_out: np.ndarray
    ratio: float
    copied: float


def sliced_wasserstein(
    one: np.ndarray, other: np.ndarray, *, projections: int = PROJECTIONS, seed: int = 0
) -> float:
    """The mean over random directions of the Wasserstein-1 distance between two sets projected on them.

    Args:
        one: (sample, dimension).
        other: (other sample, dimension).
        projections: how many directions.
        seed: of the directions.
    """
    one, other = _pair(one, other)
    direction = np.random.default_rng(seed).standard_normal((one.shape[1], projections))
    direction /= np.linalg.norm(direction, axis=0)
    sorted_one, sorted_other = np.sort(one @ direction, axis=0), np.sort(other @ direction, axis=0)
    level = np.union1d(np.arange(1, len(one) + 1) / len(one), np.arange(1, len(other) + 1) / len(other))
    width = np.diff(level, prepend=0.0)
    middle = level - width / 2
    difference = sorted_one[_rank(middle, len(one))] - sorted_other[_rank(middle, len(other))]
    return float((width @ np.abs(difference)).mean())


def mmd_squared(one: np.ndarray, other: np.ndarray, *, width: float | None = None) -> float:
    """The squared maximum mean discrepancy, unbiased: about 0, and sometimes below, for samples of one process.

    Args:
        one: (sample, dimension).
        other: (other sample, dimension).
        width: of the kernel exp(-d^2 / (2 width^2)); by default the median distance of all samples (the median heuristic).

    Raises:
        UndertowError: dimensions that differ, values that are not finite, or fewer than two samples.
    """
    one, other = _pair(one, other)
    if min(len(one), len(other)) < 2:
        raise UndertowError(
            f"There are {len(one)} and {len(other)} samples, but at least 2 of each are needed."
        )
    width = width or median_distance(one, other)
    within = [(_kernel(x, x, width).sum() - len(x)) / (len(x) * (len(x) - 1)) for x in (one, other)]
    return float(sum(within) - 2 * _kernel(one, other, width).mean())


def median_distance(one: np.ndarray, other: np.ndarray) -> float:
    """The median distance between different samples of two sets together; of many, of evenly spaced ones."""
    few = [x[np.unique(np.linspace(0, len(x) - 1, FOR_MEDIAN).astype(int))] for x in (one, other)]
    both = np.concatenate(few)
    distance = cdist(both, both)[np.triu_indices(len(both), 1)]
    return float(np.median(distance)) or 1.0


def memorisation(generated: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> Memorisation:
    """Whether generated samples lie nearer to training samples than samples held out do.

    Args:
        generated: (sample, dimension).
        held_out: (other sample, dimension), of the same process as the training samples, never trained on.
        training: (training sample, dimension).
    """
    near = [nearest_distances(samples, training) for samples in (generated, held_out)]
    usual = np.median(near[1])
    return Memorisation(
        generated=near[0],
        held_out=near[1],
        ratio=float(np.median(near[0]) / usual) if usual > 0 else float("nan"),
        copied=float((near[0] < np.quantile(near[1], 0.01)).mean()),
    )


def nearest_distances(samples: np.ndarray, training: np.ndarray) -> np.ndarray:
    """(sample,) Euclidean distance of each sample to the nearest training sample, (sample, dimension) each."""
    samples, training = _pair(samples, training)
    parts = np.array_split(samples, -(-len(samples) // 500))
    return np.concatenate([cdist(part, training).min(axis=1) for part in parts])


def _kernel(one: np.ndarray, other: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-cdist(one, other, "sqeuclidean") / (2 * width**2))


def _rank(level: np.ndarray, samples: int) -> np.ndarray:
    """The position, from the smallest, of the quantiles at `level`."""
    return np.minimum((level * samples).astype(int), samples - 1)


def _pair(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    both = [np.asarray(samples, np.float64) for samples in (one, other)]
    shapes = [samples.shape for samples in both]
    if any(len(shape) != 2 or not all(shape) for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise UndertowError(
            f"The samples have the shapes {shapes[0]} and {shapes[1]}, but must be (sample, dimension) with the same dimensions."
        )
    missing = sum(int((~np.isfinite(samples)).any(axis=1).sum()) for samples in both)
    if missing:
        raise UndertowError(f"{missing} samples hold values that are no finite numbers; leave them out.")
    return both[0], both[1]
