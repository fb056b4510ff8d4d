"""The auxiliary encoder: what one vector, the trial's code, keeps of its activity.

"convolution" is a stack of residual blocks over the bins whose strides halve them, "gru" a bidirectional recurrent network;
either gives features of every bin. Attention pools them several times over: each pool's weights are a softmax over bins of a
learned linear map of the features and of the bin's position, so that a pool can be of a time within the trial as well as of what
happens there. Linear heads give the code (deterministic), or its mean and log-variance (Gaussian). Bins after a trial's end have
no weight. The stack of convolutions ends without a norm: how large activity is must reach the code.

InfoDiffusion (arXiv 2306.08757) reads pictures by a network like its denoiser; what GNOCCHI reads trials with is not known, so
this is our choice.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.attention import sinusoids
from undertow.components.convolution import Convolution, GroupNorm, halved, kept
from undertow.components.encoders import Encoder
from undertow.components.linear import Linear
from undertow.components.priors import Posterior, draw

EncoderKind = Literal["convolution", "gru"]
POOLS, POSITIONS = 8, 16
SMALLEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE = -12.0, 6.0


class ResidualBlock(eqx.Module):
    """h + conv(silu(norm(conv(silu(norm(h)))))), then two bins to one where it `halves`."""

    first_norm: GroupNorm
    second_norm: GroupNorm
    first: Convolution
    second: Convolution
    shrink: Linear | None

    def __init__(self, width: int, taps: int, *, halves: bool, key: Key[Array, ""]):
        first_key, second_key, shrink_key = jax.random.split(key, 3)
        self.first_norm, self.second_norm = GroupNorm(width), GroupNorm(width)
        self.first = Convolution(width, width, taps, key=first_key)
        self.second = Convolution(width, width, taps, gain=0.5, key=second_key)
        self.shrink = Linear(2 * width, width, key=shrink_key) if halves else None

    def __call__(
        self, activity: Float[Array, "time width"], is_there: Bool[Array, " time"]
    ) -> tuple[Float[Array, "after width"], Bool[Array, " after"]]:
        """The bins that go on, and which of them are there."""
        inside = kept(jax.nn.silu(self.first_norm(activity, is_there)), is_there)
        inside = kept(jax.nn.silu(self.second_norm(self.first(inside), is_there)), is_there)
        activity = kept(activity + self.second(inside), is_there)
        if self.shrink is None:
            return activity, is_there
        odd = activity.shape[0] % 2
        is_there = jnp.pad(is_there, (0, odd)).reshape(-1, 2).any(axis=1)
        return kept(self.shrink(halved(jnp.pad(activity, ((0, odd), (0, 0))))), is_there), is_there


class ConvolutionStack(eqx.Module):
    """Features of bins by convolutions."""

    into: Convolution
    blocks: tuple[ResidualBlock, ...]
    features: int = eqx.field(static=True)

    def __init__(self, inputs: int, width: int, blocks: int, taps: int, *, key: Key[Array, ""]):
        into_key, blocks_key = jax.random.split(key)
        self.features = width
        self.into = Convolution(inputs, width, taps, key=into_key)
        self.blocks = tuple(
            ResidualBlock(width, taps, halves=number < blocks - 1, key=block_key)
            for number, block_key in enumerate(jax.random.split(blocks_key, blocks))
        )

    def __call__(
        self, activity: Float[Array, "time input"], is_there: Bool[Array, " time"]
    ) -> tuple[Float[Array, "after feature"], Bool[Array, " after"]]:
        """Features, and which bins are there."""
        inside = kept(self.into(kept(activity, is_there)), is_there)
        for block in self.blocks:
            inside, is_there = block(inside, is_there)
        return inside, is_there


class RecurrentStack(eqx.Module):
    """Features of bins by a bidirectional GRU."""

    encoder: Encoder
    features: int = eqx.field(static=True)

    def __init__(self, inputs: int, width: int, *, key: Key[Array, ""]):
        self.encoder = Encoder(
            inputs, width, is_causal=False, limit=float("inf"), differentiate="by_hand", key=key
        )
        self.features = 2 * width

    def __call__(
        self, activity: Float[Array, "time input"], is_there: Bool[Array, " time"]
    ) -> tuple[Float[Array, "after feature"], Bool[Array, " after"]]:
        """Features, and which bins are there."""
        forward, backward = self.encoder.states(activity, is_there)
        return jnp.concatenate([forward, backward], axis=1), is_there


class CodeEncoder(eqx.Module):
    """The encoder of this module's head."""

    stack: ConvolutionStack | RecurrentStack
    attention: Linear
    to_code: Linear
    to_log_variance: Linear | None

    def __init__(
        self,
        stack: ConvolutionStack | RecurrentStack,
        dimension: int,
        *,
        is_gaussian: bool,
        key: Key[Array, ""],
    ):
        attention_key, code_key, variance_key = jax.random.split(key, 3)
        self.stack = stack
        pooled = POOLS * stack.features
        self.attention = Linear(stack.features + POSITIONS, POOLS, key=attention_key)
        self.to_code = Linear(pooled, dimension, key=code_key)
        self.to_log_variance = Linear(pooled, dimension, key=variance_key) if is_gaussian else None

    def __call__(
        self,
        activity: Float[Array, "time input"],
        is_there: Bool[Array, " time"],
        *,
        key: Key[Array, ""] | None,
    ) -> Posterior:
        """The posterior of a trial's code, and a sample of it: its mean without a key, or where it is deterministic."""
        features, is_left = self.stack(activity, is_there)
        positions = sinusoids(jnp.arange(features.shape[0]), POSITIONS)
        scores = self.attention(jnp.concatenate([features, positions], axis=1))
        scores = jnp.where(is_left[:, None], scores, -jnp.inf)
        weights = jax.nn.softmax(jnp.where(is_left.any(), scores, 0.0), axis=0)
        pooled = (weights.T @ features).reshape(-1)
        mean = self.to_code(pooled)
        if self.to_log_variance is None:
            return Posterior(mean, jnp.zeros_like(mean), mean)
        log_variance = jnp.clip(self.to_log_variance(pooled), SMALLEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
        variance = jnp.exp(log_variance)
        sample = mean if key is None else draw(mean, variance, jax.random.normal(key, mean.shape))
        return Posterior(mean, variance, sample)
