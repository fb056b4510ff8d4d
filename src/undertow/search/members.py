"""One epoch of all members as one compiled program: one after another, side by side, or in between; over all local devices.

`lax.map` runs members one after another, `vmap` side by side. `at_once` says how many side by side: 1, all, or a divisor of the
members when memory is short. With several local devices each holds an equal share of the members.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.training.loop import Choices, epoch_of, plan_of
from undertow.training.state import TrainState
from undertow.training.step import step

GAIN = 1.1
"""Side by side must be so many times faster than one after another to be chosen: it takes the memory of all members."""

PROBED_MEMBERS = 8
PROBE_REPEATS = 5
SHARE_OF_MEMORY = 0.9


class Speed(NamedTuple):
    """What a probe measured: members side by side, and seconds of one member's update and validation of one batch."""

    at_once: int
    update: float
    seconds: dict[int, float]


class MemberEpochs:
    """The compiled epoch of one group of members on this process's devices.

    Attributes:
        at_once: members side by side on each device.
        devices: how many devices share the members.
        traces: how often the epoch has been traced.
    """

    def __init__(
        self,
        choices: Choices,
        corruption: Corruption,
        data: tuple[TrialArrays, TrialArrays],
        *,
        at_once: int,
        memory: int | None = None,
    ):
        self._epoch = epoch_of(choices, corruption, data[0])
        self._data = tuple(jax.tree.map(jnp.asarray, arrays) for arrays in data)
        self._memory = memory
        self._compiled = None
        self._place = None
        self.at_once, self.devices = at_once, 1

    @property
    def traces(self) -> int:
        """How often the epoch has been traced."""
        return self._epoch.traces

    def advance(self, states: TrainState) -> tuple[TrainState, dict[str, np.ndarray]]:
        """One epoch of every member; `states` is used up. Metrics are (member,) arrays."""
        changing, static = eqx.partition(states, eqx.is_array)
        if self._compiled is None:
            self._compile(changing, static)
        changing, metrics = self._compiled(jax.device_put(changing, self._place), *self._data)
        return eqx.combine(changing, static), {name: np.asarray(value) for name, value in metrics.items()}

    def _compile(self, changing, static) -> None:
        members = jax.tree.leaves(changing)[0].shape[0]
        self.devices = max(n for n in range(1, jax.local_device_count() + 1) if members % n == 0)
        mesh = Mesh(np.array(jax.local_devices()[: self.devices]), ("member",))
        self._place = NamedSharding(mesh, PartitionSpec("member"))
        everywhere = NamedSharding(mesh, PartitionSpec())
        self._data = tuple(jax.device_put(arrays, everywhere) for arrays in self._data)
        own = members // self.devices
        limit = device_memory() if self._memory is None else self._memory
        self.at_once = _divisor(own, self.at_once)
        while True:
            program = self._program(static, mesh).lower(jax.device_put(changing, self._place), *self._data)
            self._compiled = program.compile()
            if self.at_once == 1 or _bytes_of(self._compiled) <= SHARE_OF_MEMORY * limit:
                return
            self.at_once = _divisor(own, self.at_once - 1)

    def _program(self, static, mesh):
        def one(changing, train, valid):
            state, metrics = self._epoch(eqx.combine(changing, static), train, valid)
            return eqx.filter(state, eqx.is_array), metrics

        def share(changing, train, valid):
            return over_members(lambda member: one(member, train, valid), changing, at_once=self.at_once)

        if self.devices > 1:
            by_member, everywhere = PartitionSpec("member"), PartitionSpec()
            share = jax.shard_map(
                share,
                mesh=mesh,
                in_specs=(by_member, everywhere, everywhere),
                out_specs=by_member,
                check_vma=False,
            )
        return jax.jit(share, donate_argnums=0)


def over_members(one: Callable, members, *, at_once: int):
    """`one` mapped over the leading axis of every array in `members`, `at_once` of them side by side."""
    count = jax.tree.leaves(members)[0].shape[0]
    if at_once == 1:
        return jax.lax.map(one, members)
    if at_once == count:
        return jax.vmap(one)(members)
    folded = jax.tree.map(lambda leaf: leaf.reshape(count // at_once, at_once, *leaf.shape[1:]), members)
    mapped = jax.lax.map(jax.vmap(one), folded)
    return jax.tree.map(lambda leaf: leaf.reshape(count, *leaf.shape[2:]), mapped)


def probe(choices: Choices, corruption: Corruption, train: TrialArrays, states: TrainState) -> Speed:
    """Measure one update of a few members one after another and side by side, and choose the faster way."""
    members = min(states.epoch.shape[0], PROBED_MEMBERS)
    few = jax.tree.map(lambda leaf: leaf[:members] if eqx.is_array(leaf) else leaf, states)
    changing, static = eqx.partition(few, eqx.is_array)
    plan = plan_of(choices, corruption, train)
    batch = jax.tree.map(lambda array: jnp.asarray(array[: plan.batch_size]), train)

    def one(changing, batch):
        state, _ = step(plan, eqx.combine(changing, static), batch, key=jax.random.key(0))
        return eqx.filter(state, eqx.is_array)

    def update(at_once, changing, batch):
        return over_members(lambda member: one(member, batch), changing, at_once=at_once)

    ways = sorted({1, members})
    programs = {way: jax.jit(partial(update, way)) for way in ways}
    seconds = {way: [] for way in ways}
    for repeat in range(PROBE_REPEATS + 1):
        for way, program in programs.items():
            begun = time.perf_counter()
            jax.block_until_ready(program(changing, batch))
            seconds[way] += [(time.perf_counter() - begun) / members] if repeat else []
    medians = {way: statistics.median(taken) for way, taken in seconds.items()}
    side_by_side = medians[members] * GAIN < medians[1]
    return Speed(states.epoch.shape[0] if side_by_side else 1, min(medians.values()), medians)


def device_memory() -> int:
    """Bytes that programs may use on a device: what the device says, else the free memory of the machine."""
    statistics_of_device = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics_of_device:
        return int(statistics_of_device["bytes_limit"])
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 1 << 62


def _divisor(members: int, at_most: int) -> int:
    """The largest number of members side by side that leaves none over."""
    return max(n for n in range(1, min(members, at_most) + 1) if members % n == 0)


def _bytes_of(compiled) -> int:
    """What a compiled program needs: arguments, results that are not in their place, and scratch."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    parts = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(getattr(analysis, part) for part in parts) - analysis.alias_size_in_bytes
