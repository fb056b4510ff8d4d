"""Trials from the contents of a MATLAB file: the counts, and by name what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.columns import coordinates
from undertow.data.readers.matlab_contents import described, elements, is_cell, is_numeric, matrix_axes
from undertow.data.trials import trials
from undertow.vocabulary import COUNTS_AXES, UndertowError, closest


@dataclass(frozen=True)
class _Layout:
    """What a value must fit to lie beside the counts.

    Attributes:
        total: number of trials in the file.
        lengths: number of bins of each trial that holds counts, by its position in the file.
        axes: order of the axes "trial", "time", "neuron" in the file.
    """

    total: int
    lengths: dict[int, int]
    axes: tuple[str, ...]


def trials_from_contents(
    named: Mapping[str, Any],
    name: str,
    *,
    axes: tuple[str, ...],
    bin_width: float,
    behaviour: str | None,
    condition: str | None,
    neurons: str | None,
    session: str,
) -> xr.Dataset:
    """Trials whose counts are `named[name]`; the options are those of `matlab.read`."""
    matrices = _counts(named[name], name, axes)
    layout = _Layout(len(matrices), {trial: len(one) for trial, one in enumerate(matrices) if one.size}, axes)
    if not layout.lengths:
        raise UndertowError(
            f"None of the {layout.total} trials of '{name}' holds counts; name another variable."
        )
    beside = _beside(named, name)
    ids = np.arange(1, matrices[next(iter(layout.lengths))].shape[1] + 1)
    if neurons is not None:
        ids = _neuron_numbers(_looked_up(beside, neurons), neurons, ids.size)
    built = trials(
        [matrices[trial][:, ids - 1] for trial in layout.lengths],
        bin_width=bin_width,
        neuron=ids,
        session=session,
        **({} if behaviour is None else _behaviour(beside, behaviour, layout)),
    )
    columns = _columns(_siblings(named, name), layout)
    if condition is not None:
        columns["condition"] = _labels(_looked_up(beside, condition), condition, layout)
    on_trial, _ = coordinates(pd.DataFrame(columns), "trial")
    notes = [*_dropped(layout), *_offered(beside, layout)]
    built = built.assign_attrs(notes="\n".join(notes)) if notes else built
    return built.assign_coords({other: ("trial", values) for other, values in on_trial.items()})


def _counts(value: Any, name: str, axes: tuple[str, ...]) -> list[np.ndarray]:
    matrices = _matrices(value, axes)
    if matrices is None:
        raise UndertowError(
            f"'{name}' is {described(value)}, which can't be read as counts; name an array "
            "(trial, time, neuron), a matrix (time, neuron), or a cell or field with one such matrix a trial."
        )
    return matrices


def _matrices(value: Any, axes: tuple[str, ...]) -> list[np.ndarray] | None:
    """One matrix (time, neuron) a trial, also for vectors of channels; None for what has no such shape."""
    if is_numeric(value) and value.ndim == 3:
        return list(value.transpose([axes.index(axis) for axis in COUNTS_AXES]))
    values = elements(value) if is_cell(value) else [value]
    if not all(is_numeric(one) and one.ndim == 2 for one in values):
        return None
    return values if matrix_axes(axes)[0] == "time" else [one.T for one in values]


def _siblings(named: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What stands on the same level as a value, by its short name."""
    prefix, _, own = name.rpartition(".")
    start = f"{prefix}." if prefix else ""
    short = {other.removeprefix(start): value for other, value in named.items() if other.startswith(start)}
    return {other: value for other, value in short.items() if other != own and "." not in other}


def _beside(named: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Everything but a value: by its short name what stands on the same level, else by its dotted name."""
    siblings = _siblings(named, name)
    start = name.rpartition(".")[0] + "." if "." in name else ""
    far = {other: value for other, value in named.items() if other.removeprefix(start) not in siblings}
    return siblings | {other: value for other, value in far.items() if other != name}


def _looked_up(beside: Mapping[str, Any], name: str) -> Any:
    full = {other: value for other, value in beside.items() if other == name or name.endswith(f".{other}")}
    if not full:
        raise UndertowError(f"There is no '{name}' beside the counts; {closest(name, beside)}")
    return full[name] if name in full else next(iter(full.values()))


def _neuron_numbers(value: Any, name: str, count: int) -> np.ndarray:
    """Numbers of neurons, counted from 1, from such numbers or from one logical for each neuron."""
    numbers = np.ravel(value) if is_numeric(value) else np.zeros(0)
    if numbers.size == count and np.isin(numbers, (0, 1)).all():
        return np.flatnonzero(numbers) + 1
    if not numbers.size or np.any(numbers % 1) or numbers.min() < 1 or numbers.max() > count:
        raise UndertowError(
            f"neurons='{name}' is {described(value)}, but must be numbers from 1 to {count}, as MATLAB "
            "counts the neurons, or one logical for each; name another variable."
        )
    return numbers.astype(int)


def _behaviour(beside: Mapping[str, Any], name: str, layout: _Layout) -> dict[str, Any]:
    """The options of `trials` for a behaviour; NaN in trials where the file holds none."""
    value = _looked_up(beside, name)
    fitted = _fitted(value, layout)
    if fitted is None:
        offered = [other for other, one in beside.items() if _fitted(one, layout) is not None]
        raise UndertowError(
            f"The behaviour '{name}' ({described(value)}) has other trials or bins than the counts; "
            f"what has the same is {', '.join(offered) or 'nothing in this file'}."
        )
    short, channels = name.rpartition(".")[2], fitted[0].shape[1]
    numbered = [f"{short}_{channel + 1}" for channel in range(channels)] if channels > 1 else [short]
    return {"behaviour": fitted, "behaviour_channels": numbered}


def _fitted(value: Any, layout: _Layout) -> list[np.ndarray] | None:
    """A value as (time, channel) for each trial with counts, NaN where empty; None if it doesn't fit."""
    matrices = _matrices(value, layout.axes)
    if matrices is None or len(matrices) != layout.total:
        return None
    upright = [_upright(matrices[trial], bins) for trial, bins in layout.lengths.items()]
    channels = {one.shape[1] for one in upright if one.size}
    lengths = layout.lengths.values()
    if len(channels) != 1 or any(
        one.size and len(one) != bins for one, bins in zip(upright, lengths, strict=True)
    ):
        return None
    empty = (1, channels.pop())
    return [
        one if one.size else np.full(empty, np.nan).repeat(bins, axis=0)
        for one, bins in zip(upright, lengths, strict=True)
    ]


def _upright(matrix: np.ndarray, bins: int) -> np.ndarray:
    """A single channel that lies in a row, as a column."""
    return matrix.reshape(bins, 1) if matrix.size == bins and 1 in matrix.shape else matrix


def _columns(siblings: Mapping[str, Any], layout: _Layout) -> dict[str, list[Any]]:
    columns = {name: _one_each(value, layout) for name, value in siblings.items()}
    return {name: values for name, values in columns.items() if values is not None}


def _one_each(value: Any, layout: _Layout) -> list[Any] | None:
    """One number or word for each trial with counts; None for what is not so."""
    values = elements(value) if is_cell(value) else np.ravel(value).tolist() if is_numeric(value) else []
    if len(values) != layout.total:
        return None
    singles = [_single(values[trial]) for trial in layout.lengths]
    return singles if all(np.isscalar(one) for one in singles) else None


def _single(value: Any) -> Any:
    return value.item() if is_numeric(value) and value.size == 1 else value


def _labels(value: Any, name: str, layout: _Layout) -> list[Any]:
    """A condition for each trial: its number or word, or the entries of its vector joined to a word."""
    singles = _one_each(value, layout)
    if singles is not None:
        return singles
    rows = elements(value) if is_cell(value) else list(value) if is_numeric(value) else []
    if len(rows) != layout.total or not all(is_numeric(row) and row.size for row in rows):
        raise UndertowError(
            f"condition='{name}' is {described(value)}, but must have one number, word or short vector for "
            f"each of the {layout.total} trials; name another variable."
        )
    return [", ".join(f"{number:.6g}" for number in np.ravel(rows[trial])) for trial in layout.lengths]


def _dropped(layout: _Layout) -> list[str]:
    dropped = layout.total - len(layout.lengths)
    return [f"{dropped} of {layout.total} trials were left out: they hold no counts."] if dropped else []


def _offered(beside: Mapping[str, Any], layout: _Layout) -> list[str]:
    names = [f"'{name}'" for name, value in beside.items() if _fitted(value, layout) is not None]
    return (
        [f"With the same trials and bins, and so to be had as behaviour: {', '.join(names)}."]
        if names
        else []
    )
