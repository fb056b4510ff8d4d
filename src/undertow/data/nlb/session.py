"""One file of the benchmark on its grid: whole milliseconds from the clock's zero, kept as the times of spikes and no table.

A spike at t seconds lies in millisecond trunc(round(1000 t, 6)). What was observed is said by the first unit of the held-in
and of the held-out neurons, for all of them; spikes outside are left out. Neurons are in the benchmark's order: held-in
before held-out, each by id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from undertow.data.nlb.table import SIMULATED
from undertow.data.recording import Recording

SPLITS = {"train": "train", "val": "valid", "test": "test"}
"""The files' words for the splits, and ours; trials of any other word are not used."""


@dataclass(frozen=True)
class Session:
    """Spikes in milliseconds with the trial table beside them.

    Attributes:
        spikes: of each neuron, (spike,) int64 milliseconds in order, only observed ones.
        neurons: (neuron,) ids.
        held_out: (neuron,) bool.
        observed: (run, 2) milliseconds [start, stop) of the held-in and of the held-out neurons; apart from each other.
        length: milliseconds of the grid.
        trials: the trial table, one row a trial, in the file's order; times in seconds.
        name: of the file.
        is_simulated: whether `generate` made it.
    """

    spikes: list[np.ndarray]
    neurons: np.ndarray
    held_out: np.ndarray
    observed: tuple[np.ndarray, np.ndarray]
    length: int
    trials: pd.DataFrame
    name: str
    is_simulated: bool = False

    def is_observed(self, milliseconds: np.ndarray, *, is_held_out: bool) -> np.ndarray:
        """Whether each millisecond was observed in the held-in or in the held-out neurons, in the shape given."""
        return inside(milliseconds, self.observed[int(is_held_out)])

    def split(self) -> np.ndarray:
        """(trial,) our word for each trial's split, "" for trials that are not used."""
        return np.array([SPLITS.get(str(word), "") for word in self.trials["split"]])


def session(recording: Recording) -> Session:
    """The recording (checked by `source`) on the grid; `heldout` may be absent from its units, which are held-in then."""
    ids = np.asarray(recording.units.index)
    flags = np.asarray(recording.units.get("heldout", np.zeros(len(ids)))).astype(bool)
    cells = recording.unit_observed or [recording.observed] * len(ids)
    length = round(max(float(cell[-1, 1]) for cell in cells) * 1e3)
    observed = tuple(
        _runs(cells[np.flatnonzero(flags == flag)[0]], length)
        if (flags == flag).any()
        else np.zeros((0, 2), int)
        for flag in (False, True)
    )
    order = np.lexsort((ids, flags))
    return Session(
        spikes=[_observed_spikes(recording.spike_times[row], observed[int(flags[row])]) for row in order],
        neurons=ids[order],
        held_out=flags[order],
        observed=observed,
        length=length,
        trials=recording.tables["trials"].reset_index(drop=True),
        name=recording.session,
        is_simulated=SIMULATED in recording.description,
    )


def inside(milliseconds: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Whether each millisecond lies in one of the runs (run, 2), which are in order and apart."""
    starts, stops = runs[:, 0], np.append(runs[:, 1], np.iinfo(np.int64).min)
    return milliseconds < stops[np.searchsorted(starts, milliseconds, side="right") - 1]


def _observed_spikes(seconds: np.ndarray, runs: np.ndarray) -> np.ndarray:
    milliseconds = np.round(np.asarray(seconds, np.float64) * 1e3, 6).astype(np.int64)
    return milliseconds[inside(milliseconds, runs)]


def _runs(intervals: np.ndarray, length: int) -> np.ndarray:
    """Runs of milliseconds that lie wholly in one of the intervals (interval, 2), in seconds; those that touch become one."""
    rounded = np.round(np.asarray(intervals, np.float64) * 1e3, 6)
    starts = np.clip(np.ceil(rounded[:, 0]), 0, length).astype(np.int64)
    stops = np.clip(np.floor(rounded[:, 1]), 0, length).astype(np.int64)
    order = np.argsort(starts, kind="stable")
    merged: list[list[int]] = []
    for start, stop in zip(starts[order].tolist(), stops[order].tolist(), strict=True):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        elif stop > start:
            merged.append([start, stop])
    return np.array(merged, np.int64).reshape(-1, 2)
