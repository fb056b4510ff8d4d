"""The report's section on a search: what was selected and on what, where every number ended, and how the population got there."""

from __future__ import annotations

import numpy as np

from undertow.report import population_figures
from undertow.report.material import Material, Picture, Section, Table
from undertow.report.population import Choice, Number, Population
from undertow.report.population_lines import drawn_members, final_scores, score_limits, telling_limits
from undertow.report.population_words import counted, named, range_of

_ALGORITHMS = {
    "population": (
        "Population-based training: at a generation's end members meet in random pairs, and the loser goes on as "
        "a copy of the winner with its numbers perturbed."
    ),
    "random": "Random search: every member drew its numbers once and was trained to the end with them.",
    "single": "A single fit: no number moved.",
}
_SCORES_CAPTION = (
    "Each grey line is a member{breaks}. Black: the best member and, dashed, the median of each generation. "
    "Blue: {winner}; the star is the selected weights. Lower is better. Best and median should fall and level "
    "off together: a best that still falls at the end asks for a longer search, a median that stays far above "
    "it means that much of the space is bad."
)
_BREAKS = "; it breaks where the member lost and went on, from a dot, as a copy of another"
_CROSSES = " Crosses along the top: members whose training broke down."
_LINEAGE = "the lineage, from the winner's first ancestor to the winner"
_TRAJECTORIES_CAPTION = (
    "One panel for each number that moved. Grey: the members; dots: perturbed copies of others. Blue: the lineage of "
    "the winner. The pale band is the range. If the lineage stays inside, the range was wide enough; if it runs along "
    "the edge of the band, widen the range with --space KEY=LOW:HIGH. Members whose values draw together have settled "
    "on one, but they also descend from a few common ancestors: repeat the search with another seed before reading "
    "much into a value."
)
_SCATTER_CAPTION = (
    "One panel for each number that was drawn. Each dot is a member: its value, and its score at the end (lower is "
    "better); the star is the selected one, the pale band is the range. A valley shows where a number is best, and a "
    "flat cloud that it hardly matters by itself. If the lowest dots crowd at the edge of the range, widen it with "
    "--space KEY=LOW:HIGH."
)


def section(material: Material) -> Section | None:
    """The section "The search"; None for an ordinary fit."""
    population = material.population
    if population is None:
        return None
    tables = (_numbers_table(population), _groups_table(population))
    return Section(
        "search",
        "The search",
        _introduction(population),
        _pictures(population),
        facts=_facts(population),
        tables=tuple(table for table in tables if table.rows),
    )


def _introduction(population: Population) -> str:
    generations, members = population.scores.shape
    selected, epochs = population.selected, int(population.epochs[-1])
    when = f"after epoch {selected.epoch}" if selected.epoch >= 0 else "at the end"
    return (
        f"{_ALGORITHMS[population.algorithm]} {counted(members, 'member')} trained for {counted(epochs, 'epoch')} "
        f"({counted(generations, 'generation')}). Selected were the weights of member {selected.member} {when}, in "
        f"generation {selected.generation}: score {selected.score:.5g} (nats an entry, lower is better) on "
        f"{population.selected_on.rstrip('.')}. Members, generations and epochs are counted from 0."
    )


def _facts(population: Population) -> tuple[tuple[str, str], ...]:
    generations, members = population.scores.shape
    sizes = np.bincount(population.groups)
    facts = {
        "Members": f"{members:,}",
        "Groups": f"{sizes.size} of {', '.join(map(str, sizes))} members" if sizes.size > 1 else "",
        "Generations": f"{generations:,}",
        "Epochs": f"{population.epochs[-1]:,}",
        "Ended because": _ending(population),
        "Tournaments": _copied(population),
        "Broke down": _broken(population),
        "Selected": f"member {population.selected.member}, generation {population.selected.generation}",
        "Selected score": f"{population.selected.score:.5g} nats an entry",
        "Best and median at the end": f"{population.best[-1]:.5g} and {population.median[-1]:.5g}",
        "Ensemble": f"rates averaged over the {population.ensemble} best" if population.ensemble > 1 else "",
    }
    return tuple((name, words) for name, words in facts.items() if words)


def _ending(population: Population) -> str:
    if not population.is_evolved:
        return "all epochs were done"
    return "the best score gained too little" if population.settled else "all generations were used up"


def _copied(population: Population) -> str:
    chances = (len(population.epochs) - 1) * len(population.groups)
    if not population.is_evolved or not chances:
        return ""
    return f"a copy took a member's place {int(population.is_copy.sum()):,} of {chances:,} times"


def _broken(population: Population) -> str:
    found = population.breakdowns
    return f"{len(found)}: {named(found)}" if found else "nobody"


def _numbers_table(population: Population) -> Table:
    rows = [_number_row(population, number) for number in population.numbers]
    rows += [_choice_row(choice) for choice in population.choices]
    heads = ("Searched", "Selected", "Median at the end", "Lowest to highest at the end", "Range", "Remark")
    return Table("What was searched, by its key in a recipe", heads, tuple(rows))


def _number_row(population: Population, number: Number) -> tuple[str, ...]:
    ends = number.values[-1][population.survivors]
    beyond = "" if number.is_confined else "members may leave it"
    remark = f"at the {number.edge} edge" if number.edge else beyond
    spread = f"{ends.min():.3g} to {ends.max():.3g}"
    return number.key, f"{number.selected:.3g}", f"{np.median(ends):.3g}", spread, range_of(number), remark


def _choice_row(choice: Choice) -> tuple[str, ...]:
    tried = dict.fromkeys(map(str, choice.values))
    times = ", ".join(f"{value} ({list(map(str, choice.values)).count(value)})" for value in tried)
    return choice.key, str(choice.selected), "–", "–", "a list", f"members at the end: {times}"


def _groups_table(population: Population) -> Table:
    """One row a group, where there are several: what it is, how many members it has, and how they scored."""
    numbers = np.unique(population.groups) if np.unique(population.groups).size > 1 else ()
    heads = ("Group", "Members", "Broke down", "Best score at the end", "Median score at the end", "Remark")
    rows = tuple(_group_row(population, number) for number in numbers)
    rivals = ", and compete with each other only" if population.is_evolved else ""
    return Table(f"Groups: members of one group share what is listed{rivals}", heads, rows)


def _group_row(population: Population, number: int) -> tuple[str, ...]:
    members = np.flatnonzero(population.groups == number)
    scores = population.scores[-1][members]
    scores = scores[np.isfinite(scores)]
    same = [
        choice for choice in population.choices if len({str(choice.values[place]) for place in members}) == 1
    ]
    name = ", ".join(f"{choice.key} = {choice.values[members[0]]}" for choice in same)
    broken = sum(one.member in members for one in population.breakdowns)
    best, median = (f"{of(scores):.5g}" if scores.size else "–" for of in (np.min, np.median))
    remark = "the winner's" if population.selected.member in members else ""
    return name or f"group {number}", f"{members.size}", f"{broken}", best, median, remark


def _pictures(population: Population) -> tuple[Picture, ...]:
    told = (
        {"breaks": _BREAKS, "winner": _LINEAGE}
        if population.is_evolved
        else {"breaks": "", "winner": "the winner"}
    )
    scores = Picture(
        "search-scores",
        population_figures.search_scores_figure(population),
        _SCORES_CAPTION.format(**told) + _beyond_scores(population),
        "Curves of every member's selection score over generations, with best, median and the winner's lineage.",
    )
    if not population.numbers:
        return (scores,)
    caption = (
        _TRAJECTORIES_CAPTION if population.is_evolved else _SCATTER_CAPTION + _beyond_scatter(population)
    )
    values = Picture(
        "search-values",
        population_figures.search_values_figure(population),
        caption,
        "Panels with every number that the search moved, for all members and for the selected one.",
    )
    return scores, values


def _beyond_scores(population: Population) -> str:
    """What the figure of scores does not show, in sentences."""
    drawn, members = drawn_members(population).size, population.groups.size
    return (
        _beyond(population.scores, score_limits(population)[1])
        + (_CROSSES if population.breakdowns else "")
        + (f" Drawn are {drawn} of {members} members." if drawn < members else "")
    )


def _beyond_scatter(population: Population) -> str:
    """What the figure of scores against values does not show, in sentences."""
    scores = final_scores(population)
    return _beyond(scores, telling_limits(scores[None])[1]) + ("" if np.isfinite(scores).all() else _CROSSES)


def _beyond(scores: np.ndarray, limit: float) -> str:
    outside, of_all = int((scores > limit).sum()), int(np.isfinite(scores).sum())
    if not outside:
        return ""
    return f" {outside:,} of {of_all:,} scores lie above the panel: double-click on it to see them."
