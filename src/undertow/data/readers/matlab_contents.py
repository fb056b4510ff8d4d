"""Which variables of a MATLAB file can be counts or spike times, and what lies beside them.

Every value gets a dotted name: a variable `spikes`, a field `session.spikes` of a struct, and a field
`trialData.binCounts` of a struct array, which is the cell of that field over the elements. So only three
kinds are left to tell apart:

* counts in one array with three axes,
* counts of each trial, a cell of matrices with the same number of columns,
* spike times, a cell (of cells ...) of sorted vectors, or of structs that have such a vector in one of
`TIME_FIELDS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from undertow.data.readers.matlab_values import Struct, Unreadable
from undertow.vocabulary import UndertowError, closest

TIME_FIELDS = ("time", "times", "spike_times", "spikeTimes", "timestamps", "ts", "spikes")
_LISTED = 12


def catalogue(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted name; a field of a struct array is a cell with one axis."""
    named: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, Struct):
            named[prefix + name] = value
        elif np.prod(value.shape) == 1:
            inner = {field: elements[0] for field, elements in value.fields.items()}
            named |= catalogue(inner, f"{prefix}{name}.")
        else:
            named |= {
                f"{prefix}{name}.{field}": _as_cell(elements) for field, elements in value.fields.items()
            }
    return named


def choose(named: dict[str, Any], variable: str | None, axes: tuple[str, ...], source: str) -> str:
    """The dotted name of the counts or spike times: the asked one, or the only one that can be meant.

    Raises:
        UndertowError: none, or several, or a variable that can't be read so; lists what is there.
    """
    if variable in named:
        return variable
    within = {
        name: value for name, value in named.items() if variable is None or name.startswith(f"{variable}.")
    }
    if not within:
        raise UndertowError(f"'{source}' has no variable '{variable}'; {closest(variable, _roots(named))}")
    for is_candidate in (_is_counts, is_spike_times):
        candidates = [name for name, value in within.items() if is_candidate(value, axes)]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise UndertowError(
                f"'{source}' has several variables that can be counts or spike times, "
                f"{_listed(candidates, named)}; "
                f"choose one, for example variable='{candidates[0]}'."
            )
    raise UndertowError(
        f"'{source}' has no variable that is surely counts or spike times, but {_listed(within, named)}; "
        "name the one to read with variable='...' and, for an array, its axes with axes='trial time neuron'."
    )


def described(value: Any) -> str:
    """The kind and the shape of a value, e.g. "cell (1, 96)"."""
    if isinstance(value, str):
        return "words"
    if isinstance(value, Unreadable):
        return f"unreadable {value.kind}"
    shape = "x".join(map(str, value.shape))
    return (
        f"{shape} struct"
        if isinstance(value, Struct)
        else f"{shape} {'cell' if is_cell(value) else value.dtype}"
    )


def is_cell(value: Any) -> bool:
    """Whether a value is a cell."""
    return isinstance(value, np.ndarray) and value.dtype == object


def is_numeric(value: Any) -> bool:
    """Whether a value is an array of real numbers or booleans."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


def single_cell(value: np.ndarray) -> np.ndarray:
    """A cell that holds one value."""
    return _as_cell([value])


def elements(value: np.ndarray) -> list[Any]:
    """The elements of a cell in MATLAB's order."""
    return value.ravel(order="F").tolist()


def is_matrices(value: Any, axes: tuple[str, ...]) -> bool:
    """Whether a cell holds a matrix for each trial, all with the same number (at least 2) of neurons."""
    if not is_cell(value):
        return False
    filled = [one for one in elements(value) if not (is_numeric(one) and one.size == 0)]
    if not filled or not all(is_numeric(one) and one.ndim == 2 for one in filled):
        return False
    neuron_axis = int(matrix_axes(axes)[0] == "time")
    neurons = {one.shape[neuron_axis] for one in filled}
    return len(neurons) == 1 and min(neurons) > 1 and max(one.shape[1 - neuron_axis] for one in filled) > 1


def matrix_axes(axes: tuple[str, ...]) -> tuple[str, ...]:
    """The axes of one trial, those of all trials without the trial."""
    return tuple(axis for axis in axes if axis != "trial")


def is_spike_times(value: Any, axes: tuple[str, ...] = ()) -> bool:
    """Whether a cell holds, however deep, sorted times that are not all whole numbers.

    Cells in the elements of a struct array are not: they are units within trials, each on a clock of its own.
    """
    del axes
    if not is_cell(value) or (value.ndim == 1 and any(map(is_cell, value))):
        return False
    times = [one for _, one, _ in units(value)]
    filled = [one for one in times if one is not None and one.size]
    if not filled or len(filled) < len([one for one in times if one is None]):
        return False
    is_sorted = all(np.all(np.diff(one) >= 0) for one in filled)
    return is_sorted and max(map(len, filled)) > 2 and any(np.any(one % 1) for one in filled)


def units(cell: np.ndarray, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any, Any]]:
    """For each unit in cells of cells its path, counted from 1, its times, and the struct they were in, or
    None.

    Times are None for what is no vector of numbers. An empty array is a unit that never fired, unless it
    stands beside structs or cells: there it is a place where no unit was.
    """
    values = elements(cell)
    is_nested = any(isinstance(one, Struct) or is_cell(one) for one in values)
    for index, value in enumerate(values):
        here = (*path, index + 1)
        if is_cell(value):
            yield from units(value, here)
        elif isinstance(value, Struct):
            yield here, _times_in(value), value
        elif not (is_nested and is_numeric(value) and value.size == 0):
            yield here, _vector(value), None


def _times_in(value: Struct) -> np.ndarray | None:
    found = [name for name in TIME_FIELDS if name in value.fields]
    return _vector(value.fields[found[0]][0]) if found and np.prod(value.shape) == 1 else None


def _vector(value: Any) -> np.ndarray | None:
    is_vector = is_numeric(value) and sum(size > 1 for size in value.shape) <= 1
    return value.reshape(-1).astype(np.float64) if is_vector else None


def _is_counts(value: Any, axes: tuple[str, ...]) -> bool:
    """Whether a value is surely counts: three axes or a matrix a trial, whole numbers from 0."""
    if is_numeric(value):
        return value.ndim == 3 and value.size > 0 and _is_whole(value)
    return is_matrices(value, axes) and all(_is_whole(one) for one in elements(value))


def _is_whole(value: np.ndarray) -> bool:
    known = value[np.isfinite(value)]
    return not np.isinf(value).any() and bool(np.all(known >= 0) and np.all(known % 1 == 0))


def _as_cell(values: list[Any]) -> np.ndarray:
    cell = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cell[index] = value
    return cell


def _listed(names: Iterable[str], named: dict[str, Any]) -> str:
    listed = [f"'{name}' ({described(named[name])})" for name in names]
    more = [f"and {len(listed) - _LISTED} more"] * (len(listed) > _LISTED)
    return ", ".join(listed[:_LISTED] + more)


def _roots(named: Iterable[str]) -> list[str]:
    return [*dict.fromkeys([name.split(".")[0] for name in named]), *named]
