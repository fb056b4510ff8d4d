"""A model's latents in the coordinates of the true ones, for latents are only ever found up to such a map.

The map x = z A + c is fitted by least squares to states at the same bins, inferred z and true x. A Jacobian J of the step of z
acts on displacements of z; among displacements of x it is A' J E', with E the way back: from a displacement of x to that of z
which goes with it in the data. Where both have as many dimensions, E is the inverse of A and the eigenvalues stay the same.
Where the model has more, E is fitted as well (x to z), then made to fit A, E A = 1: so dimensions that follow the others are
followed, and those of which the truth knows nothing are left out. Where the model has fewer, J is that of the true dimensions
it has, and the rest is lost.
"""

from typing import NamedTuple

import numpy as np

from undertow.vocabulary import UndertowError

SMALLEST_SHARE = 1e-6
"""Singular values below this share of the largest are rounding, and no direction."""
NEARBY, FEWEST_NEARBY = 0.02, 20
"""The share of all states that is near a place, and the fewest for each parameter of a map."""


class Alignment(NamedTuple):
    """`alignment(states)` maps inferred states to true ones; see the module.

    `kernel` (inferred latent, true latent), `intercept` (true latent), `back` (true latent, inferred latent), and `r2`: the
    share of the true states' variance, over all dimensions together, that the map explains.
    """

    kernel: np.ndarray
    intercept: np.ndarray
    back: np.ndarray
    r2: float

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """Inferred states (..., inferred latent) in the true coordinates (..., true latent)."""
        return np.asarray(states, np.float64) @ self.kernel + self.intercept

    def jacobian(self, jacobians: np.ndarray) -> np.ndarray:
        """Jacobians (..., inferred latent, inferred latent) among the true coordinates (..., true latent, true latent)."""
        return self.kernel.T @ np.asarray(jacobians, np.float64) @ self.back.T


def align(inferred: np.ndarray, true: np.ndarray) -> Alignment:
    """The affine map from inferred (state, latent) to true states (state, other latent) of the same bins; NaN is left out.

    Raises:
        UndertowError: numbers of states differ, or fewer are known than the map has parameters for each true dimension.
    """
    inferred, true = np.asarray(inferred, np.float64), np.asarray(true, np.float64)
    if inferred.ndim != 2 or true.ndim != 2 or len(inferred) != len(true):
        raise UndertowError(
            f"The inferred states have the shape {inferred.shape} and the true ones {true.shape}; give both as (state, latent), "
            "with the same states."
        )
    is_known = np.isfinite(inferred).all(axis=1) & np.isfinite(true).all(axis=1)
    if is_known.sum() <= inferred.shape[1]:
        raise UndertowError(
            f"Only {int(is_known.sum())} states are known on both sides, which does not fix a map from {inferred.shape[1]} "
            "latents; give more bins."
        )
    inferred, true = inferred[is_known], true[is_known]
    mean, true_mean = inferred.mean(axis=0), true.mean(axis=0)
    kernel = _least_squares(inferred - mean, true - true_mean)
    rest = true - true_mean - (inferred - mean) @ kernel
    r2 = 1 - (rest**2).sum() / max(((true - true_mean) ** 2).sum(), np.finfo(float).tiny)
    back = _consistent(_least_squares(true - true_mean, inferred - mean), kernel)
    return Alignment(kernel, true_mean - mean @ kernel, back, float(r2))


def placed_nearby(inferred: np.ndarray, true: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where inferred places lie among the true states, by the map that holds around each of them.

    A map fitted to all states carries the bends of a model's latents elsewhere to where they don't matter; one fitted to the
    nearest 2 % says what the model means there.

    Args:
        inferred: (state, latent).
        true: (state, other latent), of the same bins; NaN is left out.
        places: (place, latent).

    Returns:
        (place, other latent).
    """
    is_known = np.isfinite(inferred).all(axis=1) & np.isfinite(true).all(axis=1)
    inferred, true = inferred[is_known], true[is_known]
    nearby = min(len(inferred), max(round(NEARBY * len(inferred)), FEWEST_NEARBY * (inferred.shape[1] + 1)))
    placed = []
    for place in places:
        nearest = np.argsort(((inferred - place) ** 2).sum(axis=1), kind="stable")[:nearby]
        placed.append(align(inferred[nearest], true[nearest])(place))
    return np.array(placed, np.float64).reshape(len(places), true.shape[1])


def _least_squares(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The map (source dimension, target dimension) of centred rows; the smallest, where several do as well."""
    return np.linalg.lstsq(source, target, rcond=SMALLEST_SHARE)[0]


def _consistent(back: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The way back, scaled so that the smaller space comes back to itself: regressions shrink what they miss."""
    if kernel.shape[0] >= kernel.shape[1]:
        return np.linalg.pinv(back @ kernel, rcond=SMALLEST_SHARE) @ back
    return back @ np.linalg.pinv(kernel @ back, rcond=SMALLEST_SHARE)
