"""pynapple objects in and out, on the same clock."""

import sys

import numpy as np
import pytest
import xarray as xr

nap = pytest.importorskip("pynapple")

from undertow.data.alignment import cut  # noqa: E402
from undertow.data.loading import load  # noqa: E402
from undertow.data.readers import pynapple as reader  # noqa: E402
from undertow.data.trials import trials  # noqa: E402
from undertow.vocabulary import UndertowError  # noqa: E402

RNG = np.random.default_rng(3)


def group():
    times = {4: np.sort(RNG.uniform(0, 30, 200)), 9: np.sort(RNG.uniform(0, 30, 80))}
    units = nap.TsGroup({unit: nap.Ts(t) for unit, t in times.items()}, time_support=nap.IntervalSet(0, 30))
    units["area"] = ["M1", "PMd"]
    return units


def epochs():
    return nap.IntervalSet([2.0, 8.0, 20.0], [4.0, 9.5, 22.0], metadata={"side": ["l", "r", "l"]})


def test_groups_epochs_and_series_become_a_recording():
    units = group()
    position = nap.TsdFrame(t=np.arange(0, 30, 0.01), d=np.ones((3000, 2)), columns=["x", "y"])
    found = reader.read(units, epochs=epochs(), series={"position": position}, session="day")
    np.testing.assert_array_equal(found.spike_times[1], units[9].index.values)
    assert found.units.area.tolist() == ["M1", "PMd"] and found.units.index.tolist() == [4, 9]
    assert found.tables["trials"].side.tolist() == ["l", "r", "l"]
    assert found.series["position"].channels == ("position_x", "position_y")
    np.testing.assert_array_equal(found.observed, [[0, 30]])


def test_counts_equal_those_of_pynapple():
    units = group()
    cut_trials = load(units, bin_width=0.1, epochs=epochs())
    np.testing.assert_allclose(cut_trials.trial_start_time, [2, 8, 20])
    for trial, interval in enumerate(epochs()):
        theirs = units.count(0.1, interval)
        np.testing.assert_array_equal(cut_trials.counts[trial, : len(theirs)], theirs.values)
        assert np.isnan(cut_trials.counts[trial, len(theirs) :]).all()
    assert cut_trials.side.values.tolist() == ["l", "r", "l"]


def test_a_mapping_of_objects_is_sorted_out():
    source = {"units": group(), "reaches": epochs(), "speed": nap.Tsd(t=np.arange(30.0), d=np.arange(30.0))}
    cut_trials = load(source, bin_width=0.1, align="start_time", window=(0, 1), behaviour="speed")
    expected = cut_trials.start_time.values[:, None] + (np.arange(10) + 0.5) * 0.1
    np.testing.assert_allclose(cut_trials.behaviour[:, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("source", [{"speed": 1}, nap.Ts(np.array([1.0, 2.0]))])
def test_other_objects_are_refused(source):
    with pytest.raises(UndertowError, match="one TsGroup"):
        reader.read(source)


def test_wrong_epochs_and_series_are_refused():
    with pytest.raises(UndertowError, match="epochs 'trials' are a list"):
        reader.read(group(), epochs=[1, 2])
    with pytest.raises(UndertowError, match="series 'speed' is a list"):
        reader.read(group(), series={"speed": [1]})


def estimate_of(counts_trials):
    return xr.Dataset({"rates": counts_trials.counts}, counts_trials.coords, counts_trials.attrs)


def test_estimates_lie_back_on_the_clock_without_padding():
    cut_trials = cut(reader.read(group(), epochs=epochs()), bin_width=0.1)
    frame = reader.to_tsdframe(estimate_of(cut_trials.isel(trial=[2, 0, 1])))
    np.testing.assert_allclose(frame.time_support.values, [[2, 4], [8, 9.5], [20, 22]])
    for interval in epochs():
        theirs = group_counts(cut_trials, interval)
        np.testing.assert_array_equal(frame.restrict(interval).values, theirs)
    assert frame.columns.tolist() == [4, 9] and len(frame) == 20 + 15 + 20
    np.testing.assert_allclose(frame.index.values[:2], [2.05, 2.15])


def group_counts(cut_trials, interval):
    values = cut_trials.counts.values[cut_trials.trial_start_time.values == interval.start[0]][0]
    return values[np.isfinite(values).all(axis=1)]


def test_trials_that_touch_share_one_interval():
    touching = estimate_of(trials(RNG.random((3, 10, 2)), bin_width=0.1, start_time=[1.0, 2.0, 5.0]))
    frame = reader.to_tsdframe(touching)
    np.testing.assert_allclose(frame.time_support.values, [[1, 3], [5, 6]])
    assert len(frame) == 30


def test_estimates_that_cannot_be_laid_out_are_refused():
    built = trials(RNG.random((2, 10, 2)), bin_width=0.1, start_time=[1.0, 1.5])
    with pytest.raises(UndertowError, match="overlap"):
        reader.to_tsdframe(estimate_of(built))
    with pytest.raises(UndertowError, match="did you mean 'rates'"):
        reader.to_tsdframe(estimate_of(built), "rate")
    with pytest.raises(UndertowError, match="no 'start_time'"):
        reader.to_tsdframe(estimate_of(built.drop_vars("start_time")))


def test_a_missing_pynapple_names_the_extra(monkeypatch):
    units = group()
    monkeypatch.setitem(sys.modules, "pynapple", None)
    with pytest.raises(UndertowError, match=r"undertow\[pynapple\]"):
        reader.read(units)
