"""Factors: trajectories of single trials in space, coloured by condition, and their course over time.

Many factors are turned onto their first three principal components, whose share of the variance stands on the
axes. A model without factors is drawn by its latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undertow.report import averages, excerpt, style
from undertow.report.courses import Course, draw_course, mark_forecast, name_once, time_of
from undertow.report.spaces import solid_axis, xy, xyz

_MAX_TRAJECTORIES = 90
_MAX_POINTS = 15_000
_PLANE_PAIRS = ((0, 1), (0, 2), (1, 2))


@dataclass(frozen=True)
class Trajectories:
    """Factors turned for the eye: what the figures of this file draw.

    `single` (drawn trial, time, direction) are single trials and `member` (drawn trial) their condition's
    place in `grouping`; `means` (condition, time, direction) are averages over all trials; NaN after a
    trial's end. `titles` name the directions.
    """

    single: np.ndarray
    member: np.ndarray
    means: np.ndarray
    grouping: excerpt.Grouping
    titles: tuple[str, ...]


def factors_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """Trajectories in three dimensions (two or one where there are no more), coloured by condition; a dot
    marks each start.
    """
    paths = trajectories_of(trials, estimate)
    if len(paths.titles) < 3:
        return factor_planes_figure(trials, estimate)
    figure = go.Figure()
    for group, name in enumerate(paths.grouping.names):
        _draw_solid(figure, paths, group, name)
    axes = {f"{axis}axis": solid_axis(title) for axis, title in zip("xyz", paths.titles, strict=True)}
    scene = {
        **axes,
        "camera": {"eye": {"x": 1.4, "y": 1.4, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.12}},
        "aspectmode": "cube",
    }
    return style.dressed(figure, height=560, scene=scene, **_legend(paths))


def factor_planes_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """The same trajectories seen along the axes: one panel for each pair of directions (over time where there
    is only one).
    """
    paths = trajectories_of(trials, estimate)
    directions = len(paths.titles)
    if directions == 1:
        return factor_courses_figure(trials, estimate)
    pairs = _PLANE_PAIRS[: 3 if directions > 2 else 1]
    figure = make_subplots(cols=len(pairs), horizontal_spacing=0.12)
    for column, pair in enumerate(pairs, start=1):
        for group, name in enumerate(paths.grouping.names):
            _draw_plane(figure, paths, group, name, pair, column)
        figure.update_xaxes(title_text=paths.titles[pair[0]], row=1, col=column)
        figure.update_yaxes(title_text=paths.titles[pair[1]], row=1, col=column)
    name_once(figure)
    return style.dressed(figure, height=380 if len(pairs) > 1 else 520, **_legend(paths))


def factor_courses_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """The main directions of the factors over time, averaged over the trials of each condition (arbitrary
    units).
    """
    paths = trajectories_of(trials, estimate)
    figure = make_subplots(cols=len(paths.titles), horizontal_spacing=0.12)
    for column, title in enumerate(paths.titles, start=1):
        for group, name in enumerate(paths.grouping.names):
            course = Course(name, paths.means[group, :, column - 1], style.CONDITION_COLOURS[group])
            draw_course(figure, course, time_of(trials), row=1, column=column)
        figure.update_yaxes(title_text=title, row=1, col=column)
    figure.update_xaxes(title_text="time (s)")
    mark_forecast(figure, trials)
    name_once(figure)
    return style.dressed(figure, height=330, **_legend(paths))


def trajectories_of(trials: xr.Dataset, estimate: xr.Dataset) -> Trajectories:
    """The factors (or latents) along their main directions; see `Trajectories`."""
    name = space_of(estimate)
    within = excerpt.inside(trials)
    factors = np.where(within[:, :, None], estimate[name].values, np.nan)
    grouping = excerpt.conditions(trials)
    few_enough = min(_MAX_TRAJECTORIES, _MAX_POINTS // min(trials.sizes["time"], excerpt.MAX_BINS))
    drawn = excerpt.evenly(np.flatnonzero(grouping.member >= 0), few_enough)
    directions = averages.main_directions(factors[within & np.isfinite(factors).all(axis=2)])
    word = f"{name.removesuffix('s')} PC"
    means = averages.group_means(factors, grouping.member, len(grouping.names))
    return Trajectories(
        single=directions.project(factors[drawn]),
        member=grouping.member[drawn],
        means=directions.project(means),
        grouping=grouping,
        titles=tuple(
            f"{word} {place} (a.u., {share:.0%})" for place, share in enumerate(directions.explained, 1)
        ),
    )


def space_of(estimate: xr.Dataset) -> str | None:
    """The name of what is drawn in space: 'factors', else 'latents', else None."""
    return next((name for name in ("factors", "latents") if name in estimate), None)


def joined(paths: Trajectories, group: int) -> tuple[np.ndarray, np.ndarray]:
    """One group's single trials as one line broken by NaN, (point, direction), and the trials' starts."""
    gap = np.full((1, len(paths.titles)), np.nan)
    lines = [np.concatenate([pooled_path(path), gap]) for path in paths.single[paths.member == group]]
    starts = [path[np.isfinite(path).all(axis=1)][:1] for path in lines]
    empty = [gap[:0]]
    return np.concatenate(lines + empty), np.concatenate(starts + empty)


def pooled_path(path: np.ndarray) -> np.ndarray:
    """A trajectory (time, direction) with few enough points to draw."""
    return excerpt.pooled(path, excerpt.pooling(len(path)))


def _draw_solid(figure: go.Figure, paths: Trajectories, group: int, name: str) -> None:
    colour = style.CONDITION_COLOURS[group]
    lines, starts = joined(paths, group)
    common = {"name": name, "legendgroup": name, "hoverinfo": "name"}
    pale = {"color": style.lightened(colour, 0.55), "width": 1.5}
    dots = {"color": colour, "size": 2.5}
    figure.add_scatter3d(**xyz(lines), mode="lines", line=pale, showlegend=False, **common)
    figure.add_scatter3d(**xyz(starts), mode="markers", marker=dots, showlegend=False, **common)
    if paths.grouping.known:
        mean = pooled_path(paths.means[group])
        figure.add_scatter3d(**xyz(mean), mode="lines", line={"color": colour, "width": 7}, **common)


def _draw_plane(
    figure: go.Figure, paths: Trajectories, group: int, name: str, pair: tuple[int, int], column: int
) -> None:
    colour = style.CONDITION_COLOURS[group]
    lines, starts = joined(paths, group)
    common = {"legendgroup": name, "name": name, "hoverinfo": "name", "row": 1, "col": column}
    figure.add_scatter(
        **xy(lines, pair),
        mode="lines",
        line={"color": style.faded(colour, 0.35), "width": 1},
        showlegend=False,
        **common,
    )
    figure.add_scatter(
        **xy(starts, pair), mode="markers", marker={"color": colour, "size": 4}, showlegend=False, **common
    )
    if paths.grouping.known:
        mean = pooled_path(paths.means[group])
        figure.add_scatter(**xy(mean, pair), mode="lines", line={"color": colour, "width": 2.8}, **common)


def _legend(paths: Trajectories) -> dict:
    return {"showlegend": bool(paths.grouping.known), "legend": {"title": {"text": "condition  "}}}
