"""A recording once more, bin by bin through a stream, in real time: what a closed loop would have known, and how fast.

Trial by trial, a bin is handed over when it ends (on a monotonic clock), or later if the bin before is still being computed; its
latency is the time of the call, until the estimate lies in memory. Bins to be forecast are lost bins to a stream, and bins after
a trial's end are not replayed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from undertow.data import batches
from undertow.experiments.inference import attributes, for_session
from undertow.streaming.stream import Stream
from undertow.vocabulary import ESTIMATE_VARIABLES, check_trials

if TYPE_CHECKING:
    from undertow.experiments.run_folder import Session

AXES = {**ESTIMATE_VARIABLES, "behaviour": ("trial", "time", "behaviour_channel")}


class Replay(NamedTuple):
    """What the stream said, on the trials' coordinates (NaN where it said nothing), and the seconds of each call, in order."""

    estimate: xr.Dataset
    seconds: np.ndarray


def replay(stream: Stream, trials: xr.Dataset, session: Session, *, waits: bool = False) -> Replay:
    """Hand the trials to the stream, one after the other.

    Args:
        stream: of the fitted model; it is reset first.
        trials: of neurons that the model knows, in any order.
        session: what the model was fitted to.
        waits: hand each bin over when it would have ended, in place of at once.

    Raises:
        UndertowError: other neurons, another bin width, or missing inputs; values that cannot be observed.
    """
    trials = for_session(check_trials(trials), session)
    arrays, lengths = batches.arrays(trials), _lengths(trials)
    counts = np.where(trials.forward.values[:, None], np.float32(np.nan), arrays.counts)
    is_seen = np.isfinite(counts[:, :, ~trials.held_out.values]).any(axis=2)
    said = {
        name: np.full((*counts.shape[:2], width), np.nan, np.float32) for name, width in stream.widths.items()
    }
    seconds = np.zeros(int(lengths.sum()))
    bin_width = session.bin_width if waits else 0.0
    with stream:
        done = 0
        for trial, length in enumerate(lengths):
            of_trial = {name: values[trial] for name, values in said.items()}
            bins = (counts[trial, :length], arrays.inputs[trial, :length], is_seen[trial, :length])
            _replay_trial(stream, bins, of_trial, seconds[done : done + length], bin_width)
            stream.on_done()
            done += length
    return Replay(_estimate(said, trials, stream), seconds)


def _lengths(trials: xr.Dataset) -> np.ndarray:
    """(trial,) bins up to the last one that was observed or is to be forecast."""
    is_there = np.isfinite(trials.counts.values).any(axis=2)
    is_there |= trials.forward.values[None] & is_there.any(axis=1, keepdims=True)
    return np.where(is_there.any(axis=1), is_there.shape[1] - is_there[:, ::-1].argmax(axis=1), 0)


def _replay_trial(
    stream: Stream,
    bins: tuple[np.ndarray, np.ndarray, np.ndarray],
    said: dict[str, np.ndarray],
    seconds: np.ndarray,
    bin_width: float,
) -> None:
    """Fill `said` (time, ...) and `seconds` (time) for the bins of one trial: counts, inputs, whether anything is seen."""
    begun = time.perf_counter()
    for place, (counts, inputs, is_seen) in enumerate(zip(*bins, strict=True)):
        _wait(begun + (place + 1) * bin_width)
        before = time.perf_counter()
        estimate = stream.predict(counts, inputs) if is_seen else stream.skip(inputs)
        seconds[place] = time.perf_counter() - before
        if estimate.bin >= 0:
            for name, values in said.items():
                values[estimate.bin] = getattr(estimate, name)


def _wait(until: float) -> None:
    left = until - time.perf_counter()
    if left > 0:
        time.sleep(left)


def _estimate(said: dict[str, np.ndarray], trials: xr.Dataset, stream: Stream) -> xr.Dataset:
    variables = {name: (AXES[name], values) for name, values in said.items()}
    attrs = {**attributes(trials, samples=0, models=stream.members), "lag": stream.lag}
    if "behaviour" not in variables:
        return xr.Dataset(variables, coords=trials.coords, attrs=attrs)
    coords = trials.coords.assign(behaviour_channel=list(stream.channels))
    return xr.Dataset(variables, coords=coords, attrs=attrs)
