"""Several sessions get the same bins and inputs and nothing else changes; what can't be matched is said; files keep them."""

import numpy as np
import pytest
import xarray as xr

import undertow as ut
from undertow.cli import main
from undertow.data.sessions import sessions
from undertow.data.store import open_estimate, open_sessions, open_trials, save, write_session_chunks
from undertow.vocabulary import ESTIMATE_SCHEMA, UndertowError, check_trials

RNG = np.random.default_rng(5)


def recorded(trials=6, bins=8, neurons=3, name="monday", **more):
    counts = RNG.poisson(1.0, (trials, bins, neurons)).astype(np.float32)
    more = {"split": ["train", "valid"] * (trials // 2), **more}
    return ut.trials(counts, bin_width=0.01, session=name, **more)


def with_inputs(names=None, bins=8, **more):
    number = 2 if names is None else len(names)
    trials = recorded(bins=bins, inputs=RNG.normal(size=(6, bins, number)), **more)
    return trials if names is None else trials.assign_coords(input_channel=("input", list(names)))


def in_pairs(estimate):
    yield from (estimate.isel(trial=slice(at, at + 2)) for at in range(0, estimate.sizes["trial"], 2))


def test_names_are_the_sessions_own_and_distinct():
    several = sessions([recorded(), recorded(), recorded(name="monday-2"), recorded(name="friday")])
    assert list(several) == ["monday", "monday-2", "monday-2-2", "friday"]
    assert [trials.attrs["session"] for trials in several.values()] == list(several)
    assert list(sessions(recorded())) == ["monday"]


def test_the_names_of_a_mapping_are_kept_in_order():
    given = recorded()
    several = sessions({"b": given, "a": recorded()})
    assert list(several) == ["b", "a"] and several["a"].attrs["session"] == "a"
    assert given.attrs["session"] == "monday"
    xr.testing.assert_identical(several["b"].drop_attrs(deep=False), given.drop_attrs(deep=False))


def test_shorter_sessions_end_in_bins_that_were_not_observed():
    short = recorded(bins=5, behaviour=RNG.normal(size=(6, 5, 2)), condition=list("abcabc"))
    several = sessions({"long": recorded(neurons=7), "short": short})
    padded = check_trials(several["short"])
    np.testing.assert_array_equal(padded.time, several["long"].time)
    assert padded.isel(time=slice(5, None)).counts.isnull().all() and not padded.forward.any()
    assert padded.isel(time=slice(5, None)).behaviour.isnull().all()
    back = padded.isel(time=slice(0, 5)).assign_attrs(short.attrs)
    xr.testing.assert_identical(back.assign_coords(time=short.time), short)
    assert padded.counts.dtype == np.float32 and padded.forward.dtype == bool


def test_beginnings_within_half_a_bin_are_one_axis_and_others_are_refused():
    several = sessions({"a": recorded(start=-0.1), "b": recorded(start=-0.1 + 0.004)})
    np.testing.assert_array_equal(several["a"].time, several["b"].time)
    with pytest.raises(UndertowError, match=r"'b' lies at -0.085 s, that of 'a' at -0.095 s"):
        sessions({"a": recorded(start=-0.1), "b": recorded(start=-0.09)})


def test_known_inputs_meet_by_name_and_are_zero_where_a_session_lacks_them():
    one, other = with_inputs(["go", "load"]), with_inputs(["tone", "go"], bins=6)
    several = sessions({"one": one, "other": other, "none": recorded()})
    for trials in several.values():
        assert check_trials(trials).input_channel.values.tolist() == ["go", "load", "tone"]
    np.testing.assert_array_equal(several["one"].inputs[..., :2], one.inputs)
    np.testing.assert_array_equal(several["one"].inputs[..., 2], 0)
    np.testing.assert_array_equal(several["other"].inputs[:, :6, [2, 0]], other.inputs)
    np.testing.assert_array_equal(several["other"].inputs[..., 1], 0)
    np.testing.assert_array_equal(several["none"].inputs, np.zeros((6, 8, 3), np.float32))


def test_inputs_without_names_must_be_as_many():
    several = sessions({"a": with_inputs(), "b": recorded()})
    np.testing.assert_array_equal(several["b"].inputs, 0)
    assert several["b"].inputs.shape == several["a"].inputs.shape
    with pytest.raises(UndertowError, match=r"'a' 2, 'b' 3.*input_channel"):
        sessions({"a": with_inputs(), "b": with_inputs("xyz").drop_vars("input_channel")})
    with pytest.raises(UndertowError, match="give each a name of its own"):
        sessions({"a": with_inputs(["x", "x"]), "b": with_inputs(["x", "y"])})


@pytest.mark.parametrize(
    ("several", "words"),
    [
        (list, "no session"),
        (
            lambda: {"a": recorded(), "b": recorded().assign_attrs(bin_width=0.02, session="b")},
            "'b': The bin",
        ),
        (
            lambda: {"a": recorded(), "b": ut.trials(np.ones((2, 3, 4)), bin_width=0.02)},
            r"'a' 0.01 s, 'b' 0.02 s",
        ),
        (
            lambda: {"a": recorded(forward=np.arange(8) > 5), "b": recorded(bins=6)},
            r"'a' and 'b' forecast different bins \(6 to 7 and none\)",
        ),
        (
            lambda: {"a": recorded(), "b": recorded(bins=6, forward=np.arange(6) > 3)},
            r"\(none and 4 to 5\)",
        ),
    ],
)
def test_what_can_not_be_one_model_is_refused(several, words):
    with pytest.raises(UndertowError, match=words):
        sessions(several())


@pytest.mark.parametrize("lazy", [False, True])
def test_several_sessions_come_back_from_one_file(tmp_path, lazy):
    several = sessions(
        [recorded(name="a/b.nwb"), recorded(neurons=5, bins=4, name="a_b.nwb"), recorded(name="")]
    )
    save(several, tmp_path / "all.nc")
    back = open_sessions(tmp_path / "all.nc", lazy=lazy)
    assert list(back) == ["a/b.nwb", "a_b.nwb", ""]
    for name, trials in back.items():
        xr.testing.assert_identical(trials.load(), several[name])
        trials.close()
    with xr.open_datatree(tmp_path / "all.nc", engine="h5netcdf") as tree:
        assert len(tree.children) == 3
        np.testing.assert_array_equal(tree["a_b_nwb"].counts, several["a/b.nwb"].counts)


def test_a_file_of_one_session_has_one_and_one_of_several_is_no_single_one(tmp_path):
    save(recorded(), tmp_path / "one.nc")
    assert list(open_sessions(tmp_path / "one.nc")) == ["monday"]
    save({"a": recorded(), "b": recorded()}, tmp_path / "two.nc")
    for read in (ut.load, open_trials):
        with pytest.raises(UndertowError, match=r"2 sessions \('a', 'b'\).*load_sessions"):
            read(tmp_path / "two.nc")
    with pytest.raises(UndertowError, match="empty"):
        save({}, tmp_path / "none.nc")
    with pytest.raises(UndertowError, match="no undertow estimate"):
        open_estimate(tmp_path / "two.nc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.nc", "two.nc"]


def test_estimates_of_several_sessions_are_written_whole_or_in_chunks(tmp_path):
    several = {"a": recorded(), "b": recorded(neurons=5, trials=4)}
    estimates = {
        name: trials[[]]
        .assign(rates=trials.counts.astype(np.float32))
        .assign_attrs(schema=ESTIMATE_SCHEMA, session=name)
        for name, trials in several.items()
    }
    save(estimates, tmp_path / "whole.nc")
    pieces = {name: (estimate.drop_vars("rates"), in_pairs(estimate)) for name, estimate in estimates.items()}
    write_session_chunks(tmp_path / "chunks.nc", pieces)
    for file in ("whole.nc", "chunks.nc"):
        back = open_estimate(tmp_path / file)
        assert list(back) == ["a", "b"]
        for name, estimate in back.items():
            xr.testing.assert_identical(estimate, estimates[name])
    with pytest.raises(UndertowError, match=r"session 'a' of .* hold 2 trials"):
        write_session_chunks(
            tmp_path / "bad.nc",
            {"a": (estimates["a"].drop_vars("rates"), [estimates["a"].isel(trial=[0, 1])])},
        )
    assert not (tmp_path / "bad.nc").exists()


def test_loading_names_sessions_by_their_recording_or_their_file(tmp_path):
    for name in ("x", "y"):
        np.save(tmp_path / f"{name}.npy", np.ones((4, 5, 2)))
    save({"b": recorded(bins=5), "c": recorded(bins=3)}, tmp_path / "two.nc")
    save(recorded(name="c"), tmp_path / "file.nc")
    several = ut.load_sessions([tmp_path / "x.npy", tmp_path / "y.npy"], bin_width=0.01)
    own = [trials.attrs["session"] for trials in several.values()]
    assert own == list(several) and set(own) == {"x", "y"}
    several = ut.load_sessions([tmp_path / "two.nc", str(tmp_path / "file.nc")])
    assert list(several) == ["b", "c", "file"]
    assert [trials.sizes["time"] for trials in several.values()] == [8, 8, 8]
    assert list(ut.load_sessions({"n": tmp_path / "file.nc"})) == ["n"]
    assert list(ut.load_sessions(tmp_path / "two.nc")) == ["b", "c"]
    with pytest.raises(UndertowError, match="'align' can't be applied"):
        ut.load_sessions([tmp_path / "two.nc"], align="go")


def test_several_sources_are_converted_to_one_file_and_described(tmp_path, capsys):
    for name, bins in (("x", 6), ("y", 5)):
        np.save(tmp_path / f"{name}.npy", RNG.poisson(1.0, (10, bins, 2)))
    sources, out = [str(tmp_path / f"{name}.npy") for name in "xy"], str(tmp_path / "out.nc")
    main(
        [
            "convert",
            *sources,
            out,
            "--bin-width",
            "0.01",
            "--hold-out",
            "0.5",
            "--forward",
            "2",
            "--seed",
            "1",
        ]
    )
    assert "2 sessions" in capsys.readouterr().out
    several = open_sessions(out)
    assert list(several) == ["x", "y"]
    for trials in several.values():
        assert trials.forward.values.tolist() == [False] * 4 + [True] * 2
        assert trials.held_out.sum() == 1
        assert (trials.split == "valid").sum() == 2
    main(["describe", out])
    page = capsys.readouterr().out
    assert page.index("x\n=") < page.index("y\n=") and page.count("10 trials of up to 6 bins") == 2


def test_a_file_of_several_sessions_is_subsampled_session_by_session(tmp_path, capsys):
    save({"a": recorded(), "b": recorded(neurons=5)}, tmp_path / "in.nc")
    main(["subsample", str(tmp_path / "in.nc"), str(tmp_path / "out.nc"), "--keep", "2"])
    assert "2 of 5 neurons" in capsys.readouterr().out
    for trials in open_sessions(tmp_path / "out.nc").values():
        np.testing.assert_array_equal(trials.counts.notnull().sum("neuron"), 2)


def test_convert_asks_where_to_if_there_is_one_path_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["convert", str(tmp_path / "a.npy")])
    assert left.value.code == 2 and "OUT.nc" in capsys.readouterr().err
