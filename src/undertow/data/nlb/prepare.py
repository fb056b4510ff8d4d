"""Trials and targets of the Neural Latents Benchmark from its files, the same numbers as its reference implementation makes.

    trials = prepare("mc_maze_small", "nwb", bin_width=0.005)      # a Dataset: counts, behaviour, splits, held-out neurons
    target("mc_maze_small", "nwb", phase="val")["psth"]            # arrays under the reference's names

`source` reads and checks the files, `session` lays spikes on the grid of milliseconds, `spans` places windows, `counting`,
`behaviour` and `psth` fill them: work and memory go with the trials, not with the session. Source: Pei et al. 2021, arXiv
2109.04463, and the preparation that was published with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from undertow.data.nlb import source
from undertow.data.nlb.behaviour import on_bins, samples
from undertow.data.nlb.counting import count_into
from undertow.data.nlb.jitter import jitter
from undertow.data.nlb.session import Session
from undertow.data.nlb.spans import first_bins
from undertow.data.nlb.table import BIN_WIDTHS, FORWARD, PHASES, DataSet, data_set
from undertow.data.nlb.targets import conditions, targets
from undertow.data.recording import Series
from undertow.vocabulary import COUNTS_AXES, OPTIONAL_VARIABLES, SCHEMA, UndertowError, check_trials

_OF_TRIALS = ("is_eye", "theta", "is_short", "ts", "tp", "is_outlier")


def prepare(name: str, folder: str | Path, *, bin_width: float = 0.005, phase: str = "val") -> xr.Dataset:
    """All trials of a data set: those of the train file in its order ("train" and "valid"), then those of the test file.

    Bins begin on the session's grid, at or up to one bin after the window's nominal beginning. Windows that share bins are whole
    (the reference refuses such trials where it does not allow overlap).

    Args:
        name: of the data set, e.g. "mc_maze_small".
        folder: with the train and the test file, anywhere in it.
        bin_width: seconds, 0.005 or 0.02.
        phase: "val" or "test", for DMFC_RSG alone: the delays of its windows are drawn for training and validation trials
            separately in the validation phase, and together in the test phase.

    Returns:
        Trials (`undertow.vocabulary`); neurons held-in before held-out, each by id; the window's bins, then the forward bins.
        On `trial`: `condition` (index into the sorted conditions, -1 without one), the columns that define it, and for
        DMFC_RSG its columns, `jitter` (bins) and `evaluated_from` (seconds on the time axis, NaN in test trials).

    Raises:
        UndertowError: no such data set, files that are missing or not of the data set, another bin width.
    """
    row, width = data_set(name), milliseconds(bin_width)
    check_phase(phase)
    train, series = source.train_session(row, folder)
    used = np.flatnonzero(train.split() != "")
    delays = _delays(row, train, used, phase, width)
    behaviour = _behaviour(row, train, series, used, width)
    del series  # a long session's is large
    test = source.test_session(row, folder, train)
    tested = np.flatnonzero(test.split() == "test")
    opens = first_bins(train.trials[row.align].values[used], row.window[0], width) + delays
    test_opens = first_bins(test.trials[row.align].values[tested], row.window[0], width)
    bins, forward = (row.window[1] - row.window[0]) // width, FORWARD // width
    counts = np.full((len(used) + len(tested), bins + forward, len(train.neurons)), np.nan, np.float32)
    count_into(counts[: len(used)], train, opens, width, np.arange(len(train.neurons)))
    count_into(counts[len(used) :, :bins], test, test_opens, width, np.arange(len(test.neurons)))
    coordinates = _coordinates(row, train, used, len(tested), opens, delays, width)
    coordinates["start_time"] = np.concatenate([opens, test_opens]) * (width / 1e3)
    variables = {"counts": (COUNTS_AXES, counts)}
    further = {}
    if behaviour is not None:
        channels, values = behaviour
        padded = np.full((*counts.shape[:2], len(channels)), np.nan, np.float32)
        padded[: len(used), :bins] = values
        variables["behaviour"] = (OPTIONAL_VARIABLES["behaviour"], padded)
        further["behaviour_channel"] = ("behaviour_channel", channels)
    centres = (row.window[0] + (np.arange(bins + forward) + 0.5) * width) / 1e3
    return check_trials(
        xr.Dataset(
            variables,
            coords={
                "time": ("time", centres),
                "neuron": ("neuron", train.neurons),
                "forward": ("time", np.arange(bins + forward) >= bins),
                "held_out": ("neuron", train.held_out),
                "split": ("trial", np.concatenate([train.split()[used], test.split()[tested]])),
                **{key: ("trial", column) for key, column in coordinates.items()},
                **further,
            },
            attrs={
                "bin_width": width / 1e3,
                "session": row.name,
                "schema": SCHEMA,
                "nlb": row.name,
                "nlb_phase": phase,
                "nlb_source": "simulated" if train.is_simulated else "published",
            },
        )
    )


def target(
    name: str, folder: str | Path, *, phase: str, bin_width: float = 0.005, labels: str | Path | None = None
) -> dict[str, np.ndarray | list[np.ndarray]]:
    """What is to be predicted, under the reference's names: the target group of an HDF5 file.

    Args:
        name: of the data set.
        folder: with the train file; not looked at in the test phase.
        phase: "val" (fit on train, score valid) or "test" (fit on train and valid, score test).
        bin_width: seconds, 0.005 or 0.02.
        labels: for the test phase, an NWB file that holds the test trials too, with all units and behaviour.

    Returns:
        "eval_spikes_heldout", "eval_spikes_heldin_forward", "eval_spikes_heldout_forward" (trial, bin, neuron) float32 counts,
        NaN where not scored; "train_behavior", "eval_behavior" (trial, bin, channel), or (trial, column) for DMFC_RSG;
        with conditions "psth" (condition, bin, neuron) and "train_cond_idx", "eval_cond_idx"; "train_decode_mask" and
        "eval_decode_mask" (trial, decoder); "train_jitter" and "eval_jitter" (trial,) bins.

    Raises:
        UndertowError: as `prepare`; no labels for the test phase.
    """
    row, width = data_set(name), milliseconds(bin_width)
    check_phase(phase)
    if phase == "test" and labels is None:
        raise UndertowError(
            f"The targets of {row.title}'s test trials are not in its published files; give labels=, an NWB file with all trials "
            "and units, or score with the benchmark's target file."
        )
    session, series = (
        source.train_session(row, folder) if phase == "val" else source.labelled_session(row, labels)
    )
    return targets(row, session, series, PHASES[phase], width)


def milliseconds(bin_width: float) -> int:
    """The bin width in ms.

    Raises:
        UndertowError: not one that the benchmark scores.
    """
    width = round(bin_width * 1e3, 6)
    if width not in {round(known * 1e3, 6) for known in BIN_WIDTHS}:
        raise UndertowError(
            f"The benchmark has bins of {' and '.join(map(str, BIN_WIDTHS))} s, not of {bin_width:g} s; take one of these."
        )
    return int(width)


def check_phase(phase: str) -> None:
    """Raise an `UndertowError` unless the phase is one of the benchmark's."""
    if phase not in PHASES:
        raise UndertowError(
            f"The benchmark has no phase '{phase}'; take one of {', '.join(map(repr, PHASES))}."
        )


def _delays(row: DataSet, train: Session, used: np.ndarray, phase: str, width: int) -> np.ndarray:
    """(trial,) bins by which the windows of training and validation trials are late."""
    delays = np.zeros(len(used), np.int64)
    if not row.is_timed:
        return delays
    produced, splits = train.trials["tp"].values[used].astype(float), train.split()[used]
    together = [("train",), ("valid",)] if phase == "val" else [("train", "valid")]
    for words in together:
        chosen = np.isin(splits, words)
        delays[chosen] = jitter(produced[chosen], np.zeros(chosen.sum(), bool), width)
    return delays


def _behaviour(
    row: DataSet, train: Session, series: Series | None, used: np.ndarray, width: int
) -> tuple[list[str], np.ndarray] | None:
    """Names of the channels, and lagged behaviour (trial, bin, channel) in the window's bins."""
    if series is None:
        return None
    channels = samples(series, train.length)
    first = first_bins(train.trials[row.align].values[used], row.window[0] + row.lag, width)
    bins = (row.window[1] - row.window[0]) // width
    return list(channels), on_bins(channels, train.length, first, bins, width)


def _coordinates(
    row: DataSet,
    train: Session,
    used: np.ndarray,
    tested: int,
    opens: np.ndarray,
    delays: np.ndarray,
    width: int,
) -> dict[str, np.ndarray]:
    """Columns on the trial axis."""
    table = train.trials.iloc[used]
    _, index = conditions(row, table, np.ones(len(table), bool))
    columns = {"condition": np.concatenate([index, np.full(tested, -1)])}
    for name in dict.fromkeys((*row.conditions, *(_OF_TRIALS if row.is_timed else ()))):
        values = pd.to_numeric(table[name]).to_numpy(float)
        columns[name] = np.concatenate([values, np.full(tested, np.nan)])
    if row.is_timed:
        columns["jitter"] = np.concatenate([delays, np.zeros(tested, np.int64)])
        since = (first_bins(table["set_time"].values, 0, width) - opens) * width + row.window[0]
        columns["evaluated_from"] = np.concatenate([since / 1e3, np.full(tested, np.nan)])
    return columns
