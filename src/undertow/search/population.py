"""The state of a whole search as one pytree: groups of members that share a program, stacked along the member axis."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from undertow.components.configuration import Configuration
from undertow.data.batches import TrialArrays
from undertow.models.base import Model, Range
from undertow.search.settings import Search, Values
from undertow.search.space import Space, first_values, group_values, moving_keys
from undertow.search.timetable import Timetable
from undertow.training import loop
from undertow.training.hyperparameters import Hyperparameters, by_key, from_keys
from undertow.training.loop import Choices
from undertow.training.opening import Opening
from undertow.training.state import TrainState
from undertow.vocabulary import UndertowError, closest

SEARCH_STREAM = 1_000_003
"""Folded into the seed for everything that the search itself draws; members fold in their numbers."""

SECTIONS = ("training", "optimiser", "objective", "corruption")

LARGE = 1e9
"""A number without bounds may come near it."""


class Group(NamedTuple):
    """Members that share a program: their choices, their numbers in the population, and the keys that move in them.

    `values` has every key of the space: the group's own value of those that are part of the program, None for those that move.
    """

    choices: Choices
    members: tuple[int, ...]
    keys: tuple[str, ...]
    values: dict


class Champion(NamedTuple):
    """The best weights that a group has seen, whoever was overwritten since; and where they come from."""

    model: Model
    hyperparameters: Hyperparameters
    score: Float[Array, ""]
    member: Int[Array, ""]
    generation: Int[Array, ""]
    epoch: Int[Array, ""]


class SearchState(NamedTuple):
    """Everything that decides the rest of a search to the last bit.

    `groups` and `champions` have one entry a group; `best` is the best score of every generation so far (NaN for those to come);
    `generation` counts those that have ended, and the one under way ends before the epoch `ends`; `phase` is 0 while searching,
    1 while cooling down, 2 when done.
    """

    groups: tuple[TrainState, ...]
    champions: tuple[Champion, ...]
    best: Float[Array, " generation"]
    generation: Int[Array, ""]
    ends: Int[Array, ""]
    phase: Int[Array, ""]


def groups_of(search: Search, choices: Choices, space: Space, *, seed: int) -> tuple[Group, ...]:
    """The groups of a population: one for each combination of values of the keys that are part of the program.

    Raises:
        UndertowError: a key that no member can differ in, or a value that its key does not take.
    """
    moving = moving_keys(choices)
    fixed = [name for name in space if name not in moving]
    keys = tuple(name for name in space if name in moving)
    for name in fixed:
        _check_key(choices, name)
    for name in keys:
        _check_numbers(choices, name, space[name])
    drawn = group_values(space, fixed, search.members, key=jax.random.fold_in(_stream(seed), 0))
    combinations = list({tuple(values.items()): values for values in drawn}.values())
    return tuple(
        Group(
            _with_values(choices, values),
            tuple(member for member, own in enumerate(drawn) if own == values),
            keys,
            {**dict.fromkeys(space), **values},
        )
        for values in combinations
    )


def begin(
    groups: tuple[Group, ...],
    space: Space,
    train: TrialArrays,
    times: Timetable,
    *,
    seed: int,
    opening: Opening | None = None,
) -> SearchState:
    """The population before its first epoch. Member 0 has the weights and the shuffles of a single fit with this seed."""
    keys = list(groups[0].keys)
    members = sum(len(group.members) for group in groups)
    drawn = first_values(space, keys, members, key=jax.random.fold_in(_stream(seed), 1))
    states = tuple(_begin_group(group, drawn, train, opening, seed=seed) for group in groups)
    return SearchState(
        groups=states,
        champions=tuple(_no_champion(group) for group in states),
        best=jnp.full(times.generations + 1, jnp.nan),
        generation=jnp.int32(0),
        ends=jnp.int32(times.first),
        phase=jnp.int32(0),
    )


def crown(champion: Champion, states: TrainState, generation: Array) -> Champion:
    """The champion after a generation: the member with the best score, if it is better than the champion."""
    scores = states.selection.best
    member = jnp.argmin(scores)
    is_better = scores[member] < champion.score
    challenger = Champion(
        model=_member(states.best_model, member),
        hyperparameters=_member(states.hyperparameters, member),
        score=scores[member],
        member=member.astype(jnp.int32),
        generation=generation,
        epoch=states.selection.best_epoch[member],
    )
    return jax.tree.map(
        lambda now, before: jnp.where(is_better, now, before) if eqx.is_array(now) else now,
        challenger,
        champion,
    )


def values_of(group: Group, states: TrainState | Champion) -> dict[str, np.ndarray]:
    """The numbers that move in a group, by key."""
    values = by_key(states.hyperparameters, group.choices.model.section)
    return {key: np.asarray(values[key]) for key in group.keys}


def chosen(group: Group, values: dict[str, float]) -> Choices:
    """The choices of one member: its group's, with its numbers in place of the recipe's."""
    return _with_numbers(group.choices, values)


def epoch_of(state: SearchState) -> int:
    """Epochs that every member has trained."""
    return int(state.groups[0].epoch[0])


def search_key(seed: int, generation: int):
    """The key of a generation's tournament and perturbations."""
    return jax.random.fold_in(jax.random.fold_in(_stream(seed), 2), generation)


def _stream(seed: int):
    return jax.random.fold_in(jax.random.key(seed), SEARCH_STREAM)


def _begin_group(
    group: Group, drawn: dict[str, np.ndarray], train: TrialArrays, opening: Opening | None, *, seed: int
) -> TrainState:
    summary, section = loop.summarise(train, group.choices.model), group.choices.model.section
    root = jax.random.key(seed)
    keys = jnp.stack([root if member == 0 else jax.random.fold_in(root, member) for member in group.members])
    values = {name: jnp.asarray(numbers[list(group.members)]) for name, numbers in drawn.items()}

    def one(key, values, mean, variance):
        state = loop.begin_from(group.choices, summary, key, mean, variance, opening)
        numbers = from_keys({**by_key(state.hyperparameters, section), **values}, section)
        return state._replace(hyperparameters=numbers)

    stacked = eqx.filter_vmap(one, in_axes=(0, 0, None, None), out_axes=eqx.if_array(0))
    return eqx.filter_jit(stacked)(keys, values, summary.mean, summary.variance)


def _no_champion(states: TrainState) -> Champion:
    return Champion(
        model=_member(states.best_model, 0),
        hyperparameters=_member(states.hyperparameters, 0),
        score=jnp.float32(jnp.inf),
        member=jnp.int32(-1),
        generation=jnp.int32(-1),
        epoch=jnp.int32(-1),
    )


def _member(stacked, member):
    """One member of a stacked pytree."""
    return jax.tree.map(lambda leaf: leaf[member] if eqx.is_array(leaf) else leaf, stacked)


def _with_values(choices: Choices, values: dict) -> Choices:
    for key, value in values.items():
        choices = _with_value(choices, key, value)
    return choices


def _with_value(choices: Choices, key: str, value) -> Choices:
    section, name = key.split(".", 1)
    field = section if section in SECTIONS else "model"
    configuration: Configuration = getattr(choices, field)
    explicit = {known: getattr(configuration, known) for known in configuration.model_fields_set}
    return choices._replace(**{field: type(configuration)(**{**explicit, name: value})})


def _with_numbers(choices: Choices, values: dict[str, float]) -> Choices:
    weights = {
        key.removeprefix("objective.weights."): value for key, value in values.items() if ".weights." in key
    }
    for key, value in values.items():
        if ".weights." not in key:
            choices = _with_value(choices, key, value)
    if weights:
        objective = choices.objective
        changed = {**objective.model_dump(), "weights": {**objective.weights, **weights}}
        choices = choices._replace(objective=type(objective)(**changed))
    return choices


def _check_key(choices: Choices, key: str) -> None:
    """Raise an `UndertowError` for a key that no member can differ in."""
    section, _, name = key.partition(".")
    sections = {
        choices.model.section: choices.model,
        **{known: getattr(choices, known) for known in SECTIONS},
    }
    if section not in sections:
        raise UndertowError(f"The search names '{key}'; {closest(section, sections)}")
    fields = type(sections[section]).model_fields
    if name not in fields:
        raise UndertowError(
            f"The search names '{key}', but '{section}' has no key '{name}'; {closest(name, fields)}"
        )
    if section == "training" and name != "batch_size":
        raise UndertowError(
            f"The search names '{key}', but all members train equally long and select on the same score."
        )


def _check_numbers(choices: Choices, key: str, where: Range | Values) -> None:
    """Raise an `UndertowError` where a member could come to a value that the key does not take."""
    if not isinstance(where, Range):
        for value in where:
            _with_numbers(choices, {key: value})
        return
    for value in (where.low, (where.low + where.high) / 2, where.high):
        _with_numbers(choices, {key: value})
    try:
        _with_numbers(choices, {key: where.high if where.is_bounded else LARGE})
    except UndertowError as error:
        raise UndertowError(
            f"The search's range for '{key}' has no end (is_bounded = false), but the key does not take every large number; set "
            "is_bounded = true."
        ) from error
