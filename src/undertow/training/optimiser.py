"""AdamW with a clipped gradient, and the schedules of its learning rate. The only door to Optax."""

import math
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from pydantic import Field

from undertow.components.configuration import Configuration

LOSS_SCALE = 1e4
"""The loss is multiplied by this before it is differentiated, so that published clip norms and epsilons keep their meaning."""


class Optimiser(Configuration):
    """AdamW's numbers. Weight decay acts on kernels, not on biases or initial states."""

    section: ClassVar[str] = "optimiser"

    learning_rate: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["decoupled", "coupled"] = Field(
        "decoupled",
        description="'decoupled' shrinks kernels beside Adam's step (AdamW); 'coupled' adds the decay of every parameter to the "
        "gradient before it (Adam in PyTorch), which holds them back far more where gradients are small",
    )
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    max_gradient_norm: float = Field(
        200.0, gt=0, description="Global norm at which the gradient of the scaled loss is clipped"
    )
    schedule: Literal["constant", "plateau", "cosine"] = "cosine"
    warm_up: int = Field(0, ge=0, description="Updates over which the learning rate rises from 0")
    plateau_factor: float = Field(
        0.95, gt=0, le=1, description="Multiplies the learning rate when the score stalls"
    )
    plateau_patience: int = Field(6, ge=0, description="Epochs without improvement before that")
    smallest_learning_rate: float = Field(1e-5, ge=0)
    averaging: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of a running average of the weights over updates, which is then what is validated and kept; 0: none",
    )


class Plateau(NamedTuple):
    """What the plateau schedule remembers."""

    scale: Float[Array, ""]
    best: Float[Array, ""]
    waited: Array


def start_plateau() -> Plateau:
    """Before the first epoch."""
    return Plateau(jnp.float32(1.0), jnp.float32(jnp.inf), jnp.int32(0))


def follow_plateau(optimiser: Optimiser, plateau: Plateau, score: Float[Array, ""]) -> Plateau:
    """After an epoch: shrink the scale when `score` has not fallen for more than the patience."""
    if optimiser.schedule != "plateau":
        return plateau
    is_better = score < plateau.best
    waited = jnp.where(is_better, 0, plateau.waited + 1)
    stalls = waited > optimiser.plateau_patience
    return Plateau(
        jnp.where(stalls, plateau.scale * optimiser.plateau_factor, plateau.scale),
        jnp.where(is_better, score, plateau.best),
        jnp.where(stalls, 0, waited).astype(jnp.int32),
    )


def learning_rate(
    optimiser: Optimiser, base: Array, plateau: Plateau, update: Array, all_updates: int
) -> Float[Array, ""]:
    """The learning rate of one update."""
    progress = jnp.clip(update.astype(jnp.float32) / all_updates, 0.0, 1.0)
    factor = 0.5 * (1 + jnp.cos(jnp.pi * progress)) if optimiser.schedule == "cosine" else plateau.scale
    rate = jnp.maximum(base * factor, jnp.minimum(base, optimiser.smallest_learning_rate))
    return rate * jnp.minimum(1.0, (update.astype(jnp.float32) + 1) / max(optimiser.warm_up, 1))


class Layout(NamedTuple):
    """Where each moving leaf of a model lies in one long vector: its shape and whether the decay acts on it, kernels first.

    The optimiser works on that vector: a hundred leaves would be a hundred small programs to compile and to call.
    """

    tree: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    kernels: int

    def packed(self, leaves) -> Float[Array, " parameter"]:
        """The leaves of a tree, one behind the other."""
        each = jax.tree.leaves(leaves)
        return jnp.concatenate([jnp.ravel(each[place]) for place in self.order])

    def unpacked(self, vector: Float[Array, " parameter"]):
        """The tree of such a vector."""
        each, begin = [None] * len(self.shapes), 0
        for place in self.order:
            end = begin + math.prod(self.shapes[place])
            each[place], begin = vector[begin:end].reshape(self.shapes[place]), end
        return jax.tree.unflatten(self.tree, each)


def layout_of(parameters) -> Layout:
    """The layout of a tree of parameters; kernels are leaves whose name ends so."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(parameters)
    is_kernel = [jax.tree_util.keystr(path, simple=True).endswith("kernel") for path, _ in leaves]
    order = sorted(range(len(leaves)), key=lambda place: not is_kernel[place])
    kernels = sum(leaf.size for (_, leaf), decays in zip(leaves, is_kernel, strict=True) if decays)
    return Layout(tree, tuple(leaf.shape for _, leaf in leaves), tuple(order), kernels)


def transformation(optimiser: Optimiser) -> optax.GradientTransformation:
    """Clipping and Adam's direction; the learning rate and the decay are applied in `apply`."""
    return optax.chain(
        optax.clip_by_global_norm(optimiser.max_gradient_norm),
        optax.scale_by_adam(optimiser.beta1, optimiser.beta2, optimiser.epsilon),
    )


def with_decay(optimiser: Optimiser, gradient: Array, parameters: Array, weight_decay: Array) -> Array:
    """The gradient of the scaled loss, where the decay is coupled with that of weight_decay / 2 times all squares."""
    return gradient if optimiser.decay == "decoupled" else gradient + LOSS_SCALE * weight_decay * parameters


def direct(optimiser: Optimiser, gradient: Array, state) -> tuple[Array, tuple]:
    """Adam's direction for the clipped gradient, and Adam's next state."""
    with jax.numpy_dtype_promotion("standard"):  # Optax counts steps in int32 and raises floats to them
        return transformation(optimiser).update(gradient, state)


def apply(
    optimiser: Optimiser, parameters: Array, direction: Array, rate: Array, weight_decay: Array, kernels: int
) -> Array:
    """parameters - rate (direction + decay * parameters), where the decay acts on the first `kernels`, if it is decoupled."""
    if optimiser.decay == "decoupled":
        is_kernel = jnp.arange(parameters.size) < kernels
        direction = direction + jnp.where(is_kernel, weight_decay, 0.0) * parameters
    return parameters - rate * direction


def averaged(optimiser: Optimiser, average: Array, parameters: Array, update: Array) -> Array:
    """The running average after one more update: a plain mean at first, then with the memory of 1 / (1 - averaging) updates."""
    decay = jnp.minimum(optimiser.averaging, update.astype(jnp.float32) / (update.astype(jnp.float32) + 1))
    return decay * average + (1 - decay) * parameters


def gradient_norm(gradient: Array) -> Float[Array, ""]:
    """The global norm."""
    return optax.tree.norm(gradient)
