"""Learning curves: every term of the objective, training beside validation, with ramps and the selected epoch
marked.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import excerpt, history, style
from undertow.report.courses import name_once

_COLUMNS = 3
_MAX_EPOCHS = 1500
_PLAIN = ("learning_rate", "gradient_norm")  # one grey curve, no splits
_LOGARITHMIC = ("gradient_norm",)
_FLAT = 1e-4  # of its size: a curve that moves less is drawn as one that does not move
_SPLIT_NAMES = {"train": "training", "valid": "validation"}


def learning_figure(lines: history.History, *, selected_epoch: float | None = None) -> go.Figure:
    """One panel for each term (training and validation), the selection score, the learning rate and the
    gradient norm.

    Args:
        lines: one dictionary an epoch, as in `metrics.jsonl`.
        selected_epoch: marked in every panel; the epoch with the best selection score if not given.
    """
    panels = panels_of(lines)
    rows = -(-len(panels) // _COLUMNS)
    titles = [history.label(panel)[0] for panel in panels]
    figure = make_subplots(
        rows=max(rows, 1),
        cols=_COLUMNS,
        subplot_titles=titles,
        horizontal_spacing=0.13,
        vertical_spacing=0.36 / max(rows, 1),
    )
    for place, panel in enumerate(panels):
        _draw_panel(figure, lines, panel, row=place // _COLUMNS + 1, column=place % _COLUMNS + 1)
    selected = history.selected_epoch(lines) if selected_epoch is None else selected_epoch
    _mark_epochs(figure, lines, selected)
    name_once(figure)
    return style.dressed(figure, height=90 + 240 * max(rows, 1), top=76)


def panels_of(lines: history.History) -> tuple[str, ...]:
    """The panels that this history can fill: its terms, then the selection score and what was recorded for
    each epoch.
    """
    others = ("selection", *_PLAIN)
    recorded = {key: history.series(lines, key)[1].size for key in (*others, "selection_smoothed")}
    recorded["selection"] += recorded["selection_smoothed"]
    return (*history.terms(lines), *(name for name in others if recorded[name]))


def curves_of(lines: history.History, panel: str) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
    """The curves of one panel by name: colour, epochs, values."""
    keys = {name: (f"{split}/{panel}", style.SPLIT_COLOURS[split]) for split, name in _SPLIT_NAMES.items()}
    keys["selection, raw"] = (panel, style.faded(style.COUNTS, 0.7))
    if panel == "selection":
        keys["selection, smoothed"] = ("selection_smoothed", style.TRUTH)
    found = {name: (colour, *history.series(lines, key)) for name, (key, colour) in keys.items()}
    return {name: curve for name, curve in found.items() if curve[1].size}


def _draw_panel(figure: go.Figure, lines: history.History, panel: str, *, row: int, column: int) -> None:
    curves = curves_of(lines, panel)
    for name, (colour, epochs, values) in curves.items():
        kept = excerpt.evenly(np.arange(len(epochs)), _MAX_EPOCHS)
        plain = panel in _PLAIN
        figure.add_scatter(
            x=epochs[kept].astype(np.float32),
            y=values[kept].astype(np.float32),
            mode="lines+markers" if len(kept) < 3 else "lines",
            line={"color": style.COUNTS if plain else colour, "width": 1.6},
            name=history.label(panel)[0] if plain else name,
            legendgroup=name,
            showlegend=not plain,
            hovertemplate="epoch %{x}: %{y:.5g}<extra></extra>",
            row=row,
            col=column,
        )
    figure.update_xaxes(title_text="epoch", row=row, col=column)
    figure.update_yaxes(title_text=history.label(panel)[1], row=row, col=column, nticks=5)
    if panel in _LOGARITHMIC and all((values > 0).all() for _, _, values in curves.values()):
        figure.update_yaxes(type="log", dtick=_ticks(curves), tickformat="~g", row=row, col=column)
    elif curves:
        figure.update_yaxes(
            range=telling_range([values for _, _, values in curves.values()]), row=row, col=column
        )


def _ticks(curves: dict[str, tuple[str, np.ndarray, np.ndarray]]) -> str:
    """Every digit on a logarithmic axis that spans little, else 1, 2 and 5."""
    spans = [values.max() / values.min() for _, _, values in curves.values()]
    return "D1" if max(spans) < 5 else "D2"


def telling_range(curves: list[np.ndarray]) -> list[float]:
    """Limits that show a curve's course: the first twentieth of the epochs, where losses plunge, may run out
    of the panel.
    """
    late = np.concatenate([values[len(values) // 20 :] for values in curves])
    spread, size = np.ptp(late), np.abs(late).max()
    margin = 0.06 * spread if spread > _FLAT * size else 0.05 * size or 1.0
    return [float(late.min() - margin), float(late.max() + margin)]


def _mark_epochs(figure: go.Figure, lines: history.History, selected: float | None) -> None:
    ends = {name: end for name, end in history.ramp_ends(lines).items() if end is not None}
    if ends:
        last = max(ends.values())
        figure.add_vrect(
            x0=0,
            x1=last,
            fillcolor=style.COUNTS,
            opacity=0.13,
            line_width=0,
            layer="below",
            row="all",
            col="all",
        )
        _legend_only(
            figure,
            f"ramps (until epoch {last:g})",
            symbol="square",
            colour=style.faded(style.COUNTS, 0.3),
        )
    if selected is not None:
        figure.add_vline(
            x=selected, line={"color": style.YARDSTICK, "width": 1.2, "dash": "dash"}, row="all", col="all"
        )
        _legend_only(figure, f"selected epoch ({selected:g})", symbol="line-ns-open", colour=style.YARDSTICK)


def _legend_only(figure: go.Figure, name: str, *, symbol: str, colour: str) -> None:
    marker = {"symbol": symbol, "color": colour, "size": 11}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name, showlegend=True)
