"""Trials and estimates on disk: compressed netCDF files that any netCDF or HDF5 reader opens.

A file appears under its name only when it is complete: everything is written to a temporary name in the
same folder, then renamed. Text, flags, NaN and attributes come back as they went in. `save` takes what is
in memory; `write_chunks` takes trial after trial from an iterator, for results larger than memory, and
`open_trials(path, lazy=True)` reads trials when they are indexed::

    trials = open_trials("session.nc", lazy=True)
    trials.isel(trial=slice(0, 64)).load()          # only these trials are read from the disk

Several sessions, a mapping of name to trials or estimates, are one file with a group for each (`open_sessions`).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from undertow.data.whole_file import WholeFile, whole_file
from undertow.vocabulary import ESTIMATE_SCHEMA, SCHEMA, SESSIONS_SCHEMA, UndertowError, check_trials

_ENGINE = "h5netcdf"
_COMPRESSION = {"zlib": True, "complevel": 2, "shuffle": True}
_CHUNK_BYTES = 1_000_000  # one compressed block: a few trials, so that slices along trial are cheap
_ENCODED = "json:"  # marks an attribute that netCDF can't hold as it is


def save(trials: xr.Dataset | Mapping[str, xr.Dataset], path: str | Path) -> Path:
    """Write trials or an estimate, or a mapping of several sessions' to `path` and return it; an existing file is replaced
    at the end at once.

    Several sessions are a group each in one file, which `xarray.open_datatree` reads, too.

    Raises:
        UndertowError: no session, a folder that is missing or can't be written, or a full disk.
    """
    with whole_file(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        if isinstance(trials, xr.Dataset):
            _write(trials, file)
        else:
            for dataset, group in zip(trials.values(), _groups(file, trials), strict=True):
                _write(dataset, group)
                temporary.check()
    return Path(path)


def write_chunks(path: str | Path, coordinates: xr.Dataset, chunks: Iterable[xr.Dataset]) -> Path:
    """Write a Dataset that comes in pieces along `trial`, holding one piece in memory at a time.

    Args:
        path: the file to write.
        coordinates: coordinates along the whole `trial` axis, and the attributes; its variables are ignored.
        chunks: Datasets that follow each other along `trial`, with the same numeric variables and axes.

    Raises:
        UndertowError: no chunk, chunks that do not add up to the trials of `coordinates` or differ in their
            variables, or a file that can't be written.
    """
    with whole_file(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        _write_in_chunks(file, coordinates, chunks, temporary, f"'{path}'")
    return Path(path)


def write_session_chunks(
    path: str | Path, several: Mapping[str, tuple[xr.Dataset, Iterable[xr.Dataset]]]
) -> Path:
    """Write several sessions to one file, each from its coordinates and chunks as for `write_chunks`, one after the other."""
    with whole_file(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        for name, group in zip(several, _groups(file, several), strict=True):
            _write_in_chunks(group, *several[name], temporary, f"session '{name}' of '{path}'")
    return Path(path)


def open_trials(path: str | Path, *, lazy: bool = False) -> xr.Dataset:
    """The trials in a file that `save` wrote; lazily, the counts stay on disk until they are indexed.

    A lazy Dataset holds its file open until `.close()`.

    Raises:
        UndertowError: no such file, a damaged one, one that holds no trials, or several sessions.
    """
    groups = _groups_in(Path(path), "trials")
    if groups:
        raise UndertowError(
            f"'{path}' holds {len(groups)} sessions ({_listed(groups.values())}) where one is asked for; "
            "undertow.load_sessions reads all of them."
        )
    return check_trials(_opened(Path(path), None, SCHEMA, "trials", lazy=lazy))


def open_sessions(path: str | Path, *, lazy: bool = False) -> dict[str, xr.Dataset]:
    """The trials of all sessions in a file that `save` wrote, by the session's name, in the order of writing.

    A file with trials of one session has one entry. `lazy` and errors as for `open_trials`.
    """
    groups = _groups_in(Path(path), "trials")
    if not groups:
        trials = open_trials(path, lazy=lazy)
        return {str(trials.attrs.get("session", "session")): trials}
    return {
        name: check_trials(_opened(Path(path), group, SCHEMA, "trials", lazy=lazy))
        for group, name in groups.items()
    }


def open_estimate(
    path: str | Path, *, lazy: bool = False, bin_width: float | None = None
) -> xr.Dataset | dict[str, xr.Dataset]:
    """The estimate in a file that `save` or `write_chunks` wrote; `lazy` and errors as for `open_trials`.

    Of several sessions, it is a dictionary of estimates by the session's name. An output file of lfads-torch (.h5) is read
    as an estimate, too; it needs `bin_width` in seconds.
    """
    if Path(path).suffix.lower() in (".h5", ".hdf5"):
        return import_module("undertow.data.readers.hdf5_estimate").read(path, bin_width=bin_width)
    read = partial(_opened, Path(path), schema=ESTIMATE_SCHEMA, what="estimate", lazy=lazy)
    groups = _groups_in(Path(path), "estimate")
    return {name: read(group) for group, name in groups.items()} if groups else read(None)


def open_as(path: str | Path, schema: str, what: str) -> xr.Dataset:
    """A Dataset of another schema that `save` wrote; errors as for `open_trials`, which call it `what`."""
    return _opened(Path(path), None, schema, what, lazy=False)


def _groups_in(path: Path, what: str) -> dict[str, str]:
    """Groups with a session each, and the names of the sessions; none in a file of one session."""
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of a .nc file with {what}.")
    with _readable(path), xr.open_dataset(path, engine=_ENGINE, decode_times=False) as root:
        is_several = root.attrs.get("schema") == SESSIONS_SCHEMA
        return dict(_thaw(root.attrs["sessions"])) if is_several else {}


def _opened(path: Path, group: str | None, schema: str, what: str, *, lazy: bool) -> xr.Dataset:
    with _readable(path):
        stored = xr.open_dataset(path, engine=_ENGINE, group=group, decode_times=False, cache=not lazy)
        if not lazy:
            with stored:
                stored = stored.load()
    found = stored.attrs.get("schema")
    if found != schema:
        stored.close()
        raise UndertowError(
            f"'{path}' holds no undertow {what}: its attribute 'schema' is {found!r}, not '{schema}'; "
            "convert the recording first."
        )
    return _thawed(stored)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what xarray raises about a file into a sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UndertowError(
            f"'{path}' can't be read as netCDF ({_reason(error)}); it is damaged or of another kind."
        ) from error


def _groups(file: h5netcdf.File, names: Iterable[str]) -> Iterator[h5netcdf.Group]:
    """A group for each name, which the file's attributes remember in order; a group's own name has no slash."""
    groups: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^\w -]", "_", name) or "session"
        free = (plain if number == 1 else f"{plain}-{number}" for number in itertools.count(1))
        groups[next(group for group in free if group not in groups)] = name
    if not groups:
        raise UndertowError("There is nothing to write: the mapping of sessions is empty.")
    file.attrs["schema"] = SESSIONS_SCHEMA
    file.attrs["sessions"] = _freeze(groups)
    yield from (file.create_group(group) for group in groups)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _write(dataset: xr.Dataset, place: h5netcdf.Group) -> None:
    """Write all of it into a file or a group."""
    frozen = _frozen(dataset)
    encoding = {name: _encoding(frozen[name]) for name in frozen.variables}
    frozen.dump_to_store(xr.backends.H5NetCDFStore(place), encoding=encoding)


def _encoding(array: xr.DataArray) -> dict[str, Any]:
    if array.dtype.kind not in "fiub" or array.ndim == 0 or array.size == 0:
        return {}
    return {**_COMPRESSION, "chunksizes": _chunk_shape(array.shape, array.dtype.itemsize)}


def _chunk_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Whole rows, as many of them as fill a block; a row that is larger than a block is cut along its next axis."""
    row = int(np.prod(shape[1:])) * itemsize
    rows = max(1, min(shape[0], _CHUNK_BYTES // max(row, 1)))
    if rows > 1 or len(shape) == 1 or row <= _CHUNK_BYTES:
        return (rows, *shape[1:])
    return (1, *_chunk_shape(shape[1:], itemsize))


def _frozen(dataset: xr.Dataset) -> xr.Dataset:
    """A copy as netCDF can hold it: text that is text, attributes that are numbers or text."""
    copy = dataset.drop_encoding()
    for name, variable in copy.variables.items():
        if variable.dtype.kind == "O":
            copy[name] = variable.astype(str)
    for holder in (copy, *copy.variables.values()):
        holder.attrs = {key: _freeze(value) for key, value in holder.attrs.items()}
    return copy


def _thawed(stored: xr.Dataset) -> xr.Dataset:
    words = {name: item.astype(str) for name, item in stored.coords.items() if item.dtype.kind in "OT"}
    thawed = stored.assign_coords(words)
    for holder in (thawed, *thawed.variables.values()):
        holder.attrs = {key: _thaw(value) for key, value in holder.attrs.items()}
    thawed.set_close(stored.close)
    return thawed


def _freeze(value: Any) -> Any:
    if type(value) in (float, int) or (isinstance(value, str) and value and not value.startswith(_ENCODED)):
        return value
    plain = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    return _ENCODED + json.dumps(plain)


def _thaw(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return (
        json.loads(value[len(_ENCODED) :]) if isinstance(value, str) and value.startswith(_ENCODED) else value
    )


def _write_in_chunks(
    place: h5netcdf.Group, coordinates: xr.Dataset, chunks: Iterable[xr.Dataset], file: WholeFile, name: str
) -> None:
    """Write chunk after chunk into a file or a group, as long as `file` has space; `name` is for errors."""
    remaining = iter(chunks)
    first = next(remaining, None)
    if first is None:
        raise UndertowError(f"There is nothing to write to {name}: no chunk was given.")
    _write(_frame(coordinates, first), place)
    streamed = _streamed(coordinates, first)
    _create(place, first, streamed)
    written = 0
    for chunk in itertools.chain([first], remaining):
        written = _append(place, chunk, streamed, written)
        file.check()
    total = coordinates.sizes.get("trial", 0)
    if written != total:
        raise UndertowError(
            f"The chunks for {name} hold {written} trials, but the coordinates {total}; give every trial once."
        )


def _frame(coordinates: xr.Dataset, first: xr.Dataset) -> xr.Dataset:
    """Everything but the variables along `trial`: all coordinates, attributes, and what has no trials."""
    bare = coordinates.drop_vars(list(coordinates.data_vars))
    fixed = first.drop_vars([name for name, item in first.variables.items() if "trial" in item.dims])
    return fixed.drop_attrs().assign_coords(bare.coords).assign_attrs({**first.attrs, **coordinates.attrs})


def _streamed(coordinates: xr.Dataset, first: xr.Dataset) -> list[str]:
    """Names of the variables along `trial` that come in chunks (xarray takes one named like its axis, as `code`
    is, for a coordinate)."""
    known = set(coordinates.coords)
    return [name for name, item in first.variables.items() if "trial" in item.dims and name not in known]


def _create(place: h5netcdf.Group, first: xr.Dataset, streamed: Sequence[str]) -> None:
    """Empty compressed variables along the whole trial axis, as the first chunk has them."""
    sizes = {axis: size for axis, size in first.sizes.items() if axis not in place.dimensions}
    for axis, size in sizes.items():
        place.dimensions[axis] = size
    for name in streamed:
        array = first[name]
        if array.dtype.kind not in "fiu" or array.dims[0] != "trial":
            raise UndertowError(
                f"'{name}' is {array.dtype} with the axes {array.dims}, but chunks hold numbers with 'trial' first."
            )
        shape = tuple(place.dimensions[axis].size for axis in array.dims)
        place.create_variable(
            name,
            array.dims,
            array.dtype,
            chunks=_chunk_shape(shape, array.dtype.itemsize),
            compression="gzip",
            compression_opts=_COMPRESSION["complevel"],
            shuffle=_COMPRESSION["shuffle"],
        )


def _append(place: h5netcdf.Group, chunk: xr.Dataset, streamed: Sequence[str], written: int) -> int:
    """Write one chunk behind the `written` trials and return how many are written then."""
    end = written + chunk.sizes["trial"]
    for name in streamed:
        shape = chunk[name].shape if name in chunk else None
        expected = place.variables[name].shape
        if shape is None or shape[1:] != expected[1:] or end > expected[0]:
            raise UndertowError(
                f"The chunk with '{name}' of shape {shape} behind {written} trials does not fit into {expected}; "
                "give chunks with the same variables and axes, and every trial once."
            )
        place.variables[name][written:end] = chunk[name].values
    return end


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
