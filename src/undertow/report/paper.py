"""Figures for papers: the same pictures as in `figures`, drawn by Matplotlib at a journal's sizes.

Each returns a `matplotlib.figure.Figure` that belongs to nobody: no pyplot, no display, no global settings.
Save it with `figure.savefig("rates.pdf")`; fonts are 7 to 8 points at 3.5 (one column) or 7.2 inches (two
columns).
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from undertow.report import (
    bars,
    excerpt,
    history,
    inputs,
    latent_space,
    learning,
    rasters,
    rates,
    style,
)
from undertow.report.codes_paper import (
    codes_figure,
    generated_figure,
    generated_neurons_figure,
    readings_figure,
    walk_activity_figure,
    walk_averages_figure,
    walk_behaviour_figure,
)
from undertow.report.courses import Course
from undertow.report.dynamics_paper import dynamics_planes_figure, eigenvalues_figure
from undertow.report.entry_words import ACTIVITY, counted, words_of
from undertow.report.population_paper import search_values_figure

__all__ = [
    "codes_figure",
    "dynamics_planes_figure",
    "eigenvalues_figure",
    "factor_courses_figure",
    "factors_figure",
    "generated_figure",
    "generated_neurons_figure",
    "inputs_figure",
    "learning_figure",
    "psth_figure",
    "raster_figure",
    "rates_figure",
    "readings_figure",
    "search_values_figure",
    "walk_activity_figure",
    "walk_averages_figure",
    "walk_behaviour_figure",
]

_LINES = {"solid": "-", "dot": ":"}


def raster_figure(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """Three single trials: recorded counts above, inferred rates below; neurons by the time of their peak rate."""
    chosen = excerpt.shown_trials(trials, 3)
    images = rasters.raster_images(trials, estimate, chosen, excerpt.raster_neurons(estimate, chosen))
    figure = style.paper_figure(height=3.2)
    panels = figure.subplots(2, len(chosen), sharex=True, sharey=True, squeeze=False)
    words = words_of(trials)
    rows = (
        ("counts", "Greys", words.in_bin, bars.count_limits(images["counts"], words)),
        ("rates", "viridis", words.rate, bars.limits(images["rates"])),
    )
    for row, (name, colours, unit, (low, high)) in zip(panels, rows, strict=True):
        for place, axes in enumerate(row):
            image = axes.pcolormesh(
                images["time"],
                np.arange(len(images["names"])),
                images[name][place],
                cmap=colours,
                vmin=low,
                vmax=high,
                rasterized=True,
            )
            style.dress_axes(axes, y="neuron" if place == 0 else "")
        bar = figure.colorbar(image, ax=list(row), pad=0.01, aspect=12)
        bar.set_label(unit, fontsize=8)
        bar.ax.tick_params(labelsize=7)
    for axes, trial in zip(panels[0], chosen, strict=True):
        style.dress_axes(axes, y=axes.get_ylabel(), title=excerpt.trial_label(trials, trial))
    _label_time(panels)
    return figure


def rates_figure(trials: xr.Dataset, estimate: xr.Dataset, yardstick: xr.Dataset | None = None) -> Figure:
    """Inferred rates of four neurons in three trials, with what was recorded, the yardstick, and the true rates where known."""
    chosen, neurons = excerpt.shown_trials(trials, 3), excerpt.telling_neurons(trials, estimate)
    words = words_of(trials)
    figure = style.paper_figure(height=0.6 + 1.2 * len(neurons))
    panels = figure.subplots(len(neurons), len(chosen), sharex=True, sharey="row", squeeze=False)
    for row, neuron in zip(panels, neurons, strict=True):
        for axes, trial in zip(row, chosen, strict=True):
            for course in rates.rate_courses(trials, estimate, yardstick, trial, neuron):
                _draw_course(axes, course, trials.time.values)
            if words is not ACTIVITY:
                _draw_spikes(axes, trials, trial, neuron)
            style.dress_axes(axes)
        style.dress_axes(row[0], y=f"neuron {excerpt.neuron_label(trials, neuron)}\n{words.rate}")
    for axes, trial in zip(panels[0], chosen, strict=True):
        style.dress_axes(axes, y=axes.get_ylabel(), title=excerpt.trial_label(trials, trial))
    _label_time(panels)
    style.legend_above(figure, panels[0, 0])
    return figure


def psth_figure(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """Condition averages of four neurons (Hz): smoothed counts on the left, inferred rates on the right."""
    neurons, grouping = excerpt.telling_neurons(trials, estimate), excerpt.conditions(trials)
    words = words_of(trials)
    figure = style.paper_figure(width=5.0, height=0.6 + 1.2 * len(neurons))
    panels = figure.subplots(len(neurons), 2, sharex=True, sharey="row", squeeze=False)
    for column, means in enumerate(rates.psth_means(trials, estimate, neurons, grouping)):
        for place, axes in enumerate(panels[:, column]):
            for group, name in enumerate(grouping.names):
                course = Course(name, means[group, :, place], style.CONDITION_COLOURS[group])
                _draw_course(axes, course, trials.time.values)
            style.dress_axes(axes)
    for row, neuron in zip(panels, neurons, strict=True):
        style.dress_axes(row[0], y=f"neuron {excerpt.neuron_label(trials, neuron)}\n{words.rate}")
    for axes, title in zip(panels[0], (f"smoothed {counted(words)}", "inferred rates"), strict=True):
        style.dress_axes(axes, y=axes.get_ylabel(), title=title)
    _label_time(panels)
    style.legend_above(figure, panels[0, 0])
    return figure


def factors_figure(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """Trajectories of single trials and their condition averages in three dimensions (two where there are no
    more).
    """
    paths = latent_space.trajectories_of(trials, estimate)
    directions = len(paths.titles)
    if directions == 1:
        return factor_courses_figure(trials, estimate)
    figure = style.paper_figure(width=style.SINGLE_COLUMN, height=3.3)
    axes = figure.add_subplot(projection="3d" if directions > 2 else None)
    for group, name in enumerate(paths.grouping.names):
        colour = style.CONDITION_COLOURS[group]
        lines, starts = latent_space.joined(paths, group)
        axes.plot(*lines.T, color=style.lightened(colour, 0.55), linewidth=0.4, rasterized=True)
        axes.plot(*starts.T, ".", color=colour, markersize=2)
        if paths.grouping.known:
            axes.plot(*paths.means[group].T, color=colour, linewidth=1.6, label=name)
    if directions == 2:
        style.dress_axes(axes, x=paths.titles[0], y=paths.titles[1])
    else:
        axes.set_box_aspect(None, zoom=0.85)
        axes.tick_params(labelsize=7, pad=-2)
        for name, title in zip("xyz", paths.titles, strict=True):
            getattr(axes, f"set_{name}label")(title, fontsize=8, labelpad=0)
    style.legend_above(figure, axes)
    return figure


def factor_courses_figure(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """The main directions of the factors over time, averaged over the trials of each condition (arbitrary
    units).
    """
    paths = latent_space.trajectories_of(trials, estimate)
    figure = style.paper_figure(height=2.0)
    panels = figure.subplots(1, len(paths.titles), squeeze=False)
    for place, (axes, title) in enumerate(zip(panels[0], paths.titles, strict=True)):
        for group, name in enumerate(paths.grouping.names):
            course = Course(name, paths.means[group, :, place], style.CONDITION_COLOURS[group])
            _draw_course(axes, course, trials.time.values)
        style.dress_axes(axes, y=title)
    _label_time(panels)
    style.legend_above(figure, panels[0, 0])
    return figure


def inputs_figure(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """Inferred inputs (arbitrary units) with ± 2 posterior sd in three trials, and their averages over
    trials.
    """
    chosen, strongest = excerpt.shown_trials(trials, 3), inputs.strongest_inputs(trials, estimate)
    figure = style.paper_figure(height=0.6 + 1.2 * len(strongest))
    panels = figure.subplots(len(strongest), len(chosen) + 1, sharex=True, sharey="row", squeeze=False)
    for row, place in zip(panels, strongest, strict=True):
        singles = [inputs.single_course(trials, estimate, trial, place) for trial in chosen]
        limits = inputs.bottom_and_top(singles)
        for axes, trial, course in zip(row, chosen, singles, strict=False):
            for drawn in (course, *inputs.true_courses(trials, trial, limits)):
                _draw_course(axes, drawn, trials.time.values)
        for course in inputs.average_courses(trials, estimate, place):
            _draw_course(row[-1], course, trials.time.values)
        for axes in row:
            style.dress_axes(axes)
        style.dress_axes(row[0], y=f"inferred input {place + 1}\n(a.u.)")
    titles = [*(excerpt.trial_label(trials, trial) for trial in chosen), "average over trials"]
    for axes, title in zip(panels[0], titles, strict=True):
        style.dress_axes(axes, y=axes.get_ylabel(), title=title)
    _label_time(panels)
    return figure


def learning_figure(lines: history.History, *, selected_epoch: float | None = None) -> Figure:
    """One panel for each term of the objective, with the ramps in grey and the selected epoch as a dashed
    line.
    """
    names = learning.panels_of(lines)
    rows = max(1, -(-len(names) // 3))
    figure = style.paper_figure(height=0.4 + 1.6 * rows)
    panels = figure.subplots(rows, 3, sharex=True, squeeze=False)
    selected = history.selected_epoch(lines) if selected_epoch is None else selected_epoch
    ramped = max((end for end in history.ramp_ends(lines).values() if end is not None), default=None)
    for axes, name in zip(panels.flat, names, strict=False):
        curves = learning.curves_of(lines, name)
        for label, (_, epochs, values) in curves.items():
            axes.plot(epochs, values, color=_split_colour(label), linewidth=1, label=label)
        axes.set_ylim(learning.telling_range([values for _, _, values in curves.values()]))
        if ramped is not None:
            axes.axvspan(0, ramped, color=style.COUNTS, alpha=0.13, linewidth=0)
        if selected is not None:
            axes.axvline(selected, color=style.YARDSTICK, linestyle="--", linewidth=0.8)
        style.dress_axes(axes, x="epoch", y=history.label(name)[1], title=history.label(name)[0])
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    style.legend_above(figure, panels[0, 0])
    return figure


def _draw_course(axes: Axes, course: Course, time: np.ndarray) -> None:
    if course.half_band is not None:
        lower, upper = course.values - course.half_band, course.values + course.half_band
        axes.fill_between(time, lower, upper, color=course.colour, alpha=0.2, linewidth=0)
    axes.plot(time, course.values, _LINES[course.dash], color=course.colour, linewidth=1, label=course.name)


def _draw_spikes(axes: Axes, trials: xr.Dataset, trial: int, neuron: int) -> None:
    fired = np.flatnonzero(np.nan_to_num(trials.counts.values[trial, :, neuron]) > 0)
    below = np.full(len(fired), -0.06)
    axes.plot(
        trials.time.values[fired],
        below,
        "|",
        color=style.COUNTS,
        markersize=4,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
    )


def _label_time(panels: np.ndarray) -> None:
    for axes in panels[-1]:
        axes.set_xlabel("time (s)", fontsize=8)


def _split_colour(label: str) -> str:
    """Matplotlib's colour for a curve of `learning.curves_of`."""
    return {"training": style.SPLIT_COLOURS["train"], "validation": style.SPLIT_COLOURS["valid"]}.get(
        label, style.COUNTS
    )
