"""Bins against arithmetic with fractions: edges, large clocks, widths that are no whole number of ticks, overlaps, losses."""

import bisect
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from undertow.data.binning import bin_spikes, grid, within
from undertow.vocabulary import UndertowError

WIDTHS = ["0.001", "0.005", "0.01", "0.1", "0.0166667", "0.045", "0.3"]


def brute_force(spikes, starts, bins, width):
    """Counts and losses from decimal strings, exactly."""
    counts = np.zeros((len(starts), bins), int)
    inside = set()
    for trial, start in enumerate(starts):
        for index, spike in enumerate(spikes):
            place = (spike - start) // width
            if 0 <= place < bins:
                counts[trial, place] += 1
                inside.add(index)
    return counts, len(spikes) - len(inside)


@st.composite
def sessions(draw):
    """Spikes that like to lie on edges, in exact decimal seconds."""
    width = Fraction(draw(st.sampled_from(WIDTHS)))
    origin = Fraction(draw(st.sampled_from(["0", "0.3", "1234567.89", "86400.001", "-2.5"])))
    shift = st.fractions(0, 3, max_denominator=1).map(lambda whole: whole * width)
    starts = [
        origin + draw(shift) + Fraction(draw(st.integers(0, 5000)), 1000)
        for _ in range(draw(st.integers(1, 4)))
    ]
    edge = st.tuples(st.sampled_from(starts), st.integers(-3, 40), st.sampled_from([0, 0, 0, 1, -1, 1234]))
    spikes = [start + k * width + Fraction(off, 10**7) for start, k, off in draw(st.lists(edge, max_size=25))]
    return spikes, starts, draw(st.integers(1, 30)), width


@settings(deadline=None)
@given(sessions())
@example(([Fraction(3, 10)], [Fraction(0)], 5, Fraction(1, 10)))
@example(([Fraction("1234567.92")], [Fraction("1234567.89")], 5, Fraction(1, 100)))
def test_counts_equal_exact_arithmetic_on_decimal_times(session):
    spikes, starts, bins, width = session
    expected, lost = brute_force(spikes, starts, bins, width)
    counts, outside = bin_spikes(
        np.array([float(s) for s in spikes]), np.array([float(s) for s in starts]), bins, float(width)
    )
    np.testing.assert_array_equal(counts, expected)
    assert outside == lost


def test_spike_on_an_edge_belongs_to_the_later_bin_despite_floating_point():
    edges = np.arange(1000) * 0.1
    assert (np.floor(edges / 0.1) != np.arange(1000)).any()  # the naive rule fails on these very numbers
    counts, lost = bin_spikes(edges, np.array([0.0]), 1000, 0.1)
    np.testing.assert_array_equal(counts, np.ones((1, 1000)))
    assert lost == 0


@pytest.mark.parametrize("width", [1 / 60, 0.0166667, 1 / 3, 1 / 44100])
def test_edges_do_not_drift_over_a_million_bins(width):
    edges = grid(np.array([0.0]), 1_000_000, width).edges
    exact = [round(Fraction(width) * k * 10**9) for k in (1, 999, 500_000, 1_000_000)]
    np.testing.assert_allclose(edges[[1, 999, 500_000, 1_000_000]], exact, atol=1, rtol=0)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 12), max_size=60), st.sampled_from([1 / 60, 0.07, 1 / 3]))
def test_counts_equal_bisection_when_the_width_is_no_whole_number_of_ticks(spikes, width):
    starts = [0.0, 0.25, 7.1]
    counts, _ = bin_spikes(np.array(spikes), np.array(starts), 20, width)
    ticks = sorted(round(Fraction(s) * 10**9) for s in spikes)
    for trial, start in enumerate(starts):
        edges = [round(Fraction(str(start)) * 10**9) + int(np.rint(k * width * 1e9)) for k in range(21)]
        below = [bisect.bisect_left(ticks, edge) for edge in edges]
        np.testing.assert_array_equal(counts[trial], np.diff(below))


def test_unix_clocks_are_counted_in_microseconds():
    start = 1_700_000_000.25
    spikes = start + np.arange(200) * 0.005  # float64 is 0.24 microseconds coarse there
    counts, lost = bin_spikes(spikes, np.array([start]), 200, 0.005)
    np.testing.assert_array_equal(counts, np.ones((1, 200)))
    assert lost == 0


def test_overlapping_trials_each_count_their_spikes_and_a_spike_is_lost_once():
    counts, lost = bin_spikes(np.array([0.25, 0.05, 0.95, 5.0]), np.array([0.0, 0.2]), 3, 0.1)
    np.testing.assert_array_equal(counts, [[1, 0, 1], [1, 0, 0]])
    assert lost == 2


def test_spikes_after_the_end_of_a_shorter_trial_are_lost():
    counts, lost = bin_spikes(np.array([0.05, 0.25]), np.array([0.0, 10.0]), np.array([2, 4]), 0.1)
    np.testing.assert_array_equal(counts, [[1, 0, 0, 0], [0, 0, 0, 0]])
    assert lost == 1


def test_no_spikes_and_no_trials():
    counts, lost = bin_spikes(np.array([]), np.array([0.0]), 3, 0.1)
    assert counts.tolist() == [[0, 0, 0]] and lost == 0
    counts, lost = bin_spikes(np.array([1.0]), np.array([]), 3, 0.1)
    assert counts.shape[0] == 0 and lost == 1


def test_arguments_are_not_modified():
    spikes, starts = np.array([0.3, 0.1]), np.array([0.0])
    bin_spikes(spikes, starts, 4, 0.1)
    np.testing.assert_array_equal(spikes, [0.3, 0.1])


@pytest.mark.parametrize("width", [0.0, -0.01, np.nan, np.inf, 1e-12])
def test_impossible_bin_widths_are_refused(width):
    with pytest.raises(UndertowError, match="bin width"):
        bin_spikes(np.array([0.1]), np.array([0.0]), 4, width)


def test_spike_times_that_are_not_numbers_are_refused():
    with pytest.raises(UndertowError, match="1 of 2 spike times"):
        bin_spikes(np.array([0.1, np.nan]), np.array([0.0]), 4, 0.1)


intervals_strategy = st.lists(st.tuples(st.integers(-5, 40), st.integers(0, 15)), max_size=6)


@settings(deadline=None)
@given(intervals_strategy, st.integers(1, 12), st.integers(-3, 20))
def test_within_equals_checking_every_tenth_of_a_bin(pairs, bins, start):
    intervals = np.array([(low / 10, (low + length) / 10) for low, length in pairs]).reshape(-1, 2)
    covered = {tenth for low, length in pairs for tenth in range(low, low + length)}
    inside = within(intervals, grid(np.array([start / 10]), bins, 0.3))
    expected = [{start + 3 * k, start + 3 * k + 1, start + 3 * k + 2} <= covered for k in range(bins)]
    np.testing.assert_array_equal(inside[0], expected)
