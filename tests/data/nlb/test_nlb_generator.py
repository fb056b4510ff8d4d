"""Generated NWB files: the published layout, spikes that follow the true rates, and the same files for the same seed."""

import h5py
import numpy as np
import pandas as pd
import pytest

from undertow.data.nlb.generate import generate, generate_targets
from undertow.data.nlb.layouts import LAYOUTS, sizes
from undertow.data.nlb.prepare import prepare
from undertow.data.nlb.simulated_population import Population, spike_times
from undertow.data.nlb.simulated_session import arranged
from undertow.data.nlb.simulated_trials import SimulatedTrials, balanced, splits
from undertow.data.nlb.table import DATA_SETS, data_set
from undertow.data.nlb.tensor_files import read_targets
from undertow.data.readers.nwb import read
from undertow.vocabulary import UndertowError

SHORT = ("mc_maze_small", "mc_rtt", "area2_bump", "dmfc_rsg")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One small session of each task, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("nlb")
    cache = {}

    def of(name):
        if name not in cache:
            cache[name] = generate(name, folder, scale=0.01)
        return cache[name]

    return of


@pytest.mark.parametrize("name", SHORT)
def test_files_lie_where_the_published_ones_do(made, name):
    data, files = data_set(name), made(name)
    assert (files.train.parent.name, files.train.name, files.test.name) == (
        data.folder,
        data.train_file,
        data.test_file,
    )
    assert files.test.parent == files.train.parent
    assert files.complete == files.train.parents[1] / "labels" / data.train_file.replace("train", "complete")


@pytest.mark.parametrize("name", SHORT)
def test_train_file_has_the_published_columns_splits_units_and_series(made, name):
    data, layout, size = data_set(name), LAYOUTS[name], sizes(data_set(name), 0.01)
    with h5py.File(made(name).train) as file:
        table, units = file["intervals/trials"], file["units"]
        assert {"start_time", "stop_time", "split", "id", *data.columns} == {
            column for column in table if not column.endswith("_index")
        }
        assert table["id"][:].tolist() == list(range(size.in_train_file))
        splits_found, counts = np.unique(table["split"].asstr()[:], return_counts=True)
        expected = {"train": size.train, "val": size.valid, "none": size.ignored}
        assert dict(zip(splits_found, counts, strict=True)) == {k: v for k, v in expected.items() if v}
        assert np.count_nonzero(units["heldout"][:]) == size.held_out
        assert len(units["id"]) == size.held_in + size.held_out
        assert ("electrodes" in units) == layout.has_electrodes
        intervals = np.diff(units["obs_intervals_index"][:].astype(int), prepend=0)
        assert (intervals == layout.intervals).all()
        series = file["processing/behavior"] if layout.series else {}
        assert set(series) == {row.name for row in layout.series}
        for row in layout.series:
            assert series[row.name].attrs["comments"] == f"columns=[{','.join(row.channels)}]"
            assert ("timestamps" in series[row.name]) == layout.has_timestamps


@pytest.mark.parametrize("name", SHORT)
def test_test_file_tells_nothing_but_the_windows_of_held_in_units(made, name):
    data, size = data_set(name), sizes(data_set(name), 0.01)
    recording = read(made(name).test)
    trials = recording.tables["trials"]
    assert set(trials.columns) == {"start_time", "stop_time", "split", *data.test_columns}
    assert set(trials.split) == {"test"}
    assert not recording.series
    assert len(recording.spike_times) == size.held_in
    assert not recording.units.heldout.any()
    windows = trials[data.align].to_numpy()[:, None] + np.array(data.window) / 1000
    np.testing.assert_allclose(recording.observed, windows, atol=1e-9)
    for times in recording.spike_times:
        after = np.searchsorted(windows[:, 0], times + 1e-9, side="right") - 1
        assert (after >= 0).all() and (times < windows[after, 1]).all()


@pytest.mark.parametrize("name", SHORT)
def test_complete_file_holds_the_spikes_of_the_other_two(made, name):
    files = made(name)
    train, test, complete = (read(path) for path in (files.train, files.test, files.complete))
    end = train.observed[-1, 1]
    for one, all_of_it in zip(train.spike_times, complete.spike_times, strict=True):
        np.testing.assert_array_equal(one, all_of_it[all_of_it < end])
    align = data_set(name).align
    of_test = complete.tables["trials"].query("split == 'test'")
    shift = of_test[align].to_numpy()[0] - test.tables["trials"][align].to_numpy()[0]
    assert shift == pytest.approx(round(shift, 1), abs=1e-9), "bins must be the same on both clocks"
    held_in = [
        times
        for times, is_out in zip(complete.spike_times, complete.units.heldout, strict=True)
        if not is_out
    ]
    for one, all_of_it in zip(test.spike_times, held_in, strict=True):
        assert np.isin(np.round((one + shift) * 1e6), np.round(all_of_it * 1e6)).all()


@pytest.mark.parametrize("name", ["mc_maze_small", "mc_rtt", "area2_bump"])
def test_counts_are_poisson_with_the_true_rates(made, name):
    trials = prepare(name, made(name).train.parents[1])
    expected = made(name).rates * 0.005
    assert trials.counts.shape == expected.shape
    is_shown = trials.split.values != "test"
    total = trials.counts.values[is_shown].sum(axis=1)
    mean = expected[is_shown].sum(axis=1)
    scores = (total - mean) / np.sqrt(mean)
    assert abs(scores.mean()) < 5 / np.sqrt(scores.size)
    assert scores.var() == pytest.approx(1, abs=5 * np.sqrt(3 / scores.size))
    wrong = (total - mean[::-1]) / np.sqrt(mean[::-1])
    assert wrong.var() > 1 + 5 * np.sqrt(3 / scores.size), "trials must differ for this test to mean anything"


def test_every_condition_occurs_in_train_valid_and_test(made):
    complete = read(made("mc_maze_small").complete).tables["trials"]
    conditions = complete.groupby("split")[["trial_type", "trial_version"]].apply(
        lambda rows: {*map(tuple, rows.values)}
    )
    assert conditions["train"] == conditions["val"] == conditions["test"]
    assert len(conditions["test"]) >= 6


def test_the_maze_has_lists_and_ids_that_tell_the_area(made):
    with h5py.File(made("mc_maze_small").train) as file:
        table = file["intervals/trials"]
        for name, number, width in (("target_pos", "num_targets", 2), ("barrier_pos", "num_barriers", 4)):
            lengths = np.diff(table[f"{name}_index"][:].astype(int), prepend=0)
            np.testing.assert_array_equal(lengths, table[number][:])
            assert table[name].shape[1] == width
        assert set(file["units/id"][:] // 1000) == {1, 2}
        assert set(file["general/extracellular_ephys/electrodes/location"].asstr()[:]) == {"PMd", "M1"}


def test_timing_is_within_the_window_and_makes_the_population_run_faster_for_shorter_intervals(made):
    files = made("dmfc_rsg")
    trials = read(files.complete).tables["trials"].query("split != 'none'")
    assert (trials.tp < 1500).all()
    np.testing.assert_allclose(trials.go_time - trials.set_time, trials.tp / 1000)
    np.testing.assert_allclose(trials.set_time - trials.ready_time, trials.ts / 1000)
    assert set(trials.theta) == {0, 180}
    speed = [
        np.log(rates[300 - int(tp // 5) : 300]) for rates, tp in zip(files.rates, trials.tp, strict=True)
    ]
    speed = [np.linalg.norm(np.diff(path, axis=0), axis=1).mean() for path in speed]
    assert np.corrcoef(speed, trials.tp)[0, 1] < -0.5


def test_velocity_is_read_from_the_population_a_lag_later(made):
    data = data_set("mc_maze_small")
    trials = prepare(data.name, made(data.name).train.parents[1])
    rates = np.log(made(data.name).rates[trials.split.values != "test", :140])
    velocity = trials.behaviour.values[trials.split.values != "test", :140]
    design = np.concatenate([rates.reshape(-1, rates.shape[2]), np.ones((rates.shape[0] * 140, 1))], axis=1)
    flat = velocity.reshape(-1, 2)
    residual = flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]
    assert (1 - residual.var(axis=0) / flat.var(axis=0)).min() > 0.6


def test_the_seed_decides(tmp_path, made):
    again = generate("mc_maze_small", tmp_path / "a", scale=0.01)
    other = generate("mc_maze_small", tmp_path / "b", scale=0.01, seed=1)
    first, second, third = (read(files.train) for files in (made("mc_maze_small"), again, other))
    for one, same in zip(first.spike_times, second.spike_times, strict=True):
        np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(made("mc_maze_small").rates, again.rates)
    np.testing.assert_array_equal(first.series["hand_vel"].values, second.series["hand_vel"].values)
    assert not np.array_equal(first.spike_times[0], third.spike_times[0])


@pytest.mark.parametrize("name", DATA_SETS)
def test_at_scale_one_the_numbers_are_the_published_ones(name):
    size = sizes(DATA_SETS[name], 1.0)
    assert (size.held_in, size.held_out) == DATA_SETS[name].units
    assert (size.train, size.valid, size.test) == DATA_SETS[name].trials


def test_train_file_trials_of_bump_and_timing_are_as_many_as_published():
    assert sizes(data_set("area2_bump"), 1.0).in_train_file == 826
    assert sizes(data_set("dmfc_rsg"), 1.0).in_train_file == 1160


def test_spikes_have_the_rates_millisecond_by_millisecond():
    weights = np.array([[1.0, -1.0]], np.float32)
    source = Population(
        np.linspace(-1, 1, 41, dtype=np.float32)[:, None], weights, np.log([200.0, 40.0]).astype(np.float32)
    )
    rates = source.rates(0, 200)
    assert rates.max() <= 150
    np.testing.assert_allclose(rates[100, 1], 40.0, rtol=0.01)
    generator = np.random.default_rng(0)
    draws = [spike_times(source, 200, generator, piece=70) for _ in range(300)]
    for neuron in range(2):
        times = np.concatenate([draw[neuron] for draw in draws])
        found = np.histogram(times, np.arange(0, 0.2001, 0.01))[0]
        expected = rates[:, neuron].reshape(20, 10).sum(axis=1) * 0.001 * 300
        assert np.abs((found - expected) / np.sqrt(expected)).max() < 4.5
    assert all((np.diff(times) >= 0).all() for draw in draws for times in draw)


def test_blocks_hold_whole_trials_and_test_trials_begin_at_a_full_second():
    size = sizes(data_set("mc_maze_small"), 0.1)
    generator = np.random.default_rng(1)
    split = splits(size, generator)
    table = pd.DataFrame({"start_time": 0.0, "split": split})
    session = arranged(SimulatedTrials(table, np.full(split.size, 2345)), size.in_train_file, 4)
    ends = session.begins + 2345
    inside = (session.observed[:, :1] <= session.begins) & (ends <= session.observed[:, 1:])
    assert (inside.sum(axis=0) == 1).all()
    assert session.of_test().origin % 1000 == 0
    assert session.of_train().duration < session.of_test().origin
    of_split = balanced(split, 3, generator)
    assert max(np.ptp(np.bincount(of_split[split == name], minlength=3)) for name in set(split)) <= 1


def test_a_scale_that_is_no_size_is_refused(tmp_path):
    with pytest.raises(UndertowError, match=r"The scale is 0, but must be a positive number"):
        generate("mc_maze_small", tmp_path, scale=0)


def test_targets_of_the_test_trials_are_written_for_scoring(tmp_path, made):
    size = sizes(data_set("mc_maze_small"), 0.01)
    path = generate_targets("mc_maze_small", made("mc_maze_small"), tmp_path / "target.h5", bin_width=0.02)
    targets = read_targets(path)["mc_maze_small_20"]
    assert targets["eval_spikes_heldout"].shape == (size.test, 35, size.held_out)
    assert np.isfinite(targets["eval_spikes_heldout"]).all()
    assert np.isfinite(targets["eval_behavior"]).all()
    mean = float(made("mc_maze_small").rates[-size.test :, :140, size.held_in :].mean()) * 0.02
    spikes = targets["eval_spikes_heldout"]
    assert spikes.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / spikes.size))
