"""Smoothing by brute force, what it must keep and what it must not mix, and the choice of its width."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from undertow.evaluation.smoothing import best_width, smooth
from undertow.vocabulary import UndertowError


def brute_force(row, width, own_bin):
    out = []
    for here in range(len(row)):
        total = weight = 0.0
        for there, n in enumerate(row):
            near = abs(here - there) <= max(1, math.ceil(4 * width))
            if near and not math.isnan(n) and (own_bin or there != here):
                share = math.exp(-0.5 * ((here - there) / width) ** 2)
                total, weight = total + share * n, weight + share
        out.append(total / weight if weight else math.nan)
    return out


@given(
    st.lists(st.one_of(st.integers(0, 4), st.just(math.nan)), min_size=1, max_size=12),
    st.floats(0.3, 6),
    st.booleans(),
)
def test_smoothing_is_the_weighted_mean_of_what_was_observed(row, width, own_bin):
    counts = np.array(row, dtype=np.float64)[None, :, None]
    ours = smooth(counts, width, own_bin=own_bin)[0, :, 0]
    np.testing.assert_allclose(ours, brute_force(row, width, own_bin), rtol=1e-9, atol=1e-12)


def test_the_middle_of_a_long_trial_is_scipys_gaussian_filter():
    counts = np.random.default_rng(0).poisson(1.0, (2, 80, 3)).astype(np.float64)
    middle = slice(30, 50)
    np.testing.assert_allclose(
        smooth(counts, 3)[:, middle], gaussian_filter1d(counts, 3, axis=1)[:, middle], rtol=1e-6
    )


def test_constants_stay_and_trials_do_not_mix():
    counts = np.repeat(np.arange(5, dtype=np.float32), 30).reshape(5, 30, 1)
    counts[2, 10:20] = np.nan
    before = counts.copy()
    expected = np.broadcast_to(np.arange(5)[:, None, None], counts.shape)
    np.testing.assert_allclose(smooth(counts, 4), expected, atol=1e-6)
    np.testing.assert_array_equal(counts, before)


def test_the_width_follows_the_speed_of_the_rates():
    generator = np.random.default_rng(3)
    times, widths = np.arange(200), (0.5, 1, 2, 4, 8, 16, 32)

    def chosen(period):
        phases = generator.random((40, 1, 10)) * 2 * np.pi
        return best_width(
            generator.poisson(1 + 0.9 * np.sin(2 * np.pi * times[None, :, None] / period + phases)), widths
        )

    assert chosen(15) < chosen(60) < chosen(300)
    assert best_width(generator.poisson(1.0, (40, 200, 10)), widths) == 32


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf])
def test_impossible_widths_are_named(width):
    with pytest.raises(UndertowError, match="width is"):
        smooth(np.zeros((1, 3, 1)), width)
