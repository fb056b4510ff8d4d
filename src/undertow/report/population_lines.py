"""What figures draw of a search: which members, their courses as one broken line, and limits that tell scores apart."""

from __future__ import annotations

import numpy as np

from undertow.report import excerpt
from undertow.report.population import Number, Population

COLUMNS = 3  # panels side by side
_MAX_POINTS = 30_000  # in all panels together
_LEAST_MEMBERS = 8
_HEADROOM = 6.0  # a panel's height in distances between the best score and the better quarter's


def drawn_members(population: Population) -> np.ndarray:
    """The members that figures draw: all, or of very many an even selection."""
    generations, members = population.scores.shape
    points = generations * (1 + len(population.numbers))
    return excerpt.evenly(np.arange(members), max(_LEAST_MEMBERS, _MAX_POINTS // points))


def score_limits(population: Population) -> tuple[float, float]:
    """The ends of an axis of all scores, the selected one included."""
    selected = np.full_like(population.scores[-1:], population.selected.score)
    return telling_limits(np.append(population.scores, selected, axis=0))


def final_scores(population: Population) -> np.ndarray:
    """Every member's score at the end, (member); the winner's is the one it was selected with."""
    scores = population.scores[-1].copy()
    scores[population.selected.member] = population.selected.score
    return scores


def generation_limits(population: Population) -> list[float]:
    """The ends of an axis of generations."""
    margin = max(0.5, 0.02 * len(population.epochs))
    return [-margin, len(population.epochs) - 1 + margin]


def value_ticks(number: Number) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, between them 2 and 5 where the axis spans little."""
    positive = np.append(number.values[number.values > 0], [number.low, number.high])
    first, last = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    step = max(1, -(-int(last - first) // 6))
    digits = (1, 2, 5) if last - first < 3 else (1,)
    decades = np.arange(first, last + 1, step)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    return [value for value in ticks if positive.min() * 0.99 <= value <= positive.max() * 1.01]


def telling_limits(scores: np.ndarray) -> tuple[float, float]:
    """Limits of an axis on which scores (generation, member) can be told apart, though some may have exploded.

    From the lowest score to the highest that lies no more than six times as far above it as the better quarter of the members
    does in any generation but the first tenth, where scores plunge.
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    late = [row[np.isfinite(row)] for row in scores[len(scores) // 10 :]]
    quarters = [np.quantile(row, 0.25, method="lower") for row in late if row.size]
    if quarters and max(quarters) > low:
        reach = low + _HEADROOM * (float(max(quarters)) - low)
        high = float(finite[finite <= reach].max())
    margin = 0.06 * (high - low) or 0.05 * abs(low) or 1.0
    return low - margin, high + margin


def broken_lines(
    population: Population, values: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The courses of some members as one line, broken by NaN between members and where one began as a copy of another.

    Args:
        population: who copied whom.
        values: (generation, member).
        members: those to draw.

    Returns:
        generation, member and value of each point.
    """
    generations, pieces = np.arange(float(len(values))), []
    for member in members:
        cuts = np.append(np.flatnonzero(population.is_copy[:, member]), len(values))
        course = np.stack([generations, np.full(len(values), float(member)), values[:, member]])
        pieces.append(np.insert(course, cuts, np.nan, axis=1))
    return tuple(np.concatenate([np.empty((3, 0)), *pieces], axis=1))


def copies(population: Population, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Generation and member wherever one of `members` began as a copy of another."""
    generations, places = np.nonzero(population.is_copy[:, members])
    return generations, members[places]
