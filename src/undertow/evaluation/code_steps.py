"""Steps of a code that change one behaviour and leave the others: from a linear read-out of behaviour, and the codes' covariance.

With codes c (trial, L) and standardised behaviours y (trial, K), read as y = c W + b (ridge), the step of a code that changes the
read-outs by dy and nothing else is

    dc = dy (W^T S W)^-1 W^T S          S = the codes' covariance: among all such steps the likeliest under the codes' own spread
    dc = dy (W^T W)^-1 W^T              the shortest (minimum norm), with S = 1

so that read-outs of behaviours whose dy is 0 stay as they are, exactly. An angle is a pair of behaviours, its cosine and sine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from undertow.vocabulary import UndertowError

RIDGE = 1e-3
SMALLEST_SPREAD = 1e-9


@dataclass(frozen=True)
class CodeSteps:
    """A read-out of behaviours from codes, and the steps that it allows.

    Attributes:
        names: of the behaviours, each once.
        angles: those of them that are angles, in radians.
        columns: which columns of the read-out belong to each behaviour.
        weights: (code_dimension, column), of columns in their own units.
        offset: (column,).
        mean: (code_dimension,) of the training codes.
        covariance: (code_dimension, code_dimension) of the training codes.
        farthest: the largest Mahalanobis distance of a training code from their mean.
        r2: of each behaviour's read-out, on the trials it was fitted to.
    """

    names: tuple[str, ...]
    angles: frozenset[str]
    columns: Mapping[str, slice]
    weights: np.ndarray
    offset: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    farthest: float
    r2: Mapping[str, float]

    def read(self, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Each behaviour (trial,) as the read-out says it; an angle in radians."""
        columns = codes @ self.weights + self.offset
        found = {}
        for name in self.names:
            part = columns[:, self.columns[name]]
            found[name] = np.arctan2(part[:, 1], part[:, 0]) if name in self.angles else part[:, 0]
        return found

    def moved(
        self, codes: np.ndarray, wanted: Mapping[str, np.ndarray], *, shortest: bool = False
    ) -> np.ndarray:
        """Codes (trial, code_dimension) whose read-outs of `wanted` are these (trial,), and of all else what they were.

        Raises:
            UndertowError: a behaviour that is not among the read-outs.
        """
        change = np.zeros((len(codes), self.weights.shape[1]))
        now = codes @ self.weights + self.offset
        for name, values in wanted.items():
            if name not in self.columns:
                raise UndertowError(
                    f"'{name}' is not among the behaviours that are read from codes ({', '.join(self.names)}); name one of them."
                )
            values = np.broadcast_to(np.asarray(values, float), len(codes))
            goal = (
                np.stack([np.cos(values), np.sin(values)], axis=1) if name in self.angles else values[:, None]
            )
            change[:, self.columns[name]] = goal - now[:, self.columns[name]]
        spread = np.eye(len(self.mean)) if shortest else self.covariance
        gain = np.linalg.pinv(self.weights.T @ spread @ self.weights) @ self.weights.T @ spread
        return codes + change @ gain

    def distance(self, codes: np.ndarray) -> np.ndarray:
        """(trial,) how far codes are from the training codes' mean, in their standard deviations (Mahalanobis)."""
        away = codes - self.mean
        return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, np.linalg.pinv(self.covariance), away), 0.0))


def fit_steps(
    codes: np.ndarray, behaviours: Mapping[str, np.ndarray], *, angles: Collection[str] = ()
) -> CodeSteps:
    """The read-out of behaviours (trial,) from training codes (trial, code_dimension), by ridge regression.

    Raises:
        UndertowError: no behaviour, one that does not vary or is not finite, or more columns than a code has dimensions.
    """
    codes = np.asarray(codes, float)
    parts, columns, start = [], {}, 0
    for name, values in behaviours.items():
        values = np.asarray(values, float)
        if values.shape != (len(codes),) or not np.isfinite(values).all() or np.ptp(values) < SMALLEST_SPREAD:
            raise UndertowError(
                f"The behaviour '{name}' can't be read from codes: it must have one finite value for each of the "
                f"{len(codes)} trials, and "
                "vary; leave it out."
            )
        part = np.stack([np.cos(values), np.sin(values)], axis=1) if name in angles else values[:, None]
        columns[name] = slice(start, start + part.shape[1])
        parts, start = [*parts, part], start + part.shape[1]
    if not 1 <= start <= codes.shape[1]:
        raise UndertowError(
            f"{len(parts)} behaviours take {start} columns, but a code has {codes.shape[1]} dimensions, too few "
            f"to move one and keep the "
            "others; name fewer behaviours to keep, or fit with a larger code."
        )
    targets = np.concatenate(parts, axis=1)
    mean, spread = codes.mean(0), np.maximum(codes.std(0), SMALLEST_SPREAD)
    design, centre = (codes - mean) / spread, targets.mean(0)
    gram = design.T @ design + RIDGE * len(codes) * np.eye(codes.shape[1])
    weights = np.linalg.solve(gram, design.T @ (targets - centre)) / spread[:, None]
    steps = CodeSteps(
        tuple(columns),
        frozenset(set(angles) & set(columns)),
        columns,
        weights,
        centre - mean @ weights,
        mean,
        np.cov(codes.T).reshape(codes.shape[1], -1),
        0.0,
        _r2(codes @ weights, targets, columns),
    )
    return CodeSteps(**{**steps.__dict__, "farthest": float(steps.distance(codes).max())})


def independent(
    behaviours: Mapping[str, np.ndarray], first: Sequence[str], angles: Collection[str], limit: float = 0.8
) -> list[str]:
    """`first`, and those of the other behaviours, in order, that a line can't read from the ones before to an R2 of `limit`.

    So that a target that is a start plus a reach does not hold the reach fast.
    """
    chosen, design = [], None
    for name in [*first, *(name for name in behaviours if name not in first)]:
        values = np.asarray(behaviours[name], float)
        part = np.stack([np.cos(values), np.sin(values)], axis=1) if name in angles else values[:, None]
        part = (part - part.mean(0)) / np.maximum(part.std(0), SMALLEST_SPREAD)
        if design is not None and name not in first:
            fit = design @ np.linalg.lstsq(design, part, rcond=None)[0]
            if 1 - ((part - fit) ** 2).sum() / max((part**2).sum(), SMALLEST_SPREAD) > limit:
                continue
        chosen.append(name)
        design = part if design is None else np.concatenate([design, part], axis=1)
    return chosen


def _r2(explained: np.ndarray, targets: np.ndarray, columns: Mapping[str, slice]) -> dict[str, float]:
    away = targets - targets.mean(0)
    left = away - (explained - explained.mean(0))
    return {
        name: float(1 - (left[:, part] ** 2).sum() / max((away[:, part] ** 2).sum(), SMALLEST_SPREAD))
        for name, part in columns.items()
    }
