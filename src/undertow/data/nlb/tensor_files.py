"""HDF5 files of the Neural Latents Benchmark: targets and submissions with a group for each data set, and flat input files.

    write_submission("submission.h5", {"mc_maze_small": rates}, facts={"run": "runs/first"})
    read_submission("submission.h5", ["mc_maze_small"])["mc_maze_small"]["eval_rates_heldout"]

The layout is that of the reference implementation: gzip, float32 and int32, booleans as they are, lists of trials (`*_cond_idx`)
as arrays of variable length; "_20" ends the names of groups at 20 ms. Facts about a submission are attributes of its group,
which scorers do not read. Files are written beside their place and renamed, so they are complete or not there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from undertow.files import replacing
from undertow.vocabulary import UndertowError

Tensors = Mapping[str, np.ndarray | Sequence[np.ndarray]]
Fact = str | int | float | bool

_COMPRESSION = "gzip"


def read_targets(path: str | Path, groups: Sequence[str] | None = None) -> dict[str, dict]:
    """The targets in a file, by group: arrays, and for "eval_cond_idx" and "train_cond_idx" lists of integer arrays.

    Args:
        path: the file.
        groups: which to read; all by default.

    Raises:
        UndertowError: the file can't be read, has no groups, or lacks one of those asked for.
    """
    with _opened(Path(path)) as file:
        return {name: _read(file[name]) for name in _names(file, groups)}


def read_submission(path: str | Path, groups: Sequence[str] | None = None) -> dict[str, dict]:
    """The rates in a submission, by group: (trial, time, neuron) expected spikes per bin; as `read_targets`."""
    return read_targets(path, groups)


def read_facts(path: str | Path, group: str) -> dict[str, Fact]:
    """The facts that a submission tells about one of its groups: its attributes.

    Raises:
        UndertowError: as for `read_targets`.
    """
    with _opened(Path(path)) as file:
        (name,) = _names(file, [group])
        return {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in file[name].attrs.items()
        }


def groups_in(path: str | Path) -> list[str]:
    """The names of the groups in a file.

    Raises:
        UndertowError: the file can't be read or has none.
    """
    with _opened(Path(path)) as file:
        return _names(file, None)


def write_targets(
    path: str | Path, targets: Mapping[str, Tensors], *, facts: Mapping[str, Fact] | None = None
) -> None:
    """Put targets, by group, into a file; other groups that it has already are kept.

    Args:
        path: the file.
        targets: by group, under the benchmark's names.
        facts: strings and numbers to write down with each of these groups, such as the phase.

    Raises:
        UndertowError: what is there is no HDF5 file, or the folder can't be written to.
    """
    _merge(Path(path), targets, facts or {})


def write_submission(
    path: str | Path, submission: Mapping[str, Tensors], *, facts: Mapping[str, Fact] | None = None
) -> None:
    """Put rates, by group, into a file; other groups that it has already are kept.

    Args:
        path: the file.
        submission: by group, (trial, time, neuron) expected spikes per bin under the benchmark's names.
        facts: strings and numbers to write down with each of these groups: which run, weights, phase ...

    Raises:
        UndertowError: as for `write_targets`.
    """
    _merge(Path(path), submission, facts or {})


def read_tensors(path: str | Path) -> dict:
    """The arrays of a flat file, like the reference's train_input.h5.

    Raises:
        UndertowError: the file can't be read.
    """
    with _opened(Path(path)) as file:
        return _read(file)


def write_tensors(path: str | Path, tensors: Tensors) -> None:
    """Write a flat file of arrays, like the reference's train_input.h5 and eval_input.h5; what was there is replaced.

    Raises:
        UndertowError: the folder can't be written to.
    """
    with replacing(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        _write(file, tensors)


def _opened(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        is_there = "can't be opened as an HDF5 file" if path.exists() else "is not there"
        raise UndertowError(
            f"'{path}' {is_there}; give an .h5 file in the layout of the Neural Latents Benchmark."
        ) from error


def _names(file: h5py.File, wanted: Sequence[str] | None) -> list[str]:
    """The groups asked for, all of them if none is."""
    found = [name for name, item in file.items() if isinstance(item, h5py.Group)]
    missing = [name for name in wanted or () if name not in found]
    if missing or not found:
        holds = (
            f"holds the groups {', '.join(found)}"
            if found
            else f"holds no groups ({', '.join(file) or 'it is empty'})"
        )
        what = f"but not '{missing[0]}'" if missing and found else "but needs one for each data set"
        raise UndertowError(
            f"'{os.fspath(file.filename)}' {holds}, {what}; groups are named like 'mc_maze' at 5 ms and 'mc_maze_20' at 20 ms."
        )
    return found if wanted is None else list(wanted)


def _read(group: h5py.Group) -> dict:
    return {name: _values(item) for name, item in group.items() if isinstance(item, h5py.Dataset)}


def _values(item: h5py.Dataset) -> np.ndarray | list[np.ndarray]:
    values = item[()]
    is_ragged = h5py.check_vlen_dtype(item.dtype) is not None
    return [np.asarray(row, dtype=int) for row in values] if is_ragged else values


def _merge(path: Path, groups: Mapping[str, Tensors], facts: Mapping[str, Fact]) -> None:
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        if path.exists():
            with _opened(path) as before:
                for name in before:
                    if name not in groups:
                        before.copy(name, file)
        for name, tensors in groups.items():
            group = file.create_group(name)
            _write(group, tensors)
            group.attrs.update(facts)


def _write(group: h5py.Group, tensors: Tensors) -> None:
    for name, values in tensors.items():
        if isinstance(values, np.ndarray) and values.dtype != object:
            group.create_dataset(name, data=_small(values), compression=_COMPRESSION)
        else:
            rows = group.create_dataset(
                name, (len(values),), h5py.vlen_dtype(np.dtype("int32")), compression=_COMPRESSION
            )
            for index, row in enumerate(values):
                rows[index] = np.asarray(row, dtype=np.int32)


def _small(values: np.ndarray) -> np.ndarray:
    """Numbers in 32 bits; booleans and text as they are."""
    kinds = {"f": np.float32, "i": np.int32, "u": np.int32}
    return values.astype(kinds.get(values.dtype.kind, values.dtype), copy=False)
