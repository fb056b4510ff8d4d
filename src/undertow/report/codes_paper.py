"""Figures of codes for papers: the sections' pictures, drawn by Matplotlib. See `paper`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from undertow.report import bars, style
from undertow.report.codes import Codes, Generated, Paths, Walk
from undertow.report.codes_words import (
    axis_words,
    in_degrees,
    limits_of,
    near_turn,
    plain,
    r2_words,
    scale_of,
    step_colours,
    step_names,
)
from undertow.report.entry_words import SPIKES, Words
from undertow.report.generated_figures import ROWS, drawn_pairs, pair_limits
from undertow.report.walk_figures import PATHS, SIDES, plane_limits

COLUMNS = 4


class Look(NamedTuple):
    """How images are coloured: a colour map, what its bar says, and where it begins and ends."""

    colours: str
    unit: str
    limits: tuple[float, float]


def codes_figure(codes: Codes) -> Figure:
    """One dot a trial, the same places in every panel, one panel for each behaviour that colours them."""
    behaviours = codes.behaviours or (None,)
    figure, panels = _grid(len(behaviours))
    for axes, read in zip(panels, behaviours, strict=True):
        colours = {"color": style.COUNTS}
        if read is not None:
            low, high = limits_of(read)
            scale = LinearSegmentedColormap.from_list("scale", scale_of(is_angle=read.is_angle))
            values = in_degrees(read.recorded, is_angle=read.is_angle)
            colours = {"c": values, "cmap": scale, "vmin": low, "vmax": high}
        dots = axes.scatter(*codes.plane.T, s=3, linewidths=0, **colours)
        title = "" if read is None else axis_words(read.name, is_angle=read.is_angle)
        style.dress_axes(axes, x=codes.axes[0], y=codes.axes[1], title=title)
        if read is not None:
            bar = figure.colorbar(dots, ax=axes, aspect=20, ticks=[-180, 0, 180] if read.is_angle else None)
            bar.ax.tick_params(labelsize=7)
    return figure


def readings_figure(codes: Codes) -> Figure:
    """Each behaviour as it is read from the code of a trial against what was recorded."""
    figure, panels = _grid(len(codes.behaviours))
    for axes, read in zip(panels, codes.behaviours, strict=True):
        there = np.isfinite(read.read)
        recorded = in_degrees(read.recorded, is_angle=read.is_angle)[there]
        axes.plot(recorded, near_turn(read)[there], ".", color=style.MODEL, markersize=3)
        ends = [recorded.min(), recorded.max()]
        axes.plot(ends, ends, ":", color=style.QUIET, linewidth=0.8)
        title = f"{plain(read.name)}: R² {r2_words(read.r2)}"
        style.dress_axes(axes, x="recorded", y="read from the code", title=title)
        if read.is_angle:
            axes.set(xticks=[-180, 0, 180], yticks=[-180, 0, 180])
    return figure


def walk_activity_figure(walk: Walk, words: Words = SPIKES) -> Figure:
    """One trial step by step: the spikes drawn (above) and their rates (below), neurons by the step at which they fire most."""
    figure = style.paper_figure(height=3.2)
    panels = figure.subplots(2, len(walk.asked), sharex=True, sharey=True, squeeze=False)
    _images(figure, panels[0], walk.counts, walk.time, _look_of_counts(words, walk.counts))
    _images(figure, panels[1], walk.rates, walk.time, _look_of_rates(words, walk.rates))
    for axes, name in zip(panels[0], step_names(walk), strict=True):
        style.dress_axes(axes, title=name)
    for axes in panels[1]:
        style.dress_axes(axes, x="time (s)")
    for axes in panels[:, 0]:
        axes.set_ylabel("neuron", fontsize=8)
    return figure


def walk_averages_figure(walk: Walk, words: Words = SPIKES) -> Figure:
    """The neurons that change most: averages of recorded trials near each step (left) and of the walk (right)."""
    figure = style.paper_figure(width=5.0, height=0.6 + 1.2 * len(walk.changed))
    panels = figure.subplots(len(walk.changed), 2, sharex=True, sharey="row", squeeze=False)
    for column, values in enumerate((walk.recorded, walk.generated)):
        for place, axes in enumerate(panels[:, column]):
            _steps(axes, walk, values[..., place])
            style.dress_axes(axes, title=SIDES[column] if place == 0 else "")
    for axes, name in zip(panels[:, 0], walk.changed, strict=True):
        axes.set_ylabel(f"neuron {name}\n{words.rate}", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("time (s)", fontsize=8)
    style.legend_above(figure, panels[0, 0])
    return figure


def walk_behaviour_figure(walk: Walk, paths: Paths) -> Figure:
    """Behaviour at each step: recorded, decoded from recorded and from generated activity; in a plane, or over time."""
    rows = 1 if paths.plane is not None else len(paths.channels)
    figure = style.paper_figure(height=3.4 if paths.plane is not None else 0.7 + 1.2 * rows)
    panels = figure.subplots(rows, len(PATHS), sharex=True, sharey="row", squeeze=False)
    every = (paths.recorded, paths.of_recorded, paths.of_generated)
    for column, (values, title) in enumerate(zip(every, PATHS, strict=True)):
        for row, axes in enumerate(panels[:, column]):
            if paths.plane is None:
                _steps(axes, walk, values[..., row])
                style.dress_axes(
                    axes,
                    x="time (s)" if row == rows - 1 else "",
                    y="" if column else plain(paths.channels[row]),
                )
            else:
                _plane(axes, walk, values[..., list(paths.plane)], plane_limits(paths))
                first, second = (plain(paths.channels[place]) for place in paths.plane)
                style.dress_axes(axes, x=first, y="" if column else second)
            axes.set_title(title if row == 0 else "", fontsize=8, loc="left")
    style.legend_above(figure, panels[0, 0])
    return figure


def generated_figure(generated: Generated, words: Words = SPIKES) -> Figure:
    """Spikes of single trials and the average over all, recorded (above) and generated (below); the same neurons in all."""
    shown = min(len(generated.recorded), len(generated.generated))
    figure = style.paper_figure(height=3.2)
    panels = figure.subplots(2, shown + 1, sharex=True, sharey=True, squeeze=False)
    of_counts = _look_of_counts(words, generated.recorded, generated.generated)
    of_rates = _look_of_rates(words, generated.averages)
    for row, counts in enumerate((generated.recorded, generated.generated)):
        _images(figure, panels[row, :-1], counts[:shown], generated.time, of_counts)
        _images(figure, panels[row, -1:], generated.averages[row : row + 1], generated.time, of_rates)
        style.dress_axes(panels[row, 0], y=f"neuron, {ROWS[row]}")
    for axes, title in zip(panels[0], ["a single trial"] * shown + ["average over trials"], strict=True):
        style.dress_axes(axes, y=axes.get_ylabel(), title=title)
    for axes in panels[1]:
        style.dress_axes(axes, x="time (s)", y=axes.get_ylabel())
    return figure


def generated_neurons_figure(generated: Generated, words: Words = SPIKES) -> Figure:
    """Each neuron's mean rate, its scatter over trials, and correlations of pairs: recorded across, generated upwards."""
    pairs = drawn_pairs(generated, words)
    figure = style.paper_figure(height=2.6)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (values, title) in zip(panels, pairs, strict=True):
        limits = pair_limits(values)
        axes.plot(limits, limits, ":", color=style.QUIET, linewidth=0.8)
        axes.plot(*values, ".", color=style.MODEL, markersize=3, alpha=0.6, rasterized=True)
        axes.set(xlim=limits, ylim=limits)
        style.dress_axes(axes, x="recorded", y="generated", title=title)
    return figure


def _grid(number: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, in rows of four."""
    rows = -(-number // COLUMNS)
    figure = style.paper_figure(height=0.3 + 1.8 * rows)
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes in panels[number:]:
        axes.set_axis_off()
    return figure, panels[:number]


def _images(figure: Figure, row: np.ndarray, images: np.ndarray, time: np.ndarray, look: Look) -> None:
    """Images (panel, time, neuron) in a row of panels, with one colour bar."""
    for axes, image in zip(row, images, strict=True):
        mesh = axes.pcolormesh(
            time,
            np.arange(image.shape[1]),
            image.T,
            cmap=look.colours,
            vmin=look.limits[0],
            vmax=look.limits[1],
            rasterized=True,
        )
        style.dress_axes(axes)
    bar = figure.colorbar(mesh, ax=list(row), pad=0.01, aspect=12)
    bar.set_label(look.unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _look_of_counts(words: Words, *counts: np.ndarray) -> Look:
    every = np.concatenate([part.ravel() for part in counts])
    return Look("Greys", words.in_bin, bars.count_limits(every, words))


def _look_of_rates(words: Words, rates: np.ndarray) -> Look:
    return Look("viridis", words.rate, bars.limits(rates))


def _steps(axes: Axes, walk: Walk, values: np.ndarray) -> None:
    """Curves (step, time), one colour for each step."""
    for name, course, colour in zip(step_names(walk), values, step_colours(walk), strict=True):
        axes.plot(walk.time, course, color=colour, linewidth=1, label=name)


def _plane(axes: Axes, walk: Walk, paths: np.ndarray, limits: tuple[np.ndarray, np.ndarray]) -> None:
    """Paths (step, time, 2), one colour for each step, with dots at their ends."""
    for name, path, colour in zip(step_names(walk), paths, step_colours(walk), strict=True):
        axes.plot(*path.T, color=colour, linewidth=1, label=name)
        axes.plot(*path[np.isfinite(path).all(axis=1)][-1:].T, ".", color=colour, markersize=5)
    (left, bottom), (right, top) = limits
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_box_aspect(1)  # both ranges are equally wide
