"""A linear decoder as part of a stream: behaviour from the rates of this bin and of bins before.

    behaviour(t) = sum over lags of reads(t - lag) kernel + intercept        reads: rates in Hz, or factors

The map, its units and its lags are those of `undertow.evaluation.decoding`, whose ridge regression fits it. Behaviour is NaN in
the bins whose lags reach before the trial's start.
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from undertow.models.base import Streaming
from undertow.vocabulary import UndertowError


@dataclass(frozen=True)
class LinearDecoder:
    """A map from what a stream estimates to behaviour.

    Attributes:
        lags: bins by which what is read precedes behaviour; each 0 or more, for a stream does not know later bins.
        kernel: (lag x feature, channel); the features of the first lag come first.
        intercept: (channel).
        channels: names of the channels.
        reads: "rates" (Hz, all neurons in the model's order) or "factors".
    """

    lags: tuple[int, ...]
    kernel: np.ndarray
    intercept: np.ndarray
    channels: tuple[str, ...]
    reads: Literal["rates", "factors"] = "rates"

    def __post_init__(self):
        """Raise an `UndertowError` for a map that no stream can follow."""
        if not self.lags or min(self.lags) < 0:
            raise UndertowError(
                f"The decoder's lags are {list(self.lags)}, but a stream knows no later bins; give lags of 0 or more."
            )
        rows, channels = np.shape(self.kernel)
        if rows % len(self.lags) or np.shape(self.intercept) != (channels,) or len(self.channels) != channels:
            raise UndertowError(
                f"The decoder's kernel has the shape {(rows, channels)}, its intercept {np.shape(self.intercept)}, with "
                f"{len(self.lags)} lags and {len(self.channels)} channels; the kernel must be (lag x feature, channel)."
            )

    @property
    def features(self) -> int:
        """How many neurons or factors it reads."""
        return len(self.kernel) // len(self.lags)


def decoded(streaming: Streaming, decoder: LinearDecoder) -> Streaming:
    """The same stream, whose rates are in Hz, with "behaviour" beside them."""
    kernel, intercept = jnp.asarray(decoder.kernel, jnp.float32), jnp.asarray(decoder.intercept, jnp.float32)
    reach = max(decoder.lags)

    def behaviour(reads: Array) -> Array:
        """Of all bins but the first `reach`, from what is read of all."""
        bins = reads.shape[0] - reach
        columns = jnp.concatenate([reads[reach - lag :][:bins] for lag in decoder.lags], axis=1)
        products = columns @ kernel
        return products + jnp.broadcast_to(intercept, products.shape)

    def begin(first: Array, known: Array) -> tuple[Any, dict[str, Array]]:
        state, estimate = streaming.begin(first, known)
        before = jnp.full((reach, decoder.features), jnp.nan)
        reads = jnp.concatenate([before, estimate[decoder.reads]])
        return (state, reads[reads.shape[0] - reach :]), {**estimate, "behaviour": behaviour(reads)}

    def advance(carried: Any, counts: Array, inputs: Array) -> tuple[Any, dict[str, Array]]:
        state, earlier = carried
        state, estimate = streaming.advance(state, counts, inputs)
        reads = jnp.concatenate([earlier, estimate[decoder.reads][None]])
        return (state, reads[1:]), {**estimate, "behaviour": behaviour(reads)[0]}

    return streaming._replace(begin=begin, advance=advance)
