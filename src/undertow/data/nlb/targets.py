"""The target arrays of one session: scored counts, forward counts, behaviour, masks of decoders, PSTHs with their trials."""

from __future__ import annotations

import numpy as np
import pandas as pd

from undertow.data.nlb.behaviour import on_bins, samples
from undertow.data.nlb.counting import trial_counts
from undertow.data.nlb.jitter import jitter
from undertow.data.nlb.psth import Condition, psth
from undertow.data.nlb.session import Session
from undertow.data.nlb.spans import Spans, cut_spans, first_bins
from undertow.data.nlb.table import FORWARD, DataSet
from undertow.data.recording import Series

Target = dict[str, np.ndarray | list[np.ndarray]]
_TIMED_BEHAVIOUR = ("is_eye", "theta", "is_short", "ts", "tp")


def targets(
    row: DataSet, session: Session, series: Series | None, splits: tuple[str, ...], width: int
) -> Target:
    """The target entries of a phase: `splits` are those that are fitted on, then the one that is scored; `width` in ms."""
    words = session.split()
    train = np.flatnonzero(np.isin(words, splits[:-1]))
    scored = np.flatnonzero(words == splits[-1])
    delays = {name: _delays(row, session, rows, width) for name, rows in (("train", train), ("eval", scored))}
    entries: Target = {
        "eval_spikes_heldout": _scored(row, session, scored, delays["eval"], width),
        "train_behavior": _behaviour(row, session, series, train, width),
        "eval_behavior": _behaviour(row, session, series, scored, width),
        **_forward(row, session, scored, delays["eval"], width),
    }
    if row.decoders:
        for name, rows in (("train", train), ("eval", scored)):
            values = pd.to_numeric(session.trials[row.decoders]).to_numpy(float)[rows]
            entries[f"{name}_decode_mask"] = np.stack([values == 0, values == 1], axis=1)
    if row.conditions:
        entries |= _psth(row, session, train, scored, width)
        if row.is_timed:
            entries |= {f"{name}_jitter": values for name, values in delays.items()}
    return entries


def conditions(row: DataSet, table: pd.DataFrame, is_used: np.ndarray) -> tuple[list[tuple], np.ndarray]:
    """The sorted conditions among the used trials, and each trial's index into them, -1 for unused ones and those without."""
    if not row.conditions:
        return [], np.full(len(table), -1)
    labels = table[list(row.conditions)].apply(pd.to_numeric).to_numpy(float)
    known = is_used & np.isfinite(labels).all(axis=1)
    found, inverse = np.unique(labels[known], axis=0, return_inverse=True)
    index = np.full(len(table), -1)
    index[known] = inverse.reshape(-1)
    return [tuple(label) for label in found.tolist()], index


def _delays(row: DataSet, session: Session, rows: np.ndarray, width: int) -> np.ndarray:
    if not row.is_timed:
        return np.zeros(len(rows), np.int64)
    produced = session.trials["tp"].to_numpy(float)[rows]
    return jitter(produced, session.split()[rows] == "test", width)


def _events(row: DataSet, session: Session, rows: np.ndarray) -> np.ndarray:
    return session.trials[row.align].to_numpy(float)[rows]


def _spans(
    row: DataSet, session: Session, rows: np.ndarray, width: int, *, offset: int, overlap: bool
) -> Spans:
    """Windows of the chosen trials, `offset` ms late, cut by each other where they may not overlap; on the session's grid."""
    following = np.append(session.trials["start_time"].to_numpy(float)[1:], np.nan)[rows]
    events = _events(row, session, rows)
    starts, ends = (events, row.window[0] + offset), (events, row.window[1] + offset)
    if row.is_timed:
        starts, ends = (session.trials["set_time"].to_numpy(float)[rows], 0), (events, 0)
    spans = cut_spans(starts, ends, following, width, overlap=overlap)
    last = -(-session.length // width)
    return Spans(np.clip(spans.first, 0, last), np.clip(spans.stop, 0, last))


def _scored(row: DataSet, session: Session, rows: np.ndarray, delays: np.ndarray, width: int) -> np.ndarray:
    """Counts of held-out neurons; of timed trials only from the Set cue to Go, in the place where the late window has them."""
    neurons = np.flatnonzero(session.held_out)
    bins = (row.window[1] - row.window[0]) // width
    first = first_bins(_events(row, session, rows), row.window[0], width) + delays
    counts = trial_counts(session, first, bins, width, neurons)
    if row.is_timed:
        spans = _spans(row, session, rows, width, offset=0, overlap=False)
        bin_ = first[:, None] + np.arange(bins)
        hidden = (bin_ < spans.first[:, None]) | (bin_ >= spans.stop[:, None])
        counts[hidden | ~session.is_observed(bin_ * width, is_held_out=False)] = np.nan
    return counts


def _forward(
    row: DataSet, session: Session, rows: np.ndarray, delays: np.ndarray, width: int
) -> dict[str, np.ndarray]:
    first = first_bins(_events(row, session, rows), row.window[1], width) + delays
    return {
        f"eval_spikes_{name}_forward": trial_counts(
            session, first, FORWARD // width, width, np.flatnonzero(chosen)
        )
        for name, chosen in (("heldin", ~session.held_out), ("heldout", session.held_out))
    }


def _behaviour(
    row: DataSet, session: Session, series: Series | None, rows: np.ndarray, width: int
) -> np.ndarray:
    """(trial, bin, channel) lagged, NaN after a window that is cut short; or (trial, column), NaN in outliers."""
    if series is None:
        columns = session.trials.iloc[rows][list(_TIMED_BEHAVIOUR)].apply(pd.to_numeric).to_numpy(float)
        columns[pd.to_numeric(session.trials["is_outlier"]).to_numpy(float)[rows] != 0] = np.nan
        return columns
    channels = samples(series, session.length)
    bins = (row.window[1] - row.window[0]) // width
    first = first_bins(_events(row, session, rows), row.window[0] + row.lag, width)
    values = on_bins(channels, session.length, first, bins, width)
    spans = _spans(row, session, rows, width, offset=row.lag, overlap=row.overlap)
    values[first[:, None] + np.arange(bins) >= spans.stop[:, None]] = np.nan
    return values


def _psth(row: DataSet, session: Session, train: np.ndarray, scored: np.ndarray, width: int) -> Target:
    """PSTHs over both sets, with the trials of each set that are in them."""
    is_used = np.isin(np.arange(len(session.trials)), [*train, *scored])
    found, index = conditions(row, session.trials, is_used)
    if row.is_timed:
        index = np.where(pd.to_numeric(session.trials["is_outlier"]).to_numpy(float) == 1, -1, index)
    chosen = [np.flatnonzero(index == number) for number in range(len(found))]
    gathered = [_condition(row, session, rows, width) for rows in chosen if rows.size]
    bins = (row.window[1] - row.window[0]) // width
    return {
        "psth": psth(session, gathered, row.psth_width, bins, width, is_aligned_to_end=row.is_timed),
        "eval_cond_idx": [np.flatnonzero(np.isin(scored, condition.trials)) for condition in gathered],
        "train_cond_idx": [np.flatnonzero(np.isin(train, condition.trials)) for condition in gathered],
    }


def _condition(row: DataSet, session: Session, rows: np.ndarray, width: int) -> Condition:
    spans = _spans(row, session, rows, width, offset=0, overlap=False)
    return Condition(rows, spans, first_bins(_events(row, session, rows), 0, width)).without_short_trials()
