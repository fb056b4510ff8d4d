"""The published files of a data set, found in a folder, read and checked: what is not as published is said in one sentence.

Everything else in this folder may take for granted what is checked here: the columns that are needed, an event in every used
trial, held-in and held-out units, and a test file that belongs to its train file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from undertow.data.nlb.session import SPLITS, Session, session
from undertow.data.nlb.table import DataSet
from undertow.data.readers import nwb
from undertow.data.recording import Recording, Series
from undertow.vocabulary import UndertowError

_TIMED = ("set_time", "go_time", "is_eye", "theta", "is_short", "ts", "tp", "is_outlier")
_FULL_SIZE = 1000  # trials: a train file of DMFC_RSG with as many is a published one


def train_session(row: DataSet, folder: str | Path) -> tuple[Session, Series | None]:
    """The session in the train file below `folder`, and its behaviour if the data set has one.

    Raises:
        UndertowError: no such file, or one that is not of the data set.
    """
    path = find(row, folder, row.train_file)
    return _full_session(row, path, ("train", "val"))


def labelled_session(row: DataSet, path: str | Path) -> tuple[Session, Series | None]:
    """As `train_session` from a file that holds the test trials too, with all units and behaviour.

    Raises:
        UndertowError: no such file, or one without test trials.
    """
    return _full_session(row, Path(path), ("train", "test"))


def test_session(row: DataSet, folder: str | Path, train: Session) -> Session:
    """The session in the test file below `folder`, whose units are the held-in ones of `train`.

    Raises:
        UndertowError: no such file, or one that does not belong to the train file.
    """
    path = find(row, folder, row.test_file)
    recording = nwb.read(path, series=[])
    _check_columns(row, path, recording, (row.align,), ("obs_intervals",))
    _check_trials(row, path, recording, ("test",))
    expected, found = set(train.neurons[~train.held_out].tolist()), set(recording.units.index.tolist())
    if expected != found:
        odd = sorted(expected ^ found, key=str)[0]
        raise UndertowError(
            f"'{path}' holds {len(found)} units, but the train file {len(expected)} held-in ones, and unit {odd} is in one of "
            "them only; take both files from the same release."
        )
    return session(recording)


def find(row: DataSet, folder: str | Path, name: str) -> Path:
    """The file of this name in the folder or anywhere below it, the one that lies least deep.

    Raises:
        UndertowError: no folder, or no such file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UndertowError(
            f"There is no folder '{folder}'; give the one that holds the NWB files of {row.title}."
        )
    found = sorted(folder.rglob(name), key=lambda path: (len(path.parts), str(path)))
    if not found:
        other = row.test_file if name == row.train_file else row.train_file
        beside = f", beside '{other}'," if any(folder.rglob(other)) else ""
        raise UndertowError(
            f"'{folder}' holds no file '{name}'{beside} of {row.title}; it is part of DANDI:{row.dandiset}/{row.version}, "
            f"put it there or run `undertow nlb download {row.name}`."
        )
    return found[0]


def _full_session(row: DataSet, path: Path, splits: tuple[str, ...]) -> tuple[Session, Series | None]:
    names = () if row.behaviour is None else (row.behaviour,)
    try:
        recording = nwb.read(path, series=names, is_scaled=False)
    except (
        UndertowError
    ):  # of another data set, if it can be read at all: its columns say more than its series
        _check_full(row, path, nwb.read(path, series=()), splits)
        raise
    _check_full(row, path, recording, splits)
    return session(recording), next(iter(recording.series.values()), None)


def _check_full(row: DataSet, path: Path, recording: Recording, splits: tuple[str, ...]) -> None:
    _check_release(row, path, recording)
    needed = (row.align, *row.conditions, *(_TIMED if row.is_timed else ()))
    _check_columns(row, path, recording, needed, ("heldout", "obs_intervals"))
    _check_units(row, path, recording)
    _check_trials(row, path, recording, splits)


def _check_columns(
    row: DataSet, path: Path, recording: Recording, of_trials: tuple[str, ...], of_units: tuple[str, ...]
) -> None:
    table = recording.tables.get("trials")
    if table is None:
        raise UndertowError(
            f"'{path}' has no table of trials, so it is not a file of {row.title}; give a published one."
        )
    columns = {*recording.units.columns, *(("obs_intervals",) if recording.observed is not None else ())}
    absent = [
        f"trials.{name}"
        for name in dict.fromkeys(("start_time", "stop_time", "split", *of_trials))
        if name not in table
    ]
    absent += [f"units.{name}" for name in of_units if name not in columns]
    if absent:
        raise UndertowError(
            f"'{path}' is not a file of {row.title}: the columns {', '.join(absent)} are missing; "
            f"take the files of DANDI:{row.dandiset}/{row.version}."
        )


def _check_release(row: DataSet, path: Path, recording: Recording) -> None:
    """DMFC_RSG was published a second time, with outliers marked and other units held out."""
    table = recording.tables.get("trials")
    if not row.is_timed or table is None or "tp" not in table:
        return
    flags = np.asarray(recording.units.get("heldout", np.zeros(len(recording.units)))).astype(bool)
    units = (int((~flags).sum()), int(flags.sum()))
    reason = "has no column 'is_outlier'" if "is_outlier" not in table else None
    if reason is None and len(table) >= _FULL_SIZE and units != row.units:
        reason = f"has {units[0]} held-in and {units[1]} held-out units in place of {row.units[0]} and {row.units[1]}"
    if reason:
        raise UndertowError(
            f"'{path}' is of an old release of {row.title}: it {reason}; take version {row.version} of DANDI:{row.dandiset}."
        )


def _check_units(row: DataSet, path: Path, recording: Recording) -> None:
    flags = np.asarray(recording.units["heldout"]).astype(bool)
    if flags.all() or not flags.any():
        which = "held-in" if flags.all() else "held-out"
        raise UndertowError(
            f"'{path}' has no {which} units among its {len(flags)}, but {row.title} needs both; "
            f"take the files of DANDI:{row.dandiset}/{row.version}."
        )


def _check_trials(row: DataSet, path: Path, recording: Recording, splits: tuple[str, ...]) -> None:
    table = recording.tables["trials"]
    words = table["split"].astype(str)
    for word in splits:
        if not (words == word).any():
            counted = ", ".join(f"{number} {name}" for name, number in words.value_counts().items())
            raise UndertowError(
                f"'{path}' has no trials of the split '{word}' (it has {counted}); give the file of {row.title} that has them."
            )
    for name in (row.align, *(("set_time", "tp") if row.is_timed and "tp" in table else ())):
        values = table.loc[words.isin(list(SPLITS)), name]
        if values.isna().any():
            raise UndertowError(
                f"{int(values.isna().sum())} of {len(values)} trials that are used in '{path}' have no {name}; "
                f"take the files of DANDI:{row.dandiset}/{row.version}."
            )
