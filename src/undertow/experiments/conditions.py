"""The conditions of trials as numbers: what a model of conditions is fitted to, and what it is told of any trial."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

UNKNOWN = ("", "-1", "nan", "None")
"""Labels that stand for no condition."""


def conditions_of(trials: xr.Dataset) -> list[str]:
    """The labels of the training trials' conditions, each once, sorted; none where the trials have no `condition`."""
    labels = set(_labels(trials)[trials.split.values.astype(str) == "train"]) - set(UNKNOWN)
    return sorted(str(label) for label in labels)


def numbers_of(trials: xr.Dataset, conditions: Sequence[str]) -> np.ndarray:
    """(trial,) each trial's place in `conditions`, -1 where its condition is not among them."""
    places = {label: place for place, label in enumerate(conditions)}
    return np.array([places.get(str(label), -1) for label in _labels(trials)], dtype=np.int32)


def _labels(trials: xr.Dataset) -> np.ndarray:
    """(trial,) texts; a whole number reads the same whether it was stored as one or not."""
    if "condition" not in trials.coords or trials.condition.dims != ("trial",):
        return np.full(trials.sizes["trial"], UNKNOWN[0], dtype=object)
    values = trials.condition.values
    if values.dtype.kind == "f" and np.array_equal(
        values[np.isfinite(values)] % 1, 0 * values[np.isfinite(values)]
    ):
        values = [int(value) if np.isfinite(value) else UNKNOWN[0] for value in values]
    return np.array([str(value) for value in values], dtype=object)
