"""Events a frame become trials: each region at its own time, or a bin a frame; what was not sampled is NaN."""

import numpy as np
import pandas as pd
import pytest

from undertow.data import imaging
from undertow.data.describe import describe
from undertow.data.loading import load
from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError

INTERVAL = 0.03
OFFSETS = np.array([0.0, 0.011, 0.0299])
VALUES = np.arange(1, 31, dtype=np.float32).reshape(10, 3)


def recording(spike_times=(), **options):
    events = imaging.events(
        np.arange(10) * INTERVAL, VALUES.copy(), options.pop("offsets", OFFSETS), **options
    )
    trials = pd.DataFrame({"start_time": [0.0, 0.12], "stop_time": [0.12, 0.24], "go": [0.0, 0.12]})
    units = pd.DataFrame(index=[*(f"spikes{n}" for n in range(len(spike_times))), "a", "b", "c"])
    return Recording(
        list(spike_times), units, {"trials": trials}, events=events, observed=np.array([[0, 0.3]])
    )


def test_every_sample_falls_into_the_bin_of_its_own_time_and_nothing_else_is_observed():
    cut = load(recording(), bin_width=0.01, align="go", window=(0.0, 0.12)).counts.values
    assert cut.shape == (2, 12, 3)
    expected = np.full_like(cut, np.nan)
    for frame in range(8):
        for unit, offset in enumerate(OFFSETS):
            trial, place = divmod(int((frame * INTERVAL + offset + 1e-9) / 0.01), 12)
            expected[trial, place, unit] = VALUES[frame, unit]
    np.testing.assert_array_equal(cut, expected)
    assert np.isfinite(cut).sum() == 8 * 3


def test_delay_lays_samples_earlier():
    late = load(recording(), bin_width=0.01, align="go", window=(0.0, 0.1)).counts.values
    early = load(recording(delay=0.02), bin_width=0.01, align="go", window=(-0.02, 0.08)).counts.values
    np.testing.assert_array_equal(late[1], early[1])


def test_a_frame_in_each_bin_with_all_regions():
    cut = load(recording(sampling="frame"), align="go", window=(0.0, 0.12))
    assert cut.attrs["bin_width"] == pytest.approx(INTERVAL)
    np.testing.assert_array_equal(cut.counts.values, VALUES[:8].reshape(2, 4, 3))


def test_samples_in_one_bin_add_up_and_those_that_are_missing_do_not():
    two = load(recording(sampling="frame"), bin_width=0.06, align="go", window=(0.0, 0.12)).counts.values
    np.testing.assert_array_equal(two, VALUES[:8].reshape(2, 2, 2, 3).sum(axis=2))
    held = recording(sampling="frame")
    held.events.values[:2, 0] = np.nan
    held.events.values[3, 1] = np.nan
    some = load(held, bin_width=0.06, align="go", window=(0.0, 0.12)).counts.values
    assert np.isnan(some[0, 0, 0]) and some[0, 1, 1] == VALUES[2, 1]


def test_spikes_and_events_side_by_side():
    both = load(recording([np.array([0.005, 0.006])]), bin_width=0.01, align="go", window=(0.0, 0.12))
    assert both.neuron.values.tolist() == ["spikes0", "a", "b", "c"]
    assert both.counts.values[0, :2, 0].tolist() == [2, 0]
    assert np.isnan(both.counts.values[0, 1, 1])


def test_what_trials_remember_and_describe_says():
    cut = load(recording(unit="one spike"), bin_width=0.01, align="go", window=(0.0, 0.12))
    assert cut.attrs["event_unit"] == "one spike"
    assert cut.attrs["frame_rate"] == pytest.approx(1 / INTERVAL)
    page = str(describe(cut))
    assert "33.3333 frames a second, subframe sampling" in page and "an event of 1 is one spike" in page
    assert "33.3% of the entries" in page and "no Poisson" not in page
    rates = describe(cut).facts["rate_quantiles"]
    np.testing.assert_allclose(rates[-1], VALUES[:8, 2].mean() / INTERVAL, rtol=1e-5)


def test_offsets_of_lines_and_planes():
    offsets = imaging.line_offsets(np.array([0, 256, 512]), lines=512, frame_interval=0.02, start=0.04)
    np.testing.assert_allclose(offsets, [0.04, 0.05, 0.06])


def test_scaled_events_have_power_one_and_small_ones_are_gone():
    generator = np.random.default_rng(0)
    values = 300 * generator.gamma(2, size=(4000, 2)) * (generator.random((4000, 2)) < 0.2)
    values[0, 0], values[1, 0] = 1.0, np.nan
    scaled = imaging.scaled(values, smallest=0.1)
    np.testing.assert_allclose(np.sqrt((scaled[scaled > 0] ** 2).mean()), 1, rtol=0.03)
    assert scaled[0, 0] == 0 and np.isnan(scaled[1, 0])
    assert scaled[scaled > 0].min() >= 0.1
    assert (imaging.scaled(np.zeros((5, 1))) == 0).all()


FRAMES = np.arange(10) * INTERVAL


@pytest.mark.parametrize(
    ("times", "values", "options", "words"),
    [
        (FRAMES[:9], VALUES, {}, "9 frame times"),
        (FRAMES[::-1], VALUES, {}, "ascend"),
        (np.where(FRAMES > 0.1, np.nan, FRAMES), VALUES, {}, "missing"),
        (FRAMES, -VALUES, {}, "30 of 30 events are negative"),
        (FRAMES, VALUES, {"sampling": "subfame"}, "did you mean 'subframe'"),
        (FRAMES, VALUES, {"offsets": [0.0, np.nan, 0.0]}, "line offset"),
    ],
)
def test_events_that_are_none(times, values, options, words):
    with pytest.raises(UndertowError, match=words):
        imaging.events(times, values, **options)


def test_bins_wider_than_a_frame_lose_the_sampling_times():
    with pytest.raises(UndertowError, match=r'wider than a frame of 0\.03 s.*sampling="frame"'):
        load(recording(), bin_width=0.04, align="go", window=(0.0, 0.12))


def test_events_at_their_own_times_need_a_bin_width():
    with pytest.raises(UndertowError, match=r"bin_width=0\.01"):
        load(recording())
