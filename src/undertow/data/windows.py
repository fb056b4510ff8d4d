"""Long recordings as overlapping windows, and the estimates of the windows as one again.

    windows = chop(trials, length=100, overlap=20)        # bins; or seconds: length=2.0, overlap=0.4
    estimate = merge(fitted.infer(windows), trials)       # on the axes of the original trials

`chop` covers every bin: the last window of a trial is shifted back to end where the trial ends. `merge`
weighs each window by a raised cosine, largest in its middle, and divides by the sum of the weights at each
bin. The weights so sum to one, and where two windows overlap the earlier fades smoothly into the later.
Windows that agree are therefore reproduced exactly. Split before fitting so that neighbours stay together
(`split(windows, by="blocked")`): windows that overlap share bins.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from undertow.data import surroundings
from undertow.data.binning import in_bins
from undertow.vocabulary import COUNTS_AXES, UndertowError, check_trials


def chop(
    trials: xr.Dataset, *, length: float | int, overlap: float | int = 0, margin: float | int = 0
) -> xr.Dataset:
    """Trials whose `trial` axis are overlapping windows of one or a few long trials.

    Args:
        trials: follow the schema of trials. Their end is their last bin in which any neuron was observed.
        length: of a window, bins (int) or seconds (float).
        overlap: of neighbouring windows, bins (int) or seconds (float), less than the length.
        margin: on both sides of a window, bins (int) or seconds (float), whose counts are kept beside it, as `counts_around`, for
            models that smooth.

    Returns:
        Trials of `length` bins with the columns of their source, and `window_of` (position of the source
        trial), `window_start` (its first bin there). `time` counts from the window's own start; `start_time`
        moves along. A trial shorter than a window becomes one window that ends in NaN; one never observed
        becomes none.

    Raises:
        UndertowError: an overlap as long as the window, seconds that are no whole bins, forward bins.
    """
    bin_width = trials.attrs["bin_width"]
    bins, shared = in_bins("length", length, bin_width), in_bins("overlap", overlap, bin_width)
    beside = surroundings.margin_bins(margin, bin_width)
    _check_choppable(trials, bins, shared)
    ends = observed_ends(trials)
    starts = [_starts(int(end), bins, bins - shared) for end in ends]
    window_of = np.repeat(np.arange(len(starts)), [len(of_trial) for of_trial in starts])
    window_start = np.concatenate(starts).astype(int)
    if not window_of.size:
        raise UndertowError("No bin of these trials was observed, so there is nothing to cut into windows.")
    moved = {"window_of": ("trial", window_of), "window_start": ("trial", window_start)}
    moved["time"] = ("time", (np.arange(bins) + 0.5) * bin_width)
    moved["forward"] = ("time", np.zeros(bins, dtype=bool))
    if "start_time" in trials.coords:
        moved["start_time"] = ("trial", trials.start_time.values[window_of] + window_start * bin_width)
    known = surroundings.everything(trials, beside) if beside else None
    trials = surroundings.without_surroundings(trials)
    cut = {
        name: _cut(variable, window_of, window_start, ends, bins)
        for name, variable in trials.variables.items()
        if name not in moved and ("trial" in variable.dims or "time" not in variable.dims)
    }
    coordinates = {name: cut.pop(name) for name in trials.coords if name in cut} | moved
    windows = xr.Dataset(cut, coords=coordinates, attrs=trials.attrs)
    if known is not None:
        place = window_start[:, None] + np.arange(bins + 2 * beside)
        around = known[window_of[:, None], np.minimum(place, known.shape[1] - 1)]
        around[place >= known.shape[1]] = np.nan
        around[:, beside : beside + bins][np.isfinite(windows.counts.values)] = np.nan
        windows = surroundings.with_surroundings(windows, around)
    return check_trials(windows)


def merge(estimate: xr.Dataset, original: xr.Dataset) -> xr.Dataset:
    """The estimate of windows as an estimate of the trials they were cut from.

    Args:
        estimate: of what `chop` gave, with its columns `window_of` and `window_start`. Windows may be
            missing.
        original: the trials that were cut.

    Returns:
        Variables with the axes (trial, time, ...) on the axes of `original`, NaN where no window reached. A
        standard deviation (`..._sd`) is averaged with the same weights: overlapping windows saw the same
        counts, so that their errors go together, and this is the largest it can be. Variables without time
        (the initial condition, a code) stay one for each window, on the axis `window`.

    Raises:
        UndertowError: an estimate that is not of windows of these trials.
    """
    window_of, window_start = _window_places(estimate, original)
    places = {"window_of": ("window", window_of), "window_start": ("window", window_start)}
    shape, ends = original.counts.shape[:2], observed_ends(original)
    merged = {}
    for name, variable in estimate.variables.items():
        if variable.dims[:2] == COUNTS_AXES[:2]:
            blended = _blended(variable.values, window_of, window_start, ends, shape)
            merged[name] = (variable.dims, blended)
        elif "trial" in variable.dims and variable.ndim > 1:
            merged[name] = (
                tuple("window" if axis == "trial" else axis for axis in variable.dims),
                variable.values,
            )
    columns = {
        name: column for name, column in estimate.coords.items() if not {"trial", "time"} & set(column.dims)
    }
    columns |= {
        name: column for name, column in original.coords.items() if set(column.dims) <= {"trial", "time"}
    }
    return xr.Dataset(merged, coords=columns | places, attrs=estimate.attrs)


def observed_ends(trials: xr.Dataset) -> np.ndarray:
    """For each trial the number of bins up to the last in which any neuron was observed; 0 for none."""
    ends = np.zeros(trials.sizes["trial"], dtype=int)
    for trial in range(ends.size):
        observed = np.flatnonzero(np.isfinite(trials.counts[trial].values).any(axis=1))
        ends[trial] = observed[-1] + 1 if observed.size else 0
    return ends


def _check_choppable(trials: xr.Dataset, bins: int, shared: int) -> None:
    if not 0 <= shared < bins:
        raise UndertowError(
            f"Windows of {bins} bins can't overlap by {shared} bins; choose an overlap from 0 to less than "
            "the length."
        )
    if trials.forward.values.any():
        raise UndertowError(
            f"{trials.forward.values.sum()} bins of these trials are to be forecast; "
            "cut windows first, then hold out the last bins of the windows."
        )
    if "window_of" in trials.coords:
        raise UndertowError("These trials are windows already; cut the trials they came from.")


def _starts(end: int, bins: int, step: int) -> np.ndarray:
    """First bins of one trial's windows: one every `step` bins, and one that ends where the trial ends."""
    if end == 0:
        return np.zeros(0, dtype=int)
    last = max(end - bins, 0)
    return np.append(np.arange(0, last, step), last)


def _cut(
    variable: xr.Variable, window_of: np.ndarray, window_start: np.ndarray, ends: np.ndarray, bins: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """A variable of the trials as one of the windows: (trial, time, ...) is cut, (trial, ...) is repeated."""
    values = variable.values
    if "trial" not in variable.dims:
        return variable.dims, values
    if "time" not in variable.dims:
        return variable.dims, values[window_of]
    place = window_start[:, None] + np.arange(bins)
    cut = values[window_of[:, None], np.minimum(place, values.shape[1] - 1)]
    cut[place >= ends[window_of][:, None]] = np.nan
    return variable.dims, cut


def _window_places(estimate: xr.Dataset, original: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    missing = [name for name in ("window_of", "window_start") if name not in estimate.coords]
    if missing:
        raise UndertowError(
            f"The estimate has no column '{missing[0]}' on 'trial'; give the estimate of windows that chop "
            "cut."
        )
    window_of, window_start = estimate.window_of.values, estimate.window_start.values
    if window_of.size and (
        window_of.max() >= original.sizes["trial"] or window_start.max() >= original.sizes["time"]
    ):
        raise UndertowError(
            f"The windows reach trial {window_of.max()} and bin {window_start.max()}, but the original has "
            f"{original.sizes['trial']} trials of {original.sizes['time']} bins; give the trials they were "
            "cut from."
        )
    return window_of, window_start


def _blended(
    values: np.ndarray,
    window_of: np.ndarray,
    window_start: np.ndarray,
    ends: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """The weighted mean of windows (window, bin, ...) at each bin (trial, time, ...), NaN without windows."""
    total = np.zeros((*shape, *values.shape[2:]))
    weight = np.zeros_like(total)
    taper = _taper(values.shape[1]).reshape(-1, *[1] * (values.ndim - 2))
    for window, (trial, start) in enumerate(zip(window_of, window_start, strict=True)):
        inside = slice(start, min(start + values.shape[1], ends[trial]))
        piece, weights = values[window, : inside.stop - start], taper[: inside.stop - start]
        known = np.isfinite(piece)
        total[trial, inside] += np.where(known, weights * piece, 0)
        weight[trial, inside] += weights * known
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0).astype(values.dtype)


def _taper(bins: int) -> np.ndarray:
    """A raised cosine over the window, positive in every bin; two that overlap by half sum to one."""
    return np.sin(np.pi * (np.arange(bins) + 0.5) / bins) ** 2
