"""The two HDF5 layouts, written here with h5py from known arrays and read back entry by entry."""

import h5py
import numpy as np
import pytest

from undertow.data.batches import known_inputs
from undertow.data.loading import load
from undertow.data.readers.hdf5 import read
from undertow.data.store import open_estimate
from undertow.evaluation.scores import evaluate
from undertow.vocabulary import UndertowError, check_trials

RNG = np.random.default_rng(0)


def _write(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if isinstance(array, list):
                stored = file.create_dataset(name, (len(array),), dtype=h5py.vlen_dtype(np.int64))
                for index, members in enumerate(array):
                    stored[index] = members
            else:
                file[name] = array
    return path


@pytest.fixture
def saved(tmp_path):
    return lambda arrays: _write(tmp_path / "binned.h5", arrays)


def _lfads(counts=(6, 3), bins=(5, 7), neurons=(4, 6)):
    """Encoder data of 5 bins and 4 neurons within reconstruction data of 7 bins and 6 neurons."""
    arrays = {"conversion_factor": 0.5, "readin_weight": np.ones((4, 2))}
    places = np.random.default_rng(1).permutation(sum(counts))
    for split, count in zip(("train", "valid"), counts, strict=True):
        wide = RNG.poisson(1.0, (count, bins[1], neurons[1])).astype(np.float32)
        arrays[f"{split}_recon_data"] = wide
        arrays[f"{split}_encod_data"] = wide[:, : bins[0], : neurons[0]]
        arrays[f"{split}_truth"] = RNG.uniform(0.0, 1.0, wide.shape)
        arrays[f"{split}_ext_input"] = RNG.normal(size=(count, bins[0], 1))
        arrays[f"{split}_inds"], places = places[:count], places[count:]
        arrays[f"{split}_behavior"] = RNG.normal(size=(count, bins[1], 2))
    return arrays


def test_lfads_torch_files_keep_every_entry_in_the_order_of_the_session(saved):
    arrays = _lfads()
    built = check_trials(read(saved(arrays), bin_width=0.02))
    assert built.inds.values.tolist() == list(range(9))
    assert built.held_out.values.tolist() == [False] * 4 + [True] * 2
    assert built.forward.values.tolist() == [False] * 5 + [True] * 2
    assert built.split.values.tolist().count("valid") == 3
    for split in ("train", "valid"):
        for row, place in enumerate(arrays[f"{split}_inds"]):
            assert built.split.values[place] == split
            np.testing.assert_array_equal(built.counts.values[place], arrays[f"{split}_recon_data"][row])
            rates = arrays[f"{split}_truth"][row] / 0.5 / 0.02
            np.testing.assert_allclose(built.true_rates.values[place], rates, rtol=1e-6)
            np.testing.assert_allclose(
                built.inputs.values[place, :5], arrays[f"{split}_ext_input"][row], rtol=1e-6
            )
            assert np.isnan(built.inputs.values[place, 5:]).all()
            np.testing.assert_allclose(
                built.behaviour.values[place], arrays[f"{split}_behavior"][row], rtol=1e-6
            )
    assert "notes" not in built.attrs


def test_encoder_data_alone_are_enough_and_differences_are_noted(saved):
    counts = RNG.poisson(1.0, (4, 5, 3)).astype(np.float32)
    missing = counts.copy()
    missing[0, 0, 0] = np.nan
    built = read(saved({"train_encod_data": counts, "valid_encod_data": counts}), bin_width=0.01)
    assert built.counts.shape == (8, 5, 3) and not built.held_out.values.any()
    noted = read(saved({"train_encod_data": missing, "train_recon_data": counts}), bin_width=0.01)
    assert "differ" in noted.attrs["notes"] and noted.counts.values[0, 0, 0] == counts[0, 0, 0]
    repeated = {"train_encod_data": counts, "train_inds": np.array([3, 3, 1, 0])}
    assert read(saved(repeated), bin_width=0.01).inds.values.tolist() == [3, 3, 1, 0]


def _benchmark(prefix=""):
    shapes = {
        "train_spikes_heldin": (6, 5, 4),
        "train_spikes_heldout": (6, 5, 2),
        "train_spikes_heldin_forward": (6, 3, 4),
        "train_spikes_heldout_forward": (6, 3, 2),
        "eval_spikes_heldin": (4, 5, 4),
    }
    arrays = {prefix + name: RNG.poisson(1.0, shape).astype(np.float32) for name, shape in shapes.items()}
    behaviour = RNG.normal(size=(6, 5, 2))
    return arrays | {
        f"{prefix}train_behavior": behaviour,
        f"{prefix}train_cond_idx": [[0, 3], [1, 2, 5]],
        f"{prefix}eval_cond_idx": [[2], [0, 1, 3]],
        f"{prefix}train_decode_mask": np.array([[True, False]] * 6),
        f"{prefix}eval_decode_mask": np.array([[False, True]] * 4),
    }


@pytest.mark.parametrize(("group", "width"), [("mc_maze_20", 0.02), ("mc_maze", 0.005)])
def test_groups_of_the_benchmark_are_laid_side_by_side(saved, group, width):
    arrays = _benchmark(f"{group}/")
    built = check_trials(read(saved(arrays)))
    assert built.attrs["bin_width"] == width and built.attrs["session"] == group
    assert built.split.values.tolist() == ["train"] * 6 + ["test"] * 4
    assert built.held_out.values.tolist() == [False] * 4 + [True] * 2
    assert built.forward.values.tolist() == [False] * 5 + [True] * 3
    counts = built.counts.values
    for name, block in {
        "train_spikes_heldin": counts[:6, :5, :4],
        "train_spikes_heldout": counts[:6, :5, 4:],
        "train_spikes_heldin_forward": counts[:6, 5:, :4],
        "train_spikes_heldout_forward": counts[:6, 5:, 4:],
        "eval_spikes_heldin": counts[6:, :5, :4],
    }.items():
        np.testing.assert_array_equal(block, arrays[f"{group}/{name}"])
    assert np.isnan(counts[6:, 5:]).all() and np.isnan(counts[6:, :, 4:]).all()
    np.testing.assert_allclose(built.behaviour.values[:6, :5], arrays[f"{group}/train_behavior"], rtol=1e-6)
    assert np.isnan(built.behaviour.values[6:]).all() and np.isnan(built.behaviour.values[:, 5:]).all()
    assert built.condition.values.tolist() == [0, 1, 1, 0, -1, 1, 1, 1, 0, 1]
    assert built.decode_mask_1.values.tolist() == [True] * 6 + [False] * 4


def test_a_flat_file_of_the_benchmark_needs_its_bin_width(saved):
    path = saved(_benchmark())
    assert read(path, bin_width=0.02, evaluation="valid").split.values[-1] == "valid"
    with pytest.raises(UndertowError, match="bin_width in seconds"):
        read(path)


def test_behaviour_without_time_becomes_columns(saved):
    arrays = _benchmark() | {
        "train_behavior": RNG.normal(size=(6, 2)),
        "eval_behavior": RNG.normal(size=(4, 2)),
    }
    built = read(saved(arrays), bin_width=0.02)
    assert "behaviour" not in built
    np.testing.assert_array_equal(built.behavior_2.values[:6], arrays["train_behavior"][:, 1])


def test_a_behaviour_and_a_condition_are_chosen_by_name(saved):
    arrays = _lfads() | {
        "train_speed": np.ones((6, 7, 1)),
        "train_target": np.arange(6),
        "valid_target": np.arange(3),
    }
    built = read(saved(arrays), bin_width=0.02, behaviour="speed", condition="target")
    assert np.nansum(built.behaviour.values) == 42
    assert built.condition.values.tolist() == built.target.values.tolist()


WIDE = np.ones((6, 5, 3), np.float32)
BAD = {
    "unknown layout": (
        {"some/array": WIDE, "spikes": WIDE},
        dict(),
        "some/array, .*spikes|spikes, some/array",
    ),
    "nothing": ({}, dict(), "nothing"),
    "wrong group": (_benchmark("mc_maze/"), dict(variable="mc_mase"), "did you mean 'mc_maze'"),
    "several groups": (_benchmark("mc_maze/") | _benchmark("mc_rtt/"), dict(), "variable='mc_maze'"),
    "no bin width": (_lfads(), dict(bin_width=None), "bin_width in seconds"),
    "bins differ": ({"train_encod_data": WIDE, "valid_encod_data": WIDE[:, :4]}, dict(), "same lengths"),
    "two axes": ({"train_encod_data": WIDE[0]}, dict(), "three axes"),
    "narrow": ({"train_encod_data": WIDE, "train_recon_data": WIDE[:, :, :2]}, dict(), r"\(6, 5, 2\)"),
    "inputs": ({"train_encod_data": WIDE, "train_ext_input": np.ones((6, 9, 1))}, dict(), r"\(6, 9, 1\)"),
    "trials differ": (_benchmark() | {"train_spikes_heldout": np.ones((5, 5, 2))}, dict(), r"\(5, 5, 2\)"),
    "behaviour": (_lfads(), dict(behaviour="behaviorr"), "did you mean 'behavior'"),
    "condition": (_benchmark(), dict(condition="cond_id"), "did you mean 'cond_idx'"),
    "evaluation": (_benchmark(), dict(evaluation="tets"), "did you mean 'test'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_read_is_one_sentence(saved, case):
    arrays, options, words = BAD[case]
    with pytest.raises(UndertowError, match=words) as caught:
        read(saved(arrays), **({"bin_width": 0.02} | options))
    assert "\n" not in str(caught.value)


def test_truncated_and_other_files_are_one_sentence(saved, tmp_path):
    whole = saved(_lfads()).read_bytes()
    broken = tmp_path / "broken.h5"
    for content in (b"", b"text", whole[:200], whole[: len(whole) // 2]):
        broken.write_bytes(content)
        with pytest.raises(UndertowError, match="HDF5 file") as caught:
            read(broken, bin_width=0.02)
        assert "\n" not in str(caught.value)
    with pytest.raises(UndertowError, match="no file"):
        read(tmp_path / "absent.h5", bin_width=0.02)


def _autolfads(counts=(6, 3)):
    """As the synthetic data of LFADS in TensorFlow, and indices as MATLAB writes them."""
    arrays = {
        "dt": 0.01,
        "conversion_factor": 2.0,
        "alignment_matrix_cxf": np.ones((4, 2)),
        "P_sxn": np.eye(4),
    }
    places = np.random.default_rng(2).permutation(sum(counts))
    for split, count in zip(("train", "valid"), counts, strict=True):
        arrays[f"{split}_data"] = RNG.poisson(1.0, (count, 5, 4))
        arrays[f"{split}_truth"] = RNG.uniform(0.0, 1.0, (count, 5, 4))
        arrays[f"{split}_inds"], places = 1 + places[None, :count], places[count:]
        arrays[f"condition_labels_{split}"] = RNG.integers(0, 3, count)
        arrays[f"input_times_{split}"] = RNG.integers(0, 5, count)
        arrays[f"input_{split}_truth"] = RNG.normal(size=(count, 5, 1))
        arrays[f"{split}_vel"] = RNG.normal(size=(count, 5, 2))
    return arrays


def test_autolfads_files_keep_every_entry_and_need_no_suffix(tmp_path):
    arrays = _autolfads()
    built = load(_write(tmp_path / "chaotic_rnn_dataset_N50", arrays), behaviour="vel")
    assert built.attrs["bin_width"] == 0.01 and built.attrs["session"] == "chaotic_rnn_dataset_N50"
    assert built.inds.values.tolist() == list(range(1, 10))
    assert not built.held_out.values.any() and not built.forward.values.any()
    for split in ("train", "valid"):
        for row, place in enumerate(arrays[f"{split}_inds"][0] - 1):
            one = built.isel(trial=place)
            assert str(one.split.values) == split
            np.testing.assert_array_equal(one.counts, arrays[f"{split}_data"][row])
            np.testing.assert_allclose(one.true_rates, arrays[f"{split}_truth"][row] / 2.0 / 0.01, rtol=1e-6)
            np.testing.assert_allclose(one.true_inputs, arrays[f"input_{split}_truth"][row], rtol=1e-6)
            np.testing.assert_allclose(one.behaviour, arrays[f"{split}_vel"][row], rtol=1e-6)
            assert one.condition == arrays[f"condition_labels_{split}"][row]
            assert one.input_times == arrays[f"input_times_{split}"][row]
    assert known_inputs(built) == 0
    assert load(tmp_path / "chaotic_rnn_dataset_N50", bin_width=0.02).attrs["bin_width"] == 0.02


def test_known_inputs_of_autolfads_come_before_true_ones(saved):
    arrays = _autolfads()
    known = {
        f"{split}_ext_input": RNG.normal(size=(len(arrays[f"{split}_data"]), 5, 2))
        for split in ("train", "valid")
    }
    built = read(saved(arrays | known))
    assert known_inputs(built) == 2 and "true_inputs" not in built
    place = int(arrays["valid_inds"][0, 1]) - 1
    np.testing.assert_allclose(built.inputs[place], known["valid_ext_input"][1], rtol=1e-6)


def test_autolfads_files_with_faults_name_them(saved):
    arrays = _autolfads()
    del arrays["dt"]
    with pytest.raises(UndertowError, match="how long a bin is"):
        read(saved(arrays))
    arrays["valid_data"] = arrays["valid_data"][:, :, :3]
    with pytest.raises(UndertowError, match=r"'valid_data' \(3, 5, 3\)"):
        read(saved(arrays), bin_width=0.01)


def _output(arrays):
    """What posterior sampling of lfads-torch adds to its input."""
    added = {}
    for split in ("train", "valid"):
        count = len(arrays[f"{split}_encod_data"])
        shapes = {
            "output_params": (7, 6),
            "factors": (7, 3),
            "gen_states": (7, 8),
            "ic_mean": (2,),
            "ic_std": (2,),
            "co_means": (7, 1),
            "co_stds": (7, 1),
            "gen_init": (8,),
            "gen_inputs": (7, 2),
            "con_states": (7, 5),
        }
        added |= {f"{split}_{name}": RNG.uniform(size=(count, *shape)) for name, shape in shapes.items()}
    return {**arrays, **added}


def test_output_files_of_lfads_torch_are_trials_to_load_and_estimates_to_open(saved):
    arrays = _output(_lfads())
    path = saved(arrays)
    trials, estimate = load(path, bin_width=0.02), open_estimate(path, bin_width=0.02)
    assert {str(name) for name in trials.coords} == {
        str(name) for name in load(saved(arrays), bin_width=0.02).coords
    }
    assert not [name for name in trials.coords if str(name).startswith(("ic_", "gen_"))]
    np.testing.assert_array_equal(estimate.inds, trials.inds)
    for split in ("train", "valid"):
        for row, place in enumerate(arrays[f"{split}_inds"]):
            one = estimate.isel(trial=place)
            np.testing.assert_allclose(one.rates, arrays[f"{split}_output_params"][row] / 0.02, rtol=1e-6)
            np.testing.assert_allclose(one.factors, arrays[f"{split}_factors"][row], rtol=1e-6)
            np.testing.assert_allclose(one.latents, arrays[f"{split}_gen_states"][row], rtol=1e-6)
            np.testing.assert_allclose(one.initial_condition_sd, arrays[f"{split}_ic_std"][row], rtol=1e-6)
            np.testing.assert_allclose(one.inferred_inputs, arrays[f"{split}_co_means"][row], rtol=1e-6)
    assert np.isfinite(evaluate(estimate, trials, splits=["valid"])["valid"]["model"]["co_smoothing"])


def test_files_without_an_estimate_are_refused(saved):
    arrays = _lfads()
    with pytest.raises(UndertowError, match="no estimate of lfads-torch"):
        open_estimate(saved(arrays), bin_width=0.02)
    broken = _output(arrays)
    broken["valid_factors"] = broken["valid_factors"][:, :4]
    with pytest.raises(UndertowError, match="'valid_factors'"):
        open_estimate(saved(broken), bin_width=0.02)
