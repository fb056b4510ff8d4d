"""Where a model's states were while it explained data, and how far from there something lies.

Only there do the dynamics mean anything: nothing held a model to any law elsewhere. Distances are in units of the data's
spread, the root of their total variance, which is the root mean square distance from their mean: a ring's radius is 1, whatever
the number of latents.
"""

from typing import NamedTuple

import numpy as np

from undertow.vocabulary import UndertowError

ENTRIES = 2**24
"""Distances held at once, so that memory stays bounded: 128 MB."""


class Region(NamedTuple):
    """The known states (state, latent), their mean (latent), and their spread."""

    states: np.ndarray
    mean: np.ndarray
    spread: float

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From each of `points` (point, latent) to the nearest state, in units of the spread: (point,)."""
        if not len(points):
            return np.zeros(0)
        centred = np.asarray(points, np.float64) - self.mean
        size = max(ENTRIES // len(points), 1)
        parts = [self.states[first : first + size] for first in range(0, len(self.states), size)]
        nearest = np.min([squared_distances(centred, part - self.mean).min(axis=1) for part in parts], axis=0)
        return np.sqrt(nearest) / self.spread


def region_of(data: np.ndarray, latents: int) -> Region:
    """Where `data` (state, latent) lie; states with NaN, such as those of bins that do not exist, are left out.

    Raises:
        UndertowError: another number of latents, fewer than two known states, or all in one place.
    """
    states = np.asarray(data, np.float64)
    if states.ndim != 2 or states.shape[1] != latents:
        raise UndertowError(
            f"The states have the shape {states.shape}, but the dynamics have {latents} latents; give them as (state, {latents})."
        )
    states = states[np.isfinite(states).all(axis=1)]
    spread = float(np.sqrt(states.var(axis=0).sum())) if len(states) else 0.0
    if spread == 0:
        raise UndertowError(
            f"The {len(states)} known states do not differ, so there is no region to look at; give the latents of several bins."
        )
    return Region(states, states.mean(axis=0), spread)


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared distances between all of `first` (n, latent) and of `second` (m, latent): (n, m)."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :]
    return np.maximum(squares - 2 * first @ second.T, 0)
