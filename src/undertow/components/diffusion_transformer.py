"""A transformer over the bins of a trial as a denoiser, told the level of noise and the code by adaptive layer norms (DiT).

    x + g_a attention(norm(x)(1 + s_a) + b_a)        x + g_f network(norm(x)(1 + s_f) + b_f)

with gates g, scales s and shifts b of every channel, linear in the features of level and code together and zero at the start
(Peebles and Xie 2023, arXiv 2212.09748, adaLN-Zero). Positions are rotary, so that trials may have any length.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.affine import affine
from undertow.components.attention import Attention, LayerNorm
from undertow.components.conditioning import Conditions
from undertow.components.convolution import kept
from undertow.components.corruption import hashed_dropout
from undertow.components.linear import Linear


class ConditionedLayer(eqx.Module):
    """One layer of this module's head."""

    attention: Attention
    widen: Linear
    narrow: Linear
    level_head: Linear
    code_head: Linear
    norm: LayerNorm

    def __init__(self, width: int, heads: int, features: int, *, key: Key[Array, ""]):
        attention_key, widen_key, narrow_key, head_key = jax.random.split(key, 4)
        self.attention = Attention(width, heads, "rotary", scale=1.0, key=attention_key)
        self.widen = Linear(width, 4 * width, key=widen_key)
        self.narrow = Linear(4 * width, width, key=narrow_key)
        silent = Linear(features, 6 * width, key=head_key)
        silent = eqx.tree_at(lambda linear: linear.kernel, silent, jnp.zeros_like(silent.kernel))
        self.level_head, self.code_head = silent, jax.tree.map(jnp.copy, silent)
        self.norm = LayerNorm(width)

    def __call__(
        self,
        tokens: Float[Array, "time width"],
        told: Conditions,
        is_there: Bool[Array, " time"],
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time width"]:
        """Of the same bins."""
        attention_key, hidden_key = jax.random.split(key)
        heads = self.level_head(told.level)
        if told.code is not None:
            heads = heads + self.code_head(told.code)
        gate, scale, shift, forward_gate, forward_scale, forward_shift = jnp.split(heads[None], 6, axis=1)
        allowed = jnp.broadcast_to(is_there[None, :], (is_there.shape[0],) * 2)
        inside = self.norm(tokens) * (1 + scale) + shift
        tokens = tokens + gate * self.attention(inside, allowed, dropout, key=attention_key)
        inside = self.norm(tokens) * (1 + forward_scale) + forward_shift
        hidden = jax.nn.gelu(affine(self.widen.kernel, self.widen.bias, inside))
        if dropout is not None:
            hidden = hidden * hashed_dropout(dropout, hidden.shape, key=hidden_key)
        return tokens + forward_gate * affine(self.narrow.kernel, self.narrow.bias, hidden)


class DiffusionTransformer(eqx.Module):
    """The network of this module's head, from channels in to features of every bin; the read-out is not part of it."""

    into: Linear
    layers: tuple[ConditionedLayer, ...]
    norm: LayerNorm
    width: int = eqx.field(static=True)

    def __init__(
        self, inputs: int, width: int, layers: int, heads: int, features: int, *, key: Key[Array, ""]
    ):
        into_key, layers_key = jax.random.split(key)
        self.width = width
        self.into = Linear(inputs, width, key=into_key)
        self.layers = tuple(
            ConditionedLayer(width, heads, features, key=layer_key)
            for layer_key in jax.random.split(layers_key, layers)
        )
        self.norm = LayerNorm(width)

    def __call__(
        self,
        activity: Float[Array, "time input"],
        told: Conditions,
        is_there: Bool[Array, " time"],
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time width"]:
        """Features of every bin."""
        tokens = self.into(kept(activity, is_there))
        for layer, layer_key in zip(self.layers, jax.random.split(key, len(self.layers)), strict=True):
            tokens = layer(tokens, told, is_there, dropout, key=layer_key)
        return kept(self.norm(tokens), is_there)
