"""Bits per spike against the definition written out in plain Python, SciPy, and the invariants of the benchmark."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from undertow.evaluation import chunks as chunks_module
from undertow.evaluation.likelihood import (
    bits_per_spike,
    co_smoothing,
    forward_prediction,
    mean_counts,
    poisson_log_likelihood,
)
from undertow.vocabulary import UndertowError

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, shape=(4, 6, 3), missing=0.0):
    """Rates per bin and Poisson counts from them, a fraction of these not observed, at least one spike."""
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2.0, 0.4, shape)
    counts = generator.poisson(rates).astype(np.float32)
    counts[0, 0] = 1 + np.arange(shape[2])
    hidden = generator.random(shape) < missing
    hidden[0, 0] = False
    return rates, np.where(hidden, np.float32(np.nan), counts)


def definition(rates, counts, null_of):
    """The benchmark's formula, entry by entry."""
    model, null, spikes = 0.0, 0.0, 0.0
    for index in np.ndindex(counts.shape):
        n = float(counts[index])
        if math.isnan(n):
            continue
        r, r0 = max(float(rates[index]), 1e-9), max(float(null_of[index[-1]]), 1e-9)
        model += r - n * math.log(r) + math.lgamma(n + 1)
        null += r0 - n * math.log(r0) + math.lgamma(n + 1)
        spikes += n
    return (null - model) / spikes / math.log(2)


@given(SEEDS, st.floats(0, 0.5))
def test_bits_per_spike_is_the_published_formula(seed, missing):
    rates, counts = draw(seed, missing=missing)
    null = np.nanmean(counts.reshape(-1, 3).astype(np.float64), axis=0)
    assert bits_per_spike(rates, counts) == pytest.approx(
        definition(rates, counts, null), rel=1e-9, abs=1e-12
    )
    other = np.array([0.3, 0.8, 1.1])
    expected = definition(rates, counts, other)
    assert bits_per_spike(rates, counts, null_rates=other) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_log_likelihood_is_scipys():
    rates, counts = draw(3, missing=0.2)
    seen = ~np.isnan(counts)
    expected = poisson.logpmf(counts[seen], rates[seen]).sum()
    assert poisson_log_likelihood(rates, counts) == pytest.approx(expected)
    assert poisson_log_likelihood(rates / 0.02, counts, bin_width=0.02) == pytest.approx(expected)


@given(SEEDS)
def test_the_null_model_gains_nothing(seed):
    _, counts = draw(seed, missing=0.3)
    rates = np.broadcast_to(mean_counts(counts), counts.shape)
    assert bits_per_spike(rates, counts) == pytest.approx(0, abs=1e-12)


@given(SEEDS, st.floats(0.1, 10))
def test_scaling_all_rates_has_a_closed_form(seed, scale):
    rates, counts = draw(seed)
    change = (math.log(scale) - (scale - 1) * rates.sum() / counts.sum()) / math.log(2)
    gained = bits_per_spike(scale * rates, counts) - bits_per_spike(rates, counts)
    assert gained == pytest.approx(change, abs=1e-9)


@given(SEEDS)
def test_the_order_of_neurons_does_not_matter(seed):
    rates, counts = draw(seed, missing=0.2)
    order = np.random.default_rng(seed).permutation(3)
    assert bits_per_spike(rates[..., order], counts[..., order]) == pytest.approx(
        bits_per_spike(rates, counts), abs=1e-12
    )


@given(SEEDS)
def test_rates_where_nothing_was_observed_contribute_nothing(seed):
    rates, counts = draw(seed, missing=0.4)
    changed = np.where(np.isnan(counts), np.nan, rates)
    assert bits_per_spike(changed, counts) == bits_per_spike(rates, counts)


def test_arguments_are_left_alone_and_zero_rates_are_lifted():
    rates, counts = draw(0, missing=0.1)
    rates[1, 1] = 0
    before = rates.copy(), counts.copy()
    score = bits_per_spike(rates, counts)
    np.testing.assert_array_equal(rates, before[0])
    np.testing.assert_array_equal(counts, before[1])
    assert score == pytest.approx(bits_per_spike(np.where(rates == 0, 1e-9, rates), counts))


def test_small_chunks_give_the_same_sums(monkeypatch):
    rates, counts = draw(5, shape=(17, 6, 3), missing=0.2)
    whole = bits_per_spike(rates, counts), poisson_log_likelihood(rates, counts), mean_counts(counts)
    monkeypatch.setattr(chunks_module.chunks, "__defaults__", (40,))
    assert len(list(chunks_module.chunks(counts.shape))) > 5
    assert bits_per_spike(rates, counts) == pytest.approx(whole[0])
    assert poisson_log_likelihood(rates, counts) == pytest.approx(whole[1])
    np.testing.assert_allclose(mean_counts(counts), whole[2])


def test_co_smoothing_and_forward_prediction_are_the_same_measure_on_other_entries():
    rates, counts = draw(7, shape=(5, 8, 4), missing=0.1)
    held_out, forward = np.array([True, False, False, True]), np.arange(8) >= 6
    training_mean = np.array([0.5, 0.6, 0.7, 0.8])
    part = np.ix_(range(5), ~forward, held_out)
    assert co_smoothing(rates, counts, held_out=held_out, forward=forward) == pytest.approx(
        bits_per_spike(rates[part], counts[part])
    )
    over_training = co_smoothing(rates, counts, held_out=held_out, forward=forward, null_rates=training_mean)
    assert over_training == pytest.approx(
        bits_per_spike(rates[part], counts[part], null_rates=training_mean[held_out])
    )
    assert forward_prediction(rates / 0.02, counts, forward=forward, bin_width=0.02) == pytest.approx(
        bits_per_spike(rates[:, forward], counts[:, forward])
    )


def test_no_spike_means_no_score():
    assert math.isnan(bits_per_spike(np.ones((2, 3, 1)), np.zeros((2, 3, 1))))


@pytest.mark.parametrize("wrong", [-0.1, np.nan, np.inf])
def test_impossible_rates_are_named(wrong):
    rates, counts = draw(1)
    rates[2, 3, 1] = wrong
    with pytest.raises(UndertowError, match=rf"rate is {wrong:g}.*1 such entries"):
        bits_per_spike(rates, counts)


def test_wrong_shapes_and_counts_are_named():
    rates, counts = draw(1)
    with pytest.raises(UndertowError, match=r"\(4, 6, 2\).*\(4, 6, 3\)"):
        bits_per_spike(rates[..., :2], counts)
    with pytest.raises(UndertowError, match="count is -1"):
        poisson_log_likelihood(rates, np.where(counts == 0, -1, counts))
    with pytest.raises(UndertowError, match="each of the 3 neurons"):
        co_smoothing(rates, counts, held_out=np.array([True, False]))
    with pytest.raises(UndertowError, match="each of the 6 bins"):
        forward_prediction(rates, counts, forward=np.arange(6))
