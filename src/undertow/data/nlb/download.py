"""The published files of a data set from the DANDI archive, in the version that the benchmark used; the one door of dandi."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from undertow.data.nlb.table import DataSet, data_set
from undertow.files import replacing
from undertow.vocabulary import UndertowError


def download(name: str, folder: str | Path) -> list[Path]:
    """The train and the test file below `folder`, fetched unless they are there.

    Args:
        name: of the data set.
        folder: where to put them; made if need be.

    Returns:
        Paths of the train and the test file.

    Raises:
        UndertowError: the package `dandi` is missing, or the archive can't be reached; says what to put where by hand.
    """
    row, folder = data_set(name), Path(folder)
    paths = [folder / row.folder / file for file in (row.train_file, row.test_file)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        _fetch(row, folder, missing)
    return paths


def _fetch(row: DataSet, folder: Path, paths: list[Path]) -> None:
    try:
        from dandi.dandiapi import DandiAPIClient
    except ImportError as error:
        raise UndertowError(
            f"Downloading needs the package dandi, which is not installed; install undertow[dandi], or {_by_hand(row, folder)}."
        ) from error
    try:
        with DandiAPIClient.for_dandi_instance("dandi") as client:
            dandiset = client.get_dandiset(row.dandiset, row.version)
            for path in paths:
                _fetch_one(dandiset, f"{row.folder}/{path.name}", path)
    except UndertowError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UndertowError(
            f"{row.title} can't be downloaded from the DANDI archive ({reason}); try again, or {_by_hand(row, folder)}."
        ) from error


def _fetch_one(dandiset: Any, asset: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        dandiset.get_asset_by_path(asset).download(temporary)


def _by_hand(row: DataSet, folder: Path) -> str:
    return (
        f"get '{row.train_file}' and '{row.test_file}' of DANDI:{row.dandiset}, version {row.version} (folder {row.folder}), "
        f"yourself and put them into '{folder / row.folder}'"
    )
