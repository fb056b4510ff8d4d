"""Whole searches of the smallest model, and populations with made-up scores."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from tiny_model import choices, corruption, trial_arrays

from undertow.search import loop as search_loop
from undertow.search.executor import InProcess
from undertow.search.population import begin, groups_of
from undertow.search.records import Setup
from undertow.search.settings import Search
from undertow.search.space import resolve
from undertow.search.timetable import for_members, timetable
from undertow.training import loop
from undertow.training.loop import summarise

TRAIN, VALID = trial_arrays(), trial_arrays(6, seed=1, first=12)


def setup_of(search: Search, chosen=None, *, seed=0, data=(TRAIN, VALID)) -> Setup:
    members = for_members(search, chosen or choices())
    space = resolve(search, members, summarise(data[0]), entries=20.0)
    return Setup(search, members, space, corruption(), data, seed)


def run(setup, folder, *, at_once=1, listen=lambda _: None, executor_for=InProcess):
    return search_loop.search(setup, executor_for, folder, at_once=at_once, listen=listen)


def beginning(setup):
    groups = groups_of(setup.search, setup.choices, setup.space, seed=setup.seed)
    times = timetable(setup.search, setup.choices)
    return groups, begin(groups, setup.space, setup.data[0], times, seed=setup.seed)


@cache
def _one_state():
    """A member before its first epoch."""
    return loop.beginning(choices(), TRAIN, seed=0)


def population(members=6, *, scores=None, seed=0):
    """The states of one group, with every array of every member its own, and the given smoothed scores."""
    rng = np.random.default_rng(seed)
    states = jax.tree.map(lambda leaf: _made_up(leaf, members, rng), _one_state())
    scores = jnp.asarray(rng.uniform(1, 2, members) if scores is None else scores, jnp.float32)
    selection = states.selection._replace(smoothed=scores, last=scores)
    return states._replace(selection=selection, failed_epochs=jnp.zeros(members, jnp.int32))


def _made_up(leaf, members, rng):
    if not isinstance(leaf, jax.Array):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.split(leaf, members)
    shape = (members, *leaf.shape)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return jnp.asarray(rng.uniform(0.01, 0.09, shape), leaf.dtype)
    return jnp.asarray(rng.integers(1, 1000, shape), leaf.dtype)


def plain(leaf) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def member_of(states, member):
    """One member's arrays by name, as NumPy's."""
    return {
        jax.tree_util.keystr(path): plain(leaf)[member]
        for path, leaf in jax.tree_util.tree_leaves_with_path(states)
        if isinstance(leaf, jax.Array)
    }
