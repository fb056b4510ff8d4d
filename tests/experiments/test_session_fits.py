"""Several sessions in one run, a session that joins later, fits that go on from others, and parts that rest."""

import json

import numpy as np
import pytest
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments import pipeline
from undertow.experiments.material import material
from undertow.experiments.progress import Listener
from undertow.training.opening import named_leaves
from undertow.vocabulary import UndertowError

QUIET = Listener(is_quiet=True)


def session(name, neurons, **how):
    """Trials of so many neurons, named a, b, c, ..., the third held out."""
    trials = make_trials(neuron=tuple("abcdefg"[:neurons]), **how)
    return trials.drop_vars("inputs").assign_attrs(session=name)


@pytest.fixture(scope="module")
def several():
    return {"monday": session("monday", 4), "tuesday": session("tuesday", 6, trials=9, bins=6, seed=1)}


@pytest.fixture(scope="module")
def choices():
    model = ut.Autoencoder(latents=2, encoder=3, dynamics="gru", read_in=3)
    sections = {
        "training": ut.Training(epochs=3, batch_size=6),
        "objective": ut.Objective(kl_ramp=0, penalty_ramp=0),
        "start": ut.Start(read_in="chance"),
    }
    return ut.Recipe(model, **sections)


@pytest.fixture(scope="module")
def fitted(several, choices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "both"
    pipeline.run(choices, several, folder, source=None, listener=QUIET)
    return ut.open(folder)


def changed(before, after):
    """The leaves of two models that differ."""
    first, second = named_leaves(before), named_leaves(after)
    return {
        name
        for name, leaf in first.items()
        if leaf.shape != second[name].shape or (leaf != second[name]).any()
    }


def test_sessions_share_a_model_and_keep_their_neurons(fitted, several):
    assert fitted.names == ["monday", "tuesday"]
    assert fitted.model.readout.bias.shape == (10, 1)
    tuesday = fitted.at("tuesday")
    assert tuesday.session.neurons == list("abcdef")
    np.testing.assert_array_equal(tuesday.model.readout.bias, fitted.model.readout.bias[4:])
    with pytest.raises(UndertowError, match=r"holds no session 'wednesday'.*did you mean"):
        fitted.at("wednesday")


def test_estimates_of_sessions_are_those_of_each(fitted, several, tmp_path):
    both = fitted.infer(several, samples=1)
    assert {name: each.rates.shape for name, each in both.items()} == {
        name: each.counts.shape for name, each in several.items()
    }
    alone = fitted.infer(several["tuesday"], samples=1)
    assert alone.identical(both["tuesday"])
    stored = fitted.infer(several, samples=1, out=tmp_path / "both.nc")
    np.testing.assert_array_equal(stored["monday"].rates, both["monday"].rates)


def test_scores_and_pages_of_each_session(fitted):
    scores = json.loads((fitted.folder / "scores.json").read_text())
    each = [scores["sessions"][name]["splits"]["valid"]["model"]["bits_per_spike"] for name in fitted.names]
    assert scores["splits"]["valid"]["model"]["bits_per_spike"] == pytest.approx(np.mean(each))
    page = (fitted.folder / "report.html").read_text()
    assert 'href="reports/monday.html"' in page
    assert (fitted.folder / "reports" / "tuesday.html").stat().st_size > 10_000
    again = pipeline.write_report(fitted.folder, quiet=True)
    assert again["splits"]["valid"]["model"] == pytest.approx(scores["splits"]["valid"]["model"])


def test_a_finished_run_of_sessions_is_returned_and_others_refused(fitted, several, choices):
    again = ut.fit(choices, several, out=fitted.folder, quiet=True)
    assert not changed(again.model, fitted.model)
    with pytest.raises(UndertowError, match="its trials have the fingerprint"):
        ut.fit(choices, {"monday": several["monday"]}, out=fitted.folder, quiet=True)


def test_a_session_joins_with_a_read_in_and_a_read_out_of_its_own(fitted, tmp_path):
    wednesday = session("wednesday", 5, seed=2)
    joined = ut.adapt(fitted.folder, wednesday, out=tmp_path / "joined", new_session=True, quiet=True)
    assert joined.session.neurons == list("abcde")
    shared = {"start.encoder.forward.bias", "generator.gates_kernel", "start.to_posterior.kernel"}
    moved = changed(fitted.at("monday").model, joined.model)
    assert not shared & moved
    assert moved == {"read_in.kernel", "read_in.centre", "read_in.bias", "readout.kernel", "readout.bias"}
    assert ut.open(tmp_path / "joined").recipe.start.new_session


def test_a_fit_goes_on_and_only_named_parts_move(fitted, several, tmp_path):
    sparse = ut.subsample(several["monday"], keep=2, seed=0)
    adapted = ut.adapt(fitted.folder, sparse, out=tmp_path / "sparse", train=["readout"], quiet=True)
    moved = changed(fitted.at("monday").model, adapted.model)
    assert moved == {"readout.kernel", "readout.bias"}
    everything = ut.adapt(fitted.folder, several, out=tmp_path / "all", quiet=True)
    assert "generator.gates_kernel" in changed(fitted.model, everything.model)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"train": ["dynamics"]}, r"'autoencoder' has no part 'dynamics' to train; .*'generator'"),
        (
            {"new_session": True, "session": {"bin_width": 0.01}},
            r"has bins of 0\.01 s, the run in .* of 0\.02 s",
        ),
        ({"session": {"neuron": "xyz"}}, r"1 of 3 neurons that the model was not fitted to"),
    ],
    ids=["part", "bins", "neurons"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(fitted, several, tmp_path, given, words):
    change = given.pop("session", {})
    trials = several["monday"]
    if "bin_width" in change:
        trials = ut.trials(trials.counts.values, bin_width=0.01, split=trials.split.values, session="other")
    if "neuron" in change:
        trials = session("monday", 3).assign_coords(neuron=["a", "b", "z"])
    with pytest.raises(UndertowError, match=words):
        ut.adapt(fitted.folder, trials, out=tmp_path / "refused", quiet=True, **given)
    assert not (tmp_path / "refused").exists()


def test_other_refusals(fitted, several, choices, tmp_path):
    single = ut.fit(
        choices._replace(model=choices.model.model_copy(update={"read_in": 0})),
        several["monday"],
        out=tmp_path / "single",
        quiet=True,
    )
    with pytest.raises(UndertowError, match=r"has no read-in, so its encoder is bound to its own neurons"):
        ut.adapt(single.folder, several["tuesday"], out=tmp_path / "no", new_session=True)
    with pytest.raises(UndertowError, match=r"was fitted to one session, but these are 2"):
        ut.adapt(single.folder, several, out=tmp_path / "no")
    with pytest.raises(UndertowError, match=r"A new session needs a fitted run to join"):
        ut.Start(new_session=True)
    with pytest.raises(UndertowError, match=r"'smoothing' is fitted to one recording at once"):
        ut.fit(ut.Smoothing(), several, out=tmp_path / "no")
    with pytest.raises(UndertowError, match=r"of the model 'autoencoder', not 'lfads'"):
        ut.fit(ut.LFADS(), several, out=tmp_path / "no", start=ut.Start(run=str(fitted.folder)))
    assert not (tmp_path / "no").exists()


def test_read_ins_begin_from_condition_averages_and_later_sessions_are_aligned(several, choices, tmp_path):
    chosen = choices._replace(
        model=choices.model.model_copy(update={"read_in": 2}), start=ut.Start(read_in="conditions")
    )
    given = material(chosen, several)
    known = given.opening["read_in.kernel"]
    assert known.values.shape == (10, 2)
    held_out = np.concatenate([trials.held_out.values for trials in several.values()])
    assert not known.values[held_out].any() and known.values[~held_out].any(axis=1).all()
    assert given.opening["readout.kernel"].is_known.all()  # two latents: a read-out, too
    assert "common conditions" in given.beginning.notes[0]
    fitted = ut.fit(chosen, several, out=tmp_path / "both", quiet=True)
    assert (fitted.folder / "alignment.nc").exists()
    start = ut.Start(run=str(fitted.folder), new_session=True)
    joins = material(fitted.recipe._replace(start=start), {"wednesday": session("wednesday", 5, seed=2)})
    assert joins.opening["read_in.kernel"].values.shape == (5, 2)
    assert "readout.kernel" not in joins.opening  # factors have moved since


def test_without_common_conditions_read_ins_begin_from_chance_or_are_refused(several, choices):
    other = several["tuesday"].assign_coords(condition=("trial", np.full(9, 7)))
    apart = {"monday": several["monday"], "tuesday": other}
    given = material(choices._replace(start=ut.Start()), apart)
    assert given.opening is None
    assert "begin from chance" in given.beginning.notes[0]
    with pytest.raises(UndertowError, match="condition"):
        material(choices._replace(start=ut.Start(read_in="conditions")), apart)


def test_sessions_are_searched_like_one(several, recipe, tmp_path):
    search = ut.Search(members=2, generations=1, epochs=2, at_once=1, cool_down=0)
    found = ut.search(recipe, several, out=tmp_path / "search", search=search, quiet=True)
    assert found.names == ["monday", "tuesday"]
    assert found.outcome["search"]["members"] == 2
    assert found.model.bias.shape == (10, 1)
    assert np.isfinite(found.infer(several["tuesday"], samples=1).rates).any()


def test_trials_that_lack_neurons_of_the_run_go_on_from_it_to_the_end(fitted, several, choices, tmp_path):
    """The others count as not observed: they have rates, and no score."""
    fewer = several["monday"].isel(neuron=[3, 0])
    recipe = fitted.recipe._replace(start=ut.Start(run=str(fitted.folder)))
    scores = pipeline.run(recipe, fewer, tmp_path / "fewer", source=None, listener=QUIET)
    assert (tmp_path / "fewer" / "report.html").exists()
    assert np.isfinite(scores["splits"]["valid"]["model"]["bits_per_spike"])
    estimate = ut.open_estimate(tmp_path / "fewer" / "estimate.nc")
    assert estimate.sizes["neuron"] == several["monday"].sizes["neuron"]
    assert np.isfinite(estimate.rates).any(("trial", "time")).all()


def test_a_session_that_the_run_does_not_hold_is_told_how_to_join(fitted, several, choices):
    recipe = fitted.recipe._replace(start=ut.Start(run=str(fitted.folder)))
    with pytest.raises(
        UndertowError, match="monday, tuesday, but these trials are of 'friday'; add --new-session"
    ):
        material(recipe, several["monday"].assign_attrs(session="friday"))


def test_a_run_of_one_session_is_not_scored_on_several(several, choices, tmp_path):
    one = ut.fit(choices, several["monday"], out=tmp_path / "one", quiet=True)
    with pytest.raises(UndertowError, match=r"These are 2 sessions \(monday, tuesday\)"):
        pipeline.evaluate(one, several, listener=QUIET)
