"""Learning a switching linear dynamical system: where it begins, and one iteration of variational Laplace-EM.

The E step is `slds_inference.posterior`, trial by trial from the posterior of the iteration before; the M step is closed for the
chain and the dynamics, and one Newton step for the loadings on the expected likelihood. After each, a share `inertia` of the old
parameters stays, as in the benchmark's baseline.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undertow.baselines import slds_inference
from undertow.baselines.clusters import clusters
from undertow.baselines.slds_inference import Parameters, Posterior, Trial
from undertow.evaluation.smoothing import smooth

AT_ONCE = 64  # trials
STICKY = 0.95  # the chance to stay in a state at the beginning
PRIOR_BINS = 10.0  # what the priors of dynamics and noise count for
PRIOR_NOISE = 1e-2  # variance
PRIOR_TURNS = 0.1  # transitions of each kind
RIDGE = 1e-1
SMALLEST_RATE = 1e-3


class Sums(NamedTuple):
    """What the M step needs of all trials: second moments of (x_t, x_{t-1}, 1), and slopes and curvature of the loadings."""

    moments: Float[Array, "state row row"]
    first: Float[Array, " factor"]
    first_second: Float[Array, "factor factor"]
    trials: Float[Array, ""]
    starts: Float[Array, " state"]
    pairs: Float[Array, "state state"]
    slope: Float[Array, "neuron one"]
    curvature: Float[Array, "neuron one one"]
    bound: Float[Array, ""]


class Guess(NamedTuple):
    """The posterior of the iteration before: means (trial, time, factor) and states (trial, time, state)."""

    mean: Float[Array, "trial time factor"]
    states: Float[Array, "trial time state"]


def trial_of(seen: Float[Array, "time neuron"]) -> Trial:
    """A trial's counts as inference takes them."""
    is_observed = jnp.isfinite(seen)
    is_inside = jnp.flip(jax.lax.cummax(jnp.flip(is_observed.any(axis=1).astype(jnp.int32)))).astype(bool)
    return Trial(jnp.where(is_observed, seen, 0.0), is_observed.astype(jnp.float32), is_inside)


def beginning(
    seen: np.ndarray, states: int, factors: int, width: float, seed: int
) -> tuple[Parameters, Guess]:
    """Main directions of smoothed counts (trial, time, neuron), clustered; parameters that fit them.

    Args:
        seen: NaN = not observed.
        states: discrete ones.
        factors: continuous ones.
        width: of the smoothing, in bins.
        seed: of the clusters.
    """
    smoothed = np.sqrt(smooth(seen, width))
    mean = np.nan_to_num(np.nanmean(np.where(np.isnan(smoothed).all((0, 1)), 0.0, smoothed), axis=(0, 1)))
    centred = np.where(np.isfinite(smoothed), smoothed - mean, 0.0)
    flat = centred.reshape(-1, seen.shape[2])
    _, directions = np.linalg.eigh(flat.T @ flat)
    courses = centred @ directions[:, ::-1][:, :factors]
    courses /= np.maximum(courses.std(axis=(0, 1)), 1e-6)
    members = clusters(courses.reshape(-1, factors), states, seed=seed).reshape(courses.shape[:2])
    weights = 0.1 / states + 0.9 * np.eye(states)[members]
    guess = Guess(jnp.asarray(courses, jnp.float32), jnp.asarray(weights, jnp.float32))
    parameters = still(seen, states, factors)
    trials = jax.vmap(trial_of)(jnp.asarray(seen, jnp.float32))
    for _ in range(8):
        parameters = _fitted_loadings(parameters, trials, guess)
    return _fitted_dynamics(parameters, trials, guess), guess


@eqx.filter_jit
def expectation(parameters: Parameters, trials: Trial, guess: Guess, *, steps: int) -> tuple[Sums, Guess]:
    """Posteriors of all trials, a few at a time, and their sums. `steps` of Newton's method each."""

    def one(trial, mean, states):
        posterior = slds_inference.posterior(parameters, trial, mean, states, rounds=1, steps=steps)
        return _sums_of(parameters, trial, posterior), Guess(posterior.mean, posterior.states)

    def some(total, batch):
        sums, guess = jax.vmap(one)(*batch)
        return jax.tree.map(lambda all_, new: all_ + new.sum(axis=0), total, sums), guess

    count = guess.mean.shape[0]
    size = min(AT_ONCE, count)
    batches = jax.tree.map(lambda leaf: _in_batches(leaf, size), (trials, *guess))
    shapes = jax.eval_shape(one, *jax.tree.map(lambda leaf: leaf[0, 0], batches))[0]
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    sums, found = jax.lax.scan(some, zeros, batches)
    return sums, jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:count], found)


@eqx.filter_jit
def maximised(parameters: Parameters, sums: Sums, inertia: float) -> Parameters:
    """The M step; a share `inertia` of the old parameters stays."""
    stays = jnp.float32(inertia)

    def mixed(old, new):
        return stays * old + (1 - stays) * new

    dynamics, drift, noise = _dynamics(sums.moments)
    old_noise = jnp.einsum("kij,klj->kil", parameters.noise_root, parameters.noise_root)
    turns = sums.pairs + PRIOR_TURNS
    transitions = mixed(jnp.exp(parameters.log_transitions), turns / turns.sum(axis=1, keepdims=True))
    starts = (sums.starts + PRIOR_TURNS) / (sums.starts + PRIOR_TURNS).sum()
    first = sums.first / sums.trials
    spread = sums.first_second / sums.trials - first[:, None] * first[None, :]
    step = _newton(parameters, sums)
    return Parameters(
        jnp.log(mixed(jnp.exp(parameters.log_start), starts)),
        jnp.log(transitions),
        mixed(parameters.first_mean, first),
        jnp.linalg.cholesky(spread + PRIOR_NOISE * jnp.eye(len(first))),
        mixed(parameters.dynamics, dynamics),
        mixed(parameters.drift, drift),
        jnp.linalg.cholesky(mixed(old_noise, noise)),
        parameters.loadings + (1 - stays) * step[:, :-1],
        parameters.offset + (1 - stays) * step[:, -1],
    )


def _in_batches(leaf, size: int):
    """(batch, trial, ...), filled up with trials of which nothing was observed (zeros in `is_observed` and `is_inside`)."""
    filled = jnp.pad(leaf, [(0, -leaf.shape[0] % size)] + [(0, 0)] * (leaf.ndim - 1))
    return filled.reshape(-1, size, *leaf.shape[1:])


def _sums_of(parameters: Parameters, trial: Trial, posterior: Posterior) -> Sums:
    mean, covariance = posterior.mean, posterior.covariance
    counts = trial.is_inside.any().astype(jnp.float32)
    used = trial.is_inside.at[0].set(False).astype(jnp.float32)[:, None]
    moments = slds_inference.second_moments(mean, covariance, posterior.with_last)
    slope, curvature = _emission_sums(parameters, trial, mean, covariance)
    return Sums(
        jnp.einsum("tk,tij->kij", posterior.states * used, moments),
        counts * mean[0],
        counts * (covariance[0] + mean[0][:, None] * mean[0][None, :]),
        counts,
        counts * posterior.states[0],
        counts * posterior.pairs,
        slope,
        curvature,
        counts * posterior.bound,
    )


def _emission_sums(parameters: Parameters, trial: Trial, mean, covariance):
    """Slope and minus curvature of the expected likelihood in (C, d), each (neuron, ...)."""
    centre = slds_inference.log_rates_of(parameters, mean)
    pulled = jnp.einsum("tde,ne->tnd", covariance, parameters.loadings)
    scale = jnp.sqrt(2 * jnp.maximum(jnp.einsum("tnd,nd->tn", pulled, parameters.loadings), 0.0))
    first, curvature = jnp.zeros_like(centre), jnp.zeros_like(centre)
    for node, weight in slds_inference.NODES:
        _, slope, bend = slds_inference.likelihood(centre + node * scale, trial)
        first, curvature = first + weight * slope, curvature + weight * bend
    first, curvature = first / math.sqrt(math.pi), curvature / math.sqrt(math.pi)
    with_one = jnp.concatenate([mean, jnp.ones_like(mean[:, :1])], axis=1)
    second = with_one[:, :, None] * with_one[:, None, :] + jnp.pad(covariance, ((0, 0), (0, 1), (0, 1)))
    slope = first.T @ with_one - jnp.pad(jnp.einsum("tn,tnd->nd", curvature, pulled), ((0, 0), (0, 1)))
    return slope, jnp.einsum("tn,tij->nij", curvature, second)


def _newton(parameters: Parameters, sums: Sums):
    """One step of each neuron's loadings and offset, (neuron, factor + 1)."""
    penalty = jnp.full(sums.slope.shape[1], RIDGE).at[-1].set(1e-3)
    pulled = jnp.concatenate([parameters.loadings, jnp.zeros_like(parameters.offset)[:, None]], axis=1)
    slope = sums.slope - penalty[None] * pulled
    step = jnp.linalg.solve(sums.curvature + jnp.diag(penalty)[None], slope[..., None])[..., 0]
    return jnp.clip(step, -1.0, 1.0)


def _dynamics(moments):
    """A, b and Q of each state."""
    factors = (moments.shape[1] - 1) // 2
    here, last = moments[:, :factors, :factors], moments[:, factors:, factors:]
    cross, bins = moments[:, :factors, factors:], moments[:, -1, -1]
    prior = PRIOR_BINS * PRIOR_NOISE * jnp.eye(factors + 1)[None]
    target = cross + prior[:, :-1]
    maps = jnp.linalg.solve(last + prior, target.transpose(0, 2, 1)).transpose(0, 2, 1)
    crossed = jnp.einsum("kij,klj->kil", maps, cross)
    spread = here - crossed - crossed.transpose(0, 2, 1) + jnp.einsum("kij,kjl,kml->kim", maps, last, maps)
    spread = spread + PRIOR_BINS * PRIOR_NOISE * jnp.eye(factors)[None]
    noise = spread / (bins + PRIOR_BINS)[:, None, None]
    noise = 0.5 * (noise + noise.transpose(0, 2, 1)) + 1e-5 * jnp.eye(factors)[None]
    return maps[:, :, :-1], maps[:, :, -1], noise


def still(seen: np.ndarray, states: int, factors: int) -> Parameters:
    """A sticky chain, slow decay in every state, no loadings: each neuron of `seen` has its mean."""
    counts = np.isfinite(seen).sum((0, 1))
    mean = np.maximum(np.nansum(seen, axis=(0, 1)) / np.maximum(counts, 1), SMALLEST_RATE)
    others = (1 - STICKY) / max(states - 1, 1)
    chain = np.full((states, states), others) + (STICKY - others) * np.eye(states)
    every = np.eye(factors)[None].repeat(states, axis=0)
    parts = (
        np.full(states, -math.log(states)),
        np.log(chain / chain.sum(axis=1, keepdims=True)),
        np.zeros(factors),
        np.eye(factors),
        0.98 * every,
        np.zeros((states, factors)),
        0.2 * every,
        np.zeros((seen.shape[2], factors)),
        np.log(np.expm1(mean)),
    )
    return Parameters(*(jnp.asarray(part, jnp.float32) for part in parts))


@eqx.filter_jit
def _fitted_loadings(parameters: Parameters, trials: Trial, guess: Guess) -> Parameters:
    """One Newton step of the loadings, the guess taken as certain."""

    def some(total, batch):
        sums = jax.vmap(lambda trial, mean: _emission_sums(parameters, trial, mean, _none(mean)))(*batch)
        return jax.tree.map(lambda all_, new: all_ + new.sum(axis=0), total, sums), None

    size = min(AT_ONCE, guess.mean.shape[0])
    batches = jax.tree.map(lambda leaf: _in_batches(leaf, size), (trials, guess.mean))
    neurons, rows = parameters.loadings.shape[0], parameters.loadings.shape[1] + 1
    zeros = jnp.zeros((neurons, rows)), jnp.zeros((neurons, rows, rows))
    (slope, curvature), _ = jax.lax.scan(some, zeros, batches)
    step = _newton(parameters, Sums(*[jnp.zeros(())] * 6, slope, curvature, jnp.zeros(())))
    moved = parameters.loadings + step[:, :-1], parameters.offset + step[:, -1]
    return eqx.tree_at(lambda one: (one.loadings, one.offset), parameters, moved)


@eqx.filter_jit
def _fitted_dynamics(parameters: Parameters, trials: Trial, guess: Guess) -> Parameters:
    """Dynamics by regression, the guess taken as certain."""

    def some(total, batch):
        trial, mean, states = batch
        used = trial.is_inside.at[:, 0].set(False).astype(jnp.float32)[:, :, None]
        moments = jax.vmap(lambda one: slds_inference.second_moments(one, _none(one), _none(one)))(mean)
        return total + jnp.einsum("rtk,rtij->kij", states * used, moments), None

    size = min(AT_ONCE, guess.mean.shape[0])
    batches = jax.tree.map(lambda leaf: _in_batches(leaf, size), (trials, *guess))
    states, factors = parameters.drift.shape
    zeros = jnp.zeros((states, 2 * factors + 1, 2 * factors + 1))
    dynamics, drift, noise = _dynamics(jax.lax.scan(some, zeros, batches)[0])
    root = jnp.linalg.cholesky(noise)
    return eqx.tree_at(
        lambda one: (one.dynamics, one.drift, one.noise_root), parameters, (dynamics, drift, root)
    )


def _none(mean):
    """A covariance of zero in every bin."""
    return jnp.zeros((*mean.shape, mean.shape[1]))
