"""Divergences against closed forms of whole vectors, SciPy's densities and averages over samples."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from undertow.components.priors import PRIORS, draw, gaussian_divergence

TIME, SIZE = 5, 2
SAMPLES = 40_000


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=(TIME, SIZE)), rng.uniform(0.05, 0.5, (TIME, SIZE))
    return mean.astype(np.float32), variance.astype(np.float32)


def samples(posterior):
    mean, variance = map(jnp.asarray, posterior)
    noise = jax.random.normal(jax.random.key(0), (SAMPLES, TIME, SIZE))
    return jax.vmap(lambda one: draw(mean, variance, one))(noise)


def divergences(prior, posterior):
    """One number for each sample: the divergence of the whole trial."""
    mean, variance = map(jnp.asarray, posterior)
    return np.asarray(
        eqx.filter_jit(jax.vmap(lambda sample: prior.divergence(mean, variance, sample).sum()))(
            samples(posterior)
        ),
        np.float64,
    )


def multivariate_divergence(mean, covariance, prior_covariance):
    """KL between a normal vector and a centred one."""
    inverse = np.linalg.inv(prior_covariance)
    log_determinants = np.linalg.slogdet(prior_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (np.trace(inverse @ covariance) + mean @ inverse @ mean - len(mean) + log_determinants)


def autoregressive_covariance(tau, innovation):
    phi = np.exp(-1 / tau)
    lags = np.abs(np.subtract.outer(np.arange(TIME), np.arange(TIME)))
    return innovation / (1 - phi**2) * phi**lags


def test_gaussian_divergence_is_the_integral():
    mean, variance, prior_mean, prior_variance = 0.3, 0.2, -0.1, 0.5
    q, p = stats.norm(mean, variance**0.5), stats.norm(prior_mean, prior_variance**0.5)
    integral = integrate.quad(lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), -5, 5)[0]
    numbers = map(jnp.float32, (mean, variance, prior_mean, prior_variance))
    np.testing.assert_allclose(gaussian_divergence(*numbers), integral, rtol=1e-5)


def test_gaussian_prior_is_a_normal_of_variance_a_tenth(posterior):
    mean, variance = posterior
    prior = eqx.tree_at(lambda prior: prior.mean, PRIORS["gaussian"](SIZE), jnp.array([0.2, -0.4]))
    expected = sum(
        multivariate_divergence(mean[t] - np.array([0.2, -0.4]), np.diag(variance[t]), 0.1 * np.eye(SIZE))
        for t in range(TIME)
    )
    sample = jnp.zeros((TIME, SIZE))
    np.testing.assert_allclose(
        prior.divergence(jnp.asarray(mean), jnp.asarray(variance), sample).sum(), expected, rtol=1e-4
    )
    single = prior.divergence(jnp.array([0.2, -0.4]), jnp.full(2, 0.1), jnp.zeros(2))
    np.testing.assert_allclose(single, 0, atol=1e-6)


def test_autoregressive_divergence_is_that_of_the_whole_process(posterior):
    """The mean over samples equals the divergence between the two normal vectors of all bins."""
    mean, variance = posterior
    tau, innovation = np.array([3.0, 10.0]), np.array([0.2, 0.1])
    prior = eqx.tree_at(
        lambda prior: (prior.log_tau, prior.log_variance),
        PRIORS["autoregressive"](SIZE),
        (jnp.log(jnp.asarray(tau, jnp.float32)), jnp.log(jnp.asarray(innovation, jnp.float32))),
    )
    expected = sum(
        multivariate_divergence(
            mean[:, dimension].astype(float),
            np.diag(variance[:, dimension].astype(float)),
            autoregressive_covariance(tau[dimension], innovation[dimension]),
        )
        for dimension in range(SIZE)
    )
    drawn = divergences(prior, posterior)
    np.testing.assert_allclose(drawn.mean(), expected, atol=4 * drawn.std() / np.sqrt(SAMPLES))
    np.testing.assert_allclose(drawn.mean(), expected, rtol=0.01)


def test_autoregressive_divergence_varies_less_than_sampled_densities(posterior):
    """Its mean is that of log q - log p of the samples, its variance is smaller."""
    mean, variance = posterior
    prior = PRIORS["autoregressive"](SIZE)
    drawn, path = divergences(prior, posterior), np.asarray(samples(posterior), np.float64)
    log_posterior = stats.norm(mean, np.sqrt(variance)).logpdf(path).sum((1, 2))
    process = stats.multivariate_normal(np.zeros(TIME), autoregressive_covariance(10.0, 0.1))
    log_prior = process.logpdf(path[:, :, 0]) + process.logpdf(path[:, :, 1])
    sampled = log_posterior - log_prior
    assert abs(drawn.mean() - sampled.mean()) < 4 * (drawn - sampled).std() / np.sqrt(SAMPLES)
    assert drawn.std() < sampled.std()


def test_autoregressive_divergence_of_its_own_process_vanishes_at_one_bin():
    prior = PRIORS["autoregressive"](SIZE)
    stationary = jnp.full((1, SIZE), 0.1 / (1 - np.exp(-0.2)))
    zero = jnp.zeros((1, SIZE))
    np.testing.assert_allclose(prior.divergence(zero, stationary, zero), 0, atol=1e-5)


def test_student_divergence_is_the_ratio_of_scipys_densities(posterior):
    mean, variance = posterior
    prior = eqx.tree_at(
        lambda prior: prior.log_scale, PRIORS["student_t"](SIZE), jnp.log(jnp.array([0.3, 1.5]))
    )
    sample = np.random.default_rng(1).normal(size=(TIME, SIZE)).astype(np.float32)
    expected = stats.norm(mean, np.sqrt(variance)).logpdf(sample) - stats.t(5, scale=[0.3, 1.5]).logpdf(
        sample
    )
    divergence = prior.divergence(*map(jnp.asarray, (mean, variance, sample)))
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.exp(PRIORS["student_t"](1).log_scale) ** 2, 0.1, rtol=1e-5)


def test_no_prior_asks_nothing(posterior):
    mean, variance = map(jnp.asarray, posterior)
    assert (PRIORS["none"](SIZE).divergence(mean, variance, mean) == 0).all()


def test_draws_have_the_posteriors_moments(posterior):
    mean, variance = posterior
    drawn = np.asarray(samples(posterior))
    np.testing.assert_allclose(drawn.mean(0), mean, atol=5 * np.sqrt(variance.max() / SAMPLES))
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.05)
