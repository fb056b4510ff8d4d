"""Target and submission files: what is written is read again, as is what the reference's layout asks for; merging and errors."""

import h5py
import numpy as np
import pytest

from undertow.data.nlb.tensor_files import (
    groups_in,
    read_facts,
    read_submission,
    read_targets,
    read_tensors,
    write_submission,
    write_targets,
    write_tensors,
)
from undertow.vocabulary import UndertowError


@pytest.fixture
def target():
    generator = np.random.default_rng(0)
    return {
        "eval_spikes_heldout": generator.poisson(1.0, (4, 5, 3)).astype(np.float32),
        "train_behavior": np.where(generator.random((6, 5, 2)) < 0.1, np.nan, 1.5),
        "eval_cond_idx": [np.array([0, 2]), np.array([], dtype=int), np.array([1])],
        "train_cond_idx": [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])],
        "eval_decode_mask": generator.random((4, 2)) < 0.5,
        "eval_jitter": np.array([0, 3, -1, 2]),
    }


def same(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        if isinstance(values, list):
            assert isinstance(found[name], list)
            assert [row.tolist() for row in found[name]] == [row.tolist() for row in values]
        else:
            np.testing.assert_array_equal(found[name], values.astype(found[name].dtype))


def test_targets_are_read_as_they_were_written(tmp_path, target):
    path = tmp_path / "target.h5"
    write_targets(path, {"mc_maze": target, "mc_maze_20": target}, facts={"phase": "val"})
    assert read_facts(path, "mc_maze_20") == {"phase": "val"}
    found = read_targets(path)
    assert list(found) == groups_in(path) == ["mc_maze", "mc_maze_20"]
    same(found["mc_maze_20"], target)
    assert list(read_targets(path, ["mc_maze"])) == ["mc_maze"]


def test_the_layout_is_that_of_the_reference(tmp_path, target):
    write_targets(tmp_path / "target.h5", {"area2_bump": target})
    with h5py.File(tmp_path / "target.h5") as file:
        group = file["area2_bump"]
        kinds = {name: group[name].dtype for name in target}
        assert kinds["train_behavior"] == np.float32
        assert kinds["eval_jitter"] == np.int32
        assert kinds["eval_decode_mask"].kind == "b"
        assert h5py.check_vlen_dtype(kinds["train_cond_idx"]) == np.int32
        assert {group[name].compression for name in target} == {"gzip"}


def test_a_file_written_the_references_way_is_read(tmp_path, target):
    path = tmp_path / "theirs.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("dmfc_rsg")
        for name, values in target.items():
            if isinstance(values, list):
                rows = np.empty(len(values), dtype=object)
                rows[:] = values
                group.create_dataset(name, data=rows, dtype=h5py.vlen_dtype("int32"), compression="gzip")
            else:
                group.create_dataset(name, data=values, compression="gzip")
    same(read_targets(path)["dmfc_rsg"], target)


def test_a_submission_keeps_the_other_groups_and_tells_its_facts(tmp_path):
    path = tmp_path / "submission.h5"
    first = {"eval_rates_heldout": np.full((2, 3, 4), 0.25, np.float32)}
    write_submission(path, {"mc_rtt": first}, facts={"run": "runs/first", "phase": "val"})
    write_submission(path, {"mc_rtt_20": first, "dmfc_rsg": first}, facts={"weights": "3f2a", "looks": 2})
    again = {"eval_rates_heldin": np.ones((2, 3, 1), np.float32)}
    write_submission(path, {"dmfc_rsg": again})
    found = read_submission(path)
    assert list(found) == ["dmfc_rsg", "mc_rtt", "mc_rtt_20"]
    same(found["mc_rtt"], first)
    same(found["dmfc_rsg"], again)
    assert read_facts(path, "mc_rtt") == {"run": "runs/first", "phase": "val"}
    assert read_facts(path, "mc_rtt_20") == {"weights": "3f2a", "looks": 2}
    assert read_facts(path, "dmfc_rsg") == {}
    assert [file.name for file in tmp_path.iterdir()] == ["submission.h5"]


def test_a_broken_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "submission.h5"
    write_submission(path, {"mc_rtt": {"eval_rates_heldin": np.ones(3)}})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_submission(path, {"mc_rtt": {"eval_rates_heldin": np.zeros(3)}}, facts={"run": object()})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["submission.h5"]


def test_flat_files_of_arrays(tmp_path):
    tensors = {"train_spikes_heldin": np.ones((2, 3, 4)), "train_spikes_heldout": np.zeros((2, 3, 1))}
    write_tensors(tmp_path / "train_input.h5", tensors)
    same(read_tensors(tmp_path / "train_input.h5"), tensors)
    with pytest.raises(UndertowError, match=r"holds no groups \(train_spikes_heldin, train_spikes_heldout\)"):
        read_targets(tmp_path / "train_input.h5")


def test_what_is_not_there_is_told(tmp_path, target):
    path = tmp_path / "target.h5"
    write_targets(path, {"mc_maze": target, "mc_rtt": target})
    with pytest.raises(UndertowError, match="holds the groups mc_maze, mc_rtt, but not 'mc_maze_20'"):
        read_targets(path, ["mc_maze_20"])
    with pytest.raises(UndertowError, match="is not there"):
        read_submission(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(UndertowError, match="can't be opened as an HDF5 file"):
        read_submission(tmp_path / "text.h5")
    with pytest.raises(UndertowError, match="can't be opened as an HDF5 file"):
        write_targets(tmp_path / "text.h5", {"mc_maze": target})
    with pytest.raises(UndertowError, match="no folder"):
        write_tensors(tmp_path / "missing" / "input.h5", {})
