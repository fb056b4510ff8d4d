"""Counts around trials: where they come from, that they lie where they belong, and what they must not tell."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import undertow as ut
from undertow.data import batches, surroundings
from undertow.data.alignment import cut
from undertow.data.recording import Recording
from undertow.data.windows import chop
from undertow.vocabulary import UndertowError, check_trials

BIN = 0.05
SPIKES = [np.sort(np.random.default_rng(unit).uniform(0, 20, 4000)) for unit in range(3)]
ROWS = pd.DataFrame({"start_time": [0.1, 5.0, 9.0, 19.0], "stop_time": [3.0, 6.5, 9.6, 20.0]})


def recording(**changes):
    fields = {
        "spike_times": SPIKES,
        "units": pd.DataFrame(index=[7, 11, 30]),
        "tables": {"trials": ROWS},
        "observed": np.array([[0.0, 20.0]]),
        "session": "monday",
    }
    return Recording(**{**fields, **changes})


def histograms(begin: float, bins: int) -> np.ndarray:
    edges = begin + np.arange(bins + 1) * BIN
    return np.stack([np.histogram(spikes, edges)[0] for spikes in SPIKES], 1)


@pytest.fixture(scope="module")
def windows():
    return cut(recording(), bin_width=BIN, align="start_time", window=(1.0, 2.0), margin=0.15)


def test_trials_themselves_are_those_without_a_margin(windows):
    alone = cut(recording(), bin_width=BIN, align="start_time", window=(1.0, 2.0))
    xr.testing.assert_identical(surroundings.without_surroundings(windows), alone)


def test_counts_around_are_those_of_the_recording(windows):
    assert check_trials(windows).counts_around.shape == (3, 26, 3)  # the fourth trial lies behind the end
    np.testing.assert_allclose(windows.time_around, 1.0 + (np.arange(-3, 23) + 0.5) * BIN)
    for trial, event in enumerate([0.1, 5.0, 9.0]):
        expected = histograms(event + 1 - 3 * BIN, 26).astype(float)
        expected[3:23] = np.nan
        np.testing.assert_array_equal(windows.counts_around[trial], expected)


def test_trials_of_their_own_lengths_are_followed_at_once():
    trials = cut(recording(), bin_width=BIN, margin=0.1)
    lengths = np.isfinite(trials.counts.values).all(2).sum(1)
    np.testing.assert_array_equal(lengths, [58, 30, 12, 20])
    around = batches.arrays(trials).around
    assert around.shape == (4, 58 + 4, 3)
    for trial in (1, 2):
        found, length = around[trial], lengths[trial]
        begin = trials.start_time.values[trial]
        np.testing.assert_array_equal(found[:2], histograms(begin - 2 * BIN, 2))
        np.testing.assert_array_equal(found[2 + length : 4 + length], histograms(begin + length * BIN, 2))
        assert np.isnan(found[2 : 2 + length]).all() and np.isnan(found[4 + length :]).all()


def test_what_was_not_recorded_is_not_there():
    """Before the recording, after it, and outside a unit's own intervals."""
    trials = cut(recording(), bin_width=BIN, margin=0.15)
    assert np.isnan(trials.counts_around[0, 0]).all() and np.isfinite(trials.counts_around[0, 1:3]).all()
    assert (
        np.isnan(trials.counts_around[3]).sum("time_around").values.min() == trials.sizes["time_around"] - 3
    )
    seen = [np.array([[0.0, 20.0]]), np.array([[5.0, 6.0]]), np.array([[0.0, 20.0]])]
    partly = cut(recording(unit_observed=seen), bin_width=BIN, margin=0.15)
    assert (
        np.isnan(partly.counts_around[1, :3, 1]).all() and np.isfinite(partly.counts_around[1, :3, 0]).all()
    )


def test_places_are_found_by_their_times_when_bins_are_left_out(windows):
    around = batches.arrays(windows.isel(time=slice(4, 12))).around
    margin = (around.shape[1] - 8) // 2
    whole = np.full((3, 60, 3), np.nan)
    whole[:, 20:46] = windows.counts_around.values  # bin 4 of the window has place 27
    np.testing.assert_array_equal(around, whole[:, 27 - margin : 35 + margin])
    assert np.isnan(around[:, margin - 4 : margin + 16]).all()


def test_bins_to_be_forecast_end_what_is_known(windows):
    around = batches.arrays(ut.hold_out(windows, forward=2)).around
    assert np.isfinite(around[:, :3]).all() and np.isnan(around[:, 3:]).all()


def test_neurons_and_trials_are_chosen_together(windows):
    part = windows.isel(trial=[2, 0], neuron=[1])
    np.testing.assert_array_equal(
        batches.arrays(part).around, windows.counts_around.values[[2, 0]][:, :, [1]]
    )


def test_windows_of_long_trials_know_their_neighbours():
    (long,) = [cut(recording(tables={}), bin_width=BIN)]
    windows = chop(long, length=50, overlap=10, margin=4)
    alone = chop(long, length=50, overlap=10)
    xr.testing.assert_identical(surroundings.without_surroundings(windows), alone)
    counts = long.counts.values[0]
    for window in range(windows.sizes["trial"]):
        begin = int(windows.window_start[window])
        around = windows.counts_around.values[window]
        assert np.isnan(around[4:54]).all()
        for place in [*range(4), *range(54, 58)]:
            at = begin + place - 4
            if 0 <= at < len(counts):
                np.testing.assert_array_equal(around[place], counts[at])
            else:
                assert np.isnan(around[place]).all()


def test_windows_of_trials_with_a_margin_reach_into_it(windows):
    pieces = chop(windows, length=10, margin=0.1)
    first = pieces.isel(trial=0)
    np.testing.assert_array_equal(first.counts_around[:2], windows.counts_around[0, 1:3])
    np.testing.assert_array_equal(first.counts_around[-2:], windows.counts[0, 10:12])
    last = pieces.isel(trial=1)
    np.testing.assert_array_equal(last.counts_around[-2:], windows.counts_around[0, 23:25])
    assert "counts_around" not in chop(windows, length=10)


def test_files_keep_them(windows, tmp_path):
    ut.save(windows, tmp_path / "trials.nc")
    xr.testing.assert_identical(ut.load(tmp_path / "trials.nc"), windows)


def test_thinned_out_trials_lose_them(windows):
    assert "counts_around" not in ut.subsample(windows, keep=2)


def test_sessions_in_one_batch_leave_them_out(windows):
    split = ut.split(windows, valid=1 / 3, seed=0)
    train, valid = batches.session_arrays({"a": split, "b": split.isel(neuron=[0, 2])})
    assert train.around is None and valid.around is None and train.counts.shape[2] == 3


@pytest.mark.parametrize(
    ("margin", "words"),
    [(0.07, "no whole number of bins"), (-0.1, "0 or more"), ("wide", "'wide'"), (np.nan, "nan")],
)
def test_a_margin_that_cannot_be(margin, words):
    with pytest.raises(UndertowError, match=words):
        cut(recording(), bin_width=BIN, margin=margin)
    if margin != "wide":
        with pytest.raises(UndertowError, match="margin"):
            chop(cut(recording(), bin_width=BIN), length=10, margin=margin)


def test_a_time_axis_that_does_not_fit_is_refused(windows):
    with pytest.raises(UndertowError, match="time_around"):
        check_trials(windows.assign_coords(time_around=windows.time_around * 2))
    with pytest.raises(UndertowError, match="counts_around"):
        check_trials(windows.assign(counts_around=windows.counts_around.astype("float64")))
