"""Priors of initial conditions and inferred inputs, and how far a Gaussian posterior is from them.

Every prior answers `divergence(mean, variance, sample)`, all (time, dimension): the Kullback-Leibler divergence of each entry in
nats. Where no closed form exists it is estimated with the sample that the model itself used. A vector without a time axis is
one bin. To add a prior: a class here and a line in `PRIORS`.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

PriorKind = Literal["gaussian", "autoregressive", "student_t", "none"]

START_VARIANCE = 0.1


class Posterior(NamedTuple):
    """A Gaussian posterior and the sample that passed on: (time, dimension)."""

    mean: Array
    variance: Array
    sample: Array


class GaussianPrior(eqx.Module):
    """N(mean, variance): the mean is learned from 0, the variance stays at 0.1 (LFADS, initial condition)."""

    mean: Float[Array, " dimension"]
    variance: float = eqx.field(static=True, default=START_VARIANCE)

    def divergence(self, mean, variance, sample):  # noqa: ARG002 - every prior answers the same call
        """Closed form."""
        return gaussian_divergence(mean, variance, jnp.broadcast_to(self.mean, mean.shape), self.variance)

    def draw(self, dimension: int, *, key: Key[Array, ""]) -> Array:
        """(dimension,)."""
        return self.mean + self.variance**0.5 * jax.random.normal(key, (dimension,))


class AutoregressivePrior(eqx.Module):
    """u_t = phi u_{t-1} + e, one process a dimension, with phi = exp(-1 / tau) and stationary start (LFADS, inferred inputs).

    tau (bins) starts at 10, the variance of e at 0.1; both are learned. By the chain rule
    KL(q || p) = E sum_t KL(N(m_t, s_t^2) || N(phi u_{t-1}, s_e^2)), with u_{t-1} the sample that the generator received and the
    stationary variance s_e^2 / (1 - phi^2) at the first bin: each term is closed, the sum is unbiased, and its variance is
    below that of log q(u) - log p(u), which the published code samples.
    """

    log_tau: Float[Array, " dimension"]
    log_variance: Float[Array, " dimension"]

    def divergence(self, mean, variance, sample):
        """Closed form given the sample of the bin before."""
        phi = jnp.exp(-jnp.exp(-self.log_tau))
        innovation = jnp.exp(self.log_variance)
        stationary = innovation / (1 - phi**2)
        expected = jnp.concatenate([jnp.zeros_like(sample[:1]), phi[None] * sample[:-1]])
        is_first = (jnp.arange(mean.shape[0]) == 0)[:, None]
        return gaussian_divergence(
            mean, variance, expected, jnp.where(is_first, stationary[None], innovation[None])
        )


class StudentTPrior(eqx.Module):
    """Independent Student-t entries with 5 degrees of freedom around 0, the scale learned: sparse inputs, rare large ones."""

    log_scale: Float[Array, " dimension"]
    freedom: float = eqx.field(static=True, default=5.0)

    def divergence(self, mean, variance, sample):
        """log q(sample) - log p(sample): one sample's estimate."""
        log_posterior = -0.5 * (jnp.log(2 * math.pi * variance) + (sample - mean) ** 2 / variance)
        scaled = sample / jnp.exp(self.log_scale)[None]
        log_prior = (
            math.lgamma((self.freedom + 1) / 2)
            - math.lgamma(self.freedom / 2)
            - 0.5 * math.log(self.freedom * math.pi)
            - self.log_scale[None]
            - 0.5 * (self.freedom + 1) * jnp.log1p(scaled**2 / self.freedom)
        )
        return log_posterior - log_prior

    def draw(self, dimension: int, *, key: Key[Array, ""]) -> Array:
        """(dimension,)."""
        return jnp.exp(self.log_scale) * jax.random.t(key, self.freedom, (dimension,))


class NoPrior(eqx.Module):
    """Nothing is asked of the posterior."""

    def divergence(self, mean, variance, sample):  # noqa: ARG002 - every prior answers the same call
        """Zero."""
        return jnp.zeros_like(mean)

    def draw(self, dimension: int, *, key: Key[Array, ""]) -> Array:
        """(dimension,), standard normal."""
        return jax.random.normal(key, (dimension,))


Prior = GaussianPrior | AutoregressivePrior | StudentTPrior | NoPrior

PRIORS: dict[str, Callable[[int], Prior]] = {
    "gaussian": lambda size: GaussianPrior(jnp.zeros(size)),
    "autoregressive": lambda size: AutoregressivePrior(
        jnp.full(size, math.log(10.0)), jnp.full(size, math.log(START_VARIANCE))
    ),
    "student_t": lambda size: StudentTPrior(jnp.full(size, 0.5 * math.log(START_VARIANCE))),
    "none": lambda _: NoPrior(),
}


def gaussian_divergence(mean, variance, prior_mean, prior_variance):
    """KL(N(mean, variance) || N(prior_mean, prior_variance)) of each entry, in nats."""
    ratio = variance / prior_variance
    return 0.5 * (ratio - 1 - jnp.log(ratio) + (mean - prior_mean) ** 2 / prior_variance)


def draw(mean: Array, variance: Array, noise: Array) -> Array:
    """A sample of the posterior by reparameterisation."""
    return mean + jnp.sqrt(variance) * noise
