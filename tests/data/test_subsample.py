"""Multiplexed recording: how many entries stay, which ones, and that nothing else changes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import undertow as ut
from undertow.cli import main
from undertow.data.subsample import PATTERNS, subsample
from undertow.vocabulary import UndertowError, check_trials

TRIALS, BINS, NEURONS = 12, 23, 7


@pytest.fixture(scope="module")
def dense():
    counts = 1.0 + np.random.default_rng(0).poisson(2.0, (TRIALS, BINS, NEURONS))
    counts[3, 15:] = np.nan
    split = ["valid" if trial % 4 == 3 else "train" for trial in range(TRIALS)]
    return ut.trials(counts, bin_width=0.02, split=split, true_rates=np.ones(counts.shape, np.float32))


@settings(max_examples=30, deadline=None)
@given(
    pattern=st.sampled_from(sorted(PATTERNS)),
    keep=st.integers(1, NEURONS),
    block=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_each_bin_keeps_so_many_neurons_and_their_counts(dense, pattern, keep, block, seed):
    sparse = check_trials(subsample(dense, keep=keep, pattern=pattern, block=block, seed=seed))
    kept = np.isfinite(sparse.counts.values)
    inside = np.isfinite(dense.counts.values).all(axis=2)
    assert (kept.sum(axis=2)[inside] == keep).all()
    assert not kept[~inside].any()
    np.testing.assert_array_equal(sparse.counts.values[kept], dense.counts.values[kept])
    assert sparse.true_rates.identical(dense.true_rates)
    again = subsample(dense, keep=keep, pattern=pattern, block=block, seed=seed)
    assert again.identical(sparse)


def test_random_is_drawn_anew_in_every_bin(dense):
    kept = np.isfinite(subsample(dense, keep=3, pattern="random", seed=1).counts.values[:3])
    assert (kept[:, 1:] != kept[:, :-1]).any(axis=2).mean() > 0.8
    np.testing.assert_allclose(kept.mean((0, 1)), 3 / NEURONS, atol=0.2)


def test_a_round_robin_comes_back_to_every_neuron_in_turn(dense):
    kept = np.isfinite(subsample(dense, keep=2, pattern="round-robin").counts.values[0])
    for now, later in pairwise(kept):
        np.testing.assert_array_equal(np.roll(now, 2), later)
    assert (kept[:7].sum(axis=0) == 2).all()


def test_blocks_hold_their_neurons(dense):
    kept = np.isfinite(subsample(dense, keep=3, pattern="blocks", block=5, seed=2).counts.values[:3])
    changes = np.flatnonzero((kept[:, 1:] != kept[:, :-1]).any((0, 2))) + 1
    assert changes.tolist() == [5, 10, 15, 20]


def test_fixed_drops_channels_for_good(dense):
    kept = np.isfinite(subsample(dense, keep=3, pattern="fixed", seed=2).counts.values)
    assert kept.any((0, 1)).sum() == 3


def test_other_splits_stay_as_they_are(dense):
    sparse = subsample(dense, keep=1, splits=("train",))
    is_valid = dense.split.values == "valid"
    np.testing.assert_array_equal(sparse.counts.values[is_valid], dense.counts.values[is_valid])
    assert np.isfinite(sparse.counts.values[~is_valid]).sum(axis=2).max() == 1
    assert "trials of train" in sparse.attrs["notes"]


def test_notes_are_kept_and_described(dense):
    twice = subsample(
        subsample(dense.assign_attrs(notes="Recorded on Monday."), keep=5), keep=3, pattern="fixed"
    )
    page = str(ut.describe(twice))
    for line in ("Recorded on Monday.", "5 of 7 neurons were kept", "3 of 7 neurons were kept"):
        assert line in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 0}, r"0 of 7 neurons can't be kept in each bin; choose 1 to 7"),
        ({"keep": 8}, r"8 of 7 neurons can't be kept"),
        ({"keep": 2.5}, r"2\.5 of 7 neurons can't be kept"),
        ({"keep": True}, r"True of 7 neurons can't be kept"),
        ({"keep": 2, "pattern": "randm"}, r"no pattern 'randm'; did you mean 'random'"),
        ({"keep": 2, "block": 0}, r"block of 0 bins"),
        ({"keep": 2, "splits": ("trian",)}, r"no split 'trian'; did you mean 'train'"),
        ({"keep": 2, "splits": ()}, r"No split is named"),
    ],
)
def test_what_cannot_be_is_refused(dense, changes, message):
    with pytest.raises(UndertowError, match=message):
        subsample(dense, **changes)


def test_nothing_left_is_refused(dense):
    one = dense.copy(deep=True)
    one.counts[:, :, 1:] = np.nan
    drawn = [seed for seed in range(20) if _is_left(one, seed)]
    assert 0 < len(drawn) < 20


def _is_left(trials, seed):
    try:
        return np.isfinite(subsample(trials, keep=1, pattern="fixed", seed=seed).counts.values).any()
    except UndertowError as error:
        assert "none was recorded" in str(error)
        return False


def test_the_command_writes_what_the_library_makes(dense, tmp_path, capsys):
    path, out = ut.save(dense, tmp_path / "dense.nc"), tmp_path / "sparse.nc"
    main(
        [
            "subsample",
            str(path),
            str(out),
            "--keep",
            "2",
            "--pattern",
            "blocks",
            "--block",
            "4",
            "--seed",
            "3",
        ]
    )
    expected = subsample(dense, keep=2, pattern="blocks", block=4, seed=3)
    np.testing.assert_array_equal(ut.open_trials(out).counts, expected.counts)
    assert ut.open_trials(out).attrs["notes"] == expected.attrs["notes"]
    printed = capsys.readouterr().out
    assert "Of each bin 2 of 7 neurons were kept (pattern blocks, seed 3)" in printed
    assert f"Wrote 12 trials of 7 neurons, up to 23 bins of 20 ms, to {out}" in " ".join(printed.split())


def test_the_command_asks_for_trials(tmp_path, capsys):
    np.save(tmp_path / "counts.npy", np.ones((3, 4, 5)))
    with pytest.raises(SystemExit):
        main(["subsample", str(tmp_path / "counts.npy"), str(tmp_path / "sparse.nc"), "--keep", "2"])
    assert "undertow convert" in capsys.readouterr().err
    assert not (tmp_path / "sparse.nc").exists()


def test_the_command_refuses_in_one_sentence_and_writes_nothing(dense, tmp_path, capsys):
    path = ut.save(dense, tmp_path / "dense.nc")
    with pytest.raises(SystemExit) as left:
        main(["subsample", str(path), str(tmp_path / "sparse.nc"), "--keep", "9"])
    assert left.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "sparse.nc").exists()
