"""A U-Net over the bins of a trial: the denoiser of activity (time, neuron) that is told the level of noise and the code.

Residual blocks of two convolutions; before the first stands the code's adaptive norm, before the second the level's::

    h + conv_2(dropout(silu(norm_level(conv_1(silu(norm_code(h)))))))        conv_2 starts at zero

`blocks` of them at each of `depth` resolutions, of which the next has half the bins and up to twice the channels of the first,
then self-attention and one more block at the coarsest, and the same way back with what was there before laid beside it. Bins are
filled up to a multiple of 2^(depth - 1); padding changes nothing. (Ho et al. 2020; one-dimensional as for time series.)
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.attention import Attention
from undertow.components.conditioning import AdaptiveNorm, Conditions
from undertow.components.convolution import Convolution, GroupNorm, doubled, halved, kept
from undertow.components.corruption import hashed_dropout
from undertow.components.linear import Linear

LARGEST_FACTOR = 2
"""Channels at any resolution are at most so many times those of the first."""


class UNetSizes(NamedTuple):
    """Channels at the first resolution, resolutions, blocks at each, bins of a convolution, and heads of attention."""

    width: int
    depth: int
    blocks: int
    taps: int
    heads: int
    features: int
    code_everywhere: bool = True


class Block(eqx.Module):
    """One residual block."""

    code_norm: AdaptiveNorm
    level_norm: AdaptiveNorm
    first: Convolution
    second: Convolution
    shortcut: Linear | None
    hears_code: bool = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, sizes: UNetSizes, *, hears_code: bool, key: Key[Array, ""]):
        code_key, level_key, first_key, second_key, shortcut_key = jax.random.split(key, 5)
        self.code_norm = AdaptiveNorm(inputs, sizes.features, key=code_key)
        self.level_norm = AdaptiveNorm(outputs, sizes.features, key=level_key)
        self.first = Convolution(inputs, outputs, sizes.taps, key=first_key)
        self.second = Convolution(outputs, outputs, sizes.taps, gain=0.0, key=second_key)
        self.shortcut = None if inputs == outputs else Linear(inputs, outputs, key=shortcut_key)
        self.hears_code = hears_code

    def __call__(
        self,
        activity: Float[Array, "time input"],
        told: Conditions,
        is_there: Bool[Array, " time"],
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time output"]:
        """Of the same bins."""
        code = told.code if self.hears_code else None
        inside = kept(jax.nn.silu(self.code_norm(activity, code, is_there)), is_there)
        inside = self.level_norm(self.first(inside), told.level, is_there)
        inside = kept(jax.nn.silu(inside), is_there)
        if dropout is not None:
            inside = inside * hashed_dropout(dropout, inside.shape, key=key)
        passed = activity if self.shortcut is None else self.shortcut(activity)
        return kept(passed + self.second(inside), is_there)


class SelfAttention(eqx.Module):
    """Attention between all bins, added to them; its output starts at zero."""

    norm: GroupNorm
    attention: Attention

    def __init__(self, channels: int, heads: int, *, key: Key[Array, ""]):
        self.norm = GroupNorm(channels)
        self.attention = Attention(channels, heads, "rotary", scale=0.0, key=key)

    def __call__(
        self, activity: Float[Array, "time channel"], is_there: Bool[Array, " time"], *, key: Key[Array, ""]
    ) -> Float[Array, "time channel"]:
        """Of the same bins."""
        allowed = jnp.broadcast_to(is_there[None, :], (is_there.shape[0],) * 2)
        gathered = self.attention(self.norm(activity, is_there), allowed, None, key=key)
        return kept(activity + gathered, is_there)


class UNet(eqx.Module):
    """The network of this module's head, from channels in to features of every bin; the read-out is not part of it."""

    into: Convolution
    down: tuple[tuple[Block, ...], ...]
    shrink: tuple[Linear, ...]
    middle: tuple[Block, Block]
    attention: SelfAttention
    grow: tuple[Linear, ...]
    up: tuple[tuple[Block, ...], ...]
    norm: AdaptiveNorm
    width: int = eqx.field(static=True)

    def __init__(self, inputs: int, sizes: UNetSizes, *, key: Key[Array, ""]):
        into_key, down_key, middle_key, up_key, norm_key = jax.random.split(key, 5)
        widths = [sizes.width * min(2**level, LARGEST_FACTOR) for level in range(sizes.depth)]
        everywhere = sizes.code_everywhere
        self.width = sizes.width
        self.into = Convolution(inputs, sizes.width, sizes.taps, key=into_key)
        self.down, self.up, self.shrink, self.grow = (), (), (), ()
        for level, (width, before) in enumerate(zip(widths, [sizes.width, *widths], strict=False)):
            level_down, level_up = jax.random.fold_in(down_key, level), jax.random.fold_in(up_key, level)
            *down_keys, shrink_key = jax.random.split(level_down, sizes.blocks + 1)
            *up_keys, grow_key = jax.random.split(level_up, sizes.blocks + 1)
            ins = [before, *[width] * (sizes.blocks - 1)]
            self.down += (
                tuple(
                    Block(size, width, sizes, hears_code=everywhere, key=block_key)
                    for size, block_key in zip(ins, down_keys, strict=True)
                ),
            )
            ins = [2 * width, *[width] * (sizes.blocks - 1)]
            self.up += (
                tuple(
                    Block(size, width, sizes, hears_code=everywhere, key=block_key)
                    for size, block_key in zip(ins, up_keys, strict=True)
                ),
            )
            if level + 1 < sizes.depth:
                self.shrink += (Linear(2 * width, width, key=shrink_key),)
                self.grow += (Linear(widths[level + 1], 2 * width, key=grow_key),)
        before_key, attention_key, after_key = jax.random.split(middle_key, 3)
        self.middle = tuple(
            Block(widths[-1], widths[-1], sizes, hears_code=True, key=block_key)
            for block_key in (before_key, after_key)
        )
        self.attention = SelfAttention(widths[-1], sizes.heads, key=attention_key)
        self.norm = AdaptiveNorm(sizes.width, sizes.features, key=norm_key)

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
        time = activity.shape[0]
        beyond = -time % 2 ** (len(self.down) - 1)
        presence = [jnp.pad(is_there, (0, beyond))]
        for _ in self.shrink:
            presence.append(presence[-1].reshape(-1, 2).any(axis=1))
        keys = iter(jax.random.split(key, 2 * sum(map(len, self.down)) + 3))
        inside = kept(self.into(kept(jnp.pad(activity, ((0, beyond), (0, 0))), presence[0])), presence[0])
        passed = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                inside = block(inside, told, presence[level], dropout, key=next(keys))
            passed.append(inside)
            if level < len(self.shrink):
                inside = kept(self.shrink[level](halved(inside)), presence[level + 1])
        inside = self.middle[0](inside, told, presence[-1], dropout, key=next(keys))
        inside = self.attention(inside, presence[-1], key=next(keys))
        inside = self.middle[1](inside, told, presence[-1], dropout, key=next(keys))
        for level in reversed(range(len(self.up))):
            inside = jnp.concatenate([inside, passed[level]], axis=1)
            for block in self.up[level]:
                inside = block(inside, told, presence[level], dropout, key=next(keys))
            if level:
                inside = kept(doubled(self.grow[level - 1](inside)), presence[level - 1])
        return kept(jax.nn.silu(self.norm(inside, told.level, presence[0])), presence[0])[:time]
