"""Dynamical similarity analysis: whether two systems move alike, whatever coordinates their states are seen in.

Geometry can agree where dynamics do not, and the reverse. Each system's states are stacked with those of the bins before
(delays), which unfolds what one bin does not show; in the principal axes of these, all scaled to one variance, the best linear
map from bin to bin is fitted (dynamic mode decomposition). Two such maps A and B, (rank, rank), are compared at the rotation
that makes them most alike::

    angle = min over orthogonal C of arccos( <A, C B C'> / (|A| |B|) )         0 (alike) to pi, radians
    frobenius = min over orthogonal C of |A - C B C'|

(Ostrow, Eisen, Kozachkov and Fiete, "Beyond geometry", NeurIPS 2023; eq. 6.) There the minimum is approached by gradient
descent on a parametrised C. Here each step takes the orthogonal matrix closest to the gradient plus a multiple of C, large
enough to make the function convex: so every step goes up, there is no learning rate, and C may pass between rotations and
reflections. Starts are the bases in which each system's modes are sorted, and some at random; the same from either side, so
that the result is symmetric.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from undertow.vocabulary import UndertowError

SMALLEST_SHARE = 1e-5
"""Principal axes with a standard deviation below this share of the first's are rounding of float32, and not used."""
STEPS, ENOUGH = 2000, 1e-9
"""Steps from a start, and the gain in the cosine at which they end."""


def dynamical_similarity(
    first: np.ndarray,
    second: np.ndarray,
    *,
    delays: int = 20,
    rank: int = 50,
    distance: Literal["angle", "frobenius"] = "angle",
    starts: int = 2,
    seed: int = 0,
) -> float:
    """How far two systems' dynamics are apart: 0 if alike, in radians (or as a matrix norm).

    Args:
        first: (trial, time, dimension) states of one system; trials with NaN are left out.
        second: of the other; trials, bins and dimensions may differ in number.
        delays: bins that are stacked.
        rank: principal axes; fewer where the states of either system have fewer.
        distance: "angle", or "frobenius" for the norm of the difference.
        starts: pairs of random ones beside those from the sorted modes.
        seed: draws them.

    Raises:
        UndertowError: trials are not longer than the delays, or a system does not move.
    """
    maps = [_linear_map(states, delays, rank) for states in (first, second)]
    # The first axes of a map are the map of the first axes, for they are of one variance and uncorrelated.
    shared = min(len(each) for each in maps)
    maps = [each[:shared, :shared] for each in maps]
    norms = [np.linalg.norm(each) for each in maps]
    inner = _largest_product(*maps, starts=starts, generator=np.random.default_rng(seed))
    if distance == "frobenius":
        return float(np.sqrt(max(norms[0] ** 2 + norms[1] ** 2 - 2 * inner, 0)))
    return float(np.arccos(np.clip(inner / (norms[0] * norms[1]), -1, 1)))


def _linear_map(states: np.ndarray, delays: int, rank: int) -> np.ndarray:
    """The best linear map from bin to bin (axis, axis) of delay vectors, in their principal axes, scaled to one variance."""
    same, later = _moments(_reduced(_whole(states, delays), rank), delays)
    variances, axes = np.linalg.eigh(same)
    variances, axes = variances[::-1], axes[:, ::-1]
    is_used = variances > SMALLEST_SHARE**2 * variances[0]
    is_used[rank:] = False
    scaled = axes[:, is_used] / np.sqrt(variances[is_used])
    return (scaled.T @ later @ scaled).T


def _whole(states: np.ndarray, delays: int) -> np.ndarray:
    """The trials without NaN, centred.

    Raises:
        UndertowError: see `dynamical_similarity`.
    """
    states = np.asarray(states, np.float64)
    if states.ndim != 3 or states.shape[1] <= delays:
        raise UndertowError(
            f"The states have the shape {states.shape}, but must be (trial, time, dimension) with more bins than the {delays} "
            "delays; lower delays or give longer trials."
        )
    states = states[np.isfinite(states).all(axis=(1, 2))]
    if not len(states) or not np.ptp(states, axis=(0, 1)).any():
        raise UndertowError(
            f"The states of {len(states)} trials without NaN do not move, so there are no dynamics to compare; give others."
        )
    return states - states.mean(axis=(0, 1))


def _reduced(states: np.ndarray, rank: int) -> np.ndarray:
    """States (trial, time, dimension) in their first principal axes, where they have more dimensions than that."""
    if states.shape[-1] <= rank:
        return states
    rows = states.reshape(-1, states.shape[-1])
    return states @ np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :rank]


def _moments(states: np.ndarray, delays: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over bins of products of delay vectors: with themselves, and with those one bin later; trial by trial."""
    same, later = 0.0, 0.0
    for trial in states:
        stacked = np.lib.stride_tricks.sliding_window_view(trial, delays, axis=0).reshape(
            len(trial) - delays + 1, -1
        )
        same = same + stacked[:-1].T @ stacked[:-1]
        later = later + stacked[:-1].T @ stacked[1:]
    return same, later


def _largest_product(
    first: np.ndarray, second: np.ndarray, starts: int, generator: np.random.Generator
) -> float:
    """The largest <first, C second C'> over orthogonal C that is found."""
    return max(_ascended(first, second, start) for start in _starts(first, second, starts, generator))


def _starts(
    first: np.ndarray, second: np.ndarray, starts: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Orthogonal matrices to begin with; for (second, first) they are the transposes of those for (first, second)."""
    for basis in (_own_axes, _sorted_modes, _sorted_sizes):
        left, right = basis(first), basis(second)
        yield left * _signs(left.T @ first @ left, right.T @ second @ right) @ right.T
    for _ in range(starts):
        drawn = np.linalg.qr(generator.standard_normal(first.shape))[0]
        yield drawn
        yield drawn.T


def _own_axes(matrix: np.ndarray) -> np.ndarray:
    """The axes as they are: principal axes of systems that are alike agree up to signs."""
    return np.eye(len(matrix))


def _sorted_modes(matrix: np.ndarray) -> np.ndarray:
    """An orthonormal basis that makes a matrix block-triangular, its eigenvalues from the largest to the smallest."""
    values, vectors = np.linalg.eig(matrix)
    order = [index for index in np.argsort(-np.abs(values), kind="stable") if values[index].imag >= 0]
    columns = [part for index in order for part in _real_parts(values[index], vectors[:, index])]
    return np.linalg.qr(np.stack(columns, axis=1))[0]


def _real_parts(value: complex, vector: np.ndarray) -> list[np.ndarray]:
    return [vector.real] if value.imag == 0 else [vector.real, vector.imag]


def _sorted_sizes(matrix: np.ndarray) -> np.ndarray:
    """The principal axes of a matrix's symmetric part, from the largest to the smallest."""
    return np.linalg.eigh(matrix + matrix.T)[1][:, ::-1]


def _signs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Signs s (axis,) that make s_i s_j second_ij agree with first_ij: those of the leading axis of their products."""
    agreement = first * second
    leading = np.linalg.eigh(agreement + agreement.T)[1][:, -1]
    return np.where(leading < 0, -1.0, 1.0)


def _ascended(first: np.ndarray, second: np.ndarray, start: np.ndarray) -> float:
    """<first, C second C'> at the top of the hill on which `start` lies."""
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    # With this much of C added to the gradient, the function it belongs to is convex, and a step can't go down.
    safe = np.linalg.norm(first, 2) * np.linalg.norm(second, 2)
    turn, share = start, 1.0
    product = np.sum(first * (turn @ second @ turn.T))
    for _ in range(STEPS):
        slope = first @ turn @ second.T + first.T @ turn @ second
        left, _, right = np.linalg.svd(slope + 2 * share * safe * turn)
        candidate = left @ right
        reached = np.sum(first * (candidate @ second @ candidate.T))
        if reached < product and share < 1:
            share = 1.0
            continue
        gained, product, turn = reached - product, reached, candidate
        share /= 2
        if gained < ENOUGH * scale:
            break
    return product
