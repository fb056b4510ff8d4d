"""From a finished run to a submission in the benchmark's layout: expected spikes a bin, split by split."""

from pathlib import Path

import numpy as np
import xarray as xr

from undertow.data import store
from undertow.data.nlb import tensor_files
from undertow.data.nlb.table import data_set
from undertow.experiments import looks, pipeline
from undertow.experiments.fitted import Fitted
from undertow.vocabulary import UndertowError

PHASES = {"val": (("train",), ("valid",)), "test": (("train", "valid"), ("test",))}
"""Of each phase: the splits that the decoder is fitted on, and those that are scored."""


def rates_of(estimate: xr.Dataset, trials: xr.Dataset, phase: str) -> dict[str, np.ndarray]:
    """The submission's arrays: expected spikes a bin, (trial, time, neuron), under the names of the reference.

    Args:
        estimate: of all `trials`, rates in Hz.
        trials: as prepared for the benchmark.
        phase: "val" or "test".

    Raises:
        UndertowError: an unknown phase, or no trials in one of its splits.
    """
    if phase not in PHASES:
        raise UndertowError(f"The benchmark has no phase '{phase}'; take val or test.")
    counts = estimate.rates.values * float(trials.attrs["bin_width"])
    split, held_out, forward = (trials[name].values for name in ("split", "held_out", "forward"))
    arrays = {}
    for name, splits in zip(("train", "eval"), PHASES[phase], strict=True):
        members = np.isin(split.astype(str), splits)
        if not members.any():
            raise UndertowError(
                f"These trials have none of the split '{splits[0]}', which the phase '{phase}' needs; prepare the data set again."
            )
        own = counts[members]
        for kind, neurons in (("heldin", ~held_out), ("heldout", held_out)):
            arrays[f"{name}_rates_{kind}"] = own[:, ~forward][:, :, neurons].astype(np.float32)
            if name == "eval" and forward.any():
                arrays[f"eval_rates_{kind}_forward"] = own[:, forward][:, :, neurons].astype(np.float32)
    return arrays


def submit(fitted: Fitted, out: Path, *, phase: str, trials: xr.Dataset | None = None) -> str:
    """Write (or add to) the submission file of a run; the group's name in it.

    Raises:
        UndertowError: a run that was not fitted to a data set of the benchmark, or a file that can't be written.
    """
    trials = pipeline.trials_of(fitted, trials)
    if "nlb" not in trials.attrs:
        raise UndertowError(
            f"The run '{fitted.folder}' was not fitted to trials of the benchmark; make them with `undertow nlb prepare`."
        )
    group = data_set(str(trials.attrs["nlb"])).group(float(trials.attrs["bin_width"]))
    facts = {
        "run": str(fitted.folder.resolve()),
        "weights": looks.fingerprint_of_files(fitted.folder),
        "model": fitted.recipe.model.section,
        "phase": phase,
    }
    rates = rates_of(estimate_of(fitted, trials), trials, phase)
    tensor_files.write_submission(out, {group: rates}, facts=facts)
    return group


def estimate_of(fitted: Fitted, trials: xr.Dataset) -> xr.Dataset:
    """The run's own estimate of its trials: from its folder, or inferred where it was not kept."""
    path = fitted.folder / "estimate.nc"
    weights = [*fitted.folder.glob("model*.safetensors")]
    is_current = path.exists() and all(file.stat().st_mtime_ns <= path.stat().st_mtime_ns for file in weights)
    if is_current:
        estimate = store.open_estimate(path)
        if estimate.rates.shape == trials.counts.shape:
            return estimate
    return fitted.infer(trials)
