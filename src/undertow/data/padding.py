"""One padded array from trials of different length: NaN after each trial's end means not observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from undertow.vocabulary import UndertowError


def padded(name: str, values: Any) -> np.ndarray:
    """`values` as a new float32 array (trial, time, channel), NaN after the end of the shorter trials.

    Args:
        name: what the values are called in an error; "counts" need three axes, others may leave out the
            axis of a single channel.
        values: an array (trial, time, channel), or a list with one array (time, channel) for each trial.

    Raises:
        UndertowError: not numbers, infinite, other axes, or another number of channels in some trial.
    """
    if not _is_one_for_each_trial(values):
        return _three_axes(name, _numbers(name, values))
    arrays = [
        _two_axes(f"{name}[{trial}]", _numbers(f"{name}[{trial}]", value))
        for trial, value in enumerate(values)
    ]
    _check_same_channels(name, arrays)
    shape = (len(arrays), max(map(len, arrays), default=0), arrays[0].shape[1] if arrays else 0)
    padded = np.full(shape, np.nan, dtype=np.float32)
    for trial, array in enumerate(arrays):
        padded[trial, : len(array)] = array
    return padded


def _is_one_for_each_trial(values: Any) -> bool:
    return isinstance(values, (list, tuple)) or (isinstance(values, np.ndarray) and values.dtype == object)


def _numbers(name: str, values: Any) -> np.ndarray:
    """`values` as a new float32 array in which every entry is finite or NaN."""
    try:
        array = (
            values.astype(np.float64).filled(np.nan) if np.ma.isMaskedArray(values) else np.asarray(values)
        )
        with np.errstate(over="ignore"):
            single = array.astype(np.float32, casting="unsafe" if array.dtype == object else "same_kind")
    except (TypeError, ValueError) as error:
        raise UndertowError(
            f"'{name}' can't be read as an array of numbers ({error}); give numbers, with NaN where nothing "
            "was observed, and a list of (time, channel) arrays for trials of different length."
        ) from error
    infinite = np.argwhere(np.isinf(single))
    if len(infinite):
        place = tuple(int(index) for index in infinite[0])
        raise UndertowError(
            f"'{name}' holds {array[place]} at index {place}, but every value must be finite in float32; "
            "use NaN where nothing was observed."
        )
    return single


def _three_axes(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and name != "counts":
        return array[:, :, None]
    if array.ndim != 3:
        raise UndertowError(
            f"'{name}' has the shape {array.shape}, but must have the three axes (trial, time, channel); for "
            f"one long trial pass {name}[None], for trials of different length a list of (time, channel) "
            "arrays."
        )
    return array


def _two_axes(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 1 and not name.startswith("counts"):
        return array[:, None]
    if array.ndim != 2:
        raise UndertowError(
            f"'{name}' has the shape {array.shape}, but each trial of a list must be (time, channel)."
        )
    return array


def _check_same_channels(name: str, arrays: Sequence[np.ndarray]) -> None:
    for trial, array in enumerate(arrays):
        if array.shape[1] != arrays[0].shape[1]:
            raise UndertowError(
                f"'{name}[{trial}]' has {array.shape[1]} channels, but '{name}[0]' has {arrays[0].shape[1]}; "
                "give every trial the same channels, with NaN where one was not observed."
            )
