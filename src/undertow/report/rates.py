"""Rates of a few neurons: in single trials against the spikes, and averaged over conditions beside smoothed
counts.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undertow.report import averages, excerpt, style
from undertow.report.courses import Course, draw_course, mark_forecast, name_once, time_limits, time_of
from undertow.report.entry_words import ACTIVITY, Words, counted, words_of

_TRIALS = 3


def rates_figure(trials: xr.Dataset, estimate: xr.Dataset, yardstick: xr.Dataset | None = None) -> go.Figure:
    """Inferred rates of four neurons in three trials, with what was recorded, the yardstick, and the true rates where known."""
    chosen, neurons = excerpt.shown_trials(trials, _TRIALS), excerpt.telling_neurons(trials, estimate)
    words = words_of(trials)
    figure = make_subplots(
        rows=len(neurons),
        cols=len(chosen),
        shared_xaxes="all",
        shared_yaxes=True,
        column_titles=[excerpt.trial_label(trials, index) for index in chosen],
        vertical_spacing=0.12 / len(neurons),
        horizontal_spacing=0.03,
    )
    for row, neuron in enumerate(neurons, start=1):
        panels = [rate_courses(trials, estimate, yardstick, trial, neuron) for trial in chosen]
        low, high = _ends(panels)
        for column, (trial, courses) in enumerate(zip(chosen, panels, strict=True), start=1):
            for course in courses:
                draw_course(figure, course, time_of(trials), row=row, column=column)
            if words is not ACTIVITY:
                depth = low - 0.1 * (high - low)
                _draw_spikes(figure, trials, words, (trial, neuron), depth, row=row, column=column)
        figure.update_yaxes(range=[low - 0.2 * (high - low), high + 0.06 * (high - low)], row=row)
        figure.update_yaxes(
            title_text=f"neuron {excerpt.neuron_label(trials, neuron)}<br>{words.rate}", row=row, col=1
        )
    figure.update_xaxes(range=time_limits(trials))
    figure.update_xaxes(title_text="time (s)", row=len(neurons))
    mark_forecast(figure, trials)
    name_once(figure)
    return style.dressed(figure, height=110 + 165 * len(neurons), top=74)


def psth_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """Averages over the trials of each condition for four neurons (Hz): smoothed counts on the left, inferred
    rates on the right.
    """
    neurons, grouping = excerpt.telling_neurons(trials, estimate), excerpt.conditions(trials)
    words = words_of(trials)
    figure = make_subplots(
        rows=len(neurons),
        cols=2,
        shared_xaxes="all",
        shared_yaxes=True,
        column_titles=[f"smoothed {counted(words)}", "inferred rates"],
        vertical_spacing=0.12 / len(neurons),
        horizontal_spacing=0.04,
    )
    both = psth_means(trials, estimate, neurons, grouping)
    for column, means in enumerate(both, start=1):
        for row, neuron in enumerate(neurons, start=1):
            for group, name in enumerate(grouping.names):
                course = Course(name, means[group, :, row - 1], style.CONDITION_COLOURS[group])
                draw_course(figure, course, time_of(trials), row=row, column=column)
            figure.update_yaxes(
                title_text=f"neuron {excerpt.neuron_label(trials, neuron)}<br>{words.rate}", row=row, col=1
            )
    for row in range(1, len(neurons) + 1):
        panel = np.concatenate([means[:, :, row - 1] for means in both])
        limits = [np.nanmin(panel, initial=0.0), 1.05 * np.nanmax(panel, initial=1e-3)]
        figure.update_yaxes(range=limits, row=row)
    figure.update_xaxes(range=time_limits(trials))
    figure.update_xaxes(title_text="time (s)", row=len(neurons))
    mark_forecast(figure, trials)
    name_once(figure)
    title = {"text": "condition  "} if grouping.known else None
    return style.dressed(figure, height=110 + 165 * len(neurons), top=62, legend={"title": title})


def rate_courses(
    trials: xr.Dataset, estimate: xr.Dataset, yardstick: xr.Dataset | None, trial: int, neuron: int
) -> list[Course]:
    """The curves of one neuron in one trial: what was recorded (of real-valued activity), truth (where known), yardstick (where
    given), model; NaN after the trial's end.
    """
    within = excerpt.inside(trials.isel(trial=[trial]))[0]

    def along(values: xr.DataArray) -> np.ndarray:
        return np.where(within, values.values[trial, :, neuron], np.nan)

    courses = []
    if words_of(trials) is ACTIVITY:
        courses.append(Course("recorded", along(trials.counts) / trials.attrs["bin_width"], style.COUNTS))
    if "true_rates" in trials:
        courses.append(Course("true rate", along(trials.true_rates), style.TRUTH))
    if yardstick is not None:
        courses.append(Course("smoothing yardstick", along(yardstick.rates), style.YARDSTICK, "dot"))
    half_band = 2 * along(estimate.rates_sd) if "rates_sd" in estimate else None
    return [*courses, Course("inferred rate", along(estimate.rates), style.MODEL, half_band=half_band)]


def psth_means(
    trials: xr.Dataset, estimate: xr.Dataset, neurons: np.ndarray, grouping: excerpt.Grouping
) -> tuple[np.ndarray, np.ndarray]:
    """Condition averages (condition, time, neuron) in Hz: of smoothed counts, and of inferred rates."""
    counts = trials.counts.values[:, :, neurons]
    smoothed = averages.smoothed_rates(counts, trials.attrs["bin_width"])
    rates = np.where(excerpt.inside(trials)[:, :, None], estimate.rates.values[:, :, neurons], np.nan)
    groups = len(grouping.names)
    return averages.group_means(smoothed, grouping.member, groups), averages.group_means(
        rates, grouping.member, groups
    )


def _draw_spikes(
    figure: go.Figure,
    trials: xr.Dataset,
    words: Words,
    place: tuple[int, int],
    depth: float,
    *,
    row: int,
    column: int,
) -> None:
    trial, neuron = place
    counts = trials.counts.values[trial, :, neuron]
    fired = excerpt.evenly(np.flatnonzero(np.nan_to_num(counts) > 0), 2 * excerpt.MAX_BINS)
    size = 5 + 3 * np.minimum(counts[fired], 4)
    figure.add_scatter(
        x=trials.time.values[fired].astype(np.float32),
        y=np.full(len(fired), depth, np.float32),
        mode="markers",
        marker={
            "symbol": "line-ns",
            "size": size,
            "line": {"width": 1.3, "color": style.COUNTS},
            "color": style.COUNTS,
        },
        customdata=counts[fired].astype(np.float32),
        name=f"{words.many} (taller: more in the bin)",
        hovertemplate="%{customdata:.3g} " + words.many + " at %{x:.3f} s<extra></extra>",
        row=row,
        col=column,
    )


def _ends(panels: list[list[Course]]) -> tuple[float, float]:
    """The lowest value of all curves, 0 where none is below, and the highest."""
    values = np.concatenate([course.values for courses in panels for course in courses])
    return float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=1e-3))
