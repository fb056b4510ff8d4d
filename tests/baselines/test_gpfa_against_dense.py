"""GPFA against the dense Gaussian that it is, and its learning."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from undertow.baselines import gpfa_inference
from undertow.baselines.gpfa import Observations, expectation_maximisation
from undertow.baselines.gpfa_inference import Parameters

TIME, NEURONS, FACTORS, GROUP = 8, 5, 2, 2


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    parameters = Parameters(
        jnp.asarray(rng.normal(size=(NEURONS, FACTORS)), jnp.float32),
        jnp.asarray(rng.normal(size=NEURONS), jnp.float32),
        jnp.asarray(rng.uniform(0.2, 1.0, NEURONS), jnp.float32),
        jnp.log(jnp.array([2.0, 5.0], jnp.float32)),
    )
    y = rng.normal(size=(3, TIME, NEURONS)).astype(np.float32)
    is_observed = np.ones(y.shape, bool)
    is_observed[1, 2:4, 1] = False
    is_observed[2, 5:] = False
    return parameters, y, is_observed


def dense(parameters, times):
    """Covariance of all factors at `times` (factor, time, time), by the formula in float64."""
    scale = np.exp(np.asarray(parameters.log_scale, float))
    distance = times[:, None] - times[None]
    smooth = (1 - 1e-3) * np.exp(-0.5 * (distance[None] / scale[:, None, None]) ** 2)
    return smooth + 1e-3 * (distance == 0)


def of_trial(parameters, is_observed, times):
    """The rows of C for every observed entry against all (factor, time), and their noise."""
    loadings, noise = np.asarray(parameters.loadings, float), np.asarray(parameters.noise, float)
    rows = [(t, n) for t in range(len(times)) for n in range(NEURONS) if is_observed[t, n]]
    maps = np.zeros((len(rows), FACTORS, len(times)))
    for place, (t, n) in enumerate(rows):
        maps[place, :, t] = loadings[n]
    return maps.reshape(len(rows), -1), np.array([noise[n] for _, n in rows]), rows


def test_the_log_likelihood_is_that_of_the_dense_gaussian(case):
    parameters, y, is_observed = case
    times = np.asarray(gpfa_inference.places(TIME, GROUP), float)
    prior = np.zeros((FACTORS * TIME, FACTORS * TIME))
    for factor, block in enumerate(dense(parameters, times)):
        prior[factor * TIME : (factor + 1) * TIME, factor * TIME : (factor + 1) * TIME] = block
    expected = 0.0
    for trial, mask in zip(y, is_observed, strict=True):
        maps, noise, rows = of_trial(parameters, mask, times)
        mean = [float(parameters.offset[n]) for _, n in rows]
        values = [trial[t, n] for t, n in rows]
        expected += multivariate_normal(mean, maps @ prior @ maps.T + np.diag(noise)).logpdf(values)
    sums = Observations(y, is_observed, np.ones(3, bool), GROUP).moments(parameters)
    np.testing.assert_allclose(sums.log_likelihood, expected, rtol=1e-4)


def test_factors_are_the_conditional_means_also_between_and_after_the_observations(case):
    parameters, _, _ = case
    counts = np.random.default_rng(1).poisson(2.0, (16, NEURONS)).astype(np.float32)
    counts[4:6, 0] = np.nan
    counts[10:] = np.nan
    y, is_observed = (np.asarray(part) for part in gpfa_inference.coarse(jnp.asarray(counts), GROUP))
    times, bins = np.asarray(gpfa_inference.places(8, GROUP), float), np.arange(16.0)
    every = np.concatenate([times, bins])
    blocks = dense(parameters, every)
    maps, noise, rows = of_trial(parameters, is_observed, times)
    prior = np.zeros((FACTORS * 8, FACTORS * 8))
    across = np.zeros((FACTORS, 16, FACTORS * 8))
    for factor, block in enumerate(blocks):
        prior[factor * 8 : factor * 8 + 8, factor * 8 : factor * 8 + 8] = block[:8, :8]
        across[factor, :, factor * 8 : factor * 8 + 8] = block[8:, :8]
    residual = np.array([y[t, n] - float(parameters.offset[n]) for t, n in rows])
    solved = np.linalg.solve(maps @ prior @ maps.T + np.diag(noise), residual)
    expected = np.einsum("dtr,r->td", across, maps.T @ solved)
    found = gpfa_inference.posterior_mean(parameters, jnp.asarray(counts), GROUP)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_learning_never_loses_likelihood_and_finds_the_time_scales():
    rng = np.random.default_rng(2)
    times = np.arange(40.0)
    truth = np.array([2.0, 8.0])
    roots = [
        np.linalg.cholesky(np.exp(-0.5 * ((times[:, None] - times) / scale) ** 2) + 1e-3 * np.eye(40))
        for scale in truth
    ]
    factors = np.stack([rng.normal(size=(30, 40)) @ root.T for root in roots], axis=2)
    loadings = np.linalg.qr(rng.normal(size=(10, 2)))[0] * 2
    y = (factors @ loadings.T + 0.5 * rng.normal(size=(30, 40, 10))).astype(np.float32)
    observations = Observations(y, np.ones(y.shape, bool), np.arange(30) == 0, 1)
    parameters = gpfa_inference.beginning(y, observations.is_observed, 2, 4.0)
    likelihoods = []
    for _ in range(30):
        sums = observations.moments(parameters)
        likelihoods.append(float(sums.log_likelihood))
        parameters = gpfa_inference.maximised(parameters, sums, 1)
    assert (np.diff(likelihoods) > -1e-4 * abs(likelihoods[-1])).all()
    assert likelihoods[-1] > likelihoods[0] + 50
    np.testing.assert_allclose(np.sort(np.exp(parameters.log_scale)), truth, rtol=0.15)
    np.testing.assert_allclose(parameters.noise, 0.25, rtol=0.2)
    again, per_entry = expectation_maximisation(observations, 2, 4.0, 30)
    np.testing.assert_allclose(per_entry, likelihoods[-1] / y.size, rtol=1e-3)
    assert again.loadings.shape == (10, 2)


def test_groups_of_bins_are_summed_and_gaps_filled():
    counts = np.array([[1, 2], [3, np.nan], [4, np.nan], [0, np.nan], [9, 1]], np.float32)
    y, is_observed = gpfa_inference.coarse(jnp.asarray(counts), 2)
    np.testing.assert_allclose(y**2, [[4, 4], [4, 0], [18, 2]], rtol=1e-6)
    np.testing.assert_array_equal(is_observed, [[1, 1], [1, 0], [1, 1]])
