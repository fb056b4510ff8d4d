"""Figures of an analysis of dynamics for papers: the section's pictures, drawn by Matplotlib. See `paper`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from undertow.report import style
from undertow.report.dynamics_figures import PATHS, PLANES, marked, paths_of
from undertow.report.dynamics_marks import TRUE_MARK, TRUE_NAME, Mark, growth_of, mark_of
from undertow.report.eigenvalue_figure import MOST_POINTS, limits

_SHAPES = {"circle": "o", "circle-open": "o", "diamond-open": "D", "square-open": "s", "square": "s"}


def dynamics_planes_figure(analysis: Mapping) -> Figure:
    """Trajectories and fixed points, one panel for each pair of the main directions; marks as in the report."""
    titles = [*analysis["drawn"]["axes"], ""]
    pairs = PLANES if len(titles) > 3 else PLANES[:1]
    figure = style.paper_figure(height=2.6)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    paths = _padded(paths_of(analysis))
    for axes, (first, second) in zip(panels, pairs, strict=True):
        axes.plot(paths[:, first], paths[:, second], color=PATHS, linewidth=0.4, rasterized=True)
        for mark, places, _, _ in marked(analysis):
            places = _padded(places)
            axes.plot(places[:, first], places[:, second], **_look(mark, style.YARDSTICK), label=mark.name)
        style.dress_axes(axes, x=titles[first], y=titles[second])
    style.legend_above(figure, panels[0])
    return figure


def eigenvalues_figure(analysis: Mapping) -> Figure:
    """Growth (1/s) and frequency (Hz) of the eigenvalues of fixed points, and of the true ones where they are known."""
    figure = style.paper_figure(width=style.SINGLE_COLUMN, height=2.6)
    axes = figure.subplots()
    for place, point in enumerate(analysis["fixed_points"][:MOST_POINTS]):
        colour = style.CONDITION_COLOURS[place % len(style.CONDITION_COLOURS)]
        _draw(axes, point, _look(mark_of(point["kind"]), colour), f"{place + 1}: {point['kind']}")
    truth = analysis["truth"]
    for place, point in enumerate(truth["fixed_points"] if truth else ()):
        _draw(axes, point, _look(TRUE_MARK, style.TRUTH), TRUE_NAME if place == 0 else None)
    low, high, top = limits(analysis)
    axes.axvline(0, color=style.QUIET, linewidth=0.6)
    axes.set(xlim=(low, high), ylim=(-top, top))
    style.dress_axes(axes, x="growth (1/s)", y="frequency (Hz)")
    style.legend_above(figure, axes)
    return figure


def _draw(axes: Axes, point: Mapping, look: dict, name: str | None) -> None:
    growth = growth_of(point)
    axes.plot(growth.real, growth.imag / (2 * np.pi), **look, label=name)


def _look(mark: Mark, colour: str) -> dict:
    """A mark as Matplotlib draws it: open ones have no face."""
    is_true = mark == TRUE_MARK
    colour = style.TRUTH if is_true else colour
    return {
        "linestyle": "none",
        "marker": _SHAPES[mark.symbol],
        "markersize": 2 if is_true else 5,
        "markeredgecolor": colour,
        "markerfacecolor": "none" if mark.symbol.endswith("-open") else colour,
    }


def _padded(points: np.ndarray) -> np.ndarray:
    """With a second direction of zeros where there is only one."""
    return np.pad(points, [(0, 0), (0, max(0, 2 - points.shape[1]))])
