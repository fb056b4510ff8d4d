"""The controller of LFADS: what the counts, and the factors so far, say about the inputs that push the generator.

A trial is run by `control_loop` on this controller's `gates` and `weights`; `begin` and `advance` run the same one bin at a time,
in the posterior's means.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.cells import GRU
from undertow.components.control_loop import LoopInputs, LoopState, LoopWeights, control_step
from undertow.components.dynamics import Dynamics
from undertow.components.encoders import Backward, Encoder, EncoderState
from undertow.components.linear import Linear, fan_in_normal
from undertow.components.priors import PRIORS, Prior, PriorKind


class ControllerSizes(NamedTuple):
    """Numbers of units: of what it reads, of itself, and of the drive of the generator that it pushes."""

    inputs: int
    encoder: int
    controller: int
    factors: int
    inferred_inputs: int
    drive: int


class CausalState(NamedTuple):
    """All that a causal pass carries from bin to bin; without a controller only latents and factors."""

    encoder: EncoderState | None
    loop: LoopState


class Controller(eqx.Module):
    """Infers the generator's inputs: an encoder of the counts, a GRU that also sees the factors, and the prior."""

    encoder: Encoder
    cell: GRU
    start: Float[Array, " controller"]
    posterior: Linear
    input_kernel: Float[Array, "inferred_input generator_drive"]
    prior: Prior

    def __init__(
        self,
        sizes: ControllerSizes,
        *,
        is_causal: bool,
        limit: float,
        prior: PriorKind,
        differentiate: Backward,
        key: Key[Array, ""],
    ):
        encoder_key, cell_key, posterior_key, input_key = jax.random.split(key, 4)
        self.encoder = Encoder(
            sizes.inputs,
            sizes.encoder,
            is_causal=is_causal,
            limit=limit,
            differentiate=differentiate,
            key=encoder_key,
        )
        read = self.encoder.output_size + sizes.factors
        self.cell = GRU(read, sizes.controller, limit=limit, key=cell_key)
        self.start = jnp.zeros(sizes.controller)
        self.posterior = Linear(sizes.controller, 2 * sizes.inferred_inputs, key=posterior_key)
        kernel_shape = (sizes.inferred_inputs, sizes.drive)
        self.input_kernel = fan_in_normal(sizes.inferred_inputs, kernel_shape, key=input_key)
        self.prior = PRIORS[prior](sizes.inferred_inputs)

    def gates(self, encoded: Float[Array, "*axes encoder"]) -> Float[Array, "*axes controller_gates"]:
        """The encoder's share of the controller's gates, bias included."""
        gates = encoded @ self.cell.input_kernel[: self.encoder.output_size]
        return gates + jnp.broadcast_to(self.cell.bias, gates.shape)

    def weights(
        self, generator: GRU | Dynamics, factors_kernel: Float[Array, "latent factor"]
    ) -> LoopWeights:
        """The weights of the loop of this controller and that generator."""
        return LoopWeights(
            self.cell.recurrent,
            self.cell.input_kernel[self.encoder.output_size :],
            self.posterior.kernel,
            self.posterior.bias,
            self.input_kernel,
            generator,
            factors_kernel,
            jnp.float32(self.cell.limit),
        )

    def begin(self, initial: LoopState, lag: int) -> CausalState:
        """The pass before a trial's first bin, for `advance`; `lag` is that of `Encoder.around`."""
        return CausalState(self.encoder.begin(lag), initial)

    def advance(
        self,
        state: CausalState,
        weights: LoopWeights,
        encoder_inputs: Float[Array, " input"],
        generator_gates: Float[Array, " generator_gates"],
    ) -> tuple[CausalState, Float[Array, " inferred_input"]]:
        """One bin onward, with forward encoder and without chance: the next state, and the inferred inputs' means."""
        encoder, encoded = self.encoder.advance(state.encoder, encoder_inputs)
        noise = jnp.zeros(self.input_kernel.shape[0])
        masks = (jnp.ones_like(state.loop.factors), jnp.ones_like(state.loop.latents))
        inputs = LoopInputs(self.gates(encoded), generator_gates, noise, *masks)
        loop, outputs = control_step(weights, state.loop, inputs)
        return CausalState(encoder, loop), outputs.inferred_inputs
