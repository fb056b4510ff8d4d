"""Colour axes of images of activity: where a scale begins and ends, and the bar that says what it means."""

from __future__ import annotations

import numpy as np

from undertow.report import style
from undertow.report.entry_words import SPIKES, Words

_OUTLIERS = 0.005
_LENGTH = 0.44


def upper_limit(values: np.ndarray, quantile: float) -> float:
    """A quantile of the finite values, positive, where a colour scale may end without being ruled by a few
    outliers.
    """
    finite = values[np.isfinite(values)]
    return max(float(np.quantile(finite, quantile)), 1e-6) if finite.size else 1.0


def limits(values: np.ndarray) -> tuple[float, float]:
    """Where a scale of `values` begins, which is 0 where nothing lies below, and where it ends."""
    finite = values[np.isfinite(values)]
    low = min(0.0, float(np.quantile(finite, _OUTLIERS))) if finite.size else 0.0
    return low, upper_limit(values, 1 - _OUTLIERS)


def count_limits(counts: np.ndarray, words: Words) -> tuple[float, float]:
    """The same of what was recorded; a scale of spikes reaches 1 at least."""
    low, high = limits(counts)
    return low, max(1.0, high) if words is SPIKES else high


def count_bar(counts: np.ndarray, words: Words, top: float) -> dict:
    """The colour axis of what was recorded, its bar hanging from `top`."""
    bar = {
        **_bar(f"{words.many}<br>{words.in_bin.removeprefix(words.many).strip()}", top),
        "outlinewidth": 0.5,
    }
    return _axis(style.COUNT_SCALE, count_limits(counts, words), {**bar, "nticks": 6})


def rate_bar(rates: np.ndarray, words: Words, top: float) -> dict:
    """The colour axis of rates, its bar hanging from `top`."""
    return _axis(style.RATE_SCALE, limits(rates), _bar(f"rate<br>({words.unit})", top))


def _bar(title: str, top: float) -> dict:
    return {"title": {"text": title}, "len": _LENGTH, "y": top, "yanchor": "top", "thickness": 12}


def _axis(scale, ends: tuple[float, float], bar: dict) -> dict:
    return {"colorscale": scale, "cmin": ends[0], "cmax": ends[1], "colorbar": bar}
