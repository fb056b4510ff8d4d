"""What a denoiser is told besides the noised sample: the level of noise and the trial's code, each by its own adaptive norm.

A vector of features turns into a scale and a shift of every channel of a normalised activity (adaptive group norm)::

    h' = norm(h) * (1 + s) + b,      [s, b] = features W + c

W and c start at zero, so that a network begins as if it were told nothing (Peebles and Xie 2023, arXiv 2212.09748; published
InfoDiffusion
starts them at random). Level and code have norms of their own, as in InfoDiffusion (arXiv 2306.08757).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.convolution import GroupNorm
from undertow.components.linear import Linear

ANGLE_STEPS = 1000.0
"""The angle of a level is told to the network as a number from 0 to this, as published networks are told the level."""
LONGEST_PERIOD = 10_000.0


class Conditions(NamedTuple):
    """Features of the level and of the code; None for a network without a code."""

    level: Float[Array, " feature"]
    code: Float[Array, " feature"] | None


class LevelEmbedding(eqx.Module):
    """Sines and cosines of the level's angle, and two linear maps with a SiLU between and behind."""

    first: Linear
    second: Linear
    waves: int = eqx.field(static=True)

    def __init__(self, waves: int, features: int, *, key: Key[Array, ""]):
        first_key, second_key = jax.random.split(key)
        self.waves = 2 * (-(-waves // 2))
        self.first = Linear(self.waves, features, key=first_key)
        self.second = Linear(features, features, key=second_key)

    def __call__(self, angle: Float[Array, ""]) -> Float[Array, " feature"]:
        """Of an angle from 0 to pi / 2."""
        half = self.waves // 2
        frequencies = LONGEST_PERIOD ** (-jnp.arange(half) / half)
        phase = angle * (2 / jnp.pi * ANGLE_STEPS) * frequencies
        waves = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)])
        return jax.nn.silu(self.second(jax.nn.silu(self.first(waves))))


class CodeEmbedding(eqx.Module):
    """A linear map of the code with a SiLU behind, and a vector in its place where no code is told (guidance without
    classifier).
    """

    linear: Linear
    untold: Float[Array, " feature"]

    def __init__(self, dimension: int, features: int, *, key: Key[Array, ""]):
        self.linear = Linear(dimension, features, key=key)
        self.untold = jnp.zeros(features)

    def __call__(
        self, code: Float[Array, " code_dimension"], is_told: Bool[Array, ""]
    ) -> Float[Array, " feature"]:
        """Of a code, or of none."""
        return jnp.where(is_told, jax.nn.silu(self.linear(code)), self.untold)


class AdaptiveNorm(eqx.Module):
    """The norm of this module's head. Without features it has a scale and a shift of its own."""

    norm: GroupNorm
    head: Linear

    def __init__(self, channels: int, features: int, *, key: Key[Array, ""]):
        self.norm = GroupNorm(channels)
        head = Linear(features, 2 * channels, key=key)
        self.head = eqx.tree_at(lambda linear: linear.kernel, head, jnp.zeros_like(head.kernel))

    def __call__(
        self,
        activity: Float[Array, "time channel"],
        features: Float[Array, " feature"] | None,
        is_there: Bool[Array, " time"],
    ) -> Float[Array, "time channel"]:
        """Normalised, scaled and shifted."""
        told = jnp.zeros(self.head.kernel.shape[0]) if features is None else features
        scale, shift = jnp.split(self.head(told)[None], 2, axis=1)
        return self.norm(activity, is_there) * (1 + scale) + shift
