"""Trials and estimates on disk: compressed netCDF files that any netCDF or HDF5 reader opens.

A file appears under its name only when it is complete: everything is written to a temporary name in the
same folder, then renamed. Text, flags, NaN and attributes come back as they went in. `save` takes what is
in memory; `write_chunks` takes trial after trial from an iterator, for results larger than memory, and
`open_trials(path, lazy=True)` reads trials when they are indexed::

    trials = open_trials("session.nc", lazy=True)
    trials.isel(trial=slice(0, 64)).load()          # only these trials are read from the disk
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr

from undertow.files import replacing
from undertow.vocabulary import ESTIMATE_SCHEMA, SCHEMA, UndertowError, check_trials

_ENGINE = "h5netcdf"
_COMPRESSION = {"zlib": True, "complevel": 2, "shuffle": True}
_CHUNK_BYTES = 1_000_000  # one compressed block: a few trials, so that slices along trial are cheap
_ENCODED = "json:"  # marks an attribute that netCDF can't hold as it is


def save(trials: xr.Dataset, path: str | Path) -> Path:
    """Write trials or an estimate to `path` and return it; an existing file is replaced at the end at once.

    Raises:
        UndertowError: a folder that is missing or can't be written, or a full disk.
    """
    with _replacing(Path(path)) as temporary, h5netcdf.File(temporary, "w") as file:
        _write(trials, file)
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
    with _replacing(Path(path)) as temporary:
        remaining = iter(chunks)
        first = next(remaining, None)
        if first is None:
            raise UndertowError(f"There is nothing to write to '{path}': no chunk was given.")
        with h5netcdf.File(temporary, "w") as file:
            _write(_frame(coordinates, first), file)
            streamed = _streamed(coordinates, first)
            _create(file, first, streamed)
            written = 0
            for chunk in itertools.chain([first], remaining):
                written = _append(file, chunk, streamed, written)
                temporary.check()
        total = coordinates.sizes.get("trial", 0)
        if written != total:
            raise UndertowError(
                f"The chunks for '{path}' hold {written} trials, but the coordinates {total}; "
                "give every trial once."
            )
    return Path(path)


def open_trials(path: str | Path, *, lazy: bool = False) -> xr.Dataset:
    """The trials in a file that `save` wrote; lazily, the counts stay on disk until they are indexed.

    A lazy Dataset holds its file open until `.close()`.

    Raises:
        UndertowError: no such file, a damaged one, or one that holds no trials.
    """
    return check_trials(_opened(Path(path), SCHEMA, "trials", lazy=lazy))


def open_estimate(path: str | Path, *, lazy: bool = False) -> xr.Dataset:
    """The estimate in a file that `save` or `write_chunks` wrote; `lazy` and errors as for `open_trials`."""
    return _opened(Path(path), ESTIMATE_SCHEMA, "estimate", lazy=lazy)


def _opened(path: Path, schema: str, what: str, *, lazy: bool) -> xr.Dataset:
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of a .nc file with {what}.")
    try:
        stored = xr.open_dataset(path, engine=_ENGINE, decode_times=False, cache=not lazy)
        if not lazy:
            with stored:
                stored = stored.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UndertowError(
            f"'{path}' can't be read as netCDF ({_reason(error)}); it is damaged or of another kind."
        ) from error
    found = stored.attrs.get("schema")
    if found != schema:
        stored.close()
        raise UndertowError(
            f"'{path}' holds no undertow {what}: its attribute 'schema' is {found!r}, not '{schema}'; "
            "convert the recording first."
        )
    return _thawed(stored)


def _write(dataset: xr.Dataset, file: h5netcdf.File) -> None:
    frozen = _frozen(dataset)
    encoding = {name: _encoding(frozen[name]) for name in frozen.variables}
    frozen.dump_to_store(xr.backends.H5NetCDFStore(file), encoding=encoding)


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


def _create(file: h5netcdf.File, first: xr.Dataset, streamed: Sequence[str]) -> None:
    """Empty compressed variables along the whole trial axis, as the first chunk has them."""
    sizes = {axis: size for axis, size in first.sizes.items() if axis not in file.dimensions}
    for axis, size in sizes.items():
        file.dimensions[axis] = size
    for name in streamed:
        array = first[name]
        if array.dtype.kind not in "fiu" or array.dims[0] != "trial":
            raise UndertowError(
                f"'{name}' is {array.dtype} with the axes {array.dims}, but chunks hold numbers with 'trial' first."
            )
        shape = tuple(file.dimensions[axis].size for axis in array.dims)
        file.create_variable(
            name,
            array.dims,
            array.dtype,
            chunks=_chunk_shape(shape, array.dtype.itemsize),
            compression="gzip",
            compression_opts=_COMPRESSION["complevel"],
            shuffle=_COMPRESSION["shuffle"],
        )


def _append(file: h5netcdf.File, chunk: xr.Dataset, streamed: Sequence[str], written: int) -> int:
    """Write one chunk behind the `written` trials and return how many are written then."""
    end = written + chunk.sizes["trial"]
    for name in streamed:
        shape = chunk[name].shape if name in chunk else None
        expected = file.variables[name].shape
        if shape is None or shape[1:] != expected[1:] or end > expected[0]:
            raise UndertowError(
                f"The chunk with '{name}' of shape {shape} behind {written} trials does not fit into {expected}; "
                "give chunks with the same variables and axes, and every trial once."
            )
        file.variables[name][written:end] = chunk[name].values
    return end


class _Temporary(io.FileIO):
    """A file that takes writes after a failed one in silence and remembers the failure.

    HDF5 can't close a file whose disk is full: it crashes the process. So it never hears of the failure;
    whoever writes asks `check` afterwards and throws the file away.
    """

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write everything, or remember why not."""
        length, written = memoryview(content).nbytes, 0
        end = self.tell() + length
        try:
            while written < length:
                written += super().write(memoryview(content).cast("B")[written:])
        except OSError as error:
            self._remember(error)
            self.seek(end)
        return length

    def readinto(self, buffer: Any) -> int:
        """Read, with zeros for what could not be written."""
        view = memoryview(buffer).cast("B")
        length = super().readinto(view)
        view[length:] = bytes(len(view) - length)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Resize, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._remember(error)
            return self.tell() if size is None else size

    def _remember(self, error: OSError) -> None:
        # A copy without the traceback, which would hold memory of HDF5 that is gone by then.
        self.failure = OSError(error.errno, error.strerror)

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure


@contextmanager
def _replacing(path: Path) -> Iterator[_Temporary]:
    """A file for HDF5 under a temporary name that takes the place of `path` when all went well."""
    with replacing(path) as temporary, _Temporary(temporary, "w+") as file:
        yield file
        file.check()


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
