"""A recording before it is cut into trials: spike times on the session's clock, with the tables and series beside them."""

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
class Recording:
    """Spike times of many units on one clock, with everything that came along.

    Attributes:
        spike_times: one sorted float64 array of seconds for each unit; empty for a unit that never fired.
        units: one row a unit, indexed by the recording's own unit ids; any columns (e.g. 'location', 'heldout').
        tables: interval tables by name, each with 'start_time' and 'stop_time' in seconds and any further columns.
        series: signals by name.
        observed: (interval, 2) seconds in which the recording ran, or None if it never says; spikes are looked for there only.
        unit_observed: as `observed` for each unit where units differ, or None.
        session: a name for the session.
        notes: sentences a person should read, e.g. how many units of each label were kept.
        description: what the file says of itself.
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
