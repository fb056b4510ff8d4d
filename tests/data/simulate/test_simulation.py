"""Trials of any law: their statistics, who validates, settings by name, and the truth that they carry."""

import inspect

import numpy as np
import pytest
from scipy.special import expit

import undertow as ut
from undertow.cli import COMMANDS
from undertow.data.simulate import SYSTEMS
from undertow.data.simulate.integration import path
from undertow.data.simulate.truth import LAWS, true_system
from undertow.vocabulary import UndertowError, check_trials

SMALL = {"trials": 60, "bins": 30, "neurons": 6}
FAMILY = [name for name in LAWS if name != "lorenz"]
each_system = pytest.mark.parametrize("name", FAMILY)


@pytest.fixture(scope="module")
def small():
    """A few trials of every system with a law, by name."""
    lorenz = SYSTEMS["lorenz"](trials=40, conditions=4, neurons=6, seed=1)
    return {"lorenz": lorenz, **{name: SYSTEMS[name](**SMALL, seed=1) for name in FAMILY}}


@pytest.mark.parametrize("name", ["arneodo", "rossler", "lorenz63"])
def test_the_published_design_is_the_default(name):
    trials = check_trials(SYSTEMS[name]())
    assert dict(trials.sizes) == {"trial": 2000, "time": 70, "neuron": 10, "latent": 3}
    names, sizes = np.unique(trials.split, return_counts=True)
    assert dict(zip(names.tolist(), sizes.tolist(), strict=True)) == {
        "train": 1280,
        "valid": 320,
        "test": 400,
    }
    log_rates = np.log(trials.true_rates.values * 0.01)
    np.testing.assert_allclose(log_rates.mean((0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(log_rates.std((0, 1)), 1, rtol=1e-3)
    error = np.sqrt(float(trials.true_rates.mean()) * 0.01 / trials.counts.size)
    assert abs(float(trials.counts.mean()) - float(trials.true_rates.mean()) * 0.01) < 5 * error
    assert len(np.unique(trials.true_latents[:, 0], axis=0)) == 2000
    weights = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 10))  # the published draw for seed 0
    states = trials.true_latents.values * trials.latent_scale + trials.latent_centre
    activation = states @ weights[:, np.argsort(weights[0])]
    expected = (activation - activation.mean((0, 1))) / activation.std((0, 1))
    np.testing.assert_allclose(log_rates, expected, atol=1e-3)


@each_system
def test_latents_are_standardised_and_move_on_from_trial_starts(small, name):
    trials = check_trials(small[name])
    np.testing.assert_allclose(trials.true_latents.mean(("trial", "time")), 0, atol=1e-4)
    np.testing.assert_allclose(trials.true_latents.std(("trial", "time")), 1, rtol=1e-4)
    assert set(np.unique(trials.split)) == {"train", "valid", "test"}
    assert "condition" not in trials.coords
    assert ("inputs" in trials) == (name in ("ring", "flip-flop"))


@pytest.mark.parametrize("name", LAWS)
def test_the_true_velocity_leads_from_bin_to_bin(small, name, tmp_path):
    stored = ut.open_trials(ut.save(small[name], tmp_path / "trials.nc"))
    true, trials = true_system(stored.isel(trial=slice(0, 9))), small[name]
    assert true.name == name and np.abs(true.velocity(true.fixed_points)).max() < 1e-9
    before, after = (
        trials.true_latents.values[:, part].astype(float) for part in (slice(-1), slice(1, None))
    )
    still = np.ones(before.shape[:2], bool)
    if "inputs" in trials:
        still = np.abs(trials.inputs.values[:, 1:]).max(2) < 0.05
    state, steps = before[still], 50
    for _ in range(steps):
        middle = state + true.velocity(state) / (2 * steps)
        state = state + true.velocity(middle) / steps
    tolerance = {"lorenz": 0.03, "ring": 0.005}.get(name, 1e-3)  # means over bins; a little input
    assert still.sum() > 20
    assert np.sqrt(np.mean((state - after[still]) ** 2)) < tolerance


@pytest.mark.parametrize("name", LAWS)
def test_the_true_jacobian_is_that_of_the_true_velocity(small, name):
    true = true_system(small[name])
    states = small[name].true_latents.values[:3, 0].astype(float)
    for column, direction in enumerate(np.eye(states.shape[1])):
        slope = (true.velocity(states + 1e-5 * direction) - true.velocity(states - 1e-5 * direction)) / 2e-5
        np.testing.assert_allclose(true.jacobian(states)[..., column], slope, atol=1e-6)


def test_true_eigenvalues_are_those_of_the_equation_times_the_bin(small):
    true, law = true_system(small["linear"]), LAWS["linear"](seed=1)
    found = np.sort_complex(np.linalg.eigvals(true.jacobian(true.fixed_points[0])))
    wanted = np.sort_complex(np.linalg.eigvals(law.jacobian(np.zeros(4))) / 35)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_the_law_keeps_the_settings_that_were_given():
    trials = SYSTEMS["linear"](**SMALL, frequencies=[0.5], decays=np.array([0.25]).tolist(), seed=np.int64(3))
    values = np.linalg.eigvals(true_system(trials).jacobian(np.zeros(2)))
    np.testing.assert_allclose(np.sort(values.imag), np.array([-np.pi, np.pi]) * 2 / 35, rtol=1e-9)
    np.testing.assert_allclose(values.real, -0.25 * 2 / 35, rtol=1e-9)


def test_recordings_have_no_true_system():
    counts = np.zeros((2, 3, 4))
    assert true_system(ut.trials(counts, bin_width=0.01)) is None
    assert true_system(SYSTEMS["chaotic-rnn"](neurons=4, conditions=2, repeats=2, bins=4)) is None
    assert true_system(ut.trials(counts, bin_width=0.01).assign_attrs(system="unheard-of")) is None


def test_known_inputs_are_the_true_ones_and_explain_the_path(small):
    trials = small["flip-flop"]
    np.testing.assert_array_equal(trials.inputs, trials.true_inputs)
    law, scale, centre = LAWS["flip-flop"](seed=1), trials.latent_scale, trials.latent_centre
    states = trials.true_latents.values * scale + centre
    again = path(law, states[:, 0], trials.inputs.values[:, 1:], bin_time=trials.time_per_bin, steps=20)
    np.testing.assert_allclose(again, states[:, 1:], atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "variance"),
    [
        ({}, lambda m: m),
        ({"observation": "over_dispersed", "dispersion": 1.5}, lambda m: m + m**2 / 1.5),
        ({"observation": "zero_inflated", "zero_share": 0.4}, lambda m: m + m**2 * 0.4 / 0.6),
    ],
)
def test_counts_have_the_true_means_and_the_variance_of_their_kind(settings, variance):
    trials = SYSTEMS["linear"](trials=1500, bins=40, neurons=4, mean_count=2.0, seed=2, **settings)
    mean = trials.true_rates.values * 0.01
    residual = trials.counts.values - mean
    np.testing.assert_allclose(mean.mean((0, 1)), 2, rtol=1e-5)
    assert abs(residual.mean()) < 5 * residual.std() / np.sqrt(residual.size)
    in_range = mean < 4
    assert np.mean(residual[in_range] ** 2 / variance(mean[in_range])) == pytest.approx(1, abs=0.03)


def test_links_and_readouts(small):
    log_rates = np.log(small["linear"].true_rates.values * 0.01)
    for link, function in {"softplus": lambda a: np.log1p(np.exp(a)), "sigmoid": expit}.items():
        rates = SYSTEMS["linear"](**SMALL, link=link, seed=1).true_rates.values * 0.01
        np.testing.assert_allclose(rates, function(log_rates), rtol=1e-4)
    for readout, sign in {"standardised": False, "positive": True}.items():
        trials = SYSTEMS["rossler"](**SMALL, readout=readout, seed=1)
        latents = trials.true_latents.values.reshape(-1, 3)
        activation = np.log(trials.true_rates.values * 0.01).reshape(-1, 6)
        weights = np.linalg.lstsq(latents, activation)[0]
        assert (weights.min() > 0) == sign and (
            np.diff(weights[0] / np.linalg.norm(weights, axis=0)) != 0
        ).all()
        np.testing.assert_allclose(latents @ weights, activation, atol=2e-3)


@each_system
def test_the_seed_decides_everything(small, name):
    assert SYSTEMS[name](**SMALL, seed=1).identical(small[name])
    assert not np.array_equal(SYSTEMS[name](**SMALL, seed=2).true_latents, small[name].true_latents)


def test_displaced_trials_begin_around_the_attractor_and_come_to_it():
    still, moved = (
        SYSTEMS["lorenz63"](trials=200, bins=60, points_per_period=60, seed=1, displaced=by)
        for by in (0.0, 1.0)
    )

    def nearest(trials, bins):
        states = trials.true_latents.values * trials.latent_scale + trials.latent_centre
        flow = still.true_latents.values * still.latent_scale + still.latent_centre
        offsets = states[:, bins, None] - flow.reshape(1, -1, 3)
        return np.median(np.linalg.norm(offsets, axis=-1).min(-1))

    assert nearest(moved, 0) > 3 * nearest(moved, -1)


def test_trials_that_a_displacement_sends_away_are_displaced_anew():
    trials = SYSTEMS["rossler"](trials=150, bins=70, seed=1, displaced=0.5)  # many leave its basin
    assert np.abs(trials.true_latents.values).max() < 15
    with pytest.raises(UndertowError, match="runs away"):
        SYSTEMS["rossler"](trials=50, bins=70, seed=1, displaced=1e4)


def test_every_system_is_named_in_the_help():
    described = inspect.getdoc(COMMANDS["simulate"])
    assert [name for name in SYSTEMS if name not in described] == []
    assert set(LAWS) | {"chaotic-rnn", "chaotic-rnn-sessions", "imaging", "reaching"} == set(SYSTEMS)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"neurons": 0}, "number of neurons is 0"),
        ({"bins": 2.5}, "number of bins is 2.5"),
        ({"seed": -1}, "seed is -1"),
        ({"points_per_period": 0}, "'points_per_period' is 0"),
        ({"displaced": -0.1}, "'displaced' is -0.1"),
        ({"bin_width": "wide"}, "'bin_width' is 'wide'"),
        ({"mean_count": -2.0}, "'mean_count' is -2.0"),
        ({"link": "log"}, "'link' is 'log'.*known are 'exp'"),
        ({"observation": "poison"}, "did you mean 'poisson'"),
        ({"readout": 3}, "'readout' is 3"),
        ({"zero_share": 1.0}, "'zero_share' is 1.0"),
        ({"dispersion": 0}, "'dispersion' is 0"),
        ({"sigma": "ten"}, "'sigma' is 'ten', but must be a finite number"),
        ({"sigma": [1.0, np.inf]}, "must be finite numbers"),
        ({"valid": 0.9, "test": 0.5}, "leave nothing to train on"),
        ({"sigma": 1e9}, "runs away with sigma=1000000000.0, rho=28.0"),
        ({"rho": 0.5}, "stands still with sigma=10.0, rho=0.5"),
    ],
)
def test_impossible_simulations_are_refused(wrong, words):
    with pytest.raises(UndertowError, match=words):
        SYSTEMS["lorenz63"](**{**SMALL, "trials": 20, **wrong})


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="nuerons"):
        SYSTEMS["ring"](nuerons=3)


@pytest.mark.parametrize("name", ["rossler", "ring"])
def test_a_law_is_seen_by_several_sessions(name):
    several = SYSTEMS[name](**SMALL, seed=1, sessions=2)
    more = SYSTEMS[name](**SMALL, seed=1, sessions=3)
    assert list(more) == ["session-1", "session-2", "session-3"]
    for session, trials in several.items():
        assert more[session].identical(check_trials(trials)) and trials.attrs["session"] == session
        assert dict(trials.sizes).items() >= {"trial": 60, "neuron": 6}.items()
    one, two = several.values()
    assert not np.isin(one.true_latents[:, 0, 0], two.true_latents[:, 0, 0]).any()
    points = [true_system(trials).fixed_points for trials in (one, two)]
    np.testing.assert_array_equal(*points)  # the same latents, in the same units
    log_rates = [np.log(trials.true_rates.values * trials.bin_width).reshape(-1, 6) for trials in (one, two)]
    latents = [np.c_[trials.true_latents.values.reshape(1800, -1), np.ones(1800)] for trials in (one, two)]
    readouts = [np.linalg.lstsq(*pair, rcond=None)[0] for pair in zip(latents, log_rates, strict=True)]
    np.testing.assert_allclose(latents[0] @ readouts[0], log_rates[0], atol=1e-3)
    assert np.abs(readouts[0] - readouts[1]).max() > 0.1
    with pytest.raises(UndertowError, match="number of sessions is 0"):
        SYSTEMS[name](**SMALL, sessions=0)
