"""Suite2p folders written here: planes, line offsets, cells, frame times, and pickles that want to call something."""

import os
import pickle

import numpy as np
import pytest

from undertow.data.loading import load
from undertow.data.readers import restricted_pickle, suite2p
from undertow.vocabulary import UndertowError

FRAMES, REGIONS, LINES = 400, 4, 100
RATE = 10.0
MEDIANS = np.array([0.0, 25.0, 50.0, 99.0])


def write_plane(folder, planes=1, seed=0, **ops):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    events = generator.gamma(2, 50, (REGIONS, FRAMES)) * (generator.random((REGIONS, FRAMES)) < 0.1)
    calcium = np.zeros_like(events)
    for frame in range(1, FRAMES):
        calcium[:, frame] = 0.8 * calcium[:, frame - 1] + events[:, frame]
    neuropil = generator.normal(200, 5, events.shape)
    np.save(folder / "spks.npy", events.astype(np.float32))
    np.save(folder / "F.npy", (calcium + 300 + 0.7 * neuropil).astype(np.float32))
    np.save(folder / "Fneu.npy", neuropil.astype(np.float32))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [0, 0.2], [1, 0.8], [1, 0.7]]))
    regions = [
        {
            "med": (line, np.float32(7.0)),
            "ypix": np.arange(3),
            "lam": np.ones(3, np.float32),
            "overlap": np.array([True]),
        }
        for line in MEDIANS
    ]
    np.save(folder / "stat.npy", np.array(regions, dtype=object))
    document = {
        "fs": RATE,
        "Ly": LINES,
        "Lx": 120,
        "nplanes": planes,
        "tau": 0.45,
        "filelist": ["a.tif"],
        **ops,
    }
    np.save(folder / "ops.npy", document)
    return events


@pytest.fixture
def session(tmp_path):
    write_plane(tmp_path / "mouse" / "suite2p" / "plane0")
    return tmp_path / "mouse"


@pytest.mark.parametrize("inside", ["", "suite2p", "suite2p/plane0"])
def test_cells_at_their_lines_from_any_of_the_folders(session, inside):
    found = suite2p.read(session / inside)
    assert found.units.index.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.events.offsets, MEDIANS[[0, 2, 3]] / LINES / RATE)
    assert found.session == "mouse"
    assert found.notes == ("3 of 4 regions were kept (cells).",)
    stored = np.load(session / "suite2p/plane0/spks.npy")[[0, 2, 3]].T
    ratio = found.events.values[stored > 50] / stored[stored > 50]
    assert np.unique(np.round(ratio, 6)).size <= 3, "one scale a region"


def test_trials_of_a_folder(session):
    cut = load(session, bin_width=0.02, window=(0.0, 40.0))
    assert cut.sizes["time"] == 2000 and np.isfinite(cut.counts).mean() == pytest.approx(0.2)
    whole = load(session, sampling="frame")
    assert whole.sizes["time"] == FRAMES and np.isfinite(whole.counts).all()


def test_all_regions_and_events_that_are_deconvolved_here(session):
    stored = suite2p.read(session, cells=False)
    found = suite2p.read(session, cells=False, events="deconvolve")
    assert found.events.values.shape == (FRAMES, REGIONS)
    for unit in range(REGIONS):
        assert np.corrcoef(found.events.values[1:, unit], stored.events.values[1:, unit])[0, 1] > 0.9


def test_planes_have_their_time_within_the_volume(tmp_path):
    for plane in range(2):
        write_plane(tmp_path / "suite2p" / f"plane{plane}", planes=2, seed=plane)
    found = suite2p.read(tmp_path)
    assert found.units.index.tolist() == ["0_0", "0_2", "0_3", "1_0", "1_2", "1_3"]
    within = MEDIANS[[0, 2, 3]] / LINES / RATE / 2
    np.testing.assert_allclose(found.events.offsets, [*within, *(0.5 / RATE + within)])
    assert found.units.location.tolist() == ["plane0"] * 3 + ["plane1"] * 3


def test_frame_times_of_the_session(session):
    times = 100 + np.arange(FRAMES + 3) * 0.125
    np.save(session / "frames.npy", times)
    found = suite2p.read(session, frame_times=session / "frames.npy")
    np.testing.assert_allclose(found.events.frame_times, times[:FRAMES])
    np.testing.assert_allclose(found.events.offsets, MEDIANS[[0, 2, 3]] / LINES * 0.125)
    (session / "frames.csv").write_text("time\n" + "\n".join(map(str, times)))
    again = suite2p.read(session, frame_times=str(session / "frames.csv"))
    np.testing.assert_allclose(again.events.frame_times, times[:FRAMES])
    (session / "plain.csv").write_text("\n".join(map(str, times)))
    no_heading = suite2p.read(session, frame_times="plain.csv")
    np.testing.assert_allclose(no_heading.events.frame_times, times[:FRAMES], err_msg="beside the recording")


def test_bad_frames_are_not_observed(tmp_path):
    write_plane(tmp_path / "plane0", badframes=np.arange(FRAMES) < 3)
    assert np.isnan(suite2p.read(tmp_path).events.values).all(axis=1).nonzero()[0].tolist() == [0, 1, 2]


def without(folder, name):
    (folder / "suite2p/plane0" / name).unlink()


def saved(folder, name, values):
    np.save(folder / "suite2p/plane0" / name, values)


@pytest.mark.parametrize(
    ("harm", "options", "words"),
    [
        (lambda f: without(f, "spks.npy"), {}, 'no spks.npy; give events="deconvolve"'),
        (lambda f: without(f, "F.npy"), {"events": "deconvolve"}, "no F.npy"),
        (lambda f: without(f, "ops.npy"), {}, "ops.npy"),
        (lambda f: saved(f, "iscell.npy", np.zeros((4, 2))), {}, "None of the 4 regions"),
        (
            lambda f: saved(f, "iscell.npy", np.ones((3, 2))),
            {},
            r"4 regions in stat.npy, but iscell.npy has the shape \(3, 2\)",
        ),
        (lambda f: saved(f, "ops.npy", {"Ly": LINES}), {}, "no frame rate 'fs' and no frame_times"),
        (lambda f: saved(f, "ops.npy", {"fs": RATE}), {}, "height 'Ly'"),
        (lambda f: saved(f, "stat.npy", np.array([{}], object)), {}, "no median 'med'"),
        (lambda f: saved(f, "spks.npy", np.full((4, FRAMES), -1.0)), {}, "negative"),
        (lambda f: saved(f, "ops.npy", {"Ly": LINES, "fs": 0}), {}, "no frame rate 'fs'"),
        (
            lambda f: saved(f, "spks.npy", np.ones((3, FRAMES))),
            {},
            r"4 regions in stat.npy, but spks.npy has the shape \(3, 400\)",
        ),
        (lambda f: without(f, "iscell.npy"), {}, "no iscell.npy, which says what is a cell"),
        (lambda f: saved(f, "ops.npy", {"Ly": "tall", "fs": RATE}), {}, "height 'Ly'"),
        (lambda f: saved(f, "ops.npy", {"Ly": LINES, "fs": "fast"}), {}, "no frame rate 'fs'"),
        (lambda f: saved(f, "stat.npy", np.array([{"med": None}] * 4, object)), {}, "no median 'med'"),
        (lambda f: saved(f, "spks.npy", np.ones((4, 1))), {}, "at least two"),
        (lambda f: None, {"frame_times": [0.0, 0.1]}, "2 frame times, but Suite2p has 400"),
        (lambda f: None, {"frame_times": np.zeros(FRAMES)}, "do not rise"),
        (
            lambda f: (f / "a.csv").write_text("time\n1\nlate\n"),
            {"frame_times": "a.csv"},
            "one number a frame",
        ),
        (lambda f: None, {"frame_times": "nowhere.csv"}, "no file 'nowhere.csv'"),
        (lambda f: None, {"events": "stord"}, "did you mean 'stored'"),
    ],
)
def test_folders_that_cannot_be_read(session, harm, options, words):
    harm(session)
    with pytest.raises(UndertowError, match=words):
        suite2p.read(session, **options)


class Harm:
    """What a pickle could do."""

    def __reduce__(self):
        return (os.mkdir, ("harmed",))


def test_a_pickle_that_calls_something_is_refused_and_nothing_is_called(session, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(session, "stat.npy", np.array([{"med": Harm()}], dtype=object))
    with pytest.raises(UndertowError, match=r"asks to call .*mkdir"):
        suite2p.read(session)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "builtins.getattr", "numpy.load", "os.system", "io.open"])
def test_only_plain_values_may_be_named(tmp_path, name):
    module, attribute = name.rsplit(".", 1)
    program = f"c{module}\n{attribute}\n(S'1'\ntR.".encode()
    header = np.lib.format.header_data_from_array_1_0(np.empty((), object))
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(program)
    with pytest.raises(UndertowError, match=f"asks to call {name}"):
        restricted_pickle.load(tmp_path / "x.npy")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_objects_of_every_protocol_are_read(tmp_path, protocol):
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": [1, (2.5, None)],
        "c": np.float32(3),
        "d": {"x"},
        "e": np.array(["u"]),
    }
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, np.lib.format.header_data_from_array_1_0(np.empty((), object))
        )
        pickle.dump(np.array(value, dtype=object), file, protocol=protocol)
    found = restricted_pickle.load(path).item()
    np.testing.assert_array_equal(found.pop("a"), value.pop("a"))
    assert found.pop("e").tolist() == value.pop("e").tolist()
    assert found == value
