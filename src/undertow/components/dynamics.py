"""Dynamics: the law by which a latent state moves from one bin to the next, pushed by inputs. Five kinds, one interface.

For the state z, the inputs x and a bin of length h in the law's own time (`time_step`)::

    gru        Sussillo's gated recurrent unit                       `cells.py`
    rnn        z' = tanh(z R + x W + b)
    linear     z' = z A + x W + b
    residual   z' = z + h V(z, x)                                    a discrete step of an ODE
    ode        z' = z(h),  dz/ds = V(z, x)                           a neural ODE, `neural_ode.py`
    V(z, x) = tanh(z V_1 + x W + b) V_2 + c                          `VectorField`; with more hidden layers in between

(Chen et al. 2018; Sedler, Versteeg and Pandarinath 2022, arXiv 2212.03771.) Every kind can be a generator of any sequence model:

* `project(inputs)` is the inputs' share, x W + b, for all bins at once, of size `drive_size`;
* `step(state, drive)` is one bin onward, `run(initial, drive)` a trial, whose first state is one step after `initial`;
* `recurrent` are the kernels that a penalty on the dynamics acts on.

A model's choices of dynamics are fields of `DynamicsChoices`, from which its configuration inherits; `generators.py` makes what
they name.
"""

from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import Field

from undertow.components.configuration import Configuration
from undertow.components.linear import fan_in_normal, fan_in_uniform

DynamicsKind = Literal["gru", "rnn", "linear", "residual", "ode"]
Activation = Literal["tanh", "relu", "softplus"]
Solver = Literal["heun", "midpoint", "bosh3", "tsit5", "dopri5"]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
}


class DynamicsChoices(Configuration):
    """The choices of a latent law; those of a vector field matter to "residual" and "ode", those of a solver to "ode"."""

    dynamics: DynamicsKind = Field("gru", description="The law by which latents move from bin to bin")
    vector_field: tuple[int, ...] = Field(
        (128,), min_length=1, description="Units of each hidden layer of the vector field (residual, ode)"
    )
    activation: Activation = Field("tanh", description="Of the vector field's hidden layers (residual, ode)")
    time_step: float = Field(
        0.1,
        gt=0,
        description="Length of a bin in the law's own time (residual, ode); small makes slow starts",
    )
    solver: Solver = Field("midpoint", description="How an ode is integrated")
    solver_steps: int = Field(1, ge=1, description="Steps of the solver in a bin, where they are fixed (ode)")
    adaptive: bool = Field(
        default=False, description="Let the solver choose its steps (ode): more exact, and slower"
    )
    tolerance: float = Field(
        1e-4, gt=0, description="Error of an adaptive solver's step, relative and absolute"
    )
    max_solver_steps: int = Field(64, ge=1, description="Most steps that an adaptive solver takes in a bin")

    def when_not_finite(self) -> str:
        """What else may have gone wrong where values are not finite, as a clause; empty where nothing is known."""
        if self.dynamics != "ode" or not self.adaptive:
            return ""
        return (
            f"an adaptive solver that needs more than {self.section}.max_solver_steps (now {self.max_solver_steps}) steps in a "
            f"bin gives no value: raise it or {self.section}.tolerance (now {self.tolerance:g}), or set "
            f"{self.section}.adaptive=false"
        )


class Dynamics(eqx.Module):
    """What all kinds but the GRU share. `limit` bounds each entry of the state; infinity for none."""

    input_kernel: Float[Array, "input drive"]
    bias: Float[Array, " drive"]
    limit: float = eqx.field(static=True)

    is_by_hand: ClassVar[bool] = False

    @property
    def drive_size(self) -> int:
        """The length of the inputs' share."""
        return self.bias.shape[0]

    @property
    @abstractmethod
    def recurrent(self) -> tuple[Array, ...]:
        """The kernels that a penalty on the dynamics acts on."""

    @abstractmethod
    def move(self, state: Float[Array, " state"], drive: Float[Array, " drive"]) -> Float[Array, " state"]:
        """One bin onward, without bounds."""

    def project(self, inputs: Float[Array, "*axes input"]) -> Float[Array, "*axes drive"]:
        """The inputs' share of every bin, bias included."""
        projected = inputs @ self.input_kernel
        return projected + jnp.broadcast_to(self.bias, projected.shape)

    def step(self, state: Float[Array, " state"], drive: Float[Array, " drive"]) -> Float[Array, " state"]:
        """One bin onward."""
        after = self.move(state, drive)
        return after if self.limit == float("inf") else jnp.clip(after, -self.limit, self.limit)

    def run(
        self,
        initial: Float[Array, " state"],
        drive: Float[Array, "time drive"],
        *,
        backward: str = "automatic",  # noqa: ARG002 - the GRU has two ways
    ) -> Float[Array, "time state"]:
        """The states of all bins of one trial, the first one step after `initial`.

        Going back, what is inside a step is computed again from its state: that is faster than to store and fetch it.
        """

        @jax.checkpoint
        def onward(state: Array, bin_drive: Array) -> tuple[Array, Array]:
            after = self.step(state, bin_drive)
            return after, after

        return jax.lax.scan(onward, initial, drive)[1]


class RNN(Dynamics):
    """z' = tanh(z R + drive), with R ~ N(0, 1/state) at the start."""

    kernel: Float[Array, "state state"]

    def __init__(self, inputs: int, size: int, *, limit: float, key: Key[Array, ""]):
        input_key, key = jax.random.split(key)
        self.input_kernel = fan_in_normal(inputs, (inputs, size), key=input_key)
        self.bias, self.limit = jnp.zeros(size), limit
        self.kernel = fan_in_normal(size, (size, size), key=key)

    @property
    def recurrent(self) -> tuple[Array, ...]:
        """R."""
        return (self.kernel,)

    def move(self, state: Array, drive: Array) -> Array:
        """One bin onward."""
        return jnp.tanh(state @ self.kernel + drive)


class LinearDynamics(RNN):
    """z' = z A + drive, with A a little off the identity at the start."""

    def __init__(self, inputs: int, size: int, *, limit: float, key: Key[Array, ""]):
        super().__init__(inputs, size, limit=limit, key=key)
        self.kernel = jnp.eye(size) + 0.1 * self.kernel

    def move(self, state: Array, drive: Array) -> Array:
        """One bin onward."""
        return state @ self.kernel + drive


class VectorField(eqx.Module):
    """A network from a state and the inputs' share to the state's velocity.

    Kernels start evenly within 1 / sqrt(fan-in), as those of Sedler et al. do; the first layer's bias is part of the drive.
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(self, size: int, hidden: tuple[int, ...], activation: Activation, *, key: Key[Array, ""]):
        widths, keys = (size, *hidden, size), jax.random.split(key, len(hidden) + 1)
        pairs = list(pairwise(widths))
        self.kernels = tuple(
            fan_in_uniform(pair[0], pair, key=layer_key) for pair, layer_key in zip(pairs, keys, strict=True)
        )
        self.biases = tuple(jnp.zeros(after) for _, after in pairs[1:])
        self.activation = activation

    def __call__(
        self, state: Float[Array, " state"], drive: Float[Array, " drive"]
    ) -> Float[Array, " state"]:
        """The velocity, in latents per unit of the law's own time."""
        values = state @ self.kernels[0] + drive
        for kernel, bias in zip(self.kernels[1:], self.biases, strict=True):
            values = ACTIVATIONS[self.activation](values) @ kernel + bias
        return values


class Residual(Dynamics):
    """z' = z + h V(z, drive): the discrete neural ODE of Sedler et al. (2022)."""

    field: VectorField
    time_step: float = eqx.field(static=True)

    def __init__(
        self, choices: DynamicsChoices, inputs: int, size: int, *, limit: float, key: Key[Array, ""]
    ):
        input_key, field_key = jax.random.split(key)
        first = choices.vector_field[0]
        self.input_kernel = fan_in_normal(inputs, (inputs, first), key=input_key)
        self.bias, self.limit = jnp.zeros(first), limit
        self.field = VectorField(size, choices.vector_field, choices.activation, key=field_key)
        self.time_step = choices.time_step

    @property
    def recurrent(self) -> tuple[Array, ...]:
        """The kernels of the vector field."""
        return self.field.kernels

    def move(self, state: Array, drive: Array) -> Array:
        """One bin onward."""
        return state + self.time_step * self.field(state, drive)
