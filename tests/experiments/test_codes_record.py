"""What the report is told of codes, from fits that take seconds: principal components of simulated reaching."""

import numpy as np
import pytest
from tiny_trials import make_trials

import undertow as ut
from undertow.baselines.pca import PCA
from undertow.data.simulate import SYSTEMS
from undertow.experiments import codes_record, drawing_spikes, pipeline
from undertow.experiments.codes_walk import drawn_channels, from_start, near_steps
from undertow.vocabulary import UndertowError


@pytest.fixture(scope="module")
def trials():
    return SYSTEMS["reaching"](trials=150, neurons=30, bins=30, bin_width=0.03, mean_rate=25.0, seed=3)


@pytest.fixture(scope="module")
def fitted(trials, tmp_path_factory):
    return ut.fit(PCA(), trials, out=tmp_path_factory.mktemp("runs") / "pca", quiet=True)


@pytest.fixture(scope="module")
def record(fitted, trials):
    return codes_record.record(fitted, trials)


def test_codes_lie_where_behaviour_is_told(record, trials):
    assert record.dimension == 8
    assert record.plane.shape == (150, 2)
    np.testing.assert_allclose(record.plane.std(axis=0), 1, rtol=1e-6)
    assert record.is_left_out.sum() == (trials.split.values == "valid").sum()
    assert record.r2["reach_angle"] > 0.7
    names = [read.name for read in record.behaviours]
    assert "reach_angle" in names
    assert "target_x" not in names, "the target follows from where a reach begins and goes"
    assert {"target_x", "hand_x"} <= set(record.r2)
    angle = next(read for read in record.behaviours if read.name == "reach_angle")
    np.testing.assert_array_equal(np.isfinite(angle.read), record.is_left_out)
    away = np.angle(np.exp(1j * (angle.read - angle.recorded)))[record.is_left_out]
    assert np.median(np.abs(away)) < 0.5


def test_a_walk_turns_the_reach(record):
    walk = record.walk
    assert walk.behaviour == "reach_angle"
    assert walk.monotonicity > 0.9
    assert walk.counts.shape == walk.rates.shape == (7, 30, 30)
    assert walk.near.sum() == 150
    assert set(walk.others) < {read.name for read in record.behaviours}
    paths = walk.paths
    assert (paths.channels, paths.plane, paths.read_from) == (
        ("hand_x", "hand_y"),
        (0, 1),
        "validation trials",
    )
    assert paths.r2 > 0.5
    way = paths.of_generated[:, -1] - paths.of_generated[:, 10]
    off = np.angle(np.exp(1j * (np.arctan2(way[:, 1], way[:, 0]) - walk.asked)))
    assert np.median(np.abs(off)) < 0.5


def test_generated_trials_of_components_are_near_the_recording(record):
    generated = record.generated
    assert generated.sizes == (150, 150)
    assert generated.note == ""
    assert generated.statistics["rate_mean_rmse"].ratio < 3
    assert generated.correlations.shape == (2, 30 * 29 // 2)
    assert np.corrcoef(generated.rates)[0, 1] > 0.9


def test_test_trials_take_no_part(fitted, trials, record):
    is_test = np.arange(150) % 10 == 3
    marked = trials.assign_coords(split=("trial", np.where(is_test, "test", trials.split.values)))
    told = codes_record.record(fitted, marked)
    scrambled = marked.copy(deep=True)
    scrambled.counts.values[is_test] = 7
    again = codes_record.record(fitted, scrambled)
    assert len(told.plane) == 135
    assert told.generated.sizes[0] == 135
    np.testing.assert_array_equal(told.plane, again.plane)
    np.testing.assert_array_equal(told.generated.averages, again.generated.averages)
    assert told.walk.source == np.flatnonzero(marked.split.values == "train")[0]


def test_without_behaviour_there_is_no_walk(fitted, trials):
    columns = [
        name for name, column in trials.coords.items() if column.dims == ("trial",) and name != "split"
    ]
    bare = trials.drop_vars(["behaviour", "behaviour_channel", *columns])
    record = codes_record.record(fitted, bare)
    assert (record.behaviours, record.r2, record.walk) == ((), {}, None)
    assert record.axes[0].startswith("direction 1 (")
    assert record.generated.statistics


def test_few_trials_are_read_in_folds_or_not_at_all(fitted, trials):
    is_few = codes_record.record(fitted, trials.isel(trial=slice(0, 40)))
    assert not is_few.is_left_out.any()
    assert all(np.isfinite(read.read).all() for read in is_few.behaviours)
    assert codes_record.record(fitted, trials.isel(trial=slice(0, 6))).r2 == {}


def test_missing_entries_leave_the_statistics_out_and_say_why(fitted, trials):
    holes = trials.copy(deep=True)
    holes.counts.values[:, ::2, 0] = np.nan
    holes.counts.values[:, 1::2, 1] = np.nan
    record = codes_record.record(fitted, holes)
    assert record.generated.statistics == {}
    assert "observed" in record.generated.note
    assert record.walk is not None


def test_the_cost_is_bounded(fitted, trials, monkeypatch):
    monkeypatch.setattr(codes_record, "MOST_TRIALS", 50)
    record = codes_record.record(fitted, trials)
    assert len(record.plane) == 50
    assert record.generated.sizes == (50, 50)


def test_a_code_of_one_number_moves_what_it_has_room_for(trials, tmp_path):
    one = ut.fit(PCA(code=1), trials, out=tmp_path / "one", quiet=True)
    record = codes_record.record(one, trials)
    assert record.plane.shape == (150, 2)
    assert record.walk.behaviour != "reach_angle"
    assert record.walk.others == {}


def test_rates_beyond_all_bounds_leave_the_rest_of_the_record(fitted, trials, monkeypatch):
    monkeypatch.setattr(drawing_spikes, "LARGEST_COUNT", 1e-3)
    record = codes_record.record(fitted, trials)
    assert (record.walk, record.generated) == (None, None)
    assert record.behaviours
    with pytest.raises(UndertowError, match="no spikes can be drawn"):
        fitted.sample(3)


def test_a_model_without_codes_has_no_record(tmp_path):
    trials = make_trials()
    smoothed = ut.fit(ut.Smoothing(), trials, out=tmp_path / "run", quiet=True)
    assert codes_record.record(smoothed, trials) is None


def test_the_report_of_a_run_shows_its_codes(fitted, trials):
    pipeline.remember_source(fitted, trials, None)
    pipeline.write_report(fitted.folder, quiet=True)
    text = (fitted.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="data-walk-behaviour"' in text
    assert len(text) < 8_000_000


def test_trials_belong_to_the_nearest_step_on_the_circle():
    asked = np.array([-np.pi, -np.pi / 2, 0, np.pi / 2])
    near = near_steps(np.array([3.1, -3.1, 0.2, 1.4]), asked, is_angle=True)
    np.testing.assert_array_equal(near.member, [0, 0, 2, 3])
    line = near_steps(np.array([0.4, 2.6, 9.0]), np.array([0.0, 1, 2, 3]), is_angle=False)
    np.testing.assert_array_equal(line.member, [0, 3, -1])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["velocity_x", "velocity_y", "hand_x", "hand_y"], (("hand_x", "hand_y"), (0, 1))),
        (["velocity_x", "velocity_y"], (("velocity_x", "velocity_y"), None)),
        (["x", "y", "pupil"], (("x", "y"), (0, 1))),
        (["a", "b", "c", "d", "e"], (("a", "b", "c", "d"), None)),
    ],
)
def test_positions_are_drawn_in_a_plane(names, expected):
    assert drawn_channels(names) == expected


def test_distance_from_the_start_begins_at_zero():
    path = np.array([[[np.nan, np.nan], [1.0, 1.0], [4.0, 5.0]]])
    np.testing.assert_allclose(from_start(path)[0, :, 0], [np.nan, 0, 5])
