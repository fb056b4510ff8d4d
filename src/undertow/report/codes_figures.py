"""Where trials lie in the space of codes, coloured by behaviour; and what a line reads from a code against what was recorded."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import style
from undertow.report.codes import Codes, Read
from undertow.report.codes_words import (
    axis_words,
    in_degrees,
    limits_of,
    near_turn,
    plain,
    r2_words,
    scale_of,
)

COLUMNS = 4
ROW = 290  # pixels


def codes_figure(codes: Codes) -> go.Figure:
    """One dot a trial, the same places in every panel, one panel for each behaviour that colours them; grey without any."""
    behaviours = codes.behaviours or (None,)
    columns, rows = min(COLUMNS, len(behaviours)), -(-len(behaviours) // COLUMNS)
    titles = ["" if read is None else axis_words(read.name, is_angle=read.is_angle) for read in behaviours]
    figure = _grid(rows, columns, titles)
    for place, read in enumerate(behaviours):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        bar = _bar_place(figure, row, column)
        figure.add_scatter(
            x=codes.plane[:, 0].astype(np.float32),
            y=codes.plane[:, 1].astype(np.float32),
            mode="markers",
            marker={"color": style.COUNTS, "size": 5} if read is None else _coloured(read, bar),
            customdata=None if read is None else _drawn(read),
            hovertemplate="trial"
            if read is None
            else f"{plain(read.name)} %{{customdata:.3g}}<extra></extra>",
            showlegend=False,
            row=row,
            col=column,
        )
        figure.update_xaxes(title_text=codes.axes[0] if rows == row else "", row=row, col=column)
    figure.update_yaxes(title_text=codes.axes[1], col=1)
    reach = 1.06 * float(np.abs(codes.plane).max(initial=1))
    figure.update_xaxes(range=[-reach, reach], nticks=5, title_font_size=11)
    figure.update_yaxes(range=[-reach, reach], nticks=5, title_font_size=11)
    if not codes.behaviours:  # a single panel would be as wide as the page
        figure.update_yaxes(scaleanchor="x")
        figure.update_xaxes(constrain="domain")
    return style.dressed(figure, height=90 + rows * ROW, top=40, right=60)


def readings_figure(codes: Codes) -> go.Figure:
    """Each behaviour as it is read from the code of a trial against what was recorded, with the line on which both agree."""
    reads = codes.behaviours
    columns, rows = min(COLUMNS, len(reads)), -(-len(reads) // COLUMNS)
    figure = _grid(rows, columns, [f"{plain(read.name)}: R² {r2_words(read.r2)}" for read in reads])
    for place, read in enumerate(reads):
        row, column = place // COLUMNS + 1, place % COLUMNS + 1
        there = np.isfinite(read.read)
        recorded, told = _drawn(read)[there], near_turn(read)[there]
        ends = [float(recorded.min()), float(recorded.max())]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": style.QUIET, "dash": "dot", "width": 1.2}, hoverinfo="skip",
            showlegend=False, row=row, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=recorded.astype(np.float32),
            y=told.astype(np.float32),
            mode="markers",
            marker={"color": style.MODEL, "size": 5, "opacity": 0.6},
            hovertemplate="recorded %{x:.3g}, read %{y:.3g}<extra></extra>",
            showlegend=False,
            row=row,
            col=column,
        )
        if read.is_angle:
            figure.update_xaxes(tickvals=[-180, -90, 0, 90, 180], row=row, col=column)
            figure.update_yaxes(tickvals=[-180, -90, 0, 90, 180], row=row, col=column)
    figure.update_xaxes(title_text="recorded", row=rows)
    figure.update_yaxes(title_text="read from the code", col=1)
    return style.dressed(figure, height=90 + rows * (ROW - 30), top=40)


def _grid(rows: int, columns: int, titles: list[str]) -> go.Figure:
    return make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=titles,
        horizontal_spacing=0.32 / max(columns, 2),
        vertical_spacing=0.24 / rows,
    )


def _drawn(read: Read) -> np.ndarray:
    return in_degrees(read.recorded, is_angle=read.is_angle).astype(np.float32)


def _coloured(read: Read, place: dict) -> dict:
    low, high = limits_of(read)
    colours = scale_of(is_angle=read.is_angle)
    bar = {
        **place,
        "thickness": 9,
        "outlinewidth": 0,
        "tickfont": {"size": 10},
        **({"tickvals": [-180, -90, 0, 90, 180]} if read.is_angle else {"nticks": 5}),
    }
    return {
        "color": _drawn(read),
        "colorscale": [
            [share, colour] for share, colour in zip(np.linspace(0, 1, len(colours)), colours, strict=True)
        ],
        "cmin": low,
        "cmax": high,
        "size": 5,
        "colorbar": bar,
    }


def _bar_place(figure: go.Figure, row: int, column: int) -> dict:
    """A colour bar's place: right of its panel, as high as it."""
    panel = figure.get_subplot(row, column)
    (_, right), (bottom, top) = panel.xaxis.domain, panel.yaxis.domain
    return {
        "x": right + 0.004,
        "xanchor": "left",
        "y": (bottom + top) / 2,
        "yanchor": "middle",
        "len": top - bottom,
    }
