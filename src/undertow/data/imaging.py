"""Events under a microscope: each region of interest is sampled at its own time within the frame.

A scanning microscope draws a frame line by line, so that a region near the lower edge is seen most of a frame later than one near
the upper edge. With `sampling="subframe"` every sample keeps its own time, frame time + line offset: the bins may then be much
narrower than a frame, and an entry is NaN in every bin in which its region was not sampled (RADICaL; Zhu et al. 2022). With
`sampling="frame"` all regions count as sampled in the middle of the frame, with bins of a frame or more. Two samples of one
region in one bin add up.

    offsets = line_offsets(rows, lines=512, frame_interval=1 / 30)
    recording = Recording([], units, events=events(frame_times, values, offsets))
    load(recording, bin_width=0.01, align="go_cue", window=(-0.5, 1.0))

A value is what was deconvolved at that sample: all that happened since the sample before it, a whole frame. What a value of 1 is
stands in `Events.unit` and in the trials' attribute `event_unit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from undertow.data.binning import Grid, locate
from undertow.data.recording import Events
from undertow.vocabulary import UndertowError, closest

SAMPLINGS = ("subframe", "frame")
SMALLEST = 0.1
"""Events below this, once scaled, are none: the least that a zero-inflated Gamma can tell from zero (s_min of RADICaL)."""
SCALED = "the root mean square of the region's own events"
_WIDER = 1.001  # frames: a bin this much wider than a frame is wider


def events(
    frame_times: Any,
    values: Any,
    offsets: Any = 0.0,
    *,
    sampling: str = "subframe",
    delay: float = 0.0,
    unit: str = "not said",
) -> Events:
    """Checked events.

    Args:
        frame_times: (frame,) seconds at which each frame begins, ascending.
        values: (frame, unit), zero or more, NaN = not sampled.
        offsets: (unit,) seconds from there to each unit's sample, or one number for all.
        sampling: "subframe" or "frame", see the module.
        delay: seconds by which a sample comes after what it tells of; half a frame, and an indicator's rise, are such delays.
        unit: what an event of 1 is, in words.

    Raises:
        UndertowError: shapes that disagree, times that do not ascend, negative or infinite events, an unknown sampling.
    """
    times = np.asarray(frame_times, np.float64).reshape(-1)
    table = np.asarray(values, np.float32)
    if table.ndim != 2 or table.shape[0] != times.size or times.size < 2:
        raise UndertowError(
            f"The events have the shape {table.shape} and there are {times.size} frame times, but the shape must be "
            "(frame, unit) with as many frames as times and at least two; give one time for each frame."
        )
    if not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        raise UndertowError(
            "The frame times must be finite and ascend, but some are missing or go back; give each frame its own time."
        )
    _check_values(table)
    if sampling not in SAMPLINGS:
        raise UndertowError(f"There is no sampling '{sampling}'; {closest(sampling, SAMPLINGS)}")
    seconds = np.broadcast_to(np.asarray(offsets, np.float64), table.shape[1:]).copy()
    if not np.isfinite(seconds).all() or not np.isfinite(delay):
        raise UndertowError("A line offset or the delay is not finite; give seconds for every region.")
    return Events(times, seconds, table, sampling, float(delay), unit)


def line_offsets(rows: np.ndarray, *, lines: int, frame_interval: float, start: float = 0.0) -> np.ndarray:
    """Seconds after the frame's beginning at which the lines in `rows` (unit,) are drawn, of `lines` in all.

    `start` is when the first line of this plane is drawn, in seconds, where several planes make a volume.
    """
    return start + np.clip(np.asarray(rows, np.float64) / lines, 0.0, 1.0) * frame_interval


def scaled(values: np.ndarray, smallest: float = SMALLEST) -> np.ndarray:
    """Events (frame, unit) in the unit `SCALED`, without those below `smallest`, which are set to zero.

    So a typical event is about 1 whatever the brightness of its region. A region without any event stays as it is.

    Raises:
        UndertowError: negative or infinite events.
    """
    _check_values(values)
    is_event = values > 0
    squares = np.where(is_event, np.square(values, dtype=np.float64), 0.0)
    power = squares.sum(axis=0) / np.maximum(is_event.sum(axis=0), 1)
    in_unit = values / np.where(power > 0, np.sqrt(power), 1.0)
    return np.where(in_unit < smallest, 0.0, in_unit).astype(np.float32)  # NaN is not below


def frame_interval(seen: Events) -> float:
    """Seconds from frame to frame, by the median."""
    return float(np.median(np.diff(seen.frame_times)))


def sample_times(seen: Events, unit: int) -> np.ndarray:
    """Seconds at which a unit's samples are laid, (frame,)."""
    within = seen.offsets[unit] if seen.sampling == "subframe" else frame_interval(seen) / 2
    return seen.frame_times + within - seen.delay


def binned(seen: Events, bins: Grid, observed: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Sums of events (trial, bin, unit) float32, NaN where a unit has no sample or `observed` (trial, bin) says no; and notes.

    Raises:
        UndertowError: bins wider than a frame where units keep their own times.
    """
    _check_width(seen, bins)
    trials, width = bins.shape
    sums = np.empty((trials, width, seen.values.shape[1]), np.float32)
    for unit, values in enumerate(seen.values.T):
        sample, trial, place = locate(bins.ticks(sample_times(seen, unit)), bins)
        value, cell = values[sample], trial * width + place
        is_sampled = ~np.isnan(value)
        cell, value = cell[is_sampled], value[is_sampled]
        total = np.bincount(cell, weights=value, minlength=trials * width).reshape(trials, width)
        number = np.bincount(cell, minlength=trials * width).reshape(trials, width)
        sums[:, :, unit] = np.where(observed & (number > 0), total, np.nan)
    share = np.isfinite(sums).mean()
    return sums, [
        f"Regions were sampled every {1e3 * frame_interval(seen):.4g} ms: {share:.1%} of the entries."
    ]


def attributes(seen: Events) -> dict[str, Any]:
    """What trials remember of how they were imaged."""
    return {
        "event_unit": seen.unit,
        "frame_rate": round(1 / frame_interval(seen), 6),
        "sampling": seen.sampling,
    }


def _check_values(values: np.ndarray) -> None:
    wrong = np.count_nonzero((values < 0) | np.isinf(values))
    if wrong:
        raise UndertowError(
            f"{wrong} of {values.size} events are negative or infinite (the least is {np.nanmin(values):.4g}); deconvolved "
            "events are zero or more, so give those, or fluorescence to be deconvolved."
        )


def _check_width(seen: Events, bins: Grid) -> None:
    width, interval = bins.edges[-1] / (bins.per_second * (bins.edges.size - 1)), frame_interval(seen)
    if seen.sampling == "subframe" and width > _WIDER * interval:
        raise UndertowError(
            f"Bins of {width:.6g} s are wider than a frame of {interval:.6g} s, so that the regions' own sampling times are "
            'lost; give a smaller bin width, e.g. 0.01, or sampling="frame".'
        )
