"""Fixed points of flows that are known in closed form, of networks, and where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_flows import linear_dynamics
from scipy.optimize import fsolve

from undertow.analysis import law
from undertow.analysis.fixed_points import FixedPointSearch, find_fixed_points
from undertow.components.cells import GRU
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError

FEW = FixedPointSearch(starts=64)


def ring_of(radius, centre=(0.0, 0.0), points=100):
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1) + centre


def test_a_linear_system_has_one_whatever_its_stability():
    matrix = np.array([[1.3, 0.4], [-0.2, 0.5]])
    expected = np.linalg.solve(np.eye(2) - matrix, [0.3, -0.1])
    points = find_fixed_points(linear_dynamics(matrix, [0.3, -0.1]), ring_of(1.0, expected), search=FEW)
    np.testing.assert_allclose(points.states, expected[None], atol=1e-5)
    np.testing.assert_allclose(points.distances, 1.0, rtol=1e-4)
    assert points.speeds[0] < 1e-6


def test_inputs_push():
    matrix, push = np.diag([0.5, 0.8]), np.array([1.0, -0.2])
    points = find_fixed_points(
        linear_dynamics(matrix), ring_of(1.0, push / [0.5, 0.2]), inputs=push, search=FEW
    )
    np.testing.assert_allclose(points.states, push[None] / [0.5, 0.2], atol=1e-5)


def test_every_stable_and_unstable_point_of_a_double_well():
    """x' = x + 0.2 (x - x^3), y' = 0.7 y: two nodes and the saddle between them, from starts on either side."""
    dynamics = LatentDynamics(
        lambda state, _: jnp.stack([1.2 * state[0] - 0.2 * state[0] ** 3, 0.7 * state[1]]), 2, 0
    )
    data = np.random.default_rng(0).normal(size=(300, 2))
    points = find_fixed_points(dynamics, data, search=FEW)
    np.testing.assert_allclose(np.sort(points.states[:, 0]), [-1, 0, 1], atol=1e-4)
    np.testing.assert_allclose(points.states[:, 1], 0, atol=1e-4)


def test_points_far_from_the_data_are_left_out():
    dynamics = linear_dynamics(0.5 * np.eye(2))
    assert len(find_fixed_points(dynamics, ring_of(1.0, (6.0, 0.0)), search=FEW).states) == 0
    wider = FEW.model_copy(update={"near": 7.0})
    assert len(find_fixed_points(dynamics, ring_of(1.0, (6.0, 0.0)), search=wider).states) == 1


def test_none_is_an_answer():
    """A drift has no fixed point anywhere; its shapes stay."""
    drift = LatentDynamics(lambda state, _: state + 0.1, 3, 0)
    points = find_fixed_points(drift, np.random.default_rng(0).normal(size=(50, 3)), search=FEW)
    assert points.states.shape == (0, 3)
    assert points.speeds.shape == points.distances.shape == (0,)


def test_slow_points_are_kept_if_they_may_be():
    """x' = x + 0.02 + x^2 has no fixed point, but is slowest at 0, where two have just met."""
    ghost = LatentDynamics(lambda state, _: state + 0.02 + state**2, 1, 0)
    data = np.linspace(-1, 1, 60)[:, None]
    assert len(find_fixed_points(ghost, data, search=FEW).states) == 0
    slow = find_fixed_points(ghost, data, search=FEW.model_copy(update={"tolerance": 0.2}))
    np.testing.assert_allclose(slow.states, [[0.0]], atol=0.02)


def test_a_line_of_fixed_points_is_not_drawn_together():
    line = linear_dynamics(np.diag([1.0, 0.5]))
    points = find_fixed_points(line, np.random.default_rng(0).normal(size=(200, 2)), search=FEW)
    assert len(points.states) > 20
    np.testing.assert_allclose(points.states[:, 1], 0, atol=1e-4)
    gaps = np.diff(np.sort(points.states[:, 0]))
    assert gaps.min() > 0.02


def test_a_network_against_scipy():
    """Every root that SciPy finds from states near those of a GRU is among the points."""
    cell = GRU(1, 6, key=jax.random.key(3))
    kernel = 4.0 * cell.candidate_kernel

    def step(state, inputs):
        gates = jax.nn.sigmoid(cell.project(inputs)[:12] + state @ cell.gates_kernel)
        candidate = jnp.tanh((gates[:6] * state) @ kernel)
        return gates[6:] * state + (1 - gates[6:]) * candidate

    states = np.random.default_rng(0).uniform(-1, 1, (100, 6))
    points = find_fixed_points(LatentDynamics(step, 6, 1), states, search=FEW)
    velocity = jax.jit(lambda state: step(state.astype(jnp.float32), jnp.zeros(1)) - state)
    roots = [
        fsolve(lambda state: np.asarray(velocity(jnp.asarray(state, jnp.float32))), start, full_output=True)
        for start in points.states + 0.01
    ]
    assert len(points.states) >= 3
    np.testing.assert_allclose(points.states, [root for root, *_ in roots], atol=1e-3)


def test_states_that_do_not_exist_are_left_out_and_the_seed_decides():
    dynamics = linear_dynamics(np.diag([1.0, 0.5]))
    data = np.random.default_rng(0).normal(size=(200, 2))
    padded = np.concatenate([data, np.full((9, 2), np.nan)])
    first, second = (find_fixed_points(dynamics, each, search=FEW, seed=1) for each in (data, padded))
    np.testing.assert_array_equal(first.states, second.states)
    other = find_fixed_points(dynamics, data, search=FEW, seed=2)
    assert not np.array_equal(first.states, other.states)


def test_one_program_whatever_the_number_of_starts(monkeypatch):
    """The step is traced as often for many chunks, the last not full, as for one."""
    monkeypatch.setattr(law, "LARGEST_CHUNK", 16)
    traces, original = [], law.Law.__call__

    def counted(self, state):
        traces.append(state.shape)
        return original(self, state)

    monkeypatch.setattr(law.Law, "__call__", counted)
    data = np.random.default_rng(0).normal(size=(200, 2))
    dynamics = linear_dynamics(np.array([[0.5, 0.2], [-0.1, 1.2]]))
    found = []
    for starts in (16, 150):
        traces.clear()
        found.append(find_fixed_points(dynamics, data, search=FixedPointSearch(starts=starts)))
        found.append(len(traces))
    assert 0 < found[1] == found[3] < 8
    np.testing.assert_allclose(found[0].states, found[2].states, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "inputs", "words"),
    [
        (np.zeros((5, 3)), None, r"shape \(5, 3\), but the dynamics have 2 latents"),
        (np.full((5, 2), np.nan), None, "The 0 known states do not differ"),
        (np.ones((5, 2)), None, "The 5 known states do not differ"),
        (ring_of(1.0), np.ones(3), "take 2 inputs"),
    ],
)
def test_what_does_not_fit_is_said(data, inputs, words):
    with pytest.raises(UndertowError, match=words):
        find_fixed_points(linear_dynamics(np.eye(2)), data, inputs=inputs, search=FEW)
