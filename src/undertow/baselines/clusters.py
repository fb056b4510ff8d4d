"""Points in clusters (Lloyd's algorithm, with far points as first centres): where discrete states begin."""

from __future__ import annotations

import numpy as np


def clusters(points: np.ndarray, count: int, *, seed: int, rounds: int = 20) -> np.ndarray:
    """(point,) which of `count` clusters each of `points` (point, dimension) belongs to."""
    rng = np.random.default_rng(seed)
    centres = points[rng.integers(len(points), size=1)]
    while len(centres) < count:
        nearest = _distances(points, centres).min(axis=1)
        total = nearest.sum()
        chance = nearest / total if total > 0 else None
        centres = np.concatenate([centres, points[rng.choice(len(points), size=1, p=chance)]])
    for _ in range(rounds):
        members = _distances(points, centres).argmin(axis=1)
        centres = np.stack(
            [
                points[members == one].mean(axis=0) if (members == one).any() else centre
                for one, centre in enumerate(centres)
            ]
        )
    return _distances(points, centres).argmin(axis=1)


def _distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(point, centre) squared."""
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None]
    return np.maximum(squares - 2 * points @ centres.T, 0.0)
