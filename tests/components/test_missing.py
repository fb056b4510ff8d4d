"""What an encoder receives of missing entries, against the same written entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.missing import RULES, zero_where_missing

NEURONS, WIDTH = 4, 3
MEAN = jnp.asarray([0.5, 1.0, 2.0, 4.0])


def seen():
    counts = np.random.default_rng(0).poisson(2.0, (6, NEURONS)).astype(np.float32)
    counts[1, 2], counts[3], counts[:, 1] = np.nan, np.nan, np.nan
    return counts


def made(rule):
    return RULES[rule](MEAN, WIDTH, key=jax.random.key(0))


@pytest.mark.parametrize("rule", RULES)
def test_a_number_stands_for_what_was_not_observed(rule):
    value = {"mean": np.asarray(MEAN)}.get(rule, np.zeros(NEURONS))
    filled = np.asarray(zero_where_missing(made(rule).replaced(jnp.asarray(seen()))))
    expected = [[v if np.isnan(c) else c for c, v in zip(row, value, strict=True)] for row in seen()]
    np.testing.assert_array_equal(filled, expected)


def test_the_mask_stands_beside_the_features():
    missing, features = made("mask"), jnp.ones((6, WIDTH))
    inputs = np.asarray(missing.beside(features, jnp.asarray(seen())))
    assert inputs.shape == (6, WIDTH + missing.channels) == (6, 2 * WIDTH)
    np.testing.assert_array_equal(inputs[:, :WIDTH], 1)
    for row, told in zip(seen(), inputs[:, WIDTH:], strict=True):
        expected = sum((np.asarray(missing.mask[n]) for n in np.flatnonzero(np.isnan(row))), np.zeros(WIDTH))
        np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["zero", "mean"])
def test_others_add_no_channels(rule):
    features = jnp.ones((6, WIDTH))
    assert made(rule).channels == 0
    assert made(rule).beside(features, jnp.asarray(seen())) is features


def test_zeros_have_nothing_to_learn_and_the_others_do():
    assert {rule: len(jax.tree.leaves(made(rule))) for rule in RULES} == {"zero": 0, "mean": 1, "mask": 1}


def test_a_silent_neuron_and_an_unrecorded_one_differ_under_the_mask():
    missing, silent = made("mask"), jnp.zeros((1, NEURONS))
    lost = silent.at[0, 2].set(jnp.nan)
    told = [missing.beside(zero_where_missing(each), each) for each in (silent, lost)]
    assert (told[0] != told[1]).any()
