"""What the entries of trials are, in words: counts of spikes, events of imaging, or real-valued activity.

Trials of imaging say so themselves (`event_unit`); all others are looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

_LOOKED_AT = 1_000_000


class Words(NamedTuple):
    """A name for many entries, one for what stands in a bin, for a rate on an axis and after a number, and for an average."""

    many: str
    in_bin: str
    rate: str
    unit: str
    average: str


SPIKES = Words("spikes", "spikes a bin", "rate (Hz)", "Hz", "spikes per second and neuron")
EVENTS = Words("events", "events a bin", "events per second", "events/s", "events per second and neuron")
ACTIVITY = Words(
    "activity", "activity in a bin", "activity per second", "per second", "activity per second and neuron"
)


def counted(words: Words) -> str:
    """What is smoothed, in words: counts of spikes, else the entries themselves."""
    return "counts" if words is SPIKES else words.many


def words_of(trials: xr.Dataset) -> Words:
    """The words for these trials: events where they say so, spikes where entries are counts, else activity."""
    if "event_unit" in trials.attrs:
        return EVENTS
    values = trials.counts.values
    some = values[: max(1, _LOOKED_AT // max(1, values.shape[1] * values.shape[2]))]
    known = some[np.isfinite(some)]
    return SPIKES if (known >= 0).all() and (known == np.rint(known)).all() else ACTIVITY
