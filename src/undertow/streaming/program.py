"""A stream's bin as one compiled call: state and one vector in, state and one vector out.

At a bin it costs as much to hand arrays over as to compute, so there is one vector of counts and inputs on the way in, one of
everything estimated on the way out (`layout` says what lies where), and the weights are constants of the program: a default LFADS
has 32 arrays of them, which took 40 of 85 microseconds as arguments. The state is donated: its memory becomes the next one's.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from undertow.models.base import Streaming
from undertow.streaming.bins import PARTS, StreamFacts


class Program:
    """A stream compiled for one recording.

    Attributes:
        layout: where each part of an estimate lies in the vector that comes out, by its name.
        width: the length of that vector.
        traces: how often anything was traced; after `compile` it stays.
    """

    def __init__(self, streaming: Streaming, facts: StreamFacts):
        self._streaming = streaming
        self._neurons = len(facts.neurons)
        self._staged = jax.ShapeDtypeStruct((self._neurons + facts.inputs,), jnp.float32)
        self._first = jax.ShapeDtypeStruct((streaming.opening, *self._staged.shape), jnp.float32)
        self.traces = 0
        shapes = estimate_shapes(streaming, facts)
        names = [name for name in PARTS if name in shapes]
        ends = np.cumsum([shapes[name].size for name in names]).tolist()
        starts = [0, *ends[:-1]]
        self.layout = {name: slice(*place) for name, *place in zip(names, starts, ends, strict=True)}
        self.width = ends[-1]

    def compile(self) -> None:
        """Trace and compile `begin` and `advance`."""
        self._compiled_begin = jax.jit(self._begin).lower(self._first).compile()
        state, _ = jax.eval_shape(self._streaming_begin, self._first)
        self._compiled_advance = jax.jit(self._advance, donate_argnums=0).lower(state, self._staged).compile()

    def begin(self, first: np.ndarray) -> tuple[Any, np.ndarray]:
        """The state after the first bins (opening, neuron and input), and the vector of the last of them, or NaN without any."""
        state, vector = self._compiled_begin(first)
        return state, np.asarray(vector)

    def advance(self, state: Any, staged: np.ndarray) -> tuple[Any, np.ndarray]:
        """The state one bin onward (the given one is used up), and the bin's vector (read-only), when it is there."""
        state, vector = self._compiled_advance(state, staged)
        return state, np.asarray(vector)

    def _begin(self, first: Array) -> tuple[Any, Array]:
        self.traces += 1
        state, estimates = self._streaming_begin(first)
        # Copied, because a weight that is handed on as it is would be donated, and gone, with the first bin.
        state = jax.tree.map(jnp.copy, state)
        if not self._streaming.opening:
            return state, jnp.full(self.width, jnp.nan)
        return state, self._vector({name: value[-1] for name, value in estimates.items()})

    def _advance(self, state: Any, staged: Array) -> tuple[Any, Array]:
        self.traces += 1
        state, estimate = self._streaming.advance(state, staged[: self._neurons], staged[self._neurons :])
        return state, self._vector(estimate)

    def _streaming_begin(self, first: Array) -> tuple[Any, dict[str, Array]]:
        return self._streaming.begin(first[:, : self._neurons], first[:, self._neurons :])

    def _vector(self, estimate: dict[str, Array]) -> Array:
        return jnp.concatenate([estimate[name] for name in self.layout])


def estimate_shapes(streaming: Streaming, facts: StreamFacts) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of what a stream says of one bin, by name."""
    counts, inputs = (
        jax.ShapeDtypeStruct((size,), jnp.float32) for size in (len(facts.neurons), facts.inputs)
    )
    first, known = (
        jax.ShapeDtypeStruct((streaming.opening, *part.shape), jnp.float32) for part in (counts, inputs)
    )
    state, _ = jax.eval_shape(streaming.begin, first, known)
    return jax.eval_shape(streaming.advance, state, counts, inputs)[1]


def in_hertz(streaming: Streaming, bin_width: float) -> Streaming:
    """The same stream with rates in Hz in place of expected counts a bin."""

    def converted(outcome: tuple[Any, dict[str, Array]]) -> tuple[Any, dict[str, Array]]:
        state, estimate = outcome
        return state, {**estimate, "rates": estimate["rates"] / bin_width}

    return streaming._replace(
        begin=lambda first, known: converted(streaming.begin(first, known)),
        advance=lambda state, counts, inputs: converted(streaming.advance(state, counts, inputs)),
    )
