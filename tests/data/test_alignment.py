"""Cutting: counts against numpy.histogram, behaviour against known functions, and everything that can be wrong."""

import logging

import numpy as np
import pandas as pd
import pytest

from undertow.data.alignment import cut
from undertow.data.recording import Recording, Series
from undertow.vocabulary import UndertowError, check_trials

RNG = np.random.default_rng(0)


def recording(**changes):
    spikes = [np.sort(RNG.uniform(0, 20, size)) for size in (400, 100, 0)]
    units = pd.DataFrame({"area": ["M1", "M1", "PMd"], "heldout": [False, True, False]}, index=[7, 11, 30])
    rows = pd.DataFrame(
        {
            "start_time": [1.0, 5.0, 9.0, 13.0],
            "stop_time": [3.0, 6.5, 9.6, 17.25],
            "go_time": [1.5, 5.25, np.nan, 14.0],
            "condition": ["left", "right", None, "left"],
            "success": [True, False, True, True],
            "path": [[1, 2], [3], [4], [5]],
        }
    )
    times = np.arange(0, 20, 0.001)
    ramp = Series(times, np.stack([2 * times, -times], 1), ("hand_x", "hand_y"))
    slow = Series(np.arange(0, 20, 0.5), np.arange(0, 20, 0.5) * 3, ("pupil",))
    fields = {
        "spike_times": spikes,
        "units": units,
        "tables": {"trials": rows, "licks": rows[["start_time", "stop_time"]]},
        "series": {"hand": ramp, "pupil": slow},
        "observed": np.array([[0.0, 20.0]]),
        "session": "monday",
    }
    return Recording(**{**fields, **changes})


def test_window_around_a_column_counts_like_a_histogram():
    source = recording()
    cut_trials = cut(source, bin_width=0.05, align="go_time", window=(-0.2, 0.6))
    check_trials(cut_trials)
    assert cut_trials.counts.shape == (3, 16, 3)
    for trial, event in enumerate([1.5, 5.25, 14.0]):
        edges = event - 0.2 + np.arange(17) * 0.05
        for unit, spikes in enumerate(source.spike_times):
            expected = np.histogram(spikes, edges)[0]
            np.testing.assert_array_equal(cut_trials.counts[trial, :, unit], expected)
    np.testing.assert_allclose(cut_trials.time, np.arange(16) * 0.05 - 0.175)
    np.testing.assert_allclose(cut_trials.start_time, [1.3, 5.05, 13.8])
    assert "1 of 4 trials were left out: 'go_time' is NaN there." in cut_trials.attrs["notes"]


def test_lost_spikes_are_said_and_logged(caplog):
    source = recording()
    with caplog.at_level(logging.INFO, logger="undertow"):
        cut_trials = cut(source, bin_width=0.05, align="go_time", window=(-0.2, 0.6))
    inside = int(np.nansum(cut_trials.counts))
    sentence = f"{500 - inside} of 500 spikes fell outside all trials and were left out."
    assert sentence in cut_trials.attrs["notes"].split("\n")
    assert sentence in caplog.messages


def test_own_lengths_are_ragged_with_nan_after_the_end():
    cut_trials = cut(recording(), bin_width=0.25)
    observed = np.isfinite(cut_trials.counts).all("neuron").sum("time")
    np.testing.assert_array_equal(observed, [8, 6, 2, 17])
    assert np.isnan(cut_trials.counts[2, 2:]).all()
    np.testing.assert_allclose(cut_trials.start_time, [1, 5, 9, 13])


def test_columns_become_coordinates_under_free_names():
    cut_trials = cut(recording(), bin_width=0.25)
    np.testing.assert_allclose(cut_trials.trial_start_time, [1, 5, 9, 13])
    np.testing.assert_allclose(cut_trials.stop_time, [3, 6.5, 9.6, 17.25])
    assert cut_trials.condition.values.tolist() == ["left", "right", "", "left"]
    assert cut_trials.success.dtype == bool
    assert cut_trials.area.dims == ("neuron",)
    assert cut_trials.neuron.values.tolist() == [7, 11, 30]
    assert cut_trials.held_out.values.tolist() == [False, True, False]
    assert "path" not in cut_trials.coords and "left out: path" in cut_trials.attrs["notes"]
    assert cut_trials.attrs["session"] == "monday"


def test_columns_named_like_arguments_or_axes_do_no_harm():
    rows = pd.DataFrame(
        {"start_time": [1.0, 3.0], "stop_time": [2.0, 4.0], "session": [1, 2], "neuron": [3, 4]}
    )
    rows = rows.assign(bin_width=[9, 9], start=[5, 6], time=[0.1, 0.2], area=["a", "b"])
    cut_trials = check_trials(cut(recording(tables={"trials": rows}), bin_width=0.1))
    assert cut_trials.trial_neuron.values.tolist() == [3, 4]
    assert cut_trials.start.values.tolist() == [5, 6]
    assert cut_trials.area.dims == ("trial",) and cut_trials.neuron_area.dims == ("neuron",)
    assert cut_trials.attrs["bin_width"] == 0.1


def test_splits_of_the_table_are_translated_and_none_is_left_out():
    rows = recording().tables["trials"].assign(split=["train", "val", "none", "test"])
    cut_trials = cut(recording(tables={"trials": rows}), bin_width=0.25)
    assert cut_trials.split.values.tolist() == ["train", "valid", "test"]
    assert "1 of 4 trials were left out: their split is 'none'." in cut_trials.attrs["notes"]
    other = cut(recording(tables={"trials": rows.assign(split=list("abab"))}), bin_width=0.25)
    assert set(other.split.values) == {"train"} and other.trial_split.values.tolist() == list("abab")


def test_select_keeps_trials_by_their_columns():
    kept = cut(recording(), bin_width=0.25, select={"success": True, "condition": ["left", "right"]})
    np.testing.assert_allclose(kept.start_time, [1, 13])
    with pytest.raises(UndertowError, match=r"No trial has condition = 'up'; the column holds .*left"):
        cut(recording(), bin_width=0.25, select={"condition": "up"})
    with pytest.raises(UndertowError, match="did you mean 'condition'"):
        cut(recording(), bin_width=0.25, select={"conditon": "left"})


def test_fast_series_are_averaged_and_slow_ones_interpolated():
    cut_trials = cut(recording(), bin_width=0.1, align="go_time", window=(0, 1), behaviour=["hand", "pupil"])
    assert cut_trials.behaviour_channel.values.tolist() == ["hand_x", "hand_y", "pupil"]
    centres = cut_trials.start_time.values[:, None] + (np.arange(10) + 0.5) * 0.1
    expected = np.stack(
        [2 * centres - 0.001, -centres + 0.0005, 3 * centres], axis=-1
    )  # samples lie on left edges
    np.testing.assert_allclose(cut_trials.behaviour, expected, atol=1e-4)


def test_series_are_nan_where_nothing_was_recorded():
    times = np.r_[np.arange(2.0, 6.0, 0.5), np.arange(13, 15, 0.5)]
    values = np.where(times == 5.5, np.nan, times)
    source = recording(series={"pupil": Series(times, values, ("pupil",))})
    rows = pd.DataFrame({"start_time": [0.0], "stop_time": [16.0]})
    sampled = cut(source, bin_width=0.1, table=rows, behaviour="pupil").behaviour[0, :, 0]
    centres = (np.arange(160) + 0.5) * 0.1
    known = ((centres >= 2) & (centres < 5)) | ((centres >= 13) & (centres <= 14.5))
    np.testing.assert_array_equal(np.isfinite(sampled), known)  # not in the gap from 5.5 to 13 s either
    np.testing.assert_allclose(sampled[known], centres[known], rtol=1e-6)


def test_samples_that_are_nan_do_not_spoil_a_bin_average():
    times = np.arange(0, 2, 0.01)
    values = np.where(np.arange(200) % 2 == 0, np.nan, 5.0)
    values[100:110] = np.nan
    source = recording(series={"lick": Series(times, values, ("lick",))})
    rows = pd.DataFrame({"start_time": [0.0], "stop_time": [2.0]})
    sampled = cut(source, bin_width=0.1, table=rows, behaviour="lick").behaviour[0, :, 0].values
    assert np.isnan(sampled[10]) and (np.delete(sampled, 10) == 5).all()


def test_inputs_come_with_the_names_of_their_channels():
    cut_trials = cut(recording(), bin_width=0.1, align="go_time", window=(0, 1), inputs="hand")
    assert cut_trials.inputs.dims == ("trial", "time", "input")
    assert cut_trials.input_channel.values.tolist() == ["hand_x", "hand_y"]


def test_bins_outside_the_recording_are_nan_and_said():
    cut_trials = cut(
        recording(observed=np.array([[1.4, 20.0]])), bin_width=0.1, align="go_time", window=(-0.5, 0.5)
    )
    missing = np.isnan(cut_trials.counts).all("neuron").values
    assert missing[0].tolist() == [True] * 4 + [False] * 6 and not missing[1:].any()
    assert "1 of 3 trials were recorded only in part: 4 bins are NaN." in cut_trials.attrs["notes"]


def test_trials_outside_the_recording_are_dropped_unless_all_are():
    short = recording(observed=np.array([[0.0, 10.0]]))
    assert cut(short, bin_width=0.1, align="go_time", window=(0, 1)).sizes["trial"] == 2
    with pytest.raises(UndertowError, match=r"All 3 trials lie outside .* from 101.5 to 115 s"):
        cut(short, bin_width=0.1, align="go_time", window=(100, 101))


def test_intervals_of_single_units_blank_their_bins_only():
    whole = np.array([[0.0, 20.0]])
    source = recording(unit_observed=[whole, np.array([[0.0, 1.75], [1.75, 2.0], [5.3, 20.0]]), whole])
    cut_trials = cut(source, bin_width=0.1, align="go_time", window=(0, 1))
    missing = np.isnan(cut_trials.counts).values
    assert not missing[:, :, [0, 2]].any()
    assert missing[0, :, 1].tolist() == [False] * 5 + [True] * 5
    assert missing[1, :, 1].tolist() == [True] + [False] * 9


def test_a_recording_without_tables_is_one_long_trial():
    cut_trials = cut(recording(tables={}), bin_width=0.5)
    assert cut_trials.counts.shape == (1, 40, 3)
    np.testing.assert_array_equal(cut_trials.counts.sum(("trial", "time")), [400, 100, 0])


def test_the_only_table_is_the_trial_table_and_several_need_a_choice():
    rows = recording().tables["trials"]
    assert cut(recording(tables={"reaches": rows}), bin_width=0.25).sizes["trial"] == 4
    with pytest.raises(UndertowError, match=r"'encoding' \(4 rows\), 'rest' \(4 rows\); choose one"):
        cut(recording(tables={"encoding": rows, "rest": rows}), bin_width=0.25)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": "go_tme", "window": (0, 1)}, "did you mean 'go_time'"),
        ({"align": "go_tme", "window": (0, 1)}, "'start_time', 'stop_time', 'go_time'"),
        ({"align": "condition", "window": (0, 1)}, "not seconds"),
        ({"align": "go_time"}, "needs a window"),
        ({"align": "go_time", "window": (0, 0.97)}, r"9.7 bins .* nearest is window=\(0, 1\)"),
        ({"align": "go_time", "window": (1, 0)}, "empty"),
        ({"align": "go_time", "window": (0, np.nan)}, "empty"),
        ({"table": "trails"}, "did you mean 'trials'"),
        ({"behaviour": "hnd"}, "did you mean 'hand'"),
        ({"bin_width": 0}, "bin width is 0"),
        ({"bin_width": "fast"}, "bin width is 'fast'"),
        ({"bin_width": 60.0}, "None of the 4 trials is as long as one bin"),
    ],
)
def test_what_is_wrong_is_said(options, message):
    with pytest.raises(UndertowError, match=message):
        cut(recording(), **{"bin_width": 0.1, **options})


def test_nothing_to_bin_is_said():
    with pytest.raises(UndertowError, match="no units"):
        cut(recording(spike_times=[], units=pd.DataFrame()), bin_width=0.1)
    with pytest.raises(UndertowError, match="NaN in all 4 trials"):
        rows = recording().tables["trials"].assign(go_time=np.nan)
        cut(recording(tables={"trials": rows}), bin_width=0.1, align="go_time", window=(0, 1))


def test_the_recording_is_not_modified():
    source = recording()
    before = source.tables["trials"].copy(deep=True), [unit.copy() for unit in source.spike_times]
    cut(source, bin_width=0.1, align="go_time", window=(0, 1), behaviour="hand")
    pd.testing.assert_frame_equal(source.tables["trials"], before[0])
    for unit, copy in zip(source.spike_times, before[1], strict=True):
        np.testing.assert_array_equal(unit, copy)
