"""NumPy files: `.npy` with the counts, `.npz` with counts and what belongs to them by name.

    read("counts.npy", bin_width=0.02)
    read("reaching.npz", bin_width=0.02, behaviour="hand_velocity")

In an `.npz` the counts are the array called "counts", "spikes" or "spike_counts", or else the only array with
three axes of whole numbers. An array with one entry a trial becomes a column of its name. What has a name of
our own (`OWN_NAMES`, "bin_width", "session") is what it says. Pickled objects are refused.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.columns import coordinates
from undertow.data.trials import trials
from undertow.vocabulary import OPTIONAL_VARIABLES, UndertowError, closest

COUNTS_NAMES = ("counts", "spikes", "spike_counts")
OWN_NAMES = ("neuron", "split", "held_out", "forward", "start_time", *OPTIONAL_VARIABLES)
_THE_ARRAY = "the array"


def read(
    path: str | Path,
    *,
    bin_width: float | None = None,
    variable: str | None = None,
    behaviour: str | None = None,
    condition: str | None = None,
    inputs: str | None = None,
) -> xr.Dataset:
    """Trials from a `.npy` or `.npz` file.

    Args:
        path: the file.
        bin_width: seconds; may be left out where the file holds a number "bin_width".
        variable: name of the counts, (trial, time, neuron), or (time, neuron) for one long trial.
        behaviour: name of an array (trial, time, channel) or (trial, time); `notes` says which there are.
        condition: name of an array with one entry a trial, kept as `condition`.
        inputs: name of the known inputs, (trial, time, input).

    Raises:
        UndertowError: a file that can't be read, wrong names, shapes that disagree, no bin width.
    """
    source = Path(path)
    arrays = _arrays(source)
    name = _counts_name(arrays, variable, source)
    counts = arrays[name][None] if arrays[name].ndim == 2 else arrays[name]
    roles = {role: role for role in OWN_NAMES if role in arrays and role != name}
    wanted = {"behaviour": behaviour, "condition": condition, "inputs": inputs}
    roles |= {role: other for role, other in wanted.items() if other is not None}
    built = trials(
        counts,
        bin_width=_bin_width(bin_width, arrays, source),
        session=str(arrays.get("session", source.stem)),
        behaviour_channels=_channels(arrays, roles.get("behaviour")),
        **{role: _looked_up(arrays, other) for role, other in roles.items()},
    )
    rest = {other: array for other, array in arrays.items() if other not in {name, *roles.values()}}
    return _noted(_with_columns(built, rest), rest)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the file by name."""
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of a .npy or .npz file.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return {_THE_ARRAY: loaded} if isinstance(loaded, np.ndarray) else dict(loaded.items())
    except (ValueError, OSError, EOFError, KeyError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        raise UndertowError(
            f"'{path}' can't be read as a NumPy file ({_in_one_line(error)}); it may be truncated, of other "
            "kind, or hold Python objects, which are never loaded: save plain arrays of numbers and words."
        ) from error


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _counts_name(arrays: Mapping[str, np.ndarray], variable: str | None, source: Path) -> str:
    if variable is not None:
        _looked_up(arrays, variable)
        return variable
    if set(arrays) == {_THE_ARRAY}:
        return _THE_ARRAY
    named = [name for name in COUNTS_NAMES if name in arrays]
    found = named or [name for name, array in arrays.items() if array.ndim == 3 and _is_whole(array)]
    if len(found) != 1:
        listed = ", ".join(f"'{name}' {array.shape} {array.dtype}" for name, array in arrays.items())
        raise UndertowError(
            f"'{source}' has {len(found) or 'no'} arrays that can be counts among {listed or 'none'}; "
            "name the one (trial, time, neuron) to read with variable='...'."
        )
    return found[0]


def _is_whole(array: np.ndarray) -> bool:
    if array.dtype.kind not in "biuf" or not array.size:
        return False
    known = array[np.isfinite(array)]
    return not np.isinf(array).any() and bool(np.all(known >= 0) and np.all(known % 1 == 0))


def _looked_up(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise UndertowError(f"The file has no array '{name}'; {closest(name, arrays)}")
    return arrays[name]


def _bin_width(given: float | None, arrays: Mapping[str, np.ndarray], source: Path) -> float:
    stored = arrays.get("bin_width", np.zeros(0))
    if given is None and stored.size != 1:
        raise UndertowError(f"'{source}' doesn't say how long a bin is; pass bin_width in seconds.")
    return stored.item() if given is None else given


def _channels(arrays: Mapping[str, np.ndarray], name: str | None) -> list[str] | None:
    """Names for the channels of a behaviour: its own, numbered where there are several."""
    if name is None:
        return None
    stored = arrays.get("behaviour_channel")
    if name == "behaviour" and stored is not None:
        return [str(channel) for channel in stored]
    shape = _looked_up(arrays, name).shape
    return (
        [f"{name}_{channel + 1}" for channel in range(shape[2])]
        if len(shape) == 3 and shape[2] > 1
        else [name]
    )


def _with_columns(built: xr.Dataset, rest: Mapping[str, np.ndarray]) -> xr.Dataset:
    """The trials with every array that has one entry a trial as a column."""
    length = built.sizes["trial"]
    table = pd.DataFrame({name: array for name, array in rest.items() if array.shape == (length,)})
    columns, _ = coordinates(table, "trial")
    return built.assign_coords(
        {name: ("trial", values) for name, values in columns.items() if name not in built.coords}
    )


def _noted(built: xr.Dataset, rest: Mapping[str, np.ndarray]) -> xr.Dataset:
    """The trials with a note on the arrays that can be read as behaviour."""
    shape = built.counts.shape[:2]
    offered = [f"'{name}'" for name, array in rest.items() if array.ndim == 3 and array.shape[:2] == shape]
    note = f"With the same trials and bins, and so to be had as behaviour: {', '.join(offered)}."
    return built.assign_attrs(notes=note) if offered else built
