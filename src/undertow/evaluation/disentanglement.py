"""Do codes tell the factors of a trial apart: DCI, the mutual information gap, and both after rotations.

    R_ij = importance of code i for factor j          P_ij = R_ij / sum_j R_ij          Q_ij = R_ij / sum_i R_ij
    D_i = 1 - H(P_i.) / ln K      C_j = 1 - H(Q_.j) / ln L      I_j = R2 of factor j from all codes, on trials left out

A code is disentangled (D) if it serves one factor, a factor is complete (C) if one code serves it; codes weigh by the
importance they have, factors by that which they receive (Eastwood and Williams 2018). Importances are those of a forest of
regression trees for each factor, as continuous behaviour needs.

A prior that knows no directions, such as a normal one, leaves the axes of a code to chance: the same information in turned
axes has a low D. Read D on the raw axes beside D after PCA and ICA, and beside `linear_readout`, which no rotation changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import FastICA
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning

from undertow.evaluation.factors import FOLDS, folds, pooled_r2, targets

TREES = 30
DEPTH = 8
LEAF = 5  # trials at least in a leaf: deeper trees find a use for every code
BINS = 20  # of a code and of a factor, for mutual information
SMALLEST_DIRECTION = 1e-9  # of the codes' spread, relative to the largest: no direction below it


class DCI(NamedTuple):
    """How codes and factors belong together.

    Attributes:
        disentanglement: D, from 0 to 1.
        completeness: C, from 0 to 1.
        informativeness: the mean of I over factors; at most 1, about 0 for codes that tell nothing.
        factors: names.
        importance: R, (code, factor), the mean over folds; a column sums to 1, or to 0 where no code is of use.
        r2: I, (factor,).
    """

    disentanglement: float
    completeness: float
    informativeness: float
    factors: tuple[str, ...]
    importance: np.ndarray
    r2: np.ndarray


def dci(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    angles: Collection[str] = (),
    trees: int = TREES,
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness of codes, in the form for continuous factors.

    Args:
        codes: (trial, code).
        factors: (trial,) each, by name.
        angles: names of the factors that are angles in radians; their cosine and sine are one factor.
        trees: in a forest.
        seed: of forests and folds.

    Raises:
        UndertowError: see `factors.targets`.
    """
    known = targets(codes, factors, angles)
    codes = np.asarray(codes, np.float64)
    importance, scores = np.zeros((codes.shape[1], len(known.names))), np.zeros(len(known.names))
    for index, columns in enumerate(known.columns):
        prediction = np.zeros_like(columns)
        for fitted, tested in folds(len(codes), seed):
            forest = _forest(codes[fitted], columns[fitted], trees, seed)
            importance[:, index] += forest.feature_importances_ / FOLDS
            prediction[tested] = forest.predict(codes[tested]).reshape(len(tested), -1)
        scores[index] = pooled_r2(prediction, columns)
    return DCI(
        disentanglement=concentration(importance),
        completeness=concentration(importance.T),
        informativeness=float(scores.mean()),
        factors=known.names,
        importance=importance,
        r2=scores,
    )


def concentration(importance: np.ndarray) -> float:
    """1 - the entropy of each row over that of an even row, averaged with the rows' sums as weights.

    1 if every row has one entry that counts (or there is one column alone), 0 if all rows are even, or all zero.
    """
    total = importance.sum(axis=1)
    if not total.sum() > 0:
        return 0.0
    share = importance / np.where(total > 0, total, 1)[:, None]
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    even = np.log(max(importance.shape[1], 2))
    return float(np.average(1 - entropy / even, weights=total))


def pca(codes: np.ndarray, seed: int = 0) -> np.ndarray:  # noqa: ARG001 - rotations share their arguments
    """Codes in the axes of their principal components, (trial, component), of variance one; directions without any go."""
    centred = np.asarray(codes, np.float64) - np.mean(codes, axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    kept = size > SMALLEST_DIRECTION * max(size[0], np.finfo(float).tiny)
    return left[:, kept] * np.sqrt(len(codes)) if kept.any() else centred


def ica(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Codes in the axes of their independent components, (trial, component): those that are furthest from normal."""
    components = pca(codes)
    if components.shape[1] < 2 or not components.any():
        return components
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of normal codes no direction is the right one
        return FastICA(whiten="unit-variance", random_state=seed, max_iter=500).fit_transform(components)


ROTATIONS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "raw": lambda codes, _: np.asarray(codes, np.float64),
    "pca": pca,
    "ica": ica,
}


def dci_of_rotations(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    angles: Collection[str] = (),
    trees: int = TREES,
    seed: int = 0,
) -> dict[str, DCI]:
    """`dci` on the raw axes and in those of PCA and ICA: "raw", "pca", "ica". Arguments as there."""
    targets(codes, factors, angles)
    return {
        name: dci(rotate(codes, seed), factors, angles=angles, trees=trees, seed=seed)
        for name, rotate in ROTATIONS.items()
    }


def mutual_information_gap(
    codes: np.ndarray, factors: Mapping[str, np.ndarray], *, angles: Collection[str] = (), bins: int = BINS
) -> float:
    """How much more the best code tells of a factor than the second does, in the factor's entropies; the mean over factors.

    Codes and factors are cut into `bins` of equal numbers of trials; few trials a bin raise all information alike, and not
    the gap (Chen et al. 2018).

    Args:
        codes: (trial, code).
        factors: (trial,) each, by name; an angle is cut as it is.
        angles: names of the factors that are angles in radians.
        bins: of each.
    """
    targets(codes, factors, angles)
    cut_codes = [_cut(column, bins) for column in np.asarray(codes, np.float64).T]
    gaps = []
    for values in factors.values():
        factor = _cut(np.asarray(values, np.float64), bins)
        told = sorted([0.0, *(mutual_information(code, factor) for code in cut_codes)])
        gaps.append((told[-1] - told[-2]) / mutual_information(factor, factor))
    return float(np.mean(gaps))


def mutual_information(one: np.ndarray, other: np.ndarray) -> float:
    """Nats that two sequences of labels 0, 1, 2, ... share, (trial,) int each; of a sequence with itself, its entropy."""
    joint = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(joint, (one, other), 1 / len(one))
    alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / alone[there])).sum())


def _cut(values: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each value, (trial,) int, with edges at quantiles."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="left")


def _forest(codes: np.ndarray, columns: np.ndarray, trees: int, seed: int) -> RandomForestRegressor:
    forest = RandomForestRegressor(trees, max_depth=DEPTH, min_samples_leaf=LEAF, random_state=seed)
    return forest.fit(codes, columns[:, 0] if columns.shape[1] == 1 else columns)
