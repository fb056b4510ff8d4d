"""Trials from the parts of a file that keeps its splits apart: padded to the same bins and neurons, then
joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.columns import coordinates
from undertow.data.trials import trials
from undertow.vocabulary import UndertowError


@dataclass(frozen=True)
class Part:
    """One split of a file.

    Attributes:
        split: "train", "valid" or "test".
        counts: (trial, time, neuron).
        series: (trial, time, channel) by what they are for `trials`: "behaviour", "inputs", "true_rates".
        columns: (trial,) by name.
        notes: sentences a person should read.
    """

    split: str
    counts: np.ndarray
    series: dict[str, np.ndarray] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def joined(
    parts: Sequence[Part],
    *,
    bin_width: float,
    held_in: int,
    observed: int,
    session: str,
    order: str | None = None,
) -> xr.Dataset:
    """Trials of all parts.

    Args:
        parts: in the order in which their trials follow each other.
        bin_width: seconds.
        held_in: how many neurons, the first, an encoder sees; the others are held out.
        observed: how many bins, the first, an encoder sees; the others are to be forecast.
        session: a name.
        order: a column whose values, where all differ, say the order of the trials in the session.
    """
    bins = max(part.counts.shape[1] for part in parts)
    neurons = max(part.counts.shape[2] for part in parts)
    names = dict.fromkeys(name for part in parts for name in part.series)
    built = trials(
        np.concatenate([padded(part.counts, bins, neurons) for part in parts]),
        bin_width=bin_width,
        split=np.repeat([part.split for part in parts], [len(part.counts) for part in parts]),
        held_out=np.arange(neurons) >= held_in,
        forward=np.arange(bins) >= observed,
        session=session,
        **{name: _series(parts, name, (bins, neurons)) for name in names},
    )
    shared = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
    table = pd.DataFrame({name: np.concatenate([part.columns[name] for part in parts]) for name in shared})
    columns, _ = coordinates(table, "trial")
    built = built.assign_coords({name: ("trial", values) for name, values in columns.items()})
    notes = [note for part in parts for note in part.notes]
    return _in_order(built.assign_attrs(notes="\n".join(notes)) if notes else built, order)


def padded(values: np.ndarray, bins: int, channels: int) -> np.ndarray:
    """(trial, time, channel) with NaN after its last bin and its last channel."""
    missing = [(0, 0), (0, bins - values.shape[1]), (0, channels - values.shape[2])]
    return np.pad(values.astype(np.float32), missing, constant_values=np.nan)


def columns_of(arrays: Mapping[str, np.ndarray], prefix: str, count: int) -> dict[str, np.ndarray]:
    """What has one entry a trial among the arrays whose names begin with `prefix`, without it; several are
    numbered.
    """
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        short = name.removeprefix(prefix)
        if short == name or array.dtype == object or array.shape[:1] != (count,) or array.ndim > 2:
            continue
        several = array.reshape(count, -1).T
        numbered = [short] if len(several) == 1 else [f"{short}_{index + 1}" for index in range(len(several))]
        found |= dict(zip(numbered, several, strict=True))
    return found


def conditions(stored: np.ndarray | None, count: int) -> dict[str, np.ndarray]:
    """The column `condition` from one label a trial, or from one list of trials for each condition; -1 for no
    list.
    """
    if stored is None or (stored.dtype != object and stored.shape != (count,)):
        return {}
    if stored.dtype != object:
        return {"condition": stored}
    labels = np.full(count, -1)
    for condition, members in enumerate(stored):
        labels[np.asarray(members, dtype=int)] = condition
    return {"condition": labels}


def _series(parts: Sequence[Part], name: str, shape: tuple[int, int]) -> np.ndarray:
    """One kind of series of all parts, NaN for the parts that have none; `shape` is bins and neurons of the
    counts.
    """
    sizes = [_checked(part, name, shape[0]).shape[2] for part in parts if name in part.series]
    channels = shape[1] if name == "true_rates" else max(sizes)
    rows = []
    for part in parts:
        nothing = np.full((len(part.counts), shape[0], channels), np.nan)
        rows.append(padded(part.series.get(name, nothing), shape[0], channels))
    return np.concatenate(rows)


def _checked(part: Part, name: str, bins: int) -> np.ndarray:
    values = part.series[name]
    if values.ndim != 3 or len(values) != len(part.counts) or values.shape[1] > bins:
        raise UndertowError(
            f"The {name} of '{part.split}' have the shape {values.shape}, but there are "
            f"{len(part.counts)} trials of "
            f"{bins} bins; write the file anew."
        )
    return values


def _in_order(built: xr.Dataset, order: str | None) -> xr.Dataset:
    if order not in built.coords or len(set(built[order].values.tolist())) < built.sizes["trial"]:
        return built
    return built.isel(trial=np.argsort(built[order].values, kind="stable"))
