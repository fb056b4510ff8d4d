"""Parts of a population: who trains which, arrays out and in again, and a trainer that does what this process does."""

import sys

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_material import beginning, population, setup_of
from tiny_model import same_bits

from undertow.search.executor import InProcess, Work
from undertow.search.parts import (
    Part,
    PartTrainer,
    Settings,
    Trained,
    bytes_of,
    divided,
    frame_of,
    leaves_of,
    together,
    with_leaves,
)
from undertow.search.settings import Search
from undertow.vocabulary import UndertowError

sizes_and_workers = st.lists(st.integers(1, 9), min_size=1, max_size=5).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(1, sum(sizes)))
)


@pytest.fixture(scope="module")
def two_groups():
    setup = setup_of(Search(members=5, space={"tiny.width": (2, 3)}))
    groups, state = beginning(setup)
    return Work(groups, setup.corruption, setup.data, at_once=1), state


def members_of(sizes, share):
    return [(part.group, place) for part in share for place in range(sizes[part.group])[part.members]]


@given(sizes_and_workers, st.sampled_from([1, 4]))
def test_every_member_has_one_worker_and_workers_have_equally_many(given, at_once):
    sizes, workers = given
    shares = [members_of(sizes, share) for share in divided(sizes, workers, at_once=at_once)]
    everybody = [(group, place) for group, size in enumerate(sizes) for place in range(size)]
    assert sorted(member for share in shares for member in share) == everybody
    counts = [len(share) for share in shares]
    assert len(shares) == workers
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1


@given(sizes_and_workers)
def test_members_one_after_another_are_dealt_so_that_each_has_its_share_of_every_group(given):
    sizes, workers = given
    shares = [members_of(sizes, share) for share in divided(sizes, workers, at_once=1)]
    for group in range(len(sizes)):
        counts = [sum(own == group for own, _ in share) for share in shares]
        assert max(counts) - min(counts) <= 1


@given(sizes_and_workers)
def test_members_side_by_side_stay_with_their_neighbours(given):
    sizes, workers = given
    shares = divided(sizes, workers, at_once=4)
    assert sum(len(share) for share in shares) <= len(sizes) + workers - 1
    in_order = [member for share in shares for member in members_of(sizes, share)]
    assert in_order == sorted(in_order)


def test_parts_put_together_are_the_population():
    states = population(5)
    parts = [Part(0, slice(0, 5, 2)), Part(0, slice(1, 5, 2))]
    metrics = np.arange(5.0)
    trained = [
        Trained(leaves_of(states, part.members), [{"score": metrics[part.members]}], 1) for part in parts
    ]
    (after,), ((numbers,),) = together((states,), parts, trained)
    assert same_bits(after, states)
    assert jax.tree.structure(after) == jax.tree.structure(states)
    assert np.array_equal(numbers["score"], metrics)


def test_a_state_built_from_its_frame_is_the_state(two_groups):
    work, state = two_groups
    for group, states in enumerate(state.groups):
        again = with_leaves(frame_of(work, group), leaves_of(states, slice(None)))
        assert jax.tree.structure(again) == jax.tree.structure(states)
        assert same_bits(again, states)
        types = [leaf.dtype for leaf in jax.tree.leaves(again)]
        assert types == [leaf.dtype for leaf in jax.tree.leaves(states)]


def test_arrays_that_are_put_in_do_not_share_memory():
    states = population(3)
    leaves = [leaf.copy() for leaf in leaves_of(states, slice(None))]
    again = with_leaves(states, leaves)
    for leaf in leaves:
        leaf[...] = 0
    assert same_bits(again, states)


def test_bytes_of_the_population_are_counted(two_groups):
    work, state = two_groups
    arrays = [leaf for states in state.groups for leaf in leaves_of(states, slice(None))]
    assert bytes_of(work) == sum(array.nbytes for array in arrays)


def test_a_trainer_does_what_this_process_does(two_groups):
    work, state = two_groups
    part, ratios = Part(1, slice(0, 2, 1)), [1.0, 0.5]
    assert part.numbers(work) == work.groups[1].members[:2]
    trainer = PartTrainer(Settings.of_this_process())
    leaves = leaves_of(state.groups[1], part.members)
    trained = trainer.train(0, part, work, leaves, ratios)
    again = trainer.train(0, part, work, leaves, ratios)
    copies = tuple(jax.tree.map(lambda leaf: leaf.copy(), states) for states in state.groups)
    strides = list(InProcess(work).advance(copies, ratios))
    expected = leaves_of(strides[-1].states[1], part.members)
    for run in (trained, again):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(run.leaves, expected, strict=True))
        scores = [numbers["selection"].tolist() for numbers in run.metrics]
        assert scores == [stride.metrics[0][1]["selection"][:2].tolist() for stride in strides]
        assert run.traces == 1


def test_settings_travel_but_the_cache_stays_on_its_machine(monkeypatch):
    own = Settings.of_this_process()
    assert own.numeric["jax_numpy_rank_promotion"] == "raise"
    heard = {}
    monkeypatch.setattr(jax.config, "update", heard.__setitem__)
    own.apply()
    assert heard == {**own.numeric, **own.cache}
    heard.clear()
    own._replace(host="another").apply()
    assert heard == own.numeric


def test_asking_for_ray_where_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in [name for name in sys.modules if name.startswith("undertow.search.ray_workers")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UndertowError, match=r"pip install 'undertow\[ray\]'"):
        import undertow.search.ray_workers  # noqa: F401
