"""What a straight line reads from codes: R2 of each factor on trials left out, and angles between the directions that tell.

    factor = (code - mean) w + b           angle of two factors = arccos |w_1 . w_2| / (|w_1| |w_2|)

No rotation of the codes changes either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeCV

from undertow.evaluation.factors import folds, pooled_r2, targets

ALPHAS = tuple(np.logspace(-3, 4, 15))  # for codes of variance one


class Directions(NamedTuple):
    """Where in the space of codes the factors are told.

    Attributes:
        names: of the factors; an angle has two, its cosine and its sine.
        weights: (code, name), what a code of size one adds to a factor, in the factor's standard deviations.
        degrees: (name, name) from 0 to 90, NaN for a factor that nothing tells.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    degrees: np.ndarray


class Reading(NamedTuple):
    """What a line reads of one factor.

    Attributes:
        values: (trial,) as it is read, in the factor's unit; NaN for trials that the line was fitted to.
        r2: on the trials that were read.
    """

    values: np.ndarray
    r2: float


def linear_r2(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], *, angles: Collection[str] = (), seed: int = 0
) -> dict[str, float]:
    """R2 of each factor from a ridge regression on codes, predicted for trials that were left out (five folds).

    Args:
        codes: (trial, code).
        factors: (trial,) each, by name.
        angles: names of the factors that are angles in radians; cosine and sine are predicted and scored together.
        seed: of the folds.

    Raises:
        UndertowError: see `factors.targets`.
    """
    return {name: reading.r2 for name, reading in readings(codes, factors, angles=angles, seed=seed).items()}


def readings(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    angles: Collection[str] = (),
    is_fitted: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Reading]:
    """Each factor as ridge regression reads it from the codes of trials that it was not fitted to.

    Args:
        codes: (trial, code).
        factors: (trial,) each, by name.
        angles: names of the factors that are angles in radians.
        is_fitted: (trial,) bool, the trials to fit to; all others are read. Five folds of all trials if not given.
        seed: of the folds.

    Raises:
        UndertowError: see `factors.targets`.
    """
    known = targets(codes, factors, angles)
    everything = np.concatenate(known.columns, axis=1)
    prediction = np.full_like(everything, np.nan)
    parts = (
        folds(len(codes), seed)
        if is_fitted is None
        else [(np.flatnonzero(is_fitted), np.flatnonzero(~is_fitted))]
    )
    for fitted, tested in parts:
        standard = _standardised(codes, codes[fitted])
        prediction[tested] = (
            _ridge(standard[fitted], everything[fitted]).predict(standard[tested]).reshape(len(tested), -1)
        )
    is_read = np.isfinite(prediction[:, 0])
    ends = np.cumsum([columns.shape[1] for columns in known.columns])[:-1]
    return {
        name: Reading(
            _in_its_unit(guess, np.asarray(factors[name], np.float64), is_angle=name in angles),
            pooled_r2(guess[is_read], columns[is_read]),
        )
        for name, guess, columns in zip(
            known.names, np.split(prediction, ends, axis=1), known.columns, strict=True
        )
    }


def directions(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], *, angles: Collection[str] = ()
) -> Directions:
    """The directions in which ridge regression reads the factors from codes, and the angles between them.

    Codes are not standardised, so that a rotation of them turns all directions alike. Arguments as for `linear_r2`.
    """
    known = targets(codes, factors, angles)
    names = tuple(
        f"{name}_{part}" if part else name
        for name, columns in zip(known.names, known.columns, strict=True)
        for part in (("",) if columns.shape[1] == 1 else ("cos", "sin"))
    )
    centred = np.asarray(codes, np.float64) - np.mean(codes, axis=0)
    scale = centred.std() or 1.0
    fitted = _ridge(centred / scale, np.concatenate(known.columns, axis=1))
    weights = fitted.coef_.reshape(len(names), -1).T / scale
    size = np.linalg.norm(weights, axis=0)
    unit = weights / np.where(size > 0, size, np.nan)
    return Directions(names, weights, np.degrees(np.arccos(np.minimum(np.abs(unit.T @ unit), 1))))


def _in_its_unit(standard: np.ndarray, values: np.ndarray, *, is_angle: bool) -> np.ndarray:
    """Standardised columns as `factors.targets` makes them, back as (trial,) values; angles from -pi to pi."""
    columns = np.stack([np.cos(values), np.sin(values)] if is_angle else [values], axis=1)
    told = standard * columns.std(axis=0) + columns.mean(axis=0)
    return np.arctan2(told[:, 1], told[:, 0]) if is_angle else told[:, 0]


def _standardised(codes: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    spread = np.std(fitted, axis=0, dtype=np.float64)
    return (np.asarray(codes, np.float64) - np.mean(fitted, axis=0)) / np.where(spread > 0, spread, 1)


def _ridge(codes: np.ndarray, columns: np.ndarray) -> RidgeCV:
    return RidgeCV(ALPHAS, alpha_per_target=True).fit(codes, columns)
