"""The initial condition of a trial: an encoder of its counts, the posterior that it gives, and the prior.

The encoder's last states, side by side, pass a linear map to the mean and log-variance of a Gaussian; without a posterior
(`is_variational=False`) to the initial condition itself. Shared by all models that begin a trial somewhere.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.corruption import dropout_mask
from undertow.components.encoders import Encoder
from undertow.components.linear import Linear
from undertow.components.priors import PRIORS, NoPrior, Posterior, Prior, PriorKind, draw

SMALLEST_VARIANCE = 1e-4


class InitialKeys(NamedTuple):
    """Keys of a pass: of the sample and of dropout; None for the posterior's mean, and where nothing is dropped."""

    sample: Key[Array, ""] | None
    dropout: Key[Array, ""] | None


class InitialCondition(eqx.Module):
    """What the counts say of a trial's start. `segment` are the bins that are read; 0 for all, or with causal encoders none."""

    encoder: Encoder
    to_posterior: Linear
    prior: Prior
    segment: int = eqx.field(static=True)
    is_variational: bool = eqx.field(static=True)

    def __init__(
        self,
        encoder: Encoder,
        size: int,
        *,
        prior: PriorKind,
        segment: int,
        is_variational: bool,
        key: Key[Array, ""],
    ):
        self.encoder, self.segment, self.is_variational = encoder, segment, is_variational
        self.to_posterior = Linear(encoder.output_size, size * (2 if is_variational else 1), key=key)
        self.prior = PRIORS[prior](size)

    def posterior(
        self,
        features: Float[Array, "time feature"],
        is_seen: Bool[Array, " time"],
        dropout_rate: Array | None,
        *,
        keys: InitialKeys,
    ) -> Posterior:
        """Of one trial, as a sequence of one bin; without a posterior its variance is zero."""
        time = features.shape[0]
        reads_all = self.segment == 0 and self.encoder.backward is not None
        is_read = jnp.arange(time) < (time if reads_all else self.segment)
        summary = self.encoder.summary(features, is_seen & is_read)
        if dropout_rate is not None:
            summary = summary * dropout_mask(dropout_rate, summary.shape, key=keys.dropout)
        return self._of(summary, key=keys.sample)

    def opened(self, features: Float[Array, "time feature"]) -> Float[Array, " dimension"]:
        """The mean after the first bins of a trial, all of which count as seen: how a stream begins."""
        summary = self.encoder.summary(features, jnp.ones(features.shape[0], bool))
        return self._of(summary, key=None).mean[0]

    def divergence(self, posterior: Posterior) -> dict[str, Float[Array, ""]]:
        """The objective's term, from the prior in nats; none without a posterior or a prior."""
        if not self.is_variational or isinstance(self.prior, NoPrior):
            return {}
        return {"kl_initial_condition": jnp.sum(self.prior.divergence(*posterior))}

    def prior_sample(self, *, key: Key[Array, ""]) -> Float[Array, " dimension"]:
        """A draw of the prior; of a standard normal where there is none."""
        return self.prior.draw(self.to_posterior.bias.shape[0] // (2 if self.is_variational else 1), key=key)

    def _of(self, summary: Array, *, key: Key[Array, ""] | None) -> Posterior:
        statistics = self.to_posterior(summary)[None]
        if not self.is_variational:
            return Posterior(statistics, jnp.zeros_like(statistics), statistics)
        mean, log_variance = jnp.split(statistics, 2, axis=-1)
        variance = jnp.exp(log_variance) + SMALLEST_VARIANCE
        if key is None:
            return Posterior(mean, variance, mean)
        return Posterior(mean, variance, draw(mean, variance, jax.random.normal(key, mean.shape)))
