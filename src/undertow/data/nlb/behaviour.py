"""Behaviour on the bins of trials: filtered against aliasing, at the beginning of each bin, from the samples around each trial.

The filter is that of the benchmark: a symmetric FIR low-pass (Hamming window, order 500, 1 ms samples) without a phase,
over the whole session, whose gaps are bridged by straight lines and whose ends are followed by zeros. A value is NaN where
the bin's first millisecond has no sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import firwin, upfirdn

from undertow.data.recording import Series
from undertow.vocabulary import UndertowError

_ORDER = 500
_TRIALS = 128  # at once


@dataclass(frozen=True)
class Samples:
    """One channel: the milliseconds (float64, in order) that have a finite value, and the values."""

    milliseconds: np.ndarray
    values: np.ndarray


def samples(series: Series, length: int) -> dict[str, Samples]:
    """The channels of a series, sorted by name, on a grid of `length` ms.

    Raises:
        UndertowError: samples that do not lie on whole milliseconds.
    """
    milliseconds = np.rint(series.times * 1e3)
    off = np.abs(series.times * 1e3 - milliseconds) > 5e-4
    if off.any():
        raise UndertowError(
            f"{np.count_nonzero(off)} of {off.size} samples of '{series.channels[0]}' do not lie on whole milliseconds, the "
            f"first at {series.times[np.argmax(off)]:.7g} s; the benchmark's behaviour is sampled at 1 kHz, so download the "
            "file again."
        )
    is_within = (milliseconds >= 0) & (milliseconds < length)
    order = np.argsort(series.channels, kind="stable")
    return {
        series.channels[column]: _finite(milliseconds, series.values[:, column], is_within)
        for column in order
    }


def on_bins(
    channels: dict[str, Samples], length: int, first: np.ndarray, bins: int, width: int
) -> np.ndarray:
    """Behaviour (trial, bin, channel) float64 at the bins from `first` (trial,) on; `width` in ms, `length` as above."""
    kernel = firwin(_ORDER + 1, 1.0 / width, window="hamming")
    before = _ORDER // 2
    filled = slice(_ORDER // width, _ORDER // width + bins)  # outputs that saw the whole filter
    values = np.full((len(first), bins, len(channels)), np.nan)
    for start in range(0, len(first), _TRIALS):
        begins = first[start : start + _TRIALS, None] * width
        around = (begins + np.arange(-before, (bins - 1) * width + before + 1)).astype(np.float64)
        for column, channel in enumerate(channels.values()):
            filtered = upfirdn(kernel, _bridged(around, channel, length), down=width, axis=1)[:, filled]
            is_known = _is_sampled(begins + np.arange(bins) * width, channel)
            values[start : start + _TRIALS, :, column] = np.where(is_known, filtered, np.nan)
    return values


def _finite(milliseconds: np.ndarray, values: np.ndarray, is_within: np.ndarray) -> Samples:
    keep = is_within & np.isfinite(values)
    if keep.all():
        return Samples(
            milliseconds, np.ascontiguousarray(values)
        )  # the channels of a long session share their clock
    return Samples(milliseconds[keep], values[keep])


def _bridged(milliseconds: np.ndarray, channel: Samples, length: int) -> np.ndarray:
    """Values at each millisecond: straight lines over gaps, the outermost values beyond them, zero off the grid."""
    if not channel.values.size:
        return np.zeros(milliseconds.shape)
    values = np.interp(milliseconds, channel.milliseconds, channel.values)
    return np.where((milliseconds >= 0) & (milliseconds < length), values, 0.0)


def _is_sampled(milliseconds: np.ndarray, channel: Samples) -> np.ndarray:
    if not channel.milliseconds.size:
        return np.zeros(milliseconds.shape, bool)
    nearest = np.searchsorted(channel.milliseconds, milliseconds.astype(np.float64))
    return channel.milliseconds[np.minimum(nearest, channel.milliseconds.size - 1)] == milliseconds
