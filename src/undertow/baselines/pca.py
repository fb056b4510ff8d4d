"""Principal components of whole trials: the simplest code of a trial, and activity from it.

    x = (smooth(k) - mean) as one vector of (time x neuron)        what was not observed is at its mean
    c = D^-1 U x,      x' = U^T D c,      r = mean + x', never below 1e-4

with U the first components of the training trials and D their standard deviations, so that codes have variance one: a linear
model beside those that draw activity from codes (`Model.coded`). An entry that was not observed pulls a code towards the mean. It
is no competitor as an estimate of rates: a trial is only what a few components hold.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from pydantic import Field

from undertow.components.activity import kernel, smoothed
from undertow.models.base import Coded, DataSummary, DirectConfig, DirectModel, FitData
from undertow.vocabulary import UndertowError

SMALLEST_RATE = 1e-4


class PCA(DirectConfig):
    """The choices of principal components."""

    section: ClassVar[str] = "pca"

    code: int = Field(8, ge=1, description="Components, which are the dimensions of a trial's code")
    smoothing: float = Field(
        3.0, ge=0, description="Standard deviation of the Gaussian that smooths counts, in bins"
    )

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> "PCAModel":  # noqa: ARG002
        """Components before they are fitted: none."""
        empty = jnp.zeros((self.code, data.bins, data.neurons))
        mean = jnp.broadcast_to(jnp.asarray(data.mean)[None], (data.bins, data.neurons))
        return PCAModel(mean, empty, jnp.ones(self.code), self)

    def fit(
        self,
        data: FitData,
        *,
        seed: int,  # noqa: ARG002 - nothing is drawn
        say: Callable[[str], None],  # noqa: ARG002
    ) -> tuple["PCA", "PCAModel", dict[str, Any]]:
        """The components of all neurons and bins of the training trials."""
        trials, bins, neurons = data.counts.shape
        if self.code >= trials:
            raise UndertowError(
                f"{self.code} components can't be found in {trials} training trials; set pca.code below that."
            )
        weights = kernel(self.smoothing)
        smooth_all = jax.jit(lambda trial: smoothed(trial, jnp.isfinite(trial), weights)[0])
        smooth = np.stack([np.asarray(smooth_all(trial), np.float64) for trial in data.counts])
        is_known = np.isfinite(data.counts)
        mean = np.where(is_known, smooth, 0).sum(0) / np.maximum(is_known.sum(0), 1)
        away = np.where(is_known, smooth - mean, 0.0).reshape(trials, -1)
        _, lengths, rows = np.linalg.svd(away, full_matrices=False)
        spread = np.maximum(lengths[: self.code] / np.sqrt(trials), 1e-9)
        share = float((lengths[: self.code] ** 2).sum() / max((lengths**2).sum(), 1e-12))
        components = rows[: self.code].reshape(self.code, bins, neurons)
        model = PCAModel(*(jnp.asarray(part, jnp.float32) for part in (mean, components, spread)), self)
        chosen = f"the first {self.code} principal components, {share:.0%} of the variance of smoothed training trials"
        return self, model, {"selected_on": chosen}


class PCAModel(DirectModel):
    """Principal components, fitted."""

    mean: Float[Array, "time neuron"]
    components: Float[Array, "code_dimension time neuron"]
    spread: Float[Array, " code_dimension"]
    config: PCA = eqx.field(static=True)

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,
    ) -> dict[str, Array]:
        """Rates (expected counts a bin) of a trial's code, and the code."""
        code = self._code(seen, inputs)
        is_there = jnp.ones(seen.shape[0], bool)
        return {"rates": self._from_code(code, inputs, is_there, seen, key=key), "code": code}

    def coded(self) -> Coded:
        """Codes are standard normal in each dimension, as far as two moments go."""
        return Coded(self.config.code, self._code, self._from_code, self._drawn)

    def _code(self, seen: Array, inputs: Array) -> Array:  # noqa: ARG002 - every model with codes answers the same call
        bins = self._bins(seen.shape[0])
        smooth, _ = smoothed(seen, jnp.isfinite(seen), kernel(self.config.smoothing))
        away = jnp.where(jnp.isfinite(seen), smooth - self.mean[:bins], 0.0)
        return jnp.einsum("ktn,tn->k", self.components[:, :bins], away) / self.spread

    def _from_code(
        self,
        code: Array,
        inputs: Array,
        is_there: Array,  # noqa: ARG002 - every model with codes answers the same call
        start: Array,  # noqa: ARG002
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002
    ) -> Array:
        bins = self._bins(inputs.shape[0])
        away = jnp.einsum("k,ktn->tn", code * self.spread, self.components[:, :bins])
        return jnp.maximum(self.mean[:bins] + away, SMALLEST_RATE)

    def _drawn(self, *, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key, self.spread.shape)

    def _bins(self, bins: int) -> int:
        if bins > self.mean.shape[0]:
            raise UndertowError(
                f"A trial has {bins} bins, but these components were fitted to trials of {self.mean.shape[0]}; cut "
                f"the trial, or fit again."
            )
        return bins
