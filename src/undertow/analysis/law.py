"""A model's law under constant inputs, ready for compiled programs: its steps, velocities and Jacobians at many states.

A law is z' = step(z, u): one bin onward under the inputs u, which stay as they are. What moves is its velocity step(z) - z, in
the units of the latents and per bin. Jacobians are those of the step, d z'_i / d z_j, taken forwards where the law can be
differentiated so, which costs less, and else backwards, as whatever was trained by gradients can be.

Programs are compiled for chunks of one size, of which there are as many as it takes, so that nothing is compiled again for
another number of states. Products are computed in full float32 on every device, for fixed points are differences of nearly
equal numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError

LARGEST_CHUNK = 1024
ENTRIES = 2**21
"""Entries of all Jacobians of a chunk: 8 MB, so that it stays in a processor's cache."""


class Law(eqx.Module):
    """`law(state) -> state`, one bin onward; the weights are leaves, so that a program takes them as arguments."""

    step: Callable[[Array, Array], Array]
    inputs: Float[Array, " input"]
    is_forward: bool = eqx.field(static=True)

    def __call__(self, state: Float[Array, " latent"]) -> Float[Array, " latent"]:
        """One bin onward."""
        return self.step(state, self.inputs)

    def with_jacobian(
        self, state: Float[Array, " latent"]
    ) -> tuple[Float[Array, " latent"], Float[Array, "latent latent"]]:
        """The state one bin onward, and the Jacobian of the step."""
        if self.is_forward:
            push = partial(jax.jvp, self, (state,))
            return jax.vmap(lambda moved: push((moved,)), out_axes=(None, 1))(jnp.eye(state.size))
        after, pull = jax.vjp(self, state)
        return after, jax.vmap(pull)(jnp.eye(state.size))[0]


def law_of(dynamics: LatentDynamics, inputs: np.ndarray | None) -> Law:
    """The law under `inputs` (input,), all zero if there are none.

    Raises:
        UndertowError: the inputs do not have one value for each that the law takes.
    """
    values = np.zeros(dynamics.inputs) if inputs is None else np.asarray(inputs)
    if values.shape != (dynamics.inputs,) or not np.isfinite(values).all():
        raise UndertowError(
            f"The dynamics take {dynamics.inputs} inputs, but {values.tolist()} was given; give one finite number for each."
        )
    pushed = jnp.asarray(values, jnp.float32)
    with jax.default_matmul_precision("highest"):
        step = eqx.filter_closure_convert(dynamics.step, jnp.zeros(dynamics.latents), pushed)
        return Law(step, pushed, _is_forward(step, jnp.zeros(dynamics.latents), pushed))


def _is_forward(step: Callable[[Array, Array], Array], state: Array, inputs: Array) -> bool:
    """Whether a step can be differentiated forwards; loops whose backward pass is written by hand can't."""
    try:
        jax.eval_shape(jax.jacfwd(step), state, inputs)
    except (TypeError, ValueError, NotImplementedError, RuntimeError):
        return False
    return True


def chunk_size(latents: int, rows: int) -> int:
    """How many states a program takes at once, given the size of their Jacobians: a power of two, or `rows` if they are fewer."""
    fitting = 2 ** int(np.log2(max(ENTRIES // latents**2, 1)))
    return max(min(fitting, LARGEST_CHUNK, rows), 1)


def in_chunks(program: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """`program` of a pytree of arrays (row, ...), `size` rows at a time; the last chunk is filled up with copies of its last row.

    A pytree of NumPy arrays with one row for each; there must be at least one.
    """
    total = len(jax.tree.leaves(rows)[0])
    parts = []
    for start in range(0, total, size):
        places = np.minimum(np.arange(start, start + size), total - 1)
        part = jax.tree.map(lambda array, places=places: jnp.asarray(array[places], jnp.float32), rows)
        with jax.default_matmul_precision("highest"):
            # Not waited for: the next chunk runs beside it on other cores, for solvers of small systems use one each.
            parts.append(program(part))
    return jax.tree.map(lambda *pieces: np.concatenate(pieces)[:total], *parts)


def velocities(law: Law, states: np.ndarray) -> np.ndarray:
    """step(z) - z at each of `states` (state, latent), in latents per bin, float32."""
    if not len(states):
        return np.zeros(states.shape, np.float32)
    return in_chunks(lambda chunk: _velocities(law, chunk), states, chunk_size(states.shape[1], len(states)))


def jacobians(law: Law, states: np.ndarray) -> np.ndarray:
    """The Jacobian of the step at each of `states` (state, latent): (state, latent, latent), float32."""
    if not len(states):
        return np.zeros((*states.shape, states.shape[1]), np.float32)
    return in_chunks(lambda chunk: _jacobians(law, chunk), states, chunk_size(states.shape[1], len(states)))


@eqx.filter_jit
def _velocities(law: Law, states: Array) -> Array:
    return jax.vmap(law)(states) - states


@eqx.filter_jit
def _jacobians(law: Law, states: Array) -> Array:
    return jax.vmap(lambda state: law.with_jacobian(state)[1])(states)
