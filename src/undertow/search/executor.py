"""Who trains the members: an executor takes the population through the epochs of a generation.

Between generations an executor remembers nothing that matters: the population's state comes in and goes out. So any executor can
go on from any other's state, and a part that is lost can be trained again from the state before.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.search.members import MemberEpochs
from undertow.search.population import Group
from undertow.training.state import TrainState

Metrics = dict[str, np.ndarray]
"""Of one epoch and one group: every named number of the journal, (member,)."""


class Stride(NamedTuple):
    """The population after some epochs: its states, and for each of these epochs every group's metrics and the seconds."""

    states: tuple[TrainState, ...]
    metrics: list[list[Metrics]]
    seconds: list[float]


class Work(NamedTuple):
    """What every executor needs to know: the groups, what is concealed, and training and validation trials."""

    groups: tuple[Group, ...]
    corruption: Corruption
    data: tuple[TrialArrays, TrialArrays]
    at_once: int


class Executor(Protocol):
    """See the module."""

    def advance(self, states: tuple[TrainState, ...], ratios: list[float]) -> Iterator[Stride]:
        """Train one epoch for each of `ratios`, by which every learning rate is multiplied before that epoch.

        The states that come in are used up. Yields at least once; the last stride ends the last epoch.
        """

    def describe(self) -> str:
        """One sentence: how members run, on what."""


class InProcess:
    """Trains all members in this process, on its devices."""

    def __init__(self, work: Work, *, memory: int | None = None):
        self.groups = [
            MemberEpochs(group.choices, work.corruption, work.data, at_once=work.at_once, memory=memory)
            for group in work.groups
        ]

    def advance(self, states: tuple[TrainState, ...], ratios: list[float]) -> Iterator[Stride]:
        """One stride an epoch."""
        for ratio in ratios:
            begun = time.monotonic()
            outcomes = [
                epochs.advance(with_ratio(state, ratio))
                for epochs, state in zip(self.groups, states, strict=True)
            ]
            states = tuple(state for state, _ in outcomes)
            yield Stride(states, [[metrics for _, metrics in outcomes]], [time.monotonic() - begun])

    def describe(self) -> str:
        """How members run, on what."""
        device, devices = jax.local_devices()[0], self.groups[0].devices
        at_once = self.groups[0].at_once
        way = "one after another" if at_once == 1 else f"{at_once} side by side"
        where = (
            f"{devices} devices ({device.device_kind}), each with an equal share"
            if devices > 1
            else device.device_kind
        )
        return f"Members run {way} on {where}."


def with_ratio(states: TrainState, ratio: float) -> TrainState:
    """The states with every learning rate multiplied by `ratio`."""
    if ratio == 1.0:
        return states
    plateau = states.plateau
    return states._replace(plateau=plateau._replace(scale=plateau.scale * jnp.float32(ratio)))


def part_of(states: TrainState, members: slice) -> TrainState:
    """Some members of a group, as NumPy arrays that can travel (keys as their words)."""
    return jax.tree.map(lambda leaf: plain(leaf)[members] if eqx.is_array(leaf) else leaf, states)


def plain(leaf) -> np.ndarray:
    """An array as NumPy's, a random key as its words."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)
