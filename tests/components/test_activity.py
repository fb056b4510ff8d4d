"""Activity of counts against SciPy, its inverse, and what was not observed."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from undertow.components.activity import Activity, kernel, measured, smoothed

COUNTS = np.random.default_rng(0).poisson(1.0, (40, 3)).astype(np.float32)


def test_inside_a_trial_it_is_scipys_gaussian():
    found, weight = smoothed(jnp.asarray(COUNTS), jnp.ones(COUNTS.shape, bool), kernel(2.0))
    expected = gaussian_filter1d(COUNTS.astype(float), 2.0, axis=0, truncate=3.0)
    np.testing.assert_allclose(found[6:-6], expected[6:-6], rtol=1e-5)
    assert float(weight[20, 0]) == pytest.approx(1.0, abs=1e-6) and float(weight[0, 0]) < 0.7


def test_edges_and_gaps_do_not_sink():
    is_observed = np.ones(COUNTS.shape, bool)
    is_observed[10:13] = False
    found, _ = smoothed(jnp.full(COUNTS.shape, 2.0), jnp.asarray(is_observed), kernel(2.0))
    np.testing.assert_allclose(found, 2.0, rtol=1e-5)


@pytest.mark.parametrize("margin", [2, 6, 9])
def test_with_what_lies_around_it_is_the_whole_smoothed_and_then_cut(margin):
    """As far as the margin reaches: a kernel of two bins ends after six."""
    long, start, time = np.random.default_rng(3).poisson(1.0, (70, 3)).astype(np.float32), 20, 30
    trial = long[start : start + time].copy()
    trial[12, 1] = np.nan
    around = long[start - margin : start + time + margin].copy()
    around[margin : margin + time] = np.nan
    found, weight = smoothed(jnp.asarray(trial), jnp.isfinite(trial), kernel(2.0), jnp.asarray(around))
    known = np.full_like(long, np.nan)
    known[start - margin : start + time + margin] = long[start - margin : start + time + margin]
    known[start + 12, 1] = np.nan
    whole, weights = smoothed(jnp.asarray(known), jnp.isfinite(known), kernel(2.0))
    np.testing.assert_allclose(found, whole[start : start + time], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weight, weights[start : start + time], rtol=1e-5)


def test_what_lies_around_tells_nothing_of_a_neuron_that_is_hidden_throughout():
    is_observed = jnp.ones(COUNTS.shape, bool).at[:, 1].set(False)
    _, weight = smoothed(jnp.asarray(COUNTS), is_observed, kernel(2.0), jnp.ones((60, 3)))
    assert (weight[:, 1] == 0).all() and (weight[:, 0] > 0.99).all()


def test_activity_is_as_even_at_the_edges_as_inside():
    """Without what lies around, the noise of the first bin is 1.27 times that of the inside."""
    long = np.random.default_rng(5).poisson(1.0, (4000, 30, 1)).astype(np.float32)
    trials, around = long[:, 10:20], long.copy()
    around[:, 10:20] = np.nan
    ratios = []
    for beside in (None, around):
        mean, scale = measured(trials, 1.0, "identity", beside)
        of_trial = Activity(
            jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32), kernel(1.0), "identity", False
        )
        activity = jax.vmap(
            lambda counts, own, of_trial=of_trial: replace(of_trial, around=own).of(
                counts, jnp.ones(counts.shape, bool)
            )
        )(jnp.asarray(trials), None if beside is None else jnp.asarray(beside))
        ratios.append(float(activity[:, 0].std() / activity[:, 5].std()))
    assert ratios[0] == pytest.approx(1.27, abs=0.04)
    assert ratios[1] == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("transform", ["identity", "sqrt"])
def test_rates_are_the_inverse_of_activity(transform):
    mean, scale = measured(COUNTS[None], 1.5, transform)
    activity = Activity(
        jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32), kernel(1.5), transform, False
    )
    is_observed = jnp.ones(COUNTS.shape, bool)
    standard = activity.of(jnp.asarray(COUNTS), is_observed)
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std(0), 1, rtol=1e-4)
    smooth, _ = smoothed(jnp.asarray(COUNTS), is_observed, kernel(1.5))
    np.testing.assert_allclose(activity.rates(standard, 1e-4), np.maximum(smooth, 1e-4), rtol=1e-4, atol=1e-5)


def test_counts_as_they_are_have_the_mean_of_their_rates():
    activity = Activity(
        jnp.array([1.0, 0.5, 2.0]), jnp.array([0.5, 1.0, 2.0]), kernel(1.5), "identity", False
    )
    is_observed = jnp.ones(COUNTS.shape, bool).at[3, 1].set(False)
    standard = activity.unsmoothed(jnp.asarray(COUNTS), is_observed)
    back = activity.rates(standard, 0.0)
    np.testing.assert_allclose(np.delete(back, 3, 0), np.delete(COUNTS, 3, 0), rtol=1e-5, atol=1e-6)
    assert standard[3, 1] == 0
    noise = np.random.default_rng(1).standard_normal((4000, 1)).astype(np.float32)
    smooth, _ = smoothed(jnp.asarray(noise), jnp.ones(noise.shape, bool), kernel(1.5))
    assert activity.evenness() == pytest.approx(float(smooth.var()), rel=0.1)


def test_a_neuron_that_was_never_observed_takes_the_mean_of_the_others():
    counts = COUNTS.copy()
    counts[:, 1] = np.nan
    mean, scale = measured(counts[None], 1.0, "identity")
    assert mean[1] == pytest.approx(mean[[0, 2]].mean()) and scale[1] > 0
