"""Where windows lie on the grid of bins of the benchmark: bin k begins k bin widths after the clock's zero, in every trial.

A window takes the bins that begin in it, so that a bin's edges lie up to one bin width after the event's. Times are whole
nanoseconds here, as in the reference; a window's end is exclusive by one microsecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MILLISECOND = 1_000_000  # nanoseconds
_EXCLUSIVE = 1_000
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Spans:
    """Bins [first, stop) of each trial, (trial,) int64; negative ones lie before the clock's zero."""

    first: np.ndarray
    stop: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """(trial,) number of bins."""
        return np.maximum(self.stop - self.first, 0)


def nanoseconds(seconds: np.ndarray) -> np.ndarray:
    """Seconds as whole nanoseconds; NaN becomes the last moment there is."""
    seconds = np.asarray(seconds, np.float64)
    return np.where(np.isnan(seconds), _NEVER, np.rint(np.nan_to_num(seconds) * 1e9).astype(np.int64))


def first_bins(events: np.ndarray, offset: int, width: int) -> np.ndarray:
    """(trial,) the first bin that begins at or after `offset` ms from the events (seconds); `width` in ms."""
    return -(-(nanoseconds(events) + offset * _MILLISECOND) // (width * _MILLISECOND))


def stop_bins(events: np.ndarray, offset: int, width: int) -> np.ndarray:
    """(trial,) the bin after the last one that begins before `offset` ms from the events (seconds)."""
    return _stops(nanoseconds(events) + offset * _MILLISECOND, width)


def cut_spans(
    starts: tuple[np.ndarray, int],
    ends: tuple[np.ndarray, int],
    following: np.ndarray,
    width: int,
    *,
    overlap: bool,
) -> Spans:
    """Windows from one event to another, cut where the next trial's window begins unless they may overlap.

    Args:
        starts: seconds (trial,) and ms from there to the beginning.
        ends: the same for the end.
        following: (trial,) seconds at which the next trial of the table begins, NaN after the last; a window also ends where
            the trial after the next one begins.
        width: ms.
        overlap: whether windows may overlap.
    """
    opens = nanoseconds(starts[0]) + starts[1] * _MILLISECOND
    closes = nanoseconds(ends[0]) + ends[1] * _MILLISECOND
    if not overlap:
        bounds = np.append(np.minimum(nanoseconds(following), opens)[1:], _NEVER)
        closes = np.where(closes - _EXCLUSIVE > bounds, bounds, closes)
    return Spans(-(-opens // (width * _MILLISECOND)), _stops(closes, width))


def _stops(moments: np.ndarray, width: int) -> np.ndarray:
    return (moments - _EXCLUSIVE) // (width * _MILLISECOND) + 1
