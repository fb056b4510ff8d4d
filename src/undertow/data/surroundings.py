"""What was recorded just before and after each trial, so that smoothing need not end where a trial does.

A trial's own counts stay as they are; what lies around them is a variable of its own on a longer time axis::

    counts_around  (trial, time_around, neuron)    NaN within the trial, and where nothing was recorded
    time_around    (time_around)                   seconds from the alignment event, as `time`

`cut(..., margin=0.06)` and `chop(..., margin=0.06)` make it, `batches.arrays` brings it to models that smooth. Where `time` is
sliced afterwards the two still agree, for places are found by their times.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from undertow.data.binning import in_bins
from undertow.vocabulary import SURROUNDINGS_AXES, UndertowError

NAME, TIME = "counts_around", SURROUNDINGS_AXES[1]


def margin_bins(margin: float | int, bin_width: float) -> int:
    """A margin, bins (int) or seconds (float), as a number of bins.

    Raises:
        UndertowError: no number, a negative one, or seconds that are no whole bins.
    """
    bins = in_bins("margin", margin, bin_width)
    if bins < 0:
        raise UndertowError(f"margin={margin!r} is negative; give 0 or more, e.g. margin=0.06 (s).")
    return bins


def surrounded(trials: xr.Dataset, before: np.ndarray, after: np.ndarray, lengths: np.ndarray) -> xr.Dataset:
    """The trials with counts (trial, bin, neuron) of as many bins before and after each, whose own bins are `lengths` (trial)."""
    count, bins, neurons = trials.counts.shape
    margin = before.shape[1]
    around = np.full((count, bins + 2 * margin, neurons), np.nan, np.float32)
    around[:, :margin] = before
    places = margin + lengths[:, None] + np.arange(margin)
    around[np.arange(count)[:, None], places] = after
    return with_surroundings(trials, around)


def with_surroundings(trials: xr.Dataset, around: np.ndarray) -> xr.Dataset:
    """The trials with counts around them, (trial, margin + time + margin, neuron)."""
    bin_width, bins = float(trials.attrs["bin_width"]), trials.sizes["time"]
    margin = (around.shape[1] - bins) // 2
    time = float(trials.time[0]) + bin_width * np.arange(-margin, bins + margin)
    return trials.assign({NAME: (SURROUNDINGS_AXES, around)}).assign_coords({TIME: (TIME, time)})


def without_surroundings(trials: xr.Dataset) -> xr.Dataset:
    """The trials by themselves."""
    return trials.drop_vars([name for name in (NAME, TIME) if name in trials.variables])


def around(trials: xr.Dataset) -> np.ndarray | None:
    """Counts around the trials, (trial, margin + time + margin, neuron) float32, NaN within them; None if there are none.

    Bins that are to be forecast end what may be known: from the first of them on everything is NaN.
    """
    if NAME not in trials.variables:
        return None
    bins, bin_width = trials.sizes["time"], float(trials.attrs["bin_width"])
    first = round(float(trials[TIME][0] - trials.time[0]) / bin_width)
    margin = max(-first, first + trials.sizes[TIME] - bins, 0)
    shape = (trials.sizes["trial"], bins + 2 * margin, trials.sizes["neuron"])
    found = np.full(shape, np.nan, np.float32)
    found[:, margin + first : margin + first + trials.sizes[TIME]] = trials[NAME].values
    if trials.forward.values.any():
        found[:, margin + int(np.argmax(trials.forward.values)) :] = np.nan
    return found


def everything(trials: xr.Dataset, margin: int) -> np.ndarray:
    """Counts of the trials and of `margin` bins on both sides, (trial, margin + time + margin, neuron); NaN where unknown."""
    own = np.pad(trials.counts.values, ((0, 0), (margin, margin), (0, 0)), constant_values=np.nan)
    known = around(trials)
    if known is None:
        return own
    more = margin - (known.shape[1] - trials.sizes["time"]) // 2
    if more > 0:
        known = np.pad(known, ((0, 0), (more, more), (0, 0)), constant_values=np.nan)
    elif more < 0:
        known = known[:, -more:more]
    return np.where(np.isfinite(own), own, known)
