"""What a MATLAB file holds, the same for version 5 (and older) and version 7.3: arrays, words, cells and
structs.

`read_values(path)` gives the variables by name. A number, logical or sparse array is a NumPy array with
MATLAB's own axes (at least two; a 7.3 file stores them reversed, here they are turned back). A char row is a
`str`. A cell is an object array of values. A struct, or struct array, is a `Struct`. What can't be read
(function handles, tables, objects) is `Unreadable`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from undertow.vocabulary import UndertowError

# What SciPy and h5py raise on files that are truncated or of another kind.
_WHEN_BROKEN = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_WHEN_BROKEN = (*_WHEN_BROKEN, AssertionError, AttributeError, NameError, struct.error, zlib.error)


@dataclass(frozen=True)
class Struct:
    """A struct array: its shape, and for each field one value an element, in MATLAB's order."""

    shape: tuple[int, ...]
    fields: dict[str, list[Any]]


@dataclass(frozen=True)
class Unreadable:
    """A value of a class that only MATLAB understands."""

    kind: str


def read_values(path: str | Path) -> dict[str, Any]:
    """The variables of a MATLAB file by name; an `UndertowError` where it can't be read."""
    path = Path(path)
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of a MATLAB file.")
    from scipy.io.matlab import MatReadError

    try:
        return _read_hdf5(path) if h5py.is_hdf5(path) else _read_classic(path)
    except (*_WHEN_BROKEN, MatReadError) as error:
        raise UndertowError(
            f"'{path}' can't be read as a MATLAB file ({str(error) or type(error).__name__}); "
            "it may be truncated or of another kind, so copy it again or save it anew from MATLAB."
        ) from error


def _read_classic(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    variables = loadmat(path, struct_as_record=True, squeeze_me=False, chars_as_strings=True)
    return {name: _classic(value) for name, value in variables.items() if not name.startswith("__")}


def _classic(value: Any) -> Any:
    """A value as SciPy gives it, as one of ours."""
    if hasattr(value, "toarray"):
        return value.toarray()
    if type(value).__name__ in ("MatlabFunction", "MatlabOpaque"):
        return Unreadable(type(value).__name__.removeprefix("Matlab").lower())
    if value.dtype.names:
        elements = value.ravel(order="F")
        return Struct(
            value.shape, {name: [_classic(one) for one in elements[name]] for name in value.dtype.names}
        )
    if value.dtype == object:
        return _cell([_classic(one) for one in value.ravel(order="F")], value.shape)
    if value.dtype.kind == "U":
        return "".join(value.ravel()) if value.size <= 1 else _cell(value.ravel().tolist(), (value.size, 1))
    return value


def _cell(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """A cell from its values in MATLAB's order."""
    cell = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cell[index] = value
    return cell.reshape(shape, order="F")


def _read_hdf5(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        return {name: _stored(file, item) for name, item in file.items() if not name.startswith("#")}


def _stored(file: h5py.File, item: h5py.Group | h5py.Dataset) -> Any:
    kind = _kind(item)
    if "MATLAB_object_decode" in item.attrs or kind == "function_handle":
        return Unreadable(kind or "object")
    if isinstance(item, h5py.Group):
        return _sparse(item) if "MATLAB_sparse" in item.attrs else _struct(file, item)
    if item.attrs.get("MATLAB_empty", 0):
        return _empty(kind, tuple(int(size) for size in np.ravel(item[()])))
    if h5py.check_ref_dtype(item.dtype):
        return _cell(_referred(file, item), item.shape[::-1])
    values = np.atleast_2d(item[()].T)
    return _DECODERS.get(kind, _number)(values)


def _kind(item: h5py.Group | h5py.Dataset) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _referred(file: h5py.File, item: h5py.Dataset) -> list[Any]:
    return [_stored(file, file[reference]) for reference in item[()].ravel()]


def _struct(file: h5py.File, group: h5py.Group) -> Struct:
    """A group of fields; in a struct array each field is a data set of references without a class."""
    fields = {name: group[name] for name in _field_names(group)}
    first = next(iter(fields.values()), None)
    if isinstance(first, h5py.Dataset) and h5py.check_ref_dtype(first.dtype) and not _kind(first):
        return Struct(first.shape[::-1], {name: _referred(file, field) for name, field in fields.items()})
    return Struct((1, 1), {name: [_stored(file, field)] for name, field in fields.items()})


def _field_names(group: h5py.Group) -> list[str]:
    stored = [b"".join(np.ravel(letters)).decode() for letters in group.attrs.get("MATLAB_fields", [])]
    return stored if set(stored) == set(group) else list(group)


def _sparse(group: h5py.Group) -> np.ndarray:
    from scipy.sparse import csc_matrix

    starts = group["jc"][()]
    shape = (int(group.attrs["MATLAB_sparse"]), starts.size - 1)
    parts = [group[name][()] if name in group else np.zeros(0) for name in ("data", "ir")]
    return csc_matrix((parts[0], parts[1].astype(int), starts.astype(int)), shape=shape).toarray()


def _empty(kind: str, shape: tuple[int, ...]) -> Any:
    empty = {"char": "", "cell": np.empty(shape, dtype=object), "struct": Struct(shape, {})}
    return empty.get(kind, np.zeros(shape))


def _words(values: np.ndarray) -> Any:
    rows = ["".join(map(chr, row)) for row in values]
    return rows[0] if len(rows) == 1 else _cell(rows, (len(rows), 1))


def _number(values: np.ndarray) -> np.ndarray:
    return values["real"] + 1j * values["imag"] if values.dtype.names else values


def _logical(values: np.ndarray) -> np.ndarray:
    return values.astype(bool)


_DECODERS = {"char": _words, "logical": _logical}
