"""What is said about files that are missing, or not as published; every sentence names the file and the way out."""

import numpy as np
import pytest
from nlb_files import write_file

from undertow.data.nlb import source
from undertow.data.nlb.prepare import prepare, target
from undertow.data.nlb.table import data_set
from undertow.vocabulary import UndertowError

WHOLE = np.array([[0.0, 10.0]])
MAZE, RTT, DMFC = (data_set(name) for name in ("mc_maze_small", "mc_rtt", "dmfc_rsg"))


def units(held_out=(False, False, True), ids=(1, 2, 3)):
    return [(number, [0.1, 1.0], flag, WHOLE) for number, flag in zip(ids, held_out, strict=True)]


def maze_trials(splits=("train", "val", "none"), **changes):
    n = len(splits)
    columns = {
        "start_time": np.arange(n) * 2.0,
        "stop_time": np.arange(n) * 2.0 + 1.9,
        "split": list(splits),
        "move_onset_time": np.arange(n) * 2.0 + 1.0,
        "trial_type": np.arange(n),
        "trial_version": np.zeros(n, int),
        **changes,
    }
    return {name: column for name, column in columns.items() if column is not None}


def dmfc_trials(n=3, **changes):
    columns = {
        "start_time": np.arange(n) * 4.0,
        "stop_time": np.arange(n) * 4.0 + 3.9,
        "split": (["train", "val"] * n)[:n],
        "set_time": np.arange(n) * 4.0 + 2.0,
        "go_time": np.arange(n) * 4.0 + 3.0,
        **{name: np.ones(n) for name in ("is_eye", "theta", "is_short", "ts", "tp", "is_outlier")},
        **changes,
    }
    return {name: column for name, column in columns.items() if column is not None}


def hand(samples=10_000):
    return ("hand_vel", np.zeros((samples, 2)), {"rate": 1000.0, "starting_time": 0.0})


def train_file(folder, row=MAZE, **changes):
    given = {"trials": maze_trials(), "units": units(), "series": hand(), **changes}
    return write_file(folder / row.folder / row.train_file, given.pop("trials"), given.pop("units"), **given)


def test_files_may_lie_in_the_folder_or_below(tmp_path):
    path = train_file(tmp_path)
    for folder in (tmp_path, path.parent):
        found, series = source.train_session(MAZE, folder)
        assert found.neurons.tolist() == [1, 2, 3] and found.split().tolist() == ["train", "valid", ""]
        assert series.channels == ("hand_vel_y", "hand_vel_x")


def test_a_missing_folder_and_a_missing_file_are_said(tmp_path):
    with pytest.raises(UndertowError, match="There is no folder"):
        prepare("mc_maze_small", tmp_path / "nowhere")
    with pytest.raises(
        UndertowError, match=r"holds no file 'sub-Jenkins_ses-small_desc-train.*DANDI:000140/0\.220113\.0408"
    ):
        prepare("mc_maze_small", tmp_path)


def test_a_train_file_without_its_test_file_is_said(tmp_path):
    train_file(tmp_path)
    with pytest.raises(
        UndertowError,
        match=r"holds no file '.*desc-test_ecephys\.nwb', beside '.*desc-train.*undertow nlb download",
    ):
        prepare("mc_maze_small", tmp_path)


def test_a_file_of_another_data_set_names_its_missing_columns(tmp_path):
    train_file(tmp_path, trials=maze_trials(move_onset_time=None, trial_version=None))
    with pytest.raises(
        UndertowError,
        match=r"is not a file of MC_Maze_Small: the columns trials\.move_onset_time, trials\.trial_version are missing",
    ):
        source.train_session(MAZE, tmp_path)


def test_a_file_without_the_behaviour_is_said(tmp_path):
    trials = maze_trials(move_onset_time=None, trial_type=None, trial_version=None)
    train_file(tmp_path, row=RTT, trials=trials)
    with pytest.raises(UndertowError, match="no series 'finger_vel'"):
        source.train_session(RTT, tmp_path)


@pytest.mark.parametrize("name", ["heldout", "obs_intervals"])
def test_a_missing_column_of_the_units_is_said(tmp_path, name):
    train_file(tmp_path, skip=(name,))
    with pytest.raises(UndertowError, match=rf"the columns units\.{name} are missing"):
        source.train_session(MAZE, tmp_path)


@pytest.mark.parametrize(("flag", "absent"), [(False, "held-out"), (True, "held-in")])
def test_a_file_without_one_of_the_groups_is_said(tmp_path, flag, absent):
    train_file(tmp_path, units=units((flag,) * 3))
    with pytest.raises(UndertowError, match=f"has no {absent} units among its 3"):
        source.train_session(MAZE, tmp_path)


def test_missing_splits_and_events_are_said(tmp_path):
    train_file(tmp_path, trials=maze_trials(("train", "none", "none")))
    with pytest.raises(UndertowError, match=r"no trials of the split 'val' \(it has 2 none, 1 train\)"):
        source.train_session(MAZE, tmp_path)
    train_file(tmp_path, trials=maze_trials(move_onset_time=np.array([np.nan, 3.0, np.nan])))
    with pytest.raises(UndertowError, match=r"1 of 2 trials that are used in .* have no move_onset_time"):
        source.train_session(MAZE, tmp_path)


def test_units_of_the_test_file_are_the_held_in_ones(tmp_path):
    train_file(tmp_path)
    write_file(
        tmp_path / MAZE.test_file,
        maze_trials(("test",), trial_type=None, trial_version=None),
        units((False, False), (1, 4)),
        skip=("heldout",),
    )
    with pytest.raises(UndertowError, match="unit 2 is in one of them only"):
        prepare("mc_maze_small", tmp_path)


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        (dmfc_trials(is_outlier=None), "has no column 'is_outlier'"),
        (dmfc_trials(1006), "has 2 held-in and 1 held-out units in place of 40 and 14"),
    ],
)
def test_an_old_release_of_dmfc_is_recognised(tmp_path, trials, found):
    train_file(tmp_path, row=DMFC, trials=trials, series=None)
    with pytest.raises(
        UndertowError, match=rf"old release of DMFC_RSG: it {found}; take version 0\.220113\.0407"
    ):
        source.train_session(DMFC, tmp_path)


def test_a_timed_trial_without_its_produced_time_is_said(tmp_path):
    train_file(tmp_path, row=DMFC, trials=dmfc_trials(tp=np.array([700.0, np.nan, 800.0])), series=None)
    with pytest.raises(UndertowError, match=r"1 of 3 trials that are used in .* have no tp"):
        source.train_session(DMFC, tmp_path)


def test_a_small_file_of_dmfc_is_no_old_release(tmp_path):
    train_file(tmp_path, row=DMFC, trials=dmfc_trials(), series=None)
    found, series = source.train_session(DMFC, tmp_path)
    assert len(found.trials) == 3 and series is None


def test_labels_must_hold_the_test_trials(tmp_path):
    path = train_file(tmp_path)
    with pytest.raises(UndertowError, match="no trials of the split 'test'"):
        target("mc_maze_small", tmp_path, phase="test", labels=path)
    with pytest.raises(UndertowError, match="give labels="):
        target("mc_maze_small", tmp_path, phase="test")


def test_other_bin_widths_and_phases_are_refused(tmp_path):
    with pytest.raises(UndertowError, match=r"bins of 0\.005 and 0\.02 s, not of 0\.01 s"):
        prepare("mc_maze_small", tmp_path, bin_width=0.01)
    with pytest.raises(UndertowError, match="no phase 'tests'"):
        target("mc_maze_small", tmp_path, phase="tests")
