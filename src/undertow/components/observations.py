"""Observation models: how counts scatter around what the read-out says.

Each has `parameters` numbers for a neuron and bin, and answers four questions about them: `log_likelihood` of counts (with its
constants, in nats), `mean` (expected counts a bin), `sample`, and `start`, the read-out's bias at the beginning of training, so
that the first estimate is each neuron's mean rate. `support` says which values can be explained at all. Parameters have the
shape (..., neuron, parameters). What a neuron's own constants cost is in `penalties`, by name, which every model hands on, and
`weights` weighs them by default. To add an observation: a class here and a line in `OBSERVATIONS`.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Float

ObservationKind = Literal["poisson", "negative_binomial", "gaussian", "gamma", "zero_inflated_gamma"]

SMALLEST_MEAN = 1e-4
SHAPE_RANGE = (1e-3, 1e3)
SCALE_RANGE = (1.0, 100.0)
"""Bounds of the scales of a zero-inflated Gamma: those between which RADICaL searches their prior."""


class Unpenalised(eqx.Module):
    """An observation whose constants cost nothing."""

    weights: ClassVar[Mapping[str, float]] = MappingProxyType({})

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}


class Poisson(Unpenalised):
    """Counts ~ Poisson(exp(log_rate)); the field's standard."""

    parameters: int = eqx.field(static=True, default=1)
    support: str = eqx.field(static=True, default="counts")

    def log_likelihood(self, parameters, counts):
        """k log r - r - log k!."""
        log_rates = parameters[..., 0]
        return counts * log_rates - jnp.exp(log_rates) - gammaln(counts + 1)

    def mean(self, parameters):
        """r."""
        return jnp.exp(parameters[..., 0])

    def sample(self, parameters, *, key):
        """Counts."""
        return jax.random.poisson(key, self.mean(parameters)).astype(parameters.dtype)

    def start(self, mean, variance):  # noqa: ARG002 - every observation answers the same call
        """The log of the mean count."""
        return jnp.log(jnp.maximum(mean, SMALLEST_MEAN))[:, None]


class NegativeBinomial(Unpenalised):
    """Counts with mean m and variance m + m^2 / d: over-dispersed; each neuron learns its dispersion d."""

    log_dispersion: Float[Array, " neuron"]
    parameters: int = eqx.field(static=True, default=1)
    support: str = eqx.field(static=True, default="counts")

    def log_likelihood(self, parameters, counts):
        """log NB(k; d, m)."""
        mean, dispersion = self.mean(parameters), self._dispersion(parameters)
        return (
            _log_rising(dispersion, counts)
            - gammaln(counts + 1)
            + counts * (parameters[..., 0] - jnp.log1p(mean / dispersion))
            - dispersion * jnp.log1p(mean / dispersion)
        )

    def mean(self, parameters):
        """m."""
        return jnp.exp(parameters[..., 0])

    def sample(self, parameters, *, key):
        """Counts: a Poisson whose rate is Gamma."""
        gamma_key, poisson_key = jax.random.split(key)
        dispersion = self._dispersion(parameters)
        rates = jax.random.gamma(gamma_key, dispersion) * self.mean(parameters) / dispersion
        return jax.random.poisson(poisson_key, rates).astype(parameters.dtype)

    def start(self, mean, variance):  # noqa: ARG002 - every observation answers the same call
        """The log of the mean count."""
        return jnp.log(jnp.maximum(mean, SMALLEST_MEAN))[:, None]

    def _dispersion(self, parameters):
        dispersion = jnp.exp(jnp.clip(self.log_dispersion, -7.0, 12.0))
        return jnp.broadcast_to(dispersion, parameters.shape[:-1])


class Gaussian(Unpenalised):
    """Real values with a mean and a log-variance for each bin; the variance starts at the data's."""

    parameters: int = eqx.field(static=True, default=2)
    support: str = eqx.field(static=True, default="real")

    def log_likelihood(self, parameters, counts):
        """log N(k; mean, exp(log_variance))."""
        mean, log_variance = parameters[..., 0], parameters[..., 1]
        return -0.5 * (math.log(2 * math.pi) + log_variance + (counts - mean) ** 2 * jnp.exp(-log_variance))

    def mean(self, parameters):
        """The mean."""
        return parameters[..., 0]

    def sample(self, parameters, *, key):
        """Real values."""
        noise = jax.random.normal(key, parameters.shape[:-1])
        return parameters[..., 0] + jnp.exp(0.5 * parameters[..., 1]) * noise

    def start(self, mean, variance):
        """The data's mean and log-variance."""
        return jnp.stack([mean, jnp.log(jnp.maximum(variance, SMALLEST_MEAN))], axis=-1)


class Gamma(Unpenalised):
    """Positive values with a log mean and a log shape for each bin: variance = mean^2 / shape."""

    parameters: int = eqx.field(static=True, default=2)
    support: str = eqx.field(static=True, default="positive")

    def log_likelihood(self, parameters, counts):
        """log Gamma(k; shape, shape / mean)."""
        return gamma_log_likelihood(_shape(parameters[..., 1]), parameters[..., 0], counts)

    def mean(self, parameters):
        """The mean."""
        return jnp.exp(parameters[..., 0])

    def sample(self, parameters, *, key):
        """Positive values."""
        shape = _shape(parameters[..., 1])
        return jax.random.gamma(key, shape) * jnp.exp(parameters[..., 0]) / shape

    def start(self, mean, variance):
        """The data's mean, and the shape that gives its variance."""
        mean = jnp.maximum(mean, SMALLEST_MEAN)
        shape = jnp.clip(mean**2 / jnp.maximum(variance, SMALLEST_MEAN), 0.1, 10.0)
        return jnp.stack([jnp.log(mean), jnp.log(shape)], axis=-1)


class ZeroInflatedGamma(eqx.Module):
    """Deconvolved calcium events: zero with probability 1 - q, else `location` + Gamma (RADICaL; Zhu et al. 2022).

    For each bin the read-out gives logit q and the logits of shape and rate as fractions of a scale that each neuron learns. The
    scales start at `prior`, stay within `SCALE_RANGE` and cost 0.5 sum (scale - prior)^2. Events below `location` (s_min) cannot
    occur and are counted as `location`.
    """

    weights: ClassVar[Mapping[str, float]] = MappingProxyType({"observation_penalty": 1e-4})

    log_shape_scale: Float[Array, " neuron"]
    log_rate_scale: Float[Array, " neuron"]
    parameters: int = eqx.field(static=True, default=3)
    support: str = eqx.field(static=True, default="non_negative")
    location: float = eqx.field(static=True, default=0.1)
    prior: float = eqx.field(static=True, default=20.0)

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """How far the scales have gone from their prior; beyond their bounds this alone moves them, back."""
        scales = jnp.exp(jnp.stack([self.log_shape_scale, self.log_rate_scale]))
        return {"observation_penalty": 0.5 * jnp.sum((scales - self.prior) ** 2)}

    def log_likelihood(self, parameters, counts):
        """log(1 - q) at zero, else log q + log Gamma(k - location; shape, rate)."""
        shape, rate = self._shape_and_rate(parameters)
        is_event = counts > 0
        excess = jnp.maximum(jnp.where(is_event, counts, 1.0) - self.location, 1e-3)
        event = (
            jax.nn.log_sigmoid(parameters[..., 0])
            + shape * jnp.log(rate)
            + (shape - 1) * jnp.log(excess)
            - rate * excess
            - gammaln(shape)
        )
        return jnp.where(is_event, event, jax.nn.log_sigmoid(-parameters[..., 0]))

    def mean(self, parameters):
        """q (shape / rate + location)."""
        shape, rate = self._shape_and_rate(parameters)
        return jax.nn.sigmoid(parameters[..., 0]) * (shape / rate + self.location)

    def sample(self, parameters, *, key):
        """Zeros and events."""
        event_key, size_key = jax.random.split(key)
        shape, rate = self._shape_and_rate(parameters)
        is_event = jax.random.bernoulli(event_key, jax.nn.sigmoid(parameters[..., 0]))
        return jnp.where(is_event, self.location + jax.random.gamma(size_key, shape) / rate, 0.0)

    def start(self, mean, variance):  # noqa: ARG002 - every observation answers the same call
        """Shape and rate equal (events of mean 1 + location), and the q that gives the data's mean."""
        q = jnp.clip(mean / (1.0 + self.location), 1e-3, 1 - 1e-3)
        fraction = jnp.full_like(mean, _logit(1 / self.prior))
        return jnp.stack([jnp.log(q) - jnp.log1p(-q), fraction, fraction], axis=-1)

    def _shape_and_rate(self, parameters):
        fractions = jnp.maximum(jax.nn.sigmoid(parameters[..., 1:]), 1e-5)
        scales = jnp.exp(jnp.stack([self.log_shape_scale, self.log_rate_scale], axis=-1))
        scales = jnp.clip(scales, *SCALE_RANGE)
        scaled = fractions * jnp.broadcast_to(scales, fractions.shape)
        return scaled[..., 0], scaled[..., 1]


Observation = Poisson | NegativeBinomial | Gaussian | Gamma | ZeroInflatedGamma

OBSERVATIONS = {
    "poisson": lambda _: Poisson(),
    "negative_binomial": lambda neurons: NegativeBinomial(jnp.full(neurons, math.log(10.0))),
    "gaussian": lambda _: Gaussian(),
    "gamma": lambda _: Gamma(),
    "zero_inflated_gamma": lambda neurons: ZeroInflatedGamma(
        *(jnp.full(neurons, math.log(ZeroInflatedGamma.prior)) for _ in range(2))
    ),
}

SUPPORTS = {
    "counts": ("non-negative whole numbers", lambda values: (values >= 0) & (values == values.round())),
    "real": ("numbers", lambda values: values == values),
    "positive": ("numbers above zero", lambda values: values > 0),
    "non_negative": ("numbers of zero or more", lambda values: values >= 0),
}


def gamma_log_likelihood(shape, log_mean, values):
    """log of the Gamma density with that shape and mean."""
    log_rate = jnp.log(shape) - log_mean
    return shape * log_rate + (shape - 1) * jnp.log(values) - jnp.exp(log_rate) * values - gammaln(shape)


def _log_rising(start, steps):
    """log(Gamma(start + steps) / (Gamma(start) start^steps)).

    From 30 on by Stirling's series, because the difference of two large logarithms would lose what matters in float32.
    """
    large = jnp.maximum(start, 30.0)
    series = (large + steps - 0.5) * jnp.log1p(steps / large) - steps + (1 / (large + steps) - 1 / large) / 12
    small = jnp.minimum(start, 30.0)
    return jnp.where(start > 30.0, series, gammaln(small + steps) - gammaln(small) - steps * jnp.log(small))


def _shape(log_shape):
    return jnp.clip(jnp.exp(log_shape), *SHAPE_RANGE)


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)
