"""A recording before it is cut into trials: spike times, or events a frame, on the session's clock, with tables and series."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Series:
    """A behaviour (or any signal) sampled in time: `times` (sample,) in seconds, `values` (sample, channel), channel names."""

    times: np.ndarray
    values: np.ndarray
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Events:
    """Events of units that are sampled once a frame, as under a microscope; `imaging.events` checks and makes them.

    Attributes:
        frame_times: (frame,) seconds at which each frame (of several planes: each volume) begins.
        offsets: (unit,) seconds after that at which each unit is sampled.
        values: (frame, unit) what happened since the sample before, zero or more; NaN = not sampled.
        sampling: "subframe": every unit at its own time; "frame": all units at the frame's.
        delay: seconds by which samples come after what they tell of, and before which they are therefore laid.
        unit: what an event of 1 is, in words.
    """

    frame_times: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    sampling: str = "subframe"
    delay: float = 0.0
    unit: str = "not said"


@dataclass(frozen=True)
class Recording:
    """Spike times or events of many units on one clock, with everything that came along.

    Attributes:
        spike_times: one sorted float64 array of seconds for each unit; empty for a unit that never fired.
        units: one row a unit, indexed by the recording's own unit ids; any columns (e.g. 'location', 'heldout'). Units
            with events come after those with spike times.
        tables: interval tables by name, each with 'start_time' and 'stop_time' in seconds and any further columns.
        series: signals by name.
        observed: (interval, 2) seconds in which the recording ran, or None if it never says; spikes are looked for there only.
        unit_observed: as `observed` for each unit where units differ, or None.
        session: a name for the session.
        notes: sentences a person should read, e.g. how many units of each label were kept.
        description: what the file says of itself.
        events: of units that were imaged, or None.
    """

    spike_times: list[np.ndarray]
    units: pd.DataFrame
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    observed: np.ndarray | None = None
    unit_observed: list[np.ndarray] | None = None
    session: str = "session"
    notes: tuple[str, ...] = ()
    description: str = ""
    events: Events | None = None
