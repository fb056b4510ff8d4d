"""The figure for papers of a search: every number that moved, with the winner's lineage."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from undertow.report import style
from undertow.report.population import Number, Population
from undertow.report.population_lines import (
    COLUMNS,
    broken_lines,
    drawn_members,
    final_scores,
    telling_limits,
)


def search_values_figure(population: Population) -> Figure:
    """One panel for each number that a search moved: over generations, with the winner's lineage and the range; of a search that
    did not evolve, every member's score at the end (nats an entry) against it.
    """
    numbers = population.numbers
    rows = max(1, -(-len(numbers) // COLUMNS))
    figure = style.paper_figure(height=0.4 + 1.6 * rows)
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    draw = _draw_trajectories if population.is_evolved else _draw_scores_against
    for axes, number in zip(panels.flat, numbers, strict=False):
        draw(axes, population, number)
    for axes in panels.flat[len(numbers) :]:
        axes.set_axis_off()
    style.legend_above(figure, panels[0, 0])
    return figure


def _draw_trajectories(axes: Axes, population: Population, number: Number) -> None:
    generations, _, values = broken_lines(population, number.values, drawn_members(population))
    lineage = population.along_lineage(number.values)
    axes.axhspan(number.low, number.high, color=style.COUNTS, alpha=0.13, linewidth=0, label="range")
    axes.plot(generations, values, ".-", color=style.COUNTS, linewidth=0.4, markersize=1.5, label="member")
    axes.plot(lineage, ".-", color=style.MODEL, linewidth=1.2, markersize=3, label="lineage of the winner")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_yscale("linear" if number.is_added else "log")
    style.dress_axes(axes, x="generation", title=number.key)


def _draw_scores_against(axes: Axes, population: Population, number: Number) -> None:
    scores = final_scores(population)
    axes.axvspan(number.low, number.high, color=style.COUNTS, alpha=0.13, linewidth=0, label="range")
    axes.plot(number.values[-1], scores, ".", color=style.COUNTS, markersize=3, label="member")
    axes.plot(
        number.selected, population.selected.score, "*", color=style.MODEL, markersize=6, label="selected"
    )
    axes.set_xscale("linear" if number.is_added else "log")
    axes.set_ylim(telling_limits(scores[None]))
    style.dress_axes(axes, y="score (nats an entry)", title=number.key)
