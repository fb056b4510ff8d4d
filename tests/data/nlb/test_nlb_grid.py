"""Milliseconds, windows, counts, behaviour and delays, each against a table of the whole session at 1 ms or numbers by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import decimate

from undertow.data.nlb.behaviour import on_bins, samples
from undertow.data.nlb.counting import trial_counts
from undertow.data.nlb.jitter import jitter
from undertow.data.nlb.session import inside, session
from undertow.data.nlb.spans import cut_spans, first_bins, stop_bins
from undertow.data.recording import Recording, Series
from undertow.vocabulary import UndertowError


def recording(spikes, held_out, observed, ids=None):
    ids = list(range(len(spikes))) if ids is None else ids
    units = pd.DataFrame({"heldout": held_out}, index=ids)
    trials = pd.DataFrame({"start_time": [0.0], "stop_time": [1.0], "split": ["train"]})
    return Recording(
        [np.asarray(times, float) for times in spikes],
        units,
        {"trials": trials},
        unit_observed=[np.asarray(cell, float).reshape(-1, 2) for cell in observed],
    )


def test_spikes_lie_in_truncated_milliseconds():
    # 1.001 * 1000 is 1000.9999999999999 in float64, and must not fall into millisecond 1000.
    found = session(recording([[0.0, 0.0019999, 0.002, 1.001, 1.0019999999999]], [False], [[[0, 5]]]))
    assert found.spikes[0].tolist() == [0, 1, 2, 1001, 1002]
    assert found.length == 5000


def test_neurons_are_held_in_first_and_by_id():
    made = recording([[0.1], [0.2], [0.3], [0.4]], [True, False, True, False], [[[0, 1]]] * 4, [7, 5, 2, 3])
    found = session(made)
    assert found.neurons.tolist() == [3, 5, 2, 7] and found.held_out.tolist() == [False, False, True, True]
    assert [times.tolist() for times in found.spikes] == [[400], [200], [300], [100]]


def test_the_first_unit_of_a_group_says_what_was_observed():
    whole, part = [[0.0, 1.0]], [[0.0105, 0.0204], [0.0204, 0.05], [0.06, 0.0709]]
    spikes = [0.005, 0.0115, 0.0203, 0.021, 0.055, 0.069, 0.0705]
    found = session(recording([spikes] * 3, [False, False, True], [part, whole, whole]))
    # whole milliseconds only: [11, 20), [21, 50) and [60, 70)
    assert found.observed[0].tolist() == [[11, 20], [21, 50], [60, 70]]
    assert found.observed[1].tolist() == [[0, 1000]]
    assert found.spikes[0].tolist() == found.spikes[1].tolist() == [11, 21, 69]
    assert len(found.spikes[2]) == len(spikes)


def test_runs_answer_for_every_millisecond():
    runs = np.array([[2, 4], [7, 8]])
    assert inside(np.arange(-1, 10), runs).nonzero()[0].tolist() == [3, 4, 8]  # milliseconds 2, 3 and 7
    assert not inside(np.arange(3), np.zeros((0, 2), int)).any()


def test_windows_take_the_bins_that_begin_in_them():
    events = np.array([1.0, 1.0004, 1.0051])
    assert first_bins(events, -250, 5).tolist() == [150, 151, 152]
    assert stop_bins(events, 450, 5).tolist() == [290, 291, 292]
    assert first_bins(events, -250, 20).tolist() == [38, 38, 38]


@given(st.lists(st.floats(0.3, 1e4), min_size=1, max_size=20), st.sampled_from([5, 20]))
@settings(max_examples=50, deadline=None)
def test_windows_have_the_same_number_of_bins_wherever_they_lie(seconds, width):
    events = np.round(seconds, 5)  # a window's end is exclusive by a microsecond: finer events may lose a bin
    lengths = stop_bins(events, 700, width) - first_bins(events, 0, width)
    assert set(lengths) == {700 // width}


def test_windows_are_cut_at_the_next_window_or_the_trial_after():
    events, following = np.array([1.0, 1.5, 3.0]), np.array([1.2, 2.9, np.nan])
    cut = cut_spans((events, -250), (events, 450), following, 5, overlap=False)
    assert cut.first.tolist() == [150, 250, 550]
    assert cut.stop.tolist() == [250, 390, 690]  # the first at 1.25 s, where the second opens
    whole = cut_spans((events, -250), (events, 450), following, 5, overlap=True)
    assert whole.lengths.tolist() == [140] * 3
    early = cut_spans((events, -250), (events, 450), np.array([1.2, 1.1, 9.0]), 5, overlap=False)
    assert early.stop[0] == 220  # the trial after the next one begins at 1.1 s


@pytest.mark.parametrize("width", [5, 20])
def test_counts_are_those_of_a_table_of_the_session(width):
    generator = np.random.default_rng(0)
    spikes = [np.sort(generator.uniform(0, 3, 400)) for _ in range(5)]
    gaps = [[0.0, 1.003], [1.2071, 3.0]]
    made = session(
        recording(spikes, [False, True, False, False, True], [gaps, [[0.0, 3.0]], gaps, gaps, gaps])
    )
    first = np.array([-2, 0, 30, 29, 36 * 20 // width])
    found = trial_counts(made, first, 20, width, np.arange(5))
    table = np.zeros((3000 + 400, 5))
    for neuron, row in enumerate([0, 2, 3, 1, 4]):
        np.add.at(table[:, neuron], np.floor(spikes[row] * 1e3).astype(int), 1)
    table[3000:] = np.nan
    table[1003:1208, :3] = np.nan
    blocks = table.reshape(-1, width, 5)
    sums = np.where(np.isnan(blocks[:, 0]), np.nan, np.nansum(blocks, axis=1))
    expected = np.full((5, 20, 5), np.nan)
    for trial, begin in enumerate(first):
        for place in range(20):
            if 0 <= begin + place < len(sums):
                expected[trial, place] = sums[begin + place]
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).any() and (found > 0).any()


@pytest.mark.parametrize("width", [5, 20])
def test_behaviour_is_scipys_decimation_of_the_bridged_session(width):
    generator = np.random.default_rng(1)
    values = np.cumsum(generator.normal(size=(4000, 2)), axis=0)
    values[700:760, 0] = np.nan
    values[:33] = np.nan
    series = Series(np.arange(4000) / 1e3, values, ("b", "a"))
    channels = samples(series, 3990)
    assert list(channels) == ["a", "b"]
    first = np.array([0, 100, 3990 // width - 10])
    found = on_bins(channels, 3990, first, 12, width)
    bridged = pd.DataFrame(values[:3990]).interpolate(limit_direction="both").to_numpy()
    whole = decimate(bridged, width, axis=0, n=500, ftype="fir")
    whole[np.isnan(values[:3990:width])] = np.nan
    whole = np.concatenate([whole, np.full((20, 2), np.nan)])
    expected = np.stack([whole[begin : begin + 12, ::-1] for begin in first])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_behaviour_off_the_grid_is_refused():
    with pytest.raises(
        UndertowError, match=r"1 of 3 samples of 'v' do not lie on whole milliseconds, the first at 0\.0014 s"
    ):
        samples(Series(np.array([0.0, 0.0014, 0.002]), np.zeros((3, 1)), ("v",)), 3)


def test_samples_beyond_the_recording_are_left_out():
    channel = samples(Series(np.arange(10) / 1e3, np.arange(10.0)[:, None], ("v",)), 6)["v"]
    assert channel.milliseconds.tolist() == [0, 1, 2, 3, 4, 5]


def test_delays_are_drawn_in_order_and_never_hide_the_set_cue():
    produced = np.array([1000.0, 1490.0, 1600.0, 1300.0])
    np.random.seed(0)
    drawn = np.random.random(4)
    expected = np.round(drawn * np.array([60, 2, 0, 40])).astype(int)
    found = jitter(produced, np.zeros(4, bool), 5)
    assert found.tolist() == expected.tolist() and found.dtype == np.int64
    assert found[2] == 0 and found[0] > 0
    assert jitter(produced, np.ones(4, bool), 5).tolist() == [0, 0, 0, 0]
    assert (jitter(np.full(200, 0.0), np.zeros(200, bool), 20) <= 15).all()
