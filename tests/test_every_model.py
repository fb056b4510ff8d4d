"""One battery for every model and its variants: what DESIGN asks of all of them, on small random data.

To bring in a model: a row in `VARIANTS`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.models import MODELS
from undertow.models.lfads import LFADS
from undertow.search.space import moving_keys
from undertow.training import checkpoint
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training, beginning, plan_of, summarise
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.training.step import loss, step

SMALL = {
    "factors": 3,
    "generator": 12,
    "initial_condition": 4,
    "encoder": 6,
    "input_encoder": 5,
    "controller": 7,
    "inferred_inputs": 2,
}
VARIANTS = {
    "lfads": LFADS(**SMALL),
    "lfads autonomous": LFADS(**{**SMALL, "inferred_inputs": 0}),
    "lfads causal": LFADS(**SMALL, causal=True, initial_segment=3),
    "lfads strictly causal": LFADS(**SMALL, causal=True, lag=0),
    "lfads deterministic": LFADS(**SMALL, variational=False),
    "lfads read-in": LFADS(**SMALL, read_in=4, log_counts=True),
    "lfads student": LFADS(**SMALL, input_prior="student_t", initial_condition_prior="student_t"),
    "lfads gaussian prior": LFADS(**SMALL, input_prior="gaussian", known_inputs_to="both"),
    "lfads no prior": LFADS(
        **SMALL, input_prior="none", initial_condition_prior="none", known_inputs_to="encoders"
    ),
    "lfads automatic": LFADS(**SMALL, backward="automatic"),
    "lfads negative binomial": LFADS(**SMALL, observation="negative_binomial"),
    "lfads gaussian": LFADS(**SMALL, observation="gaussian"),
    "lfads gamma": LFADS(**SMALL, observation="gamma"),
    "lfads zero-inflated gamma": LFADS(**SMALL, observation="zero_inflated_gamma"),
}
TRIALS, TIME, NEURONS, INPUTS = 6, 11, 5, 2
HELD_OUT = np.array([False, True, False, False, True])
FORWARD = np.arange(TIME) >= 9
TRAINED_LIKE_ANOTHER = ("lfads strictly causal", "lfads automatic", "lfads no prior")
"""Their gradients are tried one by one; training them tries nothing that another's does not, and takes ten seconds each."""
each_model = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
each_trained = pytest.mark.parametrize(
    "config", [pytest.param(VARIANTS[name], id=name) for name in VARIANTS if name not in TRAINED_LIKE_ANOTHER]
)


@pytest.fixture(scope="module")
def data() -> TrialArrays:
    """Counts with a gap, a short trial and known inputs."""
    rng = np.random.default_rng(0)
    counts = 1.0 + rng.poisson(2.0, (TRIALS, TIME, NEURONS)).astype(np.float32)
    counts[1, 3:5, 2] = np.nan
    counts[2, 7:] = np.nan
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    return TrialArrays(counts, inputs, np.arange(TRIALS, dtype=np.int32))


@pytest.fixture(scope="module")
def corruption() -> Corruption:
    """Two neurons held out, two bins to be forecast."""
    return Corruption(jnp.asarray(HELD_OUT), jnp.asarray(FORWARD), moves_spikes=False)


def choices(config, **corruption) -> Choices:
    return Choices(
        config, Training(batch_size=TRIALS), Optimiser(), Objective(), CorruptionConfig(**corruption)
    )


def built(config, data):
    return config.build(summarise(data), key=jax.random.key(3))


def estimates(model, counts, inputs, corruption, key=None):
    keys = jax.random.split(jax.random.key(7), len(counts)) if key is None else key
    one = lambda c, i, k: model.estimate(corruption.conceal(c), i, key=k)  # noqa: E731
    return eqx.filter_jit(lambda c, i: jax.vmap(one)(c, i, keys))(jnp.asarray(counts), jnp.asarray(inputs))


def all_terms(model, data, corruption, config):
    settings = {name: jnp.float32(0.0) for name in config.settings()}
    rates = jax.tree.map(jnp.float32, CorruptionConfig(coordinated_dropout=0.0).model_dump())
    from undertow.components.corruption import CorruptionRates

    rates = CorruptionRates(**rates)

    def one(counts, inputs, number):
        corrupted = corruption.validate(counts, rates, number)
        return model.terms(corrupted, inputs, settings, key=jax.random.fold_in(jax.random.key(1), number))

    return eqx.filter_jit(lambda batch: jax.vmap(one)(*batch))(jax.tree.map(jnp.asarray, data))


def test_every_model_of_the_table_is_tried():
    assert {config.section for config in VARIANTS.values()} == set(MODELS)


@each_model
def test_shapes_of_the_estimate(config, data, corruption):
    estimate = estimates(built(config, data), data.counts, data.inputs, corruption)
    assert estimate["rates"].shape == (TRIALS, TIME, NEURONS)
    assert estimate["factors"].shape == (TRIALS, TIME, config.factors)
    assert all(np.isfinite(value).all() for value in jax.tree.leaves(estimate))
    if config.observation != "gaussian":
        assert (estimate["rates"] > 0).all()


@each_model
def test_loss_and_every_gradient_are_finite_and_used(config, data, corruption):
    chosen = choices(config)
    plan, model = plan_of(chosen, corruption, data), built(config, data)
    numbers = beginning(chosen, data, seed=0).hyperparameters
    arrays, static = eqx.partition(model, eqx.is_array)

    @jax.jit
    def gradient(arrays, batch):
        return eqx.filter_grad(loss, has_aux=True)(
            eqx.combine(arrays, static), plan, numbers, batch, jnp.int32(200), key=jax.random.key(0)
        )

    gradients, metrics = gradient(arrays, data)
    assert np.isfinite(metrics["total"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@each_trained
def test_loss_falls(config, data, corruption):
    chosen = choices(config, coordinated_dropout=0.0)
    plan, state = plan_of(chosen, corruption, data), beginning(chosen, data, seed=0)
    changing, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def many(changing):
        def one(changing, key):
            state, metrics = step(
                plan, eqx.combine(changing, static), jax.tree.map(jnp.asarray, data), key=key
            )
            return eqx.filter(state, eqx.is_array), metrics["reconstruction"]

        return jax.lax.scan(one, changing, jax.random.split(jax.random.key(0), 60))

    after, reconstructions = many(changing)
    assert reconstructions[-10:].mean() < reconstructions[:5].mean()
    assert int(eqx.combine(after, static).skipped) == 0


@each_model
def test_compiled_equals_uncompiled(config, data, corruption):
    model = built(config, data)
    compiled = estimates(
        model, data.counts[:1], data.inputs[:1], corruption, jax.random.split(jax.random.key(2), 1)
    )
    with jax.disable_jit():
        plain = model.estimate(
            corruption.conceal(jnp.asarray(data.counts[0])),
            jnp.asarray(data.inputs[0]),
            key=jax.random.split(jax.random.key(2), 1)[0],
        )
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name][0], value, rtol=2e-4, atol=2e-5, err_msg=name)


@each_model
def test_a_batch_equals_its_trials_one_by_one(config, data, corruption):
    model, keys = built(config, data), jax.random.split(jax.random.key(7), TRIALS)
    together = estimates(model, data.counts, data.inputs, corruption, keys)
    for trial in range(TRIALS):
        alone = estimates(
            model,
            data.counts[trial : trial + 1],
            data.inputs[trial : trial + 1],
            corruption,
            keys[trial : trial + 1],
        )
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][trial], value[0], rtol=1e-4, atol=1e-5, err_msg=name)


@each_model
def test_same_key_same_result_and_another_key_another(config, data, corruption):
    model = built(config, data)
    first, second = (estimates(model, data.counts, data.inputs, corruption) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)
    other = estimates(
        model, data.counts, data.inputs, corruption, jax.random.split(jax.random.key(8), TRIALS)
    )
    assert (other["rates"] == first["rates"]).all() == (not config.variational)


@each_model
def test_save_and_load(config, data, corruption, tmp_path):
    model = built(config, data)
    checkpoint.write(tmp_path / "model.safetensors", model, facts={"schema": "test"})
    other = config.build(summarise(data), key=jax.random.key(99))
    loaded, facts = checkpoint.read(tmp_path / "model.safetensors", other)
    assert facts == {"schema": "test"}
    before = estimates(model, data.counts, data.inputs, corruption)
    after = estimates(loaded, data.counts, data.inputs, corruption)
    assert all((before[name] == after[name]).all() for name in before)


@each_model
def test_no_peeking_at_held_out_neurons_or_forward_bins(config, data, corruption):
    model = built(config, data)
    other = data.counts.copy()
    other[:, :, HELD_OUT] += 3
    other[:, FORWARD] += 5
    before = estimates(model, data.counts, data.inputs, corruption)
    after = estimates(model, other, data.inputs, corruption)
    assert all((before[name] == after[name]).all() for name in before)


@each_model
def test_what_is_seen_matters(config, data, corruption):
    model = built(config, data)
    other = data.counts.copy()
    other[:, :9, ~HELD_OUT] += 3
    before = estimates(model, data.counts, data.inputs, corruption)
    after = estimates(model, other, data.inputs, corruption)
    assert (before["rates"] != after["rates"]).any()


@each_model
def test_padding_and_order_change_nothing(config, data, corruption):
    model = built(config, data)
    padding = np.full((TRIALS, 4, NEURONS), np.nan, np.float32)
    longer = TrialArrays(
        np.concatenate([data.counts, padding], axis=1),
        np.concatenate([data.inputs, np.zeros((TRIALS, 4, INPUTS), np.float32)], axis=1),
        data.number,
    )
    wider = Corruption(
        corruption.held_out, jnp.asarray(np.r_[FORWARD, np.zeros(4, bool)]), moves_spikes=False
    )
    terms, padded = (all_terms(model, d, c, config) for d, c in ((data, corruption), (longer, wider)))
    for name, value in terms.items():
        np.testing.assert_allclose(padded[name], value, rtol=2e-4, atol=1e-4, err_msg=name)
    order = np.array([3, 1, 5, 0, 2, 4])
    shuffled = all_terms(model, TrialArrays(*(array[order] for array in data)), corruption, config)
    for name, value in terms.items():
        np.testing.assert_allclose(shuffled[name], value[order], rtol=2e-4, atol=1e-4, err_msg=name)


@each_model
def test_a_causal_model_does_not_look_ahead(config, data, corruption):
    model, now = built(config, data), 6
    other = data.counts.copy()
    other[:, now:] += 4
    other[2] = data.counts[2]
    before = estimates(model, data.counts, data.inputs, corruption)["rates"]
    after = estimates(model, other, data.inputs, corruption)["rates"]
    lag = config.lag if config.inferred_inputs else TIME
    assert (before[:, : now + lag] == after[:, : now + lag]).all() == config.causal


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())
def test_what_a_search_moves_are_numbers_of_the_state(config):
    choices = Choices(config(), Training(), Optimiser(), Objective(), CorruptionConfig())
    assert config.space
    assert set(config.space) <= moving_keys(choices)
