"""Averages, smoothing and main directions against SciPy, scikit-learn, xarray and plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_material import make_trials
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA

from undertow.report import averages


def test_smoothing_of_complete_counts_is_scipys_away_from_the_edges():
    counts = np.random.default_rng(0).poisson(1, (3, 80, 4)).astype(np.float32)
    expected = gaussian_filter1d(counts.astype(float), 2, axis=1) / 0.02
    np.testing.assert_allclose(
        averages.smoothed_rates(counts, 0.02)[:, 10:-10], expected[:, 10:-10], rtol=1e-6
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_smoothing_is_a_weighted_mean_of_what_was_observed(seed):
    random = np.random.default_rng(seed)
    counts = random.poisson(1, 25).astype(np.float32)
    counts[random.random(25) < 0.3] = np.nan
    rates = averages.smoothed_rates(counts[None, :, None], 0.02)[0, :, 0]
    for place in range(25):
        if np.isnan(counts[place]):
            assert np.isnan(rates[place])
            continue
        near = [other for other in range(25) if abs(other - place) <= 8 and not np.isnan(counts[other])]
        weights = [np.exp(-((other - place) ** 2) / 8) for other in near]
        expected = (
            sum(w * counts[other] for w, other in zip(weights, near, strict=True)) / sum(weights) / 0.02
        )
        assert rates[place] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_constant_rate_stays_constant_at_edges_and_gaps():
    counts = np.full((2, 30, 1), 3, np.float32)
    counts[0, 10:15] = np.nan
    rates = averages.smoothed_rates(counts, 0.1)
    np.testing.assert_allclose(rates[np.isfinite(rates)], 30, rtol=1e-9)


def test_group_means_are_xarrays():
    trials = make_trials(trials=24, ragged=True, neurons=5)
    member = np.arange(24) % 3
    expected = trials.counts.groupby("condition").mean("trial").values
    np.testing.assert_allclose(averages.group_means(trials.counts.values, member, 3), expected, rtol=1e-5)


def test_an_empty_group_has_no_mean():
    means = averages.group_means(np.ones((4, 5, 2)), np.array([0, 0, -1, 0]), 2)
    assert (means[0] == 1).all()
    assert np.isnan(means[1]).all()


def test_main_directions_are_principal_components():
    random = np.random.default_rng(1)
    points = random.normal(size=(600, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1]) @ random.normal(size=(6, 6)) + 4
    directions = averages.main_directions(points)
    reference = PCA(3).fit(points)
    np.testing.assert_allclose(directions.explained, reference.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(
        np.abs(directions.project(points)), np.abs(reference.transform(points)), atol=1e-6
    )


def test_main_directions_of_very_many_points_are_found_from_some_of_them():
    points = np.random.default_rng(3).normal(size=(200_001, 3)) * [5, 2, 1]
    directions = averages.main_directions(points, at_most=2)
    np.testing.assert_allclose(np.abs(directions.axes), [[1, 0, 0], [0, 1, 0]], atol=0.02)
    np.testing.assert_allclose(directions.explained, [25 / 30, 4 / 30], atol=0.01)


@pytest.mark.parametrize("number", [1, 2])
def test_few_factors_keep_their_number(number):
    directions = averages.main_directions(np.random.default_rng(2).normal(size=(20, number)))
    assert directions.axes.shape == (number, number)
    assert directions.explained.sum() == pytest.approx(1)


def test_no_points_have_directions_without_variance():
    directions = averages.main_directions(np.empty((0, 4)))
    assert directions.axes.shape == (3, 4)
    assert (directions.explained == 0).all()
