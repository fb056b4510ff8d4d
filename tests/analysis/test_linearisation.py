"""Eigenvalues of linear systems, the textbook's kinds, and laws that can only be differentiated backwards."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_flows import linear_dynamics

from undertow.analysis.law import law_of
from undertow.analysis.linearisation import kind_of, linearise
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError


def spiral(modulus, angle):
    return modulus * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_a_linear_system_at_any_point():
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(6, 6)) / 2
    expected = np.linalg.eigvals(matrix.astype(np.float32).astype(float))
    linear = linearise(linear_dynamics(matrix), generator.normal(size=(4, 6)), bin_width=0.01)
    np.testing.assert_allclose(linear.jacobians, np.broadcast_to(matrix, (4, 6, 6)), rtol=1e-6)
    for found in linear.eigenvalues:
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-5)
        assert (np.diff(np.abs(found)) < 1e-9).all()


def test_time_constants_and_frequencies_of_a_damped_turn():
    """0.9 a bin of 20 ms: e-fold in 0.02 / -log 0.9 s; 0.3 rad a bin: 0.3 / (2 pi 0.02) Hz."""
    linear = linearise(linear_dynamics(spiral(0.9, 0.3)), np.zeros((1, 2)), bin_width=0.02)
    np.testing.assert_allclose(linear.time_constants[0], -0.02 / np.log(0.9), rtol=1e-4)
    np.testing.assert_allclose(
        np.sort(linear.frequencies[0]), np.array([-1, 1]) * 0.3 / (0.04 * np.pi), rtol=1e-4
    )
    assert linear.kinds == ["stable focus"]


def test_a_direction_that_is_forgotten_at_once_has_a_finite_growth():
    linear = linearise(linear_dynamics(np.diag([0.5, 0.0])), np.zeros((1, 2)), bin_width=0.01)
    assert np.isfinite(linear.growth).all()
    assert linear.time_constants[0, 1] < 0.001


def test_no_states():
    linear = linearise(linear_dynamics(np.eye(3)), np.zeros((0, 3)), bin_width=0.01)
    assert linear.eigenvalues.shape == linear.time_constants.shape == (0, 3)
    assert linear.kinds == []


@pytest.mark.parametrize(
    ("growth", "kind"),
    [
        ([-1, -2], "stable node"),
        ([1, 2], "unstable node"),
        ([-1 + 3j, -1 - 3j], "stable focus"),
        ([1 + 3j, 1 - 3j], "unstable focus"),
        ([-1, 2], "saddle"),
        ([0.1 + 10j, 0.1 - 10j, -14], "saddle focus"),
        ([-0.1 + 10j, -0.1 - 10j, 3], "saddle focus"),
        ([5j, -5j], "centre"),
        ([0, 0], "centre"),
        ([1e-7, -2], "stable node"),
        ([5j, -5j, -1], "stable node"),
        ([-1, -9 + 3j, -9 - 3j], "stable node"),
        ([-1 + 1e-3j, -1 - 1e-3j], "stable node"),
    ],
)
def test_kinds(growth, kind):
    assert kind_of(np.array(growth)) == kind


def test_a_law_that_is_only_differentiated_backwards():
    @jax.custom_vjp
    def square(state):
        return state**2

    square.defvjp(lambda state: (state**2, state), lambda state, cotangent: (2 * state * cotangent,))
    dynamics = LatentDynamics(lambda state, inputs: square(state) + inputs, 2, 2)
    assert not law_of(dynamics, None).is_forward
    assert law_of(linear_dynamics(np.eye(2)), None).is_forward
    linear = linearise(dynamics, np.array([[1.0, 2.0]]), bin_width=1.0)
    np.testing.assert_allclose(linear.jacobians[0], np.diag([2.0, 4.0]))


def test_an_adaptive_solver_with_checkpoints():
    """dx/dt = -x over a bin: the Jacobian is exp(-1)."""

    def step(state, inputs):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, x, args: -x + jnp.sum(inputs)),
            diffrax.Tsit5(),
            t0=0.0,
            t1=1.0,
            dt0=0.1,
            y0=state,
            stepsize_controller=diffrax.PIDController(rtol=1e-6, atol=1e-6),
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            saveat=diffrax.SaveAt(t1=True),
        ).ys[0]

    dynamics = LatentDynamics(step, 2, 1)
    linear = linearise(dynamics, np.ones((3, 2)), bin_width=1.0)
    np.testing.assert_allclose(linear.eigenvalues.real, np.exp(-1), rtol=1e-4)


def test_states_without_a_law_are_refused():
    dynamics = LatentDynamics(lambda state, _: jnp.log(state), 2, 0)
    with pytest.raises(UndertowError, match="no finite Jacobian at 1 of 2 states"):
        linearise(dynamics, np.array([[0.0, 1.0], [1.0, 1.0]]), bin_width=0.1)
    with pytest.raises(UndertowError, match="the dynamics have 2 latents"):
        linearise(dynamics, np.ones(2), bin_width=0.1)
