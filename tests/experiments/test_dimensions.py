"""How many latents: one fit a size, going on, the scores it compares, what is refused, and the page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_model import Tiny

import undertow as ut
from undertow.cli import main
from undertow.evaluation import scores
from undertow.evaluation.trial_scores import TrialScores
from undertow.experiments.dimension_record import table
from undertow.experiments.dimension_scores import SizeFit, curve_of, measure
from undertow.models import MODELS


class Sized(Tiny):
    size = "width"


@pytest.fixture(scope="module", autouse=True)
def _sized_in_the_table():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", Sized)
        yield


@pytest.fixture(scope="module")
def small(recipe):
    """The tiny model, whose size is the width of its code."""
    return recipe._replace(model=Sized(), inference=ut.Inference(samples=2))


@pytest.fixture(scope="module")
def found(small, trials, tmp_path_factory):
    """Two sizes with two seeds."""
    out = tmp_path_factory.mktemp("dimensions") / "dims"
    return ut.latent_dimensions(trials, [3, 1], model=small, out=out, seeds=(0, 1), quiet=True)


def test_each_fit_is_a_run_of_its_size_and_seed(found):
    names = ["size-01", "size-01-seed-1", "size-03", "size-03-seed-1"]
    assert [one["folder"] for row in found.told["sizes"] for one in row["fits"]] == names
    runs = [ut.open(found.folder / name) for name in names]
    assert [(run.recipe.model.width, run.recipe.seed) for run in runs] == [(1, 0), (1, 1), (3, 0), (3, 1)]
    assert json.loads((found.folder / "dimensions.json").read_text()) == json.loads(json.dumps(found.told))
    assert not [path for path in found.folder.rglob(".*")]


def test_the_score_is_co_smoothing_of_validation_trials(found, trials):
    told = found.told["sizes"][1]["fits"][0]
    run = ut.open(found.folder / told["folder"])
    both = trials.isel(trial=np.flatnonzero(np.isin(trials.split.values, ["train", "valid"])))
    assert found.told["score"] == "co_smoothing"
    expected = scores.evaluate(run.infer(both), both)["valid"]["model"]["co_smoothing"]
    assert told["score"] == pytest.approx(expected, rel=1e-6)


def test_the_same_call_goes_on_and_fits_only_what_is_missing(found, small, trials, tmp_path):
    folder = Path(shutil.copytree(found.folder, tmp_path / "dims"))
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    shutil.rmtree(folder / "size-03")
    again = ut.latent_dimensions(trials, [1, 3], model=small, out=folder, quiet=True)
    kept = [path for path in files if path.parent.name != "size-03"]
    assert [path.stat().st_mtime_ns for path in kept] == [files[path] for path in kept]
    before, after = (each.told["sizes"][1]["fits"][0] for each in (found, again))
    assert {**before, "seconds": 0} == {**after, "seconds": 0}


@pytest.fixture(scope="module")
def run(found):
    return ut.open(found.folder / "size-03")


def test_test_trials_take_no_part(run, trials):
    is_last = np.arange(trials.sizes["trial"]) >= trials.sizes["trial"] - 2
    kept = trials.assign_coords(split=("trial", np.where(is_last, "test", trials.split.values)))
    others = kept.assign(counts=kept.counts.where(~is_last[:, None, None], 50.0))
    first, second = (measure(run, each, 3, "width") for each in (kept, others))
    np.testing.assert_array_equal(first.trial_scores, second.trial_scores)
    assert first.consistency == second.consistency


def test_without_held_out_neurons_hidden_entries_are_scored(run, trials):
    """What is scored was not seen: the gain in bits is linear in hidden counts, as it is where they change no rate."""
    free = trials.assign_coords(held_out=("neuron", np.zeros(4, bool)))
    is_valid = (free.split == "valid").values
    rate = run.recipe.corruption.coordinated_dropout
    is_hidden = np.zeros(free.counts.shape, bool)
    is_hidden[is_valid] = np.random.default_rng(0).random((is_valid.sum(), 8, 4)) < rate
    times = [free.assign(counts=free.counts.where(~is_hidden, factor * free.counts)) for factor in (1, 2, 3)]
    first, second, third = (measure(run, each, 3, "width").trial_scores for each in times)
    spikes = np.nansum(np.where(is_hidden, free.counts.values, 0), axis=(1, 2))[is_valid]
    np.testing.assert_allclose(first.weights, spikes)
    np.testing.assert_allclose(third.gains - second.gains, second.gains - first.gains, atol=1e-3)
    assert np.abs(second.gains - first.gains).max() > 0.1


def test_a_known_truth_is_scored_and_shown(run, found, trials):
    rng = np.random.default_rng(0)
    known = trials.assign(
        true_rates=(trials.counts.dims, rng.gamma(5, 20, trials.counts.shape)),
        true_latents=(("trial", "time", "latent"), rng.normal(size=(15, 8, 3))),
    )
    one = measure(run, known, 3, "width")
    expected = scores.evaluate(run.infer(known), known)["valid"]["model"]
    assert one.trial_scores.score == pytest.approx(expected["rate_r2"], rel=1e-6)
    assert one.latent_r2 == pytest.approx(expected["latent_r2_true_to_inferred"], rel=1e-6)
    assert "latent_r2" not in table(found.told)
    assert "latent_r2" in table(
        {**found.told, "sizes": [{**row, "latent_r2": 0.5} for row in found.told["sizes"]]}
    )


def test_errors_grow_by_what_seeds_differ():
    def fits(size, values):
        parts = [TrialScores(np.full(6, value), np.ones(6)) for value in values]
        return [SizeFit(size, seed, None, part, 1.0, None) for seed, part in enumerate(parts)]

    found = curve_of([fits(2, [0.4, 0.6]), fits(4, [0.9, 0.7])])
    np.testing.assert_allclose(found.scores, [0.5, 0.8])
    np.testing.assert_allclose(found.errors, [[0, 0.2], [0.2, 0]], atol=1e-12)


def refused(**changes):
    """What a call says that must fail."""
    with pytest.raises(ut.UndertowError) as caught:
        ut.latent_dimensions(**changes)
    return str(caught.value)


def test_what_is_refused(found, small, trials, tmp_path):
    asked = {"trials": trials, "sizes": [1, 3], "model": small, "out": tmp_path / "dims", "quiet": True}
    assert "take 'lfads' or 'tiny'" in refused(**{**asked, "model": "ndt"}).replace(" or 'autoencoder'", "")
    assert "[2] is all there is" in refused(**{**asked, "sizes": [2, 2]})
    assert "'tiny.width' is 0" in refused(**{**asked, "sizes": [0, 2]})
    assert "seed -1" in refused(**{**asked, "seeds": [-1]})
    assert "0 are for validation" in refused(**{**asked, "trials": trials.sel(trial=trials.split == "train")})
    wrong = trials.assign(counts=trials.counts + 0.5)
    assert "whole numbers" in refused(**{**asked, "trials": wrong})
    assert not (tmp_path / "dims").exists()
    other = small._replace(training=ut.Training(epochs=4, batch_size=5))
    assert "holds another run (training.epochs is 3 there and 4 here)" in refused(
        **{**asked, "model": other, "out": found.folder}
    )
    assert "holds another run (its trials" in refused(
        **{**asked, "trials": trials.isel(trial=slice(1, None)), "out": found.folder}
    )


def test_the_command_prints_a_table_and_goes_on(small, trials, tmp_path, capsys):
    ut.save(trials, tmp_path / "trials.nc")
    settings = ["training.epochs=3", "training.batch_size=5", "inference.samples=2"]
    settings += ["objective.kl_ramp=1", "objective.penalty_ramp=1"]
    command = ["dimensions", str(tmp_path / "trials.nc"), "--model", "tiny", "--sizes", "1", "3", "--quiet"]
    command += ["--out", str(tmp_path / "dims"), "--set", *settings]
    main(command)
    first = capsys.readouterr()
    assert "constant rates" in first.out
    assert "dimensions.html" in first.out
    assert first.err == ""
    main(command)
    assert capsys.readouterr().out == first.out
    with pytest.raises(SystemExit):
        main([*command, "tiny.width=4"])
    assert "Both --sizes and --set give 'tiny.width'" in capsys.readouterr().err
    assert json.loads((tmp_path / "dims/size-03/provenance.json").read_text())["trials"] == str(
        tmp_path / "trials.nc"
    )
