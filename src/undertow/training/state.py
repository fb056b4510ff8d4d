"""Everything that changes in training, as one pytree. What it holds decides the rest of the run to the last bit."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from undertow.models.base import Model
from undertow.training.hyperparameters import Hyperparameters
from undertow.training.opening import moving
from undertow.training.optimiser import Optimiser, Plateau, layout_of, start_plateau, transformation


class Selection(NamedTuple):
    """The score that decides which weights are kept: lower is better, smoothed over epochs, carried with the weights.

    `last` is the score of the last epoch as it was, finite or not.
    """

    smoothed: Array
    best: Array
    best_epoch: Array
    last: Array


class TrainState(NamedTuple):
    """One member of a population: the model with its optimiser, numbers, keys, and the best model so far.

    `average` is the running average of the model over updates, where one is asked for; it is then what is validated and kept.
    """

    model: Model
    best_model: Model
    optimiser: tuple
    hyperparameters: Hyperparameters
    plateau: Plateau
    selection: Selection
    key: Key[Array, ""]
    epoch: Array
    update: Array
    skipped: Array
    failed_epochs: Array
    average: Model | None = None

    @property
    def judged(self) -> Model:
        """The weights that validation scores."""
        return self.model if self.average is None else self.average


def start(
    model: Model,
    numbers: Hyperparameters,
    optimiser: Optimiser,
    trained: tuple[str, ...] = (),
    *,
    key: Key[Array, ""],
) -> TrainState:
    """The state before the first epoch; `trained` as in `step.Plan`."""
    state = TrainState(
        model=model,
        best_model=model,
        optimiser=_untouched(optimiser, moving(model, trained)[0]),
        hyperparameters=numbers,
        plateau=start_plateau(),
        selection=Selection(jnp.float32(jnp.nan), jnp.float32(jnp.inf), jnp.int32(-1), jnp.float32(jnp.nan)),
        key=key,
        epoch=jnp.int32(0),
        update=jnp.int32(0),
        skipped=jnp.int32(0),
        failed_epochs=jnp.int32(0),
        average=model if optimiser.averaging > 0 else None,
    )
    return jax.tree.map(_own_buffer, state)


def _untouched(optimiser: Optimiser, parameters) -> tuple:
    """The optimiser's state before the first update, of all parameters as one vector."""
    return transformation(optimiser).init(layout_of(parameters).packed(parameters))


def _own_buffer(leaf):
    """An array of its own and without a weak type, so that an epoch can take the state's memory and is traced once."""
    if not eqx.is_array(leaf):
        return leaf
    return (
        jnp.copy(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.array(leaf, dtype=leaf.dtype)
    )
