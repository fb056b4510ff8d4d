"""R2, the fraction of variance that a prediction explains, column by column and over all columns.

    R2 = 1 - sum (truth - prediction)^2 / sum (truth - mean(truth))^2

with sums over all entries of a column where both are known (not NaN).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from undertow.evaluation.chunks import chunks
from undertow.vocabulary import UndertowError

SMALLEST_VARIATION = 1e-12  # relative to the squared mean: below it a column is constant but for rounding


@dataclass(frozen=True)
class R2:
    """R2 of each column (neuron, latent, channel), with what is needed to average them.

    Attributes:
        per_column: (column,) float64, at most 1; NaN where the truth does not vary or is not known.
        variation: (column,) float64, the truth's summed squared deviation from its mean.
    """

    per_column: np.ndarray
    variation: np.ndarray

    @property
    def mean(self) -> float:
        """Every column counts the same; columns without an R2 are left out."""
        defined = ~np.isnan(self.per_column)
        return float(self.per_column[defined].mean()) if defined.any() else float("nan")

    @property
    def variance_weighted(self) -> float:
        """Columns count by their variance: 1 - all squared errors over all variation."""
        defined = ~np.isnan(self.per_column)
        if not defined.any():
            return float("nan")
        return float(np.average(self.per_column[defined], weights=self.variation[defined]))


def r2(prediction: np.ndarray, truth: np.ndarray) -> R2:
    """R2 of `prediction` for each entry of the last axis, both (..., column), pooled over the other axes.

    Raises:
        UndertowError: the shapes differ.
    """
    if prediction.shape != truth.shape:
        raise UndertowError(
            f"The prediction has the shape {prediction.shape} and the truth {truth.shape}; "
            "bring them to the same shape."
        )
    plain = _sums(prediction, truth, np.zeros(truth.shape[-1]))
    known = plain["count"] > 0
    mean = np.divide(plain["truth"], plain["count"], out=np.zeros_like(plain["truth"]), where=known)
    sums = _sums(prediction, truth, mean)
    varies = sums["variation"] > SMALLEST_VARIATION * sums["count"] * mean**2
    ratio = np.divide(sums["error"], sums["variation"], out=np.full_like(mean, np.nan), where=varies)
    return R2(per_column=1 - ratio, variation=sums["variation"])


def _sums(prediction: np.ndarray, truth: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Sums for each column over entries where both are known: how many, and truth, variation and error."""
    sums = {name: np.zeros(truth.shape[-1]) for name in ("count", "truth", "variation", "error")}
    axes = tuple(range(truth.ndim - 1))
    for part in chunks(truth.shape):
        guess = np.asarray(prediction[part], dtype=np.float64)
        known = np.asarray(truth[part], dtype=np.float64)
        both = ~(np.isnan(guess) | np.isnan(known))
        terms = {"count": both, "truth": known, "variation": (known - mean) ** 2}
        terms["error"] = (known - guess) ** 2
        for name, values in terms.items():
            sums[name] += np.where(both, values, 0).sum(axis=axes)
    return sums
