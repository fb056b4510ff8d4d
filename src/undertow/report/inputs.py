"""Inferred inputs: what pushed the dynamics in single trials, with its uncertainty, and on average."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undertow.report import averages, excerpt, style
from undertow.report.courses import Course, draw_course, mark_forecast, name_once, time_of

_TRIALS = 3
_MAX_INPUTS = 4


def inputs_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """Inferred inputs (arbitrary units): three trials with ± 2 posterior sd, then the average over trials of
    each condition.

    Where the true inputs are known, their size is drawn along the bottom of each single trial, scaled to the
    panel.
    """
    chosen, inputs = excerpt.shown_trials(trials, _TRIALS), strongest_inputs(trials, estimate)
    titles = [*(excerpt.trial_label(trials, index) for index in chosen), "average over trials"]
    figure = make_subplots(
        rows=len(inputs),
        cols=len(titles),
        shared_xaxes="all",
        shared_yaxes=True,
        column_titles=titles,
        vertical_spacing=0.12 / len(inputs),
        horizontal_spacing=0.025,
    )
    time = time_of(trials)
    for row, place in enumerate(inputs, start=1):
        singles = [single_course(trials, estimate, trial, place) for trial in chosen]
        for column, (trial, course) in enumerate(zip(chosen, singles, strict=True), start=1):
            draw_course(figure, course, time, row=row, column=column)
            for truth in true_courses(trials, trial, bottom_and_top(singles)):
                draw_course(figure, truth, time, row=row, column=column)
        for course in average_courses(trials, estimate, place):
            draw_course(figure, course, time, row=row, column=len(titles))
        figure.update_yaxes(title_text=f"inferred input {place + 1}<br>(a.u.)", row=row, col=1)
    figure.update_xaxes(title_text="time (s)", row=len(inputs))
    mark_forecast(figure, trials)
    name_once(figure)
    return style.dressed(figure, height=120 + 175 * len(inputs), top=100)


def strongest_inputs(trials: xr.Dataset, estimate: xr.Dataset) -> np.ndarray:
    """Indices of at most four inferred inputs, those that vary most, in their own order."""
    values = np.where(excerpt.inside(trials)[:, :, None], estimate.inferred_inputs.values, 0.0)
    return np.sort(np.argsort(-values.std(axis=(0, 1)), kind="stable")[:_MAX_INPUTS])


def single_course(trials: xr.Dataset, estimate: xr.Dataset, trial: int, place: int) -> Course:
    """One inferred input in one trial, with two posterior standard deviations where the estimate has them."""
    within = excerpt.inside(trials.isel(trial=[trial]))[0]
    mean = np.where(within, estimate.inferred_inputs.values[trial, :, place], np.nan)
    half = (
        2 * estimate.inferred_inputs_sd.values[trial, :, place] if "inferred_inputs_sd" in estimate else None
    )
    return Course(
        "inferred input",
        mean,
        style.MODEL,
        half_band=None if half is None else np.where(within, half, np.nan),
    )


def true_courses(trials: xr.Dataset, trial: int, limits: tuple[float, float]) -> list[Course]:
    """The size of the true input of a trial, from the bottom to the top of a panel; an empty list where it is
    not known.
    """
    if "true_inputs" not in trials:
        return []
    size = np.abs(np.nan_to_num(trials.true_inputs.values[trial])).sum(axis=1)
    bottom, top = limits
    scaled = bottom + (top - bottom) * size / max(float(size.max()), 1e-12)
    return [Course("true input (size, scaled)", scaled, style.TRUTH, "dot")]


def bottom_and_top(courses: list[Course]) -> tuple[float, float]:
    """The smallest and the largest finite value of curves with their bands."""
    halves = [0 if course.half_band is None else course.half_band for course in courses]
    lower = np.stack([course.values - half for course, half in zip(courses, halves, strict=True)])
    upper = np.stack([course.values + half for course, half in zip(courses, halves, strict=True)])
    return float(np.nanmin(lower, initial=0)), float(np.nanmax(upper, initial=0))


def average_courses(trials: xr.Dataset, estimate: xr.Dataset, place: int) -> list[Course]:
    """One inferred input averaged over the trials of each condition."""
    grouping = excerpt.conditions(trials)
    within = excerpt.inside(trials)[:, :, None]
    values = np.where(within, estimate.inferred_inputs.values[:, :, [place]], np.nan)
    means = averages.group_means(values, grouping.member, len(grouping.names))[:, :, 0]
    names = grouping.names if grouping.known else ("average over all trials",)
    colours = style.CONDITION_COLOURS if grouping.known else (style.TRUTH,)
    return [Course(name, mean, colour) for name, mean, colour in zip(names, means, colours, strict=False)]
