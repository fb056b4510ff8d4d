"""What was recorded: how active the neurons are, and how many trials each condition and split has."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undertow.report import excerpt, style
from undertow.report.entry_words import ACTIVITY, Words, words_of
from undertow.vocabulary import SPLITS

_MAX_BARS = 40
_SPLIT_NAMES = {"train": "training trials", "valid": "validation trials", "test": "test trials"}


def recorded_figure(trials: xr.Dataset) -> go.Figure:
    """Left: a histogram of the neurons' mean rates (Hz). Right: numbers of trials, by condition where there
    are conditions.
    """
    figure = make_subplots(cols=2, subplot_titles=["Neurons by mean rate", "Trials"], horizontal_spacing=0.12)
    words = words_of(trials)
    _draw_neurons(figure, trials, words)
    _draw_trials(figure, trials)
    figure.update_xaxes(
        title_text=f"mean rate ({words.many} per second)",
        rangemode="tozero" if words is not ACTIVITY else "normal",
        col=1,
    )
    figure.update_yaxes(title_text="neurons", col=1)
    figure.update_yaxes(title_text="trials", col=2)
    return style.dressed(figure, height=330, barmode="stack", bargap=0.12, top=62)


def mean_rates(trials: xr.Dataset) -> np.ndarray:
    """(neuron) Hz over all observed bins; NaN for a neuron never observed."""
    counts = trials.counts.values
    observed = np.isfinite(counts)
    number = observed.sum(axis=(0, 1))
    total = counts.sum(axis=(0, 1), dtype=float, where=observed)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan) / trials.attrs["bin_width"]


def _draw_neurons(figure: go.Figure, trials: xr.Dataset, words: Words) -> None:
    rates, held_out = mean_rates(trials), trials.held_out.values
    edges = np.histogram_bin_edges(rates[np.isfinite(rates)], bins=min(30, max(5, len(rates) // 3)))
    for flag, name, colour in (
        (False, "neurons seen by the model", style.COUNTS),
        (True, "held-out neurons", style.YARDSTICK),
    ):
        chosen = rates[(held_out == flag) & np.isfinite(rates)]
        if not chosen.size:
            continue
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=np.histogram(chosen, edges)[0],
            width=np.diff(edges) * 0.94,
            marker_color=colour,
            name=name,
            showlegend=bool(held_out.any()),
            hovertemplate="about %{x:.3g} " + words.unit + ": %{y} neurons<extra></extra>",
            row=1,
            col=1,
        )


def _draw_trials(figure: go.Figure, trials: xr.Dataset) -> None:
    grouping = excerpt.conditions(trials, at_most=_MAX_BARS)
    split = trials.split.values.astype(str)
    for name in SPLITS:
        if not (split == name).any():
            continue
        numbers = [
            int(((grouping.member == group) & (split == name)).sum()) for group in range(len(grouping.names))
        ]
        figure.add_bar(
            x=list(grouping.names) if grouping.known else [_SPLIT_NAMES[name].removesuffix(" trials")],
            y=numbers,
            marker_color=style.SPLIT_COLOURS[name],
            name=_SPLIT_NAMES[name],
            hovertemplate="%{x}: %{y} " + _SPLIT_NAMES[name] + "<extra></extra>",
            row=1,
            col=2,
        )
    shown = (
        f" ({len(grouping.names)} of {grouping.known} shown)" if grouping.known > len(grouping.names) else ""
    )
    figure.update_xaxes(title_text=f"condition{shown}" if grouping.known else "split", type="category", col=2)
