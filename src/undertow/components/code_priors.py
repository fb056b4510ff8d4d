"""Where codes come from when nobody encoded a trial: priors of a code, and one that is learned.

A prior is what the codes are drawn towards while training (`discrepancy.py`): independent normals; ten modes in every pair of
dimensions, on a circle, each stretched along its radius (InfoDiffusion's "10mix", which breaks the symmetry under rotation that
normals have); or a swiss roll, in two dimensions. `LearnedPrior` is a diffusion model of the codes themselves (a latent
diffusion; Preechakul et al. 2022, arXiv 2111.15640): it may follow whatever shape the codes take. It is trained beside the rest
and sends no gradient to the codes, which it sees standardised by a mean and a spread that it learns with them.
"""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.attention import LayerNorm
from undertow.components.conditioning import LevelEmbedding
from undertow.components.diffusion import Clean, Sampler, question, sample
from undertow.components.linear import Linear
from undertow.components.noise_levels import at_angle
from undertow.vocabulary import UndertowError

CodePriorKind = Literal["normal", "ten_modes", "swiss_roll"]

RADIUS, ALONG, ACROSS = 1.4, 0.5, 0.1
MODES = 10
ROLL_NOISE, ROLL_SCALE = 0.5, 5.0


def _normal(dimension: int, *, key: Key[Array, ""]) -> Float[Array, " code_dimension"]:
    return jax.random.normal(key, (dimension,))


def _ten_modes(dimension: int, *, key: Key[Array, ""]) -> Float[Array, " code_dimension"]:
    mode_key, place_key = jax.random.split(key)
    pairs = dimension // 2
    turn = 2 * jnp.pi / MODES * jax.random.randint(mode_key, (pairs,), 0, MODES).astype(jnp.float32)
    along, across = jax.random.normal(place_key, (2, pairs)) * jnp.array([[ALONG], [ACROSS]])
    along = along + RADIUS
    points = jnp.stack(
        [along * jnp.cos(turn) - across * jnp.sin(turn), along * jnp.sin(turn) + across * jnp.cos(turn)],
        axis=1,
    )
    return points.reshape(-1)


def _swiss_roll(dimension: int, *, key: Key[Array, ""]) -> Float[Array, " code_dimension"]:
    turn_key, noise_key = jax.random.split(key)
    turn = 1.5 * jnp.pi * (1 + 2 * jax.random.uniform(turn_key))
    roll = jnp.stack([turn * jnp.cos(turn), turn * jnp.sin(turn)])
    return (roll + ROLL_NOISE * jax.random.normal(noise_key, (dimension,))) / ROLL_SCALE


CODE_PRIORS: dict[str, Callable[..., Array]] = {
    "normal": _normal,
    "ten_modes": _ten_modes,
    "swiss_roll": _swiss_roll,
}


def check_prior(kind: CodePriorKind, dimension: int) -> None:
    """Refuse a code that the prior has no dimensions for."""
    if kind == "ten_modes" and dimension % 2:
        raise UndertowError(
            f"The prior 'ten_modes' lays codes out in pairs of dimensions, but gnocchi.code={dimension} is odd; take "
            f"{dimension + 1}, or another code_prior."
        )
    if kind == "swiss_roll" and dimension != 2:
        raise UndertowError(
            f"The prior 'swiss_roll' is a curve in a plane, but gnocchi.code={dimension}; take gnocchi.code=2, or "
            f"another code_prior."
        )


class LearnedPrior(eqx.Module):
    """A diffusion of standardised codes: layers of one hidden width, into each of which the noised code enters anew.

    `h <- norm((1 + level features) * silu(linear([h, x])))`; the answer is the velocity. (After the latent networks of DiffAE
    and InfoDiffusion.)
    """

    embedding: LevelEmbedding
    heads: tuple[Linear, ...]
    layers: tuple[Linear, ...]
    norm: LayerNorm
    out: Linear
    mean: Float[Array, " code_dimension"]
    log_spread: Float[Array, " code_dimension"]

    def __init__(self, dimension: int, width: int, layers: int, *, key: Key[Array, ""]):
        embedding_key, layers_key, out_key = jax.random.split(key, 3)
        self.embedding = LevelEmbedding(32, width, key=embedding_key)
        keys = jax.random.split(layers_key, 2 * layers)
        sizes = [dimension, *[width + dimension] * (layers - 1)]
        self.layers = tuple(
            Linear(size, width, key=one) for size, one in zip(sizes, keys[:layers], strict=True)
        )
        heads = [Linear(width, width, key=one) for one in keys[layers:]]
        self.heads = tuple(
            eqx.tree_at(lambda head: head.kernel, head, jnp.zeros((width, width))) for head in heads
        )
        self.norm = LayerNorm(width)
        self.out = Linear(width, dimension, key=out_key)
        self.mean, self.log_spread = jnp.zeros(dimension), jnp.zeros(dimension)

    def error(
        self, code: Float[Array, " code_dimension"], angle: Float[Array, ""], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """The squared error of the velocity at one level, and what mean and spread miss of this code (a Gaussian's nats)."""
        code = jax.lax.stop_gradient(code)
        away = (code - self.mean) * jnp.exp(-self.log_spread)
        fit = 0.5 * away**2 + self.log_spread
        standard = jax.lax.stop_gradient(away)
        noise, level = jax.random.normal(key, code.shape), at_angle(angle)
        answer = self(level.noised(standard, noise), angle)
        return jnp.mean((answer - question("velocity", standard, noise, level)) ** 2) + jnp.mean(fit)

    def draw(
        self, sampler: Sampler, angles: Float[Array, " visit"], *, key: Key[Array, ""]
    ) -> Float[Array, " code_dimension"]:
        """A code."""
        start_key, sample_key = jax.random.split(key)

        def clean(noised, angle):
            return Clean.of("velocity", self(noised, angle), noised, at_angle(angle))

        standard = sample(
            sampler, clean, jax.random.normal(start_key, self.mean.shape), angles, key=sample_key
        )
        return self.mean + jnp.exp(self.log_spread) * standard

    def __call__(
        self, noised: Float[Array, " code_dimension"], angle: Float[Array, ""]
    ) -> Float[Array, " code_dimension"]:
        """The velocity."""
        level = self.embedding(angle)
        hidden = noised
        for number, (layer, head) in enumerate(zip(self.layers, self.heads, strict=True)):
            inside = hidden if number == 0 else jnp.concatenate([hidden, noised])
            hidden = self.norm((1 + head(level)) * jax.nn.silu(layer(inside)))
        return self.out(hidden)
