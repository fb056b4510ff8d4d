"""NWB files written here with pynwb and mended with h5py, and a real one where it is at hand."""

import os
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.behavior import BehavioralTimeSeries, Position, SpatialSeries

from undertow.data.loading import load
from undertow.data.readers import nwb
from undertow.vocabulary import UndertowError, check_trials

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("UNDERTOW_DATA", REPOSITORY / "../shared/data")) / "human_mtl_sub-4_ses-4.nwb"
RNG = np.random.default_rng(4)
SPIKES = [np.sort(RNG.uniform(0, 100, size)) for size in (150, 60, 0, 30, 0)]


def new_file():
    return NWBFile(
        session_description="a session", identifier="one", session_start_time=datetime(2020, 1, 1, tzinfo=UTC)
    )


def add_units(file, **columns):
    file.add_unit_column(name="quality", description="by hand")
    for row, spikes in enumerate(SPIKES):
        further = {name: values[row] for name, values in columns.items()}
        file.add_unit(spike_times=spikes, id=10 * row, quality=f"q{row}", **further)


def add_trials(file):
    file.add_trial_column(name="go_time", description="seconds")
    file.add_trial_column(name="side", description="a word")
    file.add_trial_column(name="touches", description="several", index=True)
    for k in range(4):
        start = 10.0 * k
        file.add_trial(
            start_time=start, stop_time=start + 5, go_time=start + 1, side="lr"[k % 2], touches=[1.0] * k
        )


def add_behaviour(file):
    times = np.arange(0, 100, 0.05)
    position = np.stack([times, 2 * times], axis=1)
    hand = SpatialSeries(
        name="hand", data=position, timestamps=times, conversion=0.01, reference_frame="screen", unit="m"
    )
    pupil = TimeSeries(
        name="pupil",
        data=np.arange(400.0),
        unit="mm",
        starting_time=2.0,
        rate=4.0,
        conversion=2.0,
        offset=1.0,
    )
    module = file.create_processing_module(name="behavior", description="what it did")
    module.add(Position(spatial_series=hand, name="Position"))
    module.add(BehavioralTimeSeries(time_series=pupil, name="Eyes"))
    licks = TimeSeries(name="lick", data=np.arange(100), unit="a.u.", timestamps=np.arange(100.0))
    file.add_acquisition(licks)
    file.add_acquisition(TimeSeries(name="volume", data=np.zeros((5, 2, 2)), unit="a.u.", rate=1.0))


def write(file, path):
    with NWBHDF5IO(str(path), "w") as door:
        door.write(file)
    return path


@pytest.fixture
def path(tmp_path):
    file = new_file()
    add_units(file)
    add_trials(file)
    add_behaviour(file)
    return write(file, tmp_path / "monday.nwb")


def test_units_keep_their_ids_and_silent_ones_their_place(path):
    found = nwb.read(path)
    assert found.units.index.tolist() == [0, 10, 20, 30, 40]
    assert found.units.quality.tolist() == ["q0", "q1", "q2", "q3", "q4"]
    for mine, theirs in zip(found.spike_times, SPIKES, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert found.observed is None and found.unit_observed is None and found.session == "monday"


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int32", "uint64"])
def test_index_columns_of_any_integer_type_do_not_overflow(path, kind):
    with h5py.File(path, "a") as file:
        index = file["units/spike_times_index"]
        ends, attributes = index[:], dict(index.attrs)
        assert ends.max() == 240  # fits into 8 bits, but its differences do not fit into 8 signed ones
        del file["units/spike_times_index"]
        file["units"].create_dataset("spike_times_index", data=ends.astype(kind)).attrs.update(attributes)
    for mine, theirs in zip(nwb.read(path).spike_times, SPIKES, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_tables_keep_their_columns_and_lists_are_said(path):
    found = nwb.read(path)
    rows = found.tables["trials"]
    assert rows.columns.tolist() == ["start_time", "stop_time", "go_time", "side"]
    assert rows.side.tolist() == ["l", "r", "l", "r"]
    assert "Columns of 'trials' that hold lists were left out: touches." in found.notes


def test_series_are_found_anywhere_and_scaled(path):
    found = nwb.read(path)
    assert set(found.series) == {"hand", "pupil", "lick"}
    assert found.series["hand"].channels == ("hand_x", "hand_y") and found.series["lick"].channels == (
        "lick",
    )
    np.testing.assert_allclose(found.series["hand"].values[:, 1], 0.02 * np.arange(0, 100, 0.05))
    np.testing.assert_allclose(found.series["pupil"].times[:3], [2.0, 2.25, 2.5])
    np.testing.assert_allclose(found.series["pupil"].values[:3, 0], [1.0, 3.0, 5.0])
    assert "pupil in mm" in found.notes[-1]
    assert set(nwb.read(path, series=["lick"]).series) == {"lick"}
    with pytest.raises(UndertowError, match="did you mean 'pupil'"):
        nwb.read(path, series=["pupl"])


def test_series_can_be_read_as_they_lie_in_the_file(path):
    stored = nwb.read(path, series=["hand", "pupil"], is_scaled=False).series
    np.testing.assert_array_equal(stored["hand"].values[:, 1], 2 * np.arange(0, 100, 0.05))
    assert stored["pupil"].values[:3, 0].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        ("columns=[y,x]", ("wrist_y", "wrist_x")),
        ("at 1 kHz; columns = [ down, left ]", ("wrist_down", "wrist_left")),
        ("columns=[x,y,z]", ("wrist_x", "wrist_y")),  # of another number: not believed
        ("columns=[x,x]", ("wrist_x", "wrist_y")),
        ("no comments", ("wrist_x", "wrist_y")),
    ],
)
def test_channels_have_the_names_in_the_comments(tmp_path, comments, expected):
    file = new_file()
    add_units(file)
    wrist = TimeSeries(name="wrist", data=np.zeros((5, 2)), unit="m", rate=1.0, comments=comments)
    file.add_acquisition(wrist)
    assert nwb.read(write(file, tmp_path / "a.nwb")).series["wrist"].channels == expected


def test_series_of_one_name_are_told_apart_by_their_place(tmp_path):
    file = new_file()
    add_units(file)
    add_behaviour(file)
    file.add_acquisition(TimeSeries(name="hand", data=np.arange(10), unit="m", rate=1.0))
    found = nwb.read(write(file, tmp_path / "a.nwb"))
    assert set(found.series) == {"behavior/Position/hand", "hand", "pupil", "lick"}


def test_electrodes_tell_where_units_were(tmp_path):
    file = new_file()
    device = file.create_device(name="probe")
    group = file.create_electrode_group(name="left", description="-", location="M1", device=device)
    for location in ("M1", "PMd"):
        file.add_electrode(location=location, group=group)
    add_units(file, electrodes=[[1], [0, 1], [0], [1], [0]])
    units = nwb.read(write(file, tmp_path / "a.nwb")).units
    assert units.location.tolist() == ["PMd", "M1", "M1", "PMd", "M1"]
    assert units.group_name.tolist() == ["left"] * 5


def test_observed_intervals_of_all_or_of_single_units(tmp_path):
    same = new_file()
    add_units(same, obs_intervals=[[[0.0, 50.0], [60.0, 90.0]]] * 5)
    found = nwb.read(write(same, tmp_path / "same.nwb"))
    np.testing.assert_array_equal(found.observed, [[0, 50], [60, 90]])
    assert found.unit_observed is None
    differ = new_file()
    add_units(
        differ, obs_intervals=[[[0.0, 50.0]], [[0.0, 90.0]], [[20.0, 30.0]], [[0.0, 50.0]], [[0.0, 50.0]]]
    )
    found = nwb.read(write(differ, tmp_path / "differ.nwb"))
    np.testing.assert_array_equal(found.unit_observed[1], [[0, 90]])
    rows = load(tmp_path / "differ.nwb", bin_width=5.0)
    assert rows.sizes["time"] == 18
    np.testing.assert_array_equal(np.isfinite(rows.counts[0]).sum("time"), [10, 18, 2, 10, 10])


def test_loading_aligns_and_brings_behaviour(path):
    cut_trials = load(path, bin_width=0.1, align="go_time", window=(-0.5, 1.0), behaviour=["hand", "pupil"])
    check_trials(cut_trials)
    starts = 10.0 * np.arange(4) + 0.5
    np.testing.assert_allclose(cut_trials.start_time, starts)
    for trial, start in enumerate(starts):
        expected = np.histogram(SPIKES[0], start + np.arange(16) * 0.1)[0]
        np.testing.assert_array_equal(cut_trials.counts[trial, :, 0], expected)
    assert cut_trials.behaviour_channel.values.tolist() == ["hand_x", "hand_y", "pupil"]
    centres = starts[1:, None] + (np.arange(15) + 0.5) * 0.1
    np.testing.assert_allclose(cut_trials.behaviour[1:, :, 2], 1 + 8 * (centres - 2), rtol=1e-5)


def test_a_file_without_units_is_said(tmp_path):
    with pytest.raises(UndertowError, match="no units with spike times"):
        nwb.read(write(new_file(), tmp_path / "a.nwb"))


def test_files_that_are_no_nwb_are_said(tmp_path, path):
    with pytest.raises(UndertowError, match="There is no file"):
        nwb.read(tmp_path / "nothing.nwb")
    content = path.read_bytes()
    for name, damaged in (
        ("half.nwb", content[: len(content) // 2]),
        ("text.nwb", b"not this"),
        ("empty.nwb", b""),
    ):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(UndertowError, match=f"{name}' can't be read as NWB"):
            nwb.read(tmp_path / name)
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["x"] = 1
    with pytest.raises(UndertowError, match="can't be read as NWB"):
        nwb.read(tmp_path / "other.nwb")


@pytest.mark.skipif(not REAL.is_file(), reason="the real recording is not at hand")
@pytest.mark.parametrize("table", ["encoding_table", "recognition_table", "timediscrimination_table"])
def test_a_real_recording_is_cut_by_each_of_its_tables(table):
    with pytest.raises(UndertowError, match="several interval tables"):
        load(REAL, bin_width=0.05)
    cut_trials = load(REAL, bin_width=0.05, table=table)
    with h5py.File(REAL) as file:
        starts, stops = (file[f"intervals/{table}/{name}_time"][:] for name in ("start", "stop"))
        ends = file["units/spike_times_index"][:].astype(int)
        spikes = file["units/spike_times"][: ends[0]]
    bins = np.floor((stops - starts) / 0.05 + 1e-9).astype(int)
    np.testing.assert_array_equal(np.isfinite(cut_trials.counts[:, :, 0]).sum("time"), bins)
    for trial in range(0, len(starts), 7):
        edges = starts[trial] + np.arange(bins[trial] + 1) * 0.05
        np.testing.assert_array_equal(
            cut_trials.counts[trial, : bins[trial], 0], np.histogram(spikes, edges)[0]
        )
    assert cut_trials.sizes["neuron"] == 35
    words = cut_trials["Clip_name" if table == "encoding_table" else "frameName"].values
    assert words.dtype.kind == "U" and not words[0].startswith("b'")
