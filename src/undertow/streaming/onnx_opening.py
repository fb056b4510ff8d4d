"""A model as one function of a bin, from a trial's first bin on: its opening becomes a part of the state.

Many models give an estimate of every bin. One that needs `opening` bins before the first collects them here: until they are all
there its estimates are NaN, with the last of them it begins, and from then on it advances.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undertow.models.base import Streaming
from undertow.streaming.bins import BinEstimate, StreamFacts


class Step(NamedTuple):
    """The state before a trial's first bin, and `advance(state, counts, inputs) -> (state, estimate of this bin)`."""

    first: Any
    advance: Callable[[Any, Array, Array], tuple[Any, dict[str, Array]]]


class Collected(NamedTuple):
    """How many bins there were, those of the opening, and the model's own state (zeros until it has begun)."""

    bins: Int[Array, ""]
    counts: Float[Array, "opening neuron"]
    inputs: Float[Array, "opening input"]
    model: Any


def bin_by_bin(streaming: Streaming, facts: StreamFacts) -> Step:
    """The step of a stream, from the first bin on, which does not look at held-out neurons."""
    made = _collecting if streaming.opening else _plain
    first, advance_all = made(streaming, len(facts.neurons), facts.inputs)
    is_held_out = jnp.asarray(facts.held_out, bool)

    def advance(state: Any, counts: Array, known: Array) -> tuple[Any, dict[str, Array]]:
        return advance_all(state, jnp.where(is_held_out, jnp.nan, counts), known)

    return Step(first, advance)


def _plain(streaming: Streaming, neurons: int, inputs: int) -> Step:
    first, _ = streaming.begin(jnp.zeros((0, neurons)), jnp.zeros((0, inputs)))

    def advance(state: Any, counts: Array, known: Array) -> tuple[Any, dict[str, Array]]:
        after, estimate = streaming.advance(state, counts, known)
        return after, _chosen(estimate)

    return Step(first, advance)


def _collecting(streaming: Streaming, neurons: int, inputs: int) -> Step:
    opening = streaming.opening
    counts_before, inputs_before = jnp.zeros((opening, neurons)), jnp.zeros((opening, inputs))
    zeros = lambda shaped: jnp.zeros(shaped.shape, shaped.dtype)  # noqa: E731
    like = jax.eval_shape(streaming.begin, counts_before, inputs_before)[0]
    first = Collected(jnp.int32(0), counts_before, inputs_before, jax.tree.map(zeros, like))

    def advance(state: Collected, counts: Array, known: Array) -> tuple[Collected, dict[str, Array]]:
        is_this = (jnp.arange(opening) == state.bins)[:, None]
        all_counts = jnp.where(is_this, counts[None], state.counts)
        all_inputs = jnp.where(is_this, known[None], state.inputs)

        def go_on():
            model, estimate = streaming.advance(state.model, counts, known)
            return model, _chosen(estimate)

        def begin():
            model, estimates = streaming.begin(all_counts, all_inputs)
            return model, {name: bins[-1] for name, bins in _chosen(estimates).items()}

        def wait():
            estimate = jax.eval_shape(begin)[1]
            return state.model, jax.tree.map(lambda shaped: jnp.full(shaped.shape, jnp.nan), estimate)

        begin_or_go_on = lambda: jax.lax.cond(state.bins == opening - 1, begin, go_on)  # noqa: E731
        model, estimate = jax.lax.cond(state.bins < opening - 1, wait, begin_or_go_on)
        return Collected(jnp.minimum(state.bins + 1, opening), all_counts, all_inputs, model), estimate

    return Step(first, advance)


def _chosen(estimate: dict[str, Array]) -> dict[str, Array]:
    return {name: estimate[name] for name in BinEstimate._fields if name in estimate}
