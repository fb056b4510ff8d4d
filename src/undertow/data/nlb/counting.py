"""Counts in the bins of trials, straight from the times of spikes: nothing is made for the time between trials."""

from __future__ import annotations

import numpy as np

from undertow.data.nlb.session import Session

_AT_ONCE = 16  # neurons written to the counts together: a row of memory is touched once for all of them


def trial_counts(
    session: Session, first: np.ndarray, bins: int, width: int, neurons: np.ndarray
) -> np.ndarray:
    """Counts (trial, bin, neuron) float32, NaN where a bin's first millisecond was not observed.

    Args:
        session: the spikes.
        first: (trial,) first bin of each trial on the session's grid; trials may overlap.
        bins: number of bins of every trial.
        width: of a bin, ms.
        neurons: rows of the session's neurons.
    """
    counts = np.empty((len(first), bins, len(neurons)), np.float32)
    count_into(counts, session, first, width, neurons)
    return counts


def count_into(
    counts: np.ndarray, session: Session, first: np.ndarray, width: int, neurons: np.ndarray
) -> None:
    """As `trial_counts`, written into the first places along the neuron axis of `counts` (trial, bin, neuron)."""
    bins = counts.shape[1]
    starts = (first[:, None] + np.arange(bins)) * width
    hidden = [~session.is_observed(starts, is_held_out=flag) for flag in (False, True)]
    for place in range(0, len(neurons), _AT_ONCE):
        rows = neurons[place : place + _AT_ONCE]
        chunk = np.stack([_binned(session.spikes[row] // width, first, bins) for row in rows])
        for k, row in enumerate(rows):
            chunk[k][hidden[int(session.held_out[row])]] = np.nan
        counts[:, :, place : place + len(rows)] = np.moveaxis(chunk, 0, -1)


def in_windows(moments: np.ndarray, first: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Trial, and place in its window [first, first + length), of each of the moments (in order) that lies in a window.

    A moment in two windows is given twice.
    """
    low, high = np.searchsorted(moments, first), np.searchsorted(moments, first + length)
    sizes = high - low
    trial = np.repeat(np.arange(len(first)), sizes)
    index = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(low, sizes)
    return trial, moments[index] - first[trial]


def _binned(moments: np.ndarray, first: np.ndarray, bins: int) -> np.ndarray:
    trial, place = in_windows(moments, first, bins)
    counted = np.bincount(trial * bins + place, minlength=len(first) * bins)
    return counted.reshape(len(first), bins).astype(np.float32)
