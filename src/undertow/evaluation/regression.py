"""Linear and ridge regression from sums of products, so that any number of rows fits into memory.

`Moments` of the rows (x, y) can be added up chunk by chunk, fold by fold, and subtracted again; the weights
and the R2 of a linear map follow from them alone. The solution is that of scikit-learn's `Ridge`: squared
error plus alpha times the squared weights, the intercept not penalised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SMALLEST_EIGENVALUE = 1e-11  # of the products of x, relative to the largest: no direction below it


@dataclass(frozen=True)
class Moments:
    """Count, sums and products of rows z = (x, y), measured from `origin`.

    Attributes:
        rows: how many.
        total: (columns,) sum of z - origin.
        products: (columns, columns) sum of (z - origin)(z - origin)^T.
        origin: (columns,) a point near the data, which keeps the sums accurate.
        inputs: how many of the columns are x; the rest is y.
    """

    rows: int
    total: np.ndarray
    products: np.ndarray
    origin: np.ndarray
    inputs: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.rows + other.rows,
            self.total + other.total,
            self.products + other.products,
            self.origin,
            self.inputs,
        )

    def __sub__(self, other: Moments) -> Moments:
        return Moments(
            self.rows - other.rows,
            self.total - other.total,
            self.products - other.products,
            self.origin,
            self.inputs,
        )

    @property
    def mean(self) -> np.ndarray:
        """(columns,) the mean of z."""
        return self.origin + self.total / self.rows

    @property
    def scatter(self) -> np.ndarray:
        """(columns, columns) the products of the deviations from the mean."""
        return self.products - np.outer(self.total, self.total) / self.rows


@dataclass(frozen=True)
class LinearMap:
    """y = x weights + intercept, with weights (input, output) and intercept (output,)."""

    weights: np.ndarray
    intercept: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weights + self.intercept


def no_rows(origin: np.ndarray, inputs: int) -> Moments:
    """The moments of nothing, to which others are added."""
    columns = len(origin)
    return Moments(0, np.zeros(columns), np.zeros((columns, columns)), np.asarray(origin, np.float64), inputs)


def moments(x: np.ndarray, y: np.ndarray, origin: np.ndarray) -> Moments:
    """The moments of the rows x (row, input) and y (row, output)."""
    deviations = np.concatenate([x, y], axis=1, dtype=np.float64) - origin
    return Moments(len(x), deviations.sum(axis=0), deviations.T @ deviations, origin, x.shape[1])


def moments_of(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Moments:
    """The moments of all chunks (x, y) together, about the mean of the first that has rows.

    Rows with a NaN in x or y are left out. At least one chunk is needed.
    """
    total = None
    for x, y in chunks:
        known = complete_rows(x, y)
        if total is None or (total.rows == 0 and known.any()):
            joint = np.concatenate([x[known], y[known]], axis=1, dtype=np.float64)
            origin = joint.mean(axis=0) if len(joint) else np.zeros(joint.shape[1])
            total = no_rows(origin, x.shape[1])
        total = total + moments(x[known], y[known], total.origin)
    return total


def complete_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(row,) bool: true where neither x nor y has a NaN."""
    return ~(np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1))


def fit(known: Moments, alpha: float = 0.0) -> LinearMap:
    """The ridge regression of y on x; least squares with alpha 0, by the smallest weights if x is collinear."""
    inputs, scatter, mean = known.inputs, known.scatter, known.mean
    gram, cross = scatter[:inputs, :inputs], scatter[:inputs, inputs:]
    if alpha > 0:
        weights = np.linalg.solve(gram + alpha * np.eye(inputs), cross)
    else:
        weights = np.linalg.lstsq(gram, cross, rcond=SMALLEST_EIGENVALUE)[0]
    return LinearMap(weights, mean[inputs:] - mean[:inputs] @ weights)


def r2_from(linear_map: LinearMap, rows: Moments) -> np.ndarray:
    """R2 of each output of `linear_map` on rows known by their moments; NaN where an output is constant."""
    inputs, origin = rows.inputs, rows.origin
    residual = np.vstack([-linear_map.weights, np.eye(linear_map.weights.shape[1])])
    offset = origin[inputs:] - linear_map(origin[:inputs])
    error = np.einsum("io,ij,jo->o", residual, rows.products, residual)
    error += 2 * offset * (rows.total @ residual) + rows.rows * offset**2
    variation = np.diag(rows.scatter)[inputs:]
    return 1 - np.divide(error, variation, out=np.full_like(error, np.nan), where=variation > 0)
