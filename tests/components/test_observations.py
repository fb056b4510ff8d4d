"""Observation models against SciPy's distributions: likelihood, samples, start and support."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from undertow.components.observations import OBSERVATIONS, SUPPORTS

COUNTS = np.array([0.0, 1.0, 2.0, 7.0, 40.0], np.float32)
SAMPLES = 60_000


def likelihood(observation, parameters, values):
    """Of one neuron: parameters (parameter,), values (value,)."""
    spread = jnp.broadcast_to(jnp.asarray(parameters, jnp.float32), (len(values), 1, len(parameters)))
    return np.asarray(observation.log_likelihood(spread, jnp.asarray(values)[:, None]))[:, 0]


def mean(observation, parameters):
    return float(observation.mean(jnp.asarray(parameters, jnp.float32)[None, None])[0, 0])


def dispersed(dispersion):
    observation = OBSERVATIONS["negative_binomial"](1)
    return eqx.tree_at(lambda o: o.log_dispersion, observation, jnp.log(jnp.array([dispersion], jnp.float32)))


@pytest.mark.parametrize("rate", [1e-3, 0.4, 30.0])
def test_poisson(rate):
    expected = stats.poisson(rate).logpmf(COUNTS)
    np.testing.assert_allclose(
        likelihood(OBSERVATIONS["poisson"](1), [np.log(rate)], COUNTS), expected, rtol=2e-5, atol=1e-5
    )


@pytest.mark.parametrize("rate", [0.05, 0.4, 30.0])
@pytest.mark.parametrize("dispersion", [0.2, 3.0, 50.0])
def test_negative_binomial(rate, dispersion):
    expected = stats.nbinom(dispersion, dispersion / (dispersion + rate)).logpmf(COUNTS)
    np.testing.assert_allclose(
        likelihood(dispersed(dispersion), [np.log(rate)], COUNTS), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dispersion", [1e3, 1e4, 1e5])
def test_negative_binomial_without_dispersion_is_a_poisson(dispersion):
    expected = stats.nbinom(dispersion, dispersion / (dispersion + 0.4)).logpmf(COUNTS[:4])
    np.testing.assert_allclose(
        likelihood(dispersed(dispersion), [np.log(0.4)], COUNTS[:4]), expected, atol=2e-4
    )


@pytest.mark.parametrize("parameters", [(0.3, -1.0), (-4.0, 2.0)])
def test_gaussian(parameters):
    values = np.array([-3.0, 0.0, 0.3, 5.0], np.float32)
    expected = stats.norm(parameters[0], np.exp(parameters[1] / 2)).logpdf(values)
    np.testing.assert_allclose(
        likelihood(OBSERVATIONS["gaussian"](1), parameters, values), expected, rtol=1e-5
    )


@pytest.mark.parametrize(("location", "shape"), [(0.5, 0.3), (2.0, 1.0), (10.0, 20.0)])
def test_gamma(location, shape):
    values = np.array([1e-3, 0.4, 2.0, 9.0], np.float32)
    expected = stats.gamma(shape, scale=location / shape).logpdf(values)
    parameters = (np.log(location), np.log(shape))
    np.testing.assert_allclose(
        likelihood(OBSERVATIONS["gamma"](1), parameters, values), expected, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(mean(OBSERVATIONS["gamma"](1), parameters), location, rtol=1e-5)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("parameters", [(0.5, -1.0, -2.0), (-3.0, 0.2, 1.0)])
def test_zero_inflated_gamma(parameters):
    q, shape, rate = sigmoid(parameters[0]), 20 * sigmoid(parameters[1]), 20 * sigmoid(parameters[2])
    values = np.array([0.0, 0.15, 0.7, 3.0], np.float32)
    events = np.log(q) + stats.gamma(shape, loc=0.1, scale=1 / rate).logpdf(values[1:].astype(float))
    expected = np.concatenate([[np.log1p(-q)], events])
    observation = OBSERVATIONS["zero_inflated_gamma"](1)
    np.testing.assert_allclose(likelihood(observation, parameters, values), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(mean(observation, parameters), q * (shape / rate + 0.1), rtol=1e-5)


def scaled(*scales):
    """A zero-inflated Gamma of one neuron with these scales of shape and rate."""
    logs = [jnp.log(jnp.array([scale], jnp.float32)) for scale in scales]
    return eqx.tree_at(
        lambda o: [o.log_shape_scale, o.log_rate_scale], OBSERVATIONS["zero_inflated_gamma"](1), logs
    )


@pytest.mark.parametrize(("scales", "bounded"), [((3.0, 70.0), (3, 70)), ((0.2, 400.0), (1, 100))])
def test_scales_of_zero_inflated_gamma_are_each_neurons_own_and_bounded(scales, bounded):
    parameters, values = (0.5, -1.0, -2.0), np.array([0.15, 0.7, 3.0], np.float32)
    shape, rate = (scale * sigmoid(logit) for scale, logit in zip(bounded, parameters[1:], strict=True))
    q = sigmoid(parameters[0])
    expected = np.log(q) + stats.gamma(shape, loc=0.1, scale=1 / rate).logpdf(values.astype(float))
    np.testing.assert_allclose(
        likelihood(scaled(*scales), parameters, values), expected, rtol=1e-3, atol=1e-3
    )


def test_scales_of_zero_inflated_gamma_cost_their_distance_from_the_prior():
    assert set(scaled(20, 20).weights) == set(scaled(20, 20).penalties()) == {"observation_penalty"}
    np.testing.assert_allclose(scaled(20.0, 20.0).penalties()["observation_penalty"], 0, atol=1e-6)
    cost = scaled(23.0, 16.0).penalties()["observation_penalty"]
    np.testing.assert_allclose(cost, 0.5 * (3**2 + 4**2), rtol=1e-4)
    pull = eqx.filter_grad(lambda o: o.penalties()["observation_penalty"])(scaled(0.2, 400.0))
    assert pull.log_shape_scale < 0 < pull.log_rate_scale, "from beyond the bounds back to the prior"


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_penalties_are_weighed(kind):
    observation = OBSERVATIONS[kind](3)
    assert set(observation.weights) == set(observation.penalties())


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_zero_inflated_or_not_gradients_are_finite_at_the_edges(kind):
    observation = OBSERVATIONS[kind](1)
    values = {"gamma": jnp.array([[1e-3], [50.0]])}.get(kind, jnp.array([[0.0], [50.0]]))
    parameters = jnp.full((2, 1, observation.parameters), -3.0)
    gradient = jax.grad(lambda p: observation.log_likelihood(p, values).sum())(parameters)
    assert np.isfinite(gradient).all()


MOMENTS = {
    "poisson": ((np.log(2.0),), lambda m: m),
    "negative_binomial": ((np.log(2.0),), lambda m: m + m**2 / 10),
    "gaussian": ((-1.0, np.log(3.0)), lambda m: 3.0),
    "gamma": ((np.log(2.0), np.log(4.0)), lambda m: m**2 / 4),
    "zero_inflated_gamma": ((0.4, -1.0, -1.5), None),
}


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_samples_have_the_mean_and_the_variance(kind):
    observation, (parameters, variance_of) = OBSERVATIONS[kind](1), MOMENTS[kind]
    spread = jnp.broadcast_to(jnp.asarray(parameters, jnp.float32), (SAMPLES, 1, len(parameters)))
    drawn = np.asarray(observation.sample(spread, key=jax.random.key(0)), np.float64)
    expected = mean(observation, parameters)
    np.testing.assert_allclose(drawn.mean(), expected, atol=4 * drawn.std() / np.sqrt(SAMPLES))
    if variance_of is not None:
        np.testing.assert_allclose(drawn.var(), variance_of(expected), rtol=0.06)
    assert np.asarray(SUPPORTS[observation.support][1](drawn)).all()


def test_zero_inflated_samples_are_zero_as_often_as_they_should():
    observation, parameters = OBSERVATIONS["zero_inflated_gamma"](1), MOMENTS["zero_inflated_gamma"][0]
    spread = jnp.broadcast_to(jnp.asarray(parameters, jnp.float32), (SAMPLES, 1, 3))
    drawn = np.asarray(observation.sample(spread, key=jax.random.key(0)))
    np.testing.assert_allclose((drawn > 0).mean(), sigmoid(0.4), atol=0.01)
    assert drawn[drawn > 0].min() >= 0.1


@pytest.mark.parametrize("kind", OBSERVATIONS)
@settings(max_examples=15, deadline=None)
@given(average=st.floats(0.01, 0.9), spread=st.floats(0.05, 2.0))
def test_the_start_gives_the_datas_mean(kind, average, spread):
    observation = OBSERVATIONS[kind](1)
    start = observation.start(jnp.array([average], jnp.float32), jnp.array([spread], jnp.float32))
    assert start.shape == (1, observation.parameters)
    np.testing.assert_allclose(observation.mean(start[None])[0, 0], average, rtol=1e-3)


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_the_start_is_finite_for_silent_neurons(kind):
    start = OBSERVATIONS[kind](2).start(jnp.zeros(2), jnp.zeros(2))
    assert np.isfinite(start).all()


def test_the_start_gives_the_gammas_variance():
    observation = OBSERVATIONS["gamma"](1)
    start = observation.start(jnp.array([2.0]), jnp.array([1.6]))
    np.testing.assert_allclose(np.exp(start[0]), [2.0, 2.0**2 / 1.6], rtol=1e-5)


OUTSIDE = {
    "counts": ([0.0, 3.0], [-1.0, 0.5]),
    "real": ([-2.5, 0.0], []),
    "positive": ([1e-3, 4.0], [0.0, -1.0]),
    "non_negative": ([0.0, 0.3], [-1e-3]),
}


@pytest.mark.parametrize("support", SUPPORTS)
def test_supports(support):
    inside, outside = OUTSIDE[support]
    is_inside = SUPPORTS[support][1]
    assert is_inside(np.array(inside)).all()
    assert not is_inside(np.array(outside)).any()
    assert {OBSERVATIONS[kind](1).support for kind in OBSERVATIONS} == set(SUPPORTS)
