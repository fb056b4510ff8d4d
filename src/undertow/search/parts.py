"""A population in parts that travel: who trains which members, a part as plain arrays, and its training in another process.

Nothing here knows how parts travel. A part keeps its members for the whole search, so that whoever trains it runs the same
program, and a part that is lost comes out the same to the bit when it is trained again.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.search.executor import InProcess, Metrics, Work, part_of
from undertow.training.loop import begin_from, summarise
from undertow.training.state import TrainState

NUMERIC_SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_numpy_rank_promotion",
    "jax_threefry_partitionable",
)
"""JAX's settings that decide numbers."""

CACHE_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)
"""JAX's settings of the cache of compiled programs, which suits one kind of machine only."""


class Part(NamedTuple):
    """Some members of one group, by its number and their places in it."""

    group: int
    members: slice

    def of(self, work: Work) -> Work:
        """The work of this part alone."""
        group = work.groups[self.group]
        return work._replace(groups=(group._replace(members=group.members[self.members]),))

    def numbers(self, work: Work) -> tuple[int, ...]:
        """The members' numbers in the population."""
        return work.groups[self.group].members[self.members]


class Settings(NamedTuple):
    """What another process takes over from this one: JAX's settings, and on which machine its cache lies."""

    numeric: dict[str, Any]
    cache: dict[str, Any]
    host: str

    @classmethod
    def of_this_process(cls) -> "Settings":
        """This process's."""
        numeric, cache = (
            {name: jax.config.values[name] for name in names} for names in (NUMERIC_SETTINGS, CACHE_SETTINGS)
        )
        return cls(numeric, cache, socket.gethostname())

    def apply(self) -> None:
        """Take them over in the process that calls this."""
        cache = self.cache if socket.gethostname() == self.host else {}
        for name, value in {**self.numeric, **cache}.items():
            jax.config.update(name, value)


class Place(NamedTuple):
    """Where a process runs."""

    host: str
    process: int


class Trained(NamedTuple):
    """A part after some epochs: its arrays, every epoch's metrics, and how often its epoch has been traced."""

    leaves: list[np.ndarray]
    metrics: list[Metrics]
    traces: int


class PartTrainer:
    """Trains parts of the population in a process of its own, each with the program compiled for it."""

    def __init__(self, settings: Settings):
        settings.apply()
        self._parts: dict[int, tuple[InProcess, TrainState]] = {}

    def place(self) -> Place:
        """Where it runs."""
        return Place(socket.gethostname(), os.getpid())

    def train(
        self, number: int, part: Part, work: Work, leaves: Sequence[np.ndarray], ratios: list[float]
    ) -> Trained:
        """Part `number` after one epoch for each of `ratios` (see `Executor.advance`), from the state that `leaves` hold."""
        if number not in self._parts:
            self._parts[number] = InProcess(part.of(work)), frame_of(work, part.group)
        executor, frame = self._parts[number]
        states, metrics = (with_leaves(frame, leaves),), []
        for stride in executor.advance(states, ratios):
            states = stride.states
            metrics += [of_groups[0] for of_groups in stride.metrics]
        return Trained(leaves_of(states[0], slice(None)), metrics, executor.groups[0].traces)


def divided(sizes: Sequence[int], workers: int, *, at_once: int) -> list[list[Part]]:
    """The parts of every worker, whose numbers of members differ by at most one; no worker is without members.

    Members that run one after another cost what their group's program costs, so they are dealt out in turn and each worker has
    its share of every group. Members that run side by side cost little more than one, so a worker has neighbours, of few groups.

    Args:
        sizes: members of each group; at least as many in all as workers.
        workers: how many.
        at_once: members that run side by side.
    """
    total, shares = sum(sizes), [[] for _ in range(workers)]
    starts = np.cumsum([0, *sizes])
    for group, (start, size) in enumerate(zip(starts[:-1].tolist(), sizes, strict=True)):
        for worker, share in enumerate(shares):
            first, last = worker * total // workers, (worker + 1) * total // workers
            in_turn = slice((worker - start) % workers, size, workers)
            neighbours = slice(min(max(first - start, 0), size), min(max(last - start, 0), size), 1)
            members = in_turn if at_once == 1 else neighbours
            share += [Part(group, members)] if range(size)[members] else []
    return shares


def frame_of(work: Work, group: int) -> TrainState:
    """The structure of one member's state, with shapes in place of arrays."""
    choices, summary = work.groups[group].choices, summarise(work.data[0])
    key = jax.random.key(0)
    return eqx.filter_eval_shape(begin_from, choices, summary, key, summary.mean, summary.variance)


def bytes_of(work: Work) -> int:
    """Bytes of the states of all members."""
    frames = [frame_of(work, number) for number in range(len(work.groups))]
    sizes = [
        sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(frame) if _is_shaped(leaf))
        for frame in frames
    ]
    return sum(size * len(group.members) for size, group in zip(sizes, work.groups, strict=True))


def leaves_of(states: TrainState, members: slice) -> list[np.ndarray]:
    """Every array of some members, in the order of the tree."""
    return jax.tree.leaves(part_of(eqx.filter(states, eqx.is_array), members))


def with_leaves(frame: TrainState, leaves: Sequence[np.ndarray]) -> TrainState:
    """States of the structure of `frame` that hold `leaves`, in memory of their own."""
    shaped, static = eqx.partition(frame, _is_shaped)
    known, structure = jax.tree.flatten(shaped)
    arrays = [_like(one, leaf) for one, leaf in zip(known, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, arrays), static)


def together(
    states: tuple[TrainState, ...], parts: Sequence[Part], trained: Sequence[Trained]
) -> tuple[tuple[TrainState, ...], list[list[Metrics]]]:
    """The population put together from its trained parts, and every epoch's metrics of every group; `states` are those before."""
    after, metrics = [], []
    for group, before in enumerate(states):
        own = [(part.members, one) for part, one in zip(parts, trained, strict=True) if part.group == group]
        size = before.epoch.shape[0]
        after.append(with_leaves(before, _joined([(members, one.leaves) for members, one in own], size)))
        metrics.append(_joined([(members, one.metrics) for members, one in own], size))
    return tuple(after), [list(of_groups) for of_groups in zip(*metrics, strict=True)]


def _joined(pieces: Sequence[tuple[slice, Any]], size: int) -> Any:
    """Trees of arrays over some members each, put together over all `size` members."""
    whole = jax.tree.map(lambda leaf: np.empty((size, *leaf.shape[1:]), leaf.dtype), pieces[0][1])
    for members, piece in pieces:
        for array, leaf in zip(jax.tree.leaves(whole), jax.tree.leaves(piece), strict=True):
            array[members] = leaf
    return whole


def _is_shaped(leaf) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _like(known, leaf: np.ndarray) -> jax.Array:
    is_key = jnp.issubdtype(known.dtype, jax.dtypes.prng_key)
    array = jnp.array(leaf)
    return jax.random.wrap_key_data(array) if is_key else array
