"""Spike times, interval tables and signals of an NWB file; `nwb_imaging` reads regions of interest.

Units may have `obs_intervals` or not, no spikes at all, and index columns of any integer type. Every
interval table is kept by its name, and every numeric `TimeSeries` found anywhere in the file (raw voltages
and images excepted) can be a behaviour, scaled by its conversion factor and offset.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pynwb
from pynwb.core import DynamicTableRegion
from pynwb.ecephys import ElectricalSeries
from pynwb.image import ImageSeries
from pynwb.ophys import RoiResponseSeries

from undertow.data.readers import nwb_imaging
from undertow.data.recording import Recording, Series
from undertow.vocabulary import UndertowError, closest

_RAW = (ElectricalSeries, ImageSeries, RoiResponseSeries)
_LARGEST = 50_000_000  # samples times channels: longer series are read only when asked for by name
_SPIKES = ("spike_times", "spike_times_index", "obs_intervals", "obs_intervals_index")
_PLACES = ("location", "group_name")  # columns of the electrodes that are worth having for each unit
_AXES = ("x", "y", "z")
_STATED = re.compile(r"columns\s*=\s*\[([^\]]*)\]")


def read(
    path: str | Path,
    *,
    series: Sequence[str] | None = None,
    is_scaled: bool = True,
    rois: str | None = None,
    events: str = "stored",
    sampling: str = "subframe",
    lines: str = "y",
    decay_time: float | None = None,
    delay: float = 0.0,
) -> Recording:
    """The recording in an NWB file.

    Args:
        path: the file.
        series: names of the signals to read, without which all but very long ones are read.
        is_scaled: whether signals are brought into their unit; otherwise they are the numbers that lie in the file.
        rois: name of the `RoiResponseSeries` to read in place of units; needed where a file holds units, or several.
        events: "stored": that series holds deconvolved events; "deconvolve": it holds fluorescence, to be deconvolved here.
        sampling: "subframe": each region at its own time; "frame": all at the frame's.
        lines: the coordinate of the masks along which the microscope goes from line to line, "x" or "y".
        decay_time: seconds of the indicator's decay for events="deconvolve"; estimated if not given.
        delay: seconds by which samples come after what they tell of, see `imaging.events`.

    Raises:
        UndertowError: no such file, a damaged one or one that is no NWB, neither units nor regions, an unknown series.
    """
    path = Path(path)
    with _opened(path) as nwb:
        has_units = nwb.units is not None and "spike_times" in nwb.units.colnames and len(nwb.units) > 0
        is_imaged = rois is not None or (not has_units and nwb_imaging.has_regions(nwb))
        if not has_units and not is_imaged:
            raise UndertowError(
                f"'{path}' holds no units with spike times and no regions of interest; give a file with one of them."
            )
        tables, lists = _tables(nwb)
        signals, units_of_signals = _series(nwb, series, is_scaled=is_scaled)
        if is_imaged:
            imaged = nwb_imaging.read(
                nwb,
                rois=rois,
                events=events,
                sampling=sampling,
                lines=lines,
                decay_time=decay_time,
                delay=delay,
            )
            parts = {
                "spike_times": [],
                "units": imaged.units,
                "observed": imaged.observed,
                "events": imaged.events,
            }
        else:
            observed, unit_observed = _observed(nwb.units)
            parts = {"spike_times": _rows(nwb.units, "spike_times"), "units": _units(nwb.units)}
            parts |= {"observed": observed, "unit_observed": unit_observed}
        return Recording(
            **parts,
            tables=tables,
            series=signals,
            session=path.stem,
            notes=(*lists, *units_of_signals, *(imaged.notes if is_imaged else ())),
            description=nwb.session_description or "",
        )


@contextmanager
def _opened(path: Path) -> Iterator[pynwb.NWBFile]:
    """The file, with the library's remarks about its details kept away from the person."""
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of an .nwb file.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with pynwb.NWBHDF5IO(str(path), mode="r") as door:
                yield door.read()
        except UndertowError:
            raise
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UndertowError(
                f"'{path}' can't be read as NWB ({reason[:200]}); it may be truncated or of another kind, "
                "so copy or download it again."
            ) from error


def _rows(table: Any, name: str) -> list[np.ndarray]:
    """The cells of an indexed column, one float64 array a row; a column without index has one value a row."""
    values = np.asarray(_content(table, name), np.float64)
    if f"{name}_index" not in _column_names(table):
        return [values[row : row + 1] for row in range(len(values))]
    ends = np.asarray(table[f"{name}_index"].data[:]).astype(np.int64)  # small types overflow in a difference
    starts = np.concatenate([[0], ends[:-1]])
    cells = [values[start:end] for start, end in zip(starts, ends, strict=True)]
    return [np.sort(cell) for cell in cells] if values.ndim == 1 else cells


def _column_names(table: Any) -> set[str]:
    return {column.name for column in table.columns}


def _content(table: Any, name: str) -> np.ndarray:
    """All values of a column, behind its index if it has one."""
    return np.asarray(_column(table, name).data[:])


def _column(table: Any, name: str) -> Any:
    """The column itself, where `table[name]` would give its index."""
    return next(column for column in table.columns if column.name == name)


def _observed(units: Any) -> tuple[np.ndarray | None, list[np.ndarray] | None]:
    """Observed intervals of the session, or of each unit where units differ; a unit that says nothing was
    observed whenever any unit was."""
    if "obs_intervals" not in units.colnames:
        return None, None
    intervals = [cell.reshape(-1, 2) for cell in _rows(units, "obs_intervals")]
    stated = [cell for cell in intervals if cell.size]
    if not stated:
        return None, None
    if all(np.array_equal(cell, intervals[0]) for cell in intervals):
        return intervals[0], None
    everything = np.concatenate(stated)
    return everything, [cell if cell.size else everything for cell in intervals]


def _units(units: Any) -> pd.DataFrame:
    """One row a unit, indexed by id: the columns with one value a unit, and where its first electrode was."""
    ids = np.asarray(units.id.data[:])
    columns = _single_values(units, skip=_SPIKES)[0]
    columns = {**_electrode_places(units), **columns}
    return pd.DataFrame(columns, index=pd.Index(ids, name="unit"))


def _electrode_places(units: Any) -> dict[str, list]:
    if "electrodes" not in units.colnames:
        return {}
    rows = [int(cell[0]) if cell.size else None for cell in _rows(units, "electrodes")]
    electrodes = _column(units, "electrodes").table
    places = {}
    for name in _PLACES:
        if electrodes is not None and name in electrodes.colnames:
            words = [_text(word) for word in electrodes[name].data[:]]
            places[name] = ["" if row is None else words[row] for row in rows]
    return places


def _single_values(table: Any, skip: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """Columns with one value a row, and the names of those that hold lists or references."""
    indexed = {name.removesuffix("_index") for name in _column_names(table) if name.endswith("_index")}
    columns, others = {}, []
    for name in table.colnames:
        if name in skip:
            continue
        values = np.empty((0, 0)) if name in indexed else _content(table, name)
        if values.ndim == 1 and not isinstance(_column(table, name), DynamicTableRegion):
            columns[name] = [_text(cell) for cell in values] if values.dtype == object else values
        else:
            others.append(name)
    return columns, others


def _text(cell: Any) -> Any:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell


def _tables(nwb: pynwb.NWBFile) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Every interval table by name, and a sentence about columns that a frame can't hold."""
    named = {"trials": nwb.trials, "epochs": nwb.epochs, "invalid_times": nwb.invalid_times}
    found = {**{name: table for name, table in named.items() if table is not None}, **(nwb.intervals or {})}
    tables, notes = {}, []
    for name, table in found.items():
        columns, others = _single_values(table)
        tables[name] = pd.DataFrame(columns, index=pd.Index(np.asarray(table.id.data[:]), name="id"))
        if others:
            notes.append(f"Columns of '{name}' that hold lists were left out: {', '.join(others)}.")
    return tables, notes


def _series(
    nwb: pynwb.NWBFile, wanted: Sequence[str] | None, *, is_scaled: bool
) -> tuple[dict[str, Series], list[str]]:
    """The signals by name, and a sentence with their units."""
    found = _named_series(nwb)
    for name in wanted or ():
        if name not in found:
            raise UndertowError(f"This file has no series '{name}'; {closest(name, found)}")
    if wanted is None:
        wanted = [name for name, series in found.items() if np.prod(series.data.shape) <= _LARGEST]
    signals = {name: _signal(name, found[name], is_scaled=is_scaled) for name in wanted}
    units = ", ".join(f"{name} in {found[name].unit}" for name in wanted)
    return signals, [f"Units of the series: {units}."] if units else []


def _named_series(nwb: pynwb.NWBFile) -> dict[str, pynwb.TimeSeries]:
    """Numeric series with a clock, by name; by the path of containers where a name occurs more than once."""
    candidates = [item for item in nwb.objects.values() if isinstance(item, pynwb.TimeSeries)]
    usable = [item for item in candidates if not isinstance(item, _RAW) and _is_signal(item)]
    times = Counter(item.name for item in usable)
    return {item.name if times[item.name] == 1 else _path(item): item for item in usable}


def _is_signal(item: pynwb.TimeSeries) -> bool:
    shape = getattr(item.data, "shape", ())
    kind = getattr(getattr(item.data, "dtype", None), "kind", "O")
    has_clock = item.rate is not None or (
        item.timestamps is not None and len(item.timestamps) == shape[:1][0]
    )
    return kind in "fiub" and 1 <= len(shape) <= 2 and has_clock


def _path(item: Any) -> str:
    names = []
    while item is not None and not isinstance(item, pynwb.NWBFile):
        names.append(item.name)
        item = item.parent
    return "/".join(reversed(names))


def _signal(name: str, item: pynwb.TimeSeries, *, is_scaled: bool) -> Series:
    values = np.asarray(item.data[:], np.float64)
    if is_scaled:
        values = values * item.conversion + (item.offset or 0.0)
    values = values.reshape(len(values), -1)
    if item.timestamps is not None:
        times = np.asarray(item.timestamps[:], np.float64)
    else:
        times = (item.starting_time or 0.0) + np.arange(len(values)) / item.rate
    return Series(times, values, _channels(name, values.shape[1], item.comments or ""))


def _channels(name: str, number: int, comments: str) -> tuple[str, ...]:
    """Names of the channels: from a comment like "columns=[x,y]" where there is one."""
    if number == 1:
        return (name,)
    stated = _STATED.search(comments)
    endings = [word.strip() for word in stated.group(1).split(",")] if stated else []
    if len(set(endings)) != number or len(endings) != number:
        endings = list(_AXES if number <= len(_AXES) else range(number))[:number]
    return tuple(f"{name}_{ending}" for ending in endings)
