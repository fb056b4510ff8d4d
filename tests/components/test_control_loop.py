"""The loop of controller and generator against its equations in NumPy and automatic differentiation."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.cells import GRU
from undertow.components.control_loop import LoopInputs, LoopState, LoopWeights, control_loop

CONTROLLER, LATENTS, FACTORS, INPUTS, TIME, TRIALS, MEMBERS = 4, 5, 3, 2, 6, 3, 2


def drawn(key, *shape, scale=1.0):
    return scale * jax.random.normal(key, shape)


def generator(limit, *recurrent):
    """A GRU with these recurrent kernels."""
    cell = GRU(0, LATENTS, limit=limit, key=jax.random.key(0))
    return eqx.tree_at(lambda cell: (cell.gates_kernel, cell.candidate_kernel), cell, recurrent)


def weights(limit=5.0, seed=0):
    keys = iter(jax.random.split(jax.random.key(seed), 9))
    return LoopWeights(
        controller=(drawn(next(keys), CONTROLLER, 2 * CONTROLLER), drawn(next(keys), CONTROLLER, CONTROLLER)),
        feedback_kernel=drawn(next(keys), FACTORS, 3 * CONTROLLER),
        posterior_kernel=drawn(next(keys), CONTROLLER, 2 * INPUTS, scale=0.5),
        posterior_bias=drawn(next(keys), 2 * INPUTS, scale=0.5),
        input_kernel=drawn(next(keys), INPUTS, 3 * LATENTS),
        generator=generator(
            limit, drawn(next(keys), LATENTS, 2 * LATENTS), drawn(next(keys), LATENTS, LATENTS)
        ),
        factors_kernel=drawn(next(keys), LATENTS, FACTORS),
        limit=jnp.float32(limit),
    )


def trial_of(*axes, seed=1):
    keys = iter(jax.random.split(jax.random.key(seed), 8))
    state = LoopState(*(drawn(next(keys), *axes, size, scale=0.2) for size in (CONTROLLER, LATENTS, FACTORS)))
    mask = lambda key, size: jax.random.bernoulli(key, 0.7, (*axes, TIME, size))  # noqa: E731
    inputs = LoopInputs(
        drawn(next(keys), *axes, TIME, 3 * CONTROLLER),
        drawn(next(keys), *axes, TIME, 3 * LATENTS),
        drawn(next(keys), *axes, TIME, INPUTS),
        1 + mask(next(keys), FACTORS).astype(jnp.float32),
        1 + mask(next(keys), LATENTS).astype(jnp.float32),
    )
    return state, inputs


def gru_step(recurrent, limit, state, gates):
    """The equations of cells.py."""
    sigmoid = lambda values: 1 / (1 + np.exp(-values))  # noqa: E731
    size = len(state)
    reset, update = np.split(sigmoid(gates[: 2 * size] + state @ recurrent[0]), 2)
    candidate = np.tanh(gates[2 * size :] + (reset * state) @ recurrent[1])
    return np.clip(update * state + (1 - update) * candidate, -limit, limit)


def by_equations(weights, state, inputs):
    plain = weights._replace(generator=weights.generator.recurrent)
    weights, state, inputs = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (plain, state, inputs))
    controller, latents, factors = state
    outputs = []
    for time in range(TIME):
        drive, generator_gates, noise, factors_mask, latents_mask = (array[time] for array in inputs)
        feedback = (factors_mask * factors) @ weights.feedback_kernel
        controller = gru_step(weights.controller, weights.limit, controller, drive + feedback)
        posterior = controller @ weights.posterior_kernel + weights.posterior_bias
        inferred = posterior[:INPUTS] + np.exp(posterior[INPUTS:] / 2) * noise
        gates = generator_gates + inferred @ weights.input_kernel
        latents = gru_step(weights.generator, weights.limit, latents, gates)
        factors = (latents_mask * latents) @ weights.factors_kernel
        outputs.append((latents, factors, posterior, inferred))
    return [np.stack(column) for column in zip(*outputs, strict=True)]


@pytest.mark.parametrize("backward", ["by_hand", "automatic"])
@pytest.mark.parametrize("limit", [5.0, 0.4])
def test_outputs_follow_the_equations(backward, limit):
    state, inputs = trial_of()
    outputs = control_loop(weights(limit), state, inputs, backward=backward)
    for value, expected in zip(outputs, by_equations(weights(limit), state, inputs), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def score(outputs):
    """A number that every output reaches with a weight of its own."""
    keys = jax.random.split(jax.random.key(5), 4)
    return sum(
        jnp.sum(value * jax.random.normal(key, value.shape)) for value, key in zip(outputs, keys, strict=True)
    )


@partial(jax.jit, static_argnames=("backward", "axes"))
def gradients(weights, state, inputs, *, backward, axes):
    """Of everything; those of the masks apart, because by hand they have none."""

    def loss(weights, state, inputs):
        run = lambda s, i: control_loop(weights, s, i, backward=backward)  # noqa: E731
        for _ in range(axes):
            run = jax.vmap(run)
        return score(run(state, inputs))

    of_weights, of_state, of_inputs = jax.grad(loss, argnums=(0, 1, 2))(weights, state, inputs)
    of_weights = of_weights._replace(generator=of_weights.generator.recurrent)
    return (of_weights[:-1], of_state, of_inputs[:3]), of_inputs[3:]


def assert_trees_close(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), first, second)


@pytest.mark.parametrize("limit", [5.0, 0.4], ids=["free", "clipped"])
def test_all_gradients_equal_automatic_ones(limit):
    """Of samples of trials: one vmap inside another."""
    state, inputs = trial_of(2, TRIALS)
    (by_hand, of_masks), (automatic, _) = (
        gradients(weights(limit), state, inputs, backward=backward, axes=2)
        for backward in ("by_hand", "automatic")
    )
    assert_trees_close(by_hand, automatic)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(by_hand))
    assert all((leaf == 0).all() for leaf in of_masks)


def test_gradients_of_a_population():
    members = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(weights(seed=seed) for seed in range(MEMBERS))
    )
    state, inputs = trial_of(MEMBERS, TRIALS)

    def loss(members, backward):
        one = lambda w, s, i: control_loop(w, s, i, backward=backward)  # noqa: E731
        return score(jax.vmap(jax.vmap(one, in_axes=(None, 0, 0)))(members, state, inputs))

    by_hand, automatic = (
        jax.jit(jax.grad(loss), static_argnums=1)(members, b) for b in ("by_hand", "automatic")
    )
    assert_trees_close(by_hand._replace(limit=0.0), automatic._replace(limit=0.0))
