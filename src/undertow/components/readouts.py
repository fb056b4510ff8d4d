"""From factors to the parameters of the observation model, for every neuron."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal, fan_in_uniform
from undertow.vocabulary import UndertowError

ReadoutKind = Literal["linear", "flow"]
INVERSE_ROUNDS = 30


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


class FlowReadout(eqx.Module):
    """A read-out that can be inverted, approximately (ODIN; Versteeg et al. 2023, arXiv 2309.06402).

    The latents are placed in the space of the neurons by a linear map and then moved by a flow, K residual steps::

        y_0 = z P                    z (latent), P (latent, neuron)
        y_{k+1} = y_k + tanh(y_k A_k + a_k) B_k / K
        parameter_np = s_np (y_K)_n + b_np

    A step is undone by iterating y <- y_{k+1} - tanh(y A_k + a_k) B_k / K, which converges while the step contracts. B starts
    small, so that the flow starts as the linear read-out; of several parameters the first begins at y, the others constant.
    """

    placement: Readout
    kernels: tuple[Float[Array, "step neuron unit"], Float[Array, "step unit neuron"]]
    biases: Float[Array, "step unit"]
    scale: Float[Array, "neuron parameter"]
    offset: Float[Array, "neuron parameter"]

    def __init__(
        self,
        latents: int,
        start: Float[Array, "neuron parameter"],
        *,
        steps: int,
        units: int,
        key: Key[Array, ""],
    ):
        neurons = start.shape[0]
        if latents > neurons:
            raise UndertowError(
                f"A flow read-out can't place {latents} latents in the space of {neurons} neurons; take at most as many latents, "
                "or readout='linear'."
            )
        placement_key, in_key, out_key = jax.random.split(key, 3)
        self.placement = Readout(latents, jnp.zeros((neurons, 1)), key=placement_key)
        self.kernels = (
            fan_in_uniform(neurons, (steps, neurons, units), key=in_key),
            0.1 * fan_in_uniform(units, (steps, units, neurons), key=out_key),
        )
        self.biases = jnp.zeros((steps, units))
        self.scale = jnp.zeros_like(start).at[:, 0].set(1.0)
        self.offset = start

    def __call__(self, latents: Float[Array, "time latent"]) -> Float[Array, "time neuron parameter"]:
        """Parameters of every neuron in every bin."""
        places = self.placement(latents)[..., 0]
        for step in range(self.biases.shape[0]):
            places = places + self._push(step, places)
        parameters = places[..., None] * self.scale[None]
        return parameters + jnp.broadcast_to(self.offset, parameters.shape)

    def invert(self, parameters: Float[Array, "time neuron parameter"]) -> Float[Array, "time latent"]:
        """The latents whose parameters these are, or come closest: the flow undone, then least squares."""
        moved = (parameters[..., 0] - self.offset[None, :, 0]) / self.scale[None, :, 0]
        for step in reversed(range(self.biases.shape[0])):
            after = places = moved
            for _ in range(INVERSE_ROUNDS):
                places = after - self._push(step, places)
            moved = places
        linear = self.placement.kernel[..., 0]
        return (moved - self.placement.bias[None, :, 0]) @ jnp.linalg.pinv(linear)

    def _push(self, step: int, places: Float[Array, "time neuron"]) -> Float[Array, "time neuron"]:
        inward, outward = (kernel[step] for kernel in self.kernels)
        hidden = jnp.tanh(places @ inward + self.biases[step][None])
        return hidden @ outward / self.biases.shape[0]
