"""Encoders: what the counts of a trial say about its start and about its inputs."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.cells import GRU, hold

Backward = Literal["by_hand", "automatic"]


class EncoderState(NamedTuple):
    """A forward encoder after some bins: its state, and the states of the last `lag` bins, the oldest first."""

    newest: Float[Array, " state"]
    earlier: Float[Array, "lag state"]


class Encoder(eqx.Module):
    """A GRU over the bins of a trial, in both directions or forward only (causal).

    Bins that are not `is_seen` leave the state where it is, so that padding at a trial's end and bins to be forecast change
    nothing. Both directions start from learned states.
    """

    forward: GRU
    backward: GRU | None
    forward_start: Float[Array, " state"]
    backward_start: Float[Array, " state"] | None
    differentiate: Backward = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        size: int,
        *,
        is_causal: bool,
        limit: float,
        differentiate: Backward,
        key: Key[Array, ""],
    ):
        forward_key, backward_key = jax.random.split(key)
        self.forward = GRU(inputs, size, limit=limit, joint_fan_in=True, key=forward_key)
        self.forward_start = jnp.zeros(size)
        self.backward = (
            None if is_causal else GRU(inputs, size, limit=limit, joint_fan_in=True, key=backward_key)
        )
        self.backward_start = None if is_causal else jnp.zeros(size)
        self.differentiate = differentiate

    @property
    def output_size(self) -> int:
        """The length of a summary: the state's, for each direction."""
        return self.forward_start.shape[0] * (1 if self.backward is None else 2)

    def states(
        self, inputs: Float[Array, "time input"], is_seen: Bool[Array, " time"]
    ) -> tuple[Float[Array, "time state"], Float[Array, "time state"] | None]:
        """The forward states (after each bin) and the backward states (after each bin, from the end), or None if causal."""
        forward = self._run(self.forward, self.forward_start, inputs, is_seen)
        if self.backward is None:
            return forward, None
        return forward, self._run(self.backward, self.backward_start, inputs[::-1], is_seen[::-1])[::-1]

    def summary(
        self, inputs: Float[Array, "time input"], is_seen: Bool[Array, " time"]
    ) -> Float[Array, " output"]:
        """The last state of each direction, side by side; of no bins, the starts."""
        if not inputs.shape[0]:
            starts = (self.forward_start, self.backward_start)
            return jnp.concatenate([start for start in starts if start is not None])
        forward, backward = self.states(inputs, is_seen)
        return forward[-1] if backward is None else jnp.concatenate([forward[-1], backward[0]])

    def around(
        self, inputs: Float[Array, "time input"], is_seen: Bool[Array, " time"], lag: int
    ) -> Float[Array, "time output"]:
        """For each bin t the forward state at t - lag and the backward state at t + lag, zero beyond the trial's ends."""
        forward, backward = self.states(inputs, is_seen)
        forward = _shifted(jnp.where(is_seen[:, None], forward, 0.0), lag)
        if backward is None:
            return forward
        return jnp.concatenate([forward, _shifted(jnp.where(is_seen[:, None], backward, 0.0), -lag)], axis=-1)

    def begin(self, lag: int) -> EncoderState:
        """The forward encoder before a trial, for `advance`."""
        return EncoderState(self.forward_start, jnp.zeros((lag, self.forward_start.shape[0])))

    def advance(
        self, state: EncoderState, inputs: Float[Array, " input"]
    ) -> tuple[EncoderState, Float[Array, " state"]]:
        """One bin onward, forward only: the next state, and what `around` gives for this bin."""
        newest = self.forward.step(state.newest, self.forward.project(inputs))
        states = jnp.concatenate([state.earlier, newest[None]])
        return EncoderState(newest, states[1:]), states[0]

    def _run(self, cell: GRU, start: Array, inputs: Array, is_seen: Array) -> Array:
        return cell.run(start, hold(cell.project(inputs), ~is_seen), backward=self.differentiate)


def _shifted(states: Float[Array, "time state"], lag: int) -> Float[Array, "time state"]:
    zeros = jnp.zeros((min(abs(lag), states.shape[0]), states.shape[1]))
    if lag == 0:
        return states
    if lag > 0:
        return jnp.concatenate([zeros, states])[: states.shape[0]]
    return jnp.concatenate([states, zeros])[-states.shape[0] :]
