"""Models that are not causal, as a stream: the last bins as one trial, estimated again at every bin.

    counts of the last `bins` bins --Model.estimate--> their rates; passed on: those `delay` bins before the newest

A delay lets the model see what came after: the estimate is better and later. Before the window is full the trial is shorter: its
bins lie at the window's front, not observed behind them, as padding does at the end of any trial.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from undertow.models.base import Model, Streaming
from undertow.vocabulary import ESTIMATE_VARIABLES, UndertowError


class Window(NamedTuple):
    """The last bins, the oldest first, and how many of them there are yet."""

    counts: Float[Array, "time neuron"]
    inputs: Float[Array, "time input"]
    filled: Int[Array, ""]


def windowed(model: Model, bins: int, delay: int) -> Streaming:
    """The model over a window of so many bins that ends with the newest; each estimate is of the bin `delay` bins before it.

    While there is no such bin yet the estimate is NaN.

    Raises:
        UndertowError: a window without bins, or a delay that does not lie inside it.
    """
    _check(bins, delay)

    def advance(window: Window, counts: Array, inputs: Array) -> tuple[Window, dict[str, Array]]:
        place = jnp.minimum(window.filled, bins - 1)
        window = Window(
            _pushed(window.counts, counts, window.filled == bins, place),
            _pushed(window.inputs, inputs, window.filled == bins, place),
            place + 1,
        )
        estimate = model.estimate(window.counts, window.inputs, key=None)
        return window, {
            name: _at(value, place - delay) for name, value in estimate.items() if _has_time(name)
        }

    def begin(first: Array, known: Array) -> tuple[Window, dict[str, Array]]:
        empty = Window(
            jnp.full((bins, first.shape[1]), jnp.nan), jnp.zeros((bins, known.shape[1])), jnp.int32(0)
        )
        return jax.lax.scan(lambda window, bin_values: advance(window, *bin_values), empty, (first, known))

    return Streaming(begin, advance)


def _check(bins: int, delay: int) -> None:
    if bins < 1:
        raise UndertowError(f"The stream's window has {bins} bins; give it 1 or more.")
    if not 0 <= delay < bins:
        raise UndertowError(
            f"The stream's delay is {delay} bins, but must be 0 or more and less than the window's {bins} bins."
        )


def _pushed(values: Array, newest: Array, is_full: Array, place: Array) -> Array:
    """The window with one bin more; a full one loses its oldest."""
    kept = jnp.where(is_full, jnp.roll(values, -1, axis=0), values)
    return kept.at[place].set(newest)


def _at(values: Array, place: Array) -> Array:
    """The values of one bin; NaN before the first."""
    chosen = jax.lax.dynamic_index_in_dim(values, jnp.maximum(place, 0), keepdims=False)
    return jnp.where(place < 0, jnp.nan, chosen)


def _has_time(name: str) -> bool:
    return ESTIMATE_VARIABLES[name][1] == "time"
