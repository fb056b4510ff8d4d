"""A direct way from a trial's code to its course: what the code says of every bin, before any denoising.

    h_t = silu(W silu(A c + B p_t)),      y_tn = g_n(level) (V h_t)_n

for the code c and the sines and cosines p_t of the bin. y is added to the denoiser's answer and h laid beside what it is shown,
so that
at high noise, where the answer is the mean of all trials of this code, a small decoder gives it at once; adaptive norms alone,
which
tell every bin the same, need many times the updates to get there (benchmarks/RESULTS.md). Without a code both are zero. Our
choice.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.linear import Linear

SMALL = 0.1


class CodeCourse(eqx.Module):
    """The way of this module's head."""

    of_code: Linear
    of_place: Linear
    between: Linear
    out: Linear
    gains: Linear
    units: int = eqx.field(static=True)

    def __init__(
        self, code: int, places: int, units: int, neurons: int, features: int, *, key: Key[Array, ""]
    ):
        code_key, place_key, between_key, out_key, gain_key = jax.random.split(key, 5)
        self.of_code = Linear(code, units, key=code_key)
        self.of_place = Linear(places, units, key=place_key)
        self.between = Linear(units, units, key=between_key)
        out, gains = Linear(units, neurons, key=out_key), Linear(features, neurons, key=gain_key)
        self.out = eqx.tree_at(lambda linear: linear.kernel, out, SMALL * out.kernel)
        start = (jnp.zeros_like(gains.kernel), -jnp.ones_like(gains.bias))  # a velocity at pure noise is -x_0
        self.gains = eqx.tree_at(lambda linear: (linear.kernel, linear.bias), gains, start)
        self.units = units

    def __call__(
        self,
        code: Float[Array, " code_dimension"],
        is_told: Bool[Array, ""],
        places: Float[Array, "time place"],
        features: Float[Array, " feature"],
    ) -> tuple[Float[Array, "time unit"], Float[Array, "time neuron"]]:
        """What is shown to the denoiser, and what is added to its answer."""
        inside = jax.nn.silu(self.of_code(code)[None] + self.of_place(places))
        inside = jnp.where(is_told, jax.nn.silu(self.between(inside)), 0.0)
        answer = self.gains(features)[None] * self.out(inside)
        return inside, jnp.where(is_told, answer, 0.0)
