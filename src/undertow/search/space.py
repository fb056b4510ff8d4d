"""The space of a search: which numbers move, where members begin, and the rules by which numbers are perturbed.

A key that names an array leaf of `Hyperparameters` moves inside one compiled program. Any other key (a size, a prior, an
observation) is part of the program: each of its values makes a group of members that is compiled on its own.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from undertow.components.corruption import Corrupted
from undertow.models.base import TRIALS, DataSummary, ModelConfig, Range
from undertow.search.settings import Search, Values
from undertow.training.hyperparameters import by_key, hyperparameters
from undertow.training.loop import Choices
from undertow.vocabulary import UndertowError, closest

Space = dict[str, Range | Values]


class Rules(NamedTuple):
    """How each moving number is perturbed; every array is over the numbers.

    `factor` is log(1 + step) for numbers that are multiplied, `addend` the largest step of those that are added to.
    """

    is_added: Bool[Array, " number"]
    factor: Float[Array, " number"]
    addend: Float[Array, " number"]
    low: Float[Array, " number"]
    high: Float[Array, " number"]


def resolve(search: Search, choices: Choices, data: DataSummary, *, entries: float) -> Space:
    """The whole space in the recipe's own units: the model's ranges and those that the recipe adds, without what it holds.

    Args:
        search: what the recipe says.
        choices: of model and training.
        data: what the model takes its shape from.
        entries: mean number of observed entries of a trial, by which published weights are converted.

    Raises:
        UndertowError: a range for a key that is part of the program, an empty list, or a key to hold that does not move.
    """
    if search.algorithm == "single":
        return {}
    moving = moving_keys(choices)
    known = choices.model.space if search.default_space else {}
    for key in search.hold:
        if key not in known:
            raise UndertowError(f"The search is to hold '{key}', which does not move; {closest(key, known)}")
    without = {*search.hold, *_unused_weights(choices.model, data)}
    space = {**{key: known[key] for key in known if key not in without}, **search.space}
    for key, where in space.items():
        if isinstance(where, Range) and key not in moving:
            raise UndertowError(
                f"The search gives a range for '{key}', but only {', '.join(sorted(moving))} move freely; give a list of values, "
                f"e.g. {key}=16,32, and each is compiled as a group of its own."
            )
        if not isinstance(where, Range) and not where:
            raise UndertowError(
                f"The search gives an empty list of values for '{key}'; name at least one, or leave the key out."
            )
    is_random = search.algorithm == "random"
    return {key: _in_own_unit(where, entries, is_random=is_random) for key, where in space.items()}


def moving_keys(choices: Choices) -> set[str]:
    """The keys that are array leaves of the state, and so move without being compiled again."""
    numbers = hyperparameters(choices.model, choices.optimiser, choices.objective, choices.corruption)
    return set(by_key(numbers, choices.model.section))


def first_values(
    space: Space, keys: list[str], members: int, *, key: Key[Array, ""]
) -> dict[str, np.ndarray]:
    """Each member's first value of each of `keys`: a range's start, or drawn from its prior or list."""
    values = {}
    for name, number_key in zip(keys, jax.random.split(key, max(len(keys), 1)), strict=False):
        share = np.asarray(jax.random.uniform(number_key, (members,)), np.float64)
        values[name] = _from_share(space[name], share).astype(np.float32)
    return values


def group_values(space: Space, keys: list[str], members: int, *, key: Key[Array, ""]) -> list[dict]:
    """For each member, its values of the keys that are part of the program: every combination equally often, in random order.

    Where there are more combinations than members, a random choice of them.
    """
    combinations = [{}]
    for name in keys:
        combinations = [{**before, name: value} for before in combinations for value in space[name]]
    order = np.asarray(jax.random.permutation(key, len(combinations)))
    return [combinations[order[member % len(combinations)]] for member in range(members)]


def rules_of(space: Space, keys: list[str]) -> Rules:
    """The rules of the numbers in `keys`; a number given by a list stays where it began."""
    rows = [_rule(space[key]) for key in keys]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return Rules(jnp.asarray(columns[0], bool), *(jnp.asarray(column, jnp.float32) for column in columns[1:]))


def _rule(where: Range | Values) -> tuple[bool, float, float, float, float]:
    if not isinstance(where, Range):
        return True, 0.0, 0.0, -math.inf, math.inf
    is_added = where.low == 0
    bounds = (where.low, where.high) if where.is_bounded else (0.0, math.inf)
    return is_added, math.log1p(where.step), where.step * (where.high - where.low) / 2, *bounds


def _from_share(where: Range | Values, share: np.ndarray) -> np.ndarray:
    if not isinstance(where, Range):
        return np.asarray(where, np.float64)[np.minimum((share * len(where)).astype(int), len(where) - 1)]
    if where.start != "drawn":
        return np.full(share.shape, where.start)
    if where.prior == "uniform":
        return where.low + share * (where.high - where.low)
    return np.exp(math.log(where.low) + share * math.log(where.high / where.low))


def _in_own_unit(where: Range | Values, entries: float, *, is_random: bool) -> Range | Values:
    """A published weight, of the mean over entries, is that many entries larger in units of the evidence lower bound.

    Random search draws every number, also one that has a start.
    """
    if not isinstance(where, Range):
        return where
    scale = entries if where.unit == "mean" else 1.0
    start = "drawn" if is_random or where.start == "drawn" else where.start * scale
    scaled = {"low": where.low * scale, "high": where.high * scale, "start": start, "unit": "own"}
    return Range(**{**where.model_dump(), **scaled})


def _unused_weights(model: ModelConfig, data: DataSummary) -> set[str]:
    """Weights of terms that this choice of the model does not have: those of inputs without inferred inputs, for instance."""

    def names(key):
        built = model.build(data, key=key)
        counts, inputs = jnp.zeros((2, 2, data.neurons)), jnp.zeros((2, 2, data.inputs))
        settings = {name: jnp.float32(value) for name, value in model.settings().items()}

        def of_trial(counts, inputs):
            return built.terms(Corrupted(counts, counts, counts), inputs, settings, key=key)

        return {**jax.vmap(of_trial, axis_name=TRIALS)(counts, inputs), **built.penalties()}

    has = jax.eval_shape(names, jax.random.key(0))
    return {f"objective.weights.{name}" for name in model.term_weights() if name not in has}
