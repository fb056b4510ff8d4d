"""Spikes with a memory: without it they are Poisson; with it what made them is found again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.spike_history import SpikeHistory, fit

TRIALS, TIME, NEURONS, MEMORY = 150, 200, 2, 5


@pytest.fixture(scope="module")
def rates():
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (TRIALS, 1, NEURONS))
    bins = np.arange(TIME)[None, :, None]
    return (0.25 + 0.15 * np.sin(bins / 12 + phase)).astype(np.float32)


@pytest.fixture(scope="module")
def truth():
    """A refractory neuron and one that bursts."""
    weights = np.array([[-4.0, -1.5, -0.5, 0.0, 0.0], [1.0, 0.5, 0.0, 0.0, 0.0]], np.float32)
    return SpikeHistory(jnp.asarray(weights), jnp.array([1.0, 0.9]), jnp.array([0.5, -0.2]))


def drawn(model, rates, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(rates))
    return np.asarray(jax.jit(jax.vmap(lambda r, k: model.sample(r, key=k)))(jnp.asarray(rates), keys))


def test_without_a_memory_expected_counts_are_the_rates(rates):
    none = SpikeHistory.none(NEURONS)
    np.testing.assert_allclose(
        none.expected(jnp.asarray(rates[0]), jnp.asarray(rates[0])), rates[0], rtol=1e-4
    )
    large = jnp.full((3, NEURONS), 7.0)
    np.testing.assert_allclose(none.expected(large, large), large, rtol=1e-5)
    counts = drawn(none, rates)
    assert counts.mean() == pytest.approx(rates.mean(), rel=0.02)


def test_the_memory_that_made_the_spikes_is_found_again(rates, truth):
    counts = drawn(truth, rates)
    found = fit(rates, counts, memory=MEMORY)
    np.testing.assert_allclose(found.weights[1], truth.weights[1], atol=0.15)
    assert found.weights[0, 0] < -2.5
    np.testing.assert_allclose(found.gain, truth.gain, atol=0.15)
    pairs = lambda k: (k[:, :-1] * k[:, 1:]).mean((0, 1))  # noqa: E731 - spikes in bins that follow each other
    poisson = drawn(SpikeHistory.none(NEURONS), rates, seed=1)
    again = drawn(found, rates, seed=2)
    np.testing.assert_allclose(pairs(again), pairs(counts), rtol=0.15, atol=0.003)
    assert (np.abs(pairs(poisson) - pairs(counts)) > 0.02).all()


def test_drawing_and_expecting_are_the_same_regression(rates, truth):
    """The mean of counts, given the counts before, is what `expected` says."""
    counts = drawn(truth, rates)
    expected = np.asarray(jax.vmap(truth.expected)(jnp.asarray(rates), jnp.asarray(counts)))
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6)):
        chosen = (expected >= low) & (expected < high)
        assert counts[chosen].mean() == pytest.approx(expected[chosen].mean(), rel=0.05, abs=0.002)


def test_entries_that_were_not_observed_have_no_part(rates, truth):
    counts = drawn(truth, rates)
    gaps = counts.copy()
    gaps[::3, 60:130, 1] = np.nan
    found, full = fit(rates, gaps, memory=MEMORY), fit(rates, counts, memory=MEMORY)
    np.testing.assert_array_equal(found.weights[0], full.weights[0])
    np.testing.assert_allclose(found.weights[1], full.weights[1], atol=0.15)
    silent = fit(rates, np.zeros_like(counts), memory=2)
    assert np.isfinite(silent.offset).all()
    assert (np.asarray(silent.expected(jnp.asarray(rates[0]), jnp.zeros_like(rates[0]))) < 0.05).all()


def test_the_published_form_takes_the_logarithm(rates):
    counts = drawn(SpikeHistory.none(NEURONS), rates)
    found = fit(rates, counts, memory=2, rate="log")
    expected = np.asarray(jax.vmap(found.expected)(jnp.asarray(rates), jnp.asarray(counts)))
    assert expected.mean() == pytest.approx(counts.mean(), rel=0.03)
    assert np.abs(np.asarray(found.weights)).max() < 0.15
