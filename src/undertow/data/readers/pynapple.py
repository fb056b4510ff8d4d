"""Between pynapple and undertow: `TsGroup`, `IntervalSet` and `Tsd` objects in, estimates out as `TsdFrame`.

recording = read(spikes, epochs=trial_epochs, series={"position": position})
frame = to_tsdframe(estimate, "rates")          # every trial back at its place on the session's clock
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.recording import Recording, Series
from undertow.vocabulary import UndertowError, closest

_RATE = "rate"  # pynapple's own column of a TsGroup


def read(
    source: Any,
    *,
    epochs: Any = None,
    series: Mapping[str, Any] | None = None,
    session: str = "session",
) -> Recording:
    """The recording in a TsGroup, or in a mapping of names to pynapple objects with one TsGroup among them.

    Args:
        source: a TsGroup, or e.g. `{"units": TsGroup, "trials": IntervalSet, "position": TsdFrame}`.
        epochs: an IntervalSet whose intervals are the trials, or several of them by name.
        series: Tsd or TsdFrame by name.
        session: a name for the session.

    Raises:
        UndertowError: pynapple is not installed, or an object of another type.
    """
    nap = _pynapple()
    objects = dict(source) if isinstance(source, Mapping) and not isinstance(source, nap.TsGroup) else {}
    groups = [thing for thing in objects.values() if isinstance(thing, nap.TsGroup)] if objects else [source]
    if len(groups) != 1 or not isinstance(groups[0], nap.TsGroup):
        raise UndertowError(
            f"Spikes from pynapple must be one TsGroup, but {len(groups)} were found in a "
            f"{type(source).__name__}; pass the TsGroup of the units."
        )
    named_epochs = epochs if isinstance(epochs, Mapping) else {} if epochs is None else {"trials": epochs}
    tables = {**_of_type(objects, nap.IntervalSet), **named_epochs}
    signals = {**_of_type(objects, (nap.Tsd, nap.TsdFrame)), **(series or {})}
    group = groups[0]
    return Recording(
        spike_times=[np.array(group[unit].index.values, np.float64) for unit in group.index],
        units=_units(group),
        tables={name: _table(name, intervals, nap) for name, intervals in tables.items()},
        series={name: _signal(name, signal, nap) for name, signal in signals.items()},
        observed=np.array(group.time_support.values, np.float64),
        session=session,
    )


def to_tsdframe(estimate: xr.Dataset, variable: str = "rates") -> Any:
    """A variable of an estimate (trial, time, column) as one TsdFrame on the session's clock.

    Trials follow each other by `start_time`; bins in which every column is NaN (padding after the end of a
    trial) are left out, and the time support is what remains of each trial.

    Raises:
        UndertowError: pynapple is not installed, no such variable, no `start_time`, or trials that overlap.
    """
    nap = _pynapple()
    values = _trial_variable(estimate, variable)
    bin_width = float(estimate.attrs["bin_width"])
    order = np.argsort(estimate["start_time"].values, kind="stable")
    starts = estimate["start_time"].values[order]
    values = values[order]
    kept = ~np.isnan(values).all(axis=2)
    centres = starts[:, None] + (np.arange(values.shape[1]) + 0.5) * bin_width
    intervals = _spans(kept, starts, bin_width)
    if (intervals[1:, 0] < intervals[:-1, 1] - bin_width / 2).any():
        raise UndertowError(
            "The trials of this estimate overlap on the session's clock, but a TsdFrame has one value at a "
            "time; merge the windows or choose trials that do not overlap."
        )
    support = nap.IntervalSet(*_joined(intervals, bin_width).T)
    return nap.TsdFrame(
        t=centres[kept], d=values[kept], columns=_names(estimate, variable), time_support=support
    )


def _pynapple() -> ModuleType:
    try:
        import pynapple
    except ImportError as error:
        raise UndertowError(
            "pynapple is not installed; install it with pip install 'undertow[pynapple]'."
        ) from error
    return pynapple


def _of_type(objects: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    return {name: thing for name, thing in objects.items() if isinstance(thing, kind)}


def _units(group: Any) -> pd.DataFrame:
    columns = {name: np.asarray(group[name]) for name in group.metadata_columns if name != _RATE}
    return pd.DataFrame(columns, index=pd.Index(np.asarray(group.index), name="unit"))


def _table(name: str, intervals: Any, nap: ModuleType) -> pd.DataFrame:
    if not isinstance(intervals, nap.IntervalSet):
        raise UndertowError(
            f"The epochs '{name}' are a {type(intervals).__name__}; pass a pynapple IntervalSet."
        )
    columns = {column: np.asarray(intervals[column]) for column in intervals.metadata_columns}
    return pd.DataFrame({"start_time": intervals.start, "stop_time": intervals.end, **columns})


def _signal(name: str, signal: Any, nap: ModuleType) -> Series:
    if not isinstance(signal, (nap.Tsd, nap.TsdFrame)):
        raise UndertowError(
            f"The series '{name}' is a {type(signal).__name__}; pass a pynapple Tsd or TsdFrame."
        )
    values = np.asarray(signal.values, np.float64).reshape(len(signal), -1)
    columns = list(getattr(signal, "columns", [None]))
    channels = (name,) if len(columns) == 1 else tuple(f"{name}_{column}" for column in columns)
    return Series(np.array(signal.index.values, np.float64), values, channels)


def _trial_variable(estimate: xr.Dataset, variable: str) -> np.ndarray:
    known = [name for name, array in estimate.data_vars.items() if array.dims[:2] == ("trial", "time")]
    if variable not in known:
        raise UndertowError(
            f"This estimate has no variable '{variable}' over time; {closest(variable, known)}"
        )
    if "start_time" not in estimate.coords:
        raise UndertowError(
            "This estimate has no 'start_time', so its place on the session's clock is unknown; "
            "give start_time=... when the trials are built."
        )
    return np.asarray(estimate[variable].values)


def _names(estimate: xr.Dataset, variable: str) -> list:
    axis = estimate[variable].dims[2]
    return estimate[axis].values.tolist()


def _spans(kept: np.ndarray, starts: np.ndarray, bin_width: float) -> np.ndarray:
    """(trial, 2) seconds from the first kept bin's left edge to the last one's right edge."""
    some = kept.any(axis=1)
    first = kept.argmax(axis=1)
    last = kept.shape[1] - kept[:, ::-1].argmax(axis=1)
    return np.stack([starts + first * bin_width, starts + last * bin_width], axis=1)[some]


def _joined(intervals: np.ndarray, bin_width: float) -> np.ndarray:
    """Intervals that touch (nearer than half a bin) as one, because an IntervalSet keeps none that do."""
    opens = np.ones(len(intervals), bool)
    opens[1:] = intervals[1:, 0] - intervals[:-1, 1] > bin_width / 2
    return np.stack([intervals[opens, 0], intervals[np.roll(opens, -1), 1]], axis=1)
