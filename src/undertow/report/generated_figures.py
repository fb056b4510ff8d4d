"""Generated trials beside recorded ones: spikes, averages, and each neuron's numbers on both sides."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from undertow.report import excerpt, style
from undertow.report.bars import count_bar, rate_bar, upper_limit
from undertow.report.codes import Generated
from undertow.report.entry_words import SPIKES, Words

ROWS = ("recorded", "generated")
PAIRS = (
    ("rates", "mean rate of a neuron ({unit})"),
    ("deviations", "its sd over trials ({unit})"),
    ("correlations", "correlation of two neurons"),
)


def generated_figure(generated: Generated, words: Words = SPIKES) -> go.Figure:
    """Spikes of single trials and the average over all, recorded (above) and generated (below); the same neurons in all."""
    shown = min(len(generated.recorded), len(generated.generated))
    figure = make_subplots(
        rows=2, cols=shown + 1, subplot_titles=["a single trial"] * shown + ["average over trials"], shared_xaxes="all",
        shared_yaxes="all", horizontal_spacing=0.015, vertical_spacing=0.05,
    )  # fmt: skip
    pool = excerpt.pooling(len(generated.time))
    time = excerpt.pooled(generated.time, pool).astype(np.float32)
    for row, (counts, average) in enumerate(
        zip((generated.recorded, generated.generated), generated.averages, strict=True), start=1
    ):
        panels = [(trial, "coloraxis", words.in_bin) for trial in counts[:shown]] + [
            (average, "coloraxis2", words.unit)
        ]
        for column, (values, axis, unit) in enumerate(panels, start=1):
            figure.add_heatmap(
                z=excerpt.pooled(values, pool).T.astype(np.float32),
                x=time,
                y=generated.neurons,
                coloraxis=axis,
                hovertemplate="neuron %{y}, %{x:.3f} s: %{z:.3g} " + unit + "<extra></extra>",
                row=row,
                col=column,
            )
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, type="category")
    figure.update_xaxes(showgrid=False, nticks=5)
    figure.update_xaxes(title_text="time (s)", row=2)
    for row, side in enumerate(ROWS, start=1):
        figure.update_yaxes(title_text=side, row=row, col=1)
    figure.update_layout(
        coloraxis=count_bar(np.concatenate([generated.recorded, generated.generated]), words, 0.98),
        coloraxis2=rate_bar(generated.averages, words, 0.46),
        plot_bgcolor=style.MISSING,
    )
    return style.dressed(figure, height=480, top=40, right=90)


def generated_neurons_figure(generated: Generated, words: Words = SPIKES) -> go.Figure:
    """Each neuron's mean rate, its scatter over trials, and correlations of pairs: recorded across, generated upwards."""
    panels = drawn_pairs(generated, words)
    figure = make_subplots(
        cols=len(panels), subplot_titles=[title for _, title in panels], horizontal_spacing=0.07
    )
    for column, (values, _) in enumerate(panels, start=1):
        low, high = pair_limits(values)
        figure.add_scatter(
            x=[low, high], y=[low, high], mode="lines", line={"color": style.QUIET, "dash": "dot", "width": 1.2},
            hoverinfo="skip", showlegend=False, row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=values[0].astype(np.float32),
            y=values[1].astype(np.float32),
            mode="markers",
            marker={"color": style.MODEL, "size": 5, "opacity": 0.6 if values.shape[1] < 500 else 0.25},
            hovertemplate="recorded %{x:.3g}, generated %{y:.3g}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        figure.update_xaxes(range=[low, high], row=1, col=column)
        figure.update_yaxes(range=[low, high], row=1, col=column)
    figure.update_xaxes(title_text="recorded")
    figure.update_yaxes(title_text="generated", col=1)
    return style.dressed(figure, height=360, top=40)


def drawn_pairs(generated: Generated, words: Words = SPIKES) -> list[tuple[np.ndarray, str]]:
    """What is drawn as recorded against generated, (2, number) each, and in words; correlations where there are any."""
    panels = [(getattr(generated, name), title.format(unit=words.unit)) for name, title in PAIRS]
    return [(values, title) for values, title in panels if values.size]


def pair_limits(values: np.ndarray) -> tuple[float, float]:
    """One range for both axes, with a margin; from 0 where nothing is below."""
    low, high = float(np.nanmin(values)), upper_limit(values, 1.0)
    low = 0.0 if low >= 0 else low
    margin = 0.05 * max(high - low, 1e-6)
    return low - margin, high + margin
