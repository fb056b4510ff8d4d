"""Signals brought onto the bins of trials: a series with a clock of its own becomes one value a bin.

A series with at least two samples a bin is averaged within each bin (samples that are NaN do not count); a
slower one is interpolated linearly at the bin's centre. What was not recorded stays NaN: bins after the end
of a trial, before the first and after the last sample, beside a sample that is NaN, and in gaps of more
than ten times the usual spacing.
"""

from __future__ import annotations

import numpy as np

from undertow.data.binning import Grid, locate
from undertow.data.recording import Series

_GAP = 10  # times the median spacing of samples: no interpolation across more


def sample(series: Series, bins: Grid) -> np.ndarray:
    """One value of each channel for each bin: (trial, bin, channel) float64, NaN where the series does not say."""
    times, values = _ordered(series)
    spacing = float(np.median(np.diff(times))) if times.size > 1 else np.inf
    bin_width = bins.edges[-1] / (bins.per_second * (bins.edges.size - 1))
    bring = _averaged if 2 * spacing <= bin_width else _interpolated
    sampled = bring(times, values, bins, spacing)
    return np.where(bins.exists()[:, :, None], sampled, np.nan)


def _ordered(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Times in ascending order, and values (sample, channel); samples without a time are left out."""
    times = np.asarray(series.times, np.float64)
    values = np.asarray(series.values, np.float64).reshape(times.size, -1)
    order = np.argsort(times, kind="stable")[: np.count_nonzero(~np.isnan(times))]
    return times[order], values[order]


def _averaged(times: np.ndarray, values: np.ndarray, bins: Grid, _spacing: float) -> np.ndarray:
    index, trial, place = locate(bins.ticks(times), bins)
    trials, width = bins.shape
    cell = trial * width + place
    channels = [_cell_means(cell, column[index], trials * width) for column in values.T]
    return np.stack(channels, axis=-1).reshape(trials, width, -1)


def _cell_means(cell: np.ndarray, value: np.ndarray, cells: int) -> np.ndarray:
    seen = np.isfinite(value)
    total = np.bincount(cell[seen], weights=value[seen], minlength=cells)
    number = np.bincount(cell[seen], minlength=cells)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _interpolated(times: np.ndarray, values: np.ndarray, bins: Grid, spacing: float) -> np.ndarray:
    centres = (bins.starts[:, None] + (bins.edges[:-1] + bins.edges[1:]) / 2) / bins.per_second
    if times.size == 0:
        return np.full((*centres.shape, values.shape[1]), np.nan)
    channels = [np.interp(centres, times, column, left=np.nan, right=np.nan) for column in values.T]
    bridged = _bridges_gap(times, centres, spacing)
    return np.where(bridged[:, :, None], np.nan, np.stack(channels, axis=-1))


def _bridges_gap(times: np.ndarray, centres: np.ndarray, spacing: float) -> np.ndarray:
    """(trial, bin) bool: the samples on both sides of the centre are too far apart to interpolate between."""
    after = np.clip(np.searchsorted(times, centres, side="left"), 1, max(times.size - 1, 1))
    if times.size < 2:
        return np.zeros(centres.shape, bool)
    on_sample = times[after] == centres
    return (times[after] - times[after - 1] > _GAP * spacing) & ~on_sample
