"""The GRU of LFADS, one step or a whole trial, with a backward pass written by hand.

The equations, for the input x, the state h and elementwise products `*` (Sussillo et al. 2016; lfads.py of its authors)::

    [r, u, a] = x W + b                            `GRU.project`: one product for all bins, outside the time loop
    r, u = sigmoid([r, u] + h G)                   G: `gates_kernel`
    c = tanh(a + (r * h) C)                        C: `candidate_kernel`
    h' = clip(u * h + (1 - u) * c, -limit, limit)

The reset gate r multiplies the state *before* the recurrent product, unlike the GRU of cuDNN and of most libraries.

Automatic differentiation of the time loop carries a weight gradient through every bin and stores about eight arrays a bin.
`run` keeps to what the recursion needs: its backward loop holds the two recurrent products, and all weight gradients are one
product over (bins x trials) after the loop. Under `jax.vmap` over trials the batch enters the kernel as an axis of its own, so
that the weight gradient is one product as well and not one for each trial (`jax.custom_batching`).
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal


class GRU(eqx.Module):
    """A gated recurrent unit. `limit` bounds each entry of the state; its gradient is cut where it binds."""

    input_kernel: Float[Array, "input gates"]
    bias: Float[Array, " gates"]
    gates_kernel: Float[Array, "state two_gates"]
    candidate_kernel: Float[Array, "state state"]
    limit: float = eqx.field(static=True)

    def __init__(
        self, inputs: int, size: int, *, limit: float = 5.0, joint_fan_in: bool = False, key: Key[Array, ""]
    ):
        """Start with N(0, 1/fan_in) kernels and a bias of 1 on the update gate.

        `joint_fan_in` takes input + state as the fan-in of every kernel, as the encoders of LFADS do.
        """
        input_key, gates_key, candidate_key = jax.random.split(key, 3)
        input_fan, state_fan = (inputs + size, inputs + size) if joint_fan_in else (inputs, size)
        self.input_kernel = fan_in_normal(input_fan, (inputs, 3 * size), key=input_key)
        self.bias = jnp.concatenate([jnp.zeros(size), jnp.ones(size), jnp.zeros(size)])
        self.gates_kernel = fan_in_normal(state_fan, (size, 2 * size), key=gates_key)
        self.candidate_kernel = fan_in_normal(state_fan, (size, size), key=candidate_key)
        self.limit = limit

    is_by_hand: ClassVar[bool] = True  # whether loops can differentiate it so

    @property
    def drive_size(self) -> int:
        """The length of the inputs' share."""
        return self.bias.shape[0]

    @property
    def recurrent(self) -> tuple[Array, Array]:
        """The recurrent kernels: what a penalty on the dynamics acts on."""
        return self.gates_kernel, self.candidate_kernel

    def project(self, inputs: Float[Array, "*axes input"]) -> Float[Array, "*axes gates"]:
        """The inputs' share of the three gates, bias included."""
        projected = inputs @ self.input_kernel
        return projected + jnp.broadcast_to(self.bias, projected.shape)

    def step(
        self, state: Float[Array, " state"], projected: Float[Array, " gates"]
    ) -> Float[Array, " state"]:
        """One bin onward."""
        return forward_step(self.recurrent, self.limit, state, projected)[0]

    def run(
        self,
        initial: Float[Array, " state"],
        projected: Float[Array, "time gates"],
        *,
        backward: str = "by_hand",
    ) -> Float[Array, "time state"]:
        """The states of all bins of one trial, the first one step after `initial`.

        `backward` is "by_hand" or "automatic"; both give the same gradients. By hand it is differentiated under `jax.vmap` over
        trials only: outside of one, take "automatic".
        """
        return SEQUENCES[backward](*self.recurrent, jnp.float32(self.limit), initial, projected)


def hold(projected: Float[Array, "time gates"], is_held: Array) -> Float[Array, "time gates"]:
    """Make the state stand still in the bins where `is_held` (time,), exactly: the update gate saturates to 1 there."""
    size = projected.shape[-1] // 3
    update = jnp.concatenate([jnp.zeros(size), jnp.ones(size), jnp.zeros(size)])
    return projected + 1e4 * is_held.astype(projected.dtype)[:, None] * update[None]


def forward_step(recurrent, limit, state, projected):
    """The next state, and what `backward_step` needs: (state before, state after, r, u, c). Any leading axes."""
    gates_kernel, candidate_kernel = recurrent
    size = state.shape[-1]
    gates = jax.nn.sigmoid(projected[..., : 2 * size] + state @ gates_kernel)
    reset, update = gates[..., :size], gates[..., size:]
    candidate = jnp.tanh(projected[..., 2 * size :] + (reset * state) @ candidate_kernel)
    after = jnp.clip(update * state + (1 - update) * candidate, -limit, limit)
    return after, (state, after, reset, update, candidate)


def backward_step(recurrent_transposed, limit, saved, d_after):
    """Cotangents of the state before and of the three gates' sums, from the cotangent of the state after."""
    gates_transposed, candidate_transposed = recurrent_transposed
    state, after, reset, update, candidate = saved
    d_after = jnp.where(jnp.abs(after) < limit, d_after, 0.0)
    d_candidate = d_after * (1 - update) * (1 - candidate * candidate)
    d_reset_state = d_candidate @ candidate_transposed
    d_reset = d_reset_state * state * reset * (1 - reset)
    d_update = d_after * (state - candidate) * update * (1 - update)
    d_gates = jnp.concatenate([d_reset, d_update], axis=-1)
    d_state = d_after * update + d_reset_state * reset + d_gates @ gates_transposed
    return d_state, jnp.concatenate([d_gates, d_candidate], axis=-1)


def recurrent_gradients(saved, d_projected):
    """Gradients of the recurrent kernels: each one product over all bins and trials."""
    state, _, reset, _, _ = saved
    size = state.shape[-1]
    return (
        product_over_bins(state, d_projected[..., : 2 * size]),
        product_over_bins(reset * state, d_projected[..., 2 * size :]),
    )


def product_over_bins(
    left: Float[Array, "time trial n"], right: Float[Array, "time trial m"]
) -> Float[Array, "n m"]:
    """The sum over bins and trials of outer products, as one matrix product."""
    return left.reshape(-1, left.shape[-1]).T @ right.reshape(-1, right.shape[-1])


def _forward_loop(gates_kernel, candidate_kernel, limit, initial, projected):
    def advance(state, bin_projected):
        return forward_step((gates_kernel, candidate_kernel), limit, state, bin_projected)

    return jax.lax.scan(advance, initial, projected)[1]


@jax.custom_vjp
def _sequence(gates_kernel, candidate_kernel, limit, initial, projected):
    """States (time, trial, state) from the initial ones (trial, state) and projected inputs (time, trial, gates)."""
    return _forward_loop(gates_kernel, candidate_kernel, limit, initial, projected)[1]


def _sequence_forward(gates_kernel, candidate_kernel, limit, initial, projected):
    saved = _forward_loop(gates_kernel, candidate_kernel, limit, initial, projected)
    return saved[1], (gates_kernel, candidate_kernel, limit, saved)


def _sequence_backward(residuals, d_states):
    gates_kernel, candidate_kernel, limit, saved = residuals
    transposed = (gates_kernel.T, candidate_kernel.T)

    def retreat(d_state, bin_values):
        bin_saved, d_output = bin_values
        return backward_step(transposed, limit, bin_saved, d_state + d_output)

    d_initial, d_projected = jax.lax.scan(
        retreat, jnp.zeros_like(d_states[0]), (saved, d_states), reverse=True
    )
    d_gates_kernel, d_candidate_kernel = recurrent_gradients(saved, d_projected)
    return d_gates_kernel, d_candidate_kernel, jnp.zeros_like(limit), d_initial, d_projected


_sequence.defvjp(_sequence_forward, _sequence_backward)


def batched_over_trials(kernel: Callable, shared: int) -> Callable:
    """Turn `kernel`, which takes trials as an axis of its own, into a function of one trial that `jax.vmap` maps onto it.

    The first `shared` arguments (pytrees) belong to all trials; the others carry trials on axis -2. Where a vmap maps the
    shared ones too (a population's members), the kernel itself is mapped.
    """

    def one_trial(*arguments):
        per_trial = jax.tree.map(lambda array: array[..., None, :], arguments[shared:])
        outputs = kernel(*arguments[:shared], *per_trial)
        return jax.tree.map(lambda array: array[..., 0, :], outputs)

    mapped = jax.custom_batching.custom_vmap(one_trial)

    @mapped.def_vmap
    def over_trials(size, is_batched, *arguments):
        if any(jax.tree.leaves(is_batched[:shared])):
            axes = jax.tree.map(lambda batched: 0 if batched else None, tuple(is_batched))
            outputs = jax.vmap(one_trial, in_axes=axes)(*arguments)
            return outputs, jax.tree.map(lambda _: True, outputs)
        per_trial = jax.tree.map(
            lambda array, batched: _trials_last_but_one(array, size, batched),
            arguments[shared:],
            tuple(is_batched[shared:]),
        )
        outputs = kernel(*arguments[:shared], *per_trial)
        outputs = jax.tree.map(lambda array: jnp.moveaxis(array, -2, 0), outputs)
        return outputs, jax.tree.map(lambda _: True, outputs)

    return mapped


def _trials_last_but_one(array, size, is_batched):
    if is_batched:
        return jnp.moveaxis(array, 0, -2)
    return jnp.broadcast_to(array[..., None, :], (*array.shape[:-1], size, array.shape[-1]))


def _automatic(gates_kernel, candidate_kernel, limit, initial, projected):
    return _forward_loop(gates_kernel, candidate_kernel, limit, initial, projected)[1]


SEQUENCES = {"by_hand": batched_over_trials(_sequence, shared=3), "automatic": _automatic}
