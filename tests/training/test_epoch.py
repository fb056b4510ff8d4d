"""Validation and selection against brute force: which entries count, smoothing, and which weights are kept."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tiny_model import FORWARD, HELD_OUT, choices, corruption, same_bits, trial_arrays

from undertow.training.epoch import SMOOTHING, build
from undertow.training.loop import _counted, _selection, beginning, plan_of

TRAIN, VALID = trial_arrays(), trial_arrays(7, seed=1, first=12)
ON_DEVICE = tuple(jax.tree.map(jnp.asarray, arrays) for arrays in (TRAIN, VALID))


def epochs(chosen, number=1, *, seed=1):
    """States and journal lines of the first epochs."""
    plan, concealed = plan_of(chosen, corruption(), TRAIN), corruption()
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


def likelihoods(model, rates):
    """-log p of every entry of the validation trials as they are shown, and how much validation counts each."""
    entries, weights = [], []
    for counts, inputs, number in zip(*VALID, strict=True):
        shown = corruption().validate(jnp.asarray(counts), rates, jnp.int32(number))
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
