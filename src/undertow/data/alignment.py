"""From a recording to trials: `cut` lays bins around events on the session's clock and counts each unit's spikes in them.

Two worked examples::

    cut(recording, bin_width=0.01, align="move_onset_time", window=(-0.25, 0.45), behaviour="hand_velocity")
    cut(recording, bin_width=0.02, table="encoding_table")      # each trial as long as it is, NaN after its end

What was not recorded is NaN: bins beyond the recording, outside a unit's observed intervals, after a
trial's end. Every trial keeps its place as `start_time`, seconds on the session's clock; what was left out
is said in the attribute `notes`, one sentence a line, and to the logger "undertow".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data import imaging
from undertow.data.binning import Grid, count, within
from undertow.data.columns import assigned_splits, coordinates, held_out_flags
from undertow.data.placement import Placement, chosen_rows, extent, place, trial_table
from undertow.data.recording import Recording, Series
from undertow.data.sampling import sample
from undertow.data.surroundings import margin_bins, surrounded
from undertow.data.trials import trials
from undertow.vocabulary import UndertowError, closest

_LOG = logging.getLogger("undertow")


def cut(
    recording: Recording,
    *,
    bin_width: float,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    table: str | pd.DataFrame | None = None,
    behaviour: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    select: Mapping[str, object] | None = None,
    margin: float | int = 0,
) -> xr.Dataset:
    """Trials of a recording.

    Args:
        recording: spike times with their tables and series.
        bin_width: seconds.
        align: a column of the trial table that holds times; start_time if not given.
        window: seconds around `align`, a whole number of bins; if not given, each trial from its start_time to its stop_time.
        table: the interval table of the trials, by name or as a frame; 'trials' or the only one if not given.
        behaviour: series to bring onto the bins, by name.
        inputs: series that are known inputs, by name.
        select: keep trials whose columns have these values, e.g. {"success": True, "condition": [1, 2]}.
        margin: bins (int) or seconds (float) before and after each trial whose counts are kept beside it, as `counts_around`,
            for models that smooth. They may be bins of the trials before and after.

    Returns:
        Trials with `start_time` and the table's columns on `trial`, the unit table's columns on `neuron`.

    Raises:
        UndertowError: names that do not exist, a window or margin that is no whole number of bins, or a window outside the
            recording.
    """
    if not recording.spike_times and recording.events is None:
        raise UndertowError("This recording has no units; there are no spikes to bin.")
    if isinstance(table, pd.DataFrame):  # a table from elsewhere says as much about the extent as its own
        recording = replace(recording, tables={**recording.tables, "": table})
    rows, notes = _without_split_none(chosen_rows(trial_table(recording, table), select))
    placed, observed = _recorded(place(rows, bin_width, align, window), recording)
    counts, lost = _counts(recording, placed.bins, observed)
    signals = _signals(recording, placed.bins, behaviour=behaviour, inputs=inputs)
    input_channels = signals.pop("inputs_channels", None)
    cut_trials = trials(
        counts,
        bin_width=bin_width,
        start=placed.offset,
        neuron=recording.units.index.to_numpy(),
        session=recording.session,
        **signals,
    )
    if input_channels:
        cut_trials = cut_trials.assign_coords(input_channel=("input", input_channels))
    if recording.events is not None:
        cut_trials = cut_trials.assign_attrs(imaging.attributes(recording.events))
    bins_around = margin_bins(margin, bin_width)
    if bins_around:
        sides = _around(recording, placed.bins.beside(bins_around, bin_width))
        cut_trials = surrounded(cut_trials, *sides, placed.bins.lengths)
    labelled, left_out = _labelled(cut_trials, recording, placed)
    return _noted(labelled, [*recording.notes, *notes, *placed.notes, *lost, *left_out])


def _without_split_none(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    splits = assigned_splits(rows)
    if splits is None or (splits != "").all():
        return rows, []
    gone = np.count_nonzero(splits == "")
    note = [f"{gone} of {len(rows)} trials were left out: their split is 'none'."] if gone else []
    return rows[splits != ""], note


def _recorded(placed: Placement, recording: Recording) -> tuple[Placement, np.ndarray]:
    """The trials that were recorded at least in part, and which of their bins (trial, bin) were."""
    observed = within(_intervals(recording), placed.bins)
    keep = observed.any(axis=1)
    if not keep.any():
        low, high = extent(recording)
        first, last = placed.starts.min(), (placed.bins.ends / placed.bins.per_second).max()
        raise UndertowError(
            f"All {keep.size} trials lie outside the recording: they run from {first:.6g} to {last:.6g} s, "
            f"the recording from {low:.6g} to {high:.6g} s; choose another window or alignment."
        )
    notes = [*placed.notes]
    if not keep.all():
        notes.append(
            f"{np.count_nonzero(~keep)} of {keep.size} trials were left out: they were not recorded."
        )
    placed = replace(placed, rows=placed.rows[keep], starts=placed.starts[keep], bins=placed.bins.take(keep))
    missing = placed.bins.exists() & ~observed[keep, : placed.bins.shape[1]]
    if missing.any():
        partly = np.count_nonzero(missing.any(axis=1))
        notes.append(
            f"{partly} of {np.count_nonzero(keep)} trials were recorded only in part: "
            f"{np.count_nonzero(missing)} bins are NaN."
        )
    return replace(placed, notes=tuple(notes)), observed[keep, : placed.bins.shape[1]]


def _intervals(recording: Recording) -> np.ndarray | list[tuple[float, float]]:
    """Seconds (interval, 2) in which something was recorded."""
    return recording.observed if recording.observed is not None else [extent(recording)]


def _counts(recording: Recording, bins: Grid, observed: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Counts and sums of events (trial, bin, unit) float32, NaN where not observed; and sentences about them."""
    counts, notes = _spike_counts(recording, bins, observed)
    if recording.events is None:
        return counts, notes
    sums, more_notes = imaging.binned(recording.events, bins, observed)
    return np.concatenate([counts, sums], axis=2), [*notes, *more_notes]


def _around(recording: Recording, sides: tuple[Grid, Grid]) -> list[np.ndarray]:
    """Counts (trial, bin, unit) in the bins before and after each trial, NaN where not observed."""
    return [_counts(recording, side, within(_intervals(recording), side))[0] for side in sides]


def _spike_counts(recording: Recording, bins: Grid, observed: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Counts (trial, bin, unit) float32, unit by unit, NaN where not observed; and the sentence about lost spikes."""
    counts = np.empty((*bins.shape, len(recording.spike_times)), np.float32)
    lost, total, intervals, seen = 0, 0, None, observed
    for unit, spike_times in enumerate(recording.spike_times):
        unit_counts, outside = count(spike_times, bins)
        if recording.unit_observed is not None and not np.array_equal(
            recording.unit_observed[unit], intervals
        ):
            intervals = recording.unit_observed[unit]
            seen = observed & within(intervals, bins)
        counts[:, :, unit] = np.where(seen, unit_counts, np.nan)
        lost, total = lost + outside, total + spike_times.size
    note = f"{lost} of {total} spikes fell outside all trials and were left out."
    return counts, [note] if lost else []


def _signals(recording: Recording, bins: Grid, **wanted: str | Sequence[str] | None) -> dict:
    """The keyword arguments of `trials` for the series asked for as behaviour and as inputs."""
    chosen = {role: _series(recording, names) for role, names in wanted.items() if names is not None}
    signals = {
        role: np.concatenate([sample(series, bins) for series in several], axis=-1)
        for role, several in chosen.items()
    }
    return signals | {f"{role}_channels": _channels(several) for role, several in chosen.items()}


def _series(recording: Recording, names: str | Sequence[str]) -> list[Series]:
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        if name not in recording.series:
            raise UndertowError(f"This recording has no series '{name}'; {closest(name, recording.series)}")
    return [recording.series[name] for name in listed]


def _channels(several: Sequence[Series]) -> list[str]:
    return [channel for series in several for channel in series.channels]


def _labelled(bare: xr.Dataset, recording: Recording, placed: Placement) -> tuple[xr.Dataset, list[str]]:
    """The trials with the columns of both tables as coordinates, and a sentence about columns left out."""
    split, flags = assigned_splits(placed.rows), held_out_flags(recording.units)
    on_trial, lists = coordinates(placed.rows, "trial", skip=("split",) if split is not None else ())
    on_neuron, more_lists = coordinates(recording.units, "neuron", skip=flags[:1] if flags else ())
    clashing = {name: f"neuron_{name}" for name in on_neuron if name in on_trial}
    named = {"start_time": ("trial", placed.starts)}
    named |= {name: ("trial", values) for name, values in on_trial.items()}
    named |= {clashing.get(name, name): ("neuron", values) for name, values in on_neuron.items()}
    named |= {"split": ("trial", split)} if split is not None else {}
    named |= {"held_out": ("neuron", flags[1])} if flags else {}
    left_out = ", ".join([*lists, *more_lists])
    note = [f"Columns that hold no single value a row were left out: {left_out}."] if left_out else []
    return bare.assign_coords(named), note


def _noted(labelled: xr.Dataset, notes: list[str]) -> xr.Dataset:
    for note in notes:
        _LOG.info(note)
    return labelled.assign_attrs(notes="\n".join(notes)) if notes else labelled
