"""HDF5 files of binned spikes: the files of lfads-torch, of AutoLFADS and of LFADS in TensorFlow, and the tensors of the Neural
Latents Benchmark.

    read("lorenz.h5", bin_width=0.02)
    read("tensors.h5", variable="mc_maze_20")              # a group; its name says the bin width
    read("tensors.h5", variable="mc_maze", evaluation="valid", behaviour="behavior")

The layouts are described in `hdf5_layouts`. Neurons and bins that only the reconstruction has are held out
and to be forecast. The benchmark's eval trials become "test": what is selected on is never what is scored at
the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from undertow.data.readers.hdf5_layouts import Options, autolfads_parts, benchmark_parts, lfads_parts
from undertow.data.readers.hdf5_parts import joined
from undertow.vocabulary import SPLITS, UndertowError, closest

_LAYOUTS = {
    ("train_encod_data", "valid_encod_data", "test_encod_data"): lfads_parts,
    ("train_spikes_heldin", "eval_spikes_heldin"): benchmark_parts,
    ("train_data", "valid_data"): autolfads_parts,
}
_BENCHMARK_BIN_WIDTHS = {"_20": 0.02, "": 0.005}
_LISTED = 20


def read(
    path: str | Path,
    *,
    bin_width: float | None = None,
    variable: str | None = None,
    behaviour: str | None = None,
    condition: str | None = None,
    evaluation: str = "test",
) -> xr.Dataset:
    """Trials from an HDF5 file in one of the known layouts.

    Args:
        path: the file.
        bin_width: seconds; may be left out for a group of the benchmark (20 ms if its name ends in "_20",
            else 5 ms), and where a file of LFADS says `dt`.
        variable: name of the group, where there are several.
        behaviour: name, without the split, of an array (trial, time, channel); "behavior" by default.
        condition: name, without the split, of one label a trial or one list of trials a condition; "cond_idx"
            by default.
        evaluation: the split that the benchmark's eval trials become.

    Raises:
        UndertowError: a file that can't be read or has another layout (lists what is there), a wrong name,
            shapes that disagree, no bin width.
    """
    source = Path(path)
    if evaluation not in SPLITS:
        raise UndertowError(f"evaluation='{evaluation}' is no split; {closest(evaluation, SPLITS)}")
    group, arrays = arrays_of(source, variable)
    _check_names(arrays, behaviour, condition)
    width = bin_width_of(bin_width, group, arrays, source)
    layout = next(parts for marks, parts in _LAYOUTS.items() if _has(arrays, marks))
    parts, held_in, observed = layout(arrays, Options(width, behaviour, condition, evaluation))
    session = group.strip("/").replace("/", "_") or source.stem
    return joined(parts, bin_width=width, held_in=held_in, observed=observed, session=session, order="inds")


def arrays_of(path: Path, variable: str | None = None) -> tuple[str, dict[str, np.ndarray]]:
    """The name of the group with a known layout, and its arrays.

    Raises:
        UndertowError: a file that can't be read or has another layout (lists what is there), a wrong name.
    """
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of an HDF5 file.")
    try:
        with h5py.File(path, "r") as file:
            name = _group_name(file, variable, path)
            return name, {
                key: np.asarray(item[()])
                for key, item in file[name].items()
                if isinstance(item, h5py.Dataset)
            }
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise UndertowError(
            f"'{path}' can't be read as an HDF5 file ({' '.join(str(error).split())}); it may be "
            "truncated or of "
            "another kind, so copy it again."
        ) from error


def _group_name(file: h5py.File, variable: str | None, path: Path) -> str:
    groups = {"/": file} | {name: item for name, item in file.items() if isinstance(item, h5py.Group)}
    found = [name for name, group in groups.items() if any(_has(group, marks) for marks in _LAYOUTS)]
    if variable in found:
        return variable
    if variable is not None:
        raise UndertowError(
            f"'{path}' has no group '{variable}' in a known layout; {closest(variable, found)}"
        )
    if len(found) > 1:
        raise UndertowError(
            f"'{path}' has the groups {', '.join(found)}; choose one with variable='{found[0]}'."
        )
    if not found:
        keys = [f"{name}/{key}".lstrip("/") for name, group in groups.items() for key in group]
        raise UndertowError(
            f"'{path}' has no layout that is known here, but {', '.join(keys[:_LISTED]) or 'nothing'}; "
            f"known are files with {' or '.join(marks[0] for marks in _LAYOUTS)}, in other files load "
            "the arrays and "
            "build them with undertow.trials."
        )
    return found[0]


def _has(names: Mapping, marks: tuple[str, ...]) -> bool:
    return any(mark in names for mark in marks)


def _check_names(arrays: Mapping[str, np.ndarray], behaviour: str | None, condition: str | None) -> None:
    """A name that was asked for stands after the name of some split."""
    shorts = {name.partition("_")[2]: array.ndim for name, array in arrays.items()}
    for role, asked, axes in (("behaviour", behaviour, 3), ("condition", condition, 1)):
        known = [short for short, count in shorts.items() if short and count == axes]
        if asked is not None and asked not in known:
            raise UndertowError(
                f"There is no {role} '{asked}' after the name of a split; {closest(asked, known)}"
            )


def bin_width_of(given: float | None, group: str, arrays: Mapping[str, np.ndarray], path: Path) -> float:
    """Seconds: as given, or as the file says, or as the benchmark's groups have it.

    Raises:
        UndertowError: nobody says it.
    """
    stored = arrays.get("dt")
    if given is None and stored is not None and np.size(stored) == 1:
        return float(np.reshape(stored, ()))
    is_benchmark = group != "/" and _has(arrays, ("train_spikes_heldin", "eval_spikes_heldin"))
    if given is None and not is_benchmark:
        raise UndertowError(f"'{path}' doesn't say how long a bin is; pass bin_width in seconds.")
    if given is not None:
        return given
    return next(width for suffix, width in _BENCHMARK_BIN_WIDTHS.items() if group.endswith(suffix))
