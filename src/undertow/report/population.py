"""What a report knows of a search: scores, ancestors and numbers of every member as arrays, and what follows from them.

`Population.of` reads the plain dictionary that `page.write` takes. Members and generations are counted from 0, as in
`generations.jsonl`; scores are costs in nats an entry, so that lower is better, and NaN where a member broke down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_EDGE_SHARE = 0.02  # a value nearer to an end than this share of the range lies at its edge


@dataclass(frozen=True)
class Selected:
    """Which weights were kept: those of `member` after `epoch` (-1: the last ones), in `generation`, and their score."""

    member: int
    generation: int
    epoch: int
    score: float


@dataclass(frozen=True)
class Number:
    """A number that the search moved between `low` and `high`: its `values` (generation, member) and the selected one.

    `is_added` where perturbations add and do not multiply; `is_confined` where no member may leave the range.
    """

    key: str
    low: float
    high: float
    is_added: bool
    is_confined: bool
    values: np.ndarray
    selected: float

    @property
    def edge(self) -> str:
        """The end of the range at which the selected value lies: "lower", "upper" or "".

        A lower end of 0 is none, for nothing lies beyond, and neither is an end that members could cross.
        """
        if not self.is_confined:
            return ""
        place = self._place(self.selected)
        if place < _EDGE_SHARE and self.low > 0:
            return "lower"
        return "upper" if place > 1 - _EDGE_SHARE else ""

    def _place(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1; by ratios where perturbations multiply."""
        if self.is_added:
            return (value - self.low) / (self.high - self.low)
        return float(np.log(max(value, 1e-300) / self.low) / np.log(self.high / self.low))


@dataclass(frozen=True)
class Choice:
    """A size or a category that was searched by a list: the value of every member, and the selected one."""

    key: str
    values: tuple
    selected: object


@dataclass(frozen=True)
class Breakdown:
    """A member whose training broke down in a generation, and who took its place (None: nobody)."""

    member: int
    generation: int
    heir: int | None


@dataclass(frozen=True)
class Population:
    """A finished search.

    Attributes:
        algorithm: "population", "random" or "single".
        scores: (generation, member) at each generation's end; NaN where a member had broken down.
        parents: (generation, member) whose weights each member goes on with afterwards.
        lost: for each generation the members that had broken down at its end.
        epochs: (generation) epochs trained at its end.
        groups: (member) the number of the group that shares a program.
        lineage: the members that held the winner's ancestors, one a generation, up to the winner.
        numbers: what moved within a range.
        choices: what was searched by a list.
        selected: the weights that were kept.
        selected_on: the score, in words.
        ensemble: how many models are averaged; 1 is none.
        settled: whether the search ended because it gained nothing more.
        warning: why the score cannot be trusted, or None.
    """

    algorithm: str
    scores: np.ndarray
    parents: np.ndarray
    lost: tuple[tuple[int, ...], ...]
    epochs: np.ndarray
    groups: np.ndarray
    lineage: np.ndarray
    numbers: tuple[Number, ...]
    choices: tuple[Choice, ...]
    selected: Selected
    selected_on: str
    ensemble: int
    settled: bool
    warning: str | None

    @classmethod
    def of(cls, told: Mapping) -> Population:
        """The population that a plain dictionary tells of (see `page.write`)."""
        lines, selected = told["generations"], told["selected"]
        scores = np.array([line["scores"] for line in lines], float)
        return cls(
            algorithm=told["algorithm"],
            scores=np.where(np.isfinite(scores), scores, np.nan),
            parents=np.array([line["parents"] for line in lines], int),
            lost=tuple(tuple(line["lost"]) for line in lines),
            epochs=np.array([line["epoch"] for line in lines], int),
            groups=np.array(lines[-1]["groups"], int),
            lineage=np.array(told["lineage"], int),
            numbers=tuple(_number(told, key) for key, where in told["ranges"].items() if where),
            choices=tuple(_choice(told, key) for key, where in told["ranges"].items() if not where),
            selected=Selected(*(selected[name] for name in ("member", "generation", "epoch", "score"))),
            selected_on=told["selected_on"],
            ensemble=told["ensemble"],
            settled=told["settled"],
            warning=told["warning"],
        )

    @property
    def is_evolved(self) -> bool:
        """Whether members copied each other."""
        return self.algorithm == "population"

    @cached_property
    def is_copy(self) -> np.ndarray:
        """(generation, member) bool: whether a member began the generation with the weights of another."""
        own = np.arange(self.parents.shape[1])
        return np.vstack([np.zeros_like(own, bool), self.parents[:-1] != own])

    @cached_property
    def best(self) -> np.ndarray:
        """(generation) the lowest score; NaN where nobody had any."""
        return np.fmin.reduce(self.scores, axis=1)

    @cached_property
    def median(self) -> np.ndarray:
        """(generation) the median score of those that had not broken down."""
        rows = (row[np.isfinite(row)] for row in self.scores)
        return np.array([np.median(row) if row.size else np.nan for row in rows])

    @cached_property
    def breakdowns(self) -> tuple[Breakdown, ...]:
        """Every breakdown once, in order; a member that nobody replaced is named for its first generation only."""
        found = []
        for generation, members in enumerate(self.lost):
            before = self.lost[generation - 1] if generation else ()
            for member in members:
                if member not in before or self.is_copy[generation, member]:
                    heir = int(self.parents[generation, member])
                    found.append(Breakdown(member, generation, None if heir == member else heir))
        return tuple(found)

    @property
    def survivors(self) -> np.ndarray:
        """Members that had a score at the end; everybody if nobody had."""
        finite = np.isfinite(self.scores[-1])
        return np.flatnonzero(finite) if finite.any() else np.arange(finite.size)

    def along_lineage(self, values: np.ndarray) -> np.ndarray:
        """Entries of `values` (generation, member) along the winner's lineage, (generation up to the winner)."""
        return values[np.arange(len(self.lineage)), self.lineage]


def _number(told: Mapping, key: str) -> Number:
    where = told["ranges"][key]
    values = np.array([line["values"][key] for line in told["generations"]], float)
    evolves = told["algorithm"] == "population"
    return Number(
        key=key,
        low=where["low"],
        high=where["high"],
        is_added=where["is_added"],
        is_confined=not evolves or where.get("is_bounded", True),
        values=values,
        selected=float(told["selected"]["values"][key]),
    )


def _choice(told: Mapping, key: str) -> Choice:
    """Of a size the selected value is that of the winner's group; a number given by a list is told with the selected ones."""
    selected, values = told["selected"], tuple(told["generations"][-1]["values"][key])
    of_winner = told["generations"][selected["generation"]]["values"][key][selected["member"]]
    return Choice(key, values, selected["values"].get(key, of_winner))
