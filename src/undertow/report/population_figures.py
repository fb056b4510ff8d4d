"""Figures of a search: every member's score, and every number that moved, with the winner's lineage."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import style
from undertow.report.courses import name_once
from undertow.report.population import Number, Population
from undertow.report.population_lines import (
    COLUMNS,
    broken_lines,
    copies,
    drawn_members,
    final_scores,
    generation_limits,
    score_limits,
    telling_limits,
    value_ticks,
)

_SCORE = "selection score (nats an entry)"
_FEW = 3  # with fewer generations than this, points carry a line
_FAINT = style.faded(style.COUNTS, 0.6)
_BAND = style.faded(style.CONDITION_COLOURS[5], 0.18)
_HOVER = "member %{customdata[0]}, generation %{customdata[1]} (epoch %{customdata[2]})"


def search_scores_figure(population: Population) -> go.Figure:
    """Scores over generations (nats an entry): members, the best and the median in bold, and the winner's lineage.

    The axis ends where scores can still be told apart; members that broke down are crosses along its top.
    """
    figure = make_subplots(rows=1, cols=1)
    low, high = score_limits(population)
    _draw_members(figure, population, population.scores, row=1, column=1)
    _draw_summary(figure, population, "median", population.median, "dash")
    _draw_summary(figure, population, "best", population.best, "solid")
    _draw_lineage(figure, population, population.scores, row=1, column=1)
    _draw_breakdowns(figure, population, height=high - 0.02 * (high - low))
    _draw_selected(figure, [population.selected.generation], [population.selected.score], row=1, column=1)
    figure.update_xaxes(range=generation_limits(population), **_generation_axis(population))
    figure.update_yaxes(title_text=f"{_SCORE}, lower is better", range=[low, high])
    name_once(figure)
    return style.dressed(figure, height=420, top=48)


def search_values_figure(population: Population) -> go.Figure:
    """One panel for each number that moved within a range, on a logarithmic axis where perturbations multiply.

    Of a search that evolved: its values over generations, the range as a band. Else: every member's score at the end against it.
    """
    rows = -(-len(population.numbers) // COLUMNS)
    figure = make_subplots(
        rows=max(rows, 1),
        cols=COLUMNS,
        subplot_titles=[_title_of(number) for number in population.numbers],
        horizontal_spacing=0.1,
        vertical_spacing=0.42 / max(rows, 1),
    )
    draw = _draw_trajectories if population.is_evolved else _draw_scatter
    for place, number in enumerate(population.numbers):
        draw(figure, population, number, row=place // COLUMNS + 1, column=place % COLUMNS + 1)
    name_once(figure)
    return style.dressed(figure, height=100 + 265 * max(rows, 1), top=92)


def _title_of(number: Number) -> str:
    """The number's key over two lines, so that it fits above a panel."""
    section, _, name = number.key.rpartition(".")
    return f"{section}.<br>{name}" if section else name


def _draw_trajectories(
    figure: go.Figure, population: Population, number: Number, *, row: int, column: int
) -> None:
    place = {"row": row, "col": column}
    left, right = generation_limits(population)
    _draw_band(figure, (left, right), (number.low, number.high), row=row, column=column)
    _draw_members(figure, population, number.values, row=row, column=column)
    _draw_lineage(figure, population, number.values, row=row, column=column)
    _draw_selected(figure, [population.selected.generation], [number.selected], row=row, column=column)
    figure.update_xaxes(range=[left, right], **_generation_axis(population), **place)
    figure.update_yaxes(**_value_axis(number), **place)


def _draw_band(
    figure: go.Figure, across: tuple[float, float], along: tuple[float, float], *, row: int, column: int
) -> None:
    """The range as a pale rectangle, from `across` (x) and `along` (y)."""
    figure.add_scatter(
        x=[across[0], across[1], across[1], across[0]],
        y=[along[0], along[0], along[1], along[1]],
        fill="toself",
        fillcolor=_BAND,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="range",
        row=row,
        col=column,
    )


def _draw_scatter(
    figure: go.Figure, population: Population, number: Number, *, row: int, column: int
) -> None:
    place, scores = {"row": row, "col": column}, final_scores(population)
    low, high = telling_limits(scores[None])
    heights = np.where(np.isfinite(scores), scores, high - 0.03 * (high - low))
    _draw_band(figure, (number.low, number.high), (low, high), row=row, column=column)
    for name, symbol, members in (
        ("member", "circle", np.flatnonzero(np.isfinite(scores))),
        ("broke down", "x-thin-open", np.flatnonzero(~np.isfinite(scores))),
    ):
        figure.add_scatter(
            x=number.values[-1, members],
            y=heights[members],
            mode="markers",
            marker={"symbol": symbol, "size": 7, "color": style.COUNTS, "line": {"width": 1.5}},
            customdata=members,
            name=name,
            hovertemplate="member %{customdata}: %{y:.5g} at %{x:.3g}<extra></extra>",
            **place,
        )
    _draw_selected(figure, [number.selected], [population.selected.score], row=row, column=column)
    figure.update_xaxes(**_value_axis(number), **place)
    figure.update_yaxes(range=[low, high], title_text=_SCORE if column == 1 else "", nticks=5, **place)


def _draw_members(
    figure: go.Figure, population: Population, values: np.ndarray, *, row: int, column: int
) -> None:
    generations, members, heights = broken_lines(population, values, drawn_members(population))
    figure.add_scatter(
        x=generations.astype(np.float32),
        y=heights.astype(np.float32),
        mode="lines+markers",
        line={"color": _FAINT, "width": 1},
        marker={"size": 3 if len(values) >= _FEW else 5, "color": _FAINT},
        customdata=_named(population, generations, members),
        hovertemplate=f"{_HOVER}: %{{y:.5g}}<extra></extra>",
        name="member",
        row=row,
        col=column,
    )
    generations, members = copies(population, drawn_members(population))
    if generations.size:
        figure.add_scatter(
            x=generations.astype(np.float32),
            y=values[generations, members].astype(np.float32),
            mode="markers",
            marker={"size": 4.5, "color": style.COUNTS},
            customdata=_named(population, generations, members),
            hovertemplate=f"{_HOVER}: %{{y:.5g}}, a copy<extra></extra>",
            name="began as a copy of another",
            row=row,
            col=column,
        )


def _draw_summary(
    figure: go.Figure, population: Population, name: str, course: np.ndarray, dash: str
) -> None:
    figure.add_scatter(
        x=np.arange(len(course), dtype=np.float32),
        y=course,
        mode="lines" if len(course) >= _FEW else "lines+markers",
        line={"color": style.INK, "width": 2.4, "dash": dash},
        customdata=population.epochs,
        hovertemplate=f"{name} of generation %{{x}} (epoch %{{customdata}}): %{{y:.5g}}<extra></extra>",
        name=name,
        row=1,
        col=1,
    )


def _draw_lineage(
    figure: go.Figure, population: Population, values: np.ndarray, *, row: int, column: int
) -> None:
    generations = np.arange(len(population.lineage))
    figure.add_scatter(
        x=generations.astype(np.float32),
        y=population.along_lineage(values),
        mode="lines+markers",
        line={"color": style.MODEL, "width": 2.2},
        marker={"size": 5},
        customdata=_named(population, generations, population.lineage),
        hovertemplate=f"{_HOVER}: %{{y:.5g}}<extra></extra>",
        name="lineage of the winner" if population.is_evolved else "winner",
        row=row,
        col=column,
    )


def _draw_selected(figure: go.Figure, x: list[float], y: list[float], *, row: int, column: int) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"symbol": "star", "size": 13, "color": style.MODEL, "line": {"color": "#ffffff", "width": 1}},
        hovertemplate="selected: %{y:.5g}<extra></extra>",
        name="selected",
        row=row,
        col=column,
    )


def _draw_breakdowns(figure: go.Figure, population: Population, *, height: float) -> None:
    found = population.breakdowns
    if not found:
        return
    generations = np.array([one.generation for one in found])
    members = np.array([one.member for one in found])
    figure.add_scatter(
        x=generations,
        y=np.full(len(found), height),
        mode="markers",
        marker={"symbol": "x", "size": 9, "color": style.YARDSTICK},
        customdata=_named(population, generations, members),
        hovertemplate=f"{_HOVER} broke down<extra></extra>",
        name="broke down",
        row=1,
        col=1,
    )


def _named(population: Population, generations: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(point, 3): member, generation and epoch, for those who point at a point; -1 in a gap."""
    places = np.nan_to_num(generations).astype(int)
    epochs = np.where(np.isfinite(generations), population.epochs[places], -1)
    columns = (np.nan_to_num(members, nan=-1), np.nan_to_num(generations, nan=-1), epochs)
    return np.stack(columns, axis=1).astype(np.int32)


def _generation_axis(population: Population) -> dict:
    """Whole generations."""
    step = max(1, -(-len(population.epochs) // 12))
    return {"title_text": "generation", "tickmode": "linear", "tick0": 0, "dtick": step}


def _value_axis(number: Number) -> dict:
    if number.is_added:
        return {"nticks": 5}
    ticks = value_ticks(number)
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{value:g}" for value in ticks]}
