"""The front door: `load` turns a file, a folder or objects in memory into trials.

    load("session.nwb", bin_width=0.01, align="move_onset_time", window=(-0.25, 0.45))
    load("sorted_by_phy/", bin_width=0.02, table="events.csv")
    load(counts, bin_width=0.02)                       # an array (trial, time, neuron), or a list of arrays
    load_sessions(["monday.nwb", "tuesday.nwb"], bin_width=0.01)       # a dictionary of name to trials

What can be read is the table `_FILES`; a new format is one reader in `readers/` and one row there.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.alignment import cut
from undertow.data.imaging import frame_interval
from undertow.data.recording import Recording
from undertow.data.sessions import distinct, sessions
from undertow.data.store import open_sessions
from undertow.data.trials import trials
from undertow.vocabulary import UndertowError, check_trials, closest

_CUT = (
    "bin_width",
    "align",
    "window",
    "table",
    "behaviour",
    "inputs",
    "select",
    "margin",
)  # how a recording is cut
_TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class _Kind:
    """A format: its name, its suffixes, the module and function that read it, and whether it may hold recordings."""

    name: str
    suffixes: tuple[str, ...]
    reader: str
    function: str = "read"
    cuts: bool = True

    def read(self) -> Callable[..., Recording | xr.Dataset]:
        """The reader's function, imported when it is needed."""
        return getattr(importlib.import_module(f"undertow.data.{self.reader}"), self.function)


_NWB = _Kind("NWB", (".nwb",), "readers.nwb")
_PHY = _Kind("Phy or Kilosort folder", (), "readers.phy")
_SUITE2P = _Kind("Suite2p folder", (), "readers.suite2p")
_PYNAPPLE = _Kind("pynapple objects", (), "readers.pynapple")
_STORED = _Kind("trials of undertow", (".nc",), "store", "open_trials", cuts=False)
_HDF5 = _Kind("HDF5", (".h5", ".hdf5"), "readers.hdf5")
_HDF5_START = b"\x89HDF\r\n\x1a\n"
_FILES = (
    _NWB,
    _Kind("MATLAB", (".mat",), "readers.matlab"),
    _Kind("NumPy", (".npz", ".npy"), "readers.numpy"),
    _HDF5,
    _STORED,
)
_RUN = "recipe.toml"
"""The first file of a run's folder."""
_PHY_FILES = ("spike_times.npy", "params.py", "spike_clusters.npy")


def load(
    source: Any,
    *,
    bin_width: float | None = None,
    align: str | None = None,
    window: tuple[float, float] | None = None,
    table: str | Path | pd.DataFrame | None = None,
    behaviour: Any = None,
    **options: Any,
) -> xr.Dataset:
    """Trials from whatever holds a recording.

    Args:
        source: the path of a file or of a folder of Phy or Suite2p; pynapple objects; an array (trial, time, neuron), a list of
            arrays (time, neuron), or a list of one-axis arrays, the spike times of each unit in seconds; a
            `Recording`; trials.
        bin_width: seconds.
        align: a column of the trial table with the times to align to.
        window: seconds around `align`.
        table: the interval table that holds the trials, by name, as a .csv or .tsv file, or as a frame.
        behaviour: names of series (of a recording), a variable's name (of a file of arrays), or an array.
        **options: what else the kind of source takes: `inputs`, `select` and `margin` for recordings; `variable` and
            `condition` for files of arrays; `labels` for Phy; `epochs`, `series` and `session` for
            pynapple; `lazy` for stored trials; whatever `undertow.trials` takes for arrays.

    Raises:
        UndertowError: a missing file, an unknown kind, options that this kind does not take, and whatever the
            reader finds wrong.
    """
    named = {"bin_width": bin_width, "align": align, "window": window, "table": table, "behaviour": behaviour}
    given = {name: value for name, value in {**named, **options}.items() if value is not None}
    if isinstance(source, (str, Path)):
        return _from_path(Path(source), given)
    return _from_memory(source, given)


def load_sessions(sources: Any, **options: Any) -> dict[str, xr.Dataset]:
    """Trials of several sessions by name, with the same bins and known inputs (`undertow.data.sessions.sessions`).

    Args:
        sources: a mapping of name to what `load` takes; or a path, or a list of what `load` takes, where a .nc file may hold
            several sessions. Without names a session has its own, which the recording gave it, or, where two have
            the same, its file's.
        **options: of `load`, for each source.

    Raises:
        UndertowError: no source, and whatever `load` and `sessions` find wrong.
    """
    return sessions(load_each(sources, **options))


def load_each(sources: Any, **options: Any) -> dict[str, xr.Dataset]:
    """Trials of several sessions by name as they are, before they are brought to the same bins; see `load_sessions`."""
    if isinstance(sources, Mapping) and not isinstance(sources, xr.Dataset):
        return {str(name): load(source, **options) for name, source in sources.items()}
    is_one = isinstance(sources, (str, Path, xr.Dataset))
    found = [entry for source in ([sources] if is_one else sources) for entry in _each(source, options)]
    if not found:
        raise UndertowError("There is no session to load; give at least one source.")
    names = [name for name, _, _ in found]
    chosen = distinct(name if names.count(name) == 1 else other for name, other, _ in found)
    return {
        name: trials.assign_attrs(session=name) for name, (_, _, trials) in zip(chosen, found, strict=True)
    }


def _each(source: Any, options: Mapping[str, Any]) -> list[tuple[str, str, xr.Dataset]]:
    """The sessions of a source, each with its own name and another one for where that is taken."""
    if not isinstance(source, (str, Path)) or Path(source).suffix.lower() not in _STORED.suffixes:
        trials = load(source, **options)
        own = str(trials.attrs.get("session", "session"))
        return [(own, Path(source).stem if isinstance(source, (str, Path)) else own, trials)]
    given = {name: value for name, value in options.items() if value is not None}
    _check_options(_STORED.name, given, ("lazy",))
    _check_exists(Path(source))
    stored = open_sessions(source, **given)
    other = Path(source).stem
    return [(name, other if len(stored) == 1 else name, trials) for name, trials in stored.items()]


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise UndertowError(f"There is no file or folder '{path}'; check the path.")


def _from_path(path: Path, given: Mapping[str, Any]) -> xr.Dataset:
    _check_exists(path)
    kind = _kind_of(path)
    if kind is _NWB:  # other series are not worth reading
        given = {"series": [*_names(given.get("behaviour")), *_names(given.get("inputs"))], **given}
    return _read(kind, path, str(path), given, beside=path)


def _read(kind: _Kind, source: Any, name: str, given: Mapping[str, Any], beside: Path | None) -> xr.Dataset:
    """Trials from a source of this kind: each option goes to the reader, to cutting, or to both."""
    read = kind.read()
    takes = tuple(inspect.signature(read).parameters)[1:]
    _check_options(kind.name, given, dict.fromkeys((*takes, *(_CUT if kind.cuts else ()))))
    found = read(source, **{option: value for option, value in given.items() if option in takes})
    if isinstance(found, Recording):
        return _cut(found, name, _with_table(given, beside))
    needless = [option for option in given if option not in takes]
    if needless:
        raise UndertowError(
            f"'{name}' holds counts that are in bins and trials already, so {', '.join(needless)} can't be "
            "applied; leave out what cuts recordings."
        )
    return check_trials(found)


def _kind_of(path: Path) -> _Kind:
    if path.is_dir():
        if any((path / name).is_file() for name in _PHY_FILES):
            return _PHY
        if _holds_suite2p(path):
            return _SUITE2P
        if (path / _RUN).is_file():
            raise UndertowError(
                f"'{path}' is the folder of a run and no recording; undertow.open('{path}') opens its model, and its "
                "provenance.json says where its trials are."
            )
        raise UndertowError(
            f"The folder '{path}' is none that Phy or Kilosort wrote (it has none of {', '.join(_PHY_FILES)}), nor one of "
            "Suite2p (it has no suite2p/plane0 and no stat.npy); give the path of a file in it."
        )
    for kind in _FILES:
        if path.suffix.lower() in kind.suffixes:
            return kind
    with path.open("rb") as file:
        if file.read(len(_HDF5_START)) == _HDF5_START:  # LFADS in TensorFlow wrote its files without a suffix
            return _HDF5
    known = ", ".join(f"{kind.name} ({' '.join(kind.suffixes)})" for kind in _FILES)
    raise UndertowError(
        f"'{path}' is of an unknown kind '{path.suffix}'; known are {known}, and folders of Phy and Suite2p."
    )


def _holds_suite2p(path: Path) -> bool:
    return importlib.import_module("undertow.data.readers.suite2p").is_folder(path)


def _check_options(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known and kind == _STORED.name:
            raise UndertowError(
                f"Stored trials are in bins already, so '{name}' can't be applied to them; leave it out, or convert the "
                "recording again."
            )
        if name not in known:
            raise UndertowError(
                f"A source of the kind '{kind}' takes no option '{name}'; {closest(name, known)}"
            )


def _names(names: Any) -> list[str]:
    return [] if names is None else [names] if isinstance(names, str) else list(names)


def _with_table(given: Mapping[str, Any], beside: Path | None) -> dict[str, Any]:
    """The options with a table that is a text file read; it is looked for as given, then beside the source."""
    table = given.get("table")
    if not isinstance(table, (str, Path)) or Path(table).suffix.lower() not in _TABLES:
        return dict(given)
    path = Path(table)
    if beside is not None and not path.is_file():
        folder = beside if beside.is_dir() else beside.parent
        path = folder / path
    reader = importlib.import_module("undertow.data.readers.table")
    return {**given, "table": reader.read(path)}


def _cut(recording: Recording, name: str, options: Mapping[str, Any]) -> xr.Dataset:
    events = recording.events
    if "bin_width" not in options and events is not None and events.sampling == "frame":
        options = {**options, "bin_width": frame_interval(events)}
    if "bin_width" not in options:
        what = "spike times" if events is None else "events at their own times"
        raise UndertowError(f"'{name}' holds {what}, which need a bin width; give e.g. bin_width=0.01 (s).")
    return cut(recording, **{option: options[option] for option in _CUT if option in options})


def _from_memory(source: Any, given: Mapping[str, Any]) -> xr.Dataset:
    if isinstance(source, xr.Dataset):
        _check_options("trials", given, ())
        return check_trials(source)
    if _is_pynapple(source):
        return _read(_PYNAPPLE, source, "the TsGroup", given, beside=None)
    if isinstance(source, Recording) or _is_spike_times(source):
        recording = source if isinstance(source, Recording) else _recording(source)
        _check_options("recording", given, _CUT)
        return _cut(recording, recording.session, _with_table(given, None))
    if isinstance(source, (np.ndarray, list, tuple)):
        return _from_arrays(source, given)
    raise UndertowError(
        f"A {type(source).__name__} can't be made into trials; give a path, an array (trial, time, neuron), a list of "
        "arrays, spike times of each unit, or pynapple objects."
    )


def _is_pynapple(source: Any) -> bool:
    things = [source, *source.values()] if type(source) is dict else [source]
    return any(type(thing).__module__.startswith("pynapple") for thing in things)


def _is_spike_times(source: Any) -> bool:
    """A list in which every entry has one axis: the spike times of each unit."""
    return isinstance(source, (list, tuple)) and bool(source) and all(_axes(entry) == 1 for entry in source)


def _axes(entry: Any) -> int:
    try:
        return np.ndim(entry)
    except ValueError:  # lists of different length within
        return 2


def _recording(spike_times: Iterable[Any]) -> Recording:
    times = [np.sort(np.asarray(unit, np.float64)) for unit in spike_times]
    return Recording(spike_times=times, units=pd.DataFrame(index=range(len(times))))


def _from_arrays(counts: Any, given: Mapping[str, Any]) -> xr.Dataset:
    for name in ("align", "window", "table"):
        if name in given:
            raise UndertowError(
                f"An array of counts is in bins already, so '{name}' can't be applied; leave it out."
            )
    if "bin_width" not in given:
        raise UndertowError("An array of counts needs the width of its bins; give e.g. bin_width=0.02 (s).")
    return trials(counts, **given)
