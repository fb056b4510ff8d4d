"""Curves over time with their bands: how one is drawn into a panel of an interactive figure, and named once
in the legend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from undertow.report import excerpt, style


@dataclass(frozen=True)
class Course:
    """One curve over time in a panel: its `values` (time), how it is drawn, and half the width of its band
    where it has one.
    """

    name: str
    values: np.ndarray
    colour: str
    dash: str = "solid"
    half_band: np.ndarray | None = None


def time_of(trials: xr.Dataset) -> np.ndarray:
    """The centres in seconds of the bins that are drawn."""
    return excerpt.pooled(trials.time.values, excerpt.pooling(trials.sizes["time"])).astype(np.float32)


def time_limits(trials: xr.Dataset) -> list[float]:
    """From the left edge of the first bin to the right edge of the last, in seconds."""
    half = trials.attrs["bin_width"] / 2
    return [float(trials.time.values[0] - half), float(trials.time.values[-1] + half)]


def draw_course(figure: go.Figure, course: Course, time: np.ndarray, *, row: int, column: int) -> None:
    """Add one curve, with its band behind it, to a panel of a Plotly figure."""
    step = excerpt.pooling(len(course.values))
    values = excerpt.pooled(course.values, step).astype(np.float32)
    if course.half_band is not None:
        half = excerpt.pooled(course.half_band, step).astype(np.float32)
        _draw_band(figure, course, time, values - half, values + half, row=row, column=column)
    figure.add_scatter(
        x=time,
        y=values,
        mode="lines",
        line={"color": course.colour, "width": 1.8, "dash": course.dash},
        name=course.name,
        legendgroup=course.name,
        hovertemplate=f"{course.name}: %{{y:.3g}} at %{{x:.3f}} s<extra></extra>",
        row=row,
        col=column,
    )


def name_once(figure: go.Figure) -> None:
    """Leave each name in the legend once: that of its first curve."""
    seen = set()
    for trace in figure.data:
        trace.showlegend = trace.showlegend is not False and trace.name not in seen
        seen.add(trace.name)


def mark_forecast(figure: go.Figure, trials: xr.Dataset) -> None:
    """Mark in every panel where the bins begin that are to be forecast, if there are any."""
    start = excerpt.forecast_start(trials)
    if start is not None:
        figure.add_vline(
            x=start, line={"color": style.FORECAST, "dash": "dash", "width": 1.2}, row="all", col="all"
        )


def _draw_band(
    figure: go.Figure,
    course: Course,
    time: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    *,
    row: int,
    column: int,
) -> None:
    kept = np.isfinite(lower)
    outline = {"x": np.r_[time[kept], time[kept][::-1]], "y": np.r_[upper[kept], lower[kept][::-1]]}
    figure.add_scatter(
        **outline,
        fill="toself",
        fillcolor=style.faded(course.colour, 0.2),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name=f"{course.name} ± 2 sd",
        legendgroup=course.name,
        row=row,
        col=column,
    )
