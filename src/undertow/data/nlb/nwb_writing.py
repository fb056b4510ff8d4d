"""One NWB file in the layout of the benchmark's files; the second door of pynwb, for writing.

Tables are made as whole columns and series are written in pieces, so that a long session needs little memory.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.file import ElectrodeTable
from pynwb.misc import Units

from undertow.data.nlb.layouts import Layout, SeriesLayout
from undertow.data.nlb.simulated_population import upsampled
from undertow.data.nlb.table import SIMULATED
from undertow.files import replacing

_PER_AREA = 96  # electrodes
_ROWS = 100_000  # samples that are made and compressed at a time
_LEVELS = 1024  # distinguished in one standard deviation of a signal
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


@dataclass(frozen=True)
class UnitRows:
    """The units of a file: `ids` and `is_held_out` (unit,), spike times in seconds for each, and `observed` (interval, 2) in
    seconds, the same for all."""

    ids: np.ndarray
    is_held_out: np.ndarray
    spike_times: Sequence[np.ndarray]
    observed: np.ndarray


@dataclass(frozen=True)
class SeriesRows:
    """A series to be written: its layout, `values` (step, channel) at 5 ms, and the number of samples at 1 ms."""

    layout: SeriesLayout
    values: np.ndarray
    samples: int


def write(
    path: Path,
    *,
    title: str,
    layout: Layout,
    trials: pd.DataFrame,
    units: UnitRows,
    series: Sequence[SeriesRows],
) -> None:
    """Write the file, completely or not at all.

    Args:
        path: where; its folder is made if there is none.
        title: of the session.
        layout: of the task.
        trials: one row a trial, times in seconds, columns of lists where cells are arrays; written in this order.
        units: the unit table.
        series: the continuous series.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = NWBFile(
        session_description=f"{title}: {SIMULATED}",
        identifier=hashlib.sha256(f"{title}/{path.name}".encode()).hexdigest()[:16],
        session_start_time=datetime(2021, 1, 1, tzinfo=UTC),
    )
    electrodes = _electrodes(file, layout) if layout.has_electrodes else None
    file.units = _units(units, electrodes)
    file.trials = _trials(trials)
    if series:
        module = file.create_processing_module(name="behavior", description="behaviour at 1 kHz")
        for rows in series:
            module.add(_series(rows, has_timestamps=layout.has_timestamps))
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The file path provided.* does not end in"
        )  # the temporary name
        with NWBHDF5IO(str(temporary), mode="w") as door:
            door.write(file)


def _electrodes(file: NWBFile, layout: Layout) -> ElectrodeTable:
    """An array in each area."""
    device = file.create_device(name="array", description="simulated electrode array")
    for area in layout.areas:
        group = file.create_electrode_group(
            name=f"{area} array", description=f"array in {area}", location=area, device=device
        )
        for _ in range(_PER_AREA):
            file.add_electrode(group=group, location=area)
    return file.electrodes


def _units(units: UnitRows, electrodes: ElectrodeTable | None) -> Units:
    number = len(units.ids)
    every = np.tile(units.observed, (number, 1))
    columns = [
        *_indexed(
            "spike_times", np.concatenate(units.spike_times), [len(times) for times in units.spike_times]
        ),
        *_indexed("obs_intervals", every, [len(units.observed)] * number),
        VectorData(name="heldout", description="whether the unit is held out", data=units.is_held_out),
    ]
    names = ["spike_times", "obs_intervals", "heldout"]
    if electrodes is not None:
        # As published: ids tell the area by their first digit, while rows of the second array are not offset by the first's.
        rows = units.ids // 10 % 100 - 1
        region = DynamicTableRegion(name="electrodes", description="of the unit", data=rows, table=electrodes)
        ends = np.arange(1, number + 1)
        columns += [region, VectorIndex(name="electrodes_index", data=ends, target=region)]
        names.append("electrodes")
    return Units(
        name="units", description="sorted units", id=units.ids.tolist(), columns=columns, colnames=names
    )


def _indexed(name: str, values: np.ndarray, lengths: Sequence[int]) -> tuple[VectorData, VectorIndex]:
    """A column of lists."""
    content = VectorData(
        name=name, description=name, data=H5DataIO(values, **_COMPRESSION) if values.size else values
    )
    return content, VectorIndex(name=f"{name}_index", data=np.cumsum(lengths), target=content)


def _trials(trials: pd.DataFrame) -> TimeIntervals:
    columns = []
    for name in trials.columns:
        values = trials[name].to_numpy()
        if isinstance(values[0], np.ndarray):
            columns += _indexed(
                name, np.concatenate(list(values)).astype(float), [len(cell) for cell in values]
            )
        else:
            data = values.tolist() if values.dtype.kind in "OUT" else values
            columns.append(VectorData(name=name, description=name.replace("_", " "), data=data))
    return TimeIntervals(
        name="trials",
        description="trials",
        id=list(range(len(trials))),
        columns=columns,
        colnames=list(trials.columns),
    )


def _series(rows: SeriesRows, *, has_timestamps: bool) -> TimeSeries:
    layout = rows.layout
    data = H5DataIO(_Samples(rows), **_COMPRESSION)
    clock = {"starting_time": 0.0, "rate": 1000.0}
    if has_timestamps:
        clock = {"timestamps": H5DataIO(np.arange(rows.samples) / 1000, **_COMPRESSION)}
    return TimeSeries(
        name=layout.name,
        data=data,
        unit=layout.unit,
        description=layout.name.replace("_", " "),
        comments=f"columns=[{','.join(layout.channels)}]",
        **clock,
    )


class _Samples(GenericDataChunkIterator):
    """Samples (time, channel) of a series at 1 ms, made when they are written, of a resolution that compresses well."""

    def __init__(self, rows: SeriesRows):
        self._rows = rows
        length = min(_ROWS, rows.samples)
        shape = (length, rows.values.shape[1])
        super().__init__(buffer_shape=shape, chunk_shape=(min(length, 10_000), shape[1]))

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        times = np.arange(self._rows.samples)[selection[0]]
        values = upsampled(self._rows.values[:, selection[1]], times).astype(np.float64)
        return np.round(values * _LEVELS) * (self._rows.layout.scale / _LEVELS)

    def _get_maxshape(self) -> tuple[int, int]:
        return self._rows.samples, self._rows.values.shape[1]

    def _get_dtype(self) -> np.dtype:
        return np.dtype(np.float64)
