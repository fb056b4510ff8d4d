"""What holds for every model that several sessions share: a batch of sessions equals the sessions one by one.

Two sessions of five and of three neurons; their trials alternate in the batch. What stands in an empty column changes nothing.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.corruption import Corruption
from undertow.data.batches import EMPTY, TrialArrays
from undertow.models import MODELS
from undertow.models.autoencoder import Autoencoder
from undertow.models.lfads import LFADS
from undertow.models.transformer import NDT
from undertow.training.hyperparameters import CorruptionConfig, hyperparameters
from undertow.training.loop import Choices, Training, plan_of, summarise
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.training.step import loss
from undertow.vocabulary import UndertowError

SMALL = {
    "factors": 3,
    "generator": 6,
    "initial_condition": 3,
    "encoder": 4,
    "input_encoder": 4,
    "controller": 4,
}
VARIANTS = {
    "lfads": LFADS(**SMALL, inferred_inputs=1),
    "lfads mask": LFADS(**SMALL, inferred_inputs=0, missing="mask", observation="negative_binomial"),
    "autoencoder": Autoencoder(latents=3, encoder=4, dynamics="gru", missing="mean"),
    "ndt": NDT(layers=1, feed_forward=8, factors=3),
}
SIZES, TRIALS, TIME, INPUTS = (5, 3), 6, 7, 1
SESSION = np.arange(TRIALS) % 2
HELD_OUT = np.array([False, True, False, False, False, False, False, True])


def batch_of_sessions() -> TrialArrays:
    """Trials of both sessions in turn, as many columns as the larger has neurons."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (TRIALS, TIME, max(SIZES))).astype(np.float32)
    counts[:, 2, 1] = np.nan
    neurons = np.full((TRIALS, max(SIZES)), EMPTY, np.int32)
    for trial, session in enumerate(SESSION):
        first = sum(SIZES[:session])
        neurons[trial, : SIZES[session]] = np.arange(first, first + SIZES[session])
        counts[trial, :, SIZES[session] :] = np.nan
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    return TrialArrays(counts, inputs, np.arange(TRIALS, dtype=np.int32), neurons)


DATA = batch_of_sessions()
SUMMARY = summarise(DATA)
CORRUPTION = Corruption(jnp.asarray(HELD_OUT), jnp.zeros(TIME, bool), moves_spikes=False)


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def shared(request):
    """A model's choices as sessions share them, and the model."""
    config = request.param.for_sessions()
    return config, eqx.filter_jit(config.build)(SUMMARY, key=jax.random.key(2))


@eqx.filter_jit
def estimates(model, corruption, batch):
    def one(trial):
        seen = corruption.for_neurons(trial.neurons).conceal(trial.counts)
        of_session = model.for_neurons(trial.neurons)
        return of_session.estimate(seen, trial.inputs, key=jax.random.key(trial.number))

    return jax.vmap(one)(batch)


def trained_on(config):
    """The loss and its gradient as a compiled function of model, numbers and batch; and the numbers."""
    chosen = Choices(config, Training(batch_size=TRIALS), Optimiser(), Objective(), CorruptionConfig())
    plan = plan_of(chosen, CORRUPTION, DATA)

    @eqx.filter_jit
    def compute(model, numbers, batch):
        differentiate = eqx.filter_value_and_grad(loss, has_aux=True)
        return differentiate(model, plan, numbers, batch, jnp.int32(9), key=jax.random.key(1))

    return compute, hyperparameters(chosen.model, chosen.optimiser, chosen.objective, chosen.corruption)


def test_every_model_is_shared_or_says_why_not():
    assert {config.section for config in VARIANTS.values()} == set(MODELS) - {"gnocchi"}
    with pytest.raises(UndertowError, match="'gnocchi' can't be shared by several sessions"):
        MODELS["gnocchi"]().for_sessions()
    with pytest.raises(UndertowError, match="readout='flow' mixes all neurons"):
        Autoencoder(readout="flow").for_sessions()
    with pytest.raises(UndertowError, match=r"ndt\.embedding='identity'"):
        NDT(embedding="identity").for_sessions()


def test_the_summary_counts_each_neuron_once():
    assert (SUMMARY.neurons, SUMMARY.seen, SUMMARY.fan_in) == (8, 4, 4)
    own = DATA.counts[SESSION == 1][:, :, 2]
    np.testing.assert_allclose(SUMMARY.mean[7], np.nanmean(own), rtol=1e-6)
    assert LFADS(factors=3).for_sessions().read_in == 3
    assert LFADS(factors=3, read_in=7).for_sessions().read_in == 7


def test_a_batch_of_sessions_equals_the_sessions_one_by_one(shared):
    _, model = shared
    together = estimates(model, CORRUPTION, DATA)
    for session, size in enumerate(SIZES):
        first = sum(SIZES[:session])
        alone = model.for_neurons(jnp.arange(first, first + size))
        own = Corruption(jnp.asarray(HELD_OUT[first : first + size]), CORRUPTION.forward, moves_spikes=False)
        for trial in np.flatnonzero(session == SESSION):
            seen = own.conceal(jnp.asarray(DATA.counts[trial, :, :size]))
            by_itself = eqx.filter_jit(type(alone).estimate)(
                alone, seen, jnp.asarray(DATA.inputs[trial]), key=jax.random.key(trial)
            )
            for name, value in by_itself.items():
                one = together[name][trial]
                one = one[:, :size] if name == "rates" else one
                np.testing.assert_allclose(one, value, rtol=2e-5, atol=2e-5, err_msg=name)


def test_what_stands_in_empty_columns_changes_neither_loss_nor_gradient(shared):
    config, model = shared
    compute, numbers = trained_on(config)
    (value, _), gradient = compute(model, numbers, DATA)
    wider = DATA._replace(
        counts=np.pad(DATA.counts, ((0, 0), (0, 0), (0, 2)), constant_values=np.nan),
        neurons=np.pad(DATA.neurons, ((0, 0), (0, 2)), constant_values=EMPTY),
    )
    still = numbers._replace(
        corruption=numbers.corruption._replace(coordinated_dropout=jnp.float32(0.0)),
        model={name: jnp.zeros_like(rate) for name, rate in numbers.model.items()},
    )
    (before, _), _ = compute(model, still, DATA)
    (after, _), _ = compute(model, still, wider)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_session_moves_its_own_rows_alone(shared):
    config, model = shared
    compute, numbers = trained_on(config)
    first = jax.tree.map(lambda array: array[SESSION == 0], DATA)
    _, gradient = compute(model, numbers, first)
    readout = np.asarray(gradient.readout.bias)
    assert (np.abs(readout[:5]).sum(1) > 0).all()
    assert not readout[5:].any()
