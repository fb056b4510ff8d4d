"""Several models as one stream: their rates are averaged, the rest is the first one's."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from undertow.models.base import Streaming


def together(members: Sequence[Streaming]) -> Streaming:
    """One stream of all members, for no two models mean the same by a factor, but all by a rate.

    It begins when the last of them can, and lasts as long as the first that must begin anew.
    """
    if len(members) == 1:
        return members[0]
    opening = max(member.opening for member in members)
    limits = [member.longest for member in members if member.longest is not None]

    def begin(first: Array, known: Array) -> tuple[tuple[Any, ...], dict[str, Array]]:
        return _pooled([_begun(member, first, known) for member in members])

    def advance(states: tuple[Any, ...], counts: Array, inputs: Array):
        pairs = zip(members, states, strict=True)
        return _pooled([member.advance(state, counts, inputs) for member, state in pairs])

    return Streaming(begin, advance, opening, min(limits, default=None))


def _begun(member: Streaming, first: Array, known: Array) -> tuple[Any, dict[str, Array]]:
    """A member that may begin earlier than the others, after all the first bins."""
    own = member.opening
    state, early = member.begin(first[:own], known[:own])
    state, late = jax.lax.scan(
        lambda state, bins: member.advance(state, *bins), state, (first[own:], known[own:])
    )
    return state, {name: jnp.concatenate([early[name], late[name]]) for name in late}


def _pooled(outcomes: list[tuple[Any, dict[str, Array]]]) -> tuple[tuple[Any, ...], dict[str, Array]]:
    states = tuple(state for state, _ in outcomes)
    rates = sum(estimate["rates"] for _, estimate in outcomes) / len(outcomes)
    return states, {**outcomes[0][1], "rates": rates}
