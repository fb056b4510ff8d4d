"""What missing entries do to the loss: nothing to its scale, and nothing at all where all of them are missing."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import choices, corruption, trial_arrays

from undertow.training.hyperparameters import hyperparameters
from undertow.training.loop import plan_of, summarise
from undertow.training.state import start
from undertow.training.step import loss, step

NOTHING = {"corruption": {"coordinated_dropout": 0.0}, "objective": {"kl_ramp": 0, "penalty_ramp": 0}}


@pytest.fixture
def chosen():
    return choices(**NOTHING)


def thinned(data, keep, seed=0):
    """The arrays with `keep` neurons observed in each bin."""
    rank = np.random.default_rng(seed).random(data.counts.shape).argsort(axis=2).argsort(axis=2)
    return data._replace(counts=np.where(rank < keep, data.counts, np.nan).astype(np.float32))


def reconstruction_of(chosen, data):
    """Nats an entry, for a model that gives every entry the same rate."""
    plan = plan_of(chosen, corruption(), data)
    model = chosen.model.build(summarise(data), key=jax.random.key(0))
    model = eqx.tree_at(lambda m: (m.up.kernel, m.bias), model, replace_fn=jnp.zeros_like)
    numbers = hyperparameters(chosen.model, chosen.optimiser, chosen.objective, chosen.corruption)
    batch = jax.tree.map(jnp.asarray, data)
    _, metrics = loss(model, plan, numbers, batch, jnp.int32(9), key=jax.random.key(1))
    return float(metrics["reconstruction"])


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_loss_has_the_same_scale_however_much_is_missing(chosen, keep):
    dense = trial_arrays()
    dense = dense._replace(counts=np.full_like(dense.counts, 2.0))
    expected = reconstruction_of(chosen, dense)
    assert reconstruction_of(chosen, thinned(dense, keep)) == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_which_nothing_was_observed_moves_nothing_but_by_the_other_terms(chosen):
    """No division by the number of observed entries: loss and gradient are finite, the reconstruction is zero."""
    data = trial_arrays()
    plan = plan_of(chosen, corruption(), data)
    model = chosen.model.build(summarise(data), key=jax.random.key(0))
    numbers = hyperparameters(chosen.model, chosen.optimiser, chosen.objective, chosen.corruption)
    state = start(model, numbers, chosen.optimiser, key=jax.random.key(2))
    empty = jax.tree.map(jnp.asarray, data._replace(counts=np.full_like(data.counts, np.nan)))
    after, metrics = step(plan, state, empty, key=jax.random.key(3))
    assert metrics["reconstruction"] == 0
    assert metrics["is_finite"] == 1
    assert int(after.skipped) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(after.model, eqx.is_array)))


def test_an_overflow_where_nothing_was_observed_reaches_no_gradient(chosen):
    """The read-out of a neuron that is not observed may say anything."""
    data = thinned(trial_arrays(), 2)
    counts = data.counts.copy()
    counts[:, :, 0] = np.nan
    data = data._replace(counts=counts)
    plan = plan_of(chosen, corruption(), data)
    model = chosen.model.build(summarise(data), key=jax.random.key(0))
    model = eqx.tree_at(lambda m: m.bias, model, model.bias.at[0].set(1e4))
    numbers = hyperparameters(chosen.model, chosen.optimiser, chosen.objective, chosen.corruption)
    state = start(model, numbers, chosen.optimiser, key=jax.random.key(2))
    _, metrics = step(plan, state, jax.tree.map(jnp.asarray, data), key=jax.random.key(3))
    assert np.isfinite(metrics["total"])
    assert metrics["is_finite"] == 1
