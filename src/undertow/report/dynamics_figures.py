"""The latent space with its fixed points: trajectories along the main directions, and the flow in the plane of the first two.

All draw the "drawn" part of an analysis (see `dynamics_section.py`): places along principal axes of the latents.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import style
from undertow.report.dynamics_marks import TRUE_MARK, Mark, by_mark, label_of, marker, told
from undertow.report.spaces import solid_axis, xy, xyz

PATHS = style.lightened(style.MODEL, 0.6)
PLANES = ((0, 1), (0, 2), (1, 2))
_ARROW, _HEAD = 0.75, 0.3  # an arrow's length in steps of the grid, and its head's share of that


def dynamics_figure(analysis: Mapping) -> go.Figure:
    """Trajectories and fixed points along three main directions; two where there are no more."""
    if len(analysis["drawn"]["axes"]) < 3:
        return dynamics_planes_figure(analysis)
    figure = go.Figure()
    figure.add_scatter3d(
        **xyz(paths_of(analysis)), mode="lines", line={"color": PATHS, "width": 1.5}, **_PATH
    )
    for mark, places, labels, words in marked(analysis):
        figure.add_scatter3d(
            **xyz(places),
            mode="markers+text",
            text=labels,
            hovertext=words,
            marker=marker(mark, size=7),
            **_named(mark),
        )
    scene = {
        f"{axis}axis": solid_axis(title)
        for axis, title in zip("xyz", analysis["drawn"]["axes"], strict=False)
    }
    camera = {"eye": {"x": 1.4, "y": 1.4, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.12}}
    return style.dressed(figure, height=560, scene={**scene, "camera": camera, "aspectmode": "data"})


def dynamics_planes_figure(analysis: Mapping) -> go.Figure:
    """The same seen along the axes: one panel for each pair of directions (over nothing where there is only one)."""
    titles = [*analysis["drawn"]["axes"], ""]
    pairs = PLANES if len(titles) > 3 else PLANES[:1]
    figure = make_subplots(cols=len(pairs), horizontal_spacing=0.12)
    for column, pair in enumerate(pairs, start=1):
        place = {"row": 1, "col": column}
        paths = xy(paths_of(analysis), pair)
        figure.add_scatter(**paths, mode="lines", line={"color": PATHS, "width": 1}, **_PATH, **place)
        _add_points(figure, analysis, pair, is_named=column == 1, **place)
        figure.update_xaxes(title_text=titles[pair[0]], **place)
        figure.update_yaxes(title_text=titles[pair[1]], **place)
    return style.dressed(figure, height=380 if len(pairs) > 1 else 520)


def flow_figure(analysis: Mapping) -> go.Figure:
    """The flow in the plane of the first two directions: arrows where states go, colours how fast; fixed points projected."""
    flow = {name: np.asarray(value, float) for name, value in analysis["drawn"]["flow"].items()}
    grid, titles = flow["grid"], analysis["drawn"]["axes"]
    figure = go.Figure()
    speed = flow["speed"][flow["speed"] > 0]
    slowest, fastest = (speed.min(), speed.max()) if speed.size else (1.0, 1.0)
    figure.add_heatmap(
        x=grid[0, :, 0],
        y=grid[:, 0, 1],
        z=np.log10(np.maximum(flow["speed"], slowest)).astype(np.float32),
        colorscale=style.RATE_SCALE,
        zsmooth="best",
        colorbar={"title": {"text": "speed<br>(spreads a bin)"}, **_ticks(slowest, fastest)},
        hoverinfo="skip",
    )
    arrows = _arrows(grid, flow["velocities"])
    figure.add_scatter(**xy(arrows, (0, 1)), mode="lines", line={"color": "#ffffff", "width": 1.2}, **_PATH)
    _add_points(figure, analysis, (0, 1), is_named=True)
    figure.update_xaxes(
        title_text=titles[0], range=[grid[..., 0].min(), grid[..., 0].max()], constrain="domain"
    )
    figure.update_yaxes(title_text=titles[1], range=[grid[..., 1].min(), grid[..., 1].max()])
    return style.dressed(figure, height=520, right=90)


def marked(analysis: Mapping) -> list[tuple[Mark, np.ndarray, list[str], list[str]]]:
    """Mark, places (point, direction), labels and words of the found points by their stability, then of the true ones."""
    points, drawn = analysis["fixed_points"], analysis["drawn"]
    found = np.asarray(drawn["fixed_points"], float)
    groups = [
        (mark, found[chosen], [label_of(k, points) for k in chosen], [told(k, points[k]) for k in chosen])
        for mark, chosen in by_mark(points).items()
    ]
    if analysis["truth"] is None or not drawn["true_fixed_points"]:
        return groups
    true = analysis["truth"]["fixed_points"]
    words = [f"true {told(place, point)}" for place, point in enumerate(true)]
    return [*groups, (TRUE_MARK, np.asarray(drawn["true_fixed_points"], float), [""] * len(true), words)]


def paths_of(analysis: Mapping) -> np.ndarray:
    """All trajectories as one line broken by NaN, (point, direction)."""
    directions = len(analysis["drawn"]["axes"])
    gap = np.full((1, directions), np.nan)
    paths = (np.asarray(path, float).reshape(-1, directions) for path in analysis["drawn"]["trajectories"])
    return np.concatenate([gap, *(part for path in paths for part in (path, gap))])


def _add_points(
    figure: go.Figure, analysis: Mapping, pair: tuple[int, int], *, is_named: bool, **place: int
) -> None:
    for mark, places, labels, words in marked(analysis):
        named = {**_named(mark), "showlegend": is_named}
        figure.add_scatter(
            **xy(places, pair),
            mode="markers+text",
            text=labels,
            textposition="top right",
            hovertext=words,
            marker=marker(mark, size=12),
            **named,
            **place,
        )


def _arrows(grid: np.ndarray, velocities: np.ndarray) -> np.ndarray:
    """Arrows of one length at every point of a grid as one line broken by NaN; none where nothing moves."""
    step = np.linalg.norm(grid[1, 1] - grid[0, 0]) / np.sqrt(2)
    start, velocity = grid.reshape(-1, 2), velocities.reshape(-1, 2)
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    along = _ARROW * step * np.divide(velocity, speed, out=np.full_like(velocity, np.nan), where=speed > 0)
    across = along @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    tail, tip = start - along / 2, start + along / 2
    left, right = (tip - _HEAD * (along + side * 0.6 * across) for side in (1, -1))
    gap = np.full_like(tip, np.nan)
    return np.stack([tail, tip, left, gap, tip, right, gap], axis=1).reshape(-1, 2)


def _ticks(low: float, high: float) -> dict:
    """Round numbers between two, for an axis that holds their logarithms."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    digits = (1, 2, 5) if high < 100 * low else (1,)
    values = [digit * 10.0**decade for decade in decades for digit in digits]
    return {"tickvals": np.log10(values).tolist(), "ticktext": [f"{value:.3g}" for value in values]}


def _named(mark: Mark) -> dict:
    name = mark.name if mark == TRUE_MARK else f"{mark.name} fixed point"
    return {"name": name, "legendgroup": name, "hoverinfo": "text"}


_PATH = {"showlegend": False, "hoverinfo": "skip"}
