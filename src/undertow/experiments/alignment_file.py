"""What several sessions share in their condition averages, kept in the run's folder: a later session is aligned to it."""

from pathlib import Path

import numpy as np
import xarray as xr

from undertow.data import store
from undertow.data.condition_averages import Alignment

NAME = "alignment.nc"
SCHEMA = "undertow-alignment-1"
_FACTS = ("bin_width", "column", "smoothing", "ridge")


def write(folder: Path, shared: Alignment) -> None:
    """The components, without the sessions' own starts."""
    store.save(
        xr.Dataset(
            {
                "components": (("condition", "time", "component"), shared.components.astype(np.float32)),
                "deviation": ("component", shared.deviation),
                "explained": ("component", shared.explained),
            },
            coords={"condition": np.asarray(shared.conditions), "time": shared.time},
            attrs={"schema": SCHEMA, **{name: getattr(shared, name) for name in _FACTS}},
        ),
        folder / NAME,
    )


def read(folder: Path) -> Alignment | None:
    """What `write` kept; None in a run that did not begin with condition averages."""
    if not (folder / NAME).is_file():
        return None
    stored = store.open_as(folder / NAME, SCHEMA, "alignment")
    return Alignment(
        components=stored.components.values.astype(np.float64),
        deviation=stored.deviation.values,
        explained=stored.explained.values,
        conditions=tuple(stored.condition.values.tolist()),
        time=stored.time.values,
        starts={},
        **{name: stored.attrs[name] for name in _FACTS},
    )
