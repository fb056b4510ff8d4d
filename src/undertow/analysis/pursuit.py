"""Many states at once on their way to where the velocity vanishes: Powell's dogleg.

Each state z of its own minimises q(z) = 1/2 |step(z) - z|^2. With the velocity r and its Jacobian J two moves are known:
Newton's, -J^-1 r, which ends at the fixed point if the law is linear, and the steepest descent of q to the lowest point of its
linear model, which always goes down. The dogleg goes from here to the second and on to the first, as far as a radius of trust;
the radius grows where the linear model foretold q well and shrinks where it did not (Powell 1970; Nocedal and Wright, Numerical
Optimization, 4.1 and 11.2). It needs no learning rate, finds saddles as readily as attractors, and takes tens of steps where
gradient descent takes thousands. Unlike Levenberg and Marquardt's method it does not square the condition of J, which float32
would not bear.

States that have arrived, or get no further, drop out after every round, so that the rest becomes cheap.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from undertow.analysis.law import Law, chunk_size, in_chunks

ROUND = 4
"""Steps between two looks at who is still on the way."""
GAIN = 0.92
"""Who is not slower than this share of its speed a round before gets no further."""
FIRST_RADIUS, LARGEST_RADIUS = 0.2, 1.0
"""Radii of trust, in units of the data's spread."""


class Walker(NamedTuple):
    """States on their way (one, or with a first axis many), how far each may go in a step, and its speed |step(z) - z|."""

    state: Float[Array, " latent"]
    radius: Float[Array, ""]
    speed: Float[Array, ""]


def pursue(
    law: Law, starts: np.ndarray, *, spread: float, goal: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `starts` (state, latent) comes to rest, and its speed there (latents per bin): where q is smallest nearby.

    Args:
        law: what moves the states.
        starts: at least one.
        spread: of the data, for the radii of trust.
        goal: the speed at which a state has arrived.
        steps: the most that a state may take.
    """
    size = chunk_size(starts.shape[1], len(starts))
    walkers = Walker(
        starts.astype(np.float32),
        np.full(len(starts), FIRST_RADIUS * spread, np.float32),
        np.full(len(starts), np.inf, np.float32),
    )
    active = np.arange(len(starts))
    for _ in range(-(-steps // ROUND)):
        before = Walker(*(array[active] for array in walkers))
        after = in_chunks(lambda chunk: _walk(law, chunk, jnp.float32(LARGEST_RADIUS * spread)), before, size)
        for array, fresh in zip(walkers, after, strict=True):
            array[active] = fresh
        active = active[(after.speed > goal) & (after.speed < GAIN * before.speed)]
        if not len(active):
            break
    return walkers.state, walkers.speed


@eqx.filter_jit
def _walk(law: Law, walkers: Walker, largest: Float[Array, ""]) -> Walker:
    """A round of steps of a chunk."""
    return jax.lax.fori_loop(
        0, ROUND, lambda _, now: jax.vmap(lambda walker: _step(law, walker, largest))(now), walkers
    )


def _step(law: Law, walker: Walker, largest: Float[Array, ""]) -> Walker:
    """One step of one state: taken where it makes it slower, and the radius it leaves for the next."""

    after, jacobian = law.with_jacobian(walker.state)
    here, jacobian = after - walker.state, jacobian - jnp.eye(walker.state.size)
    move = _dogleg(here, jacobian, walker.radius)
    there = law(walker.state + move) - (walker.state + move)
    gained = here @ here - there @ there
    foreseen = here @ here - jnp.sum((here + jacobian @ move) ** 2)
    is_better = gained > 0
    return Walker(
        jnp.where(is_better, walker.state + move, walker.state),
        _radius(walker.radius, jnp.linalg.norm(move), gained / jnp.maximum(foreseen, 1e-37), largest),
        jnp.linalg.norm(jnp.where(is_better, there, here)),
    )


def _dogleg(
    here: Float[Array, " latent"], jacobian: Float[Array, "latent latent"], radius: Float[Array, ""]
) -> Float[Array, " latent"]:
    """The move within the radius: along steepest descent, and on towards Newton's."""
    slope = jacobian.T @ here
    descent = -slope * (slope @ slope) / jnp.maximum(jnp.sum((jacobian @ slope) ** 2), 1e-37)
    newton = -jnp.linalg.solve(jacobian, here)
    # Where the Jacobian is singular, as along a line of fixed points, there is no Newton step.
    newton = jnp.where(_is_finite(newton), newton, descent)
    bend = _shortened(descent, radius)
    rest = newton - bend
    reached = bend + _share_within(bend, rest, radius) * rest
    return jnp.where(jnp.linalg.norm(newton) <= radius, newton, reached)


def _shortened(move: Float[Array, " latent"], radius: Float[Array, ""]) -> Float[Array, " latent"]:
    return move * jnp.minimum(1.0, radius / jnp.maximum(jnp.linalg.norm(move), 1e-37))


def _share_within(bend: Array, rest: Array, radius: Float[Array, ""]) -> Float[Array, ""]:
    """The share s of `rest`, from 0 to 1, at which |bend + s rest| is the radius."""
    square, product = jnp.maximum(rest @ rest, 1e-37), bend @ rest
    left = jnp.maximum(radius**2 - bend @ bend, 0.0)
    return jnp.clip((jnp.sqrt(product**2 + square * left) - product) / square, 0.0, 1.0)


def _radius(
    radius: Float[Array, ""], length: Float[Array, ""], ratio: Float[Array, ""], largest: Float[Array, ""]
) -> Float[Array, ""]:
    """The next radius, from how much of the gain that was foreseen came true."""
    grown = jnp.where((ratio > 0.75) & (length > 0.9 * radius), jnp.minimum(2 * radius, largest), radius)
    # Written so that a move to nowhere (NaN) shrinks the radius, too.
    return jnp.where(ratio > 0.25, grown, 0.25 * jnp.where(_is_finite(length), length, radius))


def _is_finite(values: Array) -> Bool[Array, ""]:
    return jnp.all(jnp.isfinite(values))
