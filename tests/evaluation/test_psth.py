"""Condition averages by brute force, and their R2 against scikit-learn."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.metrics import r2_score

from undertow.evaluation.psth import psth, psth_r2
from undertow.vocabulary import UndertowError

LABELS = np.array(["left", "right", "left", "up", "right", "left"])


def test_averages_are_those_of_each_conditions_trials():
    values = np.random.default_rng(0).standard_normal((6, 5, 2))
    values[0, 1, 0] = np.nan
    values[3, 2, 1] = np.nan
    labels, averages = psth(values, LABELS)
    assert labels.tolist() == ["left", "right", "up"]
    for index, label in enumerate(labels):
        for time, neuron in np.ndindex(5, 2):
            known = [v for v in values[label == LABELS, time, neuron] if not np.isnan(v)]
            expected = sum(known) / len(known) if known else np.nan
            assert averages[index, time, neuron] == pytest.approx(expected, nan_ok=True)


def test_r2_is_that_of_smoothed_counts():
    generator = np.random.default_rng(1)
    counts = generator.poisson(1.5, (40, 30, 3)).astype(np.float32)
    rates = generator.gamma(2, 30, (25, 30, 3))
    counts_condition, condition = np.arange(40) % 4, np.arange(25) % 5
    padded = np.pad(counts, ((0, 0), (60, 60), (0, 0)))
    weight = gaussian_filter1d(np.pad(np.ones(30), 60), 2.5, mode="constant")[60:90]
    smoothed = (
        gaussian_filter1d(padded.astype(np.float64), 2.5, axis=1, mode="constant")[:, 60:90] / weight[:, None]
    )
    true = [smoothed[counts_condition == label].mean(0) / 0.02 for label in range(4)]
    predicted = [rates[condition == label].mean(0) for label in range(4)]
    expected = r2_score(np.concatenate(true), np.concatenate(predicted), multioutput="raw_values")
    ours = psth_r2(rates, condition, counts=counts, counts_condition=counts_condition, bin_width=0.02)
    np.testing.assert_allclose(ours.per_column, expected, rtol=1e-6)


def test_fast_true_rates_are_only_recognised_when_both_sides_are_smoothed():
    times = np.arange(100) * 0.01
    rates = 30 + 25 * np.sin(2 * np.pi * (8 * times + np.arange(4)[:, None] / 4))[:, :, None]
    counts = np.repeat(rates * 0.01, 3, axis=0)
    arguments = {"counts": counts, "counts_condition": np.repeat(np.arange(4), 3), "bin_width": 0.01}
    assert psth_r2(rates, np.arange(4), **arguments).mean < 0
    assert psth_r2(rates, np.arange(4), **arguments, rates_smoothing=0.05).mean == pytest.approx(1)


def test_missing_conditions_are_said():
    values = np.ones((6, 5, 2))
    with pytest.raises(UndertowError, match="no condition in common"):
        psth_r2(values, LABELS, counts=values, counts_condition=np.full(6, "down"), bin_width=0.1)
    with pytest.raises(UndertowError, match="5 condition labels for 6 trials"):
        psth(values, LABELS[:5])
