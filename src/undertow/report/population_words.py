"""Words for what happened in a search, as sections and findings write them."""

from __future__ import annotations

from undertow.report.population import Breakdown, Number

_NAMED = 12


def named(breakdowns: tuple[Breakdown, ...]) -> str:
    """Breakdowns with member, generation and what came of them; of many the first twelve."""
    listed = "; ".join(
        f"member {one.member} in generation {one.generation} "
        + ("(not replaced)" if one.heir is None else f"(replaced by a copy of member {one.heir})")
        for one in breakdowns[:_NAMED]
    )
    more = len(breakdowns) - _NAMED
    return listed + (f"; and {more} more" if more > 0 else "")


def counted(number: int, word: str) -> str:
    """A number with its noun, in the plural where it has to be."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")


def range_of(number: Number) -> str:
    """The range of a number in words."""
    return f"{number.low:.3g} to {number.high:.3g}"
