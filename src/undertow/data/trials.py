"""Trials from plain arrays: the one place where a Dataset of trials is put together.

`trials` takes binned counts, as one array (trial, time, neuron) or as a list with one (time, neuron) array
for each trial; trials shorter than the longest end in NaN, which means not observed::

    trials(counts, bin_width=0.02, behaviour=velocity, condition=labels)
    trials([first, second], bin_width=0.02, start=-0.25, start_time=[10.0, 14.5])
    trials_from_spike_times(spike_times, bin_width=0.01, duration=0.7, condition=labels)

What comes out follows `undertow.vocabulary.check_trials`. Arguments are copied, never modified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.binning import count, grid
from undertow.data.padding import padded
from undertow.vocabulary import COUNTS_AXES, OPTIONAL_VARIABLES, SCHEMA, SPLITS, UndertowError, check_trials

_AXES = {"counts": COUNTS_AXES, **OPTIONAL_VARIABLES}
_RESERVED = {
    *_AXES,
    *COUNTS_AXES,
    "time_around",
    "split",
    "held_out",
    "forward",
    "input",
    "latent",
    "behaviour_channel",
}


def trials(  # noqa: PLR0913 - the columns of the one container, all but the first by name
    counts: Any,
    *,
    bin_width: float,
    start: float = 0.0,
    neuron: Any = None,
    split: Any = None,
    held_out: Any = None,
    forward: Any = None,
    behaviour: Any = None,
    behaviour_channels: Sequence[str] | None = None,
    inputs: Any = None,
    true_rates: Any = None,
    true_latents: Any = None,
    true_inputs: Any = None,
    session: str = "session",
    neuron_columns: Mapping[str, Any] | None = None,
    **trial_columns: Any,
) -> xr.Dataset:
    """A Dataset of trials from binned counts and whatever belongs to them.

    Args:
        counts: (trial, time, neuron), or a list of (time, neuron) arrays; NaN where nothing was observed.
        bin_width: seconds.
        start: seconds from the alignment event to the left edge of the first bin.
        neuron: one id for each neuron; 0, 1, 2, ... by default.
        split: "train", "valid" or "test" for each trial, or one name for all; all "train" by default.
        held_out: one bool for each neuron, true where an encoder must not see it.
        forward: one bool for each bin, true where it is to be forecast.
        behaviour: (trial, time, channel) or (trial, time), or a list as for the counts.
        behaviour_channels: names of the channels, kept as the coordinate `behaviour_channel`; "0", "1", ...
        inputs: known inputs, (trial, time, input), or a list as for the counts.
        true_rates: Hz, (trial, time, neuron), for simulations.
        true_latents: (trial, time, latent), for simulations.
        true_inputs: (trial, time, input), for simulations.
        session: a name for the session.
        neuron_columns: further columns on `neuron`, by name.
        **trial_columns: further columns on `trial`, e.g. `condition`, or `start_time`: seconds on the
            session's clock of the first bin's left edge.

    Raises:
        UndertowError: shapes that disagree, values that are infinite or no numbers, a bin width not above 0.
    """
    width = _positive_seconds(bin_width)
    given = {"behaviour": behaviour, "inputs": inputs}
    given |= {"true_rates": true_rates, "true_latents": true_latents, "true_inputs": true_inputs}
    variables = {"counts": padded("counts", counts)}
    variables |= {name: padded(name, values) for name, values in given.items() if values is not None}
    trial_count, bins, neurons = variables["counts"].shape
    coordinates = {
        "time": ("time", start + (np.arange(bins) + 0.5) * width),
        "neuron": ("neuron", _column("neuron", range(neurons) if neuron is None else neuron)),
        "split": ("trial", _splits(split, trial_count)),
        "held_out": ("neuron", _flags("held_out", held_out, neurons, "neuron")),
        "forward": ("time", _flags("forward", forward, bins, "bin")),
        **_columns(neuron_columns or {}, "neuron"),
        **_columns(trial_columns, "trial"),
        **_channels(behaviour_channels, variables.get("behaviour")),
    }
    _check_shapes(variables)
    _check_lengths(coordinates, dict(zip(COUNTS_AXES, variables["counts"].shape, strict=True)))
    return check_trials(
        xr.Dataset(
            {name: (_AXES[name], values) for name, values in variables.items()},
            coords=coordinates,
            attrs={"bin_width": width, "session": str(session), "schema": SCHEMA},
        )
    )


def trials_from_spike_times(
    spike_times: Sequence[Sequence[Any]],
    *,
    bin_width: float,
    duration: Any,
    start: float = 0.0,
    **columns: Any,
) -> xr.Dataset:
    """A Dataset of trials from spike times; how many spikes fell outside is said in the attribute `notes`.

    Args:
        spike_times: for each trial, for each neuron, its spike times in seconds.
        bin_width: seconds.
        duration: seconds from `start` to the end, one number or one for each trial; the rest that fills no
            bin is left out.
        start: where every trial begins on the clock of its spike times, seconds.
        **columns: whatever `trials` takes.

    Raises:
        UndertowError: trials of different neurons, times that are no finite numbers, trials shorter than a
            bin.
    """
    bins = _whole_bins(duration, _positive_seconds(bin_width), len(spike_times))
    counts, lost, total = [], 0, 0
    for trial, length in enumerate(bins):
        one_trial = grid(np.array([start]), length, bin_width)
        trial_counts = np.zeros((length, len(spike_times[trial])), dtype=np.float32)
        for neuron, times in enumerate(spike_times[trial]):
            seconds = _seconds(times, f"spike_times[{trial}][{neuron}]")
            binned, outside = count(seconds, one_trial)
            trial_counts[:, neuron] = binned[0]
            lost, total = lost + outside, total + seconds.size
        counts.append(trial_counts)
    built = trials(counts, bin_width=bin_width, start=start, **columns)
    return built.assign_attrs(notes=f"{lost} of {total} spikes fell outside the trials.") if lost else built


def _whole_bins(duration: Any, bin_width: float, trial_count: int) -> list[int]:
    seconds = np.asarray(duration, dtype=np.float64)
    if seconds.shape not in ((), (trial_count,)):
        raise UndertowError(
            f"'duration' has the shape {seconds.shape}, but must be one number, or one for each of the "
            f"{trial_count} trials."
        )
    bins = np.floor(np.broadcast_to(seconds, (trial_count,)) / bin_width + 1e-6)
    if not (np.isfinite(bins) & (bins >= 1)).all():
        raise UndertowError(
            f"The duration {duration} s leaves trials without a whole bin of {bin_width} s; "
            "give longer trials or shorter bins."
        )
    return bins.astype(int).tolist()


def _seconds(times: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(times, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise UndertowError(
            f"'{name}' can't be read as spike times ({error}); give numbers in seconds."
        ) from error


def _positive_seconds(bin_width: Any) -> float:
    try:
        width = float(bin_width)
    except (TypeError, ValueError):
        width = np.nan
    if not (np.isfinite(width) and width > 0):
        raise UndertowError(
            f"The bin width is {bin_width!r}, but must be a positive number of seconds; "
            "pass for example bin_width=0.02."
        )
    return width


def _check_shapes(variables: Mapping[str, np.ndarray]) -> None:
    trial_count, bins, neurons = variables["counts"].shape
    for name, values in variables.items():
        if values.shape[:2] != (trial_count, bins):
            raise UndertowError(
                f"'{name}' has {values.shape[0]} trials of {values.shape[1]} bins, but the counts have "
                f"{trial_count} trials of {bins} bins; bring it to the same trials and bins."
            )
        if _AXES[name] == COUNTS_AXES and values.shape[2] != neurons:
            raise UndertowError(
                f"'{name}' has {values.shape[2]} neurons, but the counts have {neurons}; make them agree."
            )


def _splits(split: Any, trial_count: int) -> np.ndarray:
    names = np.asarray("train" if split is None else split).astype(str)
    names = np.full(trial_count, str(names)) if names.ndim == 0 else names
    unknown = sorted(set(names.ravel().tolist()) - set(SPLITS))
    if unknown:
        raise UndertowError(f"The split '{unknown[0]}' is unknown; each trial belongs to one of {SPLITS}.")
    return names


def _flags(name: str, flags: Any, length: int, entry: str) -> np.ndarray:
    array = np.zeros(length, dtype=bool) if flags is None else np.array(flags)
    if array.dtype != bool or array.shape != (length,):
        raise UndertowError(
            f"'{name}' is {array.dtype} of shape {array.shape}, but must be one boolean for each {entry}, "
            f"of shape ({length},)."
        )
    return array


def _channels(names: Sequence[str] | None, behaviour: np.ndarray | None) -> dict[str, tuple[str, np.ndarray]]:
    if behaviour is None:
        return {}
    count = behaviour.shape[2]
    named = [str(name) for name in (range(count) if names is None else names)]
    if len(named) != count or len(set(named)) != count:
        raise UndertowError(
            f"The behaviour has {count} channels, but is named {named}; give one distinct name for each."
        )
    return {"behaviour_channel": (_AXES["behaviour"][2], np.array(named, dtype=str))}


def _columns(columns: Mapping[str, Any], axis: str) -> dict[str, tuple[str, np.ndarray]]:
    for name in columns:
        if name in _RESERVED:
            raise UndertowError(
                f"The column '{name}' on '{axis}' has the name of a part of the trials; choose another name."
            )
    return {name: (axis, _column(name, values)) for name, values in columns.items()}


def _column(name: str, values: Any) -> np.ndarray:
    try:
        array = np.array(values)
    except ValueError as error:
        raise UndertowError(
            f"The column '{name}' can't be read ({error}); give one value for each entry."
        ) from error
    if array.ndim != 1:
        raise UndertowError(
            f"The column '{name}' has the shape {array.shape}, but must have one axis; give one value each."
        )
    return array.astype(str) if array.dtype == object else array


def _check_lengths(coordinates: Mapping[str, tuple[str, np.ndarray]], sizes: Mapping[str, int]) -> None:
    for name, (axis, values) in coordinates.items():
        if axis in sizes and values.shape != (sizes[axis],):
            raise UndertowError(
                f"'{name}' has the shape {values.shape}, but there are {sizes[axis]} entries along '{axis}'; "
                "give one value for each."
            )
