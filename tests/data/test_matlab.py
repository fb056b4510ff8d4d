"""MATLAB files of version 5 (by SciPy) and 7.3 (laid out here as MATLAB does) read the same."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from undertow.data.readers.matlab import read
from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError, check_trials

RECORDINGS = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
CLASSES = {"f": "double", "u": "uint8", "i": "int32", "b": "logical"}


class Version73:
    """Writes values as MATLAB does in version 7.3: reversed axes, references, classes in attributes."""

    def __init__(self, path):
        with h5py.File(path, "w", userblock_size=512):
            pass
        with open(path, "r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
        self.file = h5py.File(path, "r+")
        self.references = self.file.create_group("#refs#")

    def save(self, values):
        for name, value in values.items():
            self.write(self.file, name, value)
        self.file.close()

    def write(self, group, name, value):
        if isinstance(value, dict):
            self.write_struct(group, name, value)
        elif isinstance(value, list):
            self.write_references(group, name, value, (1, len(value))).attrs["MATLAB_class"] = np.bytes_(
                "cell"
            )
        elif isinstance(value, str):
            letters = np.array([[ord(letter)] for letter in value], np.uint16)
            self.label(group, name, letters, "char").attrs["MATLAB_int_decode"] = np.int32(2)
        elif value.size == 0:
            stored = self.label(group, name, np.array(value.shape, np.uint64), "double")
            stored.attrs["MATLAB_empty"] = np.uint8(1)
        else:
            stored = value.astype(np.uint8) if value.dtype == bool else value
            self.label(group, name, stored.T, CLASSES[value.dtype.kind])

    def label(self, group, name, stored, kind):
        group[name] = stored
        group[name].attrs["MATLAB_class"] = np.bytes_(kind)
        return group[name]

    def write_references(self, group, name, values, shape):
        references = np.empty(len(values), dtype=h5py.ref_dtype)
        for index, value in enumerate(values):
            stored = f"r{len(self.references)}"
            self.references.create_group(f"taken_{stored}")
            self.write(self.references, stored, value)
            references[index] = self.references[stored].ref
        return group.create_dataset(name, data=references.reshape(shape[::-1]), dtype=h5py.ref_dtype)

    def write_struct(self, group, name, fields):
        made = group.create_group(name)
        made.attrs["MATLAB_class"] = np.bytes_("struct")
        elements = fields.get("__elements__")
        for field in fields if elements is None else elements[0]:
            if elements is None:
                self.write(made, field, fields[field])
            else:
                self.write_references(made, field, [one[field] for one in elements], (1, len(elements)))


def _classic(value):
    """A value as SciPy wants to be given it."""
    if isinstance(value, dict) and "__elements__" in value:
        elements = value["__elements__"]
        made = np.empty((1, len(elements)), dtype=[(field, object) for field in elements[0]])
        for index, one in enumerate(elements):
            for field, inner in one.items():
                made[field][0, index] = _classic(inner)
        return made
    if isinstance(value, dict):
        return {field: _classic(inner) for field, inner in value.items()}
    if isinstance(value, list):
        cell = np.empty((1, len(value)), dtype=object)
        for index, inner in enumerate(value):
            cell[0, index] = _classic(inner)
        return cell
    return value


WRITERS = {
    "version 5": lambda path, values: scipy.io.savemat(path, _classic(values)),
    "version 7.3": lambda path, values: Version73(path).save(values),
}


@pytest.fixture(params=WRITERS)
def saved(request, tmp_path):
    def save(values, name="session.mat"):
        WRITERS[request.param](tmp_path / name, values)
        return tmp_path / name

    return save


def _counts(shape=(6, 5, 3), seed=0):
    return np.random.default_rng(seed).poisson(1.5, shape).astype(np.float64)


def test_the_only_array_is_found_with_its_behaviour_and_columns(saved):
    counts, velocity = _counts(), np.random.default_rng(1).normal(size=(6, 5, 2))
    labels = np.array([[1.0, 2, 1, 2, 1, 2]])
    path = saved({"spikes": counts, "velocity": velocity, "target": labels, "note": "first day"})
    built = check_trials(read(path, bin_width=0.01, behaviour="velocity", condition="target"))
    np.testing.assert_array_equal(built.counts.values, counts)
    np.testing.assert_allclose(built.behaviour.values, velocity, rtol=1e-6)
    assert built.condition.values.tolist() == labels[0].tolist() == built.target.values.tolist()
    assert built.neuron.values.tolist() == [1, 2, 3] and built.attrs["session"] == "session"
    assert built.behaviour_channel.values.tolist() == ["velocity_1", "velocity_2"]
    assert "'velocity'" in built.attrs["notes"]


@pytest.mark.parametrize("axes", ["neuron time trial", "time neuron trial", "time, trial, neuron"])
def test_axes_in_another_order_are_turned(saved, axes):
    counts = _counts((6, 5, 3))
    places = [("trial", "time", "neuron").index(axis) for axis in axes.replace(",", "").split()]
    path = saved({"data": {"spikes": counts.transpose(places), "gain": np.array([[2.0]])}})
    built = read(path, bin_width=0.01, axes=axes, variable="data.spikes")
    np.testing.assert_array_equal(built.counts.values, counts)


def test_a_cell_with_one_matrix_a_trial_is_ragged(saved):
    matrices = [_counts((length, 4), length) for length in (3, 5, 1)]
    turned = [matrix.T for matrix in matrices]
    path = saved({"upright": matrices, "names": ["up", "down", "up"]})
    built = read(path, bin_width=0.02, condition="names")
    assert built.counts.shape == (3, 5, 4) and built.condition.values.tolist() == ["up", "down", "up"]
    for trial, matrix in enumerate(matrices):
        np.testing.assert_array_equal(built.counts.values[trial, : len(matrix)], matrix)
        assert np.isnan(built.counts.values[trial, len(matrix) :]).all()
    again = read(saved({"turned": turned}, "turned.mat"), bin_width=0.02, axes="neuron time trial")
    np.testing.assert_array_equal(again.counts.values, built.counts.values)


def _struct_array(lengths=(4, 0, 2, 3)):
    return [
        {
            "counts": _counts((length, 3), trial) if length else np.zeros((0, 0)),
            "speed": np.arange(1.0, length + 1)[None] if trial != 2 else np.zeros((1, 0)),
            "position": np.full((length + 1, 2), 0.5),
            "target": np.array([[10.0 * (trial % 2)], [-1.5]]),
            "kind": ["hit", "miss"][trial % 2],
            "id": np.array([[trial + 1.0]]),
            "start_time": np.array([[trial * 2.5]]),
        }
        for trial, length in enumerate(lengths)
    ]


def test_a_struct_array_has_one_trial_an_element(saved):
    path = saved({"trialData": {"__elements__": _struct_array()}, "good": np.array([[3.0, 1.0]])})
    built = check_trials(read(path, bin_width=0.045, condition="target", behaviour="speed", neurons="good"))
    assert built.counts.shape == (3, 4, 2) and built.neuron.values.tolist() == [3, 1]
    np.testing.assert_array_equal(built.counts.values[1, :2], _counts((2, 3), 2)[:, [2, 0]])
    assert built.condition.values.tolist() == ["0, -1.5", "0, -1.5", "10, -1.5"]
    assert built.kind.values.tolist() == ["hit", "hit", "miss"] and built.id.values.tolist() == [1, 3, 4]
    assert built.trial_start_time.values.tolist() == [0.0, 5.0, 7.5]
    np.testing.assert_array_equal(
        built.behaviour.values[:, :, 0], [[1, 2, 3, 4], [np.nan] * 4, [1, 2, 3, np.nan]]
    )
    assert built.attrs["notes"].startswith("1 of 4 trials were left out")
    assert "'speed'" in built.attrs["notes"] and "position" not in built.attrs["notes"]


def test_a_logical_chooses_neurons(saved):
    path = saved({"spikes": _counts(), "use": np.array([[True, False, True]])})
    assert read(path, bin_width=0.01, neurons="use").neuron.values.tolist() == [1, 3]


def test_a_matrix_asked_for_is_one_long_trial(saved):
    counts = _counts((50, 4))
    built = read(saved({"binned": counts, "gain": np.array([[1.5]])}), bin_width=0.01, variable="binned")
    np.testing.assert_array_equal(built.counts.values, counts[None])


def test_cells_of_spike_times_become_a_recording(saved):
    times = [np.array([[0.25], [1.5], [3.125]]), np.zeros((0, 0)), np.array([[2.5, 0.5]])]
    path = saved({"units": [*times[:2], np.sort(times[2])], "rate": np.array([[30000.0]])})
    recording = read(path)
    assert isinstance(recording, Recording) and recording.units.index.tolist() == [1, 2, 3]
    assert [found.tolist() for found in recording.spike_times] == [[0.25, 1.5, 3.125], [], [0.5, 2.5]]
    unsorted = read(saved({"units": times, "others": _counts()}, "b.mat"), variable="units")
    assert unsorted.spike_times[2].tolist() == [0.5, 2.5]


def test_nested_cells_of_structs_keep_their_path_and_their_interval(saved):
    def unit(*times):
        return {"time": np.array(times)[:, None], "timerange": np.array([[0.0, 9.5]])}

    nothing = np.zeros((1, 0))
    path = saved({"spikes": [[unit(0.5, 1.5, 2.25), nothing, unit(3.5)], nothing, [nothing, unit(4.5)]]})
    recording = read(path)
    assert recording.units.index.tolist() == ["1-1", "1-3", "3-2"]
    assert [found.tolist() for found in recording.spike_times] == [[0.5, 1.5, 2.25], [3.5], [4.5]]
    assert recording.observed.tolist() == [[0.0, 9.5]]


def test_one_unit_an_element_and_one_vector_are_recordings_too(saved):
    elements = [{"ts": np.array([[0.1, 0.2, 0.35]])}, {"ts": np.array([[1.5]])}]
    recording = read(saved({"neurons": {"__elements__": elements}}))
    assert [len(times) for times in recording.spike_times] == [3, 1]
    single = read(saved({"unit": np.array([[0.1, 0.2, 0.35]])}, "one.mat"), variable="unit")
    assert single.spike_times[0].tolist() == [0.1, 0.2, 0.35] and single.observed is None


def test_other_values_are_read_past(tmp_path):
    path = tmp_path / "sparse.mat"
    with h5py.File(path, "w") as file:
        group = file.create_group("binned")
        group.attrs["MATLAB_sparse"], group.attrs["MATLAB_class"] = np.uint64(4), np.bytes_("double")
        dense = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0], [4, 0, 0]])
        group["data"], group["ir"] = np.array([1.0, 4, 3, 2]), np.array([0, 3, 2, 0], np.uint64)
        group["jc"] = np.array([0, 2, 3, 4], np.uint64)
        file["handle"] = np.zeros(3)
        file["handle"].attrs["MATLAB_class"] = np.bytes_("function_handle")
    built = read(path, bin_width=0.1, variable="binned")
    np.testing.assert_array_equal(built.counts.values[0], dense)
    with pytest.raises(UndertowError, match="unreadable function_handle"):
        read(path, bin_width=0.1)


def test_sparse_counts_and_rows_of_letters_in_version_5(tmp_path):
    dense = np.array([[1.0, 0, 2], [0, 0, 0], [0, 3, 0]])
    scipy.io.savemat(tmp_path / "sparse.mat", {"binned": scipy.sparse.csc_matrix(dense)})
    built = read(tmp_path / "sparse.mat", bin_width=0.1, variable="binned")
    np.testing.assert_array_equal(built.counts.values[0], dense)
    scipy.io.savemat(
        tmp_path / "words.mat", {"spikes": _counts((2, 5, 3)), "side": np.array(["left", "back"])}
    )
    words = read(tmp_path / "words.mat", bin_width=0.1, condition="side")
    assert words.condition.values.tolist() == ["left", "back"]


def test_spike_times_within_trials_are_not_taken_for_units(saved):
    elements = [{"spikes": [np.array([[0.1, 0.2, 0.35]]), np.array([[0.15]])]} for _ in range(2)]
    with pytest.raises(UndertowError, match="surely"):
        read(saved({"trials": {"__elements__": elements}}), bin_width=0.1)


BAD = {
    "no bin width": (dict(), dict(bin_width=None), "bin_width in seconds"),
    "wrong variable": (dict(), dict(variable="spkes"), "did you mean 'spikes'"),
    "several": (dict(more=_counts()), dict(), "several variables"),
    "words asked for": (dict(word="text"), dict(variable="word"), "words"),
    "behaviour of other bins": (
        dict(speed=np.full((6, 7, 2), 0.5)),
        dict(behaviour="speed"),
        "other trials or bins",
    ),
    "wrong behaviour": (dict(speed=np.full((6, 5, 2), 0.5)), dict(behaviour="sped"), "did you mean 'speed'"),
    "wrong condition": (dict(target=np.ones((1, 6))), dict(condition="traget"), "did you mean 'target'"),
    "condition of other trials": (dict(target=np.ones((1, 7))), dict(condition="target"), "each of the 6"),
    "neurons from 0": (dict(good=np.array([[0.0, 1.0]])), dict(neurons="good"), "from 1 to 3"),
    "neurons too many": (dict(good=np.array([[4.0]])), dict(neurons="good"), "from 1 to 3"),
    "neuron twice": (dict(good=np.array([[2.0, 2.0]])), dict(neurons="good"), "more than one neuron"),
    "axes": (dict(), dict(axes="trial time unit"), "axes="),
    "infinite": (dict(spikes=np.full((6, 5, 3), np.inf)), dict(variable="spikes"), "finite"),
    "not whole": (dict(spikes=np.full((6, 5, 3), 0.5)), dict(), "surely counts"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_read_is_one_sentence(saved, case):
    values, options, words = BAD[case]
    path = saved({"spikes": _counts()} | values)
    with pytest.raises(UndertowError, match=words) as caught:
        read(path, **({"bin_width": 0.01} | options))
    assert "\n" not in str(caught.value)


def test_truncated_and_other_files_are_one_sentence(saved, tmp_path):
    whole = saved(
        {"trialData": {"__elements__": _struct_array()}, "counts": _counts((30, 20, 10))}
    ).read_bytes()
    broken = tmp_path / "broken.mat"
    for keep in (0, 3, 100, 130, 600, len(whole) // 2, len(whole) - 40):
        broken.write_bytes(whole[:keep])
        with pytest.raises(UndertowError, match=r"MATLAB file|no variable"):
            read(broken, bin_width=0.01)
    broken.write_text("neuron,count\n1,2\n" * 50)
    with pytest.raises(UndertowError, match="another kind"):
        read(broken, bin_width=0.01)
    with pytest.raises(UndertowError, match="no file"):
        read(tmp_path / "absent.mat", bin_width=0.01)


def _recorded(name):
    if not (RECORDINGS / name).exists():
        pytest.skip("the recording is not here")
    return RECORDINGS / name


def test_a_brain_computer_interface_of_1268_trials():
    path = _recorded("stabilizedbci_20160325.mat")
    built = read(path, bin_width=0.045, condition="tgtPos", neurons="goodElectrodes")
    assert built.counts.shape[0] == 1252 and built.counts.shape[2] == 93
    assert built.attrs["notes"].startswith("16 of 1268 trials were left out")
    assert len(set(built.condition.values)) == 8
    raw = scipy.io.loadmat(path)
    keep = raw["goodElectrodes"].ravel().astype(int) - 1
    for trial, source in ((0, 16), (484, 500), (1251, 1267)):
        expected = raw["trialData"]["binCounts"][0, source][:, keep]
        np.testing.assert_array_equal(built.counts.values[trial, : len(expected)], expected)
        assert built.id.values[trial] == source + 1


def test_a_linear_track_of_nested_cells():
    recording = read(_recorded("rat_linear_track_spikes.mat"))
    assert len(recording.spike_times) == 37 and recording.units.index[0] == "1-1-1-1"
    assert [len(times) for times in recording.spike_times[:4]] == [1748, 106, 352, 88]
    np.testing.assert_allclose(recording.observed, [[4396.9975, 6365.2707]])
