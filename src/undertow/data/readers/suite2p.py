"""Regions of interest from a folder of Suite2p: `suite2p/plane0/` and further planes.

Files used of each plane: `spks.npy` (or with `events="deconvolve"` `F.npy` and, where it is there, `Fneu.npy`), `iscell.npy`,
`stat.npy` (the median line of each region) and `ops.npy` (frame rate, size of the frame, number of planes, decay time of the
indicator, bad frames). A region is sampled when its median line is drawn:

    offset = plane / planes x volume interval + line / lines x volume interval / planes

Suite2p does not keep when frames were taken: without `frame_times` the clock starts with the first frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from undertow.data import imaging
from undertow.data.deconvolution import deconvolve
from undertow.data.readers import restricted_pickle
from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError, closest

_NEUROPIL = 0.7  # share of the neuropil's fluorescence that Suite2p takes off
_SOURCES = ("stored", "deconvolve")
_PLANE = re.compile(r"plane(\d+)$")


@dataclass(frozen=True)
class _Plane:
    """One plane's folder, its number in the volume, its options and its regions."""

    folder: Path
    number: int
    ops: dict[str, Any]
    regions: np.ndarray
    kept: np.ndarray

    def array(self, name: str, remedy: str) -> np.ndarray:
        """(frame, region), of the regions that are kept."""
        if not (self.folder / name).is_file():
            raise UndertowError(f"'{self.folder}' has no {name}; {remedy}.")
        stored = restricted_pickle.load(self.folder / name)
        if stored.ndim != 2 or len(stored) != len(self.regions):
            raise UndertowError(
                f"'{self.folder}' has {len(self.regions)} regions in stat.npy, but {name} has the shape {stored.shape}; run "
                "Suite2p again."
            )
        return stored[self.kept].T


def is_folder(path: Path) -> bool:
    """Whether Suite2p wrote a folder: the one of a plane, or one with planes, or one with a folder suite2p."""
    return bool(_plane_folders(path))


def read(
    path: str | Path,
    *,
    events: str = "stored",
    sampling: str = "subframe",
    frame_times: Any = None,
    decay_time: float | None = None,
    delay: float = 0.0,
    cells: bool = True,
) -> Recording:
    """The regions of all planes, on the clock of the frame times.

    Args:
        path: the folder, `suite2p` in it, or one plane's folder.
        events: "stored": those that Suite2p deconvolved; "deconvolve": deconvolve the fluorescence less 0.7 of the neuropil's.
        sampling: "subframe": each region at its own time; "frame": all at the frame's.
        frame_times: seconds on the session's clock at which each frame (of planes: each volume) begins: an array, or a .npy,
            .csv or .tsv file (its first column), looked for as given and then in the folder; from Suite2p's frame rate if not
            given.
        decay_time: seconds of the indicator's decay for events="deconvolve"; Suite2p's `tau` if not given.
        delay: seconds by which samples come after what they tell of, see `imaging.events`.
        cells: keep only what `iscell.npy` calls a cell.

    Raises:
        UndertowError: files that are missing or disagree, no region kept, frame times of another number.
    """
    if events not in _SOURCES:
        raise UndertowError(f"There is no source of events '{events}'; {closest(events, _SOURCES)}")
    folders = _plane_folders(Path(path))
    if not folders:
        raise UndertowError(f"'{path}' is no folder of Suite2p; give the one that holds plane0.")
    frame_times = None if frame_times is None else _given_times(frame_times, Path(path))
    planes = [_plane(folder, cells=cells) for folder in folders]
    found, total = sum(plane.kept.size for plane in planes), sum(len(plane.regions) for plane in planes)
    if not found:
        raise UndertowError(
            f"None of the {total} regions in '{path}' is a cell; curate them, or give cells=False."
        )
    interval = 1 / _frame_rate(planes[0], frame_times)
    values = [_values(plane, events, 1 / interval, decay_time) for plane in planes]
    frames = min(len(part) for part in values)
    if frames < 2:
        raise UndertowError(
            f"'{path}' holds {frames} frame(s), but a recording has at least two; run Suite2p again."
        )
    times = _frame_times(frame_times, frames, interval)
    interval = float(np.median(np.diff(times)))
    units = pd.concat([_units(plane, planes, interval) for plane in planes])
    units.index = pd.Index(_names(planes), name="unit")
    seen = imaging.events(
        times,
        imaging.scaled(np.concatenate([part[:frames] for part in values], axis=1)),
        units["line_offset"],
        sampling=sampling,
        delay=delay,
        unit=imaging.SCALED,
    )
    return Recording(
        [],
        units,
        observed=np.array([[times[0], times[-1] + interval]]),
        session=_session(Path(path)),
        notes=(f"{found} of {total} regions were kept{' (cells)' if cells else ''}.",),
        events=seen,
    )


def _plane_folders(path: Path) -> list[Path]:
    if (path / "stat.npy").is_file():
        return [path]
    for place in (path, path / "suite2p"):
        planes = [folder for folder in place.glob("plane*") if folder.is_dir() and _PLANE.search(folder.name)]
        if planes:
            return sorted(planes, key=lambda folder: int(_PLANE.search(folder.name)[1]))
    return []


def _session(path: Path) -> str:
    """The name of the folder around what Suite2p wrote."""
    path = path.resolve()
    while path.name == "suite2p" or _PLANE.search(path.name):
        path = path.parent
    return path.name


def _plane(folder: Path, *, cells: bool) -> _Plane:
    regions = restricted_pickle.load(folder / "stat.npy").reshape(-1)
    if not all(isinstance(region, dict) and _is_place(region.get("med")) for region in regions):
        raise UndertowError(f"Regions in '{folder / 'stat.npy'}' have no median 'med'; run Suite2p again.")
    kept = np.arange(len(regions))
    if cells:
        if not (folder / "iscell.npy").is_file():
            raise UndertowError(
                f"'{folder}' has no iscell.npy, which says what is a cell; run Suite2p's classifier, or give cells=False."
            )
        judged = restricted_pickle.load(folder / "iscell.npy")
        if judged.shape[:1] != regions.shape:
            raise UndertowError(
                f"'{folder}' has {len(regions)} regions in stat.npy, but iscell.npy has the shape {judged.shape}; run Suite2p "
                "again."
            )
        kept = np.flatnonzero(judged.reshape(len(judged), -1)[:, 0] > 0)
    number = _PLANE.search(folder.resolve().name)
    return _Plane(folder, int(number[1]) if number else 0, _ops(folder), regions, kept)


def _is_place(median: Any) -> bool:
    """Whether a region's median is a line and a column."""
    return (
        median is not None
        and np.shape(median) == (2,)
        and bool(np.isfinite(np.asarray(median, np.float64)).all())
    )


def _ops(folder: Path) -> dict[str, Any]:
    ops = restricted_pickle.load(folder / "ops.npy")
    ops = ops.item() if ops.shape == () else ops
    if not isinstance(ops, dict) or not _number(ops, "Ly") > 0:
        raise UndertowError(
            f"'{folder / 'ops.npy'}' does not say the frame's height 'Ly'; run Suite2p again."
        )
    return ops


def _number(ops: dict[str, Any], name: str) -> float:
    """A number of Suite2p's options; 0 where it is not there or is none."""
    try:
        return float(ops.get(name, 0) or 0)
    except (TypeError, ValueError):
        return 0.0


def _frame_rate(plane: _Plane, frame_times: np.ndarray | None) -> float:
    """Frames (of planes: volumes) a second."""
    rate = _number(plane.ops, "fs")
    if not 0 < rate < np.inf and frame_times is None:
        raise UndertowError(
            f"'{plane.folder / 'ops.npy'}' has no frame rate 'fs' and no frame_times were given; give the seconds at which each "
            "frame begins, e.g. frame_times='frames.csv'."
        )
    return rate if 0 < rate < np.inf else 1 / float(np.median(np.diff(frame_times)))


def _given_times(frame_times: Any, folder: Path) -> np.ndarray:
    """Seconds, checked."""
    is_file = isinstance(frame_times, (str, Path))
    where = f"'{frame_times}'" if is_file else "frame_times"
    try:
        times = np.asarray(_read_times(Path(frame_times), folder) if is_file else frame_times, np.float64)
    except (ValueError, TypeError) as error:
        raise UndertowError(
            f"{where} holds something else than the seconds at which frames begin ({error}); give one number a frame."
        ) from error
    times = times.reshape(-1)
    if times.size < 2 or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        raise UndertowError(
            f"The {times.size} frame times of {where} do not rise from frame to frame; give the seconds at which each begins."
        )
    return times


def _read_times(path: Path, folder: Path) -> np.ndarray:
    path = path if path.is_file() else folder / path
    if not path.is_file():
        raise UndertowError(
            f"There is no file '{path.name}' with frame times, here or in '{folder}'; give a .npy, .csv or .tsv file."
        )
    if path.suffix.lower() == ".npy":
        return restricted_pickle.load(path)
    first, *rest = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", header=None)[
        0
    ].tolist()
    return np.asarray(
        [*([first] if _is_number(first) else []), *rest], np.float64
    )  # the first line may be a heading


def _is_number(text: Any) -> bool:
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _frame_times(times: np.ndarray | None, frames: int, interval: float) -> np.ndarray:
    if times is None:
        return np.arange(frames) * interval
    if times.size < frames:
        raise UndertowError(
            f"There are {times.size} frame times, but Suite2p has {frames} frames; give one for each frame (of several planes: "
            "for each volume)."
        )
    return times[:frames]


def _values(plane: _Plane, events: str, frame_rate: float, decay_time: float | None) -> np.ndarray:
    """Events (frame, region), NaN in bad frames."""
    if events == "stored":
        values = plane.array("spks.npy", 'give events="deconvolve" to deconvolve F.npy here').astype(
            np.float32
        )
    else:
        values = plane.array("F.npy", "run Suite2p again, or give events='stored'").astype(np.float64)
        if (plane.folder / "Fneu.npy").is_file():
            values = values - _NEUROPIL * plane.array("Fneu.npy", "")
        decay = _number(plane.ops, "tau") if decay_time is None else decay_time
        values = deconvolve(values, frame_rate=frame_rate, decay_time=decay or None).events.astype(np.float32)
    bad = np.asarray(plane.ops.get("badframes", ()), bool).reshape(-1)
    if bad.size == len(values):
        values[bad] = np.nan
    return values


def _units(plane: _Plane, planes: list[_Plane], interval: float) -> pd.DataFrame:
    """One row a kept region: its plane, its place, and when in the volume it is sampled."""
    number = max(int(_number(plane.ops, "nplanes")), len(planes))
    places = np.array([plane.regions[region]["med"] for region in plane.kept], np.float64).reshape(-1, 2)
    offsets = imaging.line_offsets(
        places[:, 0],
        lines=int(plane.ops["Ly"]),
        frame_interval=interval / number,
        start=plane.number / number * interval,
    )
    location = [f"plane{plane.number}"] * plane.kept.size
    return pd.DataFrame(
        {
            "location": location,
            "region": plane.kept,
            "y": places[:, 0],
            "x": places[:, 1],
            "line_offset": offsets,
        }
    )


def _names(planes: list[_Plane]) -> list:
    """Suite2p's numbers of the regions, of several planes with the plane's before it."""
    if len(planes) == 1:
        return planes[0].kept.tolist()
    return [f"{plane.number}_{region}" for plane in planes for region in plane.kept]
