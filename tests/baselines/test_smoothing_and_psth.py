"""Smoothing, averages over conditions and the Poisson read-out, against what they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undertow as ut
from undertow.baselines import poisson_readout
from undertow.baselines.poisson_readout import Rows
from undertow.baselines.psth import PSTH
from undertow.baselines.smoothing import smoothed_counts
from undertow.evaluation import poisson_regression
from undertow.evaluation.smoothing import smooth
from undertow.experiments.conditions import conditions_of, numbers_of
from undertow.models.base import FitData
from undertow.vocabulary import UndertowError


def quiet(_):
    """Says nothing."""


def fit_data(counts, condition, conditions, held_out=None, forward=None):
    held_out = np.zeros(counts.shape[2], bool) if held_out is None else held_out
    forward = np.zeros(counts.shape[1], bool) if forward is None else forward
    return FitData(counts, held_out, forward, 0.02, np.asarray(condition, np.int32), conditions)


@pytest.mark.parametrize("width", [0.4, 1.5, 4.0])
def test_a_trial_is_smoothed_as_the_evaluation_does(width):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (1, 25, 4)).astype(np.float32)
    counts[0, 5:9, 1] = np.nan
    counts[0, :, 3] = np.nan
    trial = jnp.asarray(counts[0])
    found = smoothed_counts(trial, jnp.isfinite(trial), jnp.float32(width))
    np.testing.assert_allclose(found, smooth(counts, width)[0], rtol=1e-5, atol=1e-6)


def test_the_read_out_says_what_the_regressions_say():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 3))
    features[:, 1] = 2.0
    counts = rng.poisson(np.exp(0.5 * features[:, :1] + [[0.0, -1.0]])).astype(float)
    counts[:20, 1] = np.nan
    rows = Rows(features, counts, np.arange(200) // 10)
    readout = poisson_readout.fit(rows, alpha=0.1, wanted=np.array([True, True]))
    expected = poisson_regression.fit(features, counts, alpha=0.1)(features)
    np.testing.assert_allclose(readout(jnp.asarray(features, jnp.float32)), expected, rtol=1e-4)


def test_neurons_that_are_not_wanted_keep_their_mean():
    features = np.random.default_rng(2).normal(size=(50, 2))
    counts = np.stack([np.arange(50) % 3, np.zeros(50)], axis=1).astype(float)
    readout = poisson_readout.fit(
        Rows(features, counts, np.arange(50)), alpha=0.1, wanted=np.array([False, True])
    )
    rates = readout(jnp.asarray(features, jnp.float32))
    np.testing.assert_allclose(rates[:, 0], counts[:, 0].mean(), rtol=1e-5)
    assert ((rates[:, 1] > 0) & (rates[:, 1] < 0.02)).all()


def test_the_penalty_is_large_where_features_say_nothing_and_small_where_they_say_all():
    rng = np.random.default_rng(3)
    features, trial = rng.normal(size=(400, 10)), np.arange(400) // 10
    noise = rng.poisson(0.5, (400, 2)).astype(float)
    signal = rng.poisson(np.exp(features[:, :2])).astype(float)
    assert poisson_readout.best_alpha(Rows(features, noise, trial), (1e-3, 10.0), folds=4)[0] == 10.0
    assert poisson_readout.best_alpha(Rows(features, signal, trial), (1e-3, 10.0), folds=4)[0] == 1e-3


def test_averages_are_those_of_the_trials_of_a_condition():
    rng = np.random.default_rng(4)
    counts = rng.poisson(2.0, (8, 12, 3)).astype(np.float32)
    condition = np.array([0, 0, 0, 1, 1, 1, 1, -1])
    config = PSTH(widths=(0.03,), prior=0.0)
    _, model, chosen = config.fit(fit_data(counts, condition, 2), seed=0, say=quiet)
    for number, members in ((0, condition == 0), (1, condition == 1), (-1, np.ones(8, bool))):
        inputs = jnp.full((12, 1), float(number))
        rates = model.estimate(jnp.asarray(counts[0]), inputs, key=jax.random.key(0))["rates"]
        np.testing.assert_allclose(rates, smooth(counts[members].mean(0)[None], 1.5)[0], rtol=1e-5)
    assert chosen["width"] == 0.03


def test_the_prior_counts_for_a_trial_of_the_average():
    counts = np.zeros((4, 6, 1), np.float32)
    counts[:2] = 4.0
    _, model, _ = PSTH(widths=(0.02,), prior=1.0).fit(fit_data(counts, [0, 0, 1, 1], 2), seed=0, say=quiet)
    np.testing.assert_allclose(model.averages[0], (2 * 4.0 + 2.0) / 3, rtol=1e-5)


def test_averages_need_conditions():
    counts = np.ones((4, 6, 1), np.float32)
    with pytest.raises(UndertowError, match="--condition"):
        PSTH().fit(fit_data(counts, [-1] * 4, 0), seed=0, say=quiet)


def test_conditions_are_numbered_by_the_labels_of_training_trials():
    trials = ut.trials(
        np.ones((5, 3, 1), np.float32),
        bin_width=0.02,
        split=["train", "train", "train", "valid", "test"],
        condition=["left", "right", "", "right", "up"],
    )
    assert conditions_of(trials) == ["left", "right"]
    np.testing.assert_array_equal(numbers_of(trials, ["left", "right"]), [0, 1, -1, 1, -1])


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_numbers_as_conditions_read_the_same_however_they_are_stored(kind):
    condition = np.array([0, 10, 2, -1, 10]).astype(kind)
    trials = ut.trials(np.ones((5, 3, 1), np.float32), bin_width=0.02, condition=condition)
    assert conditions_of(trials) == ["0", "10", "2"]
    np.testing.assert_array_equal(numbers_of(trials, ["0", "10", "2"]), [0, 1, 2, -1, 1])


def test_trials_without_conditions_have_none():
    trials = ut.trials(np.ones((2, 3, 1), np.float32), bin_width=0.02)
    assert conditions_of(trials) == []
    np.testing.assert_array_equal(numbers_of(trials, []), [-1, -1])
