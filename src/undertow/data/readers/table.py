"""A trial table from a text file: one row a trial, columns of times in seconds, from `.csv` or `.tsv`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from undertow.vocabulary import UndertowError

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def read(path: str | Path) -> pd.DataFrame:
    """The table in `path`, with its header's names.

    Raises:
        UndertowError: no such file, or one that is no table with a column 'start_time'.
    """
    path = Path(path)
    if not path.is_file():
        raise UndertowError(f"There is no table '{path}'; give the path of a .csv or .tsv file.")
    try:
        rows = pd.read_csv(path, sep=SEPARATORS.get(path.suffix.lower(), ","))
    except (OSError, ValueError) as error:
        raise UndertowError(
            f"'{path}' can't be read as a table ({error}); save it as .csv or .tsv."
        ) from error
    if "start_time" not in rows.columns:
        raise UndertowError(
            f"The table '{path}' has the columns {', '.join(map(str, rows.columns))}, but needs 'start_time' "
            "(and 'stop_time') in seconds; rename its columns."
        )
    return rows
