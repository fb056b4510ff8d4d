"""Columns of trial tables and unit tables as coordinates: which can be one, in which type, under which name.

Numbers, strings and booleans with one value a row become coordinates; lists and arrays in cells do not. A
column whose name the schema has taken is renamed (`start_time` of the table becomes `trial_start_time`),
and a column that assigns splits is translated into the schema's words.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from undertow.vocabulary import ESTIMATE_VARIABLES, OPTIONAL_VARIABLES

_AXES = {
    "trial",
    "time",
    "time_around",
    "neuron",
    "input",
    "behaviour_channel",
    "latent",
    "factor",
    "inferred_input",
    "initial",
}
_FLAGS = {
    "counts",
    "counts_around",
    "split",
    "held_out",
    "forward",
    "start_time",
    "behaviour_channel",
    "input_channel",
}
_TAKEN = _AXES | _FLAGS | set(OPTIONAL_VARIABLES) | set(ESTIMATE_VARIABLES)

_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "none": "",
}
_HELD_OUT_COLUMNS = ("held_out", "heldout")


def coordinates(table: pd.DataFrame, axis: str, *, skip: tuple[str, ...] = ()) -> tuple[dict, list[str]]:
    """Columns that can be coordinates, by the name they get on `axis`, and the names of those that cannot."""
    values = {str(name): _values(table[name]) for name in table.columns if str(name) not in skip}
    left_out = [name for name, column in values.items() if column is None]
    named = {f"{axis}_{name}" if name in _TAKEN else name: column for name, column in values.items()}
    return {name: column for name, column in named.items() if column is not None}, left_out


def assigned_splits(table: pd.DataFrame) -> np.ndarray | None:
    """The column 'split' in the schema's words ("" for trials of no split), or None if the table assigns none."""
    if "split" not in table.columns:
        return None
    words = _values(table["split"])
    known = words is not None and all(str(word).lower() in _SPLIT_WORDS for word in words)
    return np.array([_SPLIT_WORDS[str(word).lower()] for word in words], dtype=str) if known else None


def held_out_flags(units: pd.DataFrame) -> tuple[str, np.ndarray] | None:
    """The unit table's own held-out flags: the column's name and bool (unit,); None if it has none."""
    for name in _HELD_OUT_COLUMNS:
        if name in units.columns:
            values = _values(units[name])
            if values is not None and values.dtype.kind in "biu" and set(np.unique(values)) <= {0, 1}:
                return name, values.astype(bool)
    return None


def _values(column: pd.Series) -> np.ndarray | None:
    """The column as an array of bool, numbers or strings; None if its cells hold anything else."""
    column = column.infer_objects()
    if pd.api.types.is_bool_dtype(column.dtype) and not column.hasnans:
        return column.to_numpy(bool)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
        return _numbers(column)
    return _strings(column.tolist())


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_extension_array_dtype(column.dtype):
        return column.to_numpy(np.float64, na_value=np.nan)
    return column.to_numpy()


def _strings(cells: list) -> np.ndarray | None:
    if not all(np.isscalar(cell) or cell is None or cell is pd.NA for cell in cells):
        return None
    return np.array([_word(cell) for cell in cells], dtype=str)


def _word(cell: object) -> str:
    if cell is None or pd.isna(cell):
        return ""
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
