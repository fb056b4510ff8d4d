"""Simulated sessions as NWB files in the published layout of the benchmark's data sets, with the true rates.

Three files come of one session: the train file, the test file with the held-in units of the test trials on a clock of its
own, and a complete file with everything, for targets. Begin at `generate`; example::

    made = generate("mc_maze_small", "nwb", scale=0.2)
    trials = prepare("mc_maze_small", "nwb")            # its spikes are Poisson with made.rates
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from undertow.data.nlb import nwb_writing as nwb
from undertow.data.nlb.layouts import LAYOUTS, SeriesLayout, Sizes, sizes
from undertow.data.nlb.prepare import target
from undertow.data.nlb.simulated_behaviour import behaviour
from undertow.data.nlb.simulated_population import STEP, Population, population, spike_times
from undertow.data.nlb.simulated_session import Session, arranged
from undertow.data.nlb.simulated_timing import timing
from undertow.data.nlb.simulated_trials import Plan, SimulatedTrials, bump, maze, random_targets
from undertow.data.nlb.table import DATA_SETS, FORWARD, DataSet, data_set
from undertow.data.nlb.tensor_files import write_targets
from undertow.vocabulary import UndertowError

_TASKS: Mapping[str, Callable[[Plan, np.random.Generator], SimulatedTrials]] = {
    "mc_maze": maze,
    "mc_maze_large": maze,
    "mc_maze_medium": maze,
    "mc_maze_small": maze,
    "mc_rtt": random_targets,
    "area2_bump": bump,
    "dmfc_rsg": timing,
}


@dataclass(frozen=True)
class Generated:
    """What was made.

    Attributes:
        train: path of the train file.
        test: path of the test file.
        complete: path of the file with the test trials' held-out units, forward bins and behaviour as well.
        rates: (trial, time, neuron) float32, the true rates in Hz in bins of 5 ms: the used trials of the train file in
            its order, then the test trials; window, then forward bins; held-in, then held-out neurons in the order
            of the unit table. Windows are not jittered.
    """

    train: Path
    test: Path
    complete: Path
    rates: np.ndarray


def generate(name: str, folder: str | Path, *, scale: float = 1.0, seed: int = 0) -> Generated:
    """Simulate a session and write its files into the folder of the published ones below `folder`.

    Args:
        name: of the data set.
        folder: where; made if there is none.
        scale: share of the published numbers of trials and of units.
        seed: the same seed gives the same spikes.

    Raises:
        UndertowError: no such data set, a scale that is not positive, a folder that can't be written.
    """
    data = data_set(name)
    if not (math.isfinite(scale) and scale > 0):
        raise UndertowError(f"The scale is {scale!r}, but must be a positive number; give for example 0.1.")
    layout = LAYOUTS[data.name]
    size = sizes(data, scale)
    source = np.random.default_rng([seed, list(DATA_SETS).index(data.name)])
    from_trials, from_population, from_spikes, from_behaviour, from_units = source.spawn(5)
    trials = _TASKS[data.name](Plan(size, layout.types, data.lag), from_trials)
    session = arranged(trials, size.in_train_file, layout.intervals)
    scored = (_starts(session, data)[:, None] + np.arange(0, _length(data), STEP)).reshape(-1)
    neurons = population(trials, session.begins, scored, session.duration, size.units, from_population)
    spikes = spike_times(neurons, session.duration, from_spikes)
    units = _units(size, len(layout.areas), spikes, from_units)
    is_held_in = ~units.is_held_out
    moved = behaviour(neurons.latents, session.target, data.lag, from_behaviour)
    shown = [(row, moved.signal(row.source, len(row.channels))) for row in layout.series]

    root = Path(folder)
    paths = [root / data.folder / file for file in (data.train_file, data.test_file)]
    paths.append(root / "labels" / data.train_file.replace("desc-train", "desc-complete"))
    decoded = [(row, values) for row, values in shown if row.name == data.behaviour]
    _write(paths[0], data, session.of_train(), units, shown)
    _write(paths[1], data, _hidden(session.of_test(), data), _chosen(units, is_held_in), [])
    _write(paths[2], data, session, units, decoded)
    return Generated(*paths, _rates(neurons, session, data, np.argsort(units.is_held_out, kind="stable")))


def generate_targets(name: str, made: Generated, path: str | Path, *, bin_width: float = 0.005) -> Path:
    """Write the targets of the test trials of a generated session, as the benchmark scores them, and give the path back.

    Args:
        name: of the data set.
        made: what `generate` gave.
        path: the HDF5 file; groups of other data sets in it are kept.
        bin_width: seconds, 0.005 or 0.02.

    Raises:
        UndertowError: the files are gone, or `path` can't be written.
    """
    data = data_set(name)
    folder = made.train.parents[1]
    tensors = target(data.name, folder, phase="test", bin_width=bin_width, labels=made.complete)
    write_targets(path, {data.group(bin_width): tensors}, facts={"phase": "test", "source": "simulated"})
    return Path(path)


def _units(size: Sizes, areas: int, spikes: list[np.ndarray], generator: np.random.Generator) -> nwb.UnitRows:
    """All units with their spikes: ids of area, electrode and number on it, held-out ones anywhere in the table."""
    area = np.arange(size.units) * areas // size.units
    within = np.arange(size.units) - np.searchsorted(area, area)
    ids = 1000 * (area + 1) + 10 * (within % 96 + 1) + within // 96 + 1
    is_held_out = generator.permutation(np.arange(size.units) < size.held_out)
    return nwb.UnitRows(np.sort(ids), is_held_out, spikes, np.zeros((0, 2)))


def _chosen(units: nwb.UnitRows, keep: np.ndarray) -> nwb.UnitRows:
    """Some of the units."""
    spikes = [units.spike_times[row] for row in np.flatnonzero(keep)]
    return replace(units, ids=units.ids[keep], is_held_out=units.is_held_out[keep], spike_times=spikes)


def _hidden(session: Session, data: DataSet) -> Session:
    """Of test trials, the columns that are published, and of time their windows alone."""
    columns = ["start_time", "stop_time", *data.test_columns, "split"]
    align = session.table[data.align].to_numpy(np.int64)
    observed = align[:, None] + np.array(data.window)
    return replace(session, table=session.table[columns], observed=observed)


def _write(
    path: Path,
    data: DataSet,
    session: Session,
    units: nwb.UnitRows,
    series: list[tuple[SeriesLayout, np.ndarray]],
) -> None:
    """Write one file: what the session observed of the units and the series."""
    layout = LAYOUTS[data.name]
    observed = (session.observed - session.origin) / 1000
    seen = [_seen(times, session) for times in units.spike_times]
    nwb.write(
        path,
        title=data.title,
        layout=layout,
        trials=session.seconds(),
        units=replace(units, spike_times=seen, observed=observed),
        series=[nwb.SeriesRows(row, values, session.duration) for row, values in series],
    )


def _seen(times: np.ndarray, session: Session) -> np.ndarray:
    """Spike times (spike,) in seconds within the observed intervals, on the file's clock."""
    bounds = np.searchsorted(times, session.observed / 1000 - 1e-9)
    parts = [times[low:high] for low, high in bounds]
    return np.round(np.concatenate(parts) - session.origin / 1000, 6)


def _starts(session: Session, data: DataSet) -> np.ndarray:
    """(trial,) ms, of the first bin of each used trial; edges are multiples of 5 ms."""
    used = session.table[session.table.split != "none"]
    return -(-used[data.align].to_numpy(np.int64) // STEP) * STEP + data.window[0]


def _length(data: DataSet) -> int:
    """Milliseconds of the window and the forward bins."""
    return data.window[1] - data.window[0] + FORWARD


def _rates(neurons: Population, session: Session, data: DataSet, order: np.ndarray) -> np.ndarray:
    """(trial, time, neuron): means over bins of 5 ms of the used trials."""
    starts, length = _starts(session, data), _length(data)
    rates = np.empty((starts.size, length // STEP, order.size), np.float32)
    for row, start in enumerate(starts):
        each = neurons.rates(start, start + length)[:, order]
        rates[row] = each.reshape(-1, STEP, order.size).mean(axis=1)
    return rates
