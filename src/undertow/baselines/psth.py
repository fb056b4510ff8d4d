"""The average over trials of a condition: the best that any model could say that ignores what single trials do.

    r_tn = smoothed mean over training trials of the trial's condition of k_tn

for every neuron and every bin, held-out neurons and forward bins too. A trial whose condition is not known, or has no training
trial, gets the average over all of them. The width of the smoothing is chosen by cross-validation over trials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from pydantic import Field

from undertow.baselines.poisson_readout import fold_of
from undertow.evaluation.likelihood import mean_counts
from undertow.evaluation.smoothing import smooth
from undertow.models.base import DataSummary, DirectConfig, DirectModel, FitData
from undertow.vocabulary import UndertowError

SPIKES_OF_SILENT = 0.5  # the least that all bins of a condition hold together, so that no rate is zero


class PSTH(DirectConfig):
    """The choices of averages over the trials of a condition."""

    section: ClassVar[str] = "psth"

    widths: tuple[float, ...] = Field(
        (0.02, 0.03, 0.05, 0.07, 0.1, 0.15),
        min_length=1,
        description="Standard deviations of the Gaussian to choose from, s",
    )
    prior: float = Field(
        1.0, ge=0, description="Trials that the average over all conditions counts for in each condition's"
    )
    folds: int = Field(5, ge=2, description="Folds of the cross-validation over trials")

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> PSTHModel:  # noqa: ARG002
        """The model before it is fitted: each neuron's mean."""
        shape = (data.conditions + 1, data.bins, data.neurons)
        return PSTHModel(jnp.broadcast_to(data.mean, shape).astype(jnp.float32))

    def fit(
        self,
        data: FitData,
        *,
        seed: int,  # noqa: ARG002 - nothing is drawn
        say: Callable[[str], None],
    ) -> tuple[PSTH, PSTHModel, dict[str, Any]]:
        """Choose the width and average.

        Raises:
            UndertowError: no training trial has a known condition.
        """
        if not (data.condition >= 0).any():
            raise UndertowError(
                "Averages over conditions need to know them, but no training trial has a 'condition'; convert the recording "
                "with --condition COLUMN, or fit another baseline."
            )
        scores = {width: self._left_out(data, width / data.bin_width) for width in self.widths}
        for width, score in scores.items():
            say(f"averages smoothed by {1e3 * width:g} ms: {score:.4f} nats a spike")
        width = max(scores, key=scores.__getitem__)
        averages = self._averages(data, data.counts, data.condition, width / data.bin_width)
        selected_on = (
            f"the likelihood of all neurons in {self.folds}-fold cross-validation over training trials"
        )
        return (
            self,
            PSTHModel(jnp.asarray(averages, jnp.float32)),
            {"selected_on": selected_on, "width": width},
        )

    def _left_out(self, data: FitData, width: float) -> float:
        """The log-likelihood, in nats a spike and without its constant, of each fold's trials given the others' averages."""
        fold, total = fold_of(len(data.counts), self.folds), 0.0
        for number in range(self.folds):
            others, inside = fold != number, fold == number
            if others.any() and inside.any():
                averages = self._averages(data, data.counts[others], data.condition[others], width)
                counts = data.counts[inside]
                expected = averages[data.condition[inside]]
                total += np.nansum(counts * np.log(expected) - expected + 0 * counts)
        return float(total / max(np.nansum(data.counts), 1.0))

    def _averages(self, data: FitData, counts: np.ndarray, condition: np.ndarray, width: float) -> np.ndarray:
        """(condition + 1, time, neuron) expected counts; the last one is over all trials."""
        mean = np.nan_to_num(mean_counts(counts))
        everything = _average(counts)
        everything = np.where(np.isnan(everything), mean, everything)
        averages = [
            _average(counts[condition == number], everything, self.prior) for number in range(data.conditions)
        ]
        smoothed = smooth(np.stack([*averages, everything]), width)
        floor = SPIKES_OF_SILENT / max(counts.shape[0] * counts.shape[1], 1)
        return np.maximum(smoothed, floor)


class PSTHModel(DirectModel):
    """Averages (condition + 1, time, neuron): expected counts a bin; the last is that of an unknown condition."""

    averages: Float[Array, "condition time neuron"]
    needs_conditions: ClassVar[bool] = True

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002 - every model answers the same call
    ) -> dict[str, Array]:
        """Rates (expected counts a bin); bins beyond those of training keep the last average."""
        condition = inputs[0, -1].astype(jnp.int32)
        average = self.averages[jnp.where(condition >= 0, condition, self.averages.shape[0] - 1)]
        bins = jnp.minimum(jnp.arange(seen.shape[0]), average.shape[0] - 1)
        return {"rates": average[bins]}


def _average(counts: np.ndarray, prior: np.ndarray | None = None, weight: float = 0.0) -> np.ndarray:
    """(time, neuron) mean of the observed counts, with `prior` as if seen in `weight` more trials; NaN where there is nothing."""
    observed = np.isfinite(counts).sum(axis=0).astype(float)
    total = np.nansum(counts, axis=0, dtype=np.float64)
    if prior is not None:
        total, observed = total + weight * prior, observed + weight
        total, observed = np.where(observed > 0, total, prior), np.where(observed > 0, observed, 1.0)
    return np.divide(total, observed, out=np.full(total.shape, np.nan), where=observed > 0)
