"""The words of the house: what trials and estimates are, how their axes are called, and the error a person reads.

Nothing here computes. `check_trials` is the one function that decides whether a Dataset is a set of trials, and
`UndertowError` is the one exception whose message is written for the person at the keyboard: one sentence that says what was
wrong, with the values, and what to do.

Trials (an `xarray.Dataset`)::

    counts        (trial, time, neuron)     float32, NaN = not observed
    time          (time)                    seconds from the alignment event, the bin's centre
    neuron        (neuron)                  the recording's own unit ids
    split         (trial)                   "train", "valid" or "test"
    start_time    (trial)                   optional: seconds on the session's clock of the first bin's left edge
    held_out      (neuron)                  bool: never shown to an encoder
    forward       (time)                    bool: to be forecast, never shown to an encoder
    behaviour     (trial, time, behaviour_channel)  optional; the coordinate `behaviour_channel` names the channels
    inputs        (trial, time, input)      optional: known inputs
    true_rates    (trial, time, neuron)     simulations only, Hz
    true_latents  (trial, time, latent)     simulations only
    true_inputs   (trial, time, input)      simulations only
    counts_around (trial, time_around, neuron)      optional: counts before and after the trial, NaN within it, for smoothing
    time_around   (time_around)             seconds, as `time`
    attrs         bin_width (s), session (str), schema (str); of imaging also event_unit (str), frame_rate (Hz), sampling (str)

Any further column of a trial table or unit table is a coordinate on `trial` or `neuron`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

SCHEMA = "undertow-trials-1"
ESTIMATE_SCHEMA = "undertow-estimate-1"
SESSIONS_SCHEMA = "undertow-sessions-1"  # of a file with several sessions, a group each
SPLITS = ("train", "valid", "test")

COUNTS_AXES = ("trial", "time", "neuron")
SURROUNDINGS_AXES = ("trial", "time_around", "neuron")
OPTIONAL_VARIABLES = {
    "behaviour": ("trial", "time", "behaviour_channel"),
    "inputs": ("trial", "time", "input"),
    "true_rates": COUNTS_AXES,
    "true_latents": ("trial", "time", "latent"),
    "true_inputs": ("trial", "time", "input"),
}
ESTIMATE_VARIABLES = {
    "rates": COUNTS_AXES,
    "factors": ("trial", "time", "factor"),
    "latents": ("trial", "time", "latent"),
    "initial_condition": ("trial", "initial"),
    "inferred_inputs": ("trial", "time", "inferred_input"),
    "code": ("trial", "code_dimension"),
}


class UndertowError(Exception):
    """What a person is told: one sentence with what was wrong, the values, and what to do about it."""


def closest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong name: the closest known one, or all of them."""
    known = [str(word) for word in known]
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if matches:
        return f"did you mean '{matches[0]}'?"
    listed = ", ".join(f"'{word}'" for word in known[:30])
    return f"known are {listed}." if known else "none is known here."


def check_trials(trials: xr.Dataset) -> xr.Dataset:
    """Return `trials` unchanged if they follow the schema; otherwise raise an `UndertowError` that names the first fault.

    Checked: the axes of every known variable, float32 counts, a positive bin width, evenly spaced bin centres, known splits,
    boolean flags, unique neuron ids, and that something was observed at all. Values are not judged here: `describe` does that.
    """
    for fault in _faults(trials):
        raise UndertowError(fault)
    return trials


def _faults(trials: xr.Dataset) -> Iterable[str]:
    if "counts" not in trials:
        found = list(trials.data_vars)
        yield f"These trials have no variable 'counts' (found {found}); build them with undertow.trials(array, bin_width=...)."
        return
    yield from _axis_faults(trials)
    yield from _coordinate_faults(trials)
    yield from _flag_faults(trials)
    if trials.counts.size == 0:
        yield f"The counts are empty, with shape {trials.counts.shape}; at least one trial, one bin and one neuron are needed."


def _axis_faults(trials: xr.Dataset) -> Iterable[str]:
    for name, axes in {
        "counts": COUNTS_AXES,
        **OPTIONAL_VARIABLES,
        "counts_around": SURROUNDINGS_AXES,
    }.items():
        if name in trials and trials[name].dims != axes:
            yield f"'{name}' has the axes {trials[name].dims}, but must have {axes}; transpose or rename them."
    for name in ("counts", "counts_around"):
        if name in trials and trials[name].dtype != np.float32:
            kind = trials[name].dtype
            yield f"'{name}' are {kind}, but must be float32 (NaN = not observed); convert them with .astype('float32')."


def _coordinate_faults(trials: xr.Dataset) -> Iterable[str]:
    bin_width = trials.attrs.get("bin_width")
    if not isinstance(bin_width, (int, float)) or not bin_width > 0:
        yield f"The attribute 'bin_width' is {bin_width!r}, but must be a positive number of seconds."
        return
    for axis in ("time", "neuron"):
        if axis not in trials.coords:
            yield f"The coordinate '{axis}' is missing; give one value for each entry along the axis '{axis}'."
            return
    if "counts_around" in trials and "time_around" not in trials.coords:
        yield "The coordinate 'time_around' is missing; give one value for each entry along the axis 'time_around'."
        return
    for axis in ("time", "time_around"):
        steps = np.diff(trials[axis].values) if axis in trials.coords else np.empty(0)
        if steps.size and np.abs(steps - bin_width).max() > 1e-3 * bin_width:
            found = f"steps from {steps.min():.6g} to {steps.max():.6g} s"
            yield f"The bin centres in '{axis}' are not {bin_width} s apart ({found}); make them bin_width apart."
    ids, repeats = np.unique(trials.neuron.values, return_counts=True)
    if (repeats > 1).any():
        yield f"The neuron id {ids[repeats > 1][0]!r} stands for more than one neuron; give each neuron an id of its own."


def _flag_faults(trials: xr.Dataset) -> Iterable[str]:
    for name, axis in (("split", "trial"), ("held_out", "neuron"), ("forward", "time")):
        if name not in trials.coords:
            yield f"The coordinate '{name}' on '{axis}' is missing; undertow.trials adds it."
            return
        if trials[name].dims != (axis,):
            yield f"The coordinate '{name}' has the axes {trials[name].dims}, but must lie on '{axis}'."
            return
    unknown = sorted(set(np.unique(trials.split.values.astype(str))) - set(SPLITS))
    if unknown:
        yield f"The split '{unknown[0]}' is unknown; each trial belongs to one of {SPLITS}."
    for name in ("held_out", "forward"):
        if trials[name].dtype != bool:
            yield f"The coordinate '{name}' is {trials[name].dtype}, but must be boolean."
