"""Searches as runs: folders, plans, ensembles, interruptions, and that test trials take no part."""

import json

import numpy as np
import pytest
from tiny_model import Tiny, same_bits
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments import searching
from undertow.experiments.recipe import from_document, read
from undertow.experiments.space_settings import with_space
from undertow.models.base import Range
from undertow.models.lfads import LFADS
from undertow.search.settings import Search
from undertow.training import journal
from undertow.training.opening import named_leaves
from undertow.vocabulary import UndertowError

SMALL = Search(members=5, epochs=2, generations=3, cool_down=2, at_once=1)


@pytest.fixture(scope="module")
def searched(trials, recipe, tmp_path_factory):
    return ut.search(
        recipe._replace(search=SMALL), trials, out=tmp_path_factory.mktemp("runs") / "auto", quiet=True
    )


def test_a_search_leaves_what_a_run_leaves_and_its_generations(searched, trials):
    names = {path.name for path in searched.folder.iterdir()}
    assert {"recipe.toml", "metrics.jsonl", "generations.jsonl", "model.safetensors", "config.json"} <= names
    assert searched.infer(trials, samples=2).rates.shape == trials.counts.shape
    facts = searched.outcome["search"]
    assert facts["selected"]["values"].keys() == Tiny.space.keys()
    lines = journal.read(searched.folder / "generations.jsonl")
    assert [line["generation"] for line in lines] == [0, 1, 2, 3]
    assert len(journal.read(searched.folder / "metrics.jsonl")) == 5 * searched.outcome["epochs"]


def test_the_runs_recipe_repeats_it(searched, trials, tmp_path):
    again = ut.search(
        from_document(read(searched.folder / "recipe.toml")), trials, out=tmp_path / "again", quiet=True
    )
    assert same_bits(again.model, searched.model)
    assert again.outcome["search"]["selected"] == searched.outcome["search"]["selected"]


def test_an_opened_search_is_the_searched_one(searched, trials):
    opened = ut.open(searched.folder)
    assert same_bits(opened.model, searched.model)
    assert opened.recipe == searched.recipe
    assert opened.outcome == searched.outcome


def test_the_selected_numbers_are_the_recipes(searched):
    values = searched.outcome["search"]["selected"]["values"]
    assert searched.recipe.optimiser.learning_rate == pytest.approx(values["optimiser.learning_rate"])
    assert searched.recipe.model.noise == pytest.approx(values["tiny.noise"])
    assert searched.recipe.objective.weights["kl_code"] == pytest.approx(values["objective.weights.kl_code"])


def test_what_was_selected_is_the_lowest_score_of_the_journal(searched):
    lines = journal.read(searched.folder / "metrics.jsonl")
    ramps_end = searched.recipe.objective.ramps_end
    lowest = min(line["selection_smoothed"] for line in lines if line["epoch"] >= ramps_end)
    assert searched.outcome["search"]["selected"]["score"] == pytest.approx(lowest)


def test_the_history_is_the_winners_own(searched):
    lines = searching.history(searched)
    epochs = [line["epoch"] for line in lines]
    assert epochs == sorted(set(epochs))
    assert epochs[0] == 0
    best = searched.outcome["selected_epoch"]
    chosen = next(line for line in lines if line["epoch"] == best)
    assert chosen["selection_smoothed"] == pytest.approx(searched.outcome["search"]["selected"]["score"])


def test_an_interrupted_search_goes_on_to_the_same_bits(searched, trials, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("undertow.search.records.CHECKPOINT_SECONDS", 0.0)
    stopped_at = iter((2, 5, 6))
    for stop_at in stopped_at:

        def stop(progress, stop_at=stop_at):
            if progress.epoch == stop_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ut.search(recipe._replace(search=SMALL), trials, out=tmp_path / "run", quiet=True, listen=stop)
    done = ut.search(recipe._replace(search=SMALL), trials, out=tmp_path / "run", quiet=True)
    assert same_bits(done.model, searched.model)
    for name in ("metrics.jsonl", "generations.jsonl"):
        assert _without_seconds(done.folder / name) == _without_seconds(searched.folder / name)


def _without_seconds(path):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in journal.read(path)]


def test_test_trials_take_no_part(recipe, tmp_path):
    """Whatever test trials hold, the search comes to the same weights, scores and numbers."""
    outcomes = []
    for change in (0.0, 7.0):
        trials = make_trials()
        names = trials.split.values.astype(object)
        names[:3] = "test"
        trials = trials.assign_coords(split=("trial", names.astype(str)))
        trials.counts[:3] = trials.counts[:3] + change
        out = tmp_path / f"run-{change:g}"
        outcomes.append(ut.search(recipe._replace(search=SMALL), trials, out=out, quiet=True))
    assert same_bits(outcomes[0].model, outcomes[1].model)
    assert outcomes[0].outcome["search"]["selected"] == outcomes[1].outcome["search"]["selected"]


def test_an_ensemble_averages_the_rates_of_the_best(trials, recipe, tmp_path):
    search = SMALL.model_copy(update={"ensemble": 3, "algorithm": "random"})
    fitted = ut.search(recipe._replace(search=search), trials, out=tmp_path / "three", quiet=True)
    opened = ut.open(fitted.folder)
    assert len(opened.others) == 2
    estimate = opened.infer(trials, samples=4)
    singles = [
        ut.open(fitted.folder)
        .__class__(fitted.folder, own, model, fitted.session, fitted.outcome)
        .infer(trials, samples=4)
        for own, model in ((fitted.recipe, fitted.model), *fitted.others)
    ]
    mean = np.mean([single.rates.values for single in singles], axis=0)
    np.testing.assert_allclose(estimate.rates.values, mean, rtol=1e-5)
    np.testing.assert_array_equal(estimate.factors.values, singles[0].factors.values)
    between = np.var([single.rates.values for single in singles], axis=0)
    within = np.mean([single.rates_sd.values**2 for single in singles], axis=0)
    np.testing.assert_allclose(estimate.rates_sd.values, np.sqrt(between + within), rtol=1e-3, atol=1e-4)
    assert estimate.attrs["models"] == 3


def test_too_large_an_ensemble_is_refused(trials, recipe, tmp_path):
    search = SMALL.model_copy(update={"ensemble": 9, "algorithm": "random", "members": 2})
    with pytest.raises(UndertowError, match="9 models, but the population only 2 members"):
        ut.search(recipe._replace(search=search), trials, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_single_search_is_a_fit(fitted, trials, recipe, tmp_path):
    search = Search(algorithm="single", members=1, epochs=2)
    single = ut.search(recipe._replace(search=search), trials, out=tmp_path / "single", quiet=True)
    assert same_bits(single.model, fitted.model)


def test_a_number_that_is_given_stays(trials, recipe, tmp_path):
    given = recipe._replace(model=Tiny(noise=0.3), search=SMALL)
    fitted = ut.search(given, trials, out=tmp_path / "run", quiet=True)
    assert fitted.recipe.model.noise == 0.3
    assert "tiny.noise" not in fitted.recipe.search.space


def test_the_plan_says_what_moves_on_what_it_selects_and_how_long(trials, recipe, tmp_path, capsys):
    ut.search(recipe._replace(search=SMALL), trials, out=tmp_path / "run")
    said = capsys.readouterr().err
    for words in (
        "Population-based training of 5 members",
        "up to 3 generations of 2 epochs",
        "tiny.noise in 0 to 0.5",
    ):
        assert words in said
    assert "Selecting on the likelihood of the held-out neurons" in said
    assert "at most about" in said
    assert "broken" not in said


def test_plain_validation_warns(recipe, tmp_path, capsys):
    trials = make_trials().assign_coords(held_out=("neuron", np.zeros(4, bool)))
    plain = recipe._replace(
        search=SMALL, training=recipe.training.model_copy(update={"validation_dropout": 0.0})
    )
    fitted = ut.search(plain, trials, out=tmp_path / "plain")
    assert "rewards copying spikes" in capsys.readouterr().err
    assert fitted.outcome["search"]["warning"]
    ut.search(recipe._replace(search=SMALL), trials, out=tmp_path / "hidden")
    assert "rewards copying" not in capsys.readouterr().err


def test_another_search_in_the_folder_is_refused(searched, trials, recipe):
    other = recipe._replace(search=SMALL.model_copy(update={"members": 6}))
    with pytest.raises(UndertowError, match=r"holds another run \(search.members"):
        ut.search(other, trials, out=searched.folder, quiet=True)


def test_searches_can_be_asked_for_by_the_rooms_own_name(trials, recipe, tmp_path):
    import undertow.search.loop  # noqa: F401 - now the room is an attribute of the package

    fitted = ut.search(recipe._replace(search=SMALL), trials, out=tmp_path / "run", quiet=True)
    assert fitted.outcome["search"]["members"] == 5


@pytest.mark.parametrize(
    ("setting", "space"),
    [
        (
            "optimiser.learning_rate=1e-4:1e-2:log",
            {"low": 1e-4, "high": 1e-2, "prior": "log_uniform", "step": 0.3},
        ),
        ("lfads.dropout_rate=0:0.4", {"low": 0.0, "high": 0.4, "prior": "uniform", "step": 0.3}),
        ("optimiser.weight_decay=0:0.1", {"low": 0.0, "high": 0.1, "prior": "uniform"}),
        ("lfads.factors=8,16", [8, 16]),
        ("lfads.input_prior=gaussian,none", ["gaussian", "none"]),
        ("lfads.causal=true,false", [True, False]),
    ],
)
def test_a_space_on_the_command_line(setting, space):
    key = setting.partition("=")[0]
    section = with_space({}, [setting], LFADS)
    assert section["space"] == {key: space}
    where = Search(**section).space[key]
    assert isinstance(where, Range) == isinstance(space, dict)


def test_a_key_can_be_held_on_the_command_line():
    section = with_space({"space": {"lfads.dropout_rate": [0.1]}}, ["lfads.dropout_rate=fixed"], LFADS)
    assert section == {"space": {}, "hold": ["lfads.dropout_rate"]}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("lfads.dropout_rate", "is not understood; write KEY=LOW:HIGH"),
        ("lfads.dropout_rate=a:b", "holds no two numbers"),
        ("lfads.dropout_rate=0:1:cubic", "ends on 'cubic'"),
    ],
)
def test_a_space_that_is_no_space(setting, words):
    with pytest.raises(UndertowError, match=words):
        with_space({}, [setting], LFADS)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"tiny.width": Range(low=2, high=4)}, "gives a range for 'tiny.width'"),
        ({"tiny.widht": (2, 3)}, "has no key 'widht'; did you mean 'width'"),
        ({"tiny.width": ()}, "empty list"),
        ({"training.epochs": (2, 3)}, "all members train equally long"),
    ],
)
def test_a_space_that_cannot_be_searched(trials, recipe, tmp_path, space, words):
    search = SMALL.model_copy(update={"space": space})
    with pytest.raises(UndertowError, match=words):
        ut.search(recipe._replace(search=search), trials, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_speed_is_measured_once(searched, trials, recipe, tmp_path):
    stored = json.loads((searched.folder / "state" / "speed.json").read_text())
    assert stored["at_once"] in (1, 5)
    assert stored["update"] > 0
    measured = SMALL.model_copy(update={"at_once": "auto"})
    fitted = ut.search(recipe._replace(search=measured), trials, out=tmp_path / "run", quiet=True)
    stored = json.loads((fitted.folder / "state" / "speed.json").read_text())
    assert fitted.recipe.search.at_once == stored["at_once"]
    again = ut.search(recipe._replace(search=measured), trials, out=tmp_path / "run", quiet=True)
    assert same_bits(again.model, fitted.model)


def test_every_member_begins_with_a_runs_weights(fitted, trials, recipe, tmp_path):
    still = recipe._replace(
        start=ut.Start(run=str(fitted.folder)), optimiser=ut.Optimiser(learning_rate=1e-9, weight_decay=0.0)
    )
    few = still._replace(search=Search(members=3, epochs=1, generations=1, cool_down=0, at_once=1))
    found = ut.search(few, trials, out=tmp_path / "on", quiet=True)
    leaves, began = named_leaves(found.model), named_leaves(fitted.model)
    assert all(np.allclose(leaf, began[name], atol=1e-4) for name, leaf in leaves.items())


def test_members_of_another_shape_than_the_runs_are_refused_before_anything_is_written(
    fitted, trials, recipe, tmp_path
):
    space = {"tiny.width": (2, 3)}
    asked = recipe._replace(
        start=ut.Start(run=str(fitted.folder)), search=SMALL.model_copy(update={"space": space})
    )
    with pytest.raises(UndertowError, match="don't fit this model"):
        ut.search(asked, trials, out=tmp_path / "other", quiet=True)
    assert not (tmp_path / "other").exists()
