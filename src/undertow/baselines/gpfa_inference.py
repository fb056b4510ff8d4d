"""Gaussian-process factor analysis: the posterior of one trial, and expectation maximisation (Yu et al. 2009).

    x_d ~ GP(0, k_d),  k_d(t, s) = (1 - e) exp(-(t - s)^2 / 2 tau_d^2) + e [t = s],  e = 0.001
    y_t = C x_t + d + noise of variance R (a diagonal),   y = sqrt(counts)

Everything goes by B = I + L' W L, with L L' = K and W = C' R^-1 C over observed entries: its eigenvalues are at least 1, so it is
safe in float32, and entries that were not observed simply leave W. Times are in bins of the data, tau too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

OWN_NOISE = 1e-3
SMALLEST_SHARE = 0.01  # of a neuron's variance that is noise at least (Yu et al. 2009)
STEPS = (-0.3, -0.08, -0.02, 0.0, 0.02, 0.08, 0.3)  # of log tau that one iteration tries
RIDGE = 1e-4


class Parameters(eqx.Module):
    """C, d, R and log tau; rows of neurons that are never seen are zero, their R is 1."""

    loadings: Float[Array, "neuron factor"]
    offset: Float[Array, " neuron"]
    noise: Float[Array, " neuron"]
    log_scale: Float[Array, " factor"]


class Moments(NamedTuple):
    """Sums over trials and bins where a neuron was observed, with x~ = (x, 1); and the log-likelihood."""

    xx: Float[Array, "neuron row row"]
    yx: Float[Array, "neuron row"]
    yy: Float[Array, " neuron"]
    kernel: Float[Array, "factor time time"]
    log_likelihood: Float[Array, ""]


def coarse(
    seen: Float[Array, "time neuron"], group: int
) -> tuple[Float[Array, "coarse neuron"], Bool[Array, "coarse neuron"]]:
    """Square roots of counts in groups of bins, and what was observed; a bin missing in a group is taken to be like the rest."""
    padded = jnp.pad(seen, ((0, -seen.shape[0] % group), (0, 0)), constant_values=jnp.nan)
    groups = padded.reshape(-1, group, seen.shape[1])
    is_observed = jnp.isfinite(groups)
    observed = is_observed.sum(axis=1).astype(jnp.float32)
    total = jnp.where(is_observed, groups, 0.0).sum(axis=1)
    return jnp.sqrt(group * total / jnp.maximum(observed, 1.0)), observed > 0


def places(count: int, group: int) -> Float[Array, " coarse"]:
    """The centres of groups, in bins."""
    return jnp.arange(count, dtype=jnp.float32) * group + 0.5 * (group - 1)


def kernel(
    log_scale: Float[Array, " factor"], here: Float[Array, " one"], there: Float[Array, " other"]
) -> Float[Array, "factor one other"]:
    """The smooth part of k_d."""
    distance = (here[:, None] - there[None, :])[None] * jnp.exp(-log_scale)[:, None, None]
    return (1 - OWN_NOISE) * jnp.exp(-0.5 * distance**2)


def factor_of(
    log_scale: Float[Array, " factor"], times: Float[Array, " time"]
) -> Float[Array, "factor time time"]:
    """L of K = L L'."""
    return jnp.linalg.cholesky(kernel(log_scale, times, times) + OWN_NOISE * jnp.eye(times.shape[0])[None])


def information(
    parameters: Parameters, y: Float[Array, "time neuron"], is_observed: Bool[Array, "time neuron"]
) -> tuple[Float[Array, "time factor factor"], Float[Array, "time factor"]]:
    """W and b = C' R^-1 (y - d) of each bin, over observed entries."""
    weight = is_observed.astype(jnp.float32) / parameters.noise[None]
    scaled = weight[:, :, None] * parameters.loadings[None]
    residual = jnp.where(is_observed, y - parameters.offset[None], 0.0)
    return jnp.einsum("tnd,ne->tde", scaled, parameters.loadings), jnp.einsum("tnd,tn->td", scaled, residual)


def root(
    lower: Float[Array, "factor time time"], w: Float[Array, "time factor factor"]
) -> tuple[Float[Array, "row row"], Float[Array, ""]]:
    """The Cholesky factor of B, rows by factor and then time, and log det B."""
    factors, count, _ = lower.shape
    right = (
        w.transpose(1, 0, 2)[:, :, :, None] * lower.transpose(1, 0, 2)[None]
    )  # (factor, time, factor, time)
    right = right.reshape(factors, count, factors * count)
    inner = jnp.matmul(lower.transpose(0, 2, 1), right).reshape(factors * count, factors * count)
    cholesky = jnp.linalg.cholesky(inner + jnp.eye(factors * count))
    return cholesky, 2 * jnp.log(jnp.diagonal(cholesky)).sum()


def posterior_mean(
    parameters: Parameters, seen: Float[Array, "time neuron"], group: int
) -> Float[Array, "time factor"]:
    """The expected factors in every bin, also after the last observed one.

    Trials go one after another, for each needs a large matrix of its own.
    """
    y, is_observed = coarse(seen, group)
    times, bins = places(y.shape[0], group), jnp.arange(seen.shape[0], dtype=jnp.float32)

    @jax.custom_batching.sequential_vmap
    def weights_of(y, is_observed, parameters):
        lower = factor_of(parameters.log_scale, times)
        w, b = information(parameters, y, is_observed)
        cholesky, _ = root(lower, w)
        pulled = jnp.einsum("dut,ud->dt", lower, b).reshape(-1)
        solved = jax.scipy.linalg.cho_solve((cholesky, True), pulled).reshape(lower.shape[:2])
        return solve_triangular(lower, solved[..., None], lower=True, trans="T")[..., 0]

    across = kernel(parameters.log_scale, bins, times)
    return jnp.einsum("dtu,du->td", across, weights_of(y, is_observed, parameters))


def beginning(y: np.ndarray, is_observed: np.ndarray, factors: int, scale: float) -> Parameters:
    """Loadings along the principal components of (trial, time, neuron) values; every tau the same."""
    count = np.maximum(is_observed.sum(axis=(0, 1)), 1)
    mean = np.where(is_observed, y, 0).sum(axis=(0, 1)) / count
    centred = np.where(is_observed, y - mean, 0).reshape(-1, y.shape[2])
    covariance = centred.T @ centred / np.sqrt(np.outer(count, count))
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1], vectors[:, ::-1]
    rest = values[factors:].mean() if len(values) > factors else 0.0
    loadings = vectors[:, :factors] * np.sqrt(
        np.maximum(values[:factors] - rest, 0.1 * values[:factors].clip(1e-6))
    )
    variance = np.diagonal(covariance)
    noise = np.maximum(variance - (loadings**2).sum(axis=1), 0.1 * variance)
    noise = np.where(variance > 0, noise, 1.0)
    parts = loadings, mean, noise, np.full(factors, math.log(scale))
    return Parameters(*(jnp.asarray(part, jnp.float32) for part in parts))


@eqx.filter_jit
def moments(
    parameters: Parameters,
    y: Float[Array, "trial time neuron"],
    is_observed: Bool[Array, "trial time neuron"],
    is_another: Bool[Array, " trial"],
    group: int,
) -> Moments:
    """The E step. Trials of which the same was observed stand together; `is_another` marks the first of each such run."""
    factors, count, neurons = parameters.loadings.shape[1], y.shape[1], y.shape[2]
    lower = factor_of(parameters.log_scale, places(count, group))

    def solve(w):
        cholesky, log_determinant = root(lower, w)
        size = factors * count
        transposed = jnp.zeros((factors, count, factors, count))
        transposed = transposed.at[jnp.arange(factors), :, jnp.arange(factors), :].set(
            lower.transpose(0, 2, 1)
        )
        pulled = solve_triangular(cholesky, transposed.reshape(size, size), lower=True)
        half = pulled.reshape(size, factors, count)
        over_factors = jnp.einsum("ndt,net->tde", half, half)
        return half, over_factors, jnp.einsum("ndt,nds->dts", half, half), log_determinant

    def add(carry, trial):
        sums, of_pattern = carry
        y, is_observed, is_another = trial
        w, b = information(parameters, y, is_observed)
        of_pattern = jax.lax.cond(is_another, solve, lambda _: of_pattern, w)
        half, over_factors, over_time, log_determinant = of_pattern
        mean = jnp.einsum("ndt,n->td", half, jnp.einsum("ndt,td->n", half, b))
        over_factors = over_factors + mean[:, :, None] * mean[:, None, :]
        over_time = over_time + jnp.einsum("td,sd->dts", mean, mean)
        xx = jnp.zeros((count, factors + 1, factors + 1)).at[:, :-1, :-1].set(over_factors)
        xx = xx.at[:, -1, :-1].set(mean).at[:, :-1, -1].set(mean).at[:, -1, -1].set(1.0)
        observed = is_observed.astype(jnp.float32)
        residual = jnp.where(is_observed, y - parameters.offset[None], 0.0)
        with_one = jnp.concatenate([mean, jnp.ones((count, 1))], axis=1)
        fit = jnp.sum(residual**2 / parameters.noise[None]) - jnp.sum(b * mean)
        noise = jnp.sum(observed * jnp.log(2 * math.pi * parameters.noise)[None])
        new = Moments(
            jnp.einsum("tn,tij->nij", observed, xx),
            jnp.einsum("tn,ti->ni", residual, with_one),
            jnp.sum(residual**2, axis=0),
            over_time,
            -0.5 * (fit + noise + log_determinant),
        )
        return (jax.tree.map(jnp.add, sums, new), of_pattern), None

    rows = factors + 1
    zeros = Moments(
        jnp.zeros((neurons, rows, rows)),
        jnp.zeros((neurons, rows)),
        jnp.zeros(neurons),
        jnp.zeros((factors, count, count)),
        jnp.zeros(()),
    )
    w = jnp.zeros((count, factors, factors))
    of_pattern = jax.tree.map(lambda part: jnp.zeros(part.shape), jax.eval_shape(solve, w))
    (sums, _), _ = jax.lax.scan(add, (zeros, of_pattern), (y, is_observed, is_another))
    return sums._replace(kernel=sums.kernel / y.shape[0])


@eqx.filter_jit
def maximised(parameters: Parameters, sums: Moments, group: int) -> Parameters:
    """The M step: C, d and R in closed form, tau by trying steps. Sums of y are those of y - d."""
    count = jnp.maximum(sums.xx[:, -1, -1], 1.0)
    ridge = RIDGE * jnp.eye(sums.xx.shape[1])
    solved = jnp.linalg.solve(sums.xx + ridge[None], sums.yx[..., None])[..., 0]
    variance = sums.yy / count
    noise = variance - (solved * sums.yx).sum(axis=1) / count
    noise = jnp.maximum(noise, SMALLEST_SHARE * variance)
    return Parameters(
        solved[:, :-1],
        parameters.offset + solved[:, -1],
        jnp.where(variance > 0, noise, 1.0),
        _scales(parameters.log_scale, sums.kernel, group),
    )


def _scales(
    log_scale: Float[Array, " factor"], second: Float[Array, "factor time time"], group: int
) -> Float[Array, " factor"]:
    """The best of a few steps from log tau for the expected log-density of the factors, each on its own."""
    times = places(second.shape[1], group)
    tried = log_scale[None] + jnp.array(STEPS, jnp.float32)[:, None]

    def score(log_scale):
        lower = factor_of(log_scale, times)
        inner = solve_triangular(lower, second, lower=True)
        outer = solve_triangular(lower, inner.transpose(0, 2, 1), lower=True)
        logs = jnp.log(jnp.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return -logs - 0.5 * jnp.trace(outer, axis1=1, axis2=2)

    best = jnp.argmax(jax.lax.map(score, tried), axis=0)
    return jnp.take_along_axis(tried, best[None], axis=0)[0]
