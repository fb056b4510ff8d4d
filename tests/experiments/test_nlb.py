"""The benchmark from generated files to scores, with the smallest model: submissions, targets, the guard, and what goes wrong."""

import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import undertow as ut
from undertow.cli import main
from undertow.data import store
from undertow.data.nlb import tensor_files
from undertow.evaluation import nlb
from undertow.experiments import looks, pipeline
from undertow.experiments.nlb import commands, results, scoring, submission
from undertow.vocabulary import UndertowError

NAME = "mc_maze_small"
COMMON = SimpleNamespace(seed=0, quiet=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with generated files, prepared trials and both targets."""
    folder = tmp_path_factory.mktemp("nlb")
    commands.run_generate(NAME, folder / "nwb", 0.1, COMMON)
    commands.run_prepare(NAME, folder / "nwb", folder / f"{NAME}.nc", 0.02, "val", COMMON)
    return folder


@pytest.fixture(scope="module")
def maze(place):
    return store.open_trials(place / f"{NAME}.nc")


@pytest.fixture(scope="module")
def run(place, maze, recipe):
    """A run of the smallest model, finished with its estimate."""
    fitted = ut.fit(recipe, maze, out=place / "runs" / "tiny", quiet=True)
    pipeline.remember_source(fitted, maze, place / f"{NAME}.nc")
    fitted.infer(maze, out=fitted.folder / "estimate.nc")
    return fitted


@pytest.fixture
def submitted(run, tmp_path):
    """A submission of the run's test rates."""
    submission.submit(run, tmp_path / "submission.h5", phase="test")
    return tmp_path / "submission.h5"


def test_prepared_files_say_what_they_are(place, maze):
    assert maze.attrs["nlb"] == NAME
    assert set(np.unique(maze.split)) == {"train", "valid", "test"}
    assert tensor_files.read_facts(place / f"{NAME}_val_target.h5", f"{NAME}_20")["phase"] == "val"
    assert tensor_files.read_facts(place / "nwb" / f"{NAME}_test_target.h5", f"{NAME}_20")["phase"] == "test"
    inputs = tensor_files.read_tensors(place / f"{NAME}_val_train_input.h5")
    assert inputs["train_spikes_heldin"].shape[0] == int((maze.split == "train").sum())


@pytest.mark.parametrize("phase", ["val", "test"])
def test_rates_are_counts_a_bin_of_the_phases_trials(run, maze, phase):
    estimate = run.infer(maze)
    arrays = submission.rates_of(estimate, maze, phase)
    split = maze.split.values.astype(str)
    evaluated = split == ("valid" if phase == "val" else "test")
    expected = estimate.rates.values[evaluated] * maze.attrs["bin_width"]
    forward, held_out = maze.forward.values, maze.held_out.values
    np.testing.assert_array_equal(
        arrays["eval_rates_heldout"], expected[:, ~forward][:, :, held_out].astype(np.float32)
    )
    np.testing.assert_array_equal(
        arrays["eval_rates_heldin_forward"], expected[:, forward][:, :, ~held_out].astype(np.float32)
    )
    assert len(arrays["train_rates_heldin"]) == int((split == "train").sum()) + (
        int((split == "valid").sum()) if phase == "test" else 0
    )


def test_a_submission_is_scored_as_its_arrays_are(run, maze, place, submitted):
    target = place / "nwb" / f"{NAME}_test_target.h5"
    scored = scoring.score_files(submitted, target)
    aims = tensor_files.read_targets(target)[f"{NAME}_20"]
    expected = nlb.score(aims, submission.rates_of(run.infer(maze), maze, "test"))
    (result,) = scored.reference
    assert result["mc_maze_scaling_20_split"] == pytest.approx(
        {f"[100] {name}": value for name, value in expected.items()}
    )
    assert set(expected) == {"co-bps", "vel R2", "psth R2", "fp-bps"}


def test_every_look_at_test_labels_is_counted_and_said(run, place, submitted):
    (run.folder / looks.NAME).unlink(missing_ok=True)
    target = place / "nwb" / f"{NAME}_test_target.h5"
    first = scoring.score_files(submitted, target)
    second = scoring.score_files(submitted, target)
    assert first.looks[f"{NAME}_20"].is_first
    assert "First look" in str(first)
    assert second.looks[f"{NAME}_20"].looks == 1
    assert "Not a first look" in str(second)
    lines = [json.loads(line) for line in (run.folder / looks.NAME).read_text().splitlines()]
    assert [line["scores"] for line in lines] == 2 * [first.tables[0].rows[0].scores]
    assert lines[0]["weights"] == looks.fingerprint_of_files(run.folder)


def test_validation_targets_are_no_look(run, place, tmp_path):
    (run.folder / looks.NAME).unlink(missing_ok=True)
    submission.submit(run, tmp_path / "val.h5", phase="val")
    scored = scoring.score_files(tmp_path / "val.h5", place / f"{NAME}_val_target.h5")
    assert not scored.looks
    assert not (run.folder / looks.NAME).exists()


def test_a_submission_from_elsewhere_is_counted_beside_it(place, submitted):
    with h5py.File(submitted, "a") as file:
        for name in list(file[f"{NAME}_20"].attrs):
            del file[f"{NAME}_20"].attrs[name]
    target = place / "nwb" / f"{NAME}_test_target.h5"
    assert scoring.score_files(submitted, target).looks[f"{NAME}_20"].is_first
    assert not scoring.score_files(submitted, target).looks[f"{NAME}_20"].is_first
    assert submitted.with_name(f"submission.h5.{looks.NAME}").exists()


def test_targets_that_do_not_say_their_phase_are_test_targets(place, submitted, tmp_path):
    aims = tensor_files.read_targets(place / "nwb" / f"{NAME}_test_target.h5")
    tensor_files.write_targets(tmp_path / "eval_data_test.h5", aims)
    assert scoring.score_files(submitted, tmp_path / "eval_data_test.h5").looks


def test_generated_data_are_not_compared_with_published_scores(place, submitted):
    printed = str(scoring.score_files(submitted, place / "nwb" / f"{NAME}_test_target.h5"))
    assert "simulated" in printed
    assert "published:" not in printed


def test_published_scores_stand_beside_real_ones(place, submitted, tmp_path):
    aims = tensor_files.read_targets(place / "nwb" / f"{NAME}_test_target.h5")
    tensor_files.write_targets(tmp_path / "eval_data_test.h5", aims)
    row, bin_width = scoring.known_group("mc_maze_20")
    table = scoring.table(row, bin_width, "test", (results.Row("own", {"co-bps": 0.3}),), {})
    assert any("transcri" in row.note for row in table.published)
    assert "published:" in str(table)


def test_the_other_phases_rates_are_refused(place, submitted):
    with pytest.raises(UndertowError, match="phase 'test', but these are the targets of the phase 'val'"):
        scoring.score_files(submitted, place / f"{NAME}_val_target.h5")


def test_rates_in_hz_are_noticed(place, submitted):
    with h5py.File(submitted, "a") as file:
        for name in list(file[f"{NAME}_20"]):
            values = file[f"{NAME}_20"][name][()] * 50
            file[f"{NAME}_20"][name][...] = values
    with pytest.raises(UndertowError, match="Hz"):
        scoring.score_files(submitted, place / "nwb" / f"{NAME}_test_target.h5")


def test_no_group_in_common_is_said(place, submitted, tmp_path):
    aims = tensor_files.read_targets(place / f"{NAME}_val_target.h5")[f"{NAME}_20"]
    tensor_files.write_targets(tmp_path / "others.h5", {"mc_rtt": aims})
    with pytest.raises(UndertowError, match="no group in common"):
        scoring.score_files(submitted, tmp_path / "others.h5")


def test_other_trials_cannot_be_submitted(fitted, trials, tmp_path):
    pipeline.remember_source(fitted, trials, None)
    with pytest.raises(UndertowError, match="not fitted to trials of the benchmark"):
        submission.submit(fitted, tmp_path / "no.h5", phase="test")
    assert not (tmp_path / "no.h5").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "mc_maze_tiny"}, "mc_maze"),
        ({"bin_width": 0.01}, "0.005 and 0.02"),
        ({"tensors": "both"}, "phase 'both'"),
    ],
)
def test_wrong_arguments_are_named(place, tmp_path, change, words):
    arguments = {"name": NAME, "bin_width": 0.02, "tensors": None, **change}
    with pytest.raises(UndertowError, match=words):
        commands.run_prepare(
            arguments["name"],
            place / "nwb",
            tmp_path / "x.nc",
            arguments["bin_width"],
            arguments["tensors"],
            COMMON,
        )
    assert not list(tmp_path.iterdir())


def test_an_estimate_that_is_not_of_these_weights_is_made_again(run, maze, tmp_path):
    path = run.folder / "estimate.nc"
    before = submission.estimate_of(run, maze).rates.values
    content = path.read_bytes()
    path.unlink()
    np.testing.assert_array_equal(submission.estimate_of(run, maze).rates.values, before)
    path.write_bytes(content)


def test_baselines_stand_beside_other_runs(place, maze, run):
    arguments = (
        NAME,
        place / f"{NAME}.nc",
        None,
        place / "runs",
        ("smoothing", "psth"),
        (run.folder,),
        COMMON,
    )
    table = commands.run_baselines(*arguments, with_extras=True)
    scores = {row.name: row.scores for row in table.rows}
    assert set(scores) == {"smoothing", "psth", str(run.folder)}
    assert [row.scores["co-bps"] for row in table.rows] == sorted(
        (one["co-bps"] for one in scores.values()), reverse=True
    )
    aims = tensor_files.read_targets(place / f"{NAME}_val_target.h5")[f"{NAME}_20"]
    smoothing = ut.open(place / "runs" / f"{NAME}_20-smoothing")
    own = nlb.score(aims, submission.rates_of(smoothing.infer(maze), maze, "val"))
    assert own.items() <= scores["smoothing"].items()
    assert {"few-shot co-bps", "cycle R2"} <= scores[str(run.folder)].keys()
    assert "few-shot co-bps" not in scores["psth"]
    written = (smoothing.folder / "model.safetensors").stat().st_mtime_ns
    assert (
        commands.run_baselines(*arguments, with_extras=False).rows[0].scores["co-bps"]
        == table.rows[0].scores["co-bps"]
    )
    assert (smoothing.folder / "model.safetensors").stat().st_mtime_ns == written


def test_baselines_on_test_targets_are_looks(place):
    target = place / "nwb" / f"{NAME}_test_target.h5"
    arguments = (NAME, place / f"{NAME}.nc", target, place / "looked", ("smoothing", "psth"), (), COMMON)
    table = commands.run_baselines(*arguments, with_extras=False)
    assert [row.name for row in table.rows] == ["smoothing"]
    assert any("psth is left out" in remark for remark in table.remarks)
    lines = (place / "looked" / f"{NAME}_20-smoothing" / looks.NAME).read_text().splitlines()
    assert json.loads(lines[-1])["scores"] == table.rows[0].scores
    again = commands.run_baselines(*arguments, with_extras=False)
    assert any("Not a first look" in remark for remark in again.remarks)


def test_a_baseline_does_not_depend_on_test_trials(maze, tmp_path):
    from undertow.baselines import BASELINES

    spoiled = maze.copy(deep=True)
    spoiled.counts.values[(maze.split == "test").values] = 50.0
    weights = [
        (
            ut.fit(BASELINES["smoothing"](), trials, out=tmp_path / name, quiet=True).folder
            / "model.safetensors"
        ).read_bytes()
        for name, trials in (("one", maze), ("two", spoiled))
    ]
    assert weights[0] == weights[1]


def test_trials_of_another_data_set_are_refused(place, tmp_path):
    with pytest.raises(UndertowError, match="not mc_rtt"):
        commands.run_baselines(
            "mc_rtt", place / f"{NAME}.nc", None, tmp_path, ("smoothing",), (), COMMON, with_extras=False
        )


def test_the_command_line_goes_the_whole_way(place, run, tmp_path, capsys):
    out, target = tmp_path / "sub.h5", place / "nwb" / f"{NAME}_test_target.h5"
    main(["nlb", "submit", str(run.folder), "--out", str(out)])
    main(["nlb", "score", str(out), "--target", str(target), "--json"])
    printed = capsys.readouterr().out
    document = json.loads(printed[printed.index("{") :])
    assert set(document) == {"result", "looks", "tables"}
    with pytest.raises(SystemExit) as left:
        main(["nlb", "score", str(tmp_path / "nothing.h5"), "--target", str(target)])
    assert left.value.code == 1
    with pytest.raises(SystemExit) as left:
        main(["nlb", "prepar"])
    assert left.value.code == 2
    assert "did you mean 'nlb prepare'" in capsys.readouterr().err
