"""The Gaussian of the benchmark's PSTH at 1 ms, added up to bins: for averages of whole windows, or for one with gaps."""

from __future__ import annotations

import numpy as np
from scipy.signal import convolve
from scipy.signal.windows import gaussian

from undertow.data.nlb.session import inside


def kernel(deviation: int) -> np.ndarray:
    """Weights of 6 standard deviations (ms) at 1 ms, which sum to one."""
    weights = gaussian(int(6 * deviation), deviation, sym=True)
    return weights / weights.sum()


def reach(weights: np.ndarray) -> int:
    """Milliseconds on either side of a window whose spikes count in it."""
    return len(weights) // 2


def binned_kernel(weights: np.ndarray, bins: int, width: int) -> np.ndarray:
    """(bin, millisecond) what a spike at each millisecond, from `reach` before the first bin to `reach` after the last,
    adds to each bin of `width` ms."""
    margin = reach(weights)
    spikes = np.arange(bins * width + 2 * margin)
    begins = margin + np.arange(bins) * width
    lag = begins[:, None] - spikes + (len(weights) - 1) // 2
    total = np.concatenate([[0.0], np.cumsum(weights)])
    return total[np.clip(lag + width, 0, len(weights))] - total[np.clip(lag, 0, len(weights))]


def smoothed_window(
    counts: np.ndarray, start: int, runs: np.ndarray, weights: np.ndarray, width: int
) -> np.ndarray:
    """(bin, neuron) smoothed counts of a window; each run is smoothed by itself, and a bin is NaN where its first
    millisecond was not observed.

    Args:
        counts: (millisecond, neuron) from `reach` before the window to `reach` after it.
        start: the first of these milliseconds on the session's grid.
        runs: (run, 2) observed milliseconds.
        weights: of the Gaussian.
        width: of a bin, ms.
    """
    stop, margin = start + len(counts), reach(weights)
    smooth = np.zeros(counts.shape)
    for begin, end in np.clip(runs, start, stop) - start:
        if end > begin:
            full = convolve(counts[begin:end], weights[:, None])
            shift = (len(weights) - 1) // 2
            smooth[begin:end] = np.maximum(full[shift : shift + end - begin], 0.0)
    bins = (len(counts) - 2 * margin) // width
    sums = smooth[margin : margin + bins * width].reshape(bins, width, -1).sum(axis=1)
    sums[~inside(start + margin + np.arange(bins) * width, runs)] = np.nan
    return sums
