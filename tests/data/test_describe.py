"""Every fact and every suspicion, on trials built to have them."""

import numpy as np
import pytest

from undertow.data import tallies
from undertow.data.describe import describe
from undertow.data.surroundings import surrounded
from undertow.data.trials import trials

RNG = np.random.default_rng(1)


def counts(trial_count=20, bins=50, neurons=6, mean=0.5):
    return RNG.poisson(mean, (trial_count, bins, neurons)).astype(float)


def warned(values, **columns):
    return " ".join(describe(trials(values, bin_width=0.02, **columns)).warnings)


def test_clean_trials_have_facts_and_no_warnings():
    values = counts()
    values[0, 40:] = np.nan
    described = describe(
        trials(
            values,
            bin_width=0.02,
            split=["train"] * 15 + ["valid"] * 5,
            held_out=[True] + [False] * 5,
            behaviour=np.zeros((20, 50, 2)),
            behaviour_channels=["x", "y"],
            condition=["a", "b"] * 10,
        )
    )
    assert described.warnings == ()
    facts = described.facts
    assert (facts["trials"], facts["bins"], facts["neurons"]) == (20, 50, 6)
    assert facts["splits"] == {"train": 15, "valid": 5} and facts["held_out"] == 1
    assert facts["conditions"] == {"a": 10, "b": 10} and facts["behaviours"] == ["x", "y"]
    assert facts["missing_fraction"] == pytest.approx(10 / 1000)
    assert facts["durations"] == pytest.approx((0.8, 1.0))
    rates = np.nanmean(values, axis=(0, 1)) / 0.02
    np.testing.assert_allclose(facts["rate_quantiles"], np.quantile(rates, [0, 0.25, 0.5, 0.75, 1]))
    assert facts["spikes"] == np.nansum(values)
    assert "Nothing suspicious" in str(described) and "20 trials of up to 50 bins of 20 ms" in str(described)


def test_counts_around_trials_are_told_of():
    made = trials(counts(), bin_width=0.02)
    beside = counts(bins=4)
    described = describe(surrounded(made, beside, beside, np.full(20, 50)))
    assert described.facts["margin"] == pytest.approx(0.08)
    assert "counts of 0.08 s before and after each" in str(described)
    assert "smoothing" not in str(describe(made))


def test_silent_near_silent_and_unobserved_units_are_named():
    values = counts()
    values[:, :, 1] = 0
    values[:, :, 2] = 0
    values[3, 4, 2] = 1  # one spike in 20 s
    values[:, :, 5] = np.nan
    warnings = warned(values, neuron=list("abcdef"))
    assert "Silent units, not one spike (1): b." in warnings
    assert "Near-silent units, below 0.1 Hz (1): c." in warnings
    assert "Units that were never observed (1): f." in warnings


def test_duplicates_are_named_once_and_silent_units_are_none():
    values = counts()
    values[:, :, 4] = values[:, :, 1]
    values[:, :, 2] = values[:, :, 3] = 0
    warnings = warned(values, neuron=[10, 11, 12, 13, 14, 15])
    assert "identical counts, keep one of each: 11 = 14." in warnings
    assert "coincide" not in warnings


def test_crosstalk_is_told_from_a_shared_rate():
    shared = np.exp(1.2 * np.sin(np.arange(200) / 15))  # slow, strong common modulation
    values = RNG.poisson(0.6 * shared[:, None], (40, 200, 6)).astype(float)
    assert np.corrcoef(values[..., 0].ravel(), values[..., 1].ravel())[0, 1] > 0.3
    assert "coincide" not in warned(values)
    values[:, :, 5] = values[:, :, 2] + RNG.poisson(0.1, (40, 200))
    warnings = warned(values, neuron=list("abcdef"))
    assert "c and f" in warnings and "a and b" not in warnings


def test_correlations_equal_numpy_when_neighbouring_bins_are_independent():
    values = counts(30, 400, 3).astype(np.float32)
    values[:, :, 2] += values[:, :, 0]
    data = trials(values, bin_width=0.01).counts
    ((one, other, excess),) = tallies.coincidences(data, tallies.tally(data), threshold=0.3)
    expected = np.corrcoef(values[..., 0].ravel(), values[..., 2].ravel())[0, 1]
    assert (one, other) == (0, 2) and excess == pytest.approx(expected, abs=0.05)


def test_blocks_give_what_one_pass_gives(monkeypatch):
    values = counts()
    values[2, 30:] = np.nan
    data = trials(values, bin_width=0.02).counts
    whole = tallies.tally(data)
    monkeypatch.setattr(tallies, "_BLOCK_ENTRIES", 700)
    pieces = tallies.tally(data)
    for name in ("spikes", "observed", "trial_spikes", "trial_bins"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    np.testing.assert_array_equal(whole.trial_spikes, np.nansum(values, axis=(1, 2)))
    assert tallies.coincidences(data, pieces, threshold=0.9) == []


def test_counts_that_are_no_counts_are_said():
    values = counts()
    values[0, 0, 0], values[0, 1, 0], values[0, 2, 0] = -1, 0.5, -2
    warnings = warned(values)
    assert "Negative counts (2)" in warnings and "no integers (1)" in warnings


def test_crowded_bins_are_said_above_three_percent_only():
    values = np.tile([0.0, 1.0], (20, 25, 1))
    values = np.concatenate([values, 1 - values], axis=2)[:, :, :2]
    values[:, 0] = 6  # 1 of 25 bins: 4 percent
    assert "4 % of the counts exceed 5" in warned(values)
    values[:10, 0] = 0
    assert "exceed 5" not in warned(values)


def test_empty_and_unobserved_trials_and_rare_conditions_are_said():
    values = counts()
    values[3], values[7] = 0, np.nan
    warnings = warned(values, condition=["a"] * 17 + ["b"] * 3)
    assert "Trials without a spike, counted from 0 (1): 3." in warnings
    assert "Trials that are all NaN, counted from 0 (1): 7." in warnings
    assert "Conditions with fewer than 5 trials: b (3)." in warnings


def test_everything_unobserved_is_described_without_a_stumble():
    described = describe(trials(np.full((2, 3, 2), np.nan), bin_width=0.1))
    assert described.facts["missing_fraction"] == 1.0
    assert "all NaN, counted from 0 (2): 0, 1" in str(described)
