"""Every kind of dynamics against its equation, a neural ODE against SciPy's integrator, and what happens at its step limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from undertow.components.dynamics import DynamicsChoices
from undertow.components.generators import build_generator

STATE, INPUTS, TIME = 3, 2, 6
UNBOUNDED = float("inf")


class Choices(DynamicsChoices):
    """A section of its own."""

    section = "tried"


def built(limit=UNBOUNDED, seed=0, **choices):
    generator = build_generator(Choices(**choices), INPUTS, STATE, limit=limit, key=jax.random.key(seed))
    # Biases begin at zero; moved, so that an equation without them would be found out.
    return jax.tree.map(lambda leaf: leaf + 0.1 if leaf.ndim == 1 else leaf, generator)


@pytest.fixture(scope="module")
def state():
    return jnp.array([0.3, -0.7, 0.5])


@pytest.fixture(scope="module")
def inputs():
    return jax.random.normal(jax.random.key(1), (TIME, INPUTS))


def velocity(field, state, drive):
    """The vector field of one hidden layer in NumPy."""
    first, second = (np.asarray(kernel, np.float64) for kernel in field.kernels)
    return np.tanh(state @ first + drive) @ second + np.asarray(field.biases[0], np.float64)


def test_rnn_and_linear_follow_their_equations(state, inputs):
    for kind, squash in (("rnn", np.tanh), ("linear", lambda values: values)):
        law = built(dynamics=kind)
        drive = np.asarray(inputs[0] @ law.input_kernel + law.bias)
        np.testing.assert_allclose(
            law.step(state, law.project(inputs)[0]), squash(state @ law.kernel + drive), rtol=1e-5, atol=1e-6
        )


def test_residual_is_one_step_along_the_vector_field(state, inputs):
    law = built(dynamics="residual", time_step=0.3)
    drive = np.asarray(law.project(inputs)[0])
    expected = np.asarray(state) + 0.3 * velocity(law.field, np.asarray(state), drive)
    np.testing.assert_allclose(law.step(state, law.project(inputs)[0]), expected, rtol=1e-5, atol=1e-6)


def test_a_field_may_have_several_hidden_layers(state, inputs):
    law = built(dynamics="residual", vector_field=(7, 5), activation="softplus", time_step=1.0)
    hidden = law.project(inputs)[0] + state @ law.field.kernels[0]
    for kernel, bias in zip(law.field.kernels[1:], law.field.biases, strict=True):
        hidden = np.log1p(np.exp(np.asarray(hidden))) @ np.asarray(kernel) + np.asarray(bias)
    moved = law.step(state, law.project(inputs)[0]) - state
    np.testing.assert_allclose(moved, hidden, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {"solver": "tsit5", "adaptive": True, "tolerance": 1e-6},
        {"solver": "dopri5", "solver_steps": 2},
        {"solver": "midpoint", "solver_steps": 40},
    ],
    ids=["adaptive", "dopri5", "midpoint"],
)
def test_an_ode_is_integrated_over_the_bin(state, inputs, choices):
    law = built(dynamics="ode", time_step=0.8, **choices)
    drive = np.asarray(law.project(inputs)[0], np.float64)
    exact = solve_ivp(
        lambda _, z: velocity(law.field, z, drive), (0, 0.8), np.asarray(state), rtol=1e-9, atol=1e-9
    ).y[:, -1]
    np.testing.assert_allclose(law.step(state, law.project(inputs)[0]), exact, atol=3e-5)


@pytest.mark.parametrize("kind", ["gru", "rnn", "linear", "residual", "ode"])
def test_a_trial_is_one_step_after_the_other_and_stays_within_its_limit(state, inputs, kind):
    law = built(dynamics=kind, limit=0.6, time_step=1.0)
    drive = law.project(inputs)
    assert drive.shape[-1] == law.drive_size
    assert all(kernel.ndim == 2 for kernel in law.recurrent)
    states, expected = law.run(state, drive, backward="automatic"), []
    for bin_drive in drive:
        state = law.step(state, bin_drive)
        expected.append(state)
    np.testing.assert_allclose(states, np.stack(expected), rtol=1e-5, atol=1e-6)
    assert np.abs(states).max() <= np.float32(0.6)


def test_gradients_through_an_adaptive_solver_are_those_of_small_fixed_steps(state, inputs):
    def end(law):
        return law.run(state, law.project(inputs))[-1].sum()

    adaptive = built(dynamics="ode", solver="tsit5", adaptive=True, tolerance=1e-6)
    fixed = built(dynamics="ode", solver="midpoint", solver_steps=8)
    first, second = (jax.tree.leaves(jax.grad(end)(law)) for law in (adaptive, fixed))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-4)


def test_a_solver_at_its_step_limit_gives_no_value_and_the_choices_say_what_to_change(state, inputs):
    choices = {"dynamics": "ode", "solver": "tsit5", "adaptive": True, "tolerance": 1e-7, "time_step": 50.0}
    short, long = (built(**choices, max_solver_steps=steps) for steps in (2, 4000))
    assert np.isnan(short.step(state, short.project(inputs)[0])).all()
    assert np.isfinite(long.step(state, long.project(inputs)[0])).all()
    advice = Choices(**choices, max_solver_steps=2).when_not_finite()
    assert "tried.max_solver_steps (now 2)" in advice
    assert Choices(dynamics="ode").when_not_finite() == ""
