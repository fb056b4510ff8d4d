"""A direct way from a trial's code to its course: what the code says of every bin, before any denoising.

    h_t = silu(W silu(A c + B p_t)),      m_tn = (V h_t)_n

for the code c and the sines and cosines p_t of the bin. The denoiser is shown h, and what it, and the filter of each neuron
(components/level_filter.py), answer is about what the course leaves over: of x_i = alpha x_0 + sigma eps they see
x_i - alpha m, and to their answer is added the one that m alone would have (of a velocity, -sigma m). So activity that is a
course of the code plus noise of each neuron by itself is denoised exactly by the small parts, and the large network is left with
the rest. Adaptive norms alone, which tell every bin the same, need many times the updates to get there
(benchmarks/RESULTS.md). Without a code both are zero. Our choice.
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
    units: int = eqx.field(static=True)

    def __init__(self, code: int, places: int, units: int, neurons: int, *, key: Key[Array, ""]):
        code_key, place_key, between_key, out_key = jax.random.split(key, 4)
        self.of_code = Linear(code, units, key=code_key)
        self.of_place = Linear(places, units, key=place_key)
        self.between = Linear(units, units, key=between_key)
        out = Linear(units, neurons, key=out_key)
        self.out = eqx.tree_at(lambda linear: linear.kernel, out, SMALL * out.kernel)
        self.units = units

    def __call__(
        self,
        code: Float[Array, " code_dimension"],
        is_told: Bool[Array, ""],
        places: Float[Array, "time place"],
    ) -> tuple[Float[Array, "time unit"], Float[Array, "time neuron"]]:
        """What is shown to the denoiser, and the course itself."""
        inside = jax.nn.silu(self.of_code(code)[None] + self.of_place(places))
        inside = jnp.where(is_told, jax.nn.silu(self.between(inside)), 0.0)
        return inside, jnp.where(is_told, self.out(inside), 0.0)
