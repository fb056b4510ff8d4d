"""The loop of LFADS in which the controller looks at the factors and the generator moves on its inputs.

For each bin, with e the encoders' share of the controller's gates and x the known inputs' share of the generator's::

    k = GRU_controller(e + (mask_f * f) A, k)          A: `feedback_kernel`
    [m, s] = k P + p                                   posterior mean and log-variance of the inferred input
    u = m + exp(s / 2) * noise
    g = GRU_generator(x + u B, g)                      B: `input_kernel`
    f = (mask_g * g) F                                 F: `factors_kernel`, columns of length one

(Sussillo et al. 2016, equations 8 to 17; the masks are dropout.) The backward pass is written by hand in the same way as the
GRU's in `cells.py`: the loop keeps the recurrent products, the gradients of the seven kernels are products after it. Generators
of other kinds (`dynamics.py`) take the GRU's place in the same loop, which is then differentiated automatically.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from undertow.components.cells import (
    backward_step,
    batched_over_trials,
    forward_step,
    product_over_bins,
    recurrent_gradients,
)


class LoopWeights(NamedTuple):
    """What all trials share. `generator` is the dynamics as a module; within the loop by hand, its recurrent kernels alone."""

    controller: tuple[Array, Array]
    feedback_kernel: Float[Array, "factor controller_gates"]
    posterior_kernel: Float[Array, "controller two_inputs"]
    posterior_bias: Float[Array, " two_inputs"]
    input_kernel: Float[Array, "inferred_input generator_gates"]
    generator: Any
    factors_kernel: Float[Array, "latent factor"]
    limit: Float[Array, ""]


Move = Callable[
    [Array, Array], tuple[Array, Any]
]  # latents and drive to the latents after, and what is saved


class LoopState(NamedTuple):
    """What passes from bin to bin."""

    controller: Float[Array, "... controller"]
    latents: Float[Array, "... latent"]
    factors: Float[Array, "... factor"]


class LoopInputs(NamedTuple):
    """What each bin receives."""

    controller_gates: Float[Array, "time ... controller_gates"]
    generator_gates: Float[Array, "time ... generator_gates"]
    noise: Float[Array, "time ... inferred_input"]
    factors_mask: Float[Array, "time ... factor"]
    latents_mask: Float[Array, "time ... latent"]


class LoopOutputs(NamedTuple):
    """What each bin yields; `posterior` holds means, then log-variances."""

    latents: Float[Array, "time ... latent"]
    factors: Float[Array, "time ... factor"]
    posterior: Float[Array, "time ... two_inputs"]
    inferred_inputs: Float[Array, "time ... inferred_input"]


def control_loop(
    weights: LoopWeights, initial: LoopState, inputs: LoopInputs, *, backward: str
) -> LoopOutputs:
    """Run one trial. `backward` is "by_hand" (under `jax.vmap` over trials) or "automatic"; both give the same gradients.

    By hand the masks have none, and the generator must be a GRU; any other is differentiated automatically.
    """
    if backward == "by_hand" and weights.generator.is_by_hand:
        return _loop_by_hand(weights._replace(generator=weights.generator.recurrent), initial, inputs)
    return jax.lax.scan(lambda state, now: control_step(weights, state, now), initial, inputs)[1]


def control_step(weights: LoopWeights, state: LoopState, inputs: LoopInputs) -> tuple[LoopState, LoopOutputs]:
    """Run one bin, as `control_loop` does; all arrays without the time axis."""
    after, (outputs, *_) = _advance(
        weights, state, inputs, lambda latents, drive: (weights.generator.step(latents, drive), None)
    )
    return after, outputs


def _advance(weights: LoopWeights, state: LoopState, inputs: LoopInputs, move: Move):
    """One bin: the state after, and (outputs, feedback, what the backward step of controller and generator needs)."""
    feedback = inputs.factors_mask * state.factors
    controller, controller_saved = forward_step(
        weights.controller,
        weights.limit,
        state.controller,
        inputs.controller_gates + feedback @ weights.feedback_kernel,
    )
    statistics = controller @ weights.posterior_kernel
    posterior = statistics + jnp.broadcast_to(weights.posterior_bias, statistics.shape)
    mean, log_variance = jnp.split(posterior, 2, axis=-1)
    inferred = mean + jnp.exp(0.5 * log_variance) * inputs.noise
    latents, generator_saved = move(state.latents, inputs.generator_gates + inferred @ weights.input_kernel)
    factors = (inputs.latents_mask * latents) @ weights.factors_kernel
    outputs = LoopOutputs(latents, factors, posterior, inferred)
    return LoopState(controller, latents, factors), (outputs, feedback, controller_saved, generator_saved)


def _forward_loop(weights, initial, inputs):
    def move(latents, drive):
        return forward_step(weights.generator, weights.limit, latents, drive)

    return jax.lax.scan(
        lambda state, bin_inputs: _advance(weights, state, bin_inputs, move), initial, inputs
    )[1]


@jax.custom_vjp
def _loop(weights, initial, inputs):
    return _forward_loop(weights, initial, inputs)[0]


def _loop_forward(weights, initial, inputs):
    saved = _forward_loop(weights, initial, inputs)
    return saved[0], (weights, inputs, saved)


class _BinGradients(NamedTuple):
    factors: Array
    generator_gates: Array
    posterior: Array
    noise: Array
    controller_gates: Array


def _retreat(transposed: LoopWeights, d_state: LoopState, bin_values):
    inputs, (outputs, _, controller_saved, generator_saved), d_outputs = bin_values
    d_factors = d_state.factors + d_outputs.factors
    d_latents = (
        d_state.latents + d_outputs.latents + inputs.latents_mask * (d_factors @ transposed.factors_kernel)
    )
    d_latents, d_generator = backward_step(transposed.generator, transposed.limit, generator_saved, d_latents)
    d_inferred = d_outputs.inferred_inputs + d_generator @ transposed.input_kernel
    deviation = jnp.exp(0.5 * jnp.split(outputs.posterior, 2, axis=-1)[1])
    d_noise = d_inferred * deviation
    d_posterior = d_outputs.posterior + jnp.concatenate([d_inferred, 0.5 * d_noise * inputs.noise], axis=-1)
    d_controller = d_state.controller + d_posterior @ transposed.posterior_kernel
    d_controller, d_gates = backward_step(
        transposed.controller, transposed.limit, controller_saved, d_controller
    )
    d_feedback = inputs.factors_mask * (d_gates @ transposed.feedback_kernel)
    gradients = _BinGradients(d_factors, d_generator, d_posterior, d_noise, d_gates)
    return LoopState(d_controller, d_latents, d_feedback), gradients


def _loop_backward(residuals, d_outputs):
    weights, inputs, saved = residuals
    outputs, feedback, controller_saved, generator_saved = saved
    transposed = jax.tree.map(lambda kernel: kernel.T, weights)
    d_end = LoopState(
        *jax.tree.map(lambda array: jnp.zeros_like(array[0]), (controller_saved[1], *outputs[:2]))
    )
    d_initial, bins = jax.lax.scan(
        lambda d_state, bin_values: _retreat(transposed, d_state, bin_values),
        d_end,
        (inputs, saved, d_outputs),
        reverse=True,
    )
    d_weights = LoopWeights(
        controller=recurrent_gradients(controller_saved, bins.controller_gates),
        feedback_kernel=product_over_bins(feedback, bins.controller_gates),
        posterior_kernel=product_over_bins(controller_saved[1], bins.posterior),
        posterior_bias=bins.posterior.sum((0, 1)),
        input_kernel=product_over_bins(outputs.inferred_inputs, bins.generator_gates),
        generator=recurrent_gradients(generator_saved, bins.generator_gates),
        factors_kernel=product_over_bins(inputs.latents_mask * outputs.latents, bins.factors),
        limit=jnp.zeros_like(weights.limit),
    )
    no_mask_gradient = jax.tree.map(jnp.zeros_like, (inputs.factors_mask, inputs.latents_mask))
    d_inputs = LoopInputs(bins.controller_gates, bins.generator_gates, bins.noise, *no_mask_gradient)
    return d_weights, d_initial, d_inputs


_loop.defvjp(_loop_forward, _loop_backward)


_loop_by_hand = batched_over_trials(_loop, shared=1)
