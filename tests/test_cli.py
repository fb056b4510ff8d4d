"""The command line: the whole way on a small simulation, help, usage, and what is said where."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import undertow as ut
from undertow.cli import COMMANDS, main
from undertow.cli.tables import show_scores

SMALL = [
    *("lfads.factors=3", "lfads.generator=12", "lfads.initial_condition=4", "lfads.encoder=6"),
    *("lfads.input_encoder=5", "lfads.controller=7", "inference.samples=3"),
    *("training.epochs=3", "training.batch_size=16", "objective.kl_ramp=1", "objective.penalty_ramp=1"),
]


@pytest.fixture(scope="module")
def trials_path(tmp_path_factory):
    """A simulation that the command wrote."""
    path = tmp_path_factory.mktemp("cli") / "trials.nc"
    main(
        [
            "simulate",
            "lorenz",
            str(path),
            "--seed",
            "3",
            "--set",
            "trials=32",
            "conditions=4",
            "neurons=8",
            "bins=12",
        ]
    )
    return path


@pytest.fixture(scope="module")
def run(trials_path):
    """A run that the command fitted, stopped after its first epoch and resumed."""
    folder = trials_path.parent / "runs" / "first"
    arguments = ["fit", "lfads", str(trials_path), "--out", str(folder), "--quiet", "--set", *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("undertow.training.loop.CHECKPOINT_SECONDS", 0.0)
        patch.setattr("undertow.experiments.progress.Listener.listen", _interrupt)
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
    assert stopped.value.code == 1
    assert (folder / "state" / "state.safetensors").exists()
    main(arguments)
    return folder


def _interrupt(listener, progress):
    raise KeyboardInterrupt


def failing(arguments, capsys):
    """The exit code and the lines on stderr."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    captured = capsys.readouterr()
    return left.value.code, captured.err.splitlines(), captured.out


def test_simulate_writes_what_the_library_simulates(trials_path):
    expected = ut.simulate.SYSTEMS["lorenz"](trials=32, conditions=4, neurons=8, bins=12, seed=3)
    stored = ut.open_trials(trials_path)
    np.testing.assert_array_equal(stored.counts, expected.counts)


def test_describe_prints_a_page(trials_path, capsys):
    main(["describe", str(trials_path)])
    printed = capsys.readouterr().out
    assert "32 trials" in printed
    assert "8 neurons" in printed


def test_a_run_has_everything_in_its_folder(run):
    names = {path.name for path in run.iterdir()}
    assert names >= {"recipe.toml", "provenance.json", "metrics.jsonl", "model.safetensors", "config.json"}
    assert names >= {"estimate.nc", "scores.json", "report.html", "state"}
    assert not [name for name in names if name.startswith(".")]
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_run_is_opened_from_python(run, trials_path):
    fitted = ut.open(run)
    assert fitted.outcome["epochs"] == 3
    assert fitted.infer(ut.open_trials(trials_path), samples=3).rates.shape == (32, 12, 8)


def test_infer_writes_an_estimate_and_a_sentence(run, trials_path, tmp_path, capsys):
    main(["infer", str(run), str(trials_path), "--out", str(tmp_path / "estimate.nc"), "--samples", "2"])
    assert "32 trials" in capsys.readouterr().out
    estimate = ut.open_estimate(tmp_path / "estimate.nc")
    assert estimate.attrs["samples"] == 2
    assert {"rates", "rates_sd", "factors", "initial_condition", "inferred_inputs"} <= set(estimate.data_vars)


def test_evaluate_prints_json_and_nothing_else(run, capsys):
    main(["evaluate", str(run), "--json", "--quiet"])
    captured = capsys.readouterr()
    scores = json.loads(captured.out)
    assert scores["splits"].keys() == {"train", "valid"}
    assert scores == json.loads((run / "scores.json").read_text())
    assert captured.err == ""


def test_a_report_is_named_only_where_there_is_one(tmp_path, capsys):
    scores = {"model": "lfads", "splits": {"valid": {"model": {"rate_r2": 0.5}}}, "selected_on": "all"}
    show_scores(scores, tmp_path)
    assert "report" not in capsys.readouterr().out
    (tmp_path / "report.html").touch()
    show_scores(scores, tmp_path)
    assert f"report: {tmp_path / 'report.html'}" in capsys.readouterr().out


def test_evaluate_scores_other_trials_too(run, trials_path, tmp_path, capsys):
    ut.save(ut.open_trials(trials_path).isel(trial=slice(0, 20)), tmp_path / "other.nc")
    main(["evaluate", str(run), str(tmp_path / "other.nc"), "--quiet"])
    assert "bits_per_spike" in capsys.readouterr().out


def test_report_is_made_again(run, capsys):
    (run / "report.html").unlink()
    main(["report", str(run), "--quiet"])
    captured = capsys.readouterr()
    assert (run / "report.html").stat().st_size > 10_000
    assert str(run / "report.html") in captured.out.replace("\n", "")
    assert captured.err == ""


def test_a_finished_fit_is_not_trained_again(run, trials_path, capsys):
    before = (run / "model.safetensors").read_bytes()
    main(["fit", "lfads", str(trials_path), "--out", str(run), "--set", *SMALL])
    captured = capsys.readouterr()
    assert "Trained 3 epochs" in captured.err
    assert "bits_per_spike" in captured.out
    assert (run / "model.safetensors").read_bytes() == before


def test_the_runs_own_recipe_repeats_it(run, trials_path, capsys):
    """`fit --recipe` with what the run wrote is the same run."""
    main(
        ["fit", "lfads", str(trials_path), "--out", str(run), "--recipe", str(run / "recipe.toml"), "--quiet"]
    )
    assert capsys.readouterr().err == ""


def test_ctrl_c_says_that_the_same_command_goes_on(trials_path, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("undertow.experiments.pipeline.run", _raise_interrupt)
    arguments = ["fit", "lfads", str(trials_path), "--out", str(tmp_path / "run")]
    code, errors, _ = failing(arguments, capsys)
    assert code == 1
    assert errors == ["undertow: Stopped; the same command goes on where this one was."]


def _raise_interrupt(*_, **__):
    raise KeyboardInterrupt


def test_doctor_says_what_a_report_needs(capsys):
    main(["doctor"])
    printed = capsys.readouterr().out
    for word in ("undertow", "jax", "python", "devices", "memory", "cores"):
        assert word in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert f"Example: undertow {name}" in " ".join(printed.split())
    assert "--seed" in printed
    assert "--quiet" in printed


def test_the_overview_names_every_command(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
    main([])
    assert capsys.readouterr().out == printed
    main(["--version"])
    assert capsys.readouterr().out.startswith("undertow ")


def test_a_reader_that_goes_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "undertow", "doctor"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fitt"],
        ["fit"],
        ["fit", "lfads"],
        ["simulate", "lorenz", "x.nc", "--trails", "3"],
        ["infer", "a", "b"],
    ],
)
def test_wrong_usage_exits_with_two(arguments, capsys):
    code, errors, printed = failing(arguments, capsys)
    assert code == 2
    assert errors
    assert printed == ""


def test_an_unknown_command_names_the_closest(capsys):
    assert failing(["fitt"], capsys)[1] == ["undertow: There is no command 'fitt'; did you mean 'fit'?"]


def test_a_traceback_is_shown_on_request_alone(capsys):
    code, errors, _ = failing(["describe", "nowhere.nc"], capsys)
    assert (code, len(errors)) == (1, 1)
    code, errors, _ = failing(["describe", "nowhere.nc", "--debug"], capsys)
    assert code == 1
    assert errors[0].startswith("Traceback")
    assert errors[-1].startswith("undertow: ")


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "undertow", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_answers_within_a_second():
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        done = command("--help")
        seconds.append(time.perf_counter() - begun)
        assert done.returncode == 0
        assert "undertow COMMAND" in done.stdout
    assert min(seconds) < 1


def test_a_process_exits_as_it_should(trials_path, tmp_path):
    good = command("describe", trials_path)
    assert (good.returncode, good.stderr) == (0, "")
    bad = command("infer", tmp_path, trials_path, "--out", tmp_path / "estimate.nc")
    assert bad.returncode == 1
    assert bad.stderr.count("\n") == 1
    assert "holds no run" in bad.stderr
    assert not list(tmp_path.iterdir())


def test_a_pipe_that_closes_early_is_no_traceback(trials_path):
    done = subprocess.run(
        f"{sys.executable} -m undertow describe {trials_path} | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr


def test_a_long_recording_is_chopped_and_split_in_blocks(tmp_path, capsys):
    np.save(tmp_path / "long.npy", np.random.default_rng(0).poisson(1.0, (1, 200, 3)))
    source, out = str(tmp_path / "long.npy"), tmp_path / "windows.nc"
    main(
        [
            "convert",
            source,
            str(out),
            "--bin-width",
            "0.01",
            "--chop",
            "0.5",
            "--overlap",
            "0.1",
            "--split-by",
            "blocked",
        ]
    )
    windows = ut.open_trials(out)
    assert windows.sizes["time"] == 50
    assert windows.window_start.values.tolist() == [0, 40, 80, 120, 150]
    assert set(windows.split.values.astype(str)) == {"train", "valid"}
    assert "Wrote 5 trials" in capsys.readouterr().out


def test_a_replay_prints_a_table_and_stores_what_was_streamed(run, trials_path, tmp_path, capsys):
    estimate, window = tmp_path / "estimate.nc", ("--window", "5", "--delay", "1")
    main(["stream", str(run), "--replay", str(trials_path), "--no-wait", "--out", str(estimate), *window])
    captured = capsys.readouterr()
    for word in ("median", "p99.9", "worst", "missed deadlines", "20 ms", f"undertow report {run}"):
        assert word in captured.out
    assert captured.err.startswith("Replaying 32 trials of 8 neurons")
    assert ut.open_estimate(estimate).rates.shape == (32, 12, 8)
    latency = json.loads((run / "latency.json").read_text())
    assert (latency["bins"], latency["window"], latency["waits"]) == (32 * 12, 5, False)
    main(["report", str(run), "--quiet"])
    assert 'id="latency"' in (run / "report.html").read_text(encoding="utf-8")


def test_a_replay_in_real_time_waits_for_its_bins(run, trials_path, capsys):
    begun = time.perf_counter()
    main(["stream", str(run), "--replay", str(trials_path), "--trials", "2", "--window", "5", "--quiet"])
    assert time.perf_counter() - begun > 2 * 12 * 0.02
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads((run / "latency.json").read_text())["waits"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "set lfads.causal=true and fit again, or pass window="),
        (("--trials", "0"), "first 0 trials"),
        (("--window", "5", "--delay", "5"), "delay is 5 bins"),
        (("--window", "5", "--decode"), "hold no behaviour"),
        (("--window", "5", "--out", "nowhere/estimate.nc"), "no folder 'nowhere'"),
    ],
)
def test_replays_that_cannot_be(run, trials_path, capsys, options, message):
    code, errors, printed = failing(["stream", str(run), "--replay", str(trials_path), *options], capsys)
    assert (code, len(errors), printed) == (1, 1, "")
    assert message in errors[0]


def test_other_trials_are_scored_with_neurons_in_any_order(run, trials_path, tmp_path, capsys):
    trials = ut.open_trials(trials_path)
    ut.save(trials.isel(neuron=slice(None, None, -1)), tmp_path / "turned.nc")
    printed = []
    for path in (trials_path, tmp_path / "turned.nc"):
        main(["evaluate", str(run), str(path), "--json", "--quiet"])
        printed.append(json.loads(capsys.readouterr().out)["splits"]["valid"]["model"])
    assert printed[0] == pytest.approx(printed[1])
