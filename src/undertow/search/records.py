"""What a search writes down: its state, a line for each epoch and member, one for each generation; and what a listener hears."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.search.evolve import judged
from undertow.search.executor import Metrics, Stride
from undertow.search.population import Group, SearchState, epoch_of, values_of
from undertow.search.settings import Search
from undertow.search.space import Space
from undertow.search.timetable import Timetable, timetable
from undertow.training import checkpoint, journal
from undertow.training.loop import Choices
from undertow.training.opening import Opening

STATE = Path("state") / "population.safetensors"
METRICS = "metrics.jsonl"
GENERATIONS = "generations.jsonl"
CHECKPOINT_SECONDS = 10.0
CHECKPOINT_SHARE = 0.05
"""Writing the state may take at most this share of the time."""


class Setup(NamedTuple):
    """What a search is told: its settings, what all members share, the space, what is concealed, the trials, the seed, and the
    weights that members begin with in place of chance.
    """

    search: Search
    choices: Choices
    space: Space
    corruption: Corruption
    data: tuple[TrialArrays, TrialArrays]
    seed: int
    opening: Opening | None = None

    @property
    def timetable(self) -> Timetable:
        """When what happens."""
        return timetable(self.search, self.choices)


class Progress(NamedTuple):
    """What a listener hears after each stride. Scores are costs (nats an entry); `spread` is their standard deviation.

    `seconds_left` reckons with all generations; a search that settles earlier is earlier done. `lost` counts members replaced so
    far because their training broke down.
    """

    generation: int
    generations: int
    epoch: int
    epochs: int
    best: float
    median: float
    spread: float
    seconds: float
    seconds_left: float
    lost: int
    is_cooling: bool


class Ended(NamedTuple):
    """A generation that has ended, over all members: costs, groups, whose weights each goes on with, who broke down, numbers."""

    generation: int
    scores: list[float]
    groups: list[int]
    parents: list[int]
    lost: list[int]
    values: dict[str, list]

    @classmethod
    def of(cls, groups: tuple[Group, ...], state: SearchState, limits: list[float]) -> "Ended":
        """The generation at whose end `state` stands; everybody is its own parent. `limits` are the groups' (`breakdown.py`)."""
        members = sum(len(group.members) for group in groups)
        scores, number_of, lost = [0.0] * members, [0] * members, []
        values: dict[str, list] = {key: [None] * members for group in groups for key in group.values}
        for number, (group, states, limit) in enumerate(zip(groups, state.groups, limits, strict=True)):
            costs, is_lost = (np.asarray(array) for array in judged(states, limit))
            moving = values_of(group, states)
            for place, member in enumerate(group.members):
                scores[member], number_of[member] = float(costs[place]), number
                lost += [member] if is_lost[place] else []
                for key, fixed in group.values.items():
                    values[key][member] = float(moving[key][place]) if key in moving else fixed
        return cls(int(state.generation), scores, number_of, list(range(members)), sorted(lost), values)

    @property
    def best(self) -> float:
        """The lowest cost."""
        return min(self.scores)

    def with_parents(self, groups: tuple[Group, ...], parents: list) -> "Ended":
        """The same, after the tournaments of all groups."""
        chosen = list(self.parents)
        for group, own in zip(groups, parents, strict=True):
            for member, parent in zip(group.members, np.asarray(own), strict=True):
                chosen[member] = group.members[int(parent)]
        return self._replace(parents=chosen)


class Records:
    """The files of one search, and its listener."""

    def __init__(
        self,
        setup: Setup,
        groups: tuple[Group, ...],
        folder: Path,
        listen: Callable[[Progress], None],
        facts: dict[str, str],
    ):
        """Go on from the `facts` that are stored with the state; none before the first epoch."""
        now, seconds = time.monotonic(), float(facts.get("seconds", 0))
        self._table, self._groups, self._folder, self._listen = setup.timetable, groups, folder, listen
        self._begun, self._opened, self._due = now - seconds, now, now + CHECKPOINT_SECONDS
        self._lost = int(facts.get("lost", 0))
        self._first_epoch = 0

    def rewind(self, state: SearchState) -> None:
        """Forget what was written after `state`."""
        self._first_epoch = epoch_of(state)
        journal.rewind(self._folder / METRICS, epoch_of(state))
        journal.rewind(self._folder / GENERATIONS, int(state.generation), by="generation")

    def note(self, state: SearchState, stride: Stride) -> None:
        """Write the lines of some epochs, and the state if it is time to."""
        first = epoch_of(state) - len(stride.metrics)
        for number, metrics in enumerate(stride.metrics):
            journal.append(self._folder / METRICS, *self._lines(state, first + number, metrics))
        if time.monotonic() >= self._due:
            self._save(state)
        self._listen(self._progress(state, stride.metrics[-1]))

    def close_generation(self, state: SearchState, ended: Ended) -> None:
        """Write the generation's line, then the state that begins the next one."""
        line = {**ended._asdict(), "epoch": epoch_of(state), "seconds": round(self._seconds(), 3)}
        journal.append(self._folder / GENERATIONS, line)
        self._lost += len(ended.lost)
        self._save(state)

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _save(self, state: SearchState) -> None:
        begun = time.monotonic()
        facts = {"seconds": f"{self._seconds():.3f}", "lost": str(self._lost)}
        checkpoint.write(self._folder / STATE, state, facts=facts)
        ended = time.monotonic()
        self._due = ended + max(CHECKPOINT_SECONDS, (ended - begun) / CHECKPOINT_SHARE)

    def _lines(self, state: SearchState, epoch: int, metrics: list[Metrics]) -> list[journal.Line]:
        lines = []
        for group, states, numbers in zip(self._groups, state.groups, metrics, strict=True):
            columns = {**numbers, **values_of(group, states)}
            begins = {
                "epoch": epoch,
                "generation": int(state.generation),
                "seconds": round(self._seconds(), 3),
            }
            lines += [
                {
                    **begins,
                    "member": member,
                    **{name: float(values[place]) for name, values in columns.items()},
                }
                for place, member in enumerate(group.members)
            ]
        return lines

    def _progress(self, state: SearchState, metrics: list[Metrics]) -> Progress:
        scores = np.concatenate([numbers["selection_smoothed"] for numbers in metrics])
        finite = scores[np.isfinite(scores)] if np.isfinite(scores).any() else np.array([np.nan])
        epoch, is_searching = epoch_of(state), int(state.phase) == 0
        pace = (time.monotonic() - self._opened) / max(epoch - self._first_epoch, 1)
        return Progress(
            generation=int(state.generation),
            generations=self._table.generations,
            epoch=epoch,
            epochs=self._table.epochs,
            best=float(finite.min()),
            median=float(np.median(finite)),
            spread=float(finite.std()),
            seconds=self._seconds(),
            seconds_left=pace * ((self._table.epochs if is_searching else int(state.ends)) - epoch),
            lost=self._lost,
            is_cooling=int(state.phase) == 1,
        )
