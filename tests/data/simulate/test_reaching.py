"""Simulated reaching: the geometry of its hand paths, factors that tell nothing of each other, and what is held out."""

import numpy as np
import pytest

from undertow.data.simulate.motor_population import random_population
from undertow.data.simulate.reaches import Ranges, Reaches, drawn, minimum_jerk, minimum_jerk_speed
from undertow.data.simulate.reaching import CHANNELS, reaching
from undertow.data.store import open_trials, save
from undertow.vocabulary import UndertowError, check_trials

SMALL = {"trials": 64, "neurons": 5, "latents": 4, "bins": 25, "bin_width": 0.04}
FACTORS = ("start_x", "start_y", "reach_angle", "reach_distance", "peak_speed", "curvature")
DERIVED = ("target_x", "target_y", "reach_duration", "unseen")


@pytest.fixture(scope="module")
def reaches():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 50)
    return drawn(angle, Ranges(), np.random.default_rng(1))


def test_minimum_jerk_is_the_polynomial_at_rest_at_both_ends():
    tau = np.linspace(0, 1, 1001)
    progress = minimum_jerk(tau)
    np.testing.assert_allclose(np.gradient(progress, tau)[1:-1], minimum_jerk_speed(tau)[1:-1], atol=1e-4)
    np.testing.assert_allclose(progress + progress[::-1], 1)
    np.testing.assert_allclose(
        minimum_jerk(np.array([-1.0, 0.0, 0.5, 1.0, 3.0])), [0, 0, 0.5, 1, 1], atol=1e-12
    )
    assert minimum_jerk_speed(np.array(0.5)) == pytest.approx(1.875)


def test_the_hand_goes_from_start_to_target_with_the_speed_and_the_bow_asked_for(reaches):
    time = np.linspace(-0.1, 1, 5501)
    hand, velocity = reaches.position(time), reaches.velocity(time)
    np.testing.assert_allclose(hand[:, 0], reaches.start)
    np.testing.assert_allclose(hand[:, -1], reaches.target)
    np.testing.assert_allclose(
        np.linalg.norm(reaches.target - reaches.start, axis=1), reaches.distance, rtol=1e-9
    )
    np.testing.assert_allclose(np.gradient(hand, time, axis=1)[:, 1:-1], velocity[:, 1:-1], atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=2).max(1), reaches.peak_speed, rtol=1e-3)
    left = np.stack([-np.sin(reaches.angle), np.cos(reaches.angle)], axis=1)
    bow = ((hand - reaches.start[:, None]) * left[:, None]).sum(axis=2)
    furthest = np.take_along_axis(bow, np.abs(bow).argmax(1)[:, None], 1)[:, 0]
    np.testing.assert_allclose(furthest, reaches.curvature, rtol=1e-4)
    assert (np.abs(bow[:, [0, -1]]) < 1e-9).all()


def test_a_straight_reach_of_known_duration():
    one = Reaches(np.zeros((1, 2)), np.zeros(1), np.array([8.0]), np.array([30.0]), np.zeros(1))
    assert one.duration[0] == pytest.approx(0.5)
    np.testing.assert_allclose(one.position(np.array([0.25]))[0, 0], [4, 0], atol=1e-12)
    np.testing.assert_allclose(one.velocity(np.array([0.25]))[0, 0], [30, 0], atol=1e-12)


def test_factors_tell_nothing_of_each_other():
    trials = reaching(trials=4000, neurons=1, latents=1, bins=2)
    columns = {name: trials[name].values for name in FACTORS}
    angle = columns.pop("reach_angle")
    values = np.stack([*columns.values(), np.cos(angle), np.sin(angle)])
    for table in (values, (values - values.mean(1, keepdims=True)) ** 2):
        correlation = np.corrcoef(table) - np.eye(len(table))
        np.fill_diagonal(correlation, 0)
        # cos^2 + sin^2 is 1, so that their squares are bound to each other
        correlation[-1, -2] = correlation[-2, -1] = 0
        assert np.abs(correlation).max() < 5 / np.sqrt(4000)
    for name, (low, high) in zip(list(columns)[2:], list(Ranges())[1:], strict=True):
        assert low <= columns[name].min() < low + 0.02 * (high - low) and columns[name].max() <= high


def test_trials_carry_behaviour_and_factors_through_a_file(tmp_path):
    trials = check_trials(reaching(**SMALL, hold_out_angles="45:90"))
    assert tuple(trials.behaviour_channel.values) == CHANNELS
    assert trials.behaviour.shape == (64, 25, 4)
    edge = float(trials.time[0]) - 0.02
    assert edge == pytest.approx(-8 * 0.04)
    np.testing.assert_allclose(trials.behaviour[:, -1, 0], trials.target_x, rtol=1e-5)
    np.testing.assert_allclose(trials.behaviour[:, 0, 1], trials.start_y, rtol=1e-5)
    np.testing.assert_allclose(
        np.arctan2(trials.target_y - trials.start_y, trials.target_x - trials.start_x), trials.reach_angle
    )
    again = open_trials(save(trials, tmp_path / "reaching.nc"))
    assert again.identical(trials)
    assert {*FACTORS, *DERIVED} <= set(again.coords)


def test_rates_are_log_linear_in_the_latents_and_counts_have_these_rates():
    trials = reaching(trials=400, neurons=8, latents=3)
    latents = np.column_stack([trials.true_latents.values.reshape(-1, 3), np.ones(400 * 50)])
    log_rates = np.log(trials.true_rates.values.reshape(-1, 8))
    readout = np.linalg.lstsq(latents, log_rates, rcond=None)[0]
    np.testing.assert_allclose(latents @ readout, log_rates, atol=1e-3)
    np.testing.assert_allclose(log_rates.std(0), 0.6, rtol=1e-3)
    assert float(trials.true_rates.mean()) == pytest.approx(10, rel=1e-5)
    expected = trials.true_rates.values.sum((0, 1)) * 0.02
    assert (np.abs(trials.counts.values.sum((0, 1)) - expected) < 5 * np.sqrt(expected)).all()


def test_latents_lead_the_hand():
    ranges = Ranges()
    one, other = (
        Reaches(np.zeros((1, 2)), np.array([angle]), np.array([9.0]), np.array([45.0]), np.zeros(1))._replace(
            start=np.zeros((1, 2))
        )
        for angle in (0.0, 2.0)
    )
    population = random_population(4, 6, 10.0, 0.6, np.random.default_rng(3))
    time = np.arange(-0.3, 0.6, 0.01)
    difference = np.abs(population.latents(one, ranges, time) - population.latents(other, ranges, time))
    assert (difference[0, 0] > 0.01).all(), "the plan is there before the hand moves"
    assert (population.lead > 0).all()


def test_the_seed_decides_everything_and_holding_out_the_split_alone():
    trials = reaching(**SMALL, seed=3)
    assert trials.identical(reaching(**SMALL, seed=3))
    assert not np.array_equal(trials.true_rates, reaching(**SMALL, seed=4).true_rates)
    held = reaching(**SMALL, seed=3, hold_out_conditions=2)
    assert held.drop_vars(["split", "unseen"]).identical(trials.drop_vars(["split", "unseen"]))
    seen = ~held.unseen.values
    np.testing.assert_array_equal(held.split.values[seen], trials.split.values[seen])
    assert set(trials.split.values) == {"train", "valid"}


@pytest.mark.parametrize(
    ("held_out", "inside"),
    [
        ({"hold_out_angles": "45:90"}, lambda angle, x, y: (angle >= 45) & (angle < 90)),
        ({"hold_out_angles": "315:45"}, lambda angle, x, y: (angle >= 315) | (angle < 45)),
        ({"hold_out_angles": "-45:45"}, lambda angle, x, y: (angle >= 315) | (angle < 45)),
        (
            {"hold_out_angles": ["0:30", "200:210"]},
            lambda angle, x, y: (angle < 30) | ((angle >= 200) & (angle < 210)),
        ),
        ({"hold_out_conditions": [1, 7]}, lambda angle, x, y: (angle // 45 == 1) | (angle // 45 == 7)),
        ({"hold_out_targets": "0:6,-8:0"}, lambda angle, x, y: (x >= 0) & (x < 6) & (y >= -8) & (y < 0)),
    ],
)
def test_what_is_held_out_is_test_and_nothing_else_is(held_out, inside):
    trials = reaching(trials=300, neurons=2, latents=2, bins=5, **held_out)
    degrees = np.degrees(trials.reach_angle.values) % 360
    expected = inside(degrees, trials.target_x.values, trials.target_y.values)
    assert 0 < expected.sum() < 300
    np.testing.assert_array_equal(trials.unseen.values, expected)
    np.testing.assert_array_equal(trials.split.values == "test", expected)


def test_a_grid_of_angles():
    trials = reaching(**SMALL, angles="grid", conditions=4, hold_out_angles="80:100")
    np.testing.assert_allclose(
        np.degrees(trials.reach_angle.values) % 360 % 359.9999, trials.condition.values * 90, atol=1e-9
    )
    assert set(trials.condition.values[trials.unseen.values]) == {1}
    sizes = np.bincount(trials.condition.values)
    assert set(sizes) == {16}
    assert (np.diff(trials.condition.values) < 0).any(), "conditions come in random order"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"angles": "grid", "hold_out_angles": "46:80"}, "sector 46:80 degrees; there are 0, 45, 90, 135"),
        ({"hold_out_conditions": 8}, "condition 8, so it can't be held out; there are 0, 1, 2"),
        ({"hold_out_targets": "90:95,0:1"}, "cell 90:95,0:1 cm; there are targets with x from -"),
        ({"hold_out_targets": "90:95"}, "cell '90:95' is not understood; write '0:5,5:10'"),
        ({"hold_out_angles": "east"}, "sector 'east' is not understood; write '45:90'"),
        ({"hold_out_angles": "45:45"}, "edges 45 and 45"),
        ({"hold_out_angles": "0:360"}, "All 64 reaches are held out"),
        ({"angles": "gird"}, "'angles' is 'gird'.*did you mean 'grid'"),
        ({"distances": [12, 6]}, "'distances' goes from 12 down to 6"),
        ({"peak_speeds": [0, 6]}, "'peak_speeds' begins at 0"),
        ({"curvatures": 1.0}, "'curvatures' is 1.0, but must be the lowest and the highest"),
        ({"preparation": 1.0}, "preparation of 1 s leaves nothing of a trial of 1 s"),
        ({"neurons": 0}, "number of neurons is 0"),
        ({"mean_rate": -1}, "'mean_rate' is -1"),
    ],
)
def test_impossible_experiments_are_refused(wrong, words):
    with pytest.raises(UndertowError, match=words):
        reaching(**{**SMALL, **wrong})
