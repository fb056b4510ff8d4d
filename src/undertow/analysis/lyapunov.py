"""Lyapunov exponents: how fast neighbouring trajectories come apart or together, on average along the dynamics' own way.

Displacements of a state are carried along by the Jacobians of the steps. After every bin they are made orthonormal again by QR,
and the diagonal of R says by how much each grew beyond those before it (Benettin et al. 1980)::

    J(z_t) Q_t = Q_{t+1} R_t          exponent i = mean over bins of log |R_t[i, i]|, over the bin width

A positive exponent is chaos; a zero one and otherwise negative ones a limit cycle, or the direction of time in chaos; all
negative, a fixed point. Their sum is how fast volumes shrink.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undertow.analysis.law import Law, law_of
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError

SMALLEST = 1e-30
"""What a displacement is taken to be if it vanishes, as in a direction that the step forgets at once."""


def lyapunov_spectrum(
    dynamics: LatentDynamics,
    states: np.ndarray,
    *,
    bins: int,
    bin_width: float,
    inputs: np.ndarray | None = None,
    warm_up: int | None = None,
) -> np.ndarray:
    """The exponents (latent,) in 1/s, largest first, averaged over trajectories from `states` (state, latent).

    Args:
        dynamics: the model's law.
        states: where the trajectories start; several, for they run side by side.
        bins: how long each is followed; exponents close in as one over all bins together.
        bin_width: seconds a bin.
        inputs: (input,) what pushes all the while; nothing by default.
        warm_up: bins before those, in which trajectories settle and displacements turn into their directions; a tenth by
        default.

    Raises:
        UndertowError: a trajectory runs to infinity, or inputs do not fit the dynamics.
    """
    states = jnp.asarray(states, jnp.float32)
    warm_up = bins // 10 if warm_up is None else warm_up
    with jax.default_matmul_precision("highest"):
        logarithms = np.asarray(_logarithms(law_of(dynamics, inputs), states, warm_up + bins), np.float64)
    is_lost = ~np.isfinite(logarithms).all(axis=(1, 2))
    if is_lost.any():
        raise UndertowError(
            f"{int(is_lost.sum())} of {len(states)} trajectories ran to infinity within {warm_up + bins} bins, and have no "
            "exponents; start from states close to the data, or follow them for fewer bins."
        )
    return np.sort(logarithms[:, warm_up:].mean(axis=(0, 1)))[::-1] / bin_width


@eqx.filter_jit
def _logarithms(law: Law, states: Array, bins: int) -> Float[Array, "state bins latent"]:
    """By how much displacements grew in each bin."""

    def advance(carried: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        state, directions = carried
        after, jacobian = law.with_jacobian(state)
        directions, triangle = jnp.linalg.qr(jacobian @ directions)
        grown = jnp.abs(jnp.diagonal(triangle))
        # Not `maximum` alone, which would hide NaN on some devices.
        return (after, directions), jnp.log(jnp.where(grown < SMALLEST, SMALLEST, grown))

    def follow(state: Array) -> Array:
        return jax.lax.scan(advance, (state, jnp.eye(state.size)), length=bins)[1]

    return jax.vmap(follow)(states)
