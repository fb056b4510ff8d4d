"""Pytrees on disk: back to the bit, whole or not there, and errors that name the array."""

import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import choices, same_bits, trial_arrays

from undertow import files
from undertow.training import checkpoint, journal
from undertow.training.loop import beginning
from undertow.vocabulary import UndertowError


@pytest.fixture(scope="module")
def state():
    return beginning(choices(), trial_arrays(), seed=0)


@pytest.fixture
def path(tmp_path, state):
    checkpoint.write(tmp_path / "state" / "state.safetensors", state, facts={"seconds": "1.5"})
    return tmp_path / "state" / "state.safetensors"


def test_a_state_comes_back_to_the_bit(path, state):
    other = beginning(choices(), trial_arrays(), seed=9)
    assert not same_bits(other, state)
    stored, facts = checkpoint.read(path, other)
    assert same_bits(stored, state)
    assert facts == {"seconds": "1.5"}
    assert jax.tree.structure(stored) == jax.tree.structure(state)
    assert [leaf.dtype for leaf in jax.tree.leaves(stored)] == [leaf.dtype for leaf in jax.tree.leaves(state)]


def test_shapes_are_enough_to_read_into(path, state):
    frame = eqx.filter_eval_shape(lambda: state)
    stored, _ = checkpoint.read(path, frame)
    assert same_bits(stored, state)


def test_nothing_but_the_file_is_left(path):
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_file_is_named(path, state, size):
    content = path.read_bytes()
    path.write_bytes(content[:size])
    with pytest.raises(UndertowError, match=r"Could not read the weights in .*state\.safetensors"):
        checkpoint.read(path, state)


def test_a_missing_file_is_named(tmp_path, state):
    with pytest.raises(UndertowError, match="nowhere"):
        checkpoint.read(tmp_path / "nowhere", state)


TREE = {"kernel": np.ones((2, 3), np.float32), "bias": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({**TREE, "start": np.zeros(1)}, "'start' is missing"),
        ({"kernel": TREE["kernel"]}, "'bias' is unknown"),
        ({**TREE, "bias": np.zeros(4, np.float32)}, r"'bias' has shape \(3,\), the model wants \(4,\)"),
    ],
)
def test_other_arrays_are_named(tmp_path, like, message):
    checkpoint.write(tmp_path / "weights", TREE, facts={})
    with pytest.raises(UndertowError, match=message):
        checkpoint.read(tmp_path / "weights", like)


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    files.write_bytes(tmp_path / "file", b"before")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UndertowError, match=r"file' can't be written \(No space left on device\)"):
        files.write_bytes(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UndertowError, match=r"There is no folder .*run"):
        files.write_bytes(tmp_path / "run" / "recipe.toml", b"")
    assert (tmp_path / "run").read_text() == "a file"


def test_the_journal_forgets_a_half_written_line_and_what_comes_after_the_state(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for epoch in range(4):
        journal.append(path, {"epoch": epoch, "train/total": 0.1 * epoch, "selection": float("nan")})
    with open(path, "a") as file:
        file.write('{"epoch": 4, "train/to')
    assert [line["epoch"] for line in journal.read(path)] == [0, 1, 2, 3]
    assert np.isnan(journal.read(path)[0]["selection"])
    journal.rewind(path, 3)
    journal.append(path, {"epoch": 3})
    assert [line["epoch"] for line in journal.read(path)] == [0, 1, 2, 3]
    assert path.read_text().count("\n") == 4
    assert "null" in path.read_text()
    assert "NaN" not in path.read_text()


def test_no_journal_is_an_empty_one(tmp_path):
    assert journal.read(tmp_path / "metrics.jsonl") == []


def test_a_journal_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(UndertowError, match="Could not write"):
        journal.append(tmp_path / "nowhere" / "metrics.jsonl", {"epoch": 0})


def test_keys_are_stored_too(tmp_path):
    checkpoint.write(tmp_path / "key", {"key": jax.random.key(7), "n": jnp.int32(3)}, facts={})
    stored, _ = checkpoint.read(tmp_path / "key", {"key": jax.random.key(0), "n": jnp.int32(0)})
    assert (jax.random.normal(stored["key"]) == jax.random.normal(jax.random.key(7))).all()
