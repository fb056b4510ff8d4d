"""Trials as plain arrays: what training and inference put on a device.

Several recordings become one set of arrays without their neurons becoming one axis: each trial has as many columns as the largest
recording has neurons, NaN behind its own, and says of each column which of the model's neurons it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from undertow.data import surroundings
from undertow.vocabulary import SPLITS, UndertowError

if TYPE_CHECKING:
    import xarray as xr

EMPTY = -1
"""The neuron of a column that no neuron of this trial's recording fills."""


class TrialArrays(NamedTuple):
    """Counts (trial, time, neuron), known inputs (trial, time, input; no columns without inputs), and the trials' numbers.

    Where trials come from several recordings, `neurons` (trial, column) holds the model's neuron behind each column of counts, -1
    behind an empty one; None where the columns are the model's neurons in their order. `around` (trial, margin + time + margin,
    neuron) holds counts before and after the trials, NaN within them; None where there are none.
    """

    counts: np.ndarray
    inputs: np.ndarray
    number: np.ndarray
    neurons: np.ndarray | None = None
    around: np.ndarray | None = None


def arrays(trials: xr.Dataset, index: np.ndarray | slice = slice(None)) -> TrialArrays:
    """The trials at `index` as float32 arrays; `number` is each one's place in `trials`."""
    names = [name for name in ("counts", "inputs", surroundings.NAME) if name in trials.variables]
    chosen = trials[names].isel(trial=index)
    counts = np.ascontiguousarray(chosen.counts.values, dtype=np.float32)
    if "inputs" in chosen:
        inputs = np.ascontiguousarray(chosen.inputs.values, dtype=np.float32)
    else:
        inputs = np.zeros((*counts.shape[:2], 0), np.float32)
    number = np.arange(trials.sizes["trial"], dtype=np.int32)[index]
    return TrialArrays(counts, inputs, number, around=surroundings.around(chosen))


def known_inputs(trials: xr.Dataset) -> int:
    """How many known inputs there are; the true ones of a simulation, which share their axis, are not known."""
    return int(trials.sizes["input"]) if "inputs" in trials.variables else 0


def training_arrays(trials: xr.Dataset) -> tuple[TrialArrays, TrialArrays]:
    """The training and the validation trials that hold any count.

    Raises:
        UndertowError: if either is empty, or nothing was observed in them.
    """
    is_observed = np.isfinite(trials.counts.values).any(axis=(1, 2))
    chosen = []
    for split in SPLITS[:2]:
        index = np.flatnonzero(trials.split.values.astype(str) == split)
        if not len(index):
            raise UndertowError(
                f"Of these {trials.sizes['trial']} trials none has the split '{split}', but fitting needs training and "
                "validation trials; assign them with undertow.split(trials, valid=0.2) or `undertow convert --valid 0.2`."
            )
        if not is_observed[index].any():
            raise UndertowError(
                f"All {len(index)} trials of the split '{split}' are empty (every count is NaN); check the alignment window "
                "and the recording's observed intervals."
            )
        chosen.append(arrays(trials, index[is_observed[index]]))
    return chosen[0], chosen[1]


def session_arrays(sessions: Mapping[str, xr.Dataset]) -> tuple[TrialArrays, TrialArrays]:
    """The training and the validation trials of several recordings, whose bins and inputs are the same.

    The model's neurons are those of the first recording, then those of the second, and so on. Trials keep the number that they
    have in their recording, counted on from one to the next. Every trial is there once, whatever the size of its recording; what
    lies around trials is left out, for models that sessions share do not smooth.

    Raises:
        UndertowError: as `training_arrays`, naming the recording.
    """
    parts, first_neuron, first_trial = [], 0, 0
    for name, trials in sessions.items():
        try:
            of_session = training_arrays(trials)
        except UndertowError as error:
            raise UndertowError(f"Session '{name}': {error}") from error
        own = np.arange(first_neuron, first_neuron + trials.sizes["neuron"], dtype=np.int32)
        parts.append([_numbered(part, own, first_trial) for part in of_session])
        first_neuron += trials.sizes["neuron"]
        first_trial += trials.sizes["trial"]
    columns = max(trials.sizes["neuron"] for trials in sessions.values())
    train, valid = (
        _joined([_widened(part, columns) for part in split]) for split in zip(*parts, strict=True)
    )
    return train, valid


def _numbered(part: TrialArrays, neurons: np.ndarray, first: int) -> TrialArrays:
    of_trials = np.broadcast_to(neurons, (len(part.counts), len(neurons)))
    return part._replace(number=part.number + np.int32(first), neurons=of_trials, around=None)


def _widened(part: TrialArrays, columns: int) -> TrialArrays:
    """The trials with empty columns behind their own."""
    more = columns - part.counts.shape[2]
    return part._replace(
        counts=np.pad(part.counts, ((0, 0), (0, 0), (0, more)), constant_values=np.nan),
        neurons=np.pad(part.neurons, ((0, 0), (0, more)), constant_values=EMPTY),
    )


def _joined(parts: Sequence[TrialArrays]) -> TrialArrays:
    each = zip(*(part[:-1] for part in parts), strict=True)  # nothing around
    return TrialArrays(*map(np.concatenate, each))
