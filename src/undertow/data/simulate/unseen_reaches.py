"""Which reaches nobody trains on: sectors of the reach angle, conditions, or cells of the plane in which targets lie.

    unseen(reaches, condition, angles="45:90")            # degrees, from 45 up to but not 90; "315:45" goes over 0
    unseen(reaches, condition, conditions=[3])
    unseen(reaches, condition, targets="0:5,5:10")        # cm: x from 0 to 5, y from 5 to 10

What is held out must be there, and something else must be left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from undertow.data.simulate.reaches import Reaches
from undertow.vocabulary import UndertowError

Several = Any  # one entry, a list of them, or None


def unseen(
    reaches: Reaches,
    condition: np.ndarray,
    *,
    angles: Several = None,
    conditions: Several = None,
    targets: Several = None,
) -> np.ndarray:
    """(trial,) bool: the reaches that any of the sectors, conditions or cells names.

    Args:
        reaches: of all trials.
        condition: (trial,) labels.
        angles: sectors such as "45:90", in degrees.
        conditions: labels of conditions.
        targets: cells such as "0:5,5:10", in cm.

    Raises:
        UndertowError: what can't be read, what names no reach, and what leaves none to train on.
    """
    chosen = [
        np.zeros(len(condition), bool),
        *(_in_sector(reaches, sector) for sector in _listed(angles)),
        *(_in_condition(condition, label) for label in _listed(conditions)),
        *(_in_cell(reaches, cell) for cell in _listed(targets)),
    ]
    is_unseen = np.any(chosen, axis=0)
    if is_unseen.all():
        raise UndertowError(
            f"All {len(condition)} reaches are held out (angles {angles!r}, conditions {conditions!r}, targets "
            f"{targets!r}); leave some to train on."
        )
    return is_unseen


def _listed(entries: Several) -> Sequence[Any]:
    if entries is None:
        return ()
    return entries if isinstance(entries, (list, tuple)) else (entries,)


def _in_sector(reaches: Reaches, sector: Any) -> np.ndarray:
    low, high = _interval(sector, f"The sector {sector!r}", "'45:90' for angles from 45 up to 90 degrees")
    degrees = np.round(np.degrees(reaches.angle), 9) % 360
    width = high - low if high - low == 360 else (high - low) % 360
    inside = (degrees - low) % 360 < width
    if not inside.any():
        raise UndertowError(
            f"No reach has an angle in the sector {sector} degrees; there are {_angles(degrees)}."
        )
    return inside


def _angles(degrees: np.ndarray) -> str:
    values = np.unique(degrees)
    if len(values) > 36:
        return f"{len(values)} angles from {values[0]:.4g} to {values[-1]:.4g} degrees"
    return f"{', '.join(f'{value:g}' for value in values)} degrees"


def _in_condition(condition: np.ndarray, label: Any) -> np.ndarray:
    inside = condition == label
    if not np.any(inside):
        known = ", ".join(str(value) for value in np.unique(condition))
        raise UndertowError(
            f"No reach has the condition {label!r}, so it can't be held out; there are {known}."
        )
    return inside


def _in_cell(reaches: Reaches, cell: Any) -> np.ndarray:
    sides = str(cell).split(",")
    wanted = "'0:5,5:10' for x from 0 to 5 cm and y from 5 to 10 cm"
    if len(sides) != 2:
        raise UndertowError(f"The cell {cell!r} is not understood; write {wanted}.")
    limits = np.array([_interval(side, f"The cell {cell!r}", wanted) for side in sides])
    inside = ((reaches.target >= limits[:, 0]) & (reaches.target < limits[:, 1])).all(axis=1)
    if not inside.any():
        (x, y), (right, top) = reaches.target.min(axis=0), reaches.target.max(axis=0)
        raise UndertowError(
            f"No target lies in the cell {cell} cm; there are targets with x from {x:.3g} to {right:.3g} cm and y from "
            f"{y:.3g} to {top:.3g} cm."
        )
    return inside


def _interval(text: Any, what: str, wanted: str) -> tuple[float, float]:
    try:
        low, high = (float(edge) for edge in str(text).split(":"))
    except ValueError:
        raise UndertowError(f"{what} is not understood; write {wanted}.") from None
    if not (np.isfinite([low, high]).all() and low != high):
        raise UndertowError(f"{what} has the edges {low:g} and {high:g}; write {wanted}.")
    return low, high
