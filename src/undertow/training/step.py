"""One update: corrupt a batch, weigh the model's terms, differentiate, move; skip the step if anything is not finite."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.corruption import Corrupted, Corruption
from undertow.data.batches import TrialArrays
from undertow.models.base import TRIALS, Model
from undertow.training.hyperparameters import Hyperparameters
from undertow.training.objective import Objective, covered, ramps, weigh
from undertow.training.opening import moving
from undertow.training.optimiser import (
    LOSS_SCALE,
    Layout,
    Optimiser,
    apply,
    averaged,
    direct,
    gradient_norm,
    layout_of,
    learning_rate,
    with_decay,
)
from undertow.training.state import TrainState


class Plan(NamedTuple):
    """What stays the same in a run: configurations, what is concealed, and the sizes of an epoch.

    `entries` is the mean number of observed entries of a training trial, `updates` the number of updates in an epoch.
    `validation_dropout` is the share that validation hides; None for the member's own. The scores of `validation_masks` choices
    of what it hides are averaged. `trained` are the beginnings of the paths of the leaves that move; all if there are none.
    """

    objective: Objective
    optimiser: Optimiser
    corruption: Corruption
    entries: float
    batch_size: int
    updates: int
    epochs: int
    validation_dropout: float | None = None
    validation_masks: int = 1
    trained: tuple[str, ...] = ()


def terms_of_batch(
    model: Model,
    plan: Plan,
    corrupted: Corrupted,
    batch: TrialArrays,
    settings: dict[str, Array],
    keys: Key[Array, " trial"],
) -> dict[str, Float[Array, " trial"]]:
    """Each trial's terms, in nats an entry: of what is seen of a batch."""

    def one(trial, known, key, columns, around):
        own = model if columns is None else model.for_neurons(columns)
        own = own if around is None else own.for_surroundings(around)
        return own.terms(trial, known, settings, key=key)

    terms = jax.vmap(one, axis_name=TRIALS)(corrupted, batch.inputs, keys, batch.neurons, batch.around)
    return {name: value / plan.entries for name, value in terms.items()}


def loss(
    model: Model,
    plan: Plan,
    numbers: Hyperparameters,
    batch: TrialArrays,
    epoch: Array,
    *,
    key: Key[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The scaled objective of a batch, and its terms by name."""
    corrupt_key, model_key = jax.random.split(key)
    trials = batch.counts.shape[0]
    corrupted = jax.vmap(
        lambda counts, number, columns, trial_key: plan.corruption.for_neurons(columns).corrupt(
            counts, numbers.corruption, number, key=trial_key
        )
    )(batch.counts, batch.number, batch.neurons, jax.random.split(corrupt_key, trials))
    reach = covered(plan.objective, epoch, batch.counts.shape[1])
    corrupted = corrupted._replace(weight=corrupted.weight * reach[None, :, None])
    by_trial = terms_of_batch(
        model,
        plan,
        corrupted,
        batch,
        numbers.model,
        jax.random.split(model_key, trials),
    )
    terms = {name: value.mean() for name, value in by_trial.items()}
    penalties = model.penalties()
    total = weigh(terms, penalties, numbers.weights, ramps(plan.objective, epoch))
    return LOSS_SCALE * total, {**terms, **penalties, "total": total}


def step(
    plan: Plan, state: TrainState, batch: TrialArrays, *, key: Key[Array, ""]
) -> tuple[TrainState, dict[str, Array]]:
    """One update of `state`. A step whose loss or gradient is not finite leaves the weights as they are and is counted."""
    numbers = state.hyperparameters
    now = numbers._replace(corruption=plan.corruption.at(numbers.corruption, state.update))
    parameters, rest = moving(state.model, plan.trained)

    def loss_of(parameters):
        return loss(eqx.combine(parameters, rest), plan, now, batch, state.epoch, key=key)

    (_, metrics), gradients = eqx.filter_value_and_grad(loss_of, has_aux=True)(parameters)
    layout = layout_of(parameters)
    before, gradient = layout.packed(parameters), layout.packed(gradients)
    norm = gradient_norm(gradient)
    is_finite = jnp.isfinite(norm) & jnp.isfinite(metrics["total"])
    gradient = with_decay(plan.optimiser, gradient, before, numbers.weight_decay)
    direction, optimiser = direct(plan.optimiser, gradient, state.optimiser)
    rate = learning_rate(
        plan.optimiser, numbers.learning_rate, state.plateau, state.update, plan.updates * plan.epochs
    )
    after = apply(plan.optimiser, before, direction, rate, numbers.weight_decay, layout.kernels)
    moved = jnp.where(is_finite, after, before)
    state = state._replace(
        model=eqx.combine(layout.unpacked(moved), rest),
        average=_average(plan, state, moved, layout),
        optimiser=_chosen(is_finite, optimiser, state.optimiser),
        update=state.update + 1,
        skipped=state.skipped + (~is_finite).astype(jnp.int32),
    )
    return state, {
        **metrics,
        "gradient_norm": norm,
        "is_finite": is_finite.astype(jnp.float32),
        "learning_rate": rate,
    }


def _average(plan: Plan, state: TrainState, moved: Array, layout: Layout) -> Model | None:
    if state.average is None:
        return None
    before, rest = moving(state.average, plan.trained)
    now = averaged(plan.optimiser, layout.packed(before), moved, state.update)
    return eqx.combine(layout.unpacked(now), rest)


def _chosen(takes_new, new, old):
    """One of two pytrees of the same structure."""
    return jax.tree.map(lambda of_new, of_old: jnp.where(takes_new, of_new, of_old), new, old)
