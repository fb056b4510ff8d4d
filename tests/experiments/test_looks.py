"""The guard over the test split: every scoring is written down, and what trains or selects cannot be told of test trials."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments import looks, scoring
from undertow.experiments.looks import NAME, Before


@pytest.fixture(scope="module")
def with_test_trials():
    """The tiny trials, every fifth a test trial."""
    split = ["test" if place % 5 == 4 else "valid" if place % 3 == 2 else "train" for place in range(15)]
    return make_trials().assign_coords(split=("trial", split))


@pytest.fixture
def run(with_test_trials, recipe, tmp_path):
    """A run fitted to them."""
    return ut.fit(recipe, with_test_trials, out=tmp_path / "run", quiet=True)


def scored(run, trials):
    """scores.json of the run on these trials."""
    return scoring.score(run, run.infer(trials), trials, None)


def lines(path):
    """The journal."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_look_is_written_down_before_it_is_shown(run, with_test_trials):
    scores = scored(run, with_test_trials)
    (line,) = lines(run.folder / NAME)
    assert line["look"] == 1
    assert line["weights"] == looks.fingerprint_of_files(run.folder)
    assert line["scores"] == pytest.approx(scores["splits"]["test"]["model"])
    assert scores["test_look"].startswith("First look")


def test_every_further_look_is_counted(run, with_test_trials):
    for _ in range(3):
        told = scored(run, with_test_trials)["test_look"]
    assert "2 times before" in told
    assert "the same weights" in told
    assert [line["look"] for line in lines(run.folder / NAME)] == [1, 2, 3]


def test_other_labels_are_another_test_split(run, with_test_trials):
    scored(run, with_test_trials)
    others = with_test_trials.copy(deep=True)
    others.counts.values[4] += 1
    assert scored(run, others)["test_look"].startswith("First look")


def test_without_test_trials_nothing_is_noted(fitted, trials):
    assert "test_look" not in scored(fitted, trials)
    assert not (fitted.folder / NAME).exists()


def test_other_runs_beside_it_are_counted(run, with_test_trials, recipe, tmp_path):
    scored(run, with_test_trials)
    second = ut.fit(recipe._replace(seed=5), with_test_trials, out=tmp_path / "second", quiet=True)
    told = scored(second, with_test_trials)["test_look"]
    assert told.startswith("First look")
    assert "1 other run" in told


def test_a_run_given_by_a_relative_path_is_no_other_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "second"):
        place = Path(folder) / NAME
        facts = {"labels": "b", "scores": {"co-bps": 0.1}, "beside": place.parent.resolve().parent}
        befores = [looks.record(place, weights="a", **facts) for _ in range(2)]
        assert [before.others for before in befores] == [int(folder == "second")] * 2


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (Before(0, 0, 0), "First look of this run"),
        (Before(1, 1, 0), "once before, with the same weights"),
        (Before(5, 2, 3), "5 times before, with 2 different weights. 3 other runs"),
    ],
)
def test_what_is_said(before, words):
    assert words in before.sentence()


def test_a_journal_keeps_its_looks_and_leaves_nothing_half_written(tmp_path):
    path = tmp_path / NAME
    facts = {"labels": "b", "scores": {"co-bps": 0.1}}
    looks.record(path, weights="a", **facts)
    assert looks.record(path, weights="c", **facts).looks == 1
    assert looks.record(path, weights="c", **facts).weights == 2
    assert not list(tmp_path.glob(".*"))


def test_arrays_are_told_apart():
    one = {"a": np.zeros((2, 3), np.float32)}
    assert looks.fingerprint_of_arrays(one) == looks.fingerprint_of_arrays(
        {"a": np.zeros((2, 3), np.float32)}
    )
    others = ({"a": np.zeros((3, 2), np.float32)}, {"b": one["a"]}, {"a": one["a"] + 1}, {"a": [*one["a"]]})
    names = {looks.fingerprint_of_arrays(arrays) for arrays in (one, *others)}
    assert len(names) == 5


def test_a_fit_does_not_depend_on_test_trials(run, with_test_trials, recipe, tmp_path):
    spoiled = with_test_trials.copy(deep=True)
    is_test = (spoiled.split == "test").values
    spoiled.counts.values[is_test] = 1000.0
    spoiled.inputs.values[is_test] = -50.0
    other = ut.fit(recipe, spoiled, out=tmp_path / "spoiled", quiet=True)
    same = [(folder / "model.safetensors").read_bytes() for folder in (run.folder, other.folder)]
    assert same[0] == same[1]
    assert [one["selection"] for one in lines(run.folder / "metrics.jsonl")] == [
        one["selection"] for one in lines(other.folder / "metrics.jsonl")
    ]
