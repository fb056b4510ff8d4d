"""The affine map over trials laid end to end, against NumPy and against automatic differentiation of the plain product."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.affine import affine

MEMBERS, TRIALS, TIME, INPUTS, OUTPUTS = 2, 3, 4, 5, 6


def drawn(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def plain(kernel, bias, tokens):
    outputs = tokens @ kernel
    return outputs + jnp.broadcast_to(bias, outputs.shape)


def loss(function, kernel, bias, tokens):
    return jnp.sum(jnp.sin(jax.vmap(lambda trial: function(kernel, bias, trial))(tokens)))


def gradients(function):
    return jax.grad(lambda *arguments: loss(function, *arguments), argnums=(0, 1, 2))


@pytest.mark.parametrize("shape", [(INPUTS,), (TIME, INPUTS)])
def test_it_is_its_formula_for_one_token_and_for_many(shape):
    kernel, bias, tokens = drawn(INPUTS, OUTPUTS), drawn(OUTPUTS, seed=1), drawn(TRIALS, *shape, seed=2)
    expected = np.asarray(tokens, np.float64) @ np.asarray(kernel) + np.asarray(bias)
    np.testing.assert_allclose(affine(kernel, bias, tokens[0]), expected[0], rtol=1e-5, atol=1e-6)
    mapped = jax.vmap(lambda trial: affine(kernel, bias, trial))(tokens)
    np.testing.assert_allclose(mapped, expected, rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_automatic_differentiation():
    arguments = drawn(INPUTS, OUTPUTS), drawn(OUTPUTS, seed=1), drawn(TRIALS, TIME, INPUTS, seed=2)
    for ours, theirs in zip(gradients(affine)(*arguments), gradients(plain)(*arguments), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_each_member_of_a_population_has_its_own_gradients():
    """Members mapped around the gradient, as a search does, share the trials but not the map."""
    kernels, biases = drawn(MEMBERS, INPUTS, OUTPUTS), drawn(MEMBERS, OUTPUTS, seed=1)
    tokens = drawn(TRIALS, TIME, INPUTS, seed=2)
    ours = jax.vmap(gradients(affine), in_axes=(0, 0, None))(kernels, biases, tokens)
    for member in range(MEMBERS):
        for mine, theirs in zip(ours, gradients(plain)(kernels[member], biases[member], tokens), strict=True):
            np.testing.assert_allclose(mine[member], theirs, rtol=1e-5, atol=1e-6)


def test_maps_of_their_own_for_each_trial_stay_apart():
    kernels, biases = drawn(TRIALS, INPUTS, OUTPUTS), drawn(TRIALS, OUTPUTS, seed=1)
    tokens = drawn(TRIALS, TIME, INPUTS, seed=2)
    np.testing.assert_allclose(
        jax.vmap(affine)(kernels, biases, tokens),
        jax.vmap(plain)(kernels, biases, tokens),
        rtol=1e-5,
        atol=1e-6,
    )
