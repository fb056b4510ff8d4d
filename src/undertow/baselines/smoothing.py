"""Gaussian smoothing, and Poisson regression from it to what cannot be smoothed: the benchmark's simplest baseline.

    s_tn = sum_u exp(-(t - u)^2 / 2 w^2) k_un / sum_u exp(-(t - u)^2 / 2 w^2)      over observed bins u: the rates of seen neurons
    r_t  = exp(W log(s_t + 1e-4) + b)                                              the rates of held-out neurons
    r    = exp(V log(s_T + 1e-4) + c)                                              all neurons after the last seen bin T

Width w and the penalty of W are chosen together by cross-validation over trials, from the benchmark's widths (30 to 60 ms) and
penalties. The penalty is measured against each neuron's mean count, so the benchmark's 0.001 to 1 are 0.03 to 30 here for
neurons of 0.03 spikes a bin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from pydantic import Field

from undertow.baselines import poisson_readout
from undertow.baselines.poisson_readout import PoissonReadout, Rows
from undertow.evaluation.likelihood import mean_counts
from undertow.evaluation.smoothing import best_width, smooth
from undertow.models.base import DataSummary, DirectConfig, DirectModel, FitData, through_last

FLOOR = 1e-4  # added before the logarithm
SMALLEST_WIDTH = 0.3  # bins


class Smoothing(DirectConfig):
    """The choices of smoothing."""

    section: ClassVar[str] = "smoothing"

    widths: tuple[float, ...] = Field(
        (0.03, 0.04, 0.05, 0.06),
        min_length=1,
        description="Standard deviations of the Gaussian to choose from, s",
    )
    alphas: tuple[float, ...] = Field(
        (0.03, 0.3, 3.0, 30.0),
        min_length=1,
        description="Penalties of the Poisson regressions to choose from",
    )
    folds: int = Field(5, ge=2, description="Folds of the cross-validation over trials")

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> SmoothingModel:  # noqa: ARG002
        """Smoothing before it is fitted: every unseen neuron has the rate 1."""
        readout = poisson_readout.empty(data.neurons, data.neurons)
        return SmoothingModel(
            jnp.float32(1.0), jnp.zeros(data.neurons, bool), jnp.asarray(data.mean), readout, readout
        )

    def fit(
        self, data: FitData, *, seed: int, say: Callable[[str], None]
    ) -> tuple[Smoothing, SmoothingModel, dict[str, Any]]:
        """Choose width and penalty, and fit the regressions."""
        width, alpha, selected_on = self._chosen(data, seed, say)
        features = features_of(data, width)
        rows = poisson_readout.rows_of(features, data.counts, ~data.forward)
        readout = poisson_readout.fit(rows, alpha=alpha, wanted=data.held_out, seed=seed)
        every = np.ones(len(data.held_out), bool)
        forward = poisson_readout.fit(forward_rows(features, data), alpha=alpha, wanted=every, seed=seed)
        held_in, mean = jnp.asarray(~data.held_out), np.nan_to_num(mean_counts(data.counts))
        model = SmoothingModel(
            jnp.float32(max(width / data.bin_width, SMALLEST_WIDTH)),
            held_in,
            jnp.asarray(np.maximum(mean, FLOOR), jnp.float32),
            readout,
            forward,
        )
        return self, model, {"selected_on": selected_on, "width": width, "alpha": alpha}

    def _chosen(self, data: FitData, seed: int, say: Callable[[str], None]) -> tuple[float, float, str]:
        """The width (s), the penalty, and what they were selected on; a bin's neighbours where no neuron is held out."""
        if not data.held_out.any():
            bins = [max(width / data.bin_width, SMALLEST_WIDTH) for width in self.widths]
            best = best_width(data.seen[:, ~data.forward], bins)
            alpha = sorted(self.alphas)[len(self.alphas) // 2]
            return (
                self.widths[bins.index(best)],
                alpha,
                "the error of each bin's prediction from its neighbours",
            )
        scores = {}
        for width in self.widths:
            rows = poisson_readout.rows_of(
                features_of(data, width), data.counts[:, :, data.held_out], ~data.forward
            )
            alpha, score = poisson_readout.best_alpha(rows, self.alphas, folds=self.folds, seed=seed)
            scores[width, alpha] = score
            say(f"smoothing by {1e3 * width:g} ms: {score:.4f} nats a spike with a penalty of {alpha:g}")
        return *max(scores, key=scores.__getitem__), poisson_readout.words_of(data.held_out, self.folds)


class SmoothingModel(DirectModel):
    """Smoothing, fitted: `width` in bins, `mean` counts a bin."""

    width: Float[Array, ""]
    held_in: Bool[Array, " neuron"]
    mean: Float[Array, " neuron"]
    readout: PoissonReadout
    forward: PoissonReadout

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],  # noqa: ARG002 - every model answers the same call
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002
    ) -> dict[str, Array]:
        """Rates (expected counts a bin)."""
        held_in = self.held_in[None]
        is_seen = jnp.isfinite(seen) & held_in
        is_inside = through_last(is_seen)
        smoothed = smoothed_counts(seen, is_seen, self.width)
        smoothed = jnp.where(jnp.isfinite(smoothed), smoothed, self.mean[None])
        features = jnp.where(held_in, jnp.log(smoothed + FLOOR), 0.0)
        rates = jnp.where(held_in, jnp.maximum(smoothed, FLOOR), self.readout(features))
        last = jnp.maximum(jnp.sum(is_inside.astype(jnp.int32)) - 1, 0)
        return {"rates": jnp.where(is_inside[:, None], rates, self.forward(features[last][None]))}


def smoothed_counts(
    counts: Float[Array, "time neuron"], is_seen: Bool[Array, "time neuron"], width: Float[Array, ""]
) -> Float[Array, "time neuron"]:
    """The mean of the observed counts around each bin under a Gaussian; NaN where nothing within four widths is observed."""
    bins = jnp.arange(counts.shape[0], dtype=jnp.float32)
    distance = (bins[:, None] - bins[None, :]) / width
    weights = jnp.where(jnp.abs(distance) <= jnp.ceil(4 * width) / width, jnp.exp(-0.5 * distance**2), 0.0)
    total = weights @ jnp.where(is_seen, counts, 0.0)
    weight = weights @ is_seen.astype(jnp.float32)
    return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1.0), jnp.nan)


def features_of(data: FitData, width: float) -> np.ndarray:
    """(trial, time, neuron) log of the smoothed counts of neurons that are seen; zeros for the others."""
    smoothed = smooth(data.seen, max(width / data.bin_width, SMALLEST_WIDTH))
    mean = np.maximum(np.nan_to_num(mean_counts(data.counts)), FLOOR)
    filled = np.where(np.isnan(smoothed), mean, smoothed)
    return np.where(data.held_out, 0.0, np.log(filled + FLOOR)).astype(np.float32)


def forward_rows(features: np.ndarray, data: FitData) -> Rows:
    """Each trial's features in its last seen bin, and the mean count in the bins to be forecast."""
    counts = data.counts[:, data.forward]
    observed = np.isfinite(counts).sum(axis=1)
    mean = np.where(observed > 0, np.nansum(counts, axis=1) / np.maximum(observed, 1), np.nan)
    is_seen = np.isfinite(data.seen).any(axis=2)
    last = features.shape[1] - 1 - np.argmax(is_seen[:, ::-1], axis=1)
    rows = Rows(
        features[np.arange(len(features)), last].astype(np.float64),
        mean.astype(np.float64),
        np.arange(len(features)),
    )
    return rows.at((observed > 0).any(axis=1) & is_seen.any(axis=1))
