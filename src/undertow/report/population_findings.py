"""What is suspicious about a search, in plain words, each with what to do about it; `find` answers all its questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from undertow.report.material import Finding
from undertow.report.population import Population
from undertow.report.population_words import counted, named, range_of

_ANOTHER = "and another folder to write to"


def find(population: Population) -> list[Finding]:
    """The findings for a search, gravest first; empty when nothing is suspicious."""
    return [finding for question in _QUESTIONS for finding in question(population)]


def _untrustworthy(population: Population) -> Iterator[Finding]:
    if population.warning:
        yield Finding(
            "This selection must not be trusted",
            population.warning,
            "Don't use the selected weights, nor read anything into the numbers that the search arrived at: change the score as "
            "said, and search again, with another folder to write to.",
        )


def _values_at_edges(population: Population) -> Iterator[Finding]:
    at_edge = [number for number in population.numbers if number.edge]
    if at_edge:
        listed = "; ".join(
            f"{number.key} is {number.selected:.3g}, at the {number.edge} edge of {range_of(number)}"
            for number in at_edge
        )
        yield Finding(
            "Selected at the edge of the range: " + ", ".join(number.key for number in at_edge),
            f"Of the selected numbers, {listed}.",
            "What is best may lie beyond: search again with a range that goes further, --space "
            f"{at_edge[0].key}=LOW:HIGH, {_ANOTHER}.",
        )


def _unsettled(population: Population) -> Iterator[Finding]:
    if not population.is_evolved or population.settled or len(population.best) < 2:
        return
    middle = len(population.best) // 2
    yield Finding(
        "The search ended before it settled",
        f"All its generations were used up; the best score went from {population.best[middle - 1]:.5g} to "
        f"{population.best[-1]:.5g} (lower is better) in the later half of the {len(population.best)}.",
        f"Searching longer may help: more generations (--generations N), {_ANOTHER}.",
    )


def _broken_members(population: Population) -> Iterator[Finding]:
    found = population.breakdowns
    if found:
        yield Finding(
            f"{counted(len(found), 'breakdown')} among the members",
            f"The scores were not numbers, or far worse than those of constant rates: {named(found)}.",
            "The selected weights are none of these, so a few do no harm; with many, lower the upper end of the learning rate's "
            "range (--space optimiser.learning_rate=LOW:HIGH), and look for extreme counts.",
        )


_QUESTIONS: tuple[Callable[[Population], Iterator[Finding]], ...] = (
    _untrustworthy,
    _values_at_edges,
    _unsettled,
    _broken_members,
)
