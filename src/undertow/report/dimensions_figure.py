"""Curves against the number of latents: the score, cycle consistency, and what a known truth explains of the latents."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import style


def dimensions_figure(told: Mapping) -> go.Figure:
    """One panel a curve; lines are means over seeds, dots single fits, hollow where a size does not come into question.

    Bars of the score are standard errors of the difference to the best, whose score is dotted; the cycle consistency that sizes
    must reach is dotted; the recommended size is dashed.

    Args:
        told: as in `dimensions.json`.
    """
    panels = [("score", told["words"]), ("cycle_consistency", "cycle consistency")]
    if told["sizes"][0]["latent_r2"] is not None:
        panels.append(("latent_r2", "latents from the truth (R²)"))
    figure = make_subplots(
        rows=1,
        cols=len(panels),
        subplot_titles=[_title(words) for _, words in panels],
        horizontal_spacing=0.1,
    )
    for column, (name, _) in enumerate(panels, start=1):
        _draw(figure, told, name, column)
    _mark(figure, told)
    sizes = [row["size"] for row in told["sizes"]]
    figure.update_xaxes(
        type="log", tickvals=sizes, ticktext=[str(size) for size in sizes], title_text=told["field"]
    )
    figure.update_yaxes(nticks=6)
    return style.dressed(figure, height=360, top=64)


def _title(words: str) -> str:
    return words[0].upper() + words[1:]


def _draw(figure: go.Figure, told: Mapping, name: str, column: int) -> None:
    rows, is_first = told["sizes"], column == 1
    sizes = [row["size"] for row in rows]
    symbols = ["circle" if row["is_consistent"] else "circle-open" for row in rows]
    fits = [(row["size"], of_fit[name]) for row in rows for of_fit in row["fits"]]
    if len(fits) > len(rows):
        figure.add_scatter(
            x=[size for size, _ in fits],
            y=[value for _, value in fits],
            mode="markers",
            marker={"color": style.COUNTS, "size": 5},
            name="one seed",
            showlegend=is_first,
            row=1,
            col=column,
        )
    figure.add_scatter(
        x=sizes,
        y=[row[name] for row in rows],
        error_y={"array": [row["error"] for row in rows], "thickness": 1.2} if name == "score" else None,
        mode="lines+markers",
        line={"color": style.MODEL, "width": 1.6},
        marker={"symbol": symbols, "size": 9, "line": {"width": 1.6, "color": style.MODEL}},
        name="mean over seeds" if len(fits) > len(rows) else "fit",
        showlegend=is_first and len(fits) > len(rows),
        hovertemplate="%{x}: %{y:.4f}<extra></extra>",
        row=1,
        col=column,
    )


def _mark(figure: go.Figure, told: Mapping) -> None:
    """The recommended size in every panel, the best score in the first, the least cycle consistency in the second."""
    rows = told["sizes"]
    dotted = {"color": style.QUIET, "width": 1.2, "dash": "dot"}
    best = next(row["score"] for row in rows if row["size"] == told["best"])
    figure.add_hline(y=best, line=dotted, row=1, col=1)
    least = max(row["cycle_consistency"] for row in rows) - told["margin"]
    figure.add_hline(y=least, line=dotted, row=1, col=2)
    if told["recommended"] is None:
        return
    dashed = {"color": style.YARDSTICK, "width": 1.4, "dash": "dash"}
    figure.add_vline(x=told["recommended"], line=dashed, row="all", col="all")
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="lines",
        line=dashed,
        name=f"recommended ({told['recommended']})",
        showlegend=True,
    )
