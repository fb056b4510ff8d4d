"""Runs and their folders: finished, interrupted, of another recipe or other trials, and opened again."""

import json

import numpy as np
import pytest
from tiny_model import Tiny, same_bits
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments.material import check_support, concealed, fingerprint, masking_of
from undertow.experiments.recipe import from_document, read
from undertow.experiments.run_folder import Session
from undertow.models.base import Range
from undertow.search.settings import Search
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Training
from undertow.vocabulary import UndertowError


def test_a_run_leaves_what_it_needs(fitted, recipe, trials):
    names = {path.name for path in fitted.folder.iterdir()}
    assert names == {
        "recipe.toml",
        "provenance.json",
        "metrics.jsonl",
        "model.safetensors",
        "config.json",
        "state",
    }
    assert from_document(read(fitted.folder / "recipe.toml")) == recipe
    provenance = json.loads((fitted.folder / "provenance.json").read_text())
    assert provenance["trials_fingerprint"] == fingerprint(trials)
    assert {"jax", "python", "device", "command", "started", "seed"} <= provenance.keys()
    assert fitted.outcome["epochs"] == 3
    assert fitted.outcome["updates"] == 6


def test_an_opened_run_is_the_fitted_one(fitted, trials):
    opened = ut.open(fitted.folder)
    assert same_bits(opened.model, fitted.model)
    assert (opened.recipe, opened.session, opened.outcome) == (fitted.recipe, fitted.session, fitted.outcome)
    assert opened.infer(trials, samples=2).identical(fitted.infer(trials, samples=2))


def test_true_inputs_are_none_that_a_model_is_told(trials):
    truth = np.ones((trials.sizes["trial"], trials.sizes["time"], 3), np.float32)
    told = trials.drop_vars("inputs", errors="ignore").assign(true_inputs=(("trial", "time", "input"), truth))
    assert Session.of(told).inputs == 0
    assert Session.of(told.assign(inputs=told.true_inputs)).inputs == 3


def test_a_finished_run_is_returned_at_once(fitted, recipe, trials):
    heard = []
    again = ut.fit(recipe, trials, out=fitted.folder, listen=heard.append)
    assert not heard
    assert same_bits(again.model, fitted.model)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path, monkeypatch, fitted, recipe, trials):
    monkeypatch.setattr("undertow.training.loop.CHECKPOINT_SECONDS", 0.0)

    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ut.fit(recipe, trials, out=tmp_path / "run", listen=stop)
    with pytest.raises(UndertowError, match="is not finished; repeat the command"):
        ut.open(tmp_path / "run")
    heard = []
    resumed = ut.fit(recipe, trials, out=tmp_path / "run", listen=heard.append)
    assert [progress.epoch for progress in heard] == [3]
    assert same_bits(resumed.model, fitted.model)


def test_another_recipe_in_the_same_folder_is_refused(fitted, trials):
    with pytest.raises(UndertowError, match=r"tiny\.width is 2 there and 3 here"):
        ut.fit(fitted.recipe._replace(model=Tiny(width=3)), trials, out=fitted.folder)
    with pytest.raises(UndertowError, match=r"training\.epochs is 3 there and 4 here"):
        ut.fit(fitted.recipe, trials, out=fitted.folder, training=Training(epochs=4, batch_size=5))
    with pytest.raises(UndertowError, match="seed is 0 there and 1 here"):
        ut.fit(fitted.recipe, trials, out=fitted.folder, seed=1)


def test_other_trials_in_the_same_folder_are_refused(fitted, recipe):
    with pytest.raises(UndertowError, match="its trials have the fingerprint"):
        ut.fit(recipe, make_trials(seed=1), out=fitted.folder)


def test_every_part_of_the_trials_changes_the_fingerprint(trials):
    counts, inputs = trials.counts.copy(), trials.inputs.copy()
    counts[0, 0, 0] += 1
    inputs[0, 0, 0] += 1
    others = [
        trials.assign(counts=counts),
        trials.assign(inputs=inputs),
        trials.assign_coords(split=("trial", np.roll(trials.split.values, 1))),
        trials.assign_coords(held_out=("neuron", [True, False, True, False])),
        trials.assign_coords(forward=("time", np.arange(8) == 7)),
    ]
    assert len({fingerprint(one) for one in [trials, *others]}) == 6
    assert fingerprint(trials.copy(deep=True)) == fingerprint(trials)
    assert fingerprint(trials.assign_coords(condition=("trial", np.zeros(15)))) == fingerprint(trials)


def test_the_trials_are_not_modified(recipe, trials, tmp_path):
    before = trials.copy(deep=True)
    ut.fit(recipe, trials, out=tmp_path / "run", training=Training(epochs=1, batch_size=5))
    assert trials.identical(before)


def with_count(value):
    trials = make_trials()
    trials.counts[2, 3, 1] = value
    return trials


@pytest.mark.parametrize(
    ("model", "value"),
    [(Tiny(), -1.0), (Tiny(), 0.5), (Tiny(observation="gamma"), 0.0)],
    ids=["negative", "not whole", "zero for gamma"],
)
def test_counts_that_cannot_be_explained_are_named(tmp_path, model, value):
    trials = with_count(value)
    if model.observation == "gamma":
        trials["counts"] = trials.counts + 1
        trials.counts[2, 3, 1] = 0
    with pytest.raises(
        UndertowError, match=rf"Trial 2, bin 3, neuron b holds {value:g}.*'{model.observation}'"
    ):
        ut.fit(model, trials, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_support_ignores_what_is_missing(trials):
    check_support("poisson", trials)
    assert np.isnan(trials.counts.values).any()


def with_regions(trials, regions=("PMd", "M1", "M1", "PMd"), column="location"):
    return trials.assign_coords({column: ("neuron", list(regions))})


def test_masks_know_each_neurons_region(trials):
    choices = {"masks": ("regions", "bins"), "mask_as": "unobserved", "longest_span": 3, "span_start": 7}
    masking = masking_of(CorruptionConfig(**choices), {"": with_regions(trials)})
    np.testing.assert_array_equal(masking.region, [1, 0, 0, 1])
    assert (masking.regions, masking.kinds, masking.token) == (2, ("regions", "bins"), "unobserved")
    assert (masking.longest_span, masking.span_start, masking.span_ramp) == (3, 7, 0)
    numbered = with_regions(trials, (4, 4, 9, 9), "probe")
    chosen = CorruptionConfig(masks=("within_region",), region="probe")
    np.testing.assert_array_equal(masking_of(chosen, {"": numbered}).region, [0, 0, 1, 1])


def test_masks_that_need_no_region_take_trials_without(trials):
    masking = masking_of(CorruptionConfig(masks=("bins", "neurons")), {"": trials})
    np.testing.assert_array_equal(masking.region, np.zeros(4))
    assert masking.regions == 1


def test_there_are_masks_where_the_recipe_or_its_search_asks_for_them(recipe, trials):
    assert concealed(recipe, {"": trials}).masking is None
    asks = recipe._replace(corruption=CorruptionConfig(mask_rate=0.2, masks=("entries",)))
    assert concealed(asks, {"": trials}).masking.kinds == ("entries",)
    moving = recipe._replace(search=Search(space={"corruption.mask_rate": Range(low=0.1, high=0.4)}))
    assert concealed(moving, {"": trials}).masking.kinds == ("bins",)


@pytest.mark.parametrize("kind", ["regions", "within_region"])
def test_masks_by_region_need_two_regions(tmp_path, recipe, kind):
    trials = make_trials()
    asks = {"mask_rate": 0.2, "masks": ("bins", kind)}
    faults = [
        (trials, {}, rf"'{kind}' need each neuron's region.*no unit column 'location'.*have .*held_out"),
        (with_regions(trials), {"region": "area"}, "no unit column 'area'.*have .*location"),
        (trials, {"region": "condition"}, "no unit column 'condition'"),
        (with_regions(trials, ["M1"] * 4), {}, f"'{kind}' hide one region at a time, but all .* in 'M1'"),
    ]
    for given, keys, message in faults:
        with pytest.raises(UndertowError, match=message) as raised:
            ut.fit(recipe, given, out=tmp_path / "run", corruption=CorruptionConfig(**asks, **keys))
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_run_with_masks_selects_on_what_they_hide(tmp_path, recipe, trials):
    corruption = CorruptionConfig(coordinated_dropout=0.0, mask_rate=0.3, masks=("within_region", "bins"))
    training = Training(epochs=2, batch_size=5, select_on="held_in", validation_masks=2)
    fitted = ut.fit(
        recipe, with_regions(trials), out=tmp_path / "run", corruption=corruption, training=training
    )
    assert "masks hid them" in fitted.outcome["selected_on"]
    assert from_document(read(fitted.folder / "recipe.toml")).corruption == corruption


@pytest.mark.parametrize("keys", [{"select_on": "sample_validation"}, {"select_on": "held_out"}])
def test_contradictions_leave_no_folder(tmp_path, recipe, keys):
    trials = make_trials().assign_coords(held_out=("neuron", np.zeros(4, bool)))
    with pytest.raises(UndertowError, match="selects on"):
        ut.fit(recipe, trials, out=tmp_path / "run", training=Training(**keys))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["one trial", "all NaN", "empty validation"])
def test_trials_that_cannot_be_learned_from_leave_no_folder(tmp_path, recipe, fault):
    trials = make_trials()
    if fault == "one trial":
        trials, message = trials.isel(trial=[0]), "none has the split 'valid'"
    elif fault == "all NaN":
        trials, message = trials.assign(counts=trials.counts * np.nan), "are empty"
    else:
        trials["counts"] = trials.counts.where(trials.split == "train")
        message = "trials of the split 'valid' are empty"
    with pytest.raises(UndertowError, match=message):
        ut.fit(recipe, trials, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_no_run(tmp_path):
    with pytest.raises(UndertowError, match="does not exist; check the path"):
        ut.open(tmp_path / "nowhere")
    with pytest.raises(UndertowError, match="holds no run"):
        ut.open(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"session": {"nme": 1}}', "[]"])
def test_a_damaged_run_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UndertowError, match=r"config\.json' can't be read"):
        ut.open(tmp_path)


def test_an_output_that_is_a_file_is_said(tmp_path, recipe, trials):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(UndertowError, match=r"/run"):
        ut.fit(recipe, trials, out=tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"
