"""The Lorenz system against SciPy's integrator, and the statistics of its trials."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from undertow.data.simulate.lorenz import (
    loadings,
    lorenz,
    normalised,
    path,
    sample_rates,
    start_states,
    velocity,
)
from undertow.vocabulary import UndertowError, check_trials


def test_small_steps_follow_scipys_solution():
    start = np.array([[1.0, 2.0, 20.0], [-5.0, 3.0, 30.0]])
    states = path(start, 3000, step=1e-4)
    for state, begin in zip(states, start, strict=True):
        exact = solve_ivp(lambda _, y: velocity(y), (0, 0.3), begin, rtol=1e-10, atol=1e-10).y[:, -1]
        np.testing.assert_allclose(state[-1], exact, atol=0.05)


def test_a_step_is_eulers():
    x, y, z = 1.5, -2.0, 24.0
    expected = [x + 0.006 * 10 * (y - x), y + 0.006 * (x * (28 - z) - y), z + 0.006 * (x * y - 8 / 3 * z)]
    np.testing.assert_allclose(path(np.array([[x, y, z]]), 1)[0, 0], expected)


def test_fixed_points_do_not_move():
    away = np.sqrt(8 / 3 * 27)
    np.testing.assert_allclose(
        velocity(np.array([[0, 0, 0], [away, away, 27], [-away, -away, 27]])), 0, atol=1e-12
    )


def test_published_numbers():
    trials = check_trials(lorenz())
    assert dict(trials.sizes) == {"trial": 1560, "time": 50, "neuron": 29, "latent": 3}
    names, sizes = np.unique(trials.split, return_counts=True)
    assert dict(zip(names.tolist(), sizes.tolist(), strict=True)) == {"train": 1248, "valid": 312}
    valid_of_condition = np.bincount(trials.condition.values[trials.split.values == "valid"])
    assert set(valid_of_condition) == {4, 5}
    assert set(np.bincount(trials.condition.values)) == {24}
    mean = float(trials.counts.mean()) / 0.02
    assert 6 < mean < 10
    assert mean == pytest.approx(float(trials.true_rates.mean()), rel=0.01)


@pytest.mark.parametrize("binarised", [True, False])
def test_counts_have_the_true_rates(binarised):
    trials = lorenz(trials=4000, conditions=2, neurons=5, bins=10, base_rate=20, binarised=binarised)
    for condition in (0, 1):
        shows = trials.condition.values == condition
        rates, counts = trials.true_rates.values[shows], trials.counts.values[shows]
        np.testing.assert_array_equal(rates, rates[:1].repeat(len(rates), 0))
        expected = rates[0] * 0.02
        error = np.sqrt(expected / len(counts))
        assert (np.abs(counts.mean(0) - expected) < 5 * error).all()
    assert (float(trials.counts.max()) <= 20) == binarised


def test_rates_are_log_linear_in_the_latents_and_the_highest_can_be_set():
    latents = normalised(path(start_states(4, np.random.default_rng(0)), 300))
    np.testing.assert_allclose(latents.max(axis=(0, 1)), 1)
    np.testing.assert_allclose(latents.mean(axis=(0, 1)), 0, atol=1e-12)
    readout = loadings(6, np.random.default_rng(1))
    assert readout.shape == (3, 6) and (np.abs(readout) >= 1).all() and (np.abs(readout) <= 2).all()
    assert (readout < 0).any() and (readout > 0).any()
    np.testing.assert_allclose(np.log(sample_rates(latents, readout, 5.0) / 5), latents @ readout, atol=1e-12)
    assert sample_rates(latents, readout, 5.0, 80.0).max() == pytest.approx(80)
    assert float(lorenz(trials=20, conditions=4, max_rate=50.0, binarised=False).true_rates.max()) <= 50


def test_the_seed_decides_everything():
    small = {"trials": 20, "conditions": 4, "neurons": 6}
    assert lorenz(**small, seed=3).identical(lorenz(**small, seed=3))
    assert not np.array_equal(lorenz(**small, seed=3).true_rates, lorenz(**small, seed=4).true_rates)
    more_trials = lorenz(trials=40, conditions=4, neurons=6, seed=3)
    np.testing.assert_array_equal(more_trials.true_latents[::10], lorenz(**small, seed=3).true_latents[::5])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"bin_width": 0.0125}, "0.0125 s.*steps of 0.001 s.*0.012"),
        ({"bin_width": 0.0001}, "example 0.001"),
        ({"neurons": 0}, "number of neurons is 0"),
        ({"trials": 2.5}, "number of trials is 2.5"),
        ({"base_rate": -1.0}, "'base_rate' is -1.0"),
        ({"valid": 1.0}, "validation trials is 1.0"),
    ],
)
def test_impossible_experiments_are_refused(wrong, words):
    with pytest.raises(UndertowError, match=words):
        lorenz(**{"trials": 4, "conditions": 2, **wrong})
