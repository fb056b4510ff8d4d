"""The eigenvalues of fixed points in the complex plane: what fades and what grows, and what turns, how fast."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from undertow.report import style
from undertow.report.dynamics_marks import TRUE_MARK, TRUE_NAME, growth_of, mark_of, marker, told

MOST_POINTS = 20
FASTEST = 2.0  # per bin: what fades faster is beyond the picture


def eigenvalues_figure(analysis: Mapping) -> go.Figure:
    """Growth (1/s) and frequency (Hz) of every eigenvalue of every fixed point, beside the true ones where they are known."""
    points, truth = analysis["fixed_points"][:MOST_POINTS], analysis["truth"]
    figure = go.Figure()
    for place, point in enumerate(points):
        colour = style.CONDITION_COLOURS[place % len(style.CONDITION_COLOURS)]
        mark = {"symbol": mark_of(point["kind"]).symbol, "size": 11, "color": colour, "line": {"width": 2}}
        _add(figure, growth_of(point), told(place, point), mark)
    for place, point in enumerate(truth["fixed_points"] if truth else ()):
        words = f"true {told(place, point)}"
        _add(
            figure, growth_of(point), words, marker(TRUE_MARK, size=11), group=TRUE_NAME, is_first=place == 0
        )
    figure.add_vline(x=0, line={"color": style.QUIET, "width": 1})
    low, high, top = limits(analysis)
    figure.update_xaxes(title_text="growth (1/s): fading left of 0, growing right of it", range=[low, high])
    figure.update_yaxes(
        title_text="frequency (Hz)", range=[-top, top], zeroline=True, zerolinecolor=style.GRID
    )
    return style.dressed(figure, height=430, top=36 + 14 * (len(points) // 5))


def limits(analysis: Mapping) -> tuple[float, float, float]:
    """Left, right and top of the picture (1/s, 1/s, Hz), with room; what fades faster than two in a bin is left out."""
    truth = analysis["truth"]
    points = [*analysis["fixed_points"][:MOST_POINTS], *(truth["fixed_points"] if truth else ())]
    growth = np.concatenate([growth_of(point) for point in points])
    shown = growth[np.isfinite(growth) & (growth.real > -FASTEST / analysis["bin_width"])]
    left, right = min(shown.real.min(initial=0.0), 0.0), max(shown.real.max(initial=0.0), 0.0)
    room = 0.08 * max(right - left, 1e-9)
    top = np.abs(shown.imag).max(initial=0.0) / (2 * np.pi)
    return left - room, right + max(room, 0.1 * (right - left)), max(1.15 * top, 1e-9 if top else 1.0)


def _add(
    figure: go.Figure,
    growth: np.ndarray,
    name: str,
    mark: dict,
    *,
    group: str | None = None,
    is_first: bool = True,
) -> None:
    frequency = growth.imag / (2 * np.pi)
    figure.add_scatter(
        x=growth.real.astype(np.float32),
        y=frequency.astype(np.float32),
        mode="markers",
        marker=mark,
        name=group or name,
        legendgroup=group or name,
        showlegend=is_first,
        hovertext=[
            f"{name}<br>{value.real:.3g} /s, {turns:.3g} Hz"
            for value, turns in zip(growth, frequency, strict=True)
        ],
        hoverinfo="text",
    )
