"""MATLAB files, version 5 and 7.3: counts -> trials, spike times -> a recording.

    read("session.mat", bin_width=0.01)                            # the only counts in the file
    read("bci.mat", bin_width=0.045, condition="tgtPos", neurons="goodElectrodes")
    read("m1.mat", bin_width=0.02, variable="data.spikes", axes="neuron time trial", behaviour="velocity")
    read("units.mat", variable="spikes")                           # cells of spike times: a Recording

Counts are one array with three axes, a cell with one matrix a trial, or a struct array of trials.
Names of fields are joined by dots. Neurons are called as MATLAB counts them, from 1; so are units in
cells of cells, by their path ("1-3-2" is `spikes{1}{3}{2}`). In the elements of cells and struct arrays the
axes are those of one trial, "time neuron" by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.readers.matlab_contents import (
    catalogue,
    choose,
    is_cell,
    is_matrices,
    is_numeric,
    is_spike_times,
    single_cell,
    units,
)
from undertow.data.readers.matlab_trials import trials_from_contents
from undertow.data.readers.matlab_values import Struct, read_values
from undertow.data.recording import Recording
from undertow.vocabulary import COUNTS_AXES, UndertowError

_RANGE_FIELD = "timerange"


def read(
    path: str | Path,
    *,
    bin_width: float | None = None,
    variable: str | None = None,
    behaviour: str | None = None,
    condition: str | None = None,
    neurons: str | None = None,
    axes: str | Sequence[str] = COUNTS_AXES,
) -> Recording | xr.Dataset:
    """Trials from counts, or a `Recording` from spike times.

    Numbers and words that stand beside the counts, one a trial, become columns. Trials without counts (empty
    matrices) are left out, and the attribute `notes` says how many.

    Args:
        path: the file.
        bin_width: seconds; needed for counts, which never say it.
        variable: dotted name of the counts or spike times; may be left out where only one can be meant.
        behaviour: name of what has the same trials and bins; `notes` says what has.
        condition: name of what has one number, word or short vector a trial.
        neurons: name of the neurons to keep: their numbers, counted from 1, or one logical for each.
        axes: order of the axes, "trial time neuron" or another.

    Raises:
        UndertowError: a file that can't be read; no variable, or several, that can be meant; a wrong name.
    """
    source, order = Path(path), _order(axes)
    named = catalogue(read_values(source))
    name = choose(named, variable, order, str(path))
    if _holds_spike_times(named[name], order):
        return _recording(named[name], name, source)
    if bin_width is None:
        raise UndertowError(f"'{path}' doesn't say how long a bin of '{name}' is; pass bin_width in seconds.")
    return trials_from_contents(
        named,
        name,
        axes=order,
        bin_width=bin_width,
        behaviour=behaviour,
        condition=condition,
        neurons=neurons,
        session=source.stem,
    )


def _order(axes: str | Sequence[str]) -> tuple[str, ...]:
    order = tuple(axes.replace(",", " ").split() if isinstance(axes, str) else axes)
    if sorted(order) != sorted(COUNTS_AXES):
        raise UndertowError(
            f"axes={axes!r}, but must be 'trial', 'time' and 'neuron' in the order of the file."
        )
    return order


def _holds_spike_times(value: Any, axes: tuple[str, ...]) -> bool:
    """Whether what was chosen is read as spike times; a cell that is no counts is taken at its word."""
    if is_cell(value):
        return not is_matrices(value, axes) and all(times is not None for _, times, _ in units(value))
    return is_numeric(value) and is_spike_times(single_cell(value))


def _recording(value: np.ndarray, name: str, source: Path) -> Recording:
    found = list(units(value if is_cell(value) else single_cell(value)))
    paths = [path for path, _, _ in found]
    is_flat = all(len(path) == 1 for path in paths)
    ids = [path[0] if is_flat else "-".join(map(str, path)) for path in paths]
    return Recording(
        spike_times=[np.sort(times) for _, times, _ in found],
        units=pd.DataFrame(index=pd.Index(ids, name="id")),
        observed=_observed([struct for _, _, struct in found]),
        session=source.stem,
        notes=(f"Spike times of {len(found)} units from '{name}', taken to be in seconds.",),
    )


def _observed(structs: Sequence[Struct | None]) -> np.ndarray | None:
    """The interval that all units share in their field for it, (1, 2) seconds, or None."""
    ranges = [struct.fields.get(_RANGE_FIELD, [None])[0] for struct in structs if struct is not None]
    if (
        not ranges
        or len(ranges) < len(structs)
        or not all(is_numeric(one) and one.size == 2 for one in ranges)
    ):
        return None
    distinct = np.unique([one.reshape(2).astype(np.float64) for one in ranges], axis=0)
    return distinct if len(distinct) == 1 else None
