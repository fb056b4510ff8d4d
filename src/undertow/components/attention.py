"""Attention across the bins of a trial: which bins see which, where a bin stands, and the layer of the transformer.

For tokens x (time, width), H heads of size d = width / H, and an element-wise choice of pairs `allowed` (Vaswani et al. 2017)::

    q, k, v = x W + b                                        `query_key_value`, split into heads
    a_tj = softmax over j of (q_t . k_j / sqrt(d) + bias_{t-j})  where allowed, else 0
    y_t = [sum_j a_tj v_j, all heads side by side] O + o         `output`

Positions can enter in the tokens (learned, sinusoidal), in q and k, which are rotated by an angle that grows with the bin
(rotary; Su et al. 2021), or as a learned bias of each distance and head (relative; Shaw et al. 2018, in the form of Raffel et
al. 2020). The last two know distances alone, so that a trial may be of any length and a stream may run for ever.

`Layer.advance` computes one bin from the keys and values of the bins before it, which `Cache` keeps in a ring, each bin in the
place of the oldest. Rotary keys lie there turned by `Moment.turn`, an angle that is multiplied on from bin to bin: only
differences between turns matter, and those in a ring stay exact for ever, where the angle of a large bin number would not.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from undertow.components.affine import affine
from undertow.components.corruption import hashed_dropout
from undertow.components.linear import Linear

Positions = Literal["learned", "sinusoidal", "rotary", "relative", "none"]
Norm = Literal["before", "after"]

LONGEST_PERIOD = 10_000.0
FARTHEST = 64
HIDDEN = -1e30
SMALLEST_VARIANCE = 1e-5


class Cache(NamedTuple):
    """Keys and values of the last bins; zeros where there was none yet."""

    keys: Float[Array, "head bin size"]
    values: Float[Array, "head bin size"]


class Moment(NamedTuple):
    """When a bin of a stream is: its number from the trial's first, and the cosines and sines of its rotary angles."""

    bin: Int[Array, ""]
    turn: Float[Array, "2 frequency"]


class LayerNorm(eqx.Module):
    """Every token shifted and scaled to mean 0 and variance 1, then scaled and shifted by what is learned."""

    scale: Float[Array, " width"]
    offset: Float[Array, " width"]

    def __init__(self, width: int):
        self.scale = jnp.ones(width)
        self.offset = jnp.zeros(width)

    def __call__(self, tokens: Float[Array, "*axes width"]) -> Float[Array, "*axes width"]:
        """Normalise the last axis."""
        centred = tokens - tokens.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(variance + SMALLEST_VARIANCE)
        return normal * jnp.broadcast_to(self.scale, tokens.shape) + jnp.broadcast_to(
            self.offset, tokens.shape
        )


class Attention(eqx.Module):
    """The attention of this module's head. `distance_bias` exists for relative positions only."""

    query_key_value: Linear
    output: Linear
    distance_bias: Float[Array, "head distance"] | None
    heads: int = eqx.field(static=True)
    is_rotary: bool = eqx.field(static=True)

    def __init__(self, width: int, heads: int, positions: Positions, *, scale: float, key: Key[Array, ""]):
        """Start as PyTorch's: uniform within sqrt(6 / (4 width)), and within 1 / sqrt(width) times `scale` for the output."""
        qkv_key, output_key = jax.random.split(key)
        self.query_key_value = _uniform(width, 3 * width, (6 / (4 * width)) ** 0.5, key=qkv_key)
        self.output = _uniform(width, width, scale * width**-0.5, key=output_key)
        self.distance_bias = jnp.zeros((heads, 2 * FARTHEST + 1)) if positions == "relative" else None
        self.heads = heads
        self.is_rotary = positions == "rotary"

    def __call__(
        self,
        tokens: Float[Array, "time width"],
        allowed: Bool[Array, "time time"],
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time width"]:
        """What each bin gathers from the bins that it is allowed to see."""
        time, width = tokens.shape
        bins = jnp.arange(time)
        query, keys, values = (
            part.reshape(time, self.heads, -1).transpose(1, 0, 2) for part in self._parts(tokens)
        )
        if self.is_rotary:
            query, keys = rotated(query, bins), rotated(keys, bins)
        scores = (query * (width / self.heads) ** -0.5) @ keys.transpose(0, 2, 1)
        if self.distance_bias is not None:
            scores = scores + self._bias(bins[:, None] - bins[None, :])
        weights = jax.nn.softmax(jnp.where(allowed[None], scores, HIDDEN), axis=-1)
        if dropout is not None:
            weights = weights * hashed_dropout(dropout, weights.shape, key=key)
        gathered = (weights @ values).transpose(1, 0, 2).reshape(time, width)
        return affine(self.output.kernel, self.output.bias, gathered)

    def empty(self, bins: int) -> Cache:
        """A ring for the keys and values of so many bins."""
        shape = (self.heads, bins, self.output.kernel.shape[0] // self.heads)
        return Cache(jnp.zeros(shape), jnp.zeros(shape))

    def advance(
        self, cache: Cache, token: Float[Array, " width"], now: Moment
    ) -> tuple[Cache, Float[Array, " width"]]:
        """One bin onward: what it gathers from itself and from the bins in the ring."""
        query, key, value = parts = self.query_key_value(token).reshape(3, self.heads, 1, -1)
        if self.is_rotary:
            query, key = _turned(parts[:2], *now.turn[:, None, None, None])
        bins = cache.keys.shape[1]
        place = now.bin % bins
        cache = Cache(
            jax.lax.dynamic_update_slice_in_dim(cache.keys, key, place, axis=1),
            jax.lax.dynamic_update_slice_in_dim(cache.values, value, place, axis=1),
        )
        slots = jnp.arange(bins)
        scores = (query @ cache.keys.transpose(0, 2, 1))[:, 0] * (token.shape[0] / self.heads) ** -0.5
        if self.distance_bias is not None:
            scores = scores + self._bias((place - slots) % bins)
        weights = jax.nn.softmax(jnp.where((slots <= now.bin)[None], scores, HIDDEN), axis=-1)
        return cache, self.output((weights[:, None] @ cache.values).reshape(-1))

    def _parts(self, tokens: Float[Array, "time width"]) -> list[Float[Array, "time width"]]:
        """Queries, keys and values by a product each: joining the gradients of one product would take longer than they do."""
        kernels, biases = (
            jnp.split(of, 3, axis=-1) for of in (self.query_key_value.kernel, self.query_key_value.bias)
        )
        return [affine(kernel, bias, tokens) for kernel, bias in zip(kernels, biases, strict=True)]

    def _bias(self, distance: Int[Array, "*axes"]) -> Float[Array, "head *axes"]:
        """The learned bias of each distance, that of the farthest for all beyond."""
        return self.distance_bias[:, jnp.clip(distance, -FARTHEST, FARTHEST) + FARTHEST]


class Spatial(eqx.Module):
    """Attention across neurons (STNDT; Le and Shlizerman 2022): each channel's whole course is a token.

    The weights (neuron, neuron) mix the channels of the bins' tokens. The kernels have a row for each bin of the longest trial.
    """

    query_kernel: Float[Array, "bin size"]
    key_kernel: Float[Array, "bin size"]

    def __init__(self, bins: int, size: int, *, key: Key[Array, ""]):
        bound = (6 / (bins + size)) ** 0.5
        self.query_kernel, self.key_kernel = jax.random.uniform(
            key, (2, bins, size), minval=-bound, maxval=bound
        )

    def __call__(
        self, tokens: Float[Array, "time neuron"], is_seen: Bool[Array, " time"]
    ) -> Float[Array, "time neuron"]:
        """The tokens with their channels mixed; bins that are not seen have no say in how."""
        courses = jnp.where(is_seen[:, None], tokens, 0.0).T
        time, size = tokens.shape[0], self.query_kernel.shape[1]
        scores = (courses @ self.query_kernel[:time]) @ (courses @ self.key_kernel[:time]).T
        return tokens @ jax.nn.softmax(scores * size**-0.5, axis=-1).T


class LayerSizes(NamedTuple):
    """Units of a token, of its hidden layer, heads, and the longest trial of a spatial stream (0 for none)."""

    width: int
    hidden: int
    heads: int
    spatial_bins: int


class Layer(eqx.Module):
    """A layer of the transformer: attention and a network of one hidden layer, each added to what went in.

    The norms come before the two (pre-norm) or after each sum (post-norm). Dropout acts on the attention's weights, on the hidden
    layer, and on both outputs.
    """

    attention: Attention
    spatial: Spatial | None
    widen: Linear
    narrow: Linear
    attention_norm: LayerNorm
    spatial_norm: LayerNorm | None
    forward_norm: LayerNorm
    norm: Norm = eqx.field(static=True)

    def __init__(
        self,
        sizes: LayerSizes,
        positions: Positions,
        norm: Norm,
        *,
        scale: float,
        key: Key[Array, ""],
    ):
        attention_key, spatial_key, widen_key, narrow_key = jax.random.split(key, 4)
        width, hidden = sizes.width, sizes.hidden
        self.attention = Attention(width, sizes.heads, positions, scale=scale, key=attention_key)
        self.spatial = (
            Spatial(sizes.spatial_bins, sizes.spatial_bins, key=spatial_key) if sizes.spatial_bins else None
        )
        self.widen = _uniform(width, hidden, scale * width**-0.5, key=widen_key)
        self.narrow = _uniform(hidden, width, scale * hidden**-0.5, key=narrow_key)
        self.attention_norm, self.forward_norm = LayerNorm(width), LayerNorm(width)
        self.spatial_norm = LayerNorm(width) if sizes.spatial_bins else None
        self.norm = norm

    def __call__(
        self,
        tokens: Float[Array, "time width"],
        allowed: Bool[Array, "time time"],
        is_seen: Bool[Array, " time"],
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time width"]:
        """All bins at once."""
        attention_key, gathered_key, spatial_key, forward_key = jax.random.split(key, 4)

        def gather(inside):
            return _dropped(
                self.attention(inside, allowed, dropout, key=attention_key), dropout, key=gathered_key
            )

        def mix(inside):
            return _dropped(self.spatial(inside, is_seen), dropout, key=spatial_key)

        tokens = self._added(self.attention_norm, tokens, gather)
        if self.spatial is not None:
            tokens = self._added(self.spatial_norm, tokens, mix)
        return self._added(
            self.forward_norm, tokens, lambda inside: self._forward(inside, dropout, key=forward_key)
        )

    def advance(
        self, cache: Cache, token: Float[Array, " width"], now: Moment
    ) -> tuple[Cache, Float[Array, " width"]]:
        """One bin onward, without dropout and without a spatial stream."""
        inside = self.attention_norm(token) if self.norm == "before" else token
        cache, gathered = self.attention.advance(cache, inside, now)
        token = self._added(self.attention_norm, token, lambda _: gathered)
        return cache, self._added(
            self.forward_norm, token, lambda inside: self._forward(inside, None, key=None)
        )

    def _added(self, norm: LayerNorm, tokens: Array, branch) -> Array:
        if self.norm == "before":
            return tokens + branch(norm(tokens))
        return norm(tokens + branch(tokens))

    def _forward(self, tokens: Array, dropout: Array | None, *, key: Key[Array, ""] | None) -> Array:
        hidden_key, output_key = (None, None) if key is None else jax.random.split(key)
        hidden = jax.nn.relu(affine(self.widen.kernel, self.widen.bias, tokens))
        hidden = _dropped(hidden, dropout, key=hidden_key)
        return _dropped(affine(self.narrow.kernel, self.narrow.bias, hidden), dropout, key=output_key)


def allowed_pairs(is_seen: Bool[Array, " time"], backward: int, forward: int) -> Bool[Array, "time time"]:
    """Whether bin t (row) may attend to bin j (column): t - backward <= j <= t + forward, -1 for no limit.

    Bins after the last one that is seen (padding, bins to be forecast) may be looked back at, but not ahead to, so that nothing
    changes with the padding, and a forecast is built bin by bin on the one before.
    """
    bins = jnp.arange(is_seen.shape[0])
    ahead = bins[None, :] - bins[:, None]
    inside = ahead <= (forward if forward >= 0 else bins.shape[0])
    inside &= -ahead <= (backward if backward >= 0 else bins.shape[0])
    return inside & ((ahead <= 0) | is_seen[None, :])


def sinusoids(bins: Int[Array, " time"], width: int) -> Float[Array, "time width"]:
    """Sines, then cosines, of the bin over periods from 2 pi to 10,000 times that (Vaswani et al. 2017)."""
    angles = bins.astype(jnp.float32)[:, None] * _frequencies(-(-width // 2))[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)[:, :width]


def rotated(
    values: Float[Array, "head time size"], bins: Int[Array, " time"]
) -> Float[Array, "head time size"]:
    """Each pair of entries turned by the bin times the pair's frequency; a last odd entry stays."""
    angles = bins.astype(jnp.float32)[:, None] * _frequencies(values.shape[-1] // 2)[None]
    return _turned(values, jnp.cos(angles)[None], jnp.sin(angles)[None])


def turns(size: int, bins: int = 1) -> Float[Array, "2 frequency"]:
    """Cosines and sines of the angles of heads of this size after so many bins."""
    angles = bins * _frequencies(size // 2)
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)])


def turned_on(
    turn: Float[Array, "2 frequency"], step: Float[Array, "2 frequency"]
) -> Float[Array, "2 frequency"]:
    """The turn after one more step, brought back to length one."""
    cosine = turn[0] * step[0] - turn[1] * step[1]
    sine = turn[0] * step[1] + turn[1] * step[0]
    return jnp.stack([cosine, sine]) * jax.lax.rsqrt(cosine**2 + sine**2)[None]


def _turned(values: Array, cosine: Array, sine: Array) -> Array:
    half = values.shape[-1] // 2
    first, second, rest = values[..., :half], values[..., half : 2 * half], values[..., 2 * half :]
    return jnp.concatenate([first * cosine - second * sine, first * sine + second * cosine, rest], axis=-1)


def _frequencies(count: int) -> Float[Array, " frequency"]:
    return LONGEST_PERIOD ** (-jnp.arange(count) / max(count, 1))


def _uniform(inputs: int, outputs: int, bound: float, *, key: Key[Array, ""]) -> Linear:
    linear = Linear(inputs, outputs, key=key)
    kernel = jax.random.uniform(key, (inputs, outputs), minval=-bound, maxval=bound)
    return eqx.tree_at(lambda of: of.kernel, linear, kernel)


def _dropped(values: Array, rate: Array | None, *, key: Key[Array, ""] | None) -> Array:
    return values if rate is None else values * hashed_dropout(rate, values.shape, key=key)
