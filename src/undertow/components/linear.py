"""Linear maps with the initial scale that LFADS uses."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


class Linear(eqx.Module):
    """`inputs @ kernel + bias`, with kernel ~ N(0, 1/input) and bias 0 at the start (LFADS; specs of the family, 1.3)."""

    kernel: Float[Array, "input output"]
    bias: Float[Array, " output"]

    def __init__(self, inputs: int, outputs: int, *, key: Key[Array, ""]):
        self.kernel = fan_in_normal(inputs, (inputs, outputs), key=key)
        self.bias = jnp.zeros(outputs)

    def __call__(self, inputs: Float[Array, "*axes input"]) -> Float[Array, "*axes output"]:
        """Map the last axis."""
        outputs = inputs @ self.kernel
        return outputs + jnp.broadcast_to(self.bias, outputs.shape)


def fan_in_normal(fan_in: int, shape: tuple[int, ...], *, key: Key[Array, ""]) -> Float[Array, "..."]:
    """Draw from N(0, 1/fan_in); zeros where there is nothing to fan in."""
    return jax.random.normal(key, shape) / jnp.sqrt(jnp.maximum(fan_in, 1.0))


def fan_in_uniform(fan_in: int, shape: tuple[int, ...], *, key: Key[Array, ""]) -> Float[Array, "..."]:
    """Draw evenly within 1 / sqrt(fan_in), as PyTorch does for linear maps; zeros where there is nothing to fan in."""
    bound = fan_in**-0.5 if fan_in else 0.0
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def unit_columns(kernel: Float[Array, "input output"]) -> Float[Array, "input output"]:
    """Scale each output's weight vector to length one, as the factors of LFADS are at every pass."""
    return kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True)
