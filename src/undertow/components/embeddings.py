"""Embeddings: from the counts of a bin to a token.

Each maps counts (time, neuron), NaN where nothing was observed, to tokens (time, width). `EMBEDDINGS` names a function for each
that makes it and says its width. To add an embedding: a class and a function here, and a line in `EMBEDDINGS`.
"""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal
from undertow.vocabulary import UndertowError

EmbeddingKind = Literal["identity", "linear", "per_count"]


class Identity(eqx.Module):
    """The counts themselves are the token, with zeros behind them up to `width` (NDT, benchmark settings)."""

    width: int = eqx.field(static=True)

    def __call__(self, counts: Float[Array, "time neuron"]) -> Float[Array, "time width"]:
        """Zeros where nothing was observed."""
        known = jnp.where(jnp.isfinite(counts), counts, 0.0)
        return jnp.pad(known, ((0, 0), (0, self.width - counts.shape[1])))


class LinearEmbedding(eqx.Module):
    """A linear map of the counts, plus a learned vector for each neuron that was not observed.

    The second part tells a silent neuron from an unrecorded one; it starts at zero.
    """

    kernel: Float[Array, "neuron width"]
    unobserved: Float[Array, "neuron width"]

    def __call__(self, counts: Float[Array, "time neuron"]) -> Float[Array, "time width"]:
        """Two products."""
        is_observed = jnp.isfinite(counts)
        known = jnp.where(is_observed, counts, 0.0)
        return known @ self.kernel + (~is_observed).astype(known.dtype) @ self.unobserved


class PerCount(eqx.Module):
    """A learned vector for each possible count, shared by all neurons; the neurons' vectors side by side (NDT, simulations).

    The last row is for what was not observed, the one before for every larger count.
    """

    kernel: Float[Array, "row feature"]

    def __call__(self, counts: Float[Array, "time neuron"]) -> Float[Array, "time width"]:
        """A product with one-hot rows: its gradient is a product, too, where that of a lookup is a scatter."""
        rows = self.kernel.shape[0]
        known = jnp.where(jnp.isfinite(counts), jnp.clip(jnp.round(counts), 0, rows - 2), rows - 1)
        chosen = jax.nn.one_hot(known.astype(jnp.int32), rows)
        return (chosen @ self.kernel).reshape(counts.shape[0], counts.shape[1] * self.kernel.shape[1])


Embedding = Identity | LinearEmbedding | PerCount


def identity(neurons: int, width: int, heads: int, *, key: Key[Array, ""]) -> tuple[Identity, int]:  # noqa: ARG001
    """Tokens of one channel a neuron, filled up so that the heads divide them."""
    width = -(-neurons // heads) * heads
    return Identity(width), width


def linear(neurons: int, width: int, heads: int, *, key: Key[Array, ""]) -> tuple[LinearEmbedding, int]:
    """Tokens of `width` channels, or as many as neurons for 0, filled up so that the heads divide them."""
    width = -(-(width or neurons) // heads) * heads
    return LinearEmbedding(
        fan_in_normal(neurons, (neurons, width), key=key), jnp.zeros((neurons, width))
    ), width


def per_count(neurons: int, width: int, heads: int, *, key: Key[Array, ""]) -> tuple[PerCount, int]:
    """Tokens of `width` channels for each neuron (as many as heads for 0)."""
    features = width or heads
    if features * neurons % heads:
        raise UndertowError(
            f"Tokens of {features} units for each of {neurons} neurons can't be shared out among ndt.heads={heads}; take a "
            "multiple of it for ndt.width."
        )
    return PerCount(jax.random.normal(key, (LARGEST_COUNT + 2, features))), features * neurons


LARGEST_COUNT = 10
EMBEDDINGS: dict[str, Callable[..., tuple[Embedding, int]]] = {
    "identity": identity,
    "linear": linear,
    "per_count": per_count,
}
