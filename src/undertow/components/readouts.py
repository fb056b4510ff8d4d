"""From factors to the parameters of the observation model, for every neuron."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal


class Readout(eqx.Module):
    """A linear map from factors (time, factor) to parameters (time, neuron, parameter).

    The bias starts where the observation model says (`Observation.start`: the log mean rate for Poisson), the kernel at
    N(0, 1/factor), or evenly between -`bound` and `bound`.
    """

    kernel: Float[Array, "factor neuron parameter"]
    bias: Float[Array, "neuron parameter"]

    def __init__(
        self,
        factors: int,
        start: Float[Array, "neuron parameter"],
        *,
        bound: float | None = None,
        key: Key[Array, ""],
    ):
        shape = (factors, *start.shape)
        self.kernel = (
            fan_in_normal(factors, shape, key=key)
            if bound is None
            else jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        )
        self.bias = start

    def __call__(self, factors: Float[Array, "time factor"]) -> Float[Array, "time neuron parameter"]:
        """Parameters of every neuron in every bin."""
        flat = factors @ self.kernel.reshape(factors.shape[-1], -1)
        parameters = flat.reshape(-1, *self.bias.shape)
        return parameters + jnp.broadcast_to(self.bias, parameters.shape)
