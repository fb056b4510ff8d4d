"""A switching linear dynamical system: posteriors of one trial under given parameters, by alternating two exact steps.

    z_t ~ Markov chain with start p and transitions P                       discrete states, k = 1..K
    x_0 ~ N(m_0, S_0),  x_t ~ N(A_k x_{t-1} + b_k, Q_k) with k = z_t
    n_t ~ Poisson(softplus(C x_t + d))

q(z) and q(x) are independent (Zoltowski, Pillow and Linderman 2020). Given q(z), the log-density of x is a block-tridiagonal
quadratic form plus a concave likelihood: Newton's method finds its peak, and q(x) is the Gaussian with the curvature there. Given
q(x), q(z) is exact by passing messages forward and back. With F_k = [I, -A_k, -b_k]' Q_k^-1 [I, -A_k, -b_k], everything that the
dynamics ask is -1/2 u' F_k u + const for u = (x_t, x_{t-1}, 1). Bins after the last observed one take no part: they are
foretold by the dynamics afterwards, so that an estimate does not depend on padding.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float

from undertow.baselines.chains import Chain, covariances, solved, times

STEP_SIZES = (1.0, 0.3, 0.05)
LARGEST_STEP = 5.0  # of any dimension in one Newton step
NODES = ((-1.22474487, 0.29540898), (0.0, 1.18163590), (1.22474487, 0.29540898))
"""Of Gauss and Hermite, for the weight exp(-x^2)."""


class Parameters(eqx.Module):
    """Everything that is learned; S_0 is given by its Cholesky factor, and so is Q."""

    log_start: Float[Array, " state"]
    log_transitions: Float[Array, "state state"]
    first_mean: Float[Array, " factor"]
    first_root: Float[Array, "factor factor"]
    dynamics: Float[Array, "state factor factor"]
    drift: Float[Array, "state factor"]
    noise_root: Float[Array, "state factor factor"]
    loadings: Float[Array, "neuron factor"]
    offset: Float[Array, " neuron"]


class Trial(NamedTuple):
    """Counts with zeros where none was observed, which were, and the bins up to the last of these."""

    counts: Float[Array, "time neuron"]
    is_observed: Float[Array, "time neuron"]
    is_inside: Bool[Array, " time"]


class Posterior(NamedTuple):
    """q(x) and q(z) of one trial, and the evidence lower bound in nats."""

    mean: Float[Array, "time factor"]
    covariance: Float[Array, "time factor factor"]
    with_last: Float[Array, "time factor factor"]
    states: Float[Array, "time state"]
    pairs: Float[Array, "state state"]
    bound: Float[Array, ""]


def quadratics(parameters: Parameters) -> tuple[Float[Array, "state row row"], Float[Array, " state"]]:
    """F_k, and the logarithms of the determinants of 2 pi Q_k."""
    states, factors = parameters.drift.shape
    identity = jnp.broadcast_to(jnp.eye(factors)[None], (states, factors, factors))
    maps = jnp.concatenate([identity, -parameters.dynamics, -parameters.drift[:, :, None]], axis=2)
    whitened = jax.scipy.linalg.solve_triangular(parameters.noise_root, maps, lower=True)
    logs = 2 * jnp.log(jnp.abs(jnp.diagonal(parameters.noise_root, axis1=1, axis2=2))).sum(axis=1)
    return jnp.einsum("kij,kil->kjl", whitened, whitened), logs + factors * math.log(2 * math.pi)


def posterior(
    parameters: Parameters,
    trial: Trial,
    mean: Float[Array, "time factor"],
    states: Float[Array, "time state"],
    *,
    rounds: int,
    steps: int,
) -> Posterior:
    """q(x) and q(z), from a first guess, by `rounds` of `steps` Newton steps and one pass of messages."""
    forms, logs = quadratics(parameters)

    def once(_, guess):
        mean, states = guess
        prior = _prior(parameters, forms, states, trial.is_inside)
        mean = _peak(parameters, trial, prior, mean, steps)
        covariance, with_last, _ = covariances(_precision(parameters, trial, prior, mean))
        scores = _scores(forms, logs, mean, covariance, with_last, trial.is_inside)
        return mean, messages(parameters, scores)[0]

    mean, states = jax.lax.fori_loop(0, rounds - 1, once, (mean, states))
    prior = _prior(parameters, forms, states, trial.is_inside)
    mean = _peak(parameters, trial, prior, mean, steps)
    covariance, with_last, log_determinant = covariances(_precision(parameters, trial, prior, mean))
    scores = _scores(forms, logs, mean, covariance, with_last, trial.is_inside)
    states, pairs, evidence = messages(parameters, scores)
    bound = (
        evidence
        + _first_term(parameters, mean, covariance)
        + expected_likelihood(parameters, trial, mean, covariance)
        + _entropy(log_determinant, trial.is_inside, mean.shape[1])
    )
    return Posterior(mean, covariance, with_last, states, pairs, bound)


def foretold(
    parameters: Parameters, posterior: Posterior, is_inside: Bool[Array, " time"]
) -> Float[Array, "time factor"]:
    """The means, after the last observed bin those that the dynamics expect."""

    def step(last, bin_):
        mean, states, inside = bin_
        ahead = jnp.einsum("k,kij,j->i", states, parameters.dynamics, last) + states @ parameters.drift
        now = jnp.where(inside, mean, ahead)
        return now, now

    bins = (posterior.mean, posterior.states, is_inside)
    return jax.lax.scan(step, parameters.first_mean, bins)[1]


def log_rates_of(parameters: Parameters, mean: Float[Array, "time factor"]) -> Float[Array, "time neuron"]:
    """C x + d, whose softplus is the rate."""
    return mean @ parameters.loadings.T + parameters.offset[None]


def messages(
    parameters: Parameters, scores: Float[Array, "time state"]
) -> tuple[Float[Array, "time state"], Float[Array, "state state"], Float[Array, ""]]:
    """q(z), the expected numbers of transitions, and the logarithm of the normaliser."""
    transitions = parameters.log_transitions

    def forward(before, score):
        now = jax.nn.logsumexp(before[:, None] + transitions, axis=0) + score
        return now, now

    def backward(after, score):
        now = jax.nn.logsumexp(transitions + (after + score)[None, :], axis=1)
        return now, now

    first = parameters.log_start + scores[0]
    _, ahead = jax.lax.scan(forward, first, scores[1:])
    ahead = jnp.concatenate([first[None], ahead])
    last = jnp.zeros_like(first)
    _, behind = jax.lax.scan(backward, last, scores[1:], reverse=True)
    behind = jnp.concatenate([behind, last[None]])
    evidence = jax.nn.logsumexp(ahead[-1])
    states = jax.nn.softmax(ahead + behind, axis=1)
    joint = ahead[:-1, :, None] + transitions[None] + (scores[1:] + behind[1:])[:, None, :]
    return states, jnp.exp(joint - evidence).sum(axis=0), evidence


def _prior(parameters, forms, states, is_inside) -> Chain:
    """What the dynamics, averaged over q(z), and the first bin's density say of x."""
    factors = parameters.drift.shape[1]
    used = is_inside.at[0].set(False).astype(jnp.float32)
    mixed = jnp.einsum("tk,kij->tij", states * used[:, None], forms)
    first = jax.scipy.linalg.cho_solve((parameters.first_root, True), jnp.eye(factors))
    here, last = slice(0, factors), slice(factors, 2 * factors)
    following = jnp.concatenate([mixed[1:], jnp.zeros_like(mixed[:1])])
    diagonal = mixed[:, here, here] + following[:, last, last]
    diagonal = diagonal + jnp.where(is_inside, 0.0, 1.0)[:, None, None] * jnp.eye(factors)[None]
    linear = -mixed[:, here, -1] - following[:, last, -1]
    return Chain(
        diagonal.at[0].add(first), mixed[:, here, last], linear.at[0].add(first @ parameters.first_mean)
    )


def likelihood(
    log_rates: Float[Array, "time neuron"], trial: Trial
) -> tuple[Float[Array, "time neuron"], ...]:
    """n log softplus - softplus, its slope, and minus its curvature, of each entry."""
    rates = jax.nn.softplus(log_rates)
    rates = jnp.maximum(rates, 1e-12)
    slope = jax.nn.sigmoid(log_rates)
    ratio = slope / rates
    bend = slope * (1 - slope)
    value = trial.counts * jnp.log(rates) - rates
    first = trial.counts * ratio - slope
    curvature = trial.counts * (ratio**2 - bend / rates) + bend
    return tuple(part * trial.is_observed for part in (value, first, jnp.maximum(curvature, 0.0)))


def _with_curvature(parameters, prior, curvature) -> Chain:
    """J with minus the curvature of the likelihood added."""
    added = jnp.einsum(
        "tn,nde->tde", curvature, parameters.loadings[:, :, None] * parameters.loadings[:, None, :]
    )
    return prior._replace(diagonal=prior.diagonal + added)


def _precision(parameters, trial, prior, mean) -> Chain:
    """That of q(x)."""
    return _with_curvature(parameters, prior, likelihood(log_rates_of(parameters, mean), trial)[2])


def _peak(parameters, trial, prior, mean, steps):
    """The most likely x, by Newton steps that never lose."""

    def step(_, mean):
        centre = log_rates_of(parameters, mean)
        value, slope, curvature = likelihood(centre, trial)
        pulled = times(prior, mean)
        gradient = slope @ parameters.loadings + prior.linear - pulled
        direction = solved(_with_curvature(parameters, prior, curvature), gradient)
        direction = jnp.clip(direction, -LARGEST_STEP, LARGEST_STEP)
        moved, turned = direction @ parameters.loadings.T, times(prior, direction)

        def gain(size):
            rise = likelihood(centre + size * moved, trial)[0].sum() - value.sum()
            return rise + size * jnp.sum((prior.linear - pulled - 0.5 * size * turned) * direction)

        gains = jnp.stack([jnp.zeros(()), *(gain(size) for size in STEP_SIZES)])
        best = jnp.argmax(jnp.where(jnp.isfinite(gains), gains, -jnp.inf))
        return mean + jnp.array((0.0, *STEP_SIZES), mean.dtype)[best] * direction

    return jax.lax.fori_loop(0, steps, step, mean)


def second_moments(
    mean: Float[Array, "time factor"],
    covariance: Float[Array, "time factor factor"],
    with_last: Float[Array, "time factor factor"],
) -> Float[Array, "time row row"]:
    """E[u u'] with u = (x_t, x_{t-1}, 1); in the first bin x_{t-1} is that of the last one, and means nothing."""
    before, spread_before = jnp.roll(mean, 1, axis=0), jnp.roll(covariance, 1, axis=0)
    u = jnp.concatenate([mean, before, jnp.ones_like(mean[:, :1])], axis=1)
    spread = jnp.block([[covariance, with_last], [with_last.transpose(0, 2, 1), spread_before]])
    return u[:, :, None] * u[:, None, :] + jnp.pad(spread, ((0, 0), (0, 1), (0, 1)))


def _scores(forms, logs, mean, covariance, with_last, is_inside):
    """E log N(x_t; A_k x_{t-1} + b_k, Q_k) under q(x); zero in the first bin and after the last observed one."""
    moments = second_moments(mean, covariance, with_last)
    scores = -0.5 * (jnp.einsum("kij,tij->tk", forms, moments) + logs[None])
    return jnp.where(is_inside.at[0].set(False)[:, None], scores, 0.0)


def _first_term(parameters, mean, covariance):
    """E log N(x_0; m_0, S_0)."""
    root = parameters.first_root
    moved = mean[0] - parameters.first_mean
    second = covariance[0] + moved[:, None] * moved[None, :]
    trace = jnp.trace(cho_solve((root, True), second))
    logs = 2 * jnp.log(jnp.abs(jnp.diagonal(root))).sum()
    return -0.5 * (trace + logs + mean.shape[1] * math.log(2 * math.pi))


def _entropy(log_determinant, is_inside, factors: int):
    """Of q(x), over the bins up to the last observed one (the others have unit precision)."""
    return 0.5 * (
        factors * (1 + math.log(2 * math.pi)) * is_inside.sum().astype(jnp.float32) - log_determinant
    )


def expected_likelihood(
    parameters: Parameters,
    trial: Trial,
    mean: Float[Array, "time factor"],
    covariance: Float[Array, "time factor factor"],
) -> Float[Array, ""]:
    """E log Poisson(n; softplus(C x + d)) under q(x), summed over observed entries, by quadrature."""
    centre = log_rates_of(parameters, mean)
    spread = jnp.einsum("tde,nd,ne->tn", covariance, parameters.loadings, parameters.loadings)
    scale = jnp.sqrt(2 * jnp.maximum(spread, 0.0))
    values = [weight * likelihood(centre + node * scale, trial)[0] for node, weight in NODES]
    constant = jax.scipy.special.gammaln(trial.counts + 1) * trial.is_observed
    return sum(value.sum() for value in values) / math.sqrt(math.pi) - constant.sum()
