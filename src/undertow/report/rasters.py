"""Rasters: the recorded counts of single trials above the rates inferred for the same trials, neurons in the
same order.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from undertow.report import bars, excerpt, style
from undertow.report.courses import mark_forecast
from undertow.report.entry_words import Words, counted, words_of

_COLUMNS = 3


def raster_figure(trials: xr.Dataset, estimate: xr.Dataset) -> go.Figure:
    """Up to six single trials: spike counts above, inferred rates below; neurons by the time of their peak rate."""
    chosen = excerpt.shown_trials(trials)
    neurons = excerpt.raster_neurons(estimate, chosen)
    columns, bands = min(_COLUMNS, len(chosen)), -(-len(chosen) // _COLUMNS)
    figure = make_subplots(
        rows=2 * bands,
        cols=columns,
        vertical_spacing=0.16 / (2 * bands),
        horizontal_spacing=0.03,
        subplot_titles=_titles(trials, chosen, columns, bands),
        shared_xaxes="all",
    )
    images, words = raster_images(trials, estimate, chosen, neurons), words_of(trials)
    for place in range(len(chosen)):
        _draw_trial(figure, images, words, place, row=2 * (place // columns) + 1, column=place % columns + 1)
    _dress(figure, trials, words, bands)
    return style.dressed(
        figure,
        height=60 + bands * 420,
        coloraxis=bars.count_bar(images["counts"], words, 0.98),
        coloraxis2=bars.rate_bar(images["rates"], words, 0.46),
        top=36,
        right=90,
    )


def raster_images(
    trials: xr.Dataset, estimate: xr.Dataset, chosen: np.ndarray, neurons: np.ndarray
) -> dict[str, np.ndarray]:
    """What a raster shows: `counts` and `rates` (trial, neuron, time), `time` in seconds and `names` of the
    neurons.

    Long trials are pooled so that few enough bins remain; counts then are averages over the pooled bins. NaN
    after a trial's end.
    """
    step = excerpt.pooling(trials.sizes["time"])
    within = excerpt.inside(trials.isel(trial=chosen))[:, :, None]
    counts = trials.counts.values[chosen][:, :, neurons]
    rates = np.where(within, estimate.rates.values[chosen][:, :, neurons], np.nan)
    return {
        "counts": np.stack([excerpt.pooled(trial, step).T for trial in counts]).astype(np.float32),
        "rates": np.stack([excerpt.pooled(trial, step).T for trial in rates]).astype(np.float32),
        "time": excerpt.pooled(trials.time.values, step).astype(np.float32),
        "names": np.array([excerpt.neuron_label(trials, index) for index in neurons]),
    }


def _titles(trials: xr.Dataset, chosen: np.ndarray, columns: int, bands: int) -> list[str]:
    titles = []
    for band in range(bands):
        row = [excerpt.trial_label(trials, index) for index in chosen[band * columns : (band + 1) * columns]]
        titles += row + [""] * (columns - len(row)) + [""] * columns
    return titles


def _draw_trial(
    figure: go.Figure, images: dict[str, np.ndarray], words: Words, place: int, *, row: int, column: int
) -> None:
    hover = "neuron %{y}, %{x:.3f} s: %{z:.3g} "
    for offset, (name, unit, axis) in enumerate(
        (("counts", words.in_bin, "coloraxis"), ("rates", words.unit, "coloraxis2"))
    ):
        figure.add_heatmap(
            z=images[name][place],
            x=images["time"],
            y=images["names"],
            coloraxis=axis,
            hoverongaps=False,
            hovertemplate=hover + unit + "<extra></extra>",
            row=row + offset,
            col=column,
        )


def _dress(figure: go.Figure, trials: xr.Dataset, words: Words, bands: int) -> None:
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, type="category")
    figure.update_xaxes(showgrid=False)
    figure.update_xaxes(title_text="time (s)", row=2 * bands)
    for row in range(1, 2 * bands + 1):
        figure.update_yaxes(
            title_text=f"recorded {counted(words)}" if row % 2 else "inferred rates", row=row, col=1
        )
    figure.update_layout(plot_bgcolor=style.MISSING)
    mark_forecast(figure, trials)
