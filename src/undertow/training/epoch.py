"""An epoch as one pure function: shuffle, update over all batches, validate, select. Compiled once and mapped over members."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.corruption import Corrupted, CorruptionRates
from undertow.data.batches import TrialArrays
from undertow.models.base import Model
from undertow.training.hyperparameters import Hyperparameters
from undertow.training.objective import ramps
from undertow.training.optimiser import follow_plateau
from undertow.training.state import Selection, TrainState
from undertow.training.step import Plan, step, terms_of_batch

SMOOTHING = 0.3
"""The share of the epoch before in the smoothed selection score (lfads-torch)."""


class Counted(NamedTuple):
    """Which observed entries of a validation trial the selection score is computed on, and whether dropout hides any."""

    neuron: Array
    time: Array
    with_dropout: bool


Epoch = Callable[[TrainState, TrialArrays, TrialArrays], tuple[TrainState, dict[str, Array]]]


def build(plan: Plan, counted: Counted | None) -> Epoch:
    """The function of one epoch, to be compiled or mapped over members. It counts how often it is traced in `.traces`.

    `counted` names the entries of the selection score; None for all that validation counts (with sample validation, all that
    it left out).
    """

    def epoch(
        state: TrainState, train: TrialArrays, valid: TrialArrays
    ) -> tuple[TrainState, dict[str, Array]]:
        epoch.traces += 1
        shuffle_key, updates_key, valid_key = jax.random.split(jax.random.fold_in(state.key, state.epoch), 3)
        if state.model.validates_by_one_draw:
            valid_key = jax.random.fold_in(state.key, 0)
        state, metrics = _updates(plan, state, train, shuffle_key, updates_key)
        scores = _validate(plan, counted, state, valid, key=valid_key)
        return _conclude(plan, state, metrics, scores)

    epoch.traces = 0
    return epoch


def _updates(plan: Plan, state: TrainState, train: TrialArrays, shuffle_key, updates_key):
    """All updates of the epoch. Trials that fill no whole batch wait for a later shuffle."""
    order = jax.random.permutation(shuffle_key, train.counts.shape[0])[: plan.updates * plan.batch_size]
    changing, static = eqx.partition(state, eqx.is_array)

    def one(changing, batch):
        index, key = batch
        state, metrics = step(
            plan, eqx.combine(changing, static), jax.tree.map(lambda array: array[index], train), key=key
        )
        return eqx.filter(state, eqx.is_array), metrics

    batches = (order.reshape(plan.updates, plan.batch_size), jax.random.split(updates_key, plan.updates))
    changing, metrics = jax.lax.scan(one, changing, batches)
    return eqx.combine(changing, static), metrics


def _validate(
    plan: Plan, counted: Counted | None, state: TrainState, valid: TrialArrays, *, key: Key[Array, ""]
):
    """Terms over all validation trials (nats an entry), and the selection score: nats a counted entry."""
    trials = valid.counts.shape[0]
    chunks = -(-trials // plan.batch_size)
    index = jnp.arange(chunks * plan.batch_size).reshape(chunks, plan.batch_size)
    keys = jax.random.split(key, index.size).reshape(index.shape)

    def one(chunk):
        chunk_index, chunk_keys, choice = chunk
        batch = jax.tree.map(lambda array: array[jnp.minimum(chunk_index, trials - 1)], valid)
        weight = (chunk_index < trials).astype(jnp.float32)
        member = state.judged, state.hyperparameters
        return _validation_sums(plan, counted, member, (batch, weight, choice), keys=chunk_keys)

    choices = plan.validation_masks
    work = (
        jnp.tile(index, (choices, 1)),
        jnp.tile(keys, (choices, 1)),
        jnp.repeat(jnp.arange(choices), chunks),
    )
    work = work if choices > 1 else (index, keys, None)
    sums = jax.tree.map(lambda array: array.sum(0), jax.lax.map(one, work))
    terms = {name: value / (trials * choices) for name, value in sums["terms"].items()}
    return terms, sums["counted"] / jnp.maximum(sums["entries"], 1.0)


def _validation_sums(
    plan: Plan,
    counted: Counted | None,
    member: tuple[Model, Hyperparameters],
    shown: tuple[TrialArrays, Array, Array | None],
    *,
    keys,
) -> dict[str, Array | dict[str, Array]]:
    (model, numbers), (batch, weight, choice) = member, shown
    silent = {name: jnp.zeros_like(value) for name, value in numbers.model.items()}
    rates = _hiding(plan, numbers.corruption, plan.validation_dropout)
    corrupted = _shown(plan, batch, rates, choice)
    by_trial = terms_of_batch(model, plan, corrupted, batch, silent, keys)
    score, reconstruction = corrupted, by_trial["reconstruction"]
    if counted is not None:
        if not counted.with_dropout:
            rates = _hiding(plan, rates, 0.0)
        score = _shown(plan, batch, rates, choice)
        neuron = counted.neuron[None] if batch.neurons is None else counted.neuron[batch.neurons]
        is_counted = neuron[:, None, :] & counted.time[None, :, None] & jnp.isfinite(score.target)
        narrowed = jnp.where(rates.sample_validation > 0, 1.0, score.weight)
        score = score._replace(weight=jnp.where(is_counted, narrowed, 0.0))
        reconstruction = terms_of_batch(model, plan, score, batch, silent, keys)["reconstruction"]
    return {
        "terms": {name: jnp.sum(weight * value) for name, value in by_trial.items()},
        "counted": jnp.sum(weight * reconstruction) * plan.entries,
        "entries": jnp.sum(weight * score.weight.sum((1, 2))),
    }


def _hiding(plan: Plan, rates: CorruptionRates, share: float | None) -> CorruptionRates:
    """The rates with which validation hides this share, by masks if the run has them; None for the rates as they are."""
    if share is None:
        return rates
    by_masks = share if plan.corruption.masking is not None else 0.0
    return rates._replace(
        coordinated_dropout=jnp.full_like(rates.coordinated_dropout, share - by_masks),
        mask_rate=jnp.full_like(rates.mask_rate, by_masks),
    )


def _shown(plan: Plan, batch: TrialArrays, rates: CorruptionRates, choice: Array | None) -> Corrupted:
    def show(counts, number, columns):
        return plan.corruption.for_neurons(columns).validate(counts, rates, number, choice)

    return jax.vmap(show)(batch.counts, batch.number, batch.neurons)


def _conclude(
    plan: Plan, state: TrainState, metrics: dict[str, Array], scores
) -> tuple[TrainState, dict[str, Array]]:
    """Select, follow the schedule, count, and name what the journal keeps."""
    terms, score = scores
    risen = ramps(plan.objective, state.epoch)
    finite = metrics["is_finite"]
    selection, is_best = _select(state.selection, score, state.epoch, state.epoch >= plan.objective.ramps_end)
    best = jax.tree.map(
        lambda new, old: jnp.where(is_best, new, old) if eqx.is_array(new) else new,
        state.judged,
        state.best_model,
    )
    journal = {
        **{
            f"train/{name}": _finite_mean(metrics[name], finite)
            for name in [*terms, *state.model.penalties(), "total"]
        },
        **{f"valid/{name}": value for name, value in terms.items()},
        "selection": score,
        "selection_smoothed": selection.smoothed,
        "best_epoch": selection.best_epoch,
        "learning_rate": metrics["learning_rate"][-1],
        "gradient_norm": _finite_mean(metrics["gradient_norm"], finite),
        "ramp/kl": risen.kl,
        "ramp/penalty": risen.penalty,
        "updates": state.update,
        "skipped": state.skipped,
    }
    state = state._replace(
        best_model=best,
        selection=selection,
        plateau=follow_plateau(plan.optimiser, state.plateau, selection.smoothed),
        epoch=state.epoch + 1,
        failed_epochs=jnp.where(finite.sum() == 0, state.failed_epochs + 1, 0).astype(jnp.int32),
    )
    return state, journal


def _select(selection: Selection, score: Float[Array, ""], epoch: Array, ramps_are_up: Array):
    """The smoothed score, and whether these weights are to be kept: the best since the ramps ended, the latest before."""
    before = jnp.where(jnp.isfinite(selection.smoothed), selection.smoothed, score)
    smoothed = SMOOTHING * before + (1 - SMOOTHING) * score
    is_best = jnp.isfinite(smoothed) & (~ramps_are_up | (smoothed < selection.best))
    return (
        Selection(
            jnp.where(jnp.isfinite(score), smoothed, selection.smoothed),
            jnp.where(is_best & ramps_are_up, smoothed, selection.best),
            jnp.where(is_best, epoch, selection.best_epoch).astype(jnp.int32),
            score,
        ),
        is_best,
    )


def _finite_mean(values: Array, finite: Array) -> Array:
    """The mean over the finite steps; of all steps if none was, so that the journal shows which term went bad."""
    chosen = jnp.sum(jnp.where(finite > 0, values, 0.0)) / jnp.maximum(finite.sum(), 1.0)
    return jnp.where(finite.sum() > 0, chosen, values.mean())
