"""Regions of interest of an NWB file: a `RoiResponseSeries` with its table of regions, whose masks say where each lies.

The series may be deconvolved events or fluorescence that is deconvolved here; where the file has a series named "Neuropil" of the
same shape beside fluorescence, 0.7 of it is taken off. A region is sampled when the line of its centre of mass is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pynwb
from pynwb.ophys import DfOverF, RoiResponseSeries, TwoPhotonSeries

from undertow.data import imaging
from undertow.data.deconvolution import deconvolve
from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError, closest

_NEUROPIL = 0.7
_SOURCES = ("stored", "deconvolve")
_EVENTS = ("deconv", "event", "spike", "spks")  # in the names of series that hold events
_JUDGED = ("iscell", "is_cell", "accepted", "Accepted")  # columns of the table of regions
_AXES = {"x": 0, "y": 1}  # of masks, as the format has them: (x, y)


def has_regions(nwb: pynwb.NWBFile) -> bool:
    """Whether the file holds any response of regions."""
    return bool(_responses(nwb))


def read(
    nwb: pynwb.NWBFile,
    *,
    rois: str | None,
    events: str,
    sampling: str,
    lines: str,
    decay_time: float | None,
    delay: float,
) -> Recording:
    """Units, events, the observed interval and notes of an open file; see `nwb.read`."""
    for name, value, known in (("events", events, _SOURCES), ("lines", lines, _AXES)):
        if value not in known:
            raise UndertowError(f"'{name}' is '{value}'; {closest(value, known)}")
    response = _chosen(_responses(nwb), rois, events)
    times = _frame_times(response)
    interval = float(np.median(np.diff(times))) if times.size > 1 else np.nan
    rows = np.asarray(response.rois.data[:], int)
    regions = response.rois.table
    is_kept, note = _judged(regions, rows)
    values = np.asarray(response.data[:], np.float64).reshape(times.size, -1)
    if values.shape[1] != rows.size:
        raise UndertowError(
            f"The series '{response.name}' has {values.shape[1]} columns, but names {rows.size} regions; repair the file."
        )
    values, rows = values[:, is_kept], rows[is_kept]
    if events == "deconvolve":
        values = values - _neuropil(nwb, response, is_kept)
        values = deconvolve(values, frame_rate=1 / interval, decay_time=decay_time).events
    offsets = (
        _offsets(nwb, regions, rows, _AXES[lines], interval)
        if sampling == "subframe"
        else np.zeros(rows.size)
    )
    ids = np.asarray(regions.id.data[:])[rows]
    return Recording(
        [],
        pd.DataFrame({"line_offset": offsets}, index=pd.Index(ids, name="unit")),
        observed=np.array([[times[0], times[-1] + interval]]),
        notes=(f"{rows.size} of {is_kept.size} regions of '{response.name}' were read{note}.",),
        events=imaging.events(
            times, imaging.scaled(values), offsets, sampling=sampling, delay=delay, unit=imaging.SCALED
        ),
    )


def _responses(nwb: pynwb.NWBFile) -> dict[str, RoiResponseSeries]:
    """All responses by name, or by the names of their container and their own where a name occurs twice."""
    found = [item for item in nwb.objects.values() if isinstance(item, RoiResponseSeries)]
    names = [item.name for item in found]
    return {
        item.name if names.count(item.name) == 1 else f"{item.parent.name}/{item.name}": item
        for item in found
    }


def _chosen(responses: dict[str, RoiResponseSeries], rois: str | None, events: str) -> RoiResponseSeries:
    """The one that was asked for, or the only one that may hold what is needed."""
    if rois is not None:
        if not responses:
            raise UndertowError(
                f"This file has no RoiResponseSeries at all, so none is named '{rois}'; leave --rois out, or give a file with "
                "regions of interest."
            )
        if rois not in responses:
            raise UndertowError(f"This file has no response of regions '{rois}'; {closest(rois, responses)}")
        return responses[rois]
    fitting = {name: item for name, item in responses.items() if _holds_events(name) == (events == "stored")}
    fitting = {name: item for name, item in fitting.items() if "neuropil" not in name.lower()}
    if events == "deconvolve" and len(fitting) > 1:  # dF/F is fluorescence, too, and better known
        ratios = {name: item for name, item in fitting.items() if isinstance(item.parent, DfOverF)}
        fitting = ratios or fitting
    if len(fitting) != 1:
        what = "deconvolved events" if events == "stored" else "fluorescence"
        listed = ", ".join(f"'{name}'" for name in responses)
        other = " or events='deconvolve'" if events == "stored" else ""
        raise UndertowError(
            f"This file has {len(fitting)} responses of regions that may be {what} (it has {listed}); name one with "
            f"rois=...{other}."
        )
    return next(iter(fitting.values()))


def _holds_events(name: str) -> bool:
    return any(word in name.lower() for word in _EVENTS)


def _frame_times(response: RoiResponseSeries) -> np.ndarray:
    frames = response.data.shape[0]
    if response.timestamps is not None:
        return np.asarray(response.timestamps[:], np.float64)
    if not response.rate or not response.rate > 0:
        raise UndertowError(
            f"The series '{response.name}' has neither timestamps nor a rate, so its frame times are missing; repair the file."
        )
    return (response.starting_time or 0.0) + np.arange(frames) / response.rate


def _judged(regions: Any, rows: np.ndarray) -> tuple[np.ndarray, str]:
    """Which of the regions are kept: what a column calls a cell, else all; and words about it."""
    name = next((name for name in _JUDGED if name in regions.colnames), None)
    if name is None:
        return np.ones(rows.size, bool), ""
    judged = np.asarray(regions[name].data[:], float).reshape(len(regions), -1)[rows, 0] > 0
    if not judged.any():
        raise UndertowError(
            f"None of the {rows.size} regions is a cell by the column '{name}'; curate them first."
        )
    return judged, f": cells by the column '{name}'"


def _neuropil(nwb: pynwb.NWBFile, response: RoiResponseSeries, is_kept: np.ndarray) -> np.ndarray | float:
    """What is taken off fluorescence: a share of the neuropil's, where the file has it."""
    if isinstance(response.parent, DfOverF):
        return 0.0
    beside = [
        item
        for name, item in _responses(nwb).items()
        if "neuropil" in name.lower() and item is not response and item.data.shape == response.data.shape
    ]
    return _NEUROPIL * np.asarray(beside[0].data[:], np.float64)[:, is_kept] if len(beside) == 1 else 0.0


def _offsets(nwb: pynwb.NWBFile, regions: Any, rows: np.ndarray, axis: int, interval: float) -> np.ndarray:
    """Seconds from the frame's beginning to the line of each region's centre of mass."""
    if "image_mask" in regions.colnames:
        masks = [np.asarray(regions["image_mask"].data[row], np.float64) for row in rows]
        places = [_centre(mask.sum(axis=1 - axis)) for mask in masks]
        return imaging.line_offsets(np.array(places), lines=masks[0].shape[axis], frame_interval=interval)
    if "pixel_mask" in regions.colnames:
        masks = [np.array([list(pixel) for pixel in regions["pixel_mask"][int(row)]], float) for row in rows]
        places = np.array([np.average(mask[:, axis], weights=np.maximum(mask[:, 2], 1e-9)) for mask in masks])
        lines = _height(nwb, axis) or int(max(mask[:, axis].max() for mask in masks)) + 1
        return imaging.line_offsets(places, lines=lines, frame_interval=interval)
    raise UndertowError(
        "The regions of this file have neither pixel_mask nor image_mask, so their lines are not known; give sampling='frame'."
    )


def _centre(profile: np.ndarray) -> float:
    return float(np.average(np.arange(profile.size), weights=np.maximum(profile, 1e-12)))


def _height(nwb: pynwb.NWBFile, axis: int) -> int | None:
    """Lines of the frame, where the file keeps the recording's dimensions (x, y)."""
    found = [item for item in nwb.objects.values() if isinstance(item, TwoPhotonSeries)]
    stated = [item.dimension for item in found if item.dimension is not None and len(item.dimension) >= 2]
    return int(stated[0][axis]) if stated else None
