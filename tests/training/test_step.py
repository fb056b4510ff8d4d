"""One update against the same computed in the open, and the updates that are skipped."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import Tiny, choices, corruption, same_bits, trial_arrays

from undertow.components.masking import Masking
from undertow.training.loop import beginning, epoch_of, plan_of
from undertow.training.optimiser import LOSS_SCALE
from undertow.training.step import loss, step

DATA = trial_arrays()
BATCH = jax.tree.map(jnp.asarray, DATA)


def begun(**sections):
    chosen = choices(**sections)
    return plan_of(chosen, corruption(), DATA), beginning(chosen, DATA, seed=1)


def once(plan, state, batch=BATCH, seed=3):
    changing, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def one(changing, batch):
        after, metrics = step(plan, eqx.combine(changing, static), batch, key=jax.random.key(seed))
        return eqx.filter(after, eqx.is_array), metrics

    after, metrics = one(changing, batch)
    return eqx.combine(after, static), metrics


def test_sizes_of_an_epoch():
    plan, _ = begun()
    assert (plan.batch_size, plan.updates) == (5, 2)
    assert plan.entries == pytest.approx(np.isfinite(DATA.counts).sum() / 12)
    assert plan_of(choices(training={"batch_size": 99}), corruption(), DATA).batch_size == 12


def test_the_loss_is_what_the_objective_says():
    plan, state = begun(
        model=Tiny(noise=0.0), corruption={"coordinated_dropout": 0.0}, objective={"kl_ramp": 3}
    )
    value, metrics = loss(
        state.model, plan, state.hyperparameters, BATCH, jnp.int32(0), key=jax.random.key(0)
    )
    reconstruction, divergence = [], []
    for counts, inputs in zip(DATA.counts, DATA.inputs, strict=True):
        seen = corruption().conceal(jnp.asarray(counts))
        code, parameters = state.model.parameters(seen, jnp.asarray(inputs), 0.0)
        log_rates, is_observed = np.asarray(parameters)[..., 0], np.isfinite(counts)
        factorials = np.vectorize(lambda count: np.log(np.arange(1, count + 1)).sum())(
            np.where(is_observed, counts, 0)
        )
        entry = np.exp(log_rates) - np.where(is_observed, counts, 0) * log_rates + factorials
        reconstruction.append(entry[is_observed].sum() / plan.entries)
        divergence.append(0.5 * (np.asarray(code) ** 2).sum() / plan.entries)
    penalty = 0.5 * (np.asarray(state.model.up.kernel) ** 2).mean()
    expected = np.mean(reconstruction) + 0.25 * np.mean(divergence) + 0.5 * 0.1 * penalty
    np.testing.assert_allclose(metrics["total"], expected, rtol=1e-4)
    np.testing.assert_allclose(value, LOSS_SCALE * expected, rtol=1e-4)


def test_incremental_training_counts_the_first_bins_alone():
    plan, state = begun(objective={"incremental_epochs": 10, "incremental_bins": 2})
    later = BATCH._replace(counts=BATCH.counts.at[:, 2:].add(1.0))
    values = {
        (epoch, name): float(
            loss(state.model, plan, state.hyperparameters, batch, jnp.int32(epoch), key=jax.random.key(0))[1][
                "reconstruction"
            ]
        )
        for epoch in (0, 10)
        for name, batch in (("as it was", BATCH), ("later bins changed", later))
    }
    # The encoder sees all bins, but this model's rates of a bin depend on that bin alone.
    assert values[0, "as it was"] == pytest.approx(values[0, "later bins changed"])
    assert values[10, "as it was"] != pytest.approx(values[10, "later bins changed"])


def test_a_step_moves_and_counts():
    plan, state = begun()
    after, metrics = once(plan, state)
    assert int(after.update) == 1
    assert int(after.skipped) == 0
    assert metrics["is_finite"] == 1
    assert not same_bits(after.model, state.model)


@pytest.mark.parametrize("fault", ["a huge count", "weights that are no numbers"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(fault):
    plan, state = begun(corruption={"coordinated_dropout": 0.0})
    batch = BATCH
    if fault == "a huge count":
        batch = BATCH._replace(counts=BATCH.counts.at[0, 0, 0].set(1e30))
    else:
        state = state._replace(
            model=eqx.tree_at(lambda m: m.up.kernel, state.model, jnp.full((2, 4), jnp.nan))
        )
    after, metrics = once(plan, state, batch)
    assert metrics["is_finite"] == 0
    assert int(after.skipped) == 1
    assert same_bits(after.model, state.model)
    assert same_bits(after.optimiser, state.optimiser)
    recovered, _ = once(plan, begun()[1]._replace(optimiser=after.optimiser))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(recovered.model, eqx.is_array)))


def test_another_key_gives_another_corruption():
    plan, state = begun()
    first, second, other = (once(plan, state, seed=seed)[0].model for seed in (1, 1, 2))
    assert same_bits(first, second)
    assert not same_bits(first, other)


def test_spans_of_masks_follow_the_updates():
    """Before the ramp a step with the full share of spans is one without; after it, it is not."""
    numbers = {"coordinated_dropout": 0.0, "mask_rate": 0.4}
    spans = Masking(
        jnp.zeros(4, jnp.int32), regions=1, kinds=("bins",), longest_span=4, span_start=5, span_ramp=10
    )
    plan, with_spans = begun(corruption={**numbers, "span_probability": 1.0})
    _, without = begun(corruption={**numbers, "span_probability": 0.0})
    plan = plan._replace(corruption=replace(corruption(), masking=spans))
    static = eqx.filter(with_spans, eqx.is_array, inverse=True)

    @jax.jit
    def reconstruction(changing, update, key):
        state = eqx.combine(changing, static)._replace(update=update)
        return step(plan, state, BATCH, key=key)[1]["reconstruction"]

    def same(update):
        keys = jax.random.split(jax.random.key(0), 6)
        first, second = (
            [float(reconstruction(eqx.filter(state, eqx.is_array), jnp.int32(update), key)) for key in keys]
            for state in (with_spans, without)
        )
        return sum(a == b for a, b in zip(first, second, strict=True))

    assert same(4) == 6
    assert 0 < same(5) < 6  # a tenth of the trials
    assert same(100) == 0


def test_the_average_is_a_mean_at_first_and_then_forgets():
    plan, state = begun(optimiser={"averaging": 0.5})
    assert state.judged is state.average
    plain = begun()[1]
    assert plain.average is None
    assert plain.judged is plain.model
    kernels, averages = [], []
    for _ in range(4):
        state, _ = once(plan, state)
        kernels.append(np.asarray(state.model.up.kernel))
        averages.append(np.asarray(state.average.up.kernel))
    expected = kernels[0]
    for kernel, average, decay in zip(kernels[1:], averages[1:], (0.5, 0.5, 0.5), strict=True):
        expected = decay * expected + (1 - decay) * kernel
        np.testing.assert_allclose(average, expected, rtol=1e-5)
    np.testing.assert_array_equal(averages[0], kernels[0])


def test_what_is_averaged_is_what_is_kept():
    chosen = choices(optimiser={"averaging": 0.9}, objective={"kl_ramp": 0, "penalty_ramp": 0})
    changing, static = eqx.partition(beginning(chosen, DATA, seed=1), eqx.is_array)
    epoch = epoch_of(chosen, corruption(), DATA)

    @jax.jit
    def one(changing):
        return eqx.filter(epoch(eqx.combine(changing, static), BATCH, BATCH)[0], eqx.is_array)

    state = eqx.combine(one(changing), static)
    assert same_bits(state.best_model, state.average)
    assert not same_bits(state.average, state.model)
