"""Windows and their merging: every bin is covered, the weights sum to one, what agrees is reproduced."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from undertow.data.splits import split
from undertow.data.trials import trials
from undertow.data.windows import chop, merge
from undertow.vocabulary import UndertowError, check_trials

SIZES = dict(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    length=st.integers(1, 15),
    overlap=st.integers(0, 14),
)


def _ragged(lengths, seed=0, **columns):
    rng = np.random.default_rng(seed)
    counts = [rng.poisson(2.0, (length, 3)) for length in lengths]
    return trials(counts, bin_width=0.1, behaviour=[array * 2.0 for array in counts], **columns)


def _estimate(windows, values):
    """An estimate whose rates are `values(trial, bin)` of the source, in each neuron and window."""
    bins = windows.window_start.values[:, None] + np.arange(windows.sizes["time"])
    rates = values(windows.window_of.values[:, None], bins)[:, :, None] * np.ones(windows.sizes["neuron"])
    return windows[["counts"]].drop_vars("counts").assign(rates=(("trial", "time", "neuron"), rates))


@given(**SIZES)
def test_windows_cover_every_bin_and_hold_what_was_there(lengths, length, overlap):
    assume(overlap < length)
    source = _ragged(lengths)
    windows = check_trials(chop(source, length=length, overlap=overlap))
    covered = [np.zeros(end, int) for end in lengths]
    for window, (trial, start) in enumerate(
        zip(windows.window_of.values, windows.window_start.values, strict=True)
    ):
        end = min(start + length, lengths[trial])
        for name in ("counts", "behaviour"):
            piece = windows[name].values[window]
            np.testing.assert_array_equal(piece[: end - start], source[name].values[trial, start:end])
            assert np.isnan(piece[end - start :]).all()
        covered[trial][start:end] += 1
        assert end - start == min(length, lengths[trial])
    assert all((count >= 1).all() for count in covered)
    starts = windows.window_start.values
    for trial in range(len(lengths)):
        own = starts[windows.window_of.values == trial]
        steps = np.diff(own)
        assert (
            (steps > 0).all() and (steps[:-1] == length - overlap).all() and (steps <= length - overlap).all()
        )


@given(slope=st.floats(-5, 5), offset=st.floats(-50, 50), **SIZES)
def test_constants_and_lines_are_reproduced(lengths, length, overlap, slope, offset):
    assume(overlap < length)
    source = _ragged(lengths)
    estimate = _estimate(
        chop(source, length=length, overlap=overlap), lambda trial, bin: offset + slope * bin + trial
    )
    merged = merge(estimate, source).rates.values
    for trial, end in enumerate(lengths):
        line = offset + slope * np.arange(end) + trial
        np.testing.assert_allclose(merged[trial, :end], line[:, None] * np.ones(3), rtol=1e-12, atol=1e-9)
        assert np.isnan(merged[trial, end:]).all()


@settings(deadline=None)
@given(**SIZES)
def test_weights_are_positive_and_sum_to_one(lengths, length, overlap):
    """Each window in turn says 1 and the others 0: what is merged is that window's weight."""
    assume(overlap < length)
    source = _ragged(lengths[:1])
    windows = chop(source, length=length, overlap=overlap)
    weights = []
    for window in range(windows.sizes["trial"]):
        estimate = _estimate(windows, lambda trial, bin: np.zeros(bin.shape) + 0 * trial)
        estimate.rates.values[window] = 1.0
        weights.append(merge(estimate, source).rates.values[0, :, 0])
        start = windows.window_start.values[window]
        inside = slice(start, min(start + length, lengths[0]))
        assert (weights[-1][inside] > 0).all() and weights[-1].sum() == pytest.approx(
            weights[-1][inside].sum()
        )
    np.testing.assert_allclose(np.sum(weights, axis=0), 1.0, atol=1e-12)


def test_half_overlap_fades_as_a_raised_cosine():
    source = _ragged([30])
    windows = chop(source, length=20, overlap=10)
    estimate = _estimate(windows, lambda trial, bin: np.zeros(bin.shape) + 0 * trial)
    estimate.rates.values[1] = 1.0
    expected = 0.5 - 0.5 * np.cos(np.pi * (np.arange(10) + 0.5) / 10)
    np.testing.assert_allclose(merge(estimate, source).rates.values[0, 10:20, 0], expected, atol=1e-12)


def test_the_clock_the_columns_and_the_split_move_along():
    source = _ragged(
        [25, 7], start_time=[100.0, 200.0], condition=["a", "b"], split=["train", "test"], start=-0.5
    )
    windows = chop(source, length=1.0, overlap=0.2)
    assert windows.window_of.values.tolist() == [0, 0, 0, 1]
    assert windows.window_start.values.tolist() == [0, 8, 15, 0]
    np.testing.assert_allclose(windows.start_time.values, [100.0, 100.8, 101.5, 200.0])
    np.testing.assert_allclose(windows.time.values[:2], [0.05, 0.15])
    assert windows.condition.values.tolist() == ["a"] * 3 + ["b"]
    assert windows.split.values.tolist() == ["train"] * 3 + ["test"]
    assert split(windows, by="blocked", valid=0.34).split.values.tolist().count("valid") == 1


def test_merged_estimates_lie_on_the_original_axes_and_keep_windows_apart():
    source = _ragged([25, 7], start_time=[100.0, 200.0], neuron=[4, 5, 6])
    windows = chop(source, length=10, overlap=4)
    estimate = _estimate(windows, lambda trial, bin: 1.0 * bin + trial).astype("float32")
    count = windows.sizes["trial"]
    estimate = estimate.assign(
        rates_sd=(("trial", "time", "neuron"), np.full((count, 10, 3), 0.5, np.float32)),
        factors=(("trial", "time", "factor"), np.ones((count, 10, 2), np.float32)),
        initial_condition=(("trial", "initial"), np.arange(count * 2.0).reshape(count, 2)),
        code=(("trial", "code"), np.arange(count * 2.0).reshape(count, 2)),
    )
    merged = merge(estimate, source)
    assert merged.rates.shape == (2, 25, 3) and merged.rates.dtype == np.float32
    assert merged.neuron.values.tolist() == [4, 5, 6]
    assert merged.start_time.values.tolist() == [100.0, 200.0] and merged.split.values[0] == "train"
    np.testing.assert_array_equal(merged.time.values, source.time.values)
    np.testing.assert_allclose(merged.rates_sd.values[0], 0.5, rtol=1e-6)
    assert merged.factors.dims == ("trial", "time", "factor")
    assert merged.initial_condition.dims == ("window", "initial") and merged.code.dims == ("window", "code")
    np.testing.assert_array_equal(merged.initial_condition.values, estimate.initial_condition.values)
    assert merged.window_of.dims == ("window",)


def test_a_missing_window_or_entry_leaves_its_neighbours():
    source = _ragged([30])
    windows = chop(source, length=12, overlap=3)
    estimate = _estimate(windows, lambda trial, bin: 1.0 * bin + 0 * trial)
    estimate.rates.values[0, 10, 1] = np.nan
    merged = merge(estimate.isel(trial=[0, 1]), source).rates.values[0]
    np.testing.assert_allclose(merged[:21], np.arange(21.0)[:, None] * np.ones(3))
    assert np.isnan(merged[21:]).all()


def test_a_trial_never_observed_has_no_window():
    source = _ragged([12, 12])
    source.counts.values[0] = np.nan
    windows = chop(source, length=6)
    assert windows.window_of.values.tolist() == [1, 1]
    merged = merge(_estimate(windows, lambda trial, bin: 1.0 * bin + 0 * trial), source)
    assert np.isnan(merged.rates.values[0]).all() and np.isfinite(merged.rates.values[1]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(length=5, overlap=5), "overlap by 5"),
        (dict(length=5, overlap=-1), "overlap by -1"),
        (dict(length=0), "0 bins"),
        (dict(length="long"), "no number"),
        (dict(length=np.nan), "no number"),
        (dict(length=0.25), "no whole number"),
        (dict(length=1.0, overlap=0.13), "overlap=0.1,"),
    ],
)
def test_bad_windows_are_one_sentence(options, words):
    with pytest.raises(UndertowError, match=words):
        chop(_ragged([20]), **options)


def test_what_can_not_be_cut_or_merged_is_said():
    source = _ragged([20])
    windows = chop(source, length=5)
    with pytest.raises(UndertowError, match="windows already"):
        chop(windows, length=2)
    with pytest.raises(UndertowError, match="forecast"):
        chop(_ragged([4], forward=[False, False, True, True]), length=2)
    with pytest.raises(UndertowError, match="No bin"):
        chop(trials(np.full((1, 4, 2), np.nan), bin_width=0.1), length=2)
    estimate = _estimate(windows, lambda trial, bin: 1.0 * bin + 0 * trial)
    with pytest.raises(UndertowError, match="window_start"):
        merge(estimate.drop_vars("window_start"), source)
    with pytest.raises(UndertowError, match="1 trials of 8 bins"):
        merge(estimate, _ragged([8]))
