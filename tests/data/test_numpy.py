"""NumPy files in, the same numbers out; names, shapes and broken files."""

import os
from pathlib import Path

import numpy as np
import pytest

from undertow.data.readers.numpy import read
from undertow.vocabulary import UndertowError, check_trials

RECORDINGS = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def _counts(shape=(6, 5, 3)):
    return np.random.default_rng(0).poisson(1.5, shape).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "day.npz", **arrays)
        return tmp_path / "day.npz"

    return save


def test_a_single_array_is_the_counts(tmp_path):
    np.save(tmp_path / "three.npy", _counts())
    built = check_trials(read(tmp_path / "three.npy", bin_width=0.02))
    np.testing.assert_array_equal(built.counts.values, _counts())
    assert built.attrs["session"] == "three"
    np.save(tmp_path / "long.npy", _counts()[0])
    np.testing.assert_array_equal(read(tmp_path / "long.npy", bin_width=0.02).counts.values, _counts()[:1])


def test_named_arrays_become_behaviour_inputs_and_columns(saved):
    velocity = np.random.default_rng(1).normal(size=(6, 5, 2))
    speed = np.random.default_rng(2).normal(size=(6, 5))
    path = saved(
        binned=_counts(),
        velocity=velocity,
        speed=speed,
        target=np.arange(6),
        area=np.array(["a", "b", "c"]),
        start_time=np.arange(6) * 2.5,
        kind=np.array(["x"] * 6),
    )
    built = check_trials(read(path, bin_width=0.02, behaviour="velocity", condition="target", inputs="speed"))
    np.testing.assert_array_equal(built.counts.values, _counts())
    np.testing.assert_allclose(built.behaviour.values, velocity, rtol=1e-6)
    np.testing.assert_allclose(built.inputs.values[:, :, 0], speed, rtol=1e-6)
    assert built.behaviour_channel.values.tolist() == ["velocity_1", "velocity_2"]
    assert built.condition.values.tolist() == list(range(6)) and built.kind.values.tolist() == ["x"] * 6
    assert built.start_time.values.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0, 12.5]
    assert "area" not in built.coords and "notes" not in built.attrs
    assert "'velocity'" in read(path, bin_width=0.02).attrs["notes"]


def test_our_own_names_are_what_they_say(saved):
    path = saved(
        counts=_counts(),
        other=_counts(),
        bin_width=0.05,
        session="monday",
        split=np.array(["train"] * 5 + ["test"]),
        held_out=np.array([True, False, False]),
        neuron=np.array(["u1", "u2", "u3"]),
        true_rates=np.full((6, 5, 3), 7.0),
        behaviour=np.full((6, 5, 1), 0.5),
        behaviour_channel=np.array(["x"]),
    )
    built = check_trials(read(path))
    assert built.attrs["bin_width"] == 0.05 and built.attrs["session"] == "monday"
    assert built.split.values[-1] == "test" and built.held_out.values.tolist() == [True, False, False]
    assert built.neuron.values.tolist() == ["u1", "u2", "u3"] and (built.true_rates.values == 7).all()
    assert built.behaviour_channel.values.tolist() == ["x"]
    assert read(path, bin_width=0.01).attrs["bin_width"] == 0.01
    assert read(path, variable="other").counts.shape == (6, 5, 3)


BAD = {
    "no bin width": (dict(counts=_counts()), dict(bin_width=None), "bin_width in seconds"),
    "several": (dict(a=_counts(), b=_counts()), dict(), "2 arrays"),
    "none": (dict(a=np.full((6, 5, 3), 0.5)), dict(), "no arrays"),
    "empty": (dict(), dict(), "none"),
    "variable": (dict(binned=_counts()), dict(variable="bined"), "did you mean 'binned'"),
    "behaviour": (
        dict(counts=_counts(), speed=np.ones((6, 5))),
        dict(behaviour="sped"),
        "did you mean 'speed'",
    ),
    "behaviour's bins": (dict(counts=_counts(), speed=np.ones((6, 4))), dict(behaviour="speed"), "4 bins"),
    "condition": (dict(counts=_counts(), go=np.ones(5)), dict(condition="go"), "'condition'"),
    "one axis": (dict(counts=np.ones(5)), dict(), "three axes"),
    "words": (dict(counts=np.full((6, 5, 3), "a")), dict(), "numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_read_is_one_sentence(saved, case):
    arrays, options, words = BAD[case]
    with pytest.raises(UndertowError, match=words) as caught:
        read(saved(**arrays), **({"bin_width": 0.02} | options))
    assert "\n" not in str(caught.value)


def test_pickles_truncated_and_other_files_are_one_sentence(saved, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    whole = saved(counts=_counts((60, 50, 30))).read_bytes()
    broken = tmp_path / "broken.npz"
    for content in (b"", b"\x80\x04K\x01.", b"a,b\n1,2\n", whole[:500], whole[: len(whole) - 10]):
        broken.write_bytes(content)
        with pytest.raises(UndertowError, match="NumPy file") as caught:
            read(broken, bin_width=0.02)
        assert "\n" not in str(caught.value)
    with pytest.raises(UndertowError, match="never loaded"):
        read(tmp_path / "objects.npy", bin_width=0.02)
    with pytest.raises(UndertowError, match="no file"):
        read(tmp_path / "absent.npz", bin_width=0.02)


def test_a_reaching_recording():
    path = RECORDINGS / "macaque_reaching.npz"
    if not path.exists():
        pytest.skip("the recording is not here")
    built = check_trials(read(path, bin_width=0.02, behaviour="hand_velocity"))
    stored = np.load(path)
    np.testing.assert_array_equal(built.counts.values, stored["counts"])
    np.testing.assert_array_equal(built.behaviour.values, stored["hand_velocity"])
    np.testing.assert_array_equal(built.condition.values, stored["condition"])
