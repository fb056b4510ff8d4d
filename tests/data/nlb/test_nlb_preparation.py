"""Trials and targets of tiny sessions, against a table of the whole session at 1 ms worked through step by step, and by hand."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from nlb_files import write_file
from scipy.signal import decimate
from scipy.signal.windows import gaussian

from undertow.data import store
from undertow.data.nlb.input_tensors import eval_tensors, train_tensors
from undertow.data.nlb.jitter import jitter
from undertow.data.nlb.prepare import prepare, target
from undertow.data.nlb.table import data_set
from undertow.vocabulary import UndertowError

IDS = {11: False, 5: True, 7: False, 3: False, 9: True}  # unit table order; true where held out
ORDER = [3, 7, 11, 5, 9]
END = 60.0
SPLITS = ("train", "val", "train", "none", "val", "train", "train", "val", "train", "train", "val", "train")


def spike_trains(seed=0, rate=30.0):
    generator = np.random.default_rng(seed)
    trains = {}
    for number in IDS:
        times = np.sort(generator.uniform(0, END, int(rate * END)))
        trains[number] = np.where(np.arange(len(times)) % 5 == 0, np.round(times, 3), times)
    return {number: np.sort(times) for number, times in trains.items()}


def maze_trials():
    n = len(SPLITS)
    starts = 1.0 + 4.0 * np.arange(n)
    return {
        "start_time": starts,
        "stop_time": starts + 3.9,
        "split": np.array(SPLITS, object),
        "move_onset_time": np.round(starts + 1.5 + np.linspace(0, 0.1, n), 3),
        "trial_type": np.array([1, 2, 1, 1, 2, 2, 1, 1, 2, 1, 1, 2]),
        "trial_version": np.zeros(n, int),
    }


def observed_without(*gaps):
    edges = [0.0, *np.ravel(gaps), END]
    return np.array(edges).reshape(-1, 2)


def write_session(folder, name, trials, *, gaps=(), series=None):
    """The train file of a session, and a test file with a single trial on a clock of its own; the spikes by id."""
    row, trains = data_set(name), spike_trains()
    observed = observed_without(*gaps)
    kept = {
        number: np.concatenate([times[(times >= a) & (times < b)] for a, b in observed])
        for number, times in trains.items()
    }
    units = [(number, kept[number], flag, observed) for number, flag in IDS.items()]
    write_file(folder / row.folder / row.train_file, trials, units, series=series)
    event = {} if row.align == "start_time" else {row.align: [2.0]}
    alone = {"start_time": [0.2], "stop_time": [2.9], "split": ["test"], **event}
    test = [
        (number, trains[number][trains[number] < 2.9], False, [[0.2, 2.9]])
        for number, flag in IDS.items()
        if not flag
    ]
    write_file(folder / row.folder / row.test_file, alone, test, skip=("heldout",))
    return kept


def velocity(seed=3):
    values = np.cumsum(np.random.default_rng(seed).normal(size=(int(END * 1e3), 2)), axis=0)
    return ("hand_vel", values, {"rate": 1000.0, "starting_time": 0.0})


def table(spikes: Mapping, observed) -> np.ndarray:
    """(millisecond, neuron) counts of the whole session in the benchmark's order, NaN where nothing was observed."""
    counts = np.zeros((int(END * 1e3), len(ORDER)))
    for column, number in enumerate(ORDER):
        np.add.at(counts[:, column], np.trunc(np.round(spikes[number] * 1e3, 6)).astype(int), 1)
    is_observed = np.zeros(len(counts), bool)
    for start, stop in observed:
        is_observed[int(np.ceil(round(start * 1e3, 6))) : int(np.floor(round(stop * 1e3, 6)))] = True
    counts[~is_observed] = np.nan
    return counts


def binned(counts, width):
    blocks = counts.reshape(-1, width, counts.shape[1])
    return np.where(np.isnan(blocks[:, 0]), np.nan, np.nansum(blocks, axis=1))


def smoothed(counts, deviation):
    """Each run of observed milliseconds convolved by itself, with the centre of an even window half a millisecond early."""
    window = gaussian(6 * deviation, deviation)
    window /= window.sum()
    result = np.full_like(counts, np.nan)
    is_observed = np.isfinite(counts[:, 0])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_observed, [False]]).astype(int)))
    for start, stop in edges.reshape(-1, 2):
        for neuron in range(counts.shape[1]):
            full = np.convolve(counts[start:stop, neuron], window)
            shift = (len(window) - 1) // 2
            result[start:stop, neuron] = full[shift : shift + stop - start]
    return result


def window_start(event, low, width):
    return int(np.ceil(round(event * 1e3 + low, 6) / width))


@pytest.mark.parametrize("width", [5, 20])
def test_trials_of_the_maze_are_those_of_the_table(tmp_path, width):
    trials, gaps = maze_trials(), ((6.5, 6.6071), (30.0, 31.0))
    spikes = write_session(tmp_path, "mc_maze_small", trials, gaps=gaps, series=velocity())
    found = prepare("mc_maze_small", tmp_path, bin_width=width / 1e3)
    used = np.flatnonzero(trials["split"] != "none")
    bins, forward = 700 // width, 200 // width
    assert found.counts.shape == (len(used) + 1, bins + forward, 5)
    assert (
        found.neuron.values.tolist() == ORDER and found.held_out.values.tolist() == [False] * 3 + [True] * 2
    )
    assert found.split.values.tolist() == [
        *("valid" if word == "val" else word for word in trials["split"][used]),
        "test",
    ]
    sums = binned(table(spikes, observed_without(*gaps)), width)
    for place, trial in enumerate(used):
        first = window_start(trials["move_onset_time"][trial], -250, width)
        np.testing.assert_array_equal(found.counts[place], sums[first : first + bins + forward])
        assert found.start_time[place] == pytest.approx(first * width / 1e3)
    assert np.isnan(found.counts[:-1]).any()
    np.testing.assert_allclose(found.time[[0, -1]], [-0.25 + width / 2e3, 0.65 - width / 2e3])
    assert (
        int(found.forward.sum()) == forward and bool(found.forward[-1]) and not bool(found.forward[bins - 1])
    )
    assert found.attrs["nlb"] == "mc_maze_small" and found.attrs["bin_width"] == width / 1e3


def test_test_trials_show_held_in_neurons_in_the_window_alone(tmp_path):
    write_session(tmp_path, "mc_maze_small", maze_trials(), series=velocity())
    found = prepare("mc_maze_small", tmp_path).isel(trial=-1)
    assert np.isnan(found.counts[:, 3:]).all() and np.isnan(found.counts[140:]).all()
    expected = binned(table(spike_trains(), [[0.2, 2.9]]), 5)[350:490, :3]
    np.testing.assert_array_equal(found.counts[:140, :3], expected)
    assert np.isnan(found.behaviour).all() and found.condition == -1 and np.isnan(found.trial_type)


def test_conditions_count_the_sorted_combinations_of_used_trials(tmp_path):
    write_session(tmp_path, "mc_maze_small", maze_trials(), series=velocity())
    found = prepare("mc_maze_small", tmp_path)
    assert found.condition.values.tolist() == [0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 1, -1]
    assert found.trial_type.values[:3].tolist() == [1, 2, 1]


def test_behaviour_lags_and_is_filtered_over_the_whole_session(tmp_path):
    trials, (name, values, clock) = maze_trials(), velocity()
    write_session(tmp_path, "mc_maze_small", trials, series=(name, values, clock))
    found = prepare("mc_maze_small", tmp_path)
    assert found.behaviour_channel.values.tolist() == ["hand_vel_x", "hand_vel_y"]  # the file has y first
    whole = decimate(values, 5, axis=0, n=500, ftype="fir")[:, ::-1]
    first = window_start(trials["move_onset_time"][0], -250 + 120, 5)
    np.testing.assert_allclose(found.behaviour[0, :140], whole[first : first + 140], rtol=1e-5, atol=1e-4)
    assert np.isnan(found.behaviour[:, 140:]).all()


@pytest.mark.parametrize("width", [5, 20])
@pytest.mark.parametrize("gaps", [(), ((6.55, 6.7), (14.2, 14.3))])
def test_psth_is_the_mean_of_trials_smoothed_one_by_one(tmp_path, width, gaps):
    trials = maze_trials()
    spikes = write_session(tmp_path, "mc_maze_small", trials, gaps=gaps, series=velocity())
    found = target("mc_maze_small", tmp_path, phase="val", bin_width=width / 1e3)
    sums = binned(smoothed(table(spikes, observed_without(*gaps)), 50), width)
    is_used = trials["split"] != "none"
    for number, kind in enumerate((1, 2)):
        rows = np.flatnonzero(is_used & (trials["trial_type"] == kind))
        lined_up = {}
        for row in rows:  # at 20 ms a window may begin 13 or 12 bins before the bin of the event
            first, event = (window_start(trials["move_onset_time"][row], low, width) for low in (-250, 0))
            for place in range(first, first + 700 // width):
                lined_up.setdefault(place - event, []).append(sums[place])
        expected = [np.nanmean(lined_up[place], axis=0) for place in sorted(lined_up)[: 700 // width]]
        np.testing.assert_allclose(found["psth"][number], expected, rtol=0, atol=1e-6)
        for split, key in (("train", "train_cond_idx"), ("val", "eval_cond_idx")):
            of_split = np.flatnonzero(trials["split"] == split)
            assert found[key][number].tolist() == [k for k, row in enumerate(of_split) if row in rows]


def test_a_condition_lets_cut_trials_go_and_takes_the_shortest_of_the_rest(tmp_path):
    trials = maze_trials()
    onset = trials["move_onset_time"]
    onset[2] = onset[0] + 0.6  # the first is cut to 600 of 700 ms by the next of its condition
    onset[7] = onset[6] + 0.2  # and the seventh to 200 ms
    spikes = write_session(tmp_path, "mc_maze_small", trials, series=velocity())
    found = target("mc_maze_small", tmp_path, phase="val")
    rows = [0, 2, 7, 9, 10]  # of the first condition, without the seventh trial
    sums = binned(smoothed(table(spikes, [[0, END]]), 50), 5)
    windows = [sums[window_start(onset[row], -250, 5) :][:120] for row in rows]
    np.testing.assert_allclose(found["psth"][0, :120], np.mean(windows, axis=0), rtol=0, atol=1e-6)
    assert np.isnan(found["psth"][0, 120:]).all() and np.isfinite(found["psth"][1]).all()
    of_train = np.flatnonzero(trials["split"] == "train")
    assert of_train[found["train_cond_idx"][0]].tolist() == [0, 2, 9]


def test_targets_of_behaviour_end_where_the_next_window_of_the_set_begins(tmp_path):
    trials = maze_trials()
    trials["move_onset_time"][2] = trials["move_onset_time"][0] + 0.3
    write_session(tmp_path, "mc_maze_small", trials, series=velocity())
    found = target("mc_maze_small", tmp_path, phase="val")
    assert (
        np.isfinite(found["train_behavior"][0, :60]).all() and np.isnan(found["train_behavior"][0, 60:]).all()
    )
    assert np.isfinite(
        found["train_behavior"][1:]
    ).all()  # by trials of its own set only, and only the earlier one
    prepared = prepare("mc_maze_small", tmp_path)
    assert np.isfinite(prepared.counts[:-1]).all()


def test_inputs_and_targets_are_parts_of_the_trials(tmp_path):
    write_session(tmp_path, "mc_maze_small", maze_trials(), series=velocity())
    trials = store.open_trials(store.save(prepare("mc_maze_small", tmp_path), tmp_path / "trials.nc"))
    found = target("mc_maze_small", tmp_path, phase="val")
    train, valid = train_tensors(trials, "val"), eval_tensors(trials, "val")
    assert {key: value.shape for key, value in train.items()} == {
        "train_spikes_heldin": (7, 140, 3),
        "train_spikes_heldout": (7, 140, 2),
        "train_behavior": (7, 140, 2),
        "train_spikes_heldin_forward": (7, 40, 3),
        "train_spikes_heldout_forward": (7, 40, 2),
    }
    assert set(valid) == {"eval_spikes_heldin", "eval_spikes_heldout"}
    np.testing.assert_array_equal(valid["eval_spikes_heldout"], found["eval_spikes_heldout"])
    np.testing.assert_allclose(train["train_behavior"], found["train_behavior"], rtol=1e-6, atol=1e-5)
    later = trials.isel(trial=trials.split.values == "valid", time=trials.forward.values)
    np.testing.assert_array_equal(later.counts[:, :, 3:], found["eval_spikes_heldout_forward"])
    np.testing.assert_array_equal(later.counts[:, :, :3], found["eval_spikes_heldin_forward"])
    assert train_tensors(trials, "test")["train_spikes_heldin"].shape[0] == 11
    assert set(eval_tensors(trials, "test")) == {"eval_spikes_heldin"}


def test_targets_of_the_test_phase_come_from_the_labels(tmp_path):
    trials = maze_trials()
    spikes, series = write_session(tmp_path, "mc_maze_small", trials, series=velocity()), velocity()
    validation = target("mc_maze_small", tmp_path, phase="val")
    units = [(number, spikes[number], flag, [[0.0, END]]) for number, flag in IDS.items()]
    words = np.where(trials["split"] == "val", "test", trials["split"])
    labels = write_file(tmp_path / "labels.nwb", {**trials, "split": words}, units, series=series)
    found = target("mc_maze_small", tmp_path / "none", phase="test", labels=labels)
    assert set(found) == set(validation)
    for key in ("eval_spikes_heldout", "train_behavior", "psth"):
        np.testing.assert_array_equal(found[key], validation[key])


def dmfc_trials():
    n = len(SPLITS)
    starts = 1.0 + 4.5 * np.arange(n)
    produced = np.array([700.0, 800, 1450, 900, 650, 1600, 750, 820, 1000, 640, 730, 990])
    return {
        "start_time": starts,
        "stop_time": starts + 4.4,
        "split": np.array(SPLITS, object),
        "set_time": starts + 1.7031,
        "go_time": starts + 1.7031 + produced / 1e3,
        "tp": produced,
        "ts": np.full(n, 800.0),
        "is_eye": np.zeros(n, int),
        "theta": np.array([0.0, 180.0] * (n // 2)),
        "is_short": np.zeros(n, int),
        "is_outlier": np.array([0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    }


@pytest.mark.parametrize("width", [5, 20])
def test_windows_of_timed_trials_end_late_and_are_scored_from_set_to_go(tmp_path, width):
    trials = dmfc_trials()
    spikes = write_session(tmp_path, "dmfc_rsg", trials)
    prepared = prepare("dmfc_rsg", tmp_path, bin_width=width / 1e3)
    found = target("dmfc_rsg", tmp_path, phase="val", bin_width=width / 1e3)
    sums, bins = binned(table(spikes, [[0, END]]), width), 1500 // width
    for split, word in (("train", "train"), ("val", "valid")):
        rows = np.flatnonzero(trials["split"] == split)
        delays = jitter(trials["tp"][rows], np.zeros(len(rows), bool), width)
        chosen = prepared.isel(trial=prepared.split.values == word)
        assert chosen.jitter.values.tolist() == delays.tolist() and delays.any()
        for k, row in enumerate(rows):
            first = window_start(trials["go_time"][row], -1500, width) + delays[k]
            np.testing.assert_array_equal(chosen.counts[k], sums[first : first + bins + 200 // width])
    assert found["eval_jitter"].tolist() == delays.tolist()
    for k, row in enumerate(rows):
        begin, end = (window_start(trials[name][row], 0, width) for name in ("set_time", "go_time"))
        expected = np.full((bins, 2), np.nan)
        expected[bins - delays[k] - (end - begin) : bins - delays[k]] = sums[begin:end, 3:]
        np.testing.assert_array_equal(found["eval_spikes_heldout"][k], expected)
        scored_bins = prepared.time.values > chosen.evaluated_from.values[k]
        assert np.flatnonzero(scored_bins)[0] == bins - delays[k] - (end - begin)
    assert np.isnan(prepared.evaluated_from.values[-1]) and prepared.jitter.values[-1] == 0


def test_psth_of_timed_trials_keeps_the_bins_before_go_and_no_outliers(tmp_path):
    trials = dmfc_trials()
    spikes = write_session(tmp_path, "dmfc_rsg", trials)
    found = target("dmfc_rsg", tmp_path, phase="val")
    sums = binned(smoothed(table(spikes, [[0, END]]), 70), 5)
    # theta 180: of 800, 1600, 820, 640 and 990 ms the mean is 970, so that the trial of 640 ms is left out
    rows = [1, 5, 7, 9, 11]
    begins, ends = (
        [window_start(trials[name][row], 0, 5) for row in rows] for name in ("set_time", "go_time")
    )
    lengths = np.array(ends) - begins
    keep = lengths >= 0.8 * lengths.mean()
    shortest = lengths[keep].min()
    expected = np.mean(
        [sums[end - shortest : end] for end, is_kept in zip(ends, keep, strict=True) if is_kept], axis=0
    )
    np.testing.assert_allclose(found["psth"][1, 300 - shortest :], expected, rtol=0, atol=1e-6)
    assert np.isnan(found["psth"][1, : 300 - shortest]).all()
    kept = {row for row, is_kept in zip(rows, keep, strict=True) if is_kept}
    of_train = np.flatnonzero(trials["split"] == "train")
    assert kept & set(of_train) == set(of_train[found["train_cond_idx"][1]])
    assert 2 not in of_train[found["train_cond_idx"][0]]  # the outlier
    assert np.isnan(found["train_behavior"][1]).all() and found["train_behavior"][0].tolist() == [
        0,
        0,
        0,
        800,
        700,
    ]


def test_delays_are_drawn_together_in_the_test_phase(tmp_path):
    trials = dmfc_trials()
    write_session(tmp_path, "dmfc_rsg", trials)
    rows = np.flatnonzero(trials["split"] != "none")
    together = prepare("dmfc_rsg", tmp_path, phase="test")
    expected = jitter(trials["tp"][rows], np.zeros(len(rows), bool), 5)
    assert together.jitter.values[:-1].tolist() == expected.tolist()
    assert train_tensors(together, "test")["train_behavior"].shape == (11, 5)
    with pytest.raises(
        UndertowError, match=r"prepared for the phase 'test'.*prepare them again with phase='val'"
    ):
        train_tensors(together, "val")


def test_decoders_of_the_bump_task_are_told_apart(tmp_path):
    trials = maze_trials()
    n = len(SPLITS)
    bump = {name: trials[name] for name in ("start_time", "stop_time", "split", "move_onset_time")}
    bump |= {"cond_dir": np.tile([0.0, 90.0, np.nan], n // 3), "ctr_hold_bump": np.arange(n) % 2 == 0}
    write_session(tmp_path, "area2_bump", bump, series=velocity())
    found = target("area2_bump", tmp_path, phase="val")
    rows = np.flatnonzero(trials["split"] == "val")
    assert found["eval_decode_mask"].tolist() == [[row % 2 == 1, row % 2 == 0] for row in rows]
    assert found["train_decode_mask"].dtype == bool
    prepared = prepare("area2_bump", tmp_path)
    used = np.flatnonzero(trials["split"] != "none")
    assert prepared.condition.values[:-1].tolist() == [
        -1 if row % 3 == 2 else 2 * (row % 3) + (row % 2 == 0) for row in used
    ]


def test_segments_without_conditions_have_no_psth_and_may_share_bins(tmp_path):
    n = 20
    starts = 2.0 + 0.6 * np.arange(n)
    splits = np.where(np.arange(n) % 4 == 1, "val", "train").astype(object)
    trials = {"start_time": starts, "stop_time": starts + 0.6, "split": splits}
    _, values, clock = velocity()
    spikes = write_session(
        tmp_path, "mc_rtt", trials, gaps=((14.0, END - 0.1),), series=("finger_vel", values, clock)
    )
    found, prepared = target("mc_rtt", tmp_path, phase="val"), prepare("mc_rtt", tmp_path)
    assert set(found) == {
        *("eval_spikes_heldout", "train_behavior", "eval_behavior"),
        *("eval_spikes_heldin_forward", "eval_spikes_heldout_forward"),
    }
    sums = binned(table(spikes, [[0, 14.0], [END - 0.1, END]]), 5)
    first = np.ceil(np.round(starts * 1e3, 6) / 5).astype(int)
    np.testing.assert_array_equal(prepared.counts[:-1], np.stack([sums[k : k + 160] for k in first]))
    assert np.isnan(prepared.counts[-2, 120:]).all() and np.isfinite(prepared.counts[-2, :120]).all()
    assert np.isfinite(found["train_behavior"]).all()
    assert (prepared.condition == -1).all()


def test_a_table_read_back_is_the_same_through_pandas(tmp_path):
    write_session(tmp_path, "mc_maze_small", maze_trials(), series=velocity())
    found = prepare("mc_maze_small", tmp_path)
    frame = pd.DataFrame({"split": found.split.values, "kind": found.trial_type.values})
    assert frame.groupby("split").kind.count().to_dict() == {"test": 0, "train": 7, "valid": 4}
