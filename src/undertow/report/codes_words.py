"""How behaviours and the steps of a walk are called and coloured in figures; angles in degrees, around a circle of colours."""

from __future__ import annotations

import numpy as np

from undertow.report import style
from undertow.report.codes import Read, Walk


def plain(name: str) -> str:
    """A behaviour's name as words."""
    return name.replace("_", " ")


def r2_words(value: float) -> str:
    """An R2 with two digits, and no sign before a zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def axis_words(name: str, *, is_angle: bool) -> str:
    """A behaviour's name with its unit where it is known."""
    return f"{plain(name)} (degrees)" if is_angle else plain(name)


def in_degrees(values: np.ndarray, *, is_angle: bool) -> np.ndarray:
    """Values as they are drawn."""
    return np.degrees(values) if is_angle else np.asarray(values)


def scale_of(*, is_angle: bool) -> tuple[str, ...]:
    """The colours that a behaviour runs along."""
    return style.CYCLE_SCALE if is_angle else style.RANGE_SCALE


def limits_of(read: Read) -> tuple[float, float]:
    """Where its colours begin and end: the circle, or the middle 96 % of what was recorded."""
    if read.is_angle:
        return -180.0, 180.0
    low, high = np.percentile(read.recorded, [2, 98])
    return float(low), float(high if high > low else low + 1)


def near_turn(read: Read) -> np.ndarray:
    """What was read, as it is drawn: an angle in the turn that is nearest to what was recorded."""
    if not read.is_angle:
        return read.read
    turns = np.round((read.recorded - read.read) / (2 * np.pi))
    return np.degrees(read.read + 2 * np.pi * turns)


def step_names(walk: Walk) -> list[str]:
    """What was asked for at each step."""
    if walk.is_angle:
        return [f"{value:.0f}°".replace("-", "−") for value in np.degrees(walk.asked)]
    return [f"{value:.3g}" for value in walk.asked]


def step_colours(walk: Walk) -> list[str]:
    """One colour for each step."""
    if walk.is_angle:
        return [
            style.from_scale(style.CYCLE_SCALE, (value + np.pi) / (2 * np.pi) % 1) for value in walk.asked
        ]
    last = max(len(walk.asked) - 1, 1)
    return [style.from_scale(style.RANGE_SCALE, place / last) for place in range(len(walk.asked))]
