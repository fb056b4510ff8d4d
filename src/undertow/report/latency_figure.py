"""How long a stream took for a bin: a histogram on logarithmic axes, beside the time that there was."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from undertow.report import style


def latency_figure(latency: Mapping) -> go.Figure:
    """Bars: numbers of bins by their latency (ms). Dotted: median and p99; dashed: the bin width, the deadline."""
    edges = np.asarray(latency["histogram"]["edges"])
    numbers = np.asarray(latency["histogram"]["bins"])
    figure = go.Figure()
    figure.add_bar(
        x=np.sqrt(edges[:-1] * edges[1:]),
        y=numbers,
        width=np.diff(edges),
        marker_color=style.MODEL,
        showlegend=False,
        hovertemplate="about %{x:.3g} ms: %{y} bins<extra></extra>",
    )
    for name, words, dash in (
        ("median", "median", "dot"),
        ("p99", "p99", "dot"),
        ("bin_width", "bin width", "dash"),
    ):
        colour = style.YARDSTICK if name == "bin_width" else style.INK
        figure.add_vline(x=latency[name], line={"color": colour, "dash": dash, "width": 1.5})
        # On a logarithmic axis Plotly places lines by their value, but words by its logarithm.
        figure.add_annotation(
            x=np.log10(latency[name]),
            y=1,
            yref="paper",
            text=words,
            font={"color": colour},
            xanchor="center",
            yanchor="bottom",
            showarrow=False,
        )
    shown = np.log10([0.8 * edges[0], 1.3 * max(edges[-1], latency["bin_width"])]).tolist()
    figure.update_xaxes(type="log", range=shown, title_text="latency of a bin (ms)")
    figure.update_yaxes(type="log", title_text="bins")
    return style.dressed(figure, height=330, bargap=0)
