"""Quadratic forms of a chain: -1/2 x' J x + h' x, where J joins only neighbouring bins.

J is block-tridiagonal and symmetric, so solving, its determinant and the blocks of its inverse that matter cost one pass of block
elimination forward and one back.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float


class Chain(NamedTuple):
    """-1/2 x' J x + h' x: J by its diagonal blocks and those below them (the first of which is not used)."""

    diagonal: Float[Array, "time factor factor"]
    below: Float[Array, "time factor factor"]
    linear: Float[Array, "time factor"]


def times(chain: Chain, x: Float[Array, "time factor"]) -> Float[Array, "time factor"]:
    """J x."""
    below = jnp.einsum("tij,tj->ti", chain.below[1:], x[:-1])
    above = jnp.einsum("tij,ti->tj", chain.below[1:], x[1:])
    zero = jnp.zeros_like(x[:1])
    product = jnp.einsum("tij,tj->ti", chain.diagonal, x)
    return product + jnp.concatenate([zero, below]) + jnp.concatenate([above, zero])


def _eliminated(precision: Chain):
    """Cholesky factors of the pivots of block elimination, and the multipliers."""

    def step(before, blocks):
        diagonal, below = blocks
        multiplier = cho_solve((before, True), below.T).T
        now = jnp.linalg.cholesky(diagonal - multiplier @ below.T)
        return now, (now, multiplier)

    first = jnp.linalg.cholesky(precision.diagonal[0])
    _, (roots, multipliers) = jax.lax.scan(step, first, (precision.diagonal[1:], precision.below[1:]))
    return jnp.concatenate([first[None], roots]), multipliers


def solved(precision: Chain, right: Float[Array, "time factor"]) -> Float[Array, "time factor"]:
    """J^-1 times a vector of each bin."""
    roots, multipliers = _eliminated(precision)

    def down(before, blocks):
        value, multiplier = blocks
        now = value - multiplier @ before
        return now, now

    _, reduced = jax.lax.scan(down, right[0], (right[1:], multipliers))
    scaled = jax.vmap(lambda root, value: cho_solve((root, True), value))(
        roots, jnp.concatenate([right[:1], reduced])
    )

    def up(after, blocks):
        value, multiplier = blocks
        now = value - multiplier.T @ after
        return now, now

    _, before_last = jax.lax.scan(up, scaled[-1], (scaled[:-1], multipliers), reverse=True)
    return jnp.concatenate([before_last, scaled[-1:]])


def covariances(
    precision: Chain,
) -> tuple[Float[Array, "time factor factor"], Float[Array, "time factor factor"], Float[Array, ""]]:
    """The blocks of J^-1 on the diagonal and below it (the first is zero), and log det J."""
    roots, multipliers = _eliminated(precision)
    identity = jnp.eye(roots.shape[1])
    inverses = jax.vmap(lambda root: cho_solve((root, True), identity))(roots)

    def up(after, blocks):
        inverse, multiplier = blocks
        below = -after @ multiplier
        now = inverse - multiplier.T @ below
        return now, (0.5 * (now + now.T), below)

    _, (earlier, below) = jax.lax.scan(up, inverses[-1], (inverses[:-1], multipliers), reverse=True)
    whole = jnp.concatenate([earlier, inverses[-1:]])
    log_determinant = 2 * jnp.log(jnp.diagonal(roots, axis1=1, axis2=2)).sum()
    return whole, jnp.concatenate([jnp.zeros_like(below[:1]), below]), log_determinant
