"""The executor whose members are trained by Ray's workers, and to which the death of a worker costs time and nothing else.

Each worker is an actor that trains its parts of the population; weights move through Ray's object store. Before every stride this
process puts the state of each part there. It owns what it put, so the state outlives every worker: a part whose worker dies is
trained again from it, with the same keys, by a fresh worker on the same machine or else by one that lives.
"""

import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError

from undertow.search.executor import Stride, Work
from undertow.search.parts import (
    Place,
    Settings,
    Trained,
    bytes_of,
    divided,
    leaves_of,
    together,
)
from undertow.search.ray_workers.cluster import (
    Worker,
    connect,
    dismiss,
    hire,
    is_alive,
    leave,
    reason_of,
    requests_for,
)
from undertow.training.state import TrainState
from undertow.vocabulary import UndertowError

MOST_EPOCHS = 25
LONGEST_SECONDS = 60.0
"""A stride has at most so many epochs, and fewer if it would take longer: it is what a death costs, and how often one hears."""

MOST_DEATHS = 5
"""So many workers may die of the same part in one generation."""

ROOM = 3
"""The object store holds the states of all members so many times: as they went out, as they come back, and one to spare."""


class _Program(NamedTuple):
    """How often an epoch has been traced."""

    traces: int


class RayWorkers:
    """Trains the members on the workers of a Ray cluster (see `executor.Executor`)."""

    def __init__(
        self,
        work: Work,
        address: str = "auto",
        workers: int | None = None,
        *,
        say: Callable[[str], None],
    ):
        """Connect and hire.

        Args:
            work: what every executor needs to know.
            address: "local" starts Ray on this machine, "auto" finds the cluster that runs on it (or that RAY_ADDRESS names),
                anything else is a cluster's address. If this process is connected to Ray already, that cluster is used.
            workers: at most so many; if not given one a GPU, or one a machine where there are none.
            say: hears a sentence when a worker does not start, and when one dies.

        Raises:
            UndertowError: an address that does not answer, or a cluster in which no worker starts.
        """
        is_own = connect(address, ROOM * bytes_of(work))
        self._workers: list[Worker] = []
        self._close = weakref.finalize(self, leave, self._workers, is_own=is_own)
        self._work, self._say, self._settings = work, say, Settings.of_this_process()
        self._work_there = ray.put(work)
        sizes = [len(group.members) for group in work.groups]
        wanted = requests_for(ray.nodes(), sum(sizes), workers)
        self._workers += hire(dict(enumerate(wanted)), self._settings, say)
        if not self._workers:
            self.close()
            raise UndertowError(
                "No worker of Ray could be started; look at the cluster with `ray status`, and for undertow on its machines."
            )
        shares = divided(sizes, len(self._workers), at_once=work.at_once)
        carriers = zip(self._workers, shares, strict=True)
        self._carriers = [worker for worker, share in carriers for _ in share]
        self._parts = [part for share in shares for part in share]
        self._traces = [0] * len(self._parts)

    @property
    def places(self) -> list[Place]:
        """Where the workers run."""
        return [worker.place for worker in self._workers]

    @property
    def groups(self) -> list[_Program]:
        """How often each group's epoch has been traced, by the worker that traced it most."""
        traces = [0] * len(self._work.groups)
        for part, own in zip(self._parts, self._traces, strict=True):
            traces[part.group] = max(traces[part.group], own)
        return [_Program(most) for most in traces]

    def describe(self) -> str:
        """How members run, on what."""
        members = sum(len(group.members) for group in self._work.groups)
        machines = len({place.host for place in self.places})
        return (
            f"{_number(members, 'member')} shared among {_number(len(self._workers), 'worker')} of Ray on "
            f"{_number(machines, 'machine')}."
        )

    def advance(self, states: tuple[TrainState, ...], ratios: list[float]) -> Iterator[Stride]:
        """At most `MOST_EPOCHS` epochs a stride. The first stride is one epoch, which shows how long epochs take."""
        left, epochs, deaths = list(ratios), 1, Counter()
        while left:
            now, left = left[:epochs], left[epochs:]
            begun = time.monotonic()
            trained = self._trained(states, now, deaths)
            states, metrics = together(states, self._parts, trained)
            self._traces = [one.traces for one in trained]
            seconds = (time.monotonic() - begun) / len(now)
            epochs = max(1, min(MOST_EPOCHS, int(LONGEST_SECONDS / seconds)))
            yield Stride(states, metrics, [seconds] * len(now))

    def close(self) -> None:
        """Dismiss the workers, and end Ray if it was started here; also happens when nobody holds this object any more."""
        self._close()

    def _trained(self, states: tuple[TrainState, ...], ratios: list[float], deaths: Counter) -> list[Trained]:
        """Every part after these epochs, whoever dies on the way."""
        before = [ray.put(leaves_of(states[part.group], part.members)) for part in self._parts]
        running = {self._sent(number, before[number], ratios): number for number in range(len(self._parts))}
        carriers = dict(enumerate(self._carriers))
        trained: dict[int, Trained] = {}
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            number = running.pop(done)
            try:
                trained[number] = ray.get(done)
            except RayTaskError as error:
                raise _failure(error) from error
            except RayError as error:
                deaths[number] += 1
                self._check_curable(number, deaths, error)
                self._replace(carriers[number], error)
                carriers[number] = self._carriers[number]
                running[self._sent(number, before[number], ratios)] = number
        return [trained[number] for number in range(len(self._parts))]

    def _sent(self, number: int, before: Any, ratios: list[float]) -> Any:
        """The task of training part `number` from the state `before`."""
        train = self._carriers[number].actor.train
        return train.remote(number, self._parts[number], self._work_there, before, ratios)

    def _check_curable(self, number: int, deaths: Counter, error: RayError) -> None:
        if deaths[number] < MOST_DEATHS:
            return
        members = _listed(self._parts[number].numbers(self._work))
        raise UndertowError(
            f"{MOST_DEATHS} workers of Ray died in one generation while they trained {members}, the last on "
            f"{self._carriers[number].place.host} ({reason_of(error)}); look at that machine's memory, then give the same "
            "command again to go on."
        )

    def _replace(self, worker: Worker, error: RayError) -> None:
        """Find somebody else for the parts of a worker that is lost, unless that has been done."""
        if worker not in self._workers:
            return
        dismiss(worker)
        self._workers.remove(worker)
        again = {worker.number: worker.request} if is_alive(worker.request.node) else {}
        fresh = hire(again, self._settings, self._say)
        self._workers += fresh
        if not self._workers:
            raise UndertowError(
                f"The last worker of Ray died ({reason_of(error)}); once the cluster is back, give the same command to go on."
            )
        heir = fresh[0] if fresh else min(self._workers, key=self._carriers.count)
        members = _listed(self._members_of(worker))
        self._carriers = [heir if carrier == worker else carrier for carrier in self._carriers]
        kind = "a fresh" if fresh else "another"
        self._say(
            f"A worker of Ray on {worker.place.host} died ({reason_of(error)}); {kind} one on {heir.place.host} trains {members} "
            "again, from the same state with the same keys."
        )

    def _members_of(self, worker: Worker) -> list[int]:
        carried = zip(self._parts, self._carriers, strict=True)
        return [
            member for part, carrier in carried if carrier == worker for member in part.numbers(self._work)
        ]


def _failure(error: RayTaskError) -> UndertowError:
    """What a person is told when training itself failed."""
    cause = error.cause
    if isinstance(cause, UndertowError):
        return UndertowError(str(cause))
    return UndertowError(
        f"Training failed on a worker of Ray ({type(cause).__name__}: {reason_of(cause)}); if memory is short, use more workers "
        "or a smaller training.batch_size."
    )


def _listed(members: Sequence[int]) -> str:
    numbers = ", ".join(str(member) for member in sorted(members))
    return f"member{'s' * (len(members) != 1)} {numbers}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
