"""A given assignment of trials to splits, as one name for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from undertow.vocabulary import SPLITS, UndertowError, closest


def assigned(assignment: Any, count: int) -> np.ndarray:
    """The split of each of `count` trials.

    Args:
        assignment: one name for each trial, or a mapping from name to trials, by position counted from 0 or by one
            boolean for each trial; trials it leaves out train.
        count: number of trials.

    Raises:
        UndertowError: unknown names, positions that do not exist, a trial in two splits.
    """
    names = _from_mapping(assignment, count) if isinstance(assignment, Mapping) else np.asarray(assignment)
    if names.shape != (count,):
        raise UndertowError(f"The assignment has the shape {names.shape}, but trials are {count}; name each.")
    unknown = sorted(set(names.astype(str).tolist()) - set(SPLITS))
    if unknown:
        raise UndertowError(f"The split '{unknown[0]}' is unknown; {closest(unknown[0], SPLITS)}")
    return names.astype("<U5")


def _from_mapping(assignment: Mapping[str, Any], count: int) -> np.ndarray:
    taken: dict[int, str] = {}
    for name, positions in assignment.items():
        for position in _positions(positions, name, count):
            if not 0 <= position < count:
                raise UndertowError(
                    f"Trial {position} ('{name}') does not exist; they run from 0 to {count - 1}."
                )
            if taken.setdefault(position, name) != name:
                raise UndertowError(f"Trial {position} is both '{taken[position]}' and '{name}'; choose one.")
    return np.array([taken.get(position, "train") for position in range(count)])


def _positions(positions: Any, name: str, count: int) -> list[int]:
    """Positions of trials, from such numbers or from one boolean for each trial."""
    array = np.ravel(positions)
    if array.dtype == bool and array.size == count:
        return np.flatnonzero(array).tolist()
    if array.size and array.dtype.kind not in "iu":
        raise UndertowError(
            f"'{name}' is assigned {positions!r}; give positions of trials counted from 0, as integers."
        )
    return array.astype(int).tolist()
