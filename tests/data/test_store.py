"""What goes to disk comes back bit for bit, in pieces too; what goes wrong leaves nothing half-written."""

import itertools
import resource

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from undertow.data.store import open_estimate, open_trials, save, write_chunks
from undertow.data.trials import trials
from undertow.vocabulary import ESTIMATE_SCHEMA, UndertowError

RNG = np.random.default_rng(2)


def some_trials(count=6):
    values = RNG.poisson(1, (count, 5, 3)).astype(float)
    values[0, 3:] = np.nan
    built = trials(
        values,
        bin_width=0.01,
        neuron=["a", "b", "é c"],
        behaviour=RNG.normal(size=(count, 5, 2)),
        condition=["x", "", "längste", "z", "w", "q"][:count],
        good=np.arange(count) % 2 == 0,
        start_time=np.arange(count) / 3,
        neuron_columns={"depth": [1, 2, 3]},
    )
    built.counts.attrs["unit"] = "spikes"
    return built.assign_attrs(
        notes="first\nsecond", flag=True, single=["one"], empty="", nothing=None, size=3
    )


def some_estimate(given_trials):
    count = given_trials.sizes["trial"]
    variables = {
        "rates": (("trial", "time", "neuron"), RNG.random((count, 5, 3), np.float32)),
        "factors": (("trial", "time", "factor"), RNG.random((count, 5, 4), np.float32)),
        "code": (("trial", "code"), RNG.random((count, 2))),
    }
    coordinates = given_trials.drop_vars("behaviour").coords
    attributes = {**given_trials.attrs, "schema": ESTIMATE_SCHEMA}
    return xr.Dataset(variables, coordinates, attributes).assign_coords(factor=list("abcd"))


def same(left, right):
    xr.testing.assert_identical(left, right)
    assert {name: item.dtype for name, item in left.variables.items()} == {
        name: item.dtype for name, item in right.variables.items()
    }
    assert left.attrs == right.attrs
    assert all(type(left.attrs[name]) is type(right.attrs[name]) for name in left.attrs)


@pytest.mark.parametrize("lazy", [False, True])
def test_trials_come_back_as_they_were(tmp_path, lazy):
    before = some_trials()
    assert save(before, tmp_path / "a.nc") == tmp_path / "a.nc"
    with open_trials(tmp_path / "a.nc", lazy=lazy) as after:
        same(before, after)
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


floats = hnp.arrays(np.float32, (3, 2, 2), elements=st.floats(width=32, allow_infinity=False))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    floats, st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=3, max_size=3)
)
def test_any_bits_and_any_text_come_back(tmp_path, values, words):
    values[0, 0, 0] = np.nan
    before = trials(values, bin_width=0.1, word=np.array(words, dtype=str))
    save(before, tmp_path / "a.nc")
    after = open_trials(tmp_path / "a.nc")
    assert after.counts.values.tobytes() == before.counts.values.tobytes()
    assert after.word.values.tolist() == before.word.values.tolist()


def test_lazy_trials_stay_on_disk_until_they_are_indexed(tmp_path):
    before = some_trials()
    save(before, tmp_path / "a.nc")
    with open_trials(tmp_path / "a.nc", lazy=True) as lazy:
        some = lazy.isel(trial=slice(2, 4)).load()
        assert not lazy.variables["counts"]._in_memory
        same(before.isel(trial=slice(2, 4)), some)


def test_what_was_read_lazily_can_be_saved_elsewhere(tmp_path):
    save(some_trials(), tmp_path / "a.nc")
    with open_trials(tmp_path / "a.nc", lazy=True) as lazy:
        save(lazy.isel(trial=[4, 1]), tmp_path / "b.nc")
        xr.testing.assert_identical(lazy.isel(trial=[4, 1]).load(), open_trials(tmp_path / "b.nc"))


def test_large_counts_are_compressed(tmp_path):
    before = trials(RNG.poisson(0.1, (50, 100, 60)).astype(float), bin_width=0.01)
    save(before, tmp_path / "a.nc")
    assert (tmp_path / "a.nc").stat().st_size < before.counts.nbytes / 8
    same(before, open_trials(tmp_path / "a.nc"))


@pytest.mark.parametrize("steps", [[6], [2, 2, 2], [1, 4, 1]])
def test_chunks_are_read_back_as_one_estimate(tmp_path, steps):
    estimate = some_estimate(some_trials())
    edges = np.cumsum([0, *steps])
    chunks = (estimate.isel(trial=slice(low, high)) for low, high in itertools.pairwise(edges))
    coordinates = estimate.drop_vars(["rates", "factors", "code", "factor"])
    write_chunks(tmp_path / "e.nc", coordinates, chunks)
    same(estimate, open_estimate(tmp_path / "e.nc"))
    with xr.open_dataset(tmp_path / "e.nc", engine="h5netcdf") as plain:
        np.testing.assert_array_equal(plain.rates, estimate.rates)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "no chunk was given"),
        ([slice(0, 2)], "hold 2 trials, but the coordinates 6"),
        ([slice(0, 4), slice(2, 6)], "does not fit"),
    ],
)
def test_chunks_that_do_not_add_up_leave_nothing(tmp_path, pieces, message):
    estimate = some_estimate(some_trials())
    with pytest.raises(UndertowError, match=message):
        write_chunks(
            tmp_path / "e.nc",
            estimate.drop_vars(["rates", "factors", "code"]),
            map(lambda piece: estimate.isel(trial=piece), pieces),
        )
    assert list(tmp_path.iterdir()) == []


def test_chunks_with_other_variables_or_text_are_refused(tmp_path):
    estimate = some_estimate(some_trials())
    coordinates = estimate.drop_vars(["rates", "factors", "code"])
    odd = [estimate.isel(trial=slice(0, 3)), estimate.drop_vars("rates").isel(trial=slice(3, 6))]
    with pytest.raises(UndertowError, match="'rates' of shape None"):
        write_chunks(tmp_path / "e.nc", coordinates, odd)
    words = xr.Dataset({"word": ("trial", np.array(list("abcdef")))})
    with pytest.raises(UndertowError, match="'word' is <U1"):
        write_chunks(tmp_path / "e.nc", coordinates, [words])


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    before = some_trials()
    save(before, tmp_path / "e.nc")

    def chunks():
        yield some_estimate(before).isel(trial=slice(0, 2))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chunks(tmp_path / "e.nc", before, chunks())
    assert [path.name for path in tmp_path.iterdir()] == ["e.nc"]
    same(before, open_trials(tmp_path / "e.nc"))


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    large = trials(RNG.random((40, 100, 50)), bin_width=0.01)  # cannot be compressed below the limit
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (100_000, hard)
    )  # the system refuses further bytes as on a full disk
    try:
        with pytest.raises(UndertowError, match=r"a\.nc' can't be written .* choose a folder with space"):
            save(large, tmp_path / "a.nc")
        with pytest.raises(UndertowError, match=r"b\.nc' can't be written"):
            write_chunks(
                tmp_path / "b.nc", large.drop_vars("counts"), [large.isel(trial=[k]) for k in range(40)]
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written_are_said(tmp_path):
    with pytest.raises(UndertowError, match="no folder"):
        save(some_trials(), tmp_path / "nowhere" / "a.nc")
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(UndertowError, match="can't be written"):
        save(some_trials(), tmp_path / "a.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]


def test_missing_foreign_and_damaged_files_are_said(tmp_path):
    path = tmp_path / "a.nc"
    with pytest.raises(UndertowError, match="There is no file"):
        open_trials(path)
    path.write_bytes(b"these are no trials")
    with pytest.raises(UndertowError, match="can't be read as netCDF"):
        open_trials(path)
    xr.Dataset({"x": ("y", [1.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(UndertowError, match="'schema' is None"):
        open_trials(path)
    save(some_estimate(some_trials()), path)
    with pytest.raises(UndertowError, match="holds no undertow trials"):
        open_trials(path)
    save(trials(RNG.random((40, 100, 50)), bin_width=0.01), path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UndertowError, match="can't be read as netCDF"):
        open_trials(path)


def test_the_dataset_is_not_modified(tmp_path):
    before = some_trials()
    copy = before.copy(deep=True)
    save(before, tmp_path / "a.nc")
    same(before, copy)


def test_text_of_any_kind_comes_back_as_text(tmp_path):
    before = some_trials(3)
    odd = before.assign_coords(word=("trial", np.array(["a", "", "längste"], dtype=object)))
    save(odd, tmp_path / "a.nc")
    after = open_trials(tmp_path / "a.nc")
    assert after.word.dtype.kind == "U" and after.word.values.tolist() == ["a", "", "längste"]
    assert odd.word.dtype == object
