"""A slice of the flow: where the dynamics would carry states of a plane through the data, for an arrow plot.

The plane is that of the data's first two principal axes, through their mean or another point such as a fixed point. A place in
it has the coordinates (state - mean) @ plane.T, so that trajectories drawn in the same coordinates lie on it. Arrows show the
part of the velocity step(z) - z that lies in the plane; `speed` is all of it, so that a slow spot of the arrows that is fast
out of the plane is seen.
"""

from typing import NamedTuple

import numpy as np

from undertow.analysis.law import law_of, velocities
from undertow.analysis.region import Region, region_of
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError

MARGIN = 0.1
"""How much further than the data the slice reaches, as a share of their extent."""


class FlowSlice(NamedTuple):
    """Velocities on a grid of a plane; first axis: along the second principal axis, second: along the first.

    `grid` (g, g, 2) coordinates; `velocities` (g, g, 2) in the plane and `speed` (g, g) in all, latents per bin; `plane` (2,
    latent), `mean` (latent): state coordinates of the origin's foot; `height`: how far the plane lies off the mean, in latents.
    """

    grid: np.ndarray
    velocities: np.ndarray
    speed: np.ndarray
    plane: np.ndarray
    mean: np.ndarray
    height: float


def principal_plane(data: np.ndarray) -> np.ndarray:
    """The first two principal axes (2, latent) of `data` (state, latent), orthonormal, each with its largest entry positive.

    Raises:
        UndertowError: one latent only, or states that do not differ.
    """
    if np.ndim(data) != 2 or np.shape(data)[1] < 2:
        raise UndertowError(
            f"States of the shape {np.shape(data)} have no plane; give (state, latent) with at least two latents."
        )
    region = region_of(data, np.shape(data)[1])
    axes = np.linalg.eigh(np.cov(region.states.T))[1].T[::-1][:2]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest)


def flow_slice(
    dynamics: LatentDynamics,
    data: np.ndarray,
    plane: np.ndarray | None = None,
    *,
    through: np.ndarray | None = None,
    inputs: np.ndarray | None = None,
    points: int = 25,
) -> FlowSlice:
    """The flow in a plane, over all the extent of the data.

    Args:
        dynamics: the model's law.
        data: (state, latent) states of the model while it explained data.
        plane: (2, latent) orthonormal axes; by default the first two principal axes.
        through: (latent,) a point that the plane goes through; by default the data's mean.
        inputs: (input,) what pushes; nothing by default.
        points: along each side of the grid.

    Raises:
        UndertowError: states, inputs or the plane do not fit the dynamics.
    """
    region = region_of(data, dynamics.latents)
    plane = principal_plane(data) if plane is None else _checked(plane, dynamics.latents)
    grid = _grid((region.states - region.mean) @ plane.T, points)
    offset = _offset(region, plane, through)
    states = region.mean + offset + grid.reshape(-1, 2) @ plane
    moved = velocities(law_of(dynamics, inputs), states).astype(np.float64)
    return FlowSlice(
        grid=grid,
        velocities=(moved @ plane.T).reshape(grid.shape),
        speed=np.linalg.norm(moved, axis=1).reshape(grid.shape[:2]),
        plane=plane,
        mean=region.mean,
        height=float(np.linalg.norm(offset)),
    )


def _checked(plane: np.ndarray, latents: int) -> np.ndarray:
    plane = np.asarray(plane, np.float64)
    if plane.shape != (2, latents) or not np.allclose(plane @ plane.T, np.eye(2), atol=1e-4):
        raise UndertowError(
            f"The plane has the shape {plane.shape}, but must be two orthonormal axes, (2, {latents}); "
            "take principal_plane(data)."
        )
    return plane


def _grid(coordinates: np.ndarray, points: int) -> np.ndarray:
    """Evenly spaced places (g, g, 2) over the extent of coordinates (state, 2) and a little more."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    margin = MARGIN * (high - low)
    sides = np.linspace(low - margin, high + margin, points)
    return np.stack(np.meshgrid(sides[:, 0], sides[:, 1]), axis=-1)


def _offset(region: Region, plane: np.ndarray, through: np.ndarray | None) -> np.ndarray:
    """How the plane lies off the data's mean, at right angles to it."""
    if through is None:
        return np.zeros(len(region.mean))
    away = np.asarray(through, np.float64) - region.mean
    return away - away @ plane.T @ plane
