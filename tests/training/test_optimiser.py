"""Schedules against their formulae, the update against optax.adamw."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from undertow.training.optimiser import (
    LOSS_SCALE,
    Optimiser,
    apply,
    direct,
    follow_plateau,
    gradient_norm,
    layout_of,
    learning_rate,
    start_plateau,
    transformation,
    with_decay,
)


def rate(optimiser, update, *, base=0.01, scale=1.0, all_updates=100):
    plateau = start_plateau()._replace(scale=jnp.float32(scale))
    return float(learning_rate(optimiser, jnp.float32(base), plateau, jnp.int32(update), all_updates))


@pytest.mark.parametrize("update", [0, 13, 50, 99, 100, 140])
def test_cosine(update):
    expected = max(0.005 * (1 + np.cos(np.pi * min(update / 100, 1))), 1e-5)
    np.testing.assert_allclose(rate(Optimiser(schedule="cosine"), update), expected, rtol=1e-3)


@pytest.mark.parametrize("schedule", ["constant", "plateau", "cosine"])
def test_warm_up_rises_in_equal_steps(schedule):
    optimiser = Optimiser(schedule=schedule, warm_up=4)
    rates = [rate(optimiser, update, all_updates=10**6) for update in range(6)]
    np.testing.assert_allclose(rates, 0.01 * np.array([0.25, 0.5, 0.75, 1, 1, 1]), rtol=1e-4)


def test_the_smallest_rate_bounds_the_plateau_but_raises_nothing():
    assert rate(Optimiser(schedule="plateau", smallest_learning_rate=1e-3), 5, scale=1e-6) == pytest.approx(
        1e-3
    )
    assert rate(Optimiser(schedule="plateau", smallest_learning_rate=1e-3), 5, base=1e-4) == pytest.approx(
        1e-4
    )


def follow(scores, **keys):
    """The scale after each score."""
    optimiser, plateau, scales = Optimiser(schedule="plateau", **keys), start_plateau(), []
    for score in scores:
        plateau = follow_plateau(optimiser, plateau, jnp.float32(score))
        scales.append(float(plateau.scale))
    return scales


def test_the_plateau_shrinks_after_the_patience_and_counts_anew():
    scores = [5, 4, 4, 4, 4, 4, 4, 3, 3]
    expected = [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert follow(scores, plateau_factor=0.5, plateau_patience=2) == expected


def test_the_plateau_survives_a_score_that_is_no_number():
    assert follow([np.nan, 3, 2, 1, 0.5], plateau_factor=0.5, plateau_patience=1) == [1, 1, 1, 1, 1]
    assert follow([3, np.nan, np.nan, 2], plateau_factor=0.5, plateau_patience=1) == [1, 1, 0.5, 0.5]


def test_other_schedules_do_not_follow_the_plateau():
    plateau = follow_plateau(
        Optimiser(schedule="constant", plateau_patience=0), start_plateau(), jnp.float32(1)
    )
    assert plateau == start_plateau()


def parameters_and_gradients():
    rng = np.random.default_rng(0)
    draw = lambda scale: {  # noqa: E731
        "kernel": jnp.asarray(scale * rng.normal(size=(3, 4)), jnp.float32),
        "gates_kernel": jnp.asarray(scale * rng.normal(size=(2, 5)), jnp.float32),
    }
    return draw(1.0), [draw(3.0) for _ in range(6)]


def follow_optax(expected, optax_transformation, gradients):
    """The parameters after these gradients by Optax, leaf by leaf."""
    state = optax_transformation.init(expected)
    for gradient in gradients:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optax_transformation.update(gradient, state, expected)
        expected = optax.apply_updates(expected, updates)
    return expected


def follow_ours(parameters, optimiser, gradients, *, decay):
    """The same by our update of one vector."""
    layout = layout_of(parameters)
    ours = layout.packed(parameters)
    state = transformation(optimiser).init(ours)
    for gradient in gradients:
        scaled = with_decay(optimiser, layout.packed(gradient), ours, jnp.float32(decay))
        direction, state = direct(optimiser, scaled, state)
        ours = apply(optimiser, ours, direction, jnp.float32(0.02), jnp.float32(decay), layout.kernels)
    return layout.unpacked(ours)


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_updates_equal_adamw(decay):
    parameters, gradients = parameters_and_gradients()
    optimiser = Optimiser(max_gradient_norm=1e9, beta1=0.8, beta2=0.95, epsilon=1e-4)
    adamw = optax.adamw(0.02, b1=0.8, b2=0.95, eps=1e-4, weight_decay=decay)
    expected = follow_optax(parameters, adamw, gradients)
    ours = follow_ours(parameters, optimiser, gradients, decay=decay)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), ours, expected)


def test_coupled_decay_is_part_of_the_gradient_of_every_parameter():
    """As in PyTorch's Adam, on the gradient of the loss before it is scaled."""
    parameters, gradients = parameters_and_gradients()
    parameters = {"up": parameters, "bias": jnp.ones(3)}
    gradients = [{"up": gradient, "bias": jnp.full(3, 0.1)} for gradient in gradients]
    optimiser = Optimiser(max_gradient_norm=1e9, epsilon=1e-4, decay="coupled")
    adam = optax.chain(optax.add_decayed_weights(0.5), optax.adam(0.02, eps=1e-4 / LOSS_SCALE))
    expected = follow_optax(parameters, adam, gradients)
    scaled = [jax.tree.map(lambda leaf: LOSS_SCALE * leaf, gradient) for gradient in gradients]
    ours = follow_ours(parameters, optimiser, scaled, decay=0.5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, expected)


def test_a_vector_holds_every_leaf_once_kernels_first():
    rng = np.random.default_rng(3)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    tree = {
        "bias": draw(2),
        "up": {"kernel": draw(3, 2), "gain": draw()},
        "gates_kernel": draw(1, 4),
        "no": None,
    }
    layout = layout_of(tree)
    vector = layout.packed(tree)
    assert vector.shape == (13,) and layout.kernels == 10
    kernels = np.concatenate([tree["gates_kernel"].ravel(), tree["up"]["kernel"].ravel()])
    np.testing.assert_array_equal(np.sort(vector[:10]), np.sort(kernels))
    again = layout.unpacked(vector)
    assert jax.tree.structure(again) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, again, tree)


def test_decay_acts_on_kernels_alone():
    parameters = {"up": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones((2, 1))}, "start": jnp.ones(3)}
    layout = layout_of(parameters)
    vector = layout.packed(parameters)
    half, tenth = jnp.float32(0.5), jnp.float32(0.1)
    after = layout.unpacked(apply(Optimiser(), vector, jnp.zeros_like(vector), half, tenth, layout.kernels))
    np.testing.assert_allclose(after["up"]["kernel"], 0.95)
    assert (after["up"]["bias"] == 1).all()
    assert (after["start"] == 1).all()


def test_gradients_are_clipped_to_their_global_norm():
    parameters, (gradient, *_) = parameters_and_gradients()
    gradient = layout_of(parameters).packed(gradient)
    norm = float(gradient_norm(gradient))
    np.testing.assert_allclose(norm, np.sqrt((np.asarray(gradient, np.float64) ** 2).sum()), rtol=1e-6)
    # A large epsilon makes Adam's first direction proportional to the clipped gradient.
    optimiser = Optimiser(max_gradient_norm=norm / 4, epsilon=1e6)
    direction, _ = direct(optimiser, gradient, transformation(optimiser).init(gradient))
    np.testing.assert_allclose(direction, gradient / 4 / 1e6, rtol=1e-3)
