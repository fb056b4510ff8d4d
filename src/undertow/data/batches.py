"""Trials as plain arrays: what training and inference put on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from undertow.vocabulary import SPLITS, UndertowError

if TYPE_CHECKING:
    import xarray as xr


class TrialArrays(NamedTuple):
    """Counts (trial, time, neuron), known inputs (trial, time, input; no columns without inputs), and the trials' numbers."""

    counts: np.ndarray
    inputs: np.ndarray
    number: np.ndarray


def arrays(trials: xr.Dataset, index: np.ndarray | slice = slice(None)) -> TrialArrays:
    """The trials at `index` as float32 arrays; `number` is each one's place in `trials`."""
    chosen = trials[["counts", "inputs"] if "inputs" in trials else ["counts"]].isel(trial=index)
    counts = np.ascontiguousarray(chosen.counts.values, dtype=np.float32)
    if "inputs" in chosen:
        inputs = np.ascontiguousarray(chosen.inputs.values, dtype=np.float32)
    else:
        inputs = np.zeros((*counts.shape[:2], 0), np.float32)
    return TrialArrays(counts, inputs, np.arange(trials.sizes["trial"], dtype=np.int32)[index])


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
