"""Where trials lie on the session's clock: from a trial table, an alignment column and a window to starts and numbers of bins.

Two ways. With a window `(low, high)` in seconds, every trial has the same bins around its value in the
alignment column; without one, each trial runs from its own start_time to its own stop_time, cut down to
whole bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from undertow.data.binning import Grid, check_bin_width, grid
from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError, closest

_WHOLE = 1e-6  # bins: a window this close to a whole number of bins is one


@dataclass(frozen=True)
class Placement:
    """Rows of the trial table that became trials, where their bins lie, and what a person should know about it.

    Attributes:
        rows: one row a trial.
        starts: (trial,) seconds on the session's clock of the first bin's left edge.
        bins: the same and all further edges in integer ticks.
        offset: seconds from the alignment event to the first bin's left edge.
        notes: sentences, e.g. how many trials were dropped and why.
    """

    rows: pd.DataFrame
    starts: np.ndarray
    bins: Grid
    offset: float
    notes: tuple[str, ...] = ()


def trial_table(recording: Recording, table: str | pd.DataFrame | None) -> pd.DataFrame:
    """The interval table whose rows become trials.

    By default the table 'trials', else the only one there is; a recording without tables is one long trial.
    """
    if isinstance(table, pd.DataFrame):
        return table
    names = list(recording.tables)
    if table is None:
        table = "trials" if "trials" in names else names[0] if len(names) == 1 else None
    if table in recording.tables:
        return recording.tables[table]
    if table is not None:
        raise UndertowError(f"This recording has no interval table '{table}'; {closest(table, names)}")
    if names:
        listed = ", ".join(f"'{name}' ({len(recording.tables[name])} rows)" for name in names)
        raise UndertowError(
            f"This recording has several interval tables, {listed}; choose one, e.g. table='{names[0]}'."
        )
    low, high = extent(recording)
    return pd.DataFrame({"start_time": [low], "stop_time": [high]})


def chosen_rows(rows: pd.DataFrame, select: Mapping[str, object] | None) -> pd.DataFrame:
    """The rows in which each column named in `select` has the value given there, or one of the values of a list."""
    for name, wanted in (select or {}).items():
        if name not in rows.columns:
            raise UndertowError(f"The trial table has no column '{name}'; {closest(name, rows.columns)}")
        values = wanted if isinstance(wanted, (list, tuple, set, np.ndarray)) else [wanted]
        found = sorted({str(value) for value in rows[name]})[:12]
        rows = rows[rows[name].isin(list(values))]
        if rows.empty:
            raise UndertowError(f"No trial has {name} = {wanted!r}; the column holds {', '.join(found)}.")
    return rows


def place(
    rows: pd.DataFrame, bin_width: float, align: str | None, window: tuple[float, float] | None
) -> Placement:
    """Trials of the same bins around `align` where there is a window, else each trial's own length."""
    check_bin_width(bin_width)
    if window is None and align not in (None, "start_time"):
        raise UndertowError(
            f"Aligning to '{align}' needs a window of seconds around it; give one, e.g. window=(-0.25, 0.45)."
        )
    if window is None:
        return _own_lengths(rows, bin_width)
    return _around(rows, bin_width, align or "start_time", window)


def extent(recording: Recording) -> tuple[float, float]:
    """First and last second of a recording: what it says was observed, else the span of everything in it."""
    stated = [recording.observed] if recording.observed is not None else recording.unit_observed
    times = stated if stated else [*recording.spike_times, *_other_times(recording)]
    flat = [np.asarray(part, np.float64).ravel() for part in times]
    together = np.concatenate([*flat, np.empty(0)])
    together = together[np.isfinite(together)]
    if together.size == 0:
        raise UndertowError("This recording holds no spike and no interval at all; there is nothing to bin.")
    return float(together.min()), float(together.max())


def _other_times(recording: Recording) -> list[np.ndarray]:
    columns = ("start_time", "stop_time")
    tables = [table[name] for table in recording.tables.values() for name in columns if name in table]
    frames = [] if recording.events is None else [recording.events.frame_times]
    return [*tables, *frames, *(series.times for series in recording.series.values())]


def _around(rows: pd.DataFrame, bin_width: float, align: str, window: tuple[float, float]) -> Placement:
    number = _whole_bins(window, bin_width)
    events = _time_column(rows, align)
    keep = np.isfinite(events)
    if not keep.any():
        raise UndertowError(f"'{align}' is NaN in all {len(rows)} trials; align to another column.")
    notes = _dropped(~keep, f"'{align}' is NaN there")
    starts = events[keep] + float(window[0])
    return Placement(rows[keep], starts, grid(starts, number, bin_width), float(window[0]), notes)


def _own_lengths(rows: pd.DataFrame, bin_width: float) -> Placement:
    starts, stops = _time_column(rows, "start_time"), _time_column(rows, "stop_time")
    durations = np.nan_to_num(stops - starts, nan=0.0, posinf=0.0, neginf=0.0)
    ruler = grid(
        starts[np.isfinite(starts)], int(max(durations.max(initial=0.0), 0.0) / bin_width) + 1, bin_width
    )
    spans = ruler.ticks(np.where(durations > 0, stops, 0.0)) - ruler.ticks(
        np.where(durations > 0, starts, 0.0)
    )
    lengths = np.searchsorted(ruler.edges, spans, side="right") - 1
    keep = lengths > 0
    if not keep.any():
        raise UndertowError(
            f"None of the {len(rows)} trials is as long as one bin of {bin_width} s; give a smaller bin_width."
        )
    notes = _dropped(~keep, "they have no times or are shorter than one bin")
    return Placement(rows[keep], starts[keep], grid(starts[keep], lengths[keep], bin_width), 0.0, notes)


def _whole_bins(window: tuple[float, float], bin_width: float) -> int:
    low, high = (float(edge) for edge in window)
    bins = (high - low) / bin_width
    number = round(bins) if np.isfinite(bins) else 0
    if not high > low or not np.isfinite(bins):
        raise UndertowError(f"The window {(low, high)} s is empty; its second number must be the larger one.")
    if abs(bins - number) > _WHOLE * max(number, 1) or number < 1:
        nearest = float(f"{low + max(number, 1) * bin_width:.9g}")
        raise UndertowError(
            f"The window {(low, high)} s holds {bins:.6g} bins of {bin_width} s, but must hold a whole number; "
            f"the nearest is window=({low:g}, {nearest:g})."
        )
    return number


def _time_column(rows: pd.DataFrame, name: str) -> np.ndarray:
    if name not in rows.columns:
        times = [column for column in rows.columns if pd.api.types.is_numeric_dtype(rows[column].dtype)]
        raise UndertowError(
            f"The trial table has no column '{name}' (columns of numbers are {', '.join(map(repr, times))}); "
            f"{closest(name, times)} Another table: --table FILE.csv."
        )
    if not pd.api.types.is_numeric_dtype(rows[name].dtype):
        raise UndertowError(
            f"The column '{name}' holds {rows[name].dtype}, not seconds; align to another column."
        )
    return rows[name].to_numpy(np.float64, na_value=np.nan)


def _dropped(gone: np.ndarray, why: str) -> tuple[str, ...]:
    number = int(np.count_nonzero(gone))
    return (f"{number} of {gone.size} trials were left out: {why}.",) if number else ()
