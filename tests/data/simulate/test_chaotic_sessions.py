"""Sessions of one chaotic network: the same truth behind other units, other spikes, other sizes."""

import numpy as np
import pytest

import undertow as ut
from undertow.cli import main
from undertow.data.simulate import SYSTEMS
from undertow.data.simulate.chaotic_rnn import chaotic_rnn
from undertow.data.simulate.chaotic_sessions import chaotic_rnn_sessions
from undertow.vocabulary import UndertowError, check_trials

SMALL = {"neurons": 30, "observed": 8, "conditions": 6, "repeats": 5, "bins": 20}


@pytest.fixture(scope="module")
def several():
    return SYSTEMS["chaotic-rnn-sessions"](sessions=3, **SMALL)


def of_conditions(trials, variable):
    """(condition, time, ...) from the first trial of each condition."""
    _, first = np.unique(trials.condition, return_index=True)
    return trials[variable].values[first]


def test_sessions_are_trials_of_the_same_network(several):
    assert list(several) == ["session-1", "session-2", "session-3"]
    one, *others = several.values()
    for name, trials in several.items():
        assert check_trials(trials).attrs["session"] == name
        assert dict(trials.sizes) == {"trial": 30, "time": 20, "neuron": 8, "latent": 10}
        np.testing.assert_array_equal(np.bincount(trials.condition[trials.split == "valid"]), 1)
    for other in others:
        np.testing.assert_array_equal(
            of_conditions(one, "true_latents"), of_conditions(other, "true_latents")
        )
        assert set(other.unit.values) != set(one.unit.values)
        assert not np.array_equal(one.counts, other.counts)


def test_a_unit_has_the_same_rates_in_every_session(several):
    rates = {}
    for trials in several.values():
        for unit, seen in zip(trials.unit.values, of_conditions(trials, "true_rates").T, strict=True):
            np.testing.assert_array_equal(rates.setdefault(unit, seen), seen)
    assert 8 < len(rates) < 24  # some units are seen twice


def test_the_network_is_that_of_the_single_session():
    trials = chaotic_rnn_sessions(sessions=1, **{**SMALL, "observed": 30}, latents=30)["session-1"]
    states = of_conditions(trials, "true_latents").astype(float)
    weights = np.random.RandomState(5).randn(30, 30) / np.sqrt(30)
    single = chaotic_rnn(neurons=30, conditions=6, repeats=1, bins=20)
    assert single.true_rates.shape == of_conditions(trials, "true_rates").shape
    variances = np.sort(np.linalg.eigvalsh(np.cov(states.reshape(-1, 30).T)))[::-1]
    np.testing.assert_allclose(variances, states.var(axis=(0, 1), ddof=1), rtol=1e-4)
    rates = of_conditions(trials, "true_rates").reshape(-1, 30)
    assert np.linalg.matrix_rank(weights) == 30 and rates.max() == pytest.approx(30, rel=1e-6)


def test_more_sessions_leave_the_first_ones_as_they_were(several):
    more = chaotic_rnn_sessions(sessions=5, **SMALL)
    assert all(more[name].identical(trials) for name, trials in several.items())


def test_each_session_may_have_its_own_sizes_and_gain():
    sizes = {**SMALL, "observed": [4, 8], "repeats": [3, 5], "bins": [20, 15], "gain": [1.0, 2.0]}
    few, many = chaotic_rnn_sessions(sessions=2, **sizes, pulses=True).values()
    assert few.counts.shape == (18, 20, 4) and many.counts.shape == (30, 15, 8)
    plain = chaotic_rnn_sessions(sessions=2, **SMALL, pulses=True)["session-2"]
    np.testing.assert_array_equal(
        of_conditions(many, "true_rates"), 2 * of_conditions(plain, "true_rates")[:, :15]
    )
    np.testing.assert_array_equal(
        of_conditions(many, "true_inputs"), of_conditions(few, "true_inputs")[:, :15]
    )


def test_counts_have_the_sessions_rates():
    trials = chaotic_rnn_sessions(sessions=2, **{**SMALL, "repeats": 400, "gain": 3.0})["session-2"]
    for condition in (0, 5):
        shows = trials.condition.values == condition
        expected = trials.true_rates.values[shows][0] * 0.01
        assert (
            np.abs(trials.counts.values[shows].mean(0) - expected) <= 5 * np.sqrt(expected / 400) + 1e-6
        ).all()


def test_the_command_writes_one_file(tmp_path, capsys):
    out = tmp_path / "s.nc"
    settings = (
        "sessions=2",
        "observed=[4,5]",
        "neurons=10",
        "conditions=3",
        "repeats=5",
        "bins=10",
        "latents=3",
    )
    main(["simulate", "chaotic-rnn-sessions", str(out), "--seed", "2", "--set", *settings])
    assert "2 sessions" in capsys.readouterr().out
    assert [trials.sizes["neuron"] for trials in ut.load_sessions(out).values()] == [4, 5]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"observed": 31}, "31 of 30 units"),
        ({"observed": [1, 2]}, "'observed' lists 2 values for 3 sessions"),
        ({"gain": 0.0}, "'gain' is 0.0"),
        ({"sessions": 0}, "number of sessions is 0"),
    ],
)
def test_impossible_experiments_are_refused(wrong, words):
    with pytest.raises(UndertowError, match=words):
        chaotic_rnn_sessions(**{"sessions": 3, **SMALL, **wrong})
