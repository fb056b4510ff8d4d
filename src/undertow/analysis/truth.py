"""A model's fixed points beside those of the system that made the data, where that is known.

Rates can be right while the dynamics are not. So the true system's fixed points are looked for among the model's, mapped into
the true coordinates: is there one at the same place, of the same kind, with the same eigenvalues? And does the model have
others? Of true points far from every trajectory no model can know; they are not expected.

    true = true_side(system.fixed_points, system.jacobian(system.fixed_points), true_latents, bin_width=0.01)
    linear, alignment = linearise(dynamics, points.states, bin_width=0.01), align(latents, true_latents)
    compare(points, linear, alignment, true, states=(latents, true_latents))
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from undertow.analysis.alignment import Alignment, placed_nearby
from undertow.analysis.fixed_points import FixedPoints
from undertow.analysis.linearisation import Linearisation, kind_of, of_jacobians
from undertow.analysis.region import region_of, squared_distances

CLOSE = 0.5
"""In units of the attractor's standard deviation: a found point further from every true one is none of them."""


class TrueSide(NamedTuple):
    """The true system's fixed points.

    `states` (point, latent); `growth` (point, latent) complex, 1/s; `kinds` one a point; `distances` (point) to the nearest
    true state of the data, in units of their spread (see `region.py`); `scale` the attractor's standard deviation: the root of
    the mean variance over dimensions.
    """

    states: np.ndarray
    growth: np.ndarray
    kinds: list[str]
    distances: np.ndarray
    scale: float


class Comparison(NamedTuple):
    """For each true fixed point in the data's region, the nearest one that was found.

    `expected` (row): which true point; `found` (row): which found one, -1 if none was found; `distances` (row) between them in
    units of the attractor's standard deviation; `nearby_distances` (row): the same, after the map that holds around the found
    one (`placed_nearby`) in place of that of all states; `same_kind` (row); `growth` (row, latent) complex, 1/s, of the found
    one among the true coordinates, matched to the true one's; `eigenvalue_errors` (row, latent): |difference| in 1/s;
    `relative_errors` (row): the largest of them over the largest |growth| of the true point; `kinds` one a found point, among
    the true coordinates; `strays`: the found points that are no true one's (not the nearest to any within half a standard
    deviation). NaN and False where none was found.
    """

    expected: np.ndarray
    found: np.ndarray
    distances: np.ndarray
    nearby_distances: np.ndarray
    same_kind: np.ndarray
    growth: np.ndarray
    eigenvalue_errors: np.ndarray
    relative_errors: np.ndarray
    kinds: list[str]
    strays: np.ndarray


def true_side(
    fixed_points: np.ndarray, jacobians: np.ndarray, data: np.ndarray, *, bin_width: float
) -> TrueSide:
    """What a comparison needs of the true system.

    Args:
        fixed_points: (point, latent) all that are known.
        jacobians: (point, latent, latent) of the system's velocity there, per bin.
        data: (state, latent) true states of the data, in the same coordinates.
        bin_width: seconds a bin.

    Raises:
        UndertowError: the data do not fit the fixed points, or do not differ.
    """
    fixed_points = np.asarray(fixed_points, np.float64)
    region = region_of(data, fixed_points.shape[1])
    growth = np.linalg.eigvals(np.asarray(jacobians, np.float64)).astype(np.complex128) / bin_width
    return TrueSide(
        states=fixed_points,
        growth=growth,
        kinds=[kind_of(each) for each in growth],
        distances=region.distances(fixed_points),
        scale=region.spread / np.sqrt(fixed_points.shape[1]),
    )


def compare(
    points: FixedPoints,
    linear: Linearisation,
    alignment: Alignment,
    true: TrueSide,
    *,
    states: tuple[np.ndarray, np.ndarray],
    near: float = 1.2,
) -> Comparison:
    """The true fixed points no further than `near` (in the data's spread) from the data, beside the nearest found ones.

    `states` are the inferred (state, latent) and the true ones (state, other latent) to which `alignment` was fitted.
    """
    mapped = of_jacobians(alignment.jacobian(linear.jacobians), bin_width=linear.bin_width)
    gaps = np.sqrt(squared_distances(true.states, alignment(points.states))) / true.scale
    expected = np.flatnonzero(true.distances <= near)
    strays = _strays(gaps)
    if not len(points.states):
        return _nothing_found(expected, true, strays)
    found = gaps[expected].argmin(axis=1)
    nearby = placed_nearby(*states, points.states[found])
    pairs = list(zip(expected, found, strict=True))
    growth = [_matched(mapped.growth[there], true.growth[here]) for here, there in pairs]
    growth = np.array(growth, np.complex128).reshape(len(pairs), true.states.shape[1])
    errors = np.abs(growth - true.growth[expected])
    return Comparison(
        expected=expected,
        found=found,
        distances=gaps[expected, found],
        nearby_distances=np.linalg.norm(nearby - true.states[expected], axis=1) / true.scale,
        same_kind=np.array([mapped.kinds[there] == true.kinds[here] for here, there in pairs], bool),
        growth=growth,
        eigenvalue_errors=errors,
        relative_errors=errors.max(axis=1) / np.abs(true.growth[expected]).max(axis=1),
        kinds=mapped.kinds,
        strays=strays,
    )


def _strays(gaps: np.ndarray) -> np.ndarray:
    """Found points that are no true one's nearest, or not close to it, from the distances (true point, found point)."""
    true, found = gaps.shape
    if not found or not true:
        return np.arange(found)
    nearest = gaps.argmin(axis=1)
    is_close = gaps[np.arange(true), nearest] <= CLOSE
    return np.setdiff1d(np.arange(found), nearest[is_close])


def _matched(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """The found eigenvalues in the order of the true ones, so that they differ least."""
    _, order = linear_sum_assignment(np.abs(true[:, None] - found[None, :]))
    return found[order]


def _nothing_found(expected: np.ndarray, true: TrueSide, strays: np.ndarray) -> Comparison:
    rows = len(expected)
    unknown = np.full((rows, true.states.shape[1]), np.nan)
    return Comparison(
        expected=expected,
        found=np.full(rows, -1),
        distances=np.full(rows, np.nan),
        nearby_distances=np.full(rows, np.nan),
        same_kind=np.zeros(rows, bool),
        growth=unknown.astype(np.complex128),
        eigenvalue_errors=unknown,
        relative_errors=np.full(rows, np.nan),
        kinds=[],
        strays=strays,
    )
