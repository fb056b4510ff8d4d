"""How fixed points are drawn, alike in every figure of the section on dynamics: their stability is the shape of their mark.

Filled circles hold what comes near (stable), open circles let it go in every direction (unstable), open diamonds draw in along
some directions and push out along others (saddle). The shape says it without any colour. Small black squares are the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from undertow.report import style

NUMBERED = 12  # points; with more of them their numbers would hide each other
TRUE_NAME = "true fixed point"


class Mark(NamedTuple):
    """The `symbol` of a kind of stability, known to Plotly in two dimensions and in three, and its `name` in a legend."""

    symbol: str
    name: str


_MARKS = {
    "stable": Mark("circle", "stable"),
    "unstable": Mark("circle-open", "unstable"),
    "saddle": Mark("diamond-open", "saddle"),
    "centre": Mark("square-open", "centre"),
}
TRUE_MARK = Mark("square", TRUE_NAME)


def mark_of(kind: str) -> Mark:
    """The mark of a kind as analysis names it: "stable focus" is marked as stable."""
    return _MARKS[kind.split()[0]]


def by_mark(points: Sequence[Mapping]) -> dict[Mark, list[int]]:
    """The places of all points among `points` (each with its "kind"), sorted by their marks."""
    marks = [mark_of(point["kind"]) for point in points]
    return {
        mark: [place for place, other in enumerate(marks) if other == mark] for mark in dict.fromkeys(marks)
    }


def marker(mark: Mark, *, size: float) -> dict:
    """Plotly's marker for a mark."""
    if mark == TRUE_MARK:
        return {"symbol": mark.symbol, "size": 0.5 * size, "color": style.TRUTH}
    return {"symbol": mark.symbol, "size": size, "color": style.YARDSTICK, "line": {"width": 2}}


def growth_of(point: Mapping) -> np.ndarray:
    """The eigenvalues of a point as complex numbers, in 1/s."""
    return complex_of(point["growth"])


def complex_of(pairs: Sequence) -> np.ndarray:
    """Complex numbers from pairs of their real and imaginary parts."""
    parts = np.asarray(pairs, dtype=float).reshape(-1, 2)
    return parts[:, 0] + 1j * parts[:, 1]


def label_of(place: int, points: Sequence[Mapping]) -> str:
    """The number of a point beside its mark, counted from 1; empty where there are too many."""
    return f"{place + 1}" if len(points) <= NUMBERED else ""


def told(place: int, point: Mapping) -> str:
    """What is said of a point under the mouse."""
    return f"{place + 1}: {point['kind']}"
