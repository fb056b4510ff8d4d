"""A search, generation after generation, with a state on disk from which it goes on exactly."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.models.base import Model
from undertow.search.breakdown import limit_of
from undertow.search.evolve import evolve, has_settled, judged
from undertow.search.executor import Executor, Work
from undertow.search.lineage import origin_of
from undertow.search.population import (
    Champion,
    Group,
    SearchState,
    begin,
    chosen,
    crown,
    epoch_of,
    groups_of,
    search_key,
    values_of,
)
from undertow.search.records import GENERATIONS, STATE, Ended, Progress, Records, Setup
from undertow.search.space import rules_of
from undertow.search.timetable import cooling
from undertow.training import checkpoint, journal
from undertow.training.loop import Choices
from undertow.training.state import TrainState
from undertow.vocabulary import UndertowError

SEARCHING, COOLING, DONE = 0, 1, 2


class Ranked(NamedTuple):
    """One of the best models of a search: what it is, how it scored, and where it comes from."""

    model: Model
    choices: Choices
    score: float
    member: int
    generation: int
    epoch: int
    values: dict[str, float]


class Outcome(NamedTuple):
    """What a search ends with: its state, the groups, models from the best on, and how often epochs and evolution were traced."""

    state: SearchState
    groups: tuple[Group, ...]
    ranking: list[Ranked]
    traces: tuple[int, ...]


def search(
    setup: Setup,
    executor_for: Callable[[Work], Executor],
    folder: Path,
    *,
    at_once: int,
    listen: Callable[[Progress], None],
) -> Outcome:
    """Search to the end, going on from `folder`/state if there is one.

    Args:
        setup: what the search is told.
        executor_for: makes who trains the members.
        folder: the run's folder; `state/`, `metrics.jsonl` and `generations.jsonl` are kept there.
        at_once: members side by side on a device.
        listen: called after each stride.

    Raises:
        UndertowError: every member's training broke down.
    """
    groups = groups_of(setup.search, setup.choices, setup.space, seed=setup.seed)
    executor = executor_for(Work(groups, setup.corruption, setup.data, at_once))
    state, facts = _resumed(folder, _beginning(setup, groups))
    records = Records(setup, groups, folder, listen, facts)
    records.rewind(state)
    limits = [limit_of(group.choices, setup.data) for group in groups]
    turners = [_turner(setup, group, limit) for group, limit in zip(groups, limits, strict=True)]
    while int(state.phase) != DONE:
        for stride in executor.advance(state.groups, _ratios(setup, state)):
            state = state._replace(groups=stride.states)
            records.note(state, stride)
        ended = Ended.of(groups, state, limits)
        state = _concluded(setup, state, ended.best)
        if setup.search.algorithm == "population" and int(state.phase) != DONE:
            key = search_key(setup.seed, ended.generation)
            turned = [turner(states, key) for turner, states in zip(turners, state.groups, strict=True)]
            state = state._replace(groups=tuple(states for states, _ in turned))
            ended = ended.with_parents(groups, [turn.parents for _, turn in turned])
        records.close_generation(state, ended)
    _check_alive(state, limits)
    traces = tuple(getattr(epochs, "traces", 0) for epochs in getattr(executor, "groups", ()))
    generations = journal.read(folder / GENERATIONS)
    return Outcome(state, groups, ranking(groups, state, generations), traces)


def is_begun(folder: Path) -> bool:
    """Whether the folder holds a state to go on from."""
    return (folder / STATE).exists()


def ranking(groups: tuple[Group, ...], state: SearchState, generations: list[journal.Line]) -> list[Ranked]:
    """The best models, best first: every group's champion and every member's best weights, each weights once."""
    candidates = {}
    for group, champion, states in zip(groups, state.champions, state.groups, strict=True):
        for place in range(len(group.members)):
            one = _ranked_member(group, states, place, generations)
            if np.isfinite(one.score):
                candidates[group.members[0], one.score, one.epoch] = one
        if int(champion.member) >= 0:
            one = _ranked_champion(group, champion)
            candidates[group.members[0], one.score, one.epoch] = one
    return sorted(candidates.values(), key=lambda one: one.score)


def _beginning(setup: Setup, groups: tuple[Group, ...]) -> SearchState:
    return begin(groups, setup.space, setup.data[0], setup.timetable, seed=setup.seed, opening=setup.opening)


def _resumed(folder: Path, state: SearchState) -> tuple[SearchState, dict[str, str]]:
    return checkpoint.read(folder / STATE, state) if is_begun(folder) else (state, {})


def _ratios(setup: Setup, state: SearchState) -> list[float]:
    """By what the learning rate is multiplied before each epoch that is left of the generation."""
    left = int(state.ends) - epoch_of(state)
    if int(state.phase) == COOLING:
        return cooling(setup.timetable.cool_down)[-left:] if left else []
    return [1.0] * left


def _turner(setup: Setup, group: Group, limit: float):
    """The end of a generation as one compiled function of a group's states and a key."""
    rules, section = rules_of(setup.space, list(group.keys)), group.choices.model.section

    def turn(states, key):
        group_key = jax.random.fold_in(key, group.members[0])
        return evolve(states, rules, list(group.keys), section, limit, key=group_key)

    return eqx.filter_jit(turn)


def _concluded(setup: Setup, state: SearchState, best: float) -> SearchState:
    """Crown the champions, note the best score, and decide what comes next."""
    generation, table = int(state.generation), setup.timetable
    champions = tuple(
        crown(champion, states, state.generation)
        for champion, states in zip(state.champions, state.groups, strict=True)
    )
    state = state._replace(
        champions=champions,
        best=state.best.at[generation].set(best),
        generation=state.generation + 1,
    )
    if int(state.phase) == COOLING:
        return state._replace(phase=jnp.int32(DONE))
    if generation + 1 < table.generations and not _has_settled(setup, state):
        return state._replace(ends=state.ends + table.length_of(generation + 1))
    if table.cool_down == 0:
        return state._replace(phase=jnp.int32(DONE))
    return state._replace(ends=state.ends + table.cool_down, phase=jnp.int32(COOLING))


def _has_settled(setup: Setup, state: SearchState) -> bool:
    search = setup.search
    if search.algorithm != "population":
        return False
    best = [float(score) for score in state.best[: int(state.generation)]]
    return has_settled(best, patience=search.patience, tolerance=search.tolerance)


def _check_alive(state: SearchState, limits: list[float]) -> None:
    if all(bool(judged(states, limit)[1].all()) for states, limit in zip(state.groups, limits, strict=True)):
        raise UndertowError(
            "The search found nothing: the training of every member broke down; narrow optimiser.learning_rate with --space, and "
            "look at the data with `undertow describe`."
        )


def _ranked(
    group: Group, model: Model, numbers: dict[str, float], score: float, place: tuple[int, int, int]
) -> Ranked:
    member, generation, epoch = place
    return Ranked(model, chosen(group, numbers), score, member, generation, epoch, numbers)


def _ranked_champion(group: Group, champion: Champion) -> Ranked:
    place = (group.members[int(champion.member)], int(champion.generation), int(champion.epoch))
    numbers = {key: float(value) for key, value in values_of(group, champion).items()}
    return _ranked(group, champion.model, numbers, float(champion.score), place)


def _ranked_member(group: Group, states: TrainState, place: int, generations: list[journal.Line]) -> Ranked:
    """A member's best weights, with the numbers that trained them."""
    model = jax.tree.map(lambda leaf: leaf[place] if eqx.is_array(leaf) else leaf, states.best_model)
    epoch = int(states.selection.best_epoch[place])
    generation, member = origin_of(generations, group.members[place], epoch)
    line = generations[generation]["values"]
    numbers = {key: float(line[key][member]) for key in group.keys}
    return _ranked(group, model, numbers, _score(states, place), (member, generation, epoch))


def _score(states: TrainState, place: int) -> float:
    """The score of a member's kept weights; of a run that ended before its ramps, the last one."""
    best = float(states.selection.best[place])
    return best if np.isfinite(best) else float(states.selection.smoothed[place])
