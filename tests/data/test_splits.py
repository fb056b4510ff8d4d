"""Splits and what is held out, against counting by hand and against a published rule."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from undertow.data.splits import hold_out, select, split
from undertow.data.trials import trials
from undertow.vocabulary import UndertowError, check_trials

RECORDINGS = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def _trials(count=20, bins=4, neurons=8, **columns):
    counts = np.random.default_rng(0).poisson(1.0, (count, bins, neurons))
    return trials(counts, bin_width=0.1, **columns)


def _runs(flags):
    """Numbers of neighbouring true values."""
    padded = np.r_[False, flags, False].astype(int)
    return (np.flatnonzero(np.diff(padded) == -1) - np.flatnonzero(np.diff(padded) == 1)).tolist()


@given(
    count=st.integers(5, 60),
    valid=st.floats(0.2, 0.4),
    test=st.sampled_from([0.0, 0.3]),
    by=st.sampled_from(["random", "blocked"]),
    seed=st.integers(0, 5),
)
def test_the_asked_fractions_are_drawn_from_every_trial_once(count, valid, test, by, seed):
    before = _trials(count)
    after = check_trials(split(before, valid=valid, test=test, by=by, seed=seed))
    names = after.split.values.tolist()
    assert abs(names.count("valid") - valid * count) <= 0.5 + 1e-9
    assert abs(names.count("test") - test * count) <= 0.5 + 1e-9
    assert names == split(before, valid=valid, test=test, by=by, seed=seed).split.values.tolist()
    assert set(before.split.values) == {"train"}


def test_random_takes_the_beginning_of_a_permutation_and_seeds_differ():
    permuted = np.random.default_rng(3).permutation(20)
    drawn = split(_trials(20), valid=0.25, test=0.1, seed=3).split.values
    assert set(np.flatnonzero(drawn == "valid")) == set(permuted[:5])
    assert set(np.flatnonzero(drawn == "test")) == set(permuted[5:7])
    assert (drawn != split(_trials(20), valid=0.25, test=0.1, seed=4).split.values).any()


@given(sizes=st.lists(st.integers(1, 12), min_size=2, max_size=8), seed=st.integers(0, 3))
def test_within_a_condition_the_share_is_right_to_one_trial(sizes, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    if labels.size < 5:
        return
    after = split(_trials(labels.size, condition=labels), valid=0.2, within="condition", seed=seed)
    for label, size in enumerate(sizes):
        drawn = np.count_nonzero((after.split.values == "valid") & (labels == label))
        assert abs(drawn - 0.2 * size) < 1
    assert abs(np.count_nonzero(after.split.values == "valid") - 0.2 * labels.size) <= 0.5 + 1e-9


def test_ten_repeats_give_two_of_each_condition():
    labels = np.tile(np.arange(7), 10)
    after = split(_trials(70, condition=labels), valid=0.2, within="condition", seed=1)
    assert np.bincount(labels[after.split.values == "valid"]).tolist() == [2] * 7


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_runs_of_neighbours_spread_over_the_session(seed):
    clock = np.random.default_rng(seed).permutation(100).astype(float)
    after = split(_trials(100, start_time=clock), valid=0.2, test=0.1, by="blocked", seed=seed)
    names = after.split.values[np.argsort(clock)]
    valid = np.flatnonzero(names == "valid")
    assert sum(_runs(names == "valid")) == 20 and min(_runs(names == "valid")) >= 4
    assert [np.count_nonzero(valid // 20 == stretch) for stretch in range(5)] == [4] * 5
    assert min(_runs(names == "test")) >= 2


def test_test_trials_never_slip_into_training():
    before = _trials(20, split=["test"] * 5 + ["train"] * 15)
    after = split(before, valid=0.2, seed=0)
    assert (after.split.values[:5] == "test").all()
    assert np.count_nonzero(after.split.values[5:] == "valid") == 3
    with pytest.raises(UndertowError, match="already"):
        split(before, test=0.2)


def test_an_assignment_is_an_array_of_names_or_a_mapping():
    names = ["valid", "train", "test", "train"]
    assert split(_trials(4), assignment=names).split.values.tolist() == names
    assert split(_trials(4), assignment={"valid": [0], "test": np.array([2])}).split.values.tolist() == names
    flags = np.array([False, False, True, False])
    assert split(_trials(4), assignment={"valid": [0], "test": flags}).split.values.tolist() == names


BAD_SPLITS = {
    "one trial": (1, dict(), "leave none in 'valid'"),
    "too few": (2, dict(valid=0.2), "leave none in 'valid'"),
    "no validation": (20, dict(valid=0.0), "leave none in 'valid'"),
    "no training": (2, dict(valid=0.9), "leave none in 'train'"),
    "no test": (5, dict(test=0.05), "leave none in 'test'"),
    "fraction above one": (20, dict(valid=1.5), "valid=1.5"),
    "fraction below zero": (20, dict(test=-0.1), "test=-0.1"),
    "fraction not a number": (20, dict(valid=np.nan), "nan"),
    "nothing left": (20, dict(valid=0.5, test=0.5), "less than 1"),
    "way": (20, dict(by="blokced"), "did you mean 'blocked'"),
    "column": (20, dict(within="conditoin"), "did you mean 'condition'"),
    "blocks within": (20, dict(by="blocked", within="condition"), "'random' only"),
    "no block": (20, dict(by="blocked", blocks=0), "blocks=0"),
    "assignment length": (4, dict(assignment=["train"] * 3), r"\(3,\)"),
    "assignment name": (2, dict(assignment=["train", "vaild"]), "did you mean 'valid'"),
    "assignment name in mapping": (2, dict(assignment={"vaild": [0]}), "did you mean 'valid'"),
    "assignment position": (4, dict(assignment={"valid": [4]}), "from 0 to 3"),
    "assigned words": (4, dict(assignment={"valid": ["first"]}), "integers"),
    "fraction a word": (20, dict(valid="half"), "'half'"),
    "assigned twice": (4, dict(assignment={"valid": [1], "test": [1]}), "both"),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_bad_splits_are_one_sentence(case):
    count, options, words = BAD_SPLITS[case]
    with pytest.raises(UndertowError, match=words) as caught:
        split(_trials(count, condition=["a"] * count), **options)
    assert "\n" not in str(caught.value)


@given(fraction=st.floats(0.2, 0.8), seed=st.integers(0, 5))
def test_a_fraction_or_a_number_of_neurons_is_held_out(fraction, seed):
    before = _trials(neurons=12)
    after = check_trials(hold_out(before, neurons=fraction, forward=1, seed=seed))
    assert abs(after.held_out.values.sum() - fraction * 12) <= 0.5 + 1e-9
    assert after.forward.values.tolist() == [False, False, False, True]
    assert hold_out(before, neurons=5, seed=seed).held_out.values.sum() == 5
    assert not before.held_out.values.any() and not before.forward.values.any()


def test_only_neurons_above_the_rate_in_training_trials_are_candidates():
    counts = np.zeros((4, 10, 3))
    counts[:, 0, 0] = 1
    counts[0, :, 1] = 5
    counts[0, 0, 2] = np.nan
    before = trials(counts, bin_width=0.1, split=["valid", "train", "train", "train"])
    for seed in range(4):
        assert hold_out(before, neurons=1, seed=seed).held_out.values.tolist() == [True, False, False]
    with pytest.raises(UndertowError, match="0 neurons above"):
        hold_out(before, neurons=1, min_rate=1.0)
    assert hold_out(before, neurons=1, min_rate=0.99).held_out.values[0]


def test_listed_ids_are_held_out():
    named = trials(np.ones((2, 3, 3)), bin_width=0.1, neuron=["u7", "u1", "u4"])
    assert hold_out(named, neurons=["u4", "u7"]).held_out.values.tolist() == [True, False, True]
    assert not hold_out(named, neurons=[], forward=1).held_out.values.any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(neurons=9), "9 of 8"),
        (dict(neurons=-1), "-1"),
        (dict(neurons=0.01), "0 of 8"),
        (dict(neurons=8), "All 8"),
        (dict(neurons=[0, 77]), "neuron 77"),
        (dict(neurons="u3"), "'u3'"),
        (dict(neurons=np.nan), "nan"),
        (dict(forward=4), "0 to 3"),
        (dict(forward=1.5), "forward=1.5"),
        (dict(forward=-1), "forward=-1"),
    ],
)
def test_bad_hold_outs_are_one_sentence(options, words):
    with pytest.raises(UndertowError, match=words):
        hold_out(_trials(), **options)


def test_select_gives_the_trials_of_one_split():
    before = _trials(4, split=["train", "valid", "train", "valid"], condition=[0, 1, 2, 3])
    chosen = select(before, "valid")
    assert chosen.condition.values.tolist() == [1, 3]
    np.testing.assert_array_equal(chosen.counts.values, before.counts.values[[1, 3]])
    with pytest.raises(UndertowError, match="None of the 4 trials"):
        select(before, "test")
    with pytest.raises(UndertowError, match="did you mean 'valid'"):
        select(before, "vald")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_published_rule_can_be_expressed(seed):
    """A fifth of the trials validate; of the channels above 0.02 counts a bin a quarter is held out."""
    source = RECORDINGS / "macaque_reaching.npz"
    if not source.exists():
        pytest.skip("the recording is not here")
    counts = np.load(source)["counts"]
    rng = np.random.default_rng(seed)
    permuted = rng.permutation(len(counts))
    fifth = len(counts) // 5
    active = np.flatnonzero(counts[permuted[fifth:]].mean((0, 1)) > 0.02)
    shuffled = rng.permutation(active)
    ids = shuffled[: len(shuffled) // 4]
    built = trials(counts, bin_width=0.02)
    after = hold_out(split(built, assignment={"valid": permuted[:fifth]}), neurons=ids)
    assert np.count_nonzero(after.split.values == "valid") == 42
    assert set(np.flatnonzero(after.held_out.values)) == set(ids)
    np.testing.assert_array_equal(after.split.values, split(built, valid=0.2, seed=seed).split.values)
    if len(active) < after.sizes["neuron"]:
        all_active = hold_out(after, neurons=len(active), min_rate=0.02 / 0.02)
        assert set(np.flatnonzero(all_active.held_out.values)) == set(active)
