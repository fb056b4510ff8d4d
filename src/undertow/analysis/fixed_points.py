"""Fixed points: the states at which a model's dynamics stand still, and around which its trajectories are organised.

A fixed point is a state with step(z) = z. Attractors hold memories, saddles divide decisions, unstable foci are what
oscillations go round. They are found by minimising q(z) = 1/2 |step(z) - z|^2 from many states along the data's trajectories
(Sussillo and Barak, Neural Computation 2013), see `pursuit.py`, so that unstable ones, to which no trajectory ever leads, are
found as well.

Kept are those that stand still beside the data's own speed, that lie near the data (a model says nothing of states it never
visited), and each once. There may be none: an empty result is an answer.

    points = find_fixed_points(model.dynamics(), latents)             # latents: (state, latent), of all trials and bins
    slow = find_fixed_points(dynamics, latents, search=FixedPointSearch(tolerance=0.1))   # slow points as well
"""

from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from undertow.analysis.law import law_of, velocities
from undertow.analysis.pursuit import pursue
from undertow.analysis.region import Region, region_of, squared_distances
from undertow.components.configuration import Configuration
from undertow.models.base import LatentDynamics

PRECISION = 1e-5
"""The share of the data's typical speed at which a state has arrived, however much more `tolerance` allows."""
ROUNDING = 4 * float(np.finfo(np.float32).eps)
"""The share of a state's length below which its speed can't be told from zero in float32."""


class FixedPointSearch(Configuration):
    """How fixed points are looked for. The spread of data is the root of their total variance."""

    section: ClassVar[str] = "fixed_points"

    starts: int = Field(1024, ge=1, description="States from which the search begins")
    noise: float = Field(
        0.1, ge=0, description="How far from the data it begins, as a share of the data's spread"
    )
    steps: int = Field(200, ge=1, description="The most steps from one start")
    tolerance: float = Field(
        1e-3,
        gt=0,
        description="The fastest that is kept, as a share of the data's median speed; 0.1 keeps slow points",
    )
    merge: float = Field(0.02, ge=0, description="Closer together, in the data's spread, two are the same")
    near: float = Field(
        1.2, gt=0, description="The furthest that is kept from the nearest data state, in the data's spread"
    )


class FixedPoints(NamedTuple):
    """States that stand still, the slowest first.

    `states` (point, latent); `speeds` (point): |step(z) - z| a bin; `distances` (point): to the nearest data state. Both are in
    units of the data's spread, the root of their total variance.
    """

    states: np.ndarray
    speeds: np.ndarray
    distances: np.ndarray


def find_fixed_points(
    dynamics: LatentDynamics,
    data: np.ndarray,
    *,
    inputs: np.ndarray | None = None,
    search: FixedPointSearch | None = None,
    seed: int = 0,
) -> FixedPoints:
    """The fixed points near `data` (state, latent); no rows where there are none.

    Args:
        dynamics: the model's law.
        data: states of the model while it explained data; those with NaN are left out.
        inputs: (input,) what pushes all the while; nothing by default.
        search: how to look for them.
        seed: draws the starts.

    Raises:
        UndertowError: states or inputs do not fit the dynamics, or the states do not differ.
    """
    search = FixedPointSearch() if search is None else search
    law, region = law_of(dynamics, inputs), region_of(data, dynamics.latents)
    drawn, starts = _draw(region, search, np.random.default_rng(seed))
    typical = float(np.nanmedian(np.linalg.norm(velocities(law, drawn), axis=1)))
    smallest = ROUNDING * float(np.linalg.norm(region.states, axis=1).max())
    goal = max(PRECISION * typical, smallest)
    states, speeds = pursue(law, starts, spread=region.spread, goal=goal, steps=search.steps)
    is_slow = speeds <= max(search.tolerance * typical, goal)
    return _sifted(states[is_slow], speeds[is_slow], region, search)


def _draw(
    region: Region, search: FixedPointSearch, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """States of the data, all different where there are enough, and the starts beside them."""
    total = len(region.states)
    drawn = region.states[generator.choice(total, search.starts, replace=total < search.starts)]
    noise = generator.standard_normal(drawn.shape) * search.noise * region.spread / np.sqrt(drawn.shape[1])
    return drawn, drawn + noise


def _sifted(states: np.ndarray, speeds: np.ndarray, region: Region, search: FixedPointSearch) -> FixedPoints:
    """Those near the data, each once, the slowest first."""
    order = np.argsort(speeds, kind="stable")
    states, speeds = states[order], speeds[order] / region.spread
    kept = _first_of_each(states - region.mean, search.merge * region.spread)
    distances = region.distances(states[kept])
    is_near = distances <= search.near
    return FixedPoints(states[kept][is_near], speeds[kept][is_near], distances[is_near])


def _first_of_each(states: np.ndarray, reach: float) -> np.ndarray:
    """Indices of states, in their order, that are not within `reach` of one that is kept before.

    Not single linkage, which would draw a whole line of fixed points together into one.
    """
    left = np.arange(len(states))
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[squared_distances(states[left[:1]], states[left])[0] > reach**2]
    return np.array(kept, dtype=int)
