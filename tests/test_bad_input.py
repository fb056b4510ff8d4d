"""What goes wrong for people: each a sentence, exit 1, and nothing half-written."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import undertow as ut
from undertow.cli import main

sys.path.append(str(Path(__file__).parent / "training"))


@pytest.fixture(scope="module", autouse=True)
def _tiny_in_the_table():
    """The smallest model stands in the table of models: what is tried here is the same for all."""
    from tiny_model import Tiny

    from undertow.models import MODELS

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", Tiny)
        yield


def make_trials(**changes):
    rng = np.random.default_rng(0)
    counts = 1.0 + rng.poisson(2.0, (20, 10, 4)).astype(np.float32)
    for place, value in changes.pop("entries", {}).items():
        counts[place] = value
    split = ["valid" if trial % 4 == 3 else "train" for trial in range(20)]
    return ut.trials(counts, bin_width=0.02, **{"split": split, "neuron": ["a", "b", "c", "d"], **changes})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A finished run and the file of its trials."""
    folder = tmp_path_factory.mktemp("bad")
    ut.save(make_trials(), folder / "trials.nc")
    settings = ["training.epochs=2", "objective.kl_ramp=0", "objective.penalty_ramp=0", "inference.samples=2"]
    main(
        [
            "fit",
            "tiny",
            str(folder / "trials.nc"),
            "--out",
            str(folder / "run"),
            "--quiet",
            "--set",
            *settings,
        ]
    )
    return folder / "run", folder / "trials.nc"


@pytest.fixture
def refused(capsys, tmp_path):
    """Run a command that must fail: its sentence, having checked the exit code, and that nothing was left in `tmp_path`."""

    def run(*arguments, leaves=()):
        before = {path for path in tmp_path.rglob("*")}
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert left.value.code == 1
        assert len(lines) == 1, lines
        assert captured.out == ""
        assert "Traceback" not in lines[0]
        assert {path for path in tmp_path.rglob("*")} - before == set(leaves)
        return lines[0]

    return run


def store(tmp_path, trials):
    return ut.save(trials, tmp_path / "trials.nc")


def fit(refused, path, tmp_path, *settings, model="tiny"):
    more = ["--set", *settings] if settings else []
    return refused("fit", model, path, "--out", tmp_path / "run", *more)


@pytest.mark.parametrize("name", ["nowhere.nc", "nowhere.nwb", "nowhere.mat", "nowhere.npz", "nowhere"])
def test_a_missing_file(refused, tmp_path, name):
    for arguments in (
        ("describe", tmp_path / name),
        ("convert", tmp_path / name, tmp_path / "out.nc"),
        ("fit", "tiny", tmp_path / name, "--out", tmp_path / "run"),
    ):
        assert f"There is no file or folder '{tmp_path / name}'" in refused(*arguments)


def test_a_missing_run(refused, tmp_path, fitted):
    message = refused("infer", tmp_path / "nowhere", fitted[1], "--out", tmp_path / "estimate.nc")
    assert "does not exist" in message
    assert "does not exist" in refused("evaluate", tmp_path / "nowhere")


@pytest.mark.parametrize("suffix", [".nc", ".nwb", ".mat", ".npz", ".npy", ".h5"])
def test_a_file_of_another_kind(refused, tmp_path, suffix):
    path = tmp_path / f"letter{suffix}"
    path.write_text("Dear colleague, here are the spikes you asked for. " * 40)
    cut = () if suffix == ".nc" else ("--bin-width", "0.02")
    assert str(path) in refused("convert", path, tmp_path / "out.nc", *cut)


def test_an_unknown_kind(refused, tmp_path):
    path = tmp_path / "letter.docx"
    path.write_text("Dear colleague")
    assert "letter.docx" in refused("convert", path, tmp_path / "out.nc")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A small NWB file with a trial table."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile

    rng = np.random.default_rng(0)
    file = NWBFile("a session", "id", datetime(2020, 1, 1, tzinfo=UTC))
    for _ in range(3):
        file.add_unit(spike_times=np.sort(rng.uniform(0, 20, 200)), obs_intervals=[[0.0, 20.0]])
    file.add_trial_column("go_cue_time", "when to go")
    for start in range(0, 20, 2):
        file.add_trial(start_time=float(start), stop_time=start + 2.0, go_cue_time=start + 0.5)
    path = tmp_path_factory.mktemp("nwb") / "session.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def test_the_session_itself_is_fine(session, tmp_path):
    main(["convert", str(session), str(tmp_path / "out.nc"), "--align", "go_cue_time", "--window", "-0.2", "0.8",
          "--bin-width", "0.02", "--quiet"])  # fmt: skip
    assert ut.open_trials(tmp_path / "out.nc").sizes["trial"] == 10


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_nwb(refused, tmp_path, session, share):
    content = session.read_bytes()
    path = tmp_path / "truncated.nwb"
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated.nwb" in refused("convert", path, tmp_path / "out.nc", "--bin-width", "0.02")


def test_an_nwb_without_units(refused, tmp_path):
    with h5py.File(tmp_path / "empty.nwb", "w"):
        pass
    assert "empty.nwb" in refused(
        "convert", tmp_path / "empty.nwb", tmp_path / "out.nc", "--bin-width", "0.02"
    )


def test_an_alignment_column_that_does_not_exist_lists_those_that_do(refused, tmp_path, session):
    cut = ("--window", "-0.2", "0.8", "--bin-width", "0.02")
    message = refused("convert", session, tmp_path / "out.nc", "--align", "reward", *cut)
    assert "reward" in message
    assert "go_cue_time" in message


@pytest.mark.parametrize("window", [("100", "101"), ("-90", "-80")])
def test_a_window_outside_the_recording(refused, tmp_path, session, window):
    cut = ("--align", "go_cue_time", "--window", *window, "--bin-width", "0.02")
    assert "window" in refused("convert", session, tmp_path / "out.nc", *cut)


def test_a_window_the_wrong_way_round(refused, tmp_path, session):
    cut = ("--align", "go_cue_time", "--window", "0.8", "-0.2", "--bin-width", "0.02")
    assert "window" in refused("convert", session, tmp_path / "out.nc", *cut)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tiny.widht=3", "'tiny' has no key 'widht'; did you mean 'width'"),
        ("trainin.epochs=3", "did you mean 'training'"),
        ("training.epochs=none", "'training.epochs' is 'none'"),
        ("training=3", "is a section"),
        ("epochs", "write section.key=value"),
        ("objective.weights.kl_cod=1", "did you mean 'kl_code'"),
        ("training.select_on=held_out", "no neuron of these trials is held out"),
    ],
)
def test_an_unknown_or_wrong_setting(refused, tmp_path, setting, message):
    assert message in fit(refused, store(tmp_path, make_trials()), tmp_path, setting)


def test_an_unknown_model_recipe_and_system(refused, tmp_path):
    path = store(tmp_path, make_trials())
    assert "did you mean 'lfads'" in fit(refused, path, tmp_path, model="lfds")
    assert "no recipe 'dmo'" in refused("fit", "lfads", path, "--out", tmp_path / "run", "--recipe", "dmo")
    assert "did you mean 'lorenz'" in refused("simulate", "lorentz", tmp_path / "out.nc")
    assert "did you mean 'trials'" in refused("simulate", "lorenz", tmp_path / "out.nc", "--set", "trails=3")


@pytest.mark.parametrize("value", [-2.0, 0.5])
def test_counts_that_poisson_cannot_explain(refused, tmp_path, value):
    path = store(tmp_path, make_trials(entries={(3, 2, 1): value}))
    message = fit(refused, path, tmp_path)
    assert f"Trial 3, bin 2, neuron b holds {value:g}" in message
    assert "non-negative whole numbers" in message


def test_zeros_that_gamma_cannot_explain(refused, tmp_path):
    path = store(tmp_path, make_trials(entries={(3, 2, 1): 0.0}))
    message = fit(refused, path, tmp_path, "tiny.observation=gamma")
    assert "holds 0" in message
    assert "above zero" in message


def test_trials_that_are_all_nan(refused, tmp_path):
    path = store(tmp_path, make_trials(entries={...: np.nan}))
    assert "every count is NaN" in fit(refused, path, tmp_path)


def test_one_trial_only(refused, tmp_path):
    path = store(tmp_path, make_trials().isel(trial=[0]))
    assert "of 1 trials leave none in 'valid'" in fit(refused, path, tmp_path)
    np.save(tmp_path / "counts.npy", np.ones((1, 10, 4)))
    message = refused(
        "fit", "tiny", tmp_path / "counts.npy", "--out", tmp_path / "run", "--bin-width", "0.02"
    )
    assert "of 1 trials leave none in" in message


def test_other_neurons_than_in_training(refused, tmp_path, fitted):
    path = store(tmp_path, make_trials(neuron=["a", "b", "x", "d"]))
    message = refused("infer", fitted[0], path, "--out", tmp_path / "estimate.nc")
    assert "the first is 'x'" in message


def test_another_bin_width_than_in_training(refused, tmp_path, fitted):
    path = ut.save(ut.trials(np.ones((3, 5, 4)), bin_width=0.01, neuron=list("abcd")), tmp_path / "other.nc")
    assert "--bin-width 0.02" in refused("infer", fitted[0], path, "--out", tmp_path / "estimate.nc")


def test_a_run_whose_trials_have_moved(refused, tmp_path, fitted):
    shutil.copytree(fitted[0], tmp_path / "run")
    path = tmp_path / "run" / "provenance.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "trials": "/nowhere/trials.nc"}))
    assert "are not at '/nowhere/trials.nc' any more" in refused("evaluate", tmp_path / "run")
    other = store(tmp_path, make_trials(entries={(0, 0, 0): 30.0}))
    assert "are not those" in refused("report", tmp_path / "run", "--trials", other)


def test_a_run_with_damaged_weights(refused, tmp_path, fitted):
    shutil.copytree(fitted[0], tmp_path / "run")
    weights = tmp_path / "run" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    message = refused("infer", tmp_path / "run", fitted[1], "--out", tmp_path / "estimate.nc")
    assert "model.safetensors" in message


def test_a_folder_that_holds_another_run(refused, tmp_path, fitted):
    shutil.copytree(fitted[0], tmp_path / "run")
    assert "holds another run" in fit(refused, fitted[1], tmp_path)


def test_a_folder_that_does_not_exist_or_is_a_file(refused, tmp_path, fitted):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "nowhere" / "out.nc", tmp_path / "file" / "out.nc"):
        assert str(out.parent) in refused("simulate", "lorenz", out, "--set", "trials=8", "conditions=2")
        assert str(out.parent) in refused("infer", fitted[0], fitted[1], "--out", out)
    assert str(tmp_path / "file") in refused("fit", "tiny", fitted[1], "--out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written(refused, fitted):
    """/proc refuses new files to everyone, the superuser too."""
    assert "/proc" in refused("simulate", "lorenz", "/proc/out.nc", "--set", "trials=8", "conditions=2")
    assert "/proc" in refused("infer", *fitted, "--out", "/proc/estimate.nc")
    assert "/proc" in refused("fit", "tiny", fitted[1], "--out", "/proc/run")


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path.insert(0, sys.argv[2])
from tiny_model import Tiny
from undertow.models import MODELS
MODELS["tiny"] = Tiny
from undertow.cli import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main(sys.argv[3:])
"""


def with_little_space(limit, *arguments):
    """Run a command in a process whose files may not grow over `limit` bytes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    return subprocess.run(
        [
            sys.executable,
            "-c",
            LIMITED,
            str(limit),
            str(Path(__file__).parent / "training"),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "UNDERTOW_CACHE": "/proc/nowhere"},
    )


@pytest.mark.parametrize("command", ["simulate", "infer"])
def test_a_full_disk_leaves_nothing(tmp_path, fitted, command):
    arguments = {
        "simulate": ("simulate", "lorenz", tmp_path / "out.nc"),
        "infer": ("infer", *fitted, "--out", tmp_path / "out.nc"),
    }
    done = with_little_space(4000, *arguments[command])
    assert done.returncode == 1, done.stderr
    assert "out.nc" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [100, 1000])
def test_a_full_disk_in_training_leaves_no_halves(tmp_path, fitted, limit):
    arguments = (
        "fit",
        "tiny",
        fitted[1],
        "--out",
        tmp_path / "run",
        "--quiet",
        "--set",
        "training.epochs=40",
    )
    done = with_little_space(limit, *arguments)
    assert done.returncode == 1, done.stderr
    assert "undertow: " in done.stderr
    assert done.stderr.count("\n") == 1
    left = {path.name for path in (tmp_path / "run").rglob("*")}
    assert left <= {"provenance.json", "recipe.toml", "metrics.jsonl", "state"}


def test_a_short_run_whose_solver_gives_no_value_names_the_option_to_change(tmp_path):
    trials = ut.simulate.SYSTEMS["limit-cycle"](trials=20, bins=8, neurons=4)
    model = ut.Autoencoder(
        latents=2,
        encoder=4,
        vector_field=(4,),
        adaptive=True,
        tolerance=1e-7,
        max_solver_steps=1,
        time_step=5.0,
    )
    with pytest.raises(ut.UndertowError, match=r"no step was finite.*raise it or autoencoder\.tolerance"):
        ut.fit(model, trials, out=tmp_path / "run", training=ut.Training(epochs=1))


def begun(refused, tmp_path, run, *more):
    """What a fit says that begins with a run."""
    return refused(*more, "--from", run, "--out", tmp_path / "run")


@pytest.mark.parametrize("command", ["fit", "search"])
def test_a_run_of_another_model_to_begin_with(refused, tmp_path, fitted, command):
    message = begun(refused, tmp_path, fitted[0], command, "autoencoder", fitted[1])
    assert "is of the model 'tiny', not 'autoencoder'" in message


def test_what_is_no_run_to_begin_with(refused, tmp_path, fitted):
    assert "is a file and no run" in begun(refused, tmp_path, fitted[1], "fit", fitted[1])
    assert "holds no run; give the folder" in begun(refused, tmp_path, tmp_path, "fit", fitted[1])
    assert "name its folder with --from RUN" in refused(
        "search", "tiny", fitted[1], "--new-session", "--out", tmp_path / "run"
    )


def test_a_part_that_does_not_exist(refused, tmp_path, fitted):
    assert "no part 'readuot' to train" in begun(
        refused, tmp_path, fitted[0], "fit", fitted[1], "--train", "readuot"
    )


def test_the_folder_of_a_run_is_no_recording(refused, fitted):
    assert "is the folder of a run and no recording; undertow.open('" in refused("describe", fitted[0])


def test_stored_trials_are_not_cut_again(refused, tmp_path, fitted):
    message = refused("infer", *fitted, "--out", tmp_path / "estimate.nc", "--bin-width", "0.1")
    assert "in bins already, so 'bin_width' can't be applied" in message


@pytest.mark.parametrize("keep", [0, 5])
def test_more_neurons_than_there_are_or_none_to_keep(refused, tmp_path, fitted, keep):
    assert f"{keep} of 4 neurons can't be kept" in refused(
        "subsample", fitted[1], tmp_path / "sparse.nc", "--keep", keep
    )
