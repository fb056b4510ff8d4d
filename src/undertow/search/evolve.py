"""The rules of population-based training as pure functions of arrays.

A generation ends so: members meet in random pairs (binary tournament); the loser becomes a copy of the winner, with its weights,
its optimiser and its smoothed score, and every number that the search moves is perturbed (Jaderberg et al. 2017; AutoLFADS,
Keshtkaran et al. 2022). Scores are costs: lower wins. A member whose training broke down loses against anybody that did not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from undertow.search.space import Rules
from undertow.training.hyperparameters import by_key, from_keys
from undertow.training.state import TrainState

SMALLEST_SHARE = 0.002
"""The smallest perturbation, as a share of the largest (the published code)."""


class Turn(NamedTuple):
    """What a generation's end did: whose weights each member goes on with (its own where it won), and who had broken down."""

    parents: Int[Array, " member"]
    is_lost: Bool[Array, " member"]


def judged(states: TrainState, limit: float) -> tuple[Float[Array, " member"], Bool[Array, " member"]]:
    """The smoothed selection score of every member, and whether its training has broken down.

    It has where its last score is not finite or above `limit` (see `breakdown.py`), or no step of its last epoch was finite.
    """
    last, smoothed = states.selection.last, states.selection.smoothed
    is_sound = jnp.isfinite(last) & jnp.isfinite(smoothed) & (last <= limit) & (states.failed_epochs == 0)
    is_lost = ~is_sound
    return jnp.where(is_lost, jnp.inf, states.selection.smoothed), is_lost


def tournament(
    scores: Float[Array, " member"], is_lost: Bool[Array, " member"], *, key: Key[Array, ""]
) -> Int[Array, " member"]:
    """The parent of every member: itself if it won or met nobody, else its rival.

    Rivals meet in pairs; of an odd number one meets nobody. Members that broke down meet a random one that did not, whoever that
    one's rival is.
    """
    pair_key, rescue_key = jax.random.split(key)
    members = scores.shape[0]
    order = jax.random.permutation(pair_key, members)
    partner = jnp.arange(members) ^ 1
    rival = (
        jnp.zeros(members, jnp.int32).at[order].set(order[jnp.where(partner < members, partner, members - 1)])
    )
    healthy = jnp.where(is_lost, -jnp.inf, 0.0)
    drawn = jax.random.categorical(rescue_key, healthy, shape=(members,)).astype(jnp.int32)
    rival = jnp.where(is_lost & ~is_lost.all(), drawn, rival)
    return jnp.where(scores[rival] < scores, rival, jnp.arange(members, dtype=jnp.int32))


def perturb(
    values: Float[Array, "number member"], rules: Rules, *, key: Key[Array, ""]
) -> Float[Array, "number member"]:
    """Every number once perturbed: up and down are equally likely, and what would leave the bounds is reflected at them.

    Multiplied numbers move by exp(+-d) with d even in [log(1 + .002 step), log(1 + step)], added ones by +-d likewise; reflection
    keeps both without drift.
    """
    size_key, sign_key = jax.random.split(key)
    column = Rules(*(rule[:, None] for rule in rules))
    largest = jnp.where(column.is_added, column.addend, column.factor)
    smallest = jnp.where(
        column.is_added,
        SMALLEST_SHARE * column.addend,
        jnp.log1p(SMALLEST_SHARE * jnp.expm1(column.factor)),
    )
    size = smallest + jax.random.uniform(size_key, values.shape) * (largest - smallest)
    moves = jax.random.rademacher(sign_key, values.shape, values.dtype) * size
    added = _reflected(values + moves, column.low, column.high)
    low, high = (_log(bound) for bound in (column.low, column.high))
    multiplied = jnp.exp(_reflected(_log(values) + moves, low, high))
    moved = jnp.where(column.is_added, added, jnp.where(values > 0, multiplied, values))
    return jnp.clip(moved, column.low, column.high)


def inherit(states: TrainState, parents: Int[Array, " member"]) -> TrainState:
    """Every member as a copy of its parent, score included; only its key, and so its shuffles and noise, stay its own."""
    taken = jax.tree.map(lambda leaf: leaf[parents] if isinstance(leaf, jax.Array) else leaf, states)
    return taken._replace(key=states.key)


def evolve(
    states: TrainState, rules: Rules, keys: list[str], section: str, limit: float, *, key: Key[Array, ""]
) -> tuple[TrainState, Turn]:
    """The population after one generation's end; `keys` are the numbers that move, `section` is the model's.

    The copies' numbers are perturbed, the winners' stay. A score above `limit` is that of a member that broke down.
    """
    tournament_key, perturb_key = jax.random.split(key)
    scores, is_lost = judged(states, limit)
    parents = tournament(scores, is_lost, key=tournament_key)
    states = inherit(states, parents)
    if not keys:
        return states, Turn(parents, is_lost)
    values = by_key(states.hyperparameters, section)
    before = jnp.stack([values[name] for name in keys])
    is_copy = parents != jnp.arange(parents.shape[0])
    after = jnp.where(is_copy[None], perturb(before, rules, key=perturb_key), before)
    numbers = from_keys({**values, **dict(zip(keys, after, strict=True))}, section)
    return states._replace(hyperparameters=numbers), Turn(parents, is_lost)


def has_settled(best: list[float], *, patience: int, tolerance: float) -> bool:
    """Whether the best score gained no more than `tolerance` over the last `patience` generations, relative to its mean size.

    `best` holds the best score of each generation so far, a cost (lfads-torch's rule).
    """
    if len(best) <= patience:
        return False
    before, recent = min(best[:-patience]), best[-patience:]
    size = sum(abs(score) for score in recent) / len(recent)
    return before - min(recent) <= tolerance * size


def _reflected(values: Array, low: Array, high: Array) -> Array:
    """Folded back once at each bound; a bound that is not finite folds nothing."""
    values = jnp.where(values < low, 2 * jnp.where(jnp.isfinite(low), low, 0.0) - values, values)
    return jnp.where(values > high, 2 * jnp.where(jnp.isfinite(high), high, 0.0) - values, values)


def _log(values: Array) -> Array:
    return jnp.where(values > 0, jnp.log(jnp.where(values > 0, values, 1.0)), -jnp.inf)
