"""Milliseconds of one member's epoch in populations of several sizes, beside a single model's, in one run.

    python benchmarks/population.py [--repeats 9] [--large] [--model small|default]

Each population is trained as a search trains it, as one compiled program an epoch, with its members one after another and side by
side; every member has numbers of its own. A single model is trained as a fit trains it. Medians of interleaved repeats, with the
10th and 90th percentile; the ratio is that of one member's epoch to the single model's. On an accelerator also the whole
population's epoch over that of a population of one. Each row ends with how often the epoch was traced: once, although members are
exchanged and their numbers move between the repeats.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.experiments import cache
from undertow.models.lfads import LFADS
from undertow.search.evolve import inherit
from undertow.search.members import MemberEpochs
from undertow.search.population import begin, groups_of
from undertow.search.settings import Search
from undertow.search.timetable import timetable
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training, beginning, epoch_of
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser

POPULATIONS = (1, 4, 8, 20)
LARGE = 64
SIZES = {
    "small": {"trials": 256, "neurons": 30, "bins": 50, "model": {"generator": 64, "factors": 20}},
    "default": {"trials": 256, "neurons": 137, "bins": 100, "model": {"generator": 100, "factors": 20}},
}
PERTURBED = 0.8


def simulated(size, *, seed):
    """Poisson counts of this size."""
    counts = np.random.default_rng(seed).poisson(0.2, (size["trials"], size["bins"], size["neurons"]))
    counts = counts.astype(np.float32)
    return TrialArrays(
        counts, np.zeros((*counts.shape[:2], 0), np.float32), np.arange(len(counts), dtype=np.int32)
    )


def parts_of(size):
    """The choices, what is concealed (nothing), training trials and a quarter as many for validation."""
    choices = Choices(LFADS(**size["model"]), Training(), Optimiser(), Objective(), CorruptionConfig())
    corruption = Corruption(
        jnp.zeros(size["neurons"], bool), jnp.zeros(size["bins"], bool), moves_spikes=False
    )
    valid = simulated({**size, "trials": size["trials"] // 4}, seed=1)
    return choices, corruption, (simulated(size, seed=0), valid)


class Single:
    """A single model's epoch, compiled as a fit compiles it."""

    def __init__(self, choices, corruption, data):
        self._epoch = epoch_of(choices, corruption, data[0])
        self._data = jax.tree.map(jnp.asarray, data)
        self._changing, static = eqx.partition(beginning(choices, data[0], seed=0), eqx.is_array)

        def run(changing, train, valid):
            state, metrics = self._epoch(eqx.combine(changing, static), train, valid)
            return eqx.filter(state, eqx.is_array), metrics

        self._compiled = jax.jit(run, donate_argnums=0)

    @property
    def traces(self):
        """How often the epoch has been traced."""
        return self._epoch.traces

    def run(self):
        """One epoch."""
        self._changing, metrics = self._compiled(self._changing, *self._data)
        jax.block_until_ready((self._changing, metrics))


class Population:
    """So many members' epoch, compiled as a search compiles it."""

    def __init__(self, parts, members, *, at_once):
        choices, corruption, data = parts
        search = Search(algorithm="random", members=members)
        space = {key: where for key, where in choices.model.space.items() if where.unit == "own"}
        groups = groups_of(search, choices, space, seed=0)
        self._states = begin(groups, space, data[0], timetable(search, choices), seed=0).groups[0]
        self._epochs = MemberEpochs(choices, corruption, data, at_once=at_once)
        self._members = members

    @property
    def traces(self):
        """How often the epoch has been traced."""
        return self._epochs.traces

    def run(self):
        """One epoch of every member."""
        self._states, _ = self._epochs.advance(self._states)
        jax.block_until_ready(eqx.filter(self._states, eqx.is_array))

    def turn(self):
        """Copy every member's neighbour onto it, and move a number."""
        states = inherit(self._states, jnp.roll(jnp.arange(self._members), 1))
        numbers = states.hyperparameters
        moved = numbers._replace(learning_rate=PERTURBED * numbers.learning_rate)
        self._states = states._replace(hyperparameters=moved)
        jax.block_until_ready(eqx.filter(self._states, eqx.is_array))


def programs(parts, populations):
    """What is measured, by (members, way); the single model is (1, "single")."""
    found = {(1, "single"): Single(*parts)}
    for members in populations:
        found[members, "one after another"] = Population(parts, members, at_once=1)
        if members > 1:
            found[members, "side by side"] = Population(parts, members, at_once=members)
    return found


def measure(found, repeats):
    """Milliseconds a member of every repeat, by program. In between, populations exchange members."""
    taken = {name: [] for name in found}
    for repeat in range(repeats + 1):
        for (members, way), program in found.items():
            begun = time.perf_counter()
            program.run()
            taken[members, way] += [1e3 * (time.perf_counter() - begun) / members] if repeat else []
            if isinstance(program, Population):
                program.turn()
    return taken


def show(found, taken):
    """Print a row for each program."""
    middle = {name: np.median(values) for name, values in taken.items()}
    single, first = middle[1, "single"], middle[1, "one after another"]
    is_accelerated = jax.default_backend() != "cpu"
    for (members, way), values in taken.items():
        low, high = np.percentile(values, [10, 90])
        cost = middle[members, way]
        ratios = f"{cost / single:5.2f} x a single model's"
        whole = f", whole population {members * cost / first:5.2f} x one member" if is_accelerated else ""
        figures = f"{cost:8.1f} ms a member ({low:.1f} to {high:.1f})"
        print(f"{members:>3} {way:<18} {figures}  {ratios}{whole}, {found[members, way].traces} trace(s)")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--large", action="store_true", help=f"also {LARGE} members")
    parser.add_argument("--model", choices=list(SIZES), default="small")
    parser.add_argument("--members", type=int, nargs="+", default=list(POPULATIONS))
    arguments = parser.parse_args()
    size = SIZES[arguments.model]
    populations = [*arguments.members, *([LARGE] if arguments.large else [])]
    print(
        f"{jax.devices()[0].device_kind}: " + ", ".join(f"{name} {value}" for name, value in size.items()),
        flush=True,
    )
    cache.switch_on()
    found = programs(parts_of(size), populations)
    show(found, measure(found, arguments.repeats))


if __name__ == "__main__":
    main()
