"""Colours, fonts and one look for every figure, on the screen (Plotly) and on paper (Matplotlib).

Colours are those of Okabe and Ito, which colour-blind readers tell apart; each has one meaning throughout a
report. Quantities run along viridis. Nothing here is global: a figure asks for its template, and Matplotlib
axes are dressed one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

if TYPE_CHECKING:
    from collections.abc import Sequence

    import matplotlib.axes
    import matplotlib.figure

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK = "#1f2933"
QUIET = "#56616c"
GRID = "#e8ebee"
MISSING = "#d9dee3"

MODEL = "#0072B2"
YARDSTICK = "#D55E00"
TRUTH = "#111111"
COUNTS = "#6b7680"
FORECAST = "#8a3f8f"
SPLIT_COLOURS = {"train": "#E69F00", "valid": "#0072B2", "test": "#009E73"}
CONDITION_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4d4d4d", "#8c6d00")

RATE_SCALE = "viridis"
CYCLE_SCALE = (  # for angles: begins and ends with the same colour, all about equally dark
    *("#a8780d", "#c45d3a", "#d34a72", "#d245b1", "#b453dd", "#866aec"),
    *("#4d80dc", "#2790af", "#1f9781", "#2c9a4c", "#6c9118", "#a8780d"),
)
RANGE_SCALE = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39")
COUNT_SCALE = ((0.0, "#ffffff"), (1.0, "#111111"))

SINGLE_COLUMN, DOUBLE_COLUMN = 3.5, 7.2  # inches, the widths of a journal's columns
_PAPER_LEGEND = {"fontsize": 7, "frameon": False, "handlelength": 1.6, "borderaxespad": 0.2}
_PAPER_SIZES = {"label": 8.0, "tick": 7.0, "title": 8.0}


def faded(colour: str, alpha: float) -> str:
    """The colour `#rrggbb` with an opacity between 0 and 1, as Plotly writes it."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def from_scale(scale: Sequence[str], share: float) -> str:
    """The colour at a `share` from 0 to 1 of the way through evenly spaced colours `#rrggbb`."""
    place = min(max(share, 0.0), 1.0) * (len(scale) - 1)
    low = min(int(place), len(scale) - 2)
    pairs = ([int(colour[start : start + 2], 16) for colour in scale[low : low + 2]] for start in (1, 3, 5))
    mixed = (round(first + (place - low) * (second - first)) for first, second in pairs)
    return "#" + "".join(f"{part:02x}" for part in mixed)


def lightened(colour: str, share: float) -> str:
    """The colour `#rrggbb` mixed with a share of white between 0 and 1, for drawings in which opacity does
    not blend well.
    """
    mixed = (round(int(colour[start : start + 2], 16) * (1 - share) + 255 * share) for start in (1, 3, 5))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def plotly_template() -> go.layout.Template:
    """The look of all interactive figures: white ground, quiet axes with ticks outside, the legend above the
    panels.
    """
    axis = {
        "showline": True,
        "linecolor": QUIET,
        "ticks": "outside",
        "tickcolor": QUIET,
        "ticklen": 4,
        "gridcolor": GRID,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12}},
    }
    layout = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "colorway": list(CONDITION_COLOURS),
        "xaxis": axis,
        "yaxis": axis,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "traceorder": "normal",
        },
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "annotationdefaults": {"font": {"size": 12}},
    }
    return go.layout.Template(layout=layout)


def dressed(figure: go.Figure, *, height: int, top: int = 36, right: int = 16, **layout: object) -> go.Figure:
    """The same Plotly figure in the house's look, as wide as its place on the page.

    Args:
        figure: changed in place.
        height: pixels of the whole figure.
        top: pixels above the panels, for the legend and the panels' titles.
        right: pixels beside the panels, for colour bars.
        layout: anything else for Plotly's layout.
    """
    margin = {"l": 64, "r": right, "t": top, "b": 52}
    figure.update_layout(template=plotly_template(), height=height, autosize=True, margin=margin, **layout)
    return figure


def paper_figure(*, width: float = DOUBLE_COLUMN, height: float) -> matplotlib.figure.Figure:
    """An empty Matplotlib figure of `width` by `height` inches that arranges its panels itself."""
    from matplotlib.figure import Figure  # here, because a page is written without Matplotlib

    return Figure(figsize=(width, height), layout="constrained")


def dress_axes(axes: matplotlib.axes.Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Give Matplotlib axes their labels at a paper's font sizes, and take the upper and right spines away."""
    axes.set_xlabel(x, fontsize=_PAPER_SIZES["label"])
    axes.set_ylabel(y, fontsize=_PAPER_SIZES["label"])
    axes.set_title(title, fontsize=_PAPER_SIZES["title"], loc="left")
    axes.tick_params(labelsize=_PAPER_SIZES["tick"], length=2.5, width=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_linewidth(0.6)


def legend_above(figure: matplotlib.figure.Figure, axes: matplotlib.axes.Axes) -> None:
    """Name the curves of `axes` once above all panels of a Matplotlib figure; a single curve needs no name."""
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        figure.legend(handles, names, loc="outside upper left", ncols=min(len(names), 4), **_PAPER_LEGEND)
