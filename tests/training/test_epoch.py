"""Validation and selection against brute force: which entries count, smoothing, and which weights are kept."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tiny_model import FORWARD, HELD_OUT, choices, corruption, same_bits, trial_arrays

from undertow.components.masking import Masking
from undertow.training.epoch import SMOOTHING, build
from undertow.training.loop import _counted, _selection, beginning, plan_of

TRAIN, VALID = trial_arrays(), trial_arrays(7, seed=1, first=12)
MASKING = Masking(jnp.zeros(4, jnp.int32), regions=1, kinds=("entries",), token="unobserved")
MASKED = {
    "coordinated_dropout": 0.0,
    "mask_rate": 0.4,
    "mask_token": 0.5,
    "mask_random": 0.5,
    "masks": ("entries",),
    "mask_as": "unobserved",
}
ON_DEVICE = tuple(jax.tree.map(jnp.asarray, arrays) for arrays in (TRAIN, VALID))


def concealed_by(masking):
    return replace(corruption(), masking=masking)


def epochs(chosen, number=1, *, seed=1, masking=None):
    """States and journal lines of the first epochs."""
    concealed = concealed_by(masking)
    plan = plan_of(chosen, concealed, TRAIN)
    run = build(plan, _counted(_selection(chosen, concealed), chosen, concealed))
    state = beginning(chosen, TRAIN, seed=seed)
    changing, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def one(changing):
        after, metrics = run(eqx.combine(changing, static), *ON_DEVICE)
        return eqx.filter(after, eqx.is_array), metrics

    history = []
    for _ in range(number):
        changing, metrics = one(changing)
        history.append((eqx.combine(changing, static), metrics))
    assert run.traces == 1
    return history


def likelihoods(model, rates, *, masking=None, choice=None):
    """-log p of every entry of the validation trials as they are shown, and how much validation counts each."""
    entries, weights = [], []
    concealed, choice = concealed_by(masking), None if choice is None else jnp.int32(choice)
    for counts, inputs, number in zip(*VALID[:3], strict=True):
        shown = concealed.validate(jnp.asarray(counts), rates, jnp.int32(number), choice)
        _, parameters = model.parameters(shown.seen, jnp.asarray(inputs), 0.0)
        entries.append(-stats.poisson(np.exp(np.asarray(parameters[..., 0], np.float64))).logpmf(counts))
        weights.append(np.asarray(shown.weight))
    return np.stack(entries), np.stack(weights)


@pytest.mark.parametrize("sample_validation", [0.0, 0.4])
@pytest.mark.parametrize("select_on", ["auto", "all", "held_in", "held_out"])
def test_the_selection_score_counts_its_entries_alone(select_on, sample_validation):
    chosen = choices(training={"select_on": select_on}, corruption={"sample_validation": sample_validation})
    ((state, metrics),) = epochs(chosen)
    rates = state.hyperparameters.corruption
    if select_on == "held_out" or (select_on == "auto" and not sample_validation):
        rates = rates._replace(coordinated_dropout=jnp.float32(0.0))  # the encoder sees all it may
    entries, weights = likelihoods(state.model, rates)
    if sample_validation:
        assert not (weights[:, :, HELD_OUT] > 0).any()
        assert not (weights[:, FORWARD] > 0).any()
    if sample_validation and select_on != "auto":
        weights = np.isfinite(VALID.counts).astype(float)
    neurons = {"all": np.ones(4, bool), "held_in": ~HELD_OUT, "held_out": HELD_OUT, "auto": np.ones(4, bool)}
    named = "held_out" if select_on == "auto" and not sample_validation else select_on
    weights = np.where(np.isfinite(VALID.counts) & neurons[named], weights, 0.0)
    assert 0 < (weights > 0).sum() < VALID.counts.size
    expected = (weights * np.nan_to_num(entries)).sum() / weights.sum()
    np.testing.assert_allclose(metrics["selection"], expected, rtol=1e-4)


@pytest.mark.parametrize("select_on", ["all", "held_in"])
def test_selection_counts_what_dropout_hides(select_on):
    chosen = choices(training={"select_on": select_on}, corruption={"coordinated_dropout": 0.4})
    ((state, _),) = epochs(chosen)
    _, weights = likelihoods(state.model, state.hyperparameters.corruption)
    _, again = likelihoods(state.model, state.hyperparameters.corruption)
    is_visible = np.isfinite(VALID.counts) & ~HELD_OUT & ~FORWARD[:, None]
    share = (weights[is_visible] > 0).mean()
    assert 0.2 < share < 0.6
    np.testing.assert_array_equal(weights, again)


@pytest.mark.parametrize("select_on", ["all", "held_in"])
@pytest.mark.parametrize("masks", [1, 3])
def test_the_selection_score_averages_choices_of_masks(select_on, masks):
    """Each choice hides entries of its own; the score is nats an entry that counts, over all of them."""
    chosen = choices(training={"select_on": select_on, "validation_masks": masks}, corruption=MASKED)
    ((state, metrics),) = epochs(chosen, masking=MASKING)
    rates, total, counted, terms = state.hyperparameters.corruption, 0.0, 0.0, []
    is_scored = np.isfinite(VALID.counts) & (~HELD_OUT if select_on == "held_in" else True)
    hidden = set()
    for choice in range(masks) if masks > 1 else [None]:
        entries, weights = likelihoods(state.model, rates, masking=MASKING, choice=choice)
        terms.append(np.nansum(weights * entries, (1, 2)).mean())
        scored = np.where(is_scored, weights, 0.0)
        hidden.add((scored > 0).tobytes())
        total, counted = total + np.nansum(scored * entries), counted + scored.sum()
    assert len(hidden) == masks
    np.testing.assert_allclose(metrics["selection"], total / counted, rtol=1e-4)
    expected = np.mean(terms) / plan_of(chosen, corruption(), TRAIN).entries
    np.testing.assert_allclose(metrics["valid/reconstruction"], expected, rtol=1e-4)


def test_a_model_that_stands_still_has_the_same_masked_score_in_every_epoch():
    still = {"learning_rate": 1e-30, "smallest_learning_rate": 0.0, "schedule": "constant"}
    chosen = choices(training={"validation_masks": 2}, corruption=MASKED, optimiser=still)
    history = epochs(chosen, 3, masking=MASKING)
    scores = {float(metrics["selection"]) for _, metrics in history}
    assert len(scores) == 1
    assert len({float(metrics["train/reconstruction"]) for _, metrics in history}) == 3


@pytest.mark.parametrize("validation_dropout", [0.0, 0.6])
def test_validation_hides_its_own_share_by_masks_where_there_are_any(validation_dropout):
    chosen = choices(
        training={"select_on": "all", "validation_dropout": validation_dropout},
        corruption={**MASKED, "coordinated_dropout": 0.2},
    )
    ((state, metrics),) = epochs(chosen, masking=MASKING)
    rates = state.hyperparameters.corruption._replace(
        coordinated_dropout=jnp.float32(0.0), mask_rate=jnp.float32(validation_dropout)
    )
    entries, weights = likelihoods(state.model, rates, masking=MASKING)
    is_visible = np.isfinite(VALID.counts) & ~HELD_OUT & ~FORWARD[:, None]
    assert abs((weights[is_visible] > 0).mean() - (validation_dropout or 1.0)) < 0.15
    np.testing.assert_allclose(metrics["selection"], np.nansum(weights * entries) / weights.sum(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["entries", "regions"])
def test_selection_on_held_out_neurons_hides_nothing_else(kind):
    masking = Masking(jnp.asarray([0, 0, 1, 1], jnp.int32), regions=2, kinds=(kind,))
    chosen = choices(training={"select_on": "held_out"}, corruption={**MASKED, "masks": (kind,)})
    ((state, metrics),) = epochs(chosen, masking=masking)
    rates = state.hyperparameters.corruption._replace(mask_rate=jnp.float32(0.0))
    entries, weights = likelihoods(state.model, rates)
    weights = np.where(np.isfinite(VALID.counts) & HELD_OUT, 1.0, 0.0)
    np.testing.assert_allclose(metrics["selection"], np.nansum(weights * entries) / weights.sum(), rtol=1e-4)


def test_validation_terms_are_means_over_trials_whatever_the_batch():
    """Seven trials in chunks of five: the filled-up chunk counts its trials once."""
    ((state, metrics),) = epochs(choices())
    entries, weights = likelihoods(state.model, state.hyperparameters.corruption)
    expected = np.nansum(weights * entries, (1, 2)).mean() / plan_of(choices(), corruption(), TRAIN).entries
    np.testing.assert_allclose(metrics["valid/reconstruction"], expected, rtol=1e-4)


def test_smoothing_follows_its_formula():
    history = [metrics for _, metrics in epochs(choices(), 5)]
    smoothed = float(history[0]["selection"])
    np.testing.assert_allclose(history[0]["selection_smoothed"], smoothed, rtol=1e-6)
    for metrics in history[1:]:
        smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * float(metrics["selection"])
        np.testing.assert_allclose(metrics["selection_smoothed"], smoothed, rtol=1e-5)


def test_the_best_weights_since_the_ramps_are_kept():
    """A learning rate that is too large makes the score go up and down."""
    history = epochs(choices(optimiser={"learning_rate": 0.3, "schedule": "constant"}), 12)
    smoothed = [float(metrics["selection_smoothed"]) for _, metrics in history]
    ramps_end = choices().objective.ramps_end
    for epoch, (state, metrics) in enumerate(history):
        best = epoch if epoch < ramps_end else ramps_end + int(np.argmin(smoothed[ramps_end : epoch + 1]))
        assert int(metrics["best_epoch"]) == best
        assert same_bits(state.best_model, history[best][0].model)
    assert len({int(metrics["best_epoch"]) for _, metrics in history[ramps_end:]}) < 12 - ramps_end


def test_ramps_and_counts_are_in_the_journal():
    history = [metrics for _, metrics in epochs(choices(), 4)]
    np.testing.assert_allclose([metrics["ramp/kl"] for metrics in history], [1 / 3, 2 / 3, 1, 1], rtol=1e-6)
    np.testing.assert_allclose([metrics["ramp/penalty"] for metrics in history], [0.5, 1, 1, 1])
    assert [int(metrics["updates"]) for metrics in history] == [2, 4, 6, 8]
    for name in ("reconstruction", "kl_code", "kernel_penalty", "total"):
        assert np.isfinite(history[0][f"train/{name}"])


def test_an_epoch_learns_from_different_trials_each_time():
    """Two of twelve trials wait for a later shuffle; over many epochs every trial is learned from."""
    number = 12
    keys = [jax.random.fold_in(beginning(choices(), TRAIN, seed=1).key, epoch) for epoch in range(number)]
    orders = [jax.random.permutation(jax.random.split(key, 3)[0], 12)[:10] for key in keys]
    assert len({tuple(order.tolist()) for order in orders}) == number
    assert set(np.concatenate(orders).tolist()) == set(range(12))
