"""The population's beginning and its champions, against single fits and plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from search_material import TRAIN, beginning, member_of, population, setup_of
from tiny_model import choices, same_bits

from undertow.models.base import Range
from undertow.search.population import chosen, crown, groups_of, search_key, values_of
from undertow.search.settings import Search
from undertow.training import loop
from undertow.training.hyperparameters import by_key

SIZES = Search(members=5, space={"tiny.width": (2, 3)})


@pytest.fixture(scope="module")
def with_sizes():
    setup = setup_of(SIZES, seed=7)
    return setup, *beginning(setup)


def test_a_group_for_each_size_and_every_member_in_one(with_sizes):
    setup, groups, state = with_sizes
    assert sorted(member for group in groups for member in group.members) == list(range(5))
    assert {group.choices.model.width for group in groups} == {2, 3}
    for group, states in zip(groups, state.groups, strict=True):
        assert group.values["tiny.width"] == group.choices.model.width
        assert states.model.down.bias.shape == (len(group.members), group.choices.model.width)
        assert set(group.keys) == set(setup.space) - {"tiny.width"}
        assert group.values["tiny.noise"] is None


def test_member_0_begins_with_the_bits_of_a_single_fit(with_sizes):
    """Weights, optimiser, keys and counters: all but the numbers that the search draws."""
    _, groups, state = with_sizes
    (number,) = [number for number, group in enumerate(groups) if 0 in group.members]
    single = loop.beginning(groups[number].choices, TRAIN, seed=7)
    own = jax.tree.map(lambda leaf: leaf[0] if isinstance(leaf, jax.Array) else leaf, state.groups[number])
    assert groups[number].members[0] == 0
    assert same_bits(own._replace(hyperparameters=single.hyperparameters), single)
    unmoved = by_key(single.hyperparameters, "tiny")
    for key, value in by_key(own.hyperparameters, "tiny").items():
        assert key in groups[number].keys or value == unmoved[key], key


def test_other_members_have_other_weights_and_other_shuffles(with_sizes):
    _, _, state = with_sizes
    for states in state.groups:
        members = [member_of(states, place) for place in range(len(states.epoch))]
        for name in (".key", ".model.down.kernel", ".hyperparameters.learning_rate"):
            assert len({member[name].tobytes() for member in members}) == len(members), name


def test_a_population_does_not_depend_on_its_size(with_sizes):
    """Member 1 of two is member 1 of five, but for what the search draws for all of them together."""
    _, groups, state = with_sizes
    _, of_two = beginning(setup_of(Search(members=2), seed=7))
    (group, states), place = next(
        ((group, states), group.members.index(1))
        for group, states in zip(groups, state.groups, strict=True)
        if 1 in group.members
    )
    here, there = member_of(states, place), member_of(of_two.groups[0], 1)
    np.testing.assert_array_equal(here[".key"], there[".key"])
    if group.choices.model.width == 2:
        np.testing.assert_array_equal(here[".model.down.kernel"], there[".model.down.kernel"])


def test_another_seed_is_another_population():
    assignments = set()
    for seed in range(6):
        setup = setup_of(SIZES, seed=seed)
        groups = groups_of(setup.search, setup.choices, setup.space, seed=seed)
        assignments.add(tuple(sorted((group.choices.model.width, group.members) for group in groups)))
    assert len(assignments) > 1


def test_the_champion_keeps_the_best_weights_after_their_member_was_overwritten():
    """Generation by generation against a loop in Python; the best of all appears in generation 1 and is lost in 2."""
    best_of = [[2.0, 3.0, 2.5], [2.0, 1.0, 2.5], [1.8, 1.9, 1.7], [1.0, 1.9, 1.7]]
    champion, expected = None, None
    for generation, best in enumerate(best_of):
        states = population(3, seed=generation)
        selection = states.selection._replace(
            best=jnp.asarray(best), best_epoch=jnp.arange(3, dtype=jnp.int32)
        )
        states = states._replace(selection=selection)
        if champion is None:
            champion = _nobody(states)
        champion = crown(champion, states, jnp.int32(generation))
        member = int(np.argmin(best))
        if expected is None or best[member] < expected[0]:
            kept = member_of(states, member)
            expected = (best[member], member, generation, kept)
    score, member, generation, kept = expected
    assert (score, member, generation) == (1.0, 1, 1), "the same score in generation 3 is not better"
    assert (float(champion.score), int(champion.member), int(champion.generation)) == (1.0, 1, 1)
    assert int(champion.epoch) == 1
    np.testing.assert_array_equal(champion.model.down.kernel, kept[".best_model.down.kernel"])
    np.testing.assert_array_equal(
        champion.hyperparameters.learning_rate, kept[".hyperparameters.learning_rate"]
    )


def _nobody(states):
    _, state = beginning(setup_of(Search(members=2)))
    champion = state.champions[0]
    assert float(champion.score) == np.inf
    assert int(champion.member) == -1
    return champion


def test_a_members_choices_are_its_groups_with_its_own_numbers():
    space = {"objective.weights.kl_code": Range(low=0.1, high=1.0), "tiny.width": (3,)}
    setup = setup_of(Search(members=3, space=space), choices(objective={"weights": {"kernel_penalty": 0.7}}))
    (group,), state = beginning(setup)
    numbers = {key: float(values[1]) for key, values in values_of(group, state.groups[0]).items()}
    assert set(numbers) == {"optimiser.learning_rate", "tiny.noise", "objective.weights.kl_code"}
    own = chosen(group, numbers)
    assert own.optimiser.learning_rate == numbers["optimiser.learning_rate"]
    assert own.model.noise == numbers["tiny.noise"]
    assert own.model.width == 3
    weights = {"kernel_penalty": 0.7, "kl_code": numbers["objective.weights.kl_code"]}
    assert own.objective.weights == weights
    assert group.choices.objective.weights == {"kernel_penalty": 0.7}, "the group's choices stay"


def test_every_generation_and_seed_draws_anew():
    keys = {
        jax.random.key_data(search_key(seed, number)).tobytes() for seed in range(3) for number in range(50)
    }
    assert len(keys) == 150
