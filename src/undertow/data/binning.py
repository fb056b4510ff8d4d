"""Spike counts in bins, computed in integers so that no spike falls into the wrong bin.

Bins are half-open, `[t0 + k dt, t0 + (k + 1) dt)`: a spike on an edge belongs to the later bin. Times in
seconds become integer ticks (nanoseconds; microseconds on clocks beyond 23 days, whose float64 seconds are
too coarse for nanoseconds), and every edge is rounded from `k dt` itself, so that nothing drifts over a
long window when `dt` is no whole number of ticks. Example::

    counts, lost = bin_spikes(np.array([0.1, 0.3]), starts=np.array([0.0]), bins=4, bin_width=0.1)
    counts                                              # [[0, 1, 0, 1]]
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from undertow.vocabulary import UndertowError

_NANOSECONDS = 1_000_000_000
_MICROSECONDS = 1_000_000
_NANOSECOND_REACH = 2e6  # seconds: up to here float64 still tells one nanosecond from the next after rounding


@dataclass(frozen=True)
class Grid:
    """The bins of many trials on the session's clock, in integer ticks; trials may overlap and differ in length.

    Attributes:
        starts: (trial,) int64, the first bin's left edge.
        lengths: (trial,) int64, number of bins.
        edges: (bin + 1,) int64, from the trial's start, for the longest trial.
        per_second: ticks in a second.
    """

    starts: np.ndarray
    lengths: np.ndarray
    edges: np.ndarray
    per_second: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of trials, number of bins of the longest trial."""
        return self.starts.size, self.edges.size - 1

    @property
    def ends(self) -> np.ndarray:
        """(trial,) ticks of the last bin's right edge."""
        return self.starts + self.edges[self.lengths]

    def ticks(self, seconds: np.ndarray) -> np.ndarray:
        """Seconds on the session's clock as integer ticks, rounded to the nearest."""
        return _ticks(seconds, self.per_second)

    def exists(self) -> np.ndarray:
        """(trial, bin) bool: the bin lies before the end of its trial."""
        return np.arange(self.shape[1]) < self.lengths[:, None]

    def take(self, keep: np.ndarray) -> Grid:
        """The grid of the trials in `keep` (bool or indices), as wide as the longest of them."""
        lengths = self.lengths[keep]
        return Grid(self.starts[keep], lengths, self.edges[: lengths.max(initial=0) + 1], self.per_second)

    def beside(self, margin: int, bin_width: float) -> tuple[Grid, Grid]:
        """The grids of `margin` bins just before and just after each trial."""
        edges = _ticks(np.arange(margin + 1) * (bin_width * self.per_second), 1)
        lengths = np.full_like(self.lengths, margin)
        before, after = (
            Grid(starts, lengths, edges, self.per_second) for starts in (self.starts - edges[-1], self.ends)
        )
        return before, after


def grid(starts: np.ndarray, bins: int | np.ndarray, bin_width: float) -> Grid:
    """The bins of trials that begin at `starts` (trial,) seconds and have `bins` bins each (one number, or one a trial)."""
    starts = np.asarray(starts, np.float64).reshape(-1)
    lengths = np.broadcast_to(np.asarray(bins, np.int64), starts.shape)
    per_second = _ticks_per_second(starts)
    check_bin_width(bin_width, shortest=1 / per_second)
    longest = int(lengths.max(initial=0))
    edges = _ticks(np.arange(longest + 1) * (bin_width * per_second), 1)
    return Grid(_ticks(starts, per_second), lengths, edges, per_second)


def in_bins(name: str, amount: float | int, bin_width: float) -> int:
    """Bins as they are (int), or seconds (float) as a number of bins, called `name` in an error."""
    if isinstance(amount, (int, np.integer)):
        return int(amount)
    if not (isinstance(amount, Real) and np.isfinite(amount)):
        raise UndertowError(f"{name}={amount!r} is no number; give bins as an int, or seconds as a float.")
    bins = round(amount / bin_width)
    if abs(amount / bin_width - bins) > 1e-3:
        raise UndertowError(
            f"{name}={amount} s is no whole number of bins of {bin_width} s; choose for example "
            f"{name}={max(bins, 1) * bin_width:.6g}, or give a number of bins as an int."
        )
    return bins


def check_bin_width(bin_width: float, *, shortest: float = 1 / _NANOSECONDS) -> None:
    """Raise an `UndertowError` unless `bin_width` is a finite number of at least `shortest` seconds."""
    is_number = isinstance(bin_width, (int, float, np.number)) and not isinstance(bin_width, bool)
    if not is_number or not shortest <= bin_width < np.inf:
        raise UndertowError(
            f"The bin width is {bin_width!r}, but must be a number of seconds of at least {shortest} s; "
            "for 10 ms give bin_width=0.01."
        )


def bin_spikes(
    spike_times: np.ndarray, starts: np.ndarray, bins: int | np.ndarray, bin_width: float
) -> tuple[np.ndarray, int]:
    """Counts of one unit, and how many of its spikes fell outside all trials.

    Args:
        spike_times: (spike,) seconds, in any order.
        starts: (trial,) seconds of the first bin's left edge; trials may overlap, then each counts its spikes.
        bins: number of bins, one number or one a trial.
        bin_width: seconds.

    Returns:
        Counts (trial, bin) int32, zero after the end of a shorter trial, and the number of spikes outside.
    """
    return count(spike_times, grid(starts, bins, bin_width))


def count(spike_times: np.ndarray, bins: Grid) -> tuple[np.ndarray, int]:
    """Counts (trial, bin) int32 of one unit's spikes (seconds), and how many of them fell outside all trials."""
    times = np.asarray(spike_times, np.float64).reshape(-1)
    if not np.isfinite(times).all():
        raise UndertowError(
            f"{np.count_nonzero(~np.isfinite(times))} of {times.size} spike times of one unit are NaN or infinite; "
            "remove them from the recording."
        )
    sample, trial, place = locate(np.sort(bins.ticks(times)), bins)
    trials, width = bins.shape
    counts = np.bincount(trial * width + place, minlength=trials * width).reshape(trials, width)
    return counts.astype(np.int32), times.size - np.unique(sample).size


def locate(ticks: np.ndarray, bins: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each sorted tick inside a trial, once for each trial it is in: index of the sample, of the trial and of the bin."""
    first = np.searchsorted(ticks, bins.starts, side="left")
    inside = np.searchsorted(ticks, bins.ends, side="left") - first
    trial = np.repeat(np.arange(bins.starts.size), inside)
    before = np.cumsum(inside) - inside
    sample = np.arange(trial.size) + np.repeat(first - before, inside)
    place = np.searchsorted(bins.edges, ticks[sample] - bins.starts[trial], side="right") - 1
    return sample, trial, place


def within(intervals: np.ndarray, bins: Grid) -> np.ndarray:
    """(trial, bin) bool: the bin exists and lies completely inside one of the intervals (interval, 2), in seconds."""
    starts, stops = _merged(bins.ticks(np.asarray(intervals, np.float64).reshape(-1, 2)))
    left = bins.starts[:, None] + bins.edges[:-1]
    right = bins.starts[:, None] + bins.edges[1:]
    nearest = np.searchsorted(starts, left, side="right") - 1
    reach = np.append(
        stops, np.iinfo(np.int64).min
    )  # the last entry answers for nearest == -1: before every interval
    return bins.exists() & (right <= reach[nearest])


def _merged(intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops of the union of intervals in ticks; those that overlap or touch become one."""
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    opens = np.ones(len(ordered), bool)
    opens[1:] = ordered[1:, 0] > reach[:-1]
    closes = np.roll(opens, -1)
    return ordered[opens, 0], reach[closes]


def _ticks_per_second(starts: np.ndarray) -> int:
    return _NANOSECONDS if np.abs(starts).max(initial=0.0) < _NANOSECOND_REACH else _MICROSECONDS


def _ticks(amount: np.ndarray, per_unit: int) -> np.ndarray:
    return np.rint(np.asarray(amount, np.float64) * per_unit).astype(np.int64)
