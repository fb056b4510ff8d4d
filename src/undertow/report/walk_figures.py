"""A walk along a behaviour: the population step by step, the neurons that change most, and the behaviour that is decoded."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import excerpt, style
from undertow.report.bars import count_bar, rate_bar
from undertow.report.codes import Paths, Walk
from undertow.report.codes_words import plain, step_colours, step_names
from undertow.report.courses import Course, draw_course, name_once
from undertow.report.entry_words import SPIKES, Words

SIDES = ("recorded trials near each step", "generated along the walk")
PATHS = ("recorded", "read from recorded", "read from generated")


def walk_activity_figure(walk: Walk, words: Words = SPIKES) -> go.Figure:
    """One trial step by step: the spikes drawn (above) and their rates (below), neurons by the step at which they fire most."""
    steps = len(walk.asked)
    figure = make_subplots(
        rows=2, cols=steps, subplot_titles=step_names(walk), shared_xaxes="all", shared_yaxes="all",
        horizontal_spacing=0.008, vertical_spacing=0.05,
    )  # fmt: skip
    pool = excerpt.pooling(len(walk.time))
    time = excerpt.pooled(walk.time, pool).astype(np.float32)
    for place in range(steps):
        for row, (values, unit) in enumerate(
            ((walk.counts, words.in_bin), (walk.rates, words.unit)), start=1
        ):
            figure.add_heatmap(
                z=excerpt.pooled(values[place], pool).T.astype(np.float32),
                x=time,
                y=walk.neurons,
                coloraxis="coloraxis" if row == 1 else "coloraxis2",
                hovertemplate="neuron %{y}, %{x:.3f} s: %{z:.3g} " + unit + "<extra></extra>",
                row=row,
                col=place + 1,
            )
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, type="category")
    figure.update_xaxes(showgrid=False, nticks=4)
    figure.update_xaxes(title_text="time (s)", row=2)
    figure.update_yaxes(title_text=words.many, row=1, col=1)
    figure.update_yaxes(title_text="rates", row=2, col=1)
    figure.update_layout(
        coloraxis=count_bar(walk.counts, words, 0.98),
        coloraxis2=rate_bar(walk.rates, words, 0.46),
        plot_bgcolor=style.MISSING,
    )
    return style.dressed(figure, height=470, top=40, right=90)


def walk_averages_figure(walk: Walk, words: Words = SPIKES) -> go.Figure:
    """The neurons that change most: averages of recorded trials near each step (left) and of the walk (right)."""
    figure = make_subplots(
        rows=len(walk.changed), cols=2, subplot_titles=SIDES, shared_xaxes="all", horizontal_spacing=0.05,
        vertical_spacing=0.2 / max(len(walk.changed), 2),
    )  # fmt: skip
    time = excerpt.pooled(walk.time, excerpt.pooling(len(walk.time))).astype(np.float32)
    for column, values in enumerate((walk.recorded, walk.generated), start=1):
        for row in range(len(walk.changed)):
            for name, course, colour in zip(
                step_names(walk), values[:, :, row], step_colours(walk), strict=True
            ):
                draw_course(figure, Course(name, course, colour), time, row=row + 1, column=column)
    for row, name in enumerate(walk.changed, start=1):
        both = [walk.recorded[..., row - 1], walk.generated[..., row - 1]]
        lowest, highest = float(np.nanmin(both, initial=0.0)), float(np.nanmax(both, initial=1e-6))
        figure.update_yaxes(range=[1.05 * lowest, 1.05 * highest], row=row)
        figure.update_yaxes(title_text=f"neuron {name}<br>{words.rate}", row=row, col=1)
    figure.update_xaxes(title_text="time (s)", row=len(walk.changed))
    name_once(figure)
    return style.dressed(
        figure, height=110 + 160 * len(walk.changed), top=76, legend_title_text=plain(walk.behaviour)
    )


def walk_behaviour_figure(walk: Walk, paths: Paths) -> go.Figure:
    """Behaviour at each step, averages: recorded, decoded from recorded and from generated activity.

    Paths in a plane where two channels are a position, otherwise channels over time.
    """
    figure = _planes(walk, paths) if paths.plane is not None else _courses(walk, paths)
    name_once(figure)
    return figure


def _planes(walk: Walk, paths: Paths) -> go.Figure:
    figure = make_subplots(cols=3, subplot_titles=PATHS, horizontal_spacing=0.05)
    for column, values in enumerate((paths.recorded, paths.of_recorded, paths.of_generated), start=1):
        for name, path, colour in zip(
            step_names(walk), values[..., list(paths.plane)], step_colours(walk), strict=True
        ):
            look = {"name": name, "legendgroup": name, "row": 1, "col": column}
            x, y = path.astype(np.float32).T
            figure.add_scatter(
                x=x, y=y, mode="lines", line={"color": colour, "width": 2.2},
                hovertemplate=f"{name}: %{{x:.3g}}, %{{y:.3g}}<extra></extra>", **look,
            )  # fmt: skip
            there = np.flatnonzero(np.isfinite(x))
            figure.add_scatter(
                x=x[there[-1:]], y=y[there[-1:]], mode="markers", marker={"color": colour, "size": 8},
                showlegend=False, hoverinfo="skip", **look,
            )  # fmt: skip
    low, high = plane_limits(paths)
    first, second = (plain(paths.channels[place]) for place in paths.plane)
    for column in (1, 2, 3):
        axis = figure.get_subplot(1, column).xaxis.plotly_name.replace("axis", "")
        figure.update_xaxes(title_text=first, range=[low[0], high[0]], row=1, col=column)
        figure.update_yaxes(range=[low[1], high[1]], scaleanchor=axis, row=1, col=column)
    figure.update_yaxes(title_text=second, col=1)
    return style.dressed(figure, height=460, top=76, legend_title_text=plain(walk.behaviour))


def plane_limits(paths: Paths) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest x and y of all panels, with a margin, equally wide."""
    every = np.concatenate(
        [
            values[..., list(paths.plane)].reshape(-1, 2)
            for values in (paths.recorded, paths.of_recorded, paths.of_generated)
        ]
    )
    every = every[np.isfinite(every).all(axis=1)]
    if not len(every):
        return -np.ones(2), np.ones(2)
    middle = (every.min(axis=0) + every.max(axis=0)) / 2
    half = 0.55 * float(np.ptp(every, axis=0).max() or 1)
    return middle - half, middle + half


def _courses(walk: Walk, paths: Paths) -> go.Figure:
    rows = len(paths.channels)
    figure = make_subplots(
        rows=rows, cols=3, subplot_titles=PATHS, shared_xaxes="all", horizontal_spacing=0.04,
        vertical_spacing=0.2 / max(rows, 2),
    )  # fmt: skip
    time = excerpt.pooled(walk.time, excerpt.pooling(len(walk.time))).astype(np.float32)
    for column, values in enumerate((paths.recorded, paths.of_recorded, paths.of_generated), start=1):
        for row in range(rows):
            for name, course, colour in zip(
                step_names(walk), values[..., row], step_colours(walk), strict=True
            ):
                draw_course(figure, Course(name, course, colour), time, row=row + 1, column=column)
    for row, channel in enumerate(paths.channels, start=1):
        figure.update_yaxes(title_text=plain(channel), row=row, col=1)
        figure.update_yaxes(matches=figure.get_subplot(row, 1).yaxis.plotly_name.replace("axis", ""), row=row)
    figure.update_xaxes(title_text="time (s)", row=rows)
    return style.dressed(figure, height=110 + 170 * rows, top=76, legend_title_text=plain(walk.behaviour))
