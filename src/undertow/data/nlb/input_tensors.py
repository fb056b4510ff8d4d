"""Prepared trials as the reference's input arrays: what a model is fitted on, and what it is evaluated on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undertow.data.nlb.prepare import check_phase
from undertow.data.nlb.table import PHASES
from undertow.vocabulary import UndertowError

_COLUMNS = ("is_eye", "theta", "is_short", "ts", "tp")


def train_tensors(trials: xr.Dataset, phase: str) -> dict[str, np.ndarray]:
    """ "train_spikes_heldin", "train_spikes_heldout", the same "_forward", and "train_behavior" of the trials to fit on.

    Args:
        trials: as `prepare` made them.
        phase: "val" (training trials) or "test" (training and validation trials, in the file's order).

    Returns:
        Counts (trial, bin, neuron) float32; behaviour (trial, bin, channel), for DMFC_RSG (trial, column) with NaN in outliers.

    Raises:
        UndertowError: trials that were not prepared for the benchmark, or for the other phase where it matters (DMFC_RSG).
    """
    chosen = _chosen(trials, phase, PHASES.get(phase, ())[:-1])
    entries = {f"train_spikes_{name}": counts for name, counts in _counts(chosen, is_forward=False).items()}
    entries["train_behavior"] = _behaviour(chosen)
    return entries | {
        f"train_spikes_{name}_forward": counts for name, counts in _counts(chosen, is_forward=True).items()
    }


def eval_tensors(trials: xr.Dataset, phase: str) -> dict[str, np.ndarray]:
    """ "eval_spikes_heldin" of the trials to evaluate on, and in the validation phase "eval_spikes_heldout".

    Args and errors as for `train_tensors`.
    """
    chosen = _chosen(trials, phase, PHASES.get(phase, ())[-1:])
    counts = _counts(chosen, is_forward=False)
    return {
        f"eval_spikes_{name}": counts[name]
        for name in (("heldin", "heldout") if phase == "val" else ("heldin",))
    }


def _chosen(trials: xr.Dataset, phase: str, splits: tuple[str, ...]) -> xr.Dataset:
    check_phase(phase)
    if "nlb" not in trials.attrs:
        raise UndertowError(
            "These trials were not prepared for the benchmark; make them with `undertow nlb prepare`."
        )
    prepared = trials.attrs.get("nlb_phase", phase)
    if "jitter" in trials.coords and prepared != phase:
        raise UndertowError(
            f"These trials were prepared for the phase '{prepared}', and their windows are late by other delays than in the "
            f"phase '{phase}'; prepare them again with phase='{phase}'."
        )
    return trials.isel(trial=np.flatnonzero(np.isin(trials["split"].values.astype(str), splits)))


def _counts(trials: xr.Dataset, *, is_forward: bool) -> dict[str, np.ndarray]:
    bins = np.flatnonzero(trials["forward"].values == is_forward)
    held_out = trials["held_out"].values
    chosen = {"heldin": np.flatnonzero(~held_out), "heldout": np.flatnonzero(held_out)}
    return {name: trials["counts"].isel(time=bins, neuron=rows).values for name, rows in chosen.items()}


def _behaviour(trials: xr.Dataset) -> np.ndarray:
    if "behaviour" in trials:
        return trials["behaviour"].isel(time=np.flatnonzero(~trials["forward"].values)).values
    columns = np.stack([trials[name].values.astype(float) for name in _COLUMNS], axis=1)
    columns[trials["is_outlier"].values != 0] = np.nan
    return columns
