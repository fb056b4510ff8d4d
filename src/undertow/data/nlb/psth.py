"""The PSTH to be matched: each condition's mean of smoothed spikes, as counts per bin, with the trials that belong to it.

The mean of smoothed trials is the smoothed mean: spikes of all trials of a condition are added up at 1 ms around their windows
first, then smoothed once. Only trials beside a gap of the recording are smoothed by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from undertow.data.nlb.counting import in_windows
from undertow.data.nlb.session import Session
from undertow.data.nlb.smoothing import binned_kernel, kernel, reach, smoothed_window
from undertow.data.nlb.spans import Spans

_SHORTEST = 0.8  # of the mean number of bins: shorter trials are left out


@dataclass(frozen=True)
class Condition:
    """Trials of one condition, on the grid of bins.

    Attributes:
        trials: rows of the trial table.
        spans: their windows.
        zero: (trial,) the bin of each trial's event, by which trials are lined up.
    """

    trials: np.ndarray
    spans: Spans
    zero: np.ndarray

    def rows(self, bins: int, *, is_aligned_to_end: bool) -> tuple[int, int]:
        """Bins [low, high) from the event that the PSTH has: as many as the shortest trial, at most `bins`; the last ones of all
        trials' bins if so aligned, else the first ones."""
        low = int((self.spans.first - self.zero).min())
        high = int((self.spans.stop - self.zero).max())
        shortest = min(int(self.spans.lengths.min()), bins)
        return (high - shortest, high) if is_aligned_to_end else (low, low + shortest)

    def take(self, keep: np.ndarray) -> Condition:
        """Only the trials in `keep`, (trial,) bool."""
        return Condition(
            self.trials[keep], Spans(self.spans.first[keep], self.spans.stop[keep]), self.zero[keep]
        )

    def without_short_trials(self) -> Condition:
        """Only trials with at least 0.8 of the mean number of bins."""
        some = self.take(self.spans.lengths > 0)
        lengths = some.spans.lengths
        return some.take(lengths >= _SHORTEST * lengths.mean())


def psth(
    session: Session,
    conditions: list[Condition],
    deviation: int,
    bins: int,
    width: int,
    *,
    is_aligned_to_end: bool,
) -> np.ndarray:
    """PSTHs (condition, bin, neuron) float64, expected counts per bin; NaN where a condition's trials are shorter than `bins`.

    Args:
        session: spikes of all neurons.
        conditions: at least one trial in each.
        deviation: of the Gaussian, ms.
        bins: of the window.
        width: of a bin, ms.
        is_aligned_to_end: windows end at the event; shorter ones are filled up in front.
    """
    weights = kernel(deviation)
    rows = [condition.rows(bins, is_aligned_to_end=is_aligned_to_end) for condition in conditions]
    totals = [np.zeros((high - low, len(session.neurons))) for low, high in rows]
    numbers = [np.zeros_like(total) for total in totals]
    pieces = [
        piece
        for k, condition in enumerate(conditions)
        for piece in _pieces(session, k, condition, rows[k], width, weights)
    ]
    for piece, sums in zip(pieces, _added(session, pieces, width, weights), strict=True):
        place = slice(piece.low - rows[piece.condition][0], piece.high - rows[piece.condition][0])
        totals[piece.condition][place] += binned_kernel(weights, piece.high - piece.low, width) @ sums.astype(
            np.float64
        )
        numbers[piece.condition][place] += len(piece.zero)
    response = np.full((len(conditions), bins, len(session.neurons)), np.nan)
    for k, condition in enumerate(conditions):
        for row in np.flatnonzero(~_is_whole(session, condition, rows[k], width, weights)):
            alone = _alone(session, condition, row, rows[k], width, weights)
            totals[k] += np.nan_to_num(alone)
            numbers[k] += np.isfinite(alone)
        mean = np.divide(totals[k], numbers[k], out=np.full_like(totals[k], np.nan), where=numbers[k] > 0)
        response[k, bins - len(mean) if is_aligned_to_end else 0 :][: len(mean)] = mean
    return response


@dataclass(frozen=True)
class _Piece:
    """Trials of a condition, by the bins of their events, that all have the bins [low, high) from there, far from any gap."""

    condition: int
    low: int
    high: int
    zero: np.ndarray


def _own_rows(condition: Condition, rows: tuple[int, int]) -> np.ndarray:
    """(trial, 2) which of the rows [low, high) each trial has."""
    ends = np.stack([condition.spans.first, condition.spans.stop], axis=1) - condition.zero[:, None]
    return np.clip(ends, *rows)


def _is_whole(
    session: Session, condition: Condition, rows: tuple[int, int], width: int, weights: np.ndarray
) -> np.ndarray:
    """(trial,) whether a single run of both groups covers all spikes that count in the trial's rows."""
    edges = (_own_rows(condition, rows) + condition.zero[:, None]) * width
    is_whole = edges[:, 1] > edges[:, 0]
    for runs in session.observed:
        if len(runs):
            run = np.searchsorted(runs[:, 0], edges[:, 0] - reach(weights), side="right") - 1
            is_whole &= (run >= 0) & (edges[:, 1] + reach(weights) <= runs[run, 1])
    return is_whole


def _pieces(
    session: Session, k: int, condition: Condition, rows: tuple[int, int], width: int, weights: np.ndarray
) -> list[_Piece]:
    """The whole trials of the k-th condition, together where they have the same rows."""
    whole = _is_whole(session, condition, rows, width, weights)
    own, zero = _own_rows(condition, rows)[whole], condition.zero[whole]
    return [_Piece(k, *pair, zero[(own == pair).all(axis=1)]) for pair in np.unique(own, axis=0).tolist()]


def _added(session: Session, pieces: list[_Piece], width: int, weights: np.ndarray) -> list[np.ndarray]:
    """For each piece (millisecond, neuron): the spikes of its trials, with the reach of the smoothing around them."""
    if not pieces:
        return []
    margin = reach(weights)
    lengths = np.array([(piece.high - piece.low) * width + 2 * margin for piece in pieces])
    of_piece = np.repeat(np.arange(len(pieces)), [len(piece.zero) for piece in pieces])
    first = np.concatenate([(piece.zero + piece.low) * width - margin for piece in pieces])
    offsets = np.cumsum(lengths) - lengths
    sums = np.empty((int(lengths.sum()), len(session.neurons)), np.float32)
    for neuron, spikes in enumerate(session.spikes):
        trial, place = in_windows(spikes, first, int(lengths.max()))
        keep = place < lengths[of_piece[trial]]
        index = offsets[of_piece[trial[keep]]] + place[keep]
        sums[:, neuron] = np.bincount(index, minlength=len(sums))
    return np.split(sums, offsets[1:])


def _alone(
    session: Session,
    condition: Condition,
    row: int,
    rows: tuple[int, int],
    width: int,
    weights: np.ndarray,
) -> np.ndarray:
    """(bin, neuron) one trial's smoothed counts at the rows, NaN outside its own window."""
    low, high = rows
    margin = reach(weights)
    start = int(condition.zero[row] + low) * width - margin
    length = (high - low) * width + 2 * margin
    smooth = np.empty((high - low, len(session.neurons)))
    for is_held_out in (False, True):
        neurons = np.flatnonzero(session.held_out == is_held_out)
        counts = np.stack([_window(session.spikes[neuron], start, length) for neuron in neurons], axis=1)
        runs = session.observed[int(is_held_out)]
        smooth[:, neurons] = smoothed_window(counts, start, runs, weights, width)
    places = np.arange(low, high) + condition.zero[row]
    smooth[(places < condition.spans.first[row]) | (places >= condition.spans.stop[row])] = np.nan
    return smooth


def _window(spikes: np.ndarray, start: int, length: int) -> np.ndarray:
    _, place = in_windows(spikes, np.array([start]), length)
    return np.bincount(place, minlength=length).astype(np.float64)
