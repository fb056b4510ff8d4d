"""Codes beside what is known about each trial: checked arrays, angles as pairs, folds.

Factors come by name, (trial,) each. An angle, in radians, is no number to be regressed, for -pi and pi are one direction: it
is told by its cosine and its sine together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from undertow.evaluation.r2 import r2
from undertow.vocabulary import UndertowError, closest

FOLDS = 5
SMALLEST_SPREAD = 1e-9  # of a factor, relative to its size: what varies less is constant


class Targets(NamedTuple):
    """What is to be read from codes.

    Attributes:
        names: of the factors.
        columns: for each factor (trial, 1), or (trial, 2) for an angle, each column with mean 0 and variance 1.
    """

    names: tuple[str, ...]
    columns: tuple[np.ndarray, ...]


def targets(codes: np.ndarray, factors: Mapping[str, np.ndarray], angles: Collection[str] = ()) -> Targets:
    """The factors as regression targets, after a look at both sides.

    Args:
        codes: (trial, code).
        factors: (trial,) each, by name.
        angles: names of the factors that are angles, in radians.

    Raises:
        UndertowError: shapes that differ, values that are no finite numbers, factors that are constant, unknown angles, or too
            few trials to leave some out.
    """
    if np.ndim(codes) != 2 or len(codes) < 2 * FOLDS:
        raise UndertowError(
            f"The codes have the shape {np.shape(codes)}, but must be (trial, code) with at least {2 * FOLDS} trials."
        )
    if not np.isfinite(codes).all():
        raise UndertowError(
            f"{int((~np.isfinite(codes)).any(axis=1).sum())} of {len(codes)} trials have codes that are no finite numbers; "
            "leave these trials out."
        )
    for name in angles:
        if name not in factors:
            raise UndertowError(f"The angle '{name}' is no factor; {closest(name, factors)}")
    if not factors:
        raise UndertowError("No factor was given; pass what is known about each trial, by name.")
    columns = tuple(
        _columns(name, np.asarray(values, np.float64), len(codes), is_angle=name in angles)
        for name, values in factors.items()
    )
    return Targets(tuple(factors), columns)


def folds(trials: int, seed: int, number: int = FOLDS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Trials to fit and trials to test on, `number` times, after a shuffle."""
    shuffled = np.random.default_rng(seed).permutation(trials)
    for part in np.array_split(shuffled, number):
        yield np.setdiff1d(shuffled, part), part


def pooled_r2(prediction: np.ndarray, truth: np.ndarray) -> float:
    """R2 over all columns of a factor, (trial, column) each."""
    return r2(prediction.reshape(truth.shape), truth).variance_weighted


def _columns(name: str, values: np.ndarray, trials: int, *, is_angle: bool) -> np.ndarray:
    if values.shape != (trials,):
        raise UndertowError(
            f"The factor '{name}' has the shape {values.shape}, but there are {trials} codes; give one value for each trial."
        )
    if not np.isfinite(values).all():
        raise UndertowError(
            f"The factor '{name}' is not known in {int((~np.isfinite(values)).sum())} of {trials} trials; leave these out."
        )
    columns = np.stack([np.cos(values), np.sin(values)] if is_angle else [values], axis=1)
    centred = columns - columns.mean(axis=0)
    spread = centred.std(axis=0)
    if (spread <= SMALLEST_SPREAD * (1 + np.abs(columns).max())).all():
        raise UndertowError(
            f"The factor '{name}' is {values[0]:g} in every trial, so nothing can tell it; leave it out."
        )
    return centred / np.where(spread > 0, spread, 1)
