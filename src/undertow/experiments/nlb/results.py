"""What a scoring found, and how it is shown: the scores as a table, beside what was published, with the guard's sentence."""

from dataclasses import dataclass, field
from typing import Any

from undertow.experiments.looks import Before

ORDER = ("co-bps", "vel R2", "tp corr", "psth R2", "fp-bps", "few-shot co-bps", "cycle R2")


@dataclass(frozen=True)
class Row:
    """One model's scores: `name`, numbers by the benchmark's names, and `note` (a source, a mark)."""

    name: str
    scores: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Scores of several models on one data set.

    Attributes:
        title: the data set, its bin width and the split.
        rows: own scores, best first where they are ranked.
        published: numbers from the literature, with their sources as notes; none for generated data.
        remarks: sentences below the table.
    """

    title: str
    rows: tuple[Row, ...]
    published: tuple[Row, ...] = ()
    remarks: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Plain nested values."""
        return {
            "title": self.title,
            "scores": {row.name: row.scores for row in self.rows},
            "published": [
                {"name": row.name, "scores": row.scores, "source": row.note} for row in self.published
            ],
            "remarks": list(self.remarks),
        }

    def __str__(self) -> str:
        """Aligned columns, one line a model."""
        every = (*self.rows, *self.published)
        found = {name for row in every for name in row.scores}
        columns = [name for name in ORDER if name in found]
        width = max(len(row.name) for row in every) + 2
        lines = [self.title, " " * (width + 2) + "".join(f"{name:>17}" for name in columns)]
        lines += [_line(row, columns, width) for row in self.rows]
        if self.published:
            lines += ["published:", *(_line(row, columns, width) for row in self.published)]
        return "\n".join([*lines, *self.remarks])


@dataclass(frozen=True)
class Scored:
    """What `undertow nlb score` found: a table for each data set of a submission, and the guard's knowledge.

    Attributes:
        reference: the scores as the reference's result structure has them.
        tables: for people.
        looks: what was known of the test split before, by group; nothing for validation targets.
    """

    reference: list[dict[str, dict[str, float]]]
    tables: tuple[Table, ...]
    looks: dict[str, Before] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Plain nested values: the reference's structure under "result", the guard under "looks"."""
        looks = {
            group: {"first_look": before.is_first, **before._asdict(), "sentence": before.sentence()}
            for group, before in self.looks.items()
        }
        return {
            "result": self.reference,
            "looks": looks,
            "tables": [table.document() for table in self.tables],
        }

    def __str__(self) -> str:
        """The tables below each other."""
        return "\n\n".join(str(table) for table in self.tables)


def _line(row: Row, columns: list[str], width: int) -> str:
    cells = "".join(f"{row.scores[name]:>17.4f}" if name in row.scores else f"{'':>17}" for name in columns)
    return f"  {row.name:<{width}}{cells}" + (f"  {row.note}" if row.note else "")
