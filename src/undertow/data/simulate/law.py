"""What fixes a simulated dynamical system: its equation of motion, and all that is known of it.

    dx/dt = velocity(x) + push(x, u)

Each system's file has one function `law` that takes the parameters of its equation and returns a `Law`. States
are in the system's own coordinates, time in its own units, and all functions take any leading axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Law(NamedTuple):
    """An equation of motion in the system's own coordinates and time.

    Attributes:
        velocity: states (..., latent) to their time derivatives where nothing pushes, of the same shape.
        jacobian: states (..., latent) to the derivatives of the velocity, (..., latent, latent): row i, column j
            is that of component i by state j.
        fixed_points: (point, latent), all that are known, where nothing pushes.
        period: units of time; that of the orbit, or of the strongest peak of the spectrum where there is chaos.
        start: `start(count, generator)` draws where paths begin, (count, latent).
        settling: periods until a path from there has come to the attractor; 0 where trials show the way to it.
        push: what inputs (..., input) add to the velocity at states (..., latent); None for a system without.
        drive: `drive(shape (trial, time), bin_time, generator)` draws inputs (trial, time, input), each constant
            through its bin of `bin_time` units of time; None for a system without.
    """

    velocity: Callable[[np.ndarray], np.ndarray]
    jacobian: Callable[[np.ndarray], np.ndarray]
    fixed_points: np.ndarray
    period: float
    start: Callable[[int, np.random.Generator], np.ndarray]
    settling: float = 0.0
    push: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    drive: Callable[[tuple[int, int], float, np.random.Generator], np.ndarray] | None = None


def around(centre: tuple[float, ...], spread: float) -> Callable[[int, np.random.Generator], np.ndarray]:
    """A `Law.start` that draws normally around `centre` with the standard deviation `spread`."""

    def start(count: int, generator: np.random.Generator) -> np.ndarray:
        return centre + spread * generator.standard_normal((count, len(centre)))

    return start


def rows(*components: np.ndarray | float) -> np.ndarray:
    """Numbers of one shape (...), or that of the largest, side by side along a last axis: (..., component)."""
    return np.stack(np.broadcast_arrays(*components), axis=-1)


def matrix(*entries: tuple[np.ndarray | float, ...]) -> np.ndarray:
    """Rows of entries of shape (...) as matrices, (..., row, column)."""
    flat = np.broadcast_arrays(*(entry for row in entries for entry in row))
    return np.stack(flat, axis=-1).reshape(*flat[0].shape, len(entries), len(entries[0]))


def rotation(size: int, seed: int) -> np.ndarray:
    """A random orthogonal matrix, (size, size), every one as likely as another."""
    generator = np.random.default_rng((seed, size))  # not the one of the read-out, which has the bare seed
    factor, triangle = np.linalg.qr(generator.standard_normal((size, size)))
    return factor * np.sign(np.diag(triangle))
