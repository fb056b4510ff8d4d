"""The table and the figure of identity_overfitting.py: how validation scores rank the trained settings, against rate R2.

A record is what that script writes: `models`, a row for each setting and arm with `arm`, `size`, `rate_r2` and `loss` by score,
and `smoothing`, the rate R2 of Gaussian smoothing.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

from undertow.report import style

PANELS = (  # arm, score, title, colour
    ("as they are", "nothing hidden", "no coordinated dropout", style.YARDSTICK),
    ("as they are", "dropout hides 30 %", "no coordinated dropout", style.YARDSTICK),
    ("coordinated dropout", "dropout hides 30 %", "coordinated dropout", style.MODEL),
    ("sample validation", "samples hidden", "sample validation", style.SPLIT_COLOURS["test"]),
)
LOWEST_R2 = -0.5  # what is drawn; dots below lie on the edge
HEIGHT, DOTS = 2.8, 200  # inches, dots an inch
MINUS = "\u2212"


class Ranking(NamedTuple):
    """The settings of one arm under one score.

    `loss`, `r2` and `size` have one entry for each setting whose training did not break down, `selected` is the place of the
    lowest loss, `correlation` is Spearman's between loss and R2, `lost` counts the settings that broke down.
    """

    loss: np.ndarray
    r2: np.ndarray
    size: np.ndarray
    selected: int
    correlation: float
    lost: int


def ranking(record, arm, score):
    """One arm under one score."""
    rows = [row for row in record["models"] if row["arm"] == arm]
    table = np.array([(row["loss"][score], row["rate_r2"], row["size"]) for row in rows])
    known = table[np.isfinite(table).all(axis=1)]
    loss, r2, size = known.T
    correlation = float(spearmanr(loss, r2).statistic)
    return Ranking(loss, r2, size, int(loss.argmin()), correlation, len(table) - len(known))


def show(record):
    """Print the table."""
    names = f"{'selected':>9} {'best':>6} {'median':>7}  broke down"
    print(f"{'trained':<20} {'validation':<20} {'Spearman':>8} {names}")
    arms = dict.fromkeys(row["arm"] for row in record["models"])
    for arm in arms:
        for score in record["models"][0]["loss"]:
            found = ranking(record, arm, score)
            r2 = f"{found.r2[found.selected]:>9.3f} {found.r2.max():>6.3f} {np.median(found.r2):>7.3f}"
            print(f"{arm:<20} {score:<20} {found.correlation:>8.2f} {r2}  {found.lost}")
    print(f"Gaussian smoothing: rate R2 {record['smoothing']:.3f}")


def draw(record):
    """One panel for each arm and score of `PANELS`; one dot a setting, larger for a larger model."""
    figure = style.paper_figure(height=HEIGHT)
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (arm, score, title, colour) in zip(panels, PANELS, strict=True):
        found = ranking(record, arm, score)
        _draw_dots(axes, found, colour)
        correlation = f"Spearman {found.correlation:.2f}".replace("-", MINUS)
        style.dress_axes(axes, title=f"{title}\nscored: {score}\n{correlation}")
    panels[0].set_ylabel("rate R² of validation trials", fontsize=8)
    panels[0].set_ylim(LOWEST_R2 - 0.08, 1.0)
    figure.supxlabel("validation loss (nats an entry); lower is selected", fontsize=8)
    handles = _legend_handles(sorted({row["size"] for row in record["models"]}))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=7, frameon=False)
    return figure


def _draw_dots(axes, found, colour):
    """The settings; the selected one ringed, the best one's R2 as a line."""
    shown = np.maximum(found.r2, LOWEST_R2)
    is_below = found.r2 < LOWEST_R2
    for is_drawn, marker in ((~is_below, "o"), (is_below, "v")):
        axes.scatter(
            found.loss[is_drawn],
            shown[is_drawn],
            s=_area(found.size[is_drawn]),
            marker=marker,
            color=colour,
            alpha=0.7,
            linewidths=0,
            clip_on=False,
        )
    place = found.selected
    ring = {"facecolors": "none", "edgecolors": style.INK, "linewidths": 1.1, "clip_on": False}
    axes.scatter(found.loss[place], shown[place], s=90, **ring)
    axes.axhline(found.r2.max(), color=style.QUIET, linewidth=0.7, linestyle=":")
    axes.locator_params(axis="x", nbins=4)


def _area(size):
    """Square points of a dot for a model of this many units."""
    return size / 2.5


def _legend_handles(sizes):
    """What the marks mean."""
    grey = {"color": style.QUIET, "linestyle": "none"}
    dots = [
        Line2D([], [], marker="o", markersize=_area(size) ** 0.5, label=f"{size} units", **grey)
        for size in sizes
    ]
    edge = f"R² below {LOWEST_R2:g}".replace("-", MINUS)
    below = Line2D([], [], marker="v", markersize=4, label=edge, **grey)
    hollow = {"markerfacecolor": "none", "markeredgecolor": style.INK, "linestyle": "none"}
    ring = Line2D([], [], marker="o", markersize=8, label="selected", **hollow)
    best = Line2D([], [], color=style.QUIET, linewidth=0.7, linestyle=":", label="R² of the best")
    return [*dots, below, ring, best]
