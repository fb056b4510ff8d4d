"""Priors of codes: their moments, what they refuse, and a learned one that finds what it was shown."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.code_priors import CODE_PRIORS, LearnedPrior, check_prior
from undertow.vocabulary import UndertowError


def draws(kind, dimension, count=4000):
    keys = jax.random.split(jax.random.key(0), count)
    return np.asarray(jax.vmap(lambda key: CODE_PRIORS[kind](dimension, key=key))(keys))


def test_normals_and_ten_modes_on_a_circle():
    codes = draws("normal", 3)
    np.testing.assert_allclose(codes.std(0), 1, rtol=0.05)
    codes = draws("ten_modes", 4)
    pairs = codes.reshape(-1, 2, 2)
    radius = np.linalg.norm(pairs, axis=2)
    assert radius.mean() == pytest.approx(1.4, abs=0.03)
    is_outside = radius > 1.2
    turn = np.arctan2(pairs[..., 1], pairs[..., 0])[is_outside] / (2 * np.pi / 10)
    assert np.abs(turn - np.round(turn)).mean() < 0.15  # even turns would be 0.25 away


def test_a_roll_is_a_curve():
    codes = draws("swiss_roll", 2) * 5
    assert 2.0 < np.linalg.norm(codes, axis=1).min() < np.linalg.norm(codes, axis=1).max() < 17


def test_dimensions_that_a_prior_has_no_place_for_are_refused():
    with pytest.raises(UndertowError, match="odd"):
        check_prior("ten_modes", 5)
    with pytest.raises(UndertowError, match="plane"):
        check_prior("swiss_roll", 3)


def test_what_a_learned_prior_sends_to_codes_is_nothing():
    prior = LearnedPrior(3, 16, 2, key=jax.random.key(0))
    gradient = jax.grad(lambda code: prior.error(code, jnp.float32(0.7), key=jax.random.key(1)))(jnp.ones(3))
    np.testing.assert_array_equal(gradient, 0)
