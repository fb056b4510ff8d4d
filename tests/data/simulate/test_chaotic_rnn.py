"""The chaotic network: its published first weight, SciPy's solution, when it dies and when it diverges, its pulses."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from undertow.data.simulate.chaotic_rnn import chaotic_rnn, network, path
from undertow.vocabulary import UndertowError, check_trials

SMALL = {"neurons": 20, "conditions": 10, "repeats": 10, "bins": 50}


def test_the_first_weight_is_the_published_one():
    weights, _ = network(50, 5)
    assert weights[0, 0] == pytest.approx(0.06239899, abs=5e-9)
    assert weights.var() == pytest.approx(1 / 50, rel=0.1)


def test_small_steps_follow_scipys_solution():
    weights, input_weights = network(8, 1)
    start, drive = np.random.default_rng(0).standard_normal((2, 8)), np.zeros((2, 10, 8))
    drive[:, 3:] = 0.5 * input_weights
    states, _ = path(start, 1.5 * weights, drive, bin_width=1e-4, tau=0.025)
    for condition in range(2):

        def velocity(time, x, condition=condition):
            now = drive[condition, min(int(time / 1e-4), 9)]
            return (-x + 1.5 * weights @ np.tanh(x) + now) / 0.025

        exact = solve_ivp(velocity, (0, 1e-3), start[condition], rtol=1e-9, atol=1e-9, max_step=1e-5).y[:, -1]
        np.testing.assert_allclose(states[condition, -1], exact, atol=5e-3)


def test_a_step_is_the_published_update():
    weights, input_weights = network(3, 0)
    x, drive = np.array([[0.3, -1.0, 2.0]]), 20 * input_weights[None, None]
    expected = 0.6 * x + 0.4 * (1.5 * np.tanh(x) @ weights.T + drive[:, 0])
    states, activity = path(x, 1.5 * weights, drive, bin_width=0.01, tau=0.025)
    np.testing.assert_allclose(states[:, 0], expected)
    np.testing.assert_allclose(activity[:, 0], np.tanh(expected))


def test_wide_bins_average_the_same_path():
    weights, _ = network(6, 2)
    start = np.random.default_rng(1).standard_normal((3, 6))
    fine, _ = path(start, weights, np.zeros((3, 20, 6)), bin_width=0.01, tau=0.025)
    wide, _ = path(start, weights, np.zeros((3, 5, 6)), bin_width=0.04, tau=0.025)
    np.testing.assert_allclose(wide, fine.reshape(3, 5, 4, 6).mean(axis=2))


def test_activity_dies_below_the_edge_of_chaos_and_neighbours_part_above_it():
    weights, _ = network(200, 1)
    start = np.random.default_rng(0).standard_normal((1, 200))
    both, still = np.concatenate([start, start + 1e-6]), np.zeros((2, 1000, 200))
    calm, _ = path(both, 0.5 * weights, still, bin_width=0.01, tau=0.025)
    assert np.abs(calm[:, -1]).max() < 1e-6
    chaotic, _ = path(both, 2.5 * weights, still, bin_width=0.01, tau=0.025)
    distance = np.linalg.norm(chaotic[0] - chaotic[1], axis=1)
    assert distance[-1] > 1e4 * distance[0]


def test_trials_are_those_of_the_published_experiment():
    trials = check_trials(chaotic_rnn(**SMALL))
    assert dict(trials.sizes) == {"trial": 100, "time": 50, "neuron": 20, "latent": 20}
    valid_of_condition = np.bincount(trials.condition.values[trials.split.values == "valid"])
    np.testing.assert_array_equal(valid_of_condition, 2)
    np.testing.assert_allclose(trials.true_rates.max(("trial", "time")), 30, rtol=1e-6)
    np.testing.assert_allclose(trials.true_rates.min(("trial", "time")), 0, atol=1e-6)
    assert "true_inputs" not in trials


def test_counts_have_the_true_rates():
    trials = chaotic_rnn(neurons=5, conditions=2, repeats=3000, bins=10, max_rate=100.0)
    for condition in (0, 1):
        shows = trials.condition.values == condition
        expected = trials.true_rates.values[shows][0] * 0.01
        counts = trials.counts.values[shows]
        assert (np.abs(counts.mean(0) - expected) <= 5 * np.sqrt(expected / 3000) + 1e-6).all()
        spread = counts.var(0)[expected > 0.1] / expected[expected > 0.1]
        np.testing.assert_allclose(spread, 1, atol=0.25)


def test_pulses_come_once_in_the_middle_of_each_condition_and_move_the_network():
    trials = chaotic_rnn(**SMALL, pulses=True)
    inputs = trials.true_inputs.values[:, :, 0]
    np.testing.assert_array_equal((inputs != 0).sum(axis=1), 1)
    np.testing.assert_array_equal(inputs.max(axis=1), 20)
    at = inputs.argmax(axis=1)
    assert at.min() >= 12 and at.max() < 37 and len(set(at)) > 3
    np.testing.assert_allclose(trials.pulse_time, trials.time.values[at])
    assert all(len(set(at[trials.condition.values == condition])) == 1 for condition in range(10))
    quiet = chaotic_rnn(**SMALL)
    moved = np.abs(trials.true_latents - quiet.true_latents).max("latent").values
    for trial in range(0, 100, 10):
        assert moved[trial, : at[trial]].max() == 0 and moved[trial, at[trial]] > 1


def test_the_seed_decides_everything():
    assert chaotic_rnn(**SMALL, seed=1).identical(chaotic_rnn(**SMALL, seed=1))
    assert not np.array_equal(chaotic_rnn(**SMALL, seed=1).counts, chaotic_rnn(**SMALL, seed=2).counts)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"repeats": 0}, "number of repeats is 0"),
        ({"tau": 0.0}, "'tau' is 0.0"),
        ({"max_rate": np.inf}, "'max_rate' is inf"),
    ],
)
def test_impossible_experiments_are_refused(wrong, words):
    with pytest.raises(UndertowError, match=words):
        chaotic_rnn(**{**SMALL, **wrong})
