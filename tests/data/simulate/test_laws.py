"""Every law: SciPy's path, Jacobians by differences, points that stand still, published periods, closed forms."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from undertow.data.simulate import limit_cycle, linear, ring
from undertow.data.simulate.flip_flop import pulses
from undertow.data.simulate.integration import path, starts, steps_in_bin
from undertow.data.simulate.law import rotation
from undertow.data.simulate.truth import LAWS
from undertow.vocabulary import UndertowError

each_law = pytest.mark.parametrize("name", LAWS)


def undriven(law, start, bins, bin_time, steps=20):
    """The path of a law from starts (trial, latent) where nothing pushes."""
    inputs = 0 if law.drive is None else law.drive((1, 1), 1.0, np.random.default_rng(0)).shape[2]
    return path(law, start, np.zeros((len(start), bins, inputs)), bin_time=bin_time, steps=steps)


@each_law
def test_the_path_is_scipys(name):
    law, generator = LAWS[name](), np.random.default_rng(0)
    bin_time = law.period / 15
    inputs = law.drive((2, 10), bin_time, generator) if law.drive else np.zeros((2, 10, 0))
    start = starts(law, 2, generator)
    states = path(law, start, inputs, bin_time=bin_time, steps=steps_in_bin(15))
    for trial in range(2):
        state = start[trial]
        for index in range(10):

            def velocity(_, x, driven=inputs[trial, index]):
                return law.velocity(x) + (law.push(x, driven) if law.push else 0.0)

            solution = solve_ivp(velocity, (0, bin_time), state, method="DOP853", rtol=1e-10, atol=1e-10)
            state = solution.y[:, -1]
            np.testing.assert_allclose(states[trial, index], state, rtol=1e-5, atol=1e-5)


@each_law
def test_jacobians_are_those_of_differences(name):
    law = LAWS[name]()
    states = np.random.default_rng(1).normal(size=(4, law.fixed_points.shape[1]))
    assert law.jacobian(states).shape == (*states.shape, states.shape[1])
    for column, direction in enumerate(np.eye(states.shape[1])):
        slope = (law.velocity(states + 1e-5 * direction) - law.velocity(states - 1e-5 * direction)) / 2e-5
        np.testing.assert_allclose(law.jacobian(states)[..., column], slope, atol=1e-6)
    np.testing.assert_allclose(law.jacobian(states[0]), law.jacobian(states)[0])


@pytest.mark.parametrize(
    ("name", "points"),
    [
        *(("arneodo", 3), ("rossler", 2), ("lorenz63", 3), ("lorenz", 3), ("halvorsen", 2)),
        *(("limit-cycle", 1), ("ring", 33), ("flip-flop", 27), ("linear", 1)),
    ],
)
def test_fixed_points_stand_still_and_differ(name, points):
    law = LAWS[name]()
    assert law.velocity(law.fixed_points) == pytest.approx(0, abs=1e-12)
    assert len(np.unique(law.fixed_points.round(6), axis=0)) == points


@pytest.mark.parametrize(
    ("name", "settings", "points"),
    [
        ("arneodo", {"d": 1.0}, [[0, 0, 0]]),
        ("lorenz63", {"rho": 0.5}, [[0, 0, 0]]),
        ("rossler", {"a": 0.0}, [[0, -0.2 / 5.7, 0.2 / 5.7]]),
        ("rossler", {"c": 0.1}, np.empty((0, 3))),
        ("rossler", {"a": 1.0, "b": 1.0, "c": 2.0}, [[1, -1, 1]]),
    ],
)
def test_fixed_points_follow_the_parameters(name, settings, points):
    law = LAWS[name](**settings)
    np.testing.assert_allclose(law.fixed_points, points)
    np.testing.assert_allclose(law.velocity(law.fixed_points), 0, atol=1e-12)


def test_turns_last_about_as_long_as_the_periods_say():
    turns = {
        "rossler": (0, 1),
        "halvorsen": (0, 1),
        "arneodo": (1, 1),
        "lorenz63": (2, 2),
    }  # axis, turns a period
    for name, (axis, in_period) in turns.items():
        law = LAWS[name]()
        start = starts(law, 20, np.random.default_rng(0))
        course = undriven(law, start, 1000, law.period / 50, steps=4)[..., axis]
        rises = np.diff((course > course.mean()).astype(int), axis=1) == 1
        assert rises.sum() / (20 * 20) == pytest.approx(in_period, rel=0.25), name


def test_starts_lie_on_the_attractor_each_its_own():
    law = LAWS["rossler"]()
    start = starts(law, 500, np.random.default_rng(0))
    later = undriven(law, start, 1, 50 * law.period, steps=10_000)[:, 0]
    assert len(np.unique(start, axis=0)) == 500
    np.testing.assert_allclose(start.mean(0), later.mean(0), atol=1.0)
    np.testing.assert_allclose(start.std(0), later.std(0), rtol=0.25)


def test_the_limit_cycle_is_its_closed_form():
    law = limit_cycle.law(growth=0.8)
    start = np.array([[0.1, 0.0], [0.0, 2.0]])
    states, time = undriven(law, start, 20, 0.1), 0.1 * np.arange(1, 21)
    radius = np.linalg.norm(start, axis=1, keepdims=True)
    expected = np.sqrt(0.8 / (1 + (0.8 / radius**2 - 1) * np.exp(-1.6 * time)))
    np.testing.assert_allclose(np.linalg.norm(states, axis=2), expected, rtol=1e-5)
    np.testing.assert_allclose(np.angle(states[0] @ [1, 1j]), np.angle(np.exp(2j * np.pi * time)), atol=1e-5)


def test_a_linear_system_is_its_exponential_and_has_the_eigenvalues_that_were_set():
    law = linear.law(frequencies=[2.0, -0.5, 0.0], decays=[0.1, 0.3, 1.0], seed=3)
    matrix = law.jacobian(np.zeros(6))
    assert law.period == 0.5
    wanted = [-0.1 + 4j * np.pi, -0.1 - 4j * np.pi, -0.3 + 1j * np.pi, -0.3 - 1j * np.pi, -1, -1]
    found = np.linalg.eigvals(matrix)
    assert max(np.abs(found - value).min() for value in wanted) < 1e-6
    start = np.random.default_rng(0).normal(size=(2, 6))
    np.testing.assert_allclose(undriven(law, start, 3, 0.1)[:, 2], start @ expm(0.3 * matrix).T, atol=1e-5)


def test_the_input_turns_the_ring_by_its_integral():
    law = ring.law(tau=0.5, turning=2.0)
    inputs = law.drive((300, 40), 0.05, np.random.default_rng(0))
    assert inputs.shape == (300, 40, 1) and inputs.std() == pytest.approx(2, rel=0.1)
    following = np.mean(inputs[:, 1:] * inputs[:, :-1]) / np.mean(inputs**2)
    assert following == pytest.approx(np.exp(-0.05), abs=0.03)
    states = path(law, np.array([[1.0, 0.0]] * 300), inputs, bin_time=0.05, steps=20)
    turned = np.exp(0.05j * inputs[..., 0].cumsum(1))
    np.testing.assert_allclose(states @ [1, 1j], turned, atol=1e-6)
    values = np.linalg.eigvals(law.jacobian(law.fixed_points[1:]))
    np.testing.assert_allclose(np.sort(values.real), np.tile([-4.0, 0.0], (32, 1)), atol=1e-9)


def test_pulses_set_the_bits_of_the_flip_flop():
    law, generator = LAWS["flip-flop"](bits=2, seed=4), np.random.default_rng(1)
    inputs = law.drive((200, 90), 1 / 15, generator)
    units = path(law, law.start(200, generator), inputs, bin_time=1 / 15, steps=20) @ rotation(2, 4)
    last = np.zeros((200, 2))
    for index in range(90):
        last = np.where(inputs[:, index] != 0, np.sign(inputs[:, index]), last)
        ended = (index > 0) & (inputs[:, index] == 0) & (inputs[:, index - 1] != 0)
        assert (np.sign(units[:, index])[ended] == last[ended]).all()
    assert np.abs(np.abs(units[:, -1][inputs[:, -25:].any(1) == 0]) - 1).max() < 0.1
    signs = {tuple(row) for row in np.sign(units[:, -1])}
    assert len(signs) == 4


def test_pulses_are_whole_and_of_both_signs():
    drawn = pulses((400, 60, 3), 5, np.random.default_rng(0))
    slots = drawn.reshape(400, 6, 10, 3)
    lengths = (slots != 0).sum(axis=2)
    assert set(np.unique(lengths)) == {0, 5} and set(np.unique(drawn)) == {-4, 0, 4}
    assert (lengths > 0).mean() == pytest.approx(0.4, abs=0.02)
    assert len(np.unique((slots[:, 0, :, 0] != 0).argmax(axis=1))) == 6


def test_a_rotation_keeps_lengths_and_angles():
    turned = rotation(5, 2)
    np.testing.assert_allclose(turned @ turned.T, np.eye(5), atol=1e-12)
    assert not np.allclose(turned, rotation(5, 3))


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("flip-flop", {"bits": 9}, "9 bits has 3.9 fixed points; choose at most 6"),
        ("flip-flop", {"bits": 1.5}, "number of bits is 1.5"),
        ("limit-cycle", {"growth": -1.0}, "'growth' is -1.0"),
        ("ring", {"tau": 0}, "'tau' is 0"),
        ("linear", {"frequencies": [1.0]}, "give two lists"),
        ("linear", {"frequencies": 1.0, "decays": 1.0}, "give two lists"),
        ("linear", {"frequencies": [0.0], "decays": [1.0]}, "a frequency that is not 0"),
        ("linear", {"frequencies": [1.0], "decays": [-1.0]}, "runs away; make them positive"),
    ],
)
def test_impossible_laws_are_refused(name, settings, words):
    with pytest.raises(UndertowError, match=words):
        LAWS[name](**settings)
