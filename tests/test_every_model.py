"""One battery for every model and its variants: what DESIGN asks of all of them, on small random data.

To bring in a model: a row in `VARIANTS`. Each variant is built and compiled once, and all tests of it run on the same programs.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.corruption import Corrupted, Corruption, CorruptionRates
from undertow.data.batches import TrialArrays
from undertow.experiments.recipe import value_of
from undertow.models import MODELS
from undertow.models.autoencoder import Autoencoder
from undertow.models.base import TRIALS as AXIS
from undertow.models.base import Model, ModelConfig
from undertow.models.gnocchi import Gnocchi
from undertow.models.lfads import LFADS
from undertow.models.transformer import NDT
from undertow.search.space import moving_keys
from undertow.training import checkpoint
from undertow.training.hyperparameters import CorruptionConfig, hyperparameters
from undertow.training.loop import Choices, Training, plan_of, summarise
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.training.state import start
from undertow.training.step import step
from undertow.vocabulary import ESTIMATE_VARIABLES

SMALL = {
    "factors": 3,
    "generator": 12,
    "initial_condition": 4,
    "encoder": 6,
    "input_encoder": 5,
    "controller": 7,
    "inferred_inputs": 2,
}
ODE = {"latents": 3, "encoder": 6, "vector_field": (8,), "flow_units": 8}
LAYER = {"layers": 1, "feed_forward": 8}
TINY = {
    "code": 2,
    "width": 8,
    "depth": 2,
    "encoder_width": 8,
    "encoder_blocks": 1,
    "heads": 2,
    "steps": 3,
    "smoothing": 1.0,
}
PUBLISHED = {"embedding": "identity", "positions": "learned", "context_backward": 3, "context_forward": 2}
CAUSAL = {"causal": True, "context_backward": 4, "positions": "relative", "embedding": "per_count"}
VARIANTS = {
    "lfads": LFADS(**SMALL),
    "lfads autonomous": LFADS(**{**SMALL, "inferred_inputs": 0}),
    "lfads causal": LFADS(**SMALL, causal=True, initial_segment=3),
    "lfads strictly causal": LFADS(**SMALL, causal=True, lag=0),
    "lfads of lfads-torch": LFADS(**SMALL, controller_reads="own_bins", initial_segment=2, limit_start=False),
    "lfads deterministic": LFADS(**SMALL, variational=False),
    "lfads read-in": LFADS(**SMALL, read_in=4, log_counts=True, missing="mean"),
    "lfads student negative binomial": LFADS(
        **SMALL, input_prior="student_t", initial_condition_prior="student_t", observation="negative_binomial"
    ),
    "lfads gaussian": LFADS(**SMALL, input_prior="gaussian", known_inputs_to="both", observation="gaussian"),
    "lfads no prior gamma": LFADS(
        **SMALL,
        input_prior="none",
        initial_condition_prior="none",
        known_inputs_to="encoders",
        observation="gamma",
    ),
    "lfads automatic": LFADS(**SMALL, backward="automatic", observation="zero_inflated_gamma"),
    "lfads mask causal": LFADS(**SMALL, missing="mask", causal=True, initial_segment=3),
    "lfads ode": LFADS(**SMALL, dynamics="ode", vector_field=(8,)),
    "lfads linear causal": LFADS(**SMALL, dynamics="linear", causal=True, initial_segment=3),
    "autoencoder": Autoencoder(**ODE),
    "autoencoder residual": Autoencoder(
        **{**ODE, "vector_field": (8, 8)},
        dynamics="residual",
        readout="flow",
        observation="zero_inflated_gamma",
    ),
    "autoencoder gru": Autoencoder(latents=3, encoder=6, dynamics="gru", variational=True, missing="mask"),
    "autoencoder rnn causal": Autoencoder(
        latents=3, encoder=6, dynamics="rnn", causal=True, initial_segment=3, missing="mean"
    ),
    "ndt": NDT(layers=2, feed_forward=8),
    "ndt published": NDT(**LAYER, **PUBLISHED),
    "ndt causal": NDT(layers=2, feed_forward=8, factors=3, **CAUSAL),
    "gnocchi": Gnocchi(**{**TINY, "depth": 1}, reconstructs_first=True, discrepancy="median"),
    "gnocchi transformer": Gnocchi(
        **TINY,
        denoiser="transformer",
        encoder="gru",
        code_kind="gaussian",
        transform="sqrt",
        sampler="heun",
        target="data",
    ),
    "gnocchi real": Gnocchi(**TINY, sampler="ddpm", observation="gaussian", code_at="bottleneck"),
    "ndt spatial": NDT(
        **LAYER, spatial=True, norm="after", positions="sinusoidal", observation="zero_inflated_gamma"
    ),
}
LATER = {"lfads causal": 1, "lfads mask causal": 1, "lfads linear causal": 1}
"""Bins after which a count is first heard of by a causal variant; 0 where it is not named."""
FORECASTS = ("autoencoder rnn causal",)
"""Variants that hear of nothing after their initial segment."""
TRIALS, TIME, NEURONS, INPUTS, PADDING = 6, 11, 5, 2, 4
SHORT, GAP = 2, 1
HELD_OUT = np.array([False, True, False, False, True])
FORWARD = np.arange(TIME) >= 9
UPDATES = 60


def is_causal(config: ModelConfig) -> bool:
    """Whether these choices, of a model that has the choice, are of a model that never looks ahead."""
    return getattr(config, "causal", False)


class Tried(NamedTuple):
    """A variant, its model as it begins, and what makes another of it."""

    name: str
    config: ModelConfig
    model: Model
    build: Callable[..., Model]


@pytest.fixture(scope="module")
def data() -> TrialArrays:
    """Counts with a gap, a short trial and known inputs."""
    rng = np.random.default_rng(0)
    counts = 1.0 + rng.poisson(2.0, (TRIALS, TIME, NEURONS)).astype(np.float32)
    counts[GAP, 3:5, 2] = np.nan
    counts[SHORT, 7:] = np.nan
    inputs = rng.normal(size=(TRIALS, TIME, INPUTS)).astype(np.float32)
    return TrialArrays(counts, inputs, np.arange(TRIALS, dtype=np.int32))


@pytest.fixture(scope="module")
def corruption() -> Corruption:
    """Two neurons held out, two bins to be forecast."""
    return Corruption(jnp.asarray(HELD_OUT), jnp.asarray(FORWARD), moves_spikes=False)


@pytest.fixture(scope="module", params=VARIANTS.values(), ids=VARIANTS.keys())
def tried(request, data) -> Tried:
    """Each variant in its turn, so that its programs are compiled once and let go; built for the longest trials of any test."""
    config, summary = request.param, summarise(data)._replace(bins=TIME + PADDING)
    build = eqx.filter_jit(
        lambda key, mean, variance: config.build(summary._replace(mean=mean, variance=variance), key=key)
    )
    of_key = partial(_built, build, summary)
    (name,) = (name for name, one in VARIANTS.items() if one is config)
    return Tried(name, config, of_key(3), of_key)


def _built(build, summary, seed):
    return build(jax.random.key(seed), summary.mean, summary.variance)


@eqx.filter_jit
def _estimates(model, corruption, counts, inputs, keys):
    return jax.vmap(lambda c, i, k: model.estimate(corruption.conceal(c), i, key=k))(counts, inputs, keys)


def estimates(model, counts, inputs, corruption, *, seed=7):
    keys = jax.random.split(jax.random.key(seed), TRIALS)
    return jax.tree.map(
        np.asarray, _estimates(model, corruption, jnp.asarray(counts), jnp.asarray(inputs), keys)
    )


@pytest.fixture(scope="module")
def before(tried, data, corruption):
    """The estimates that others are held against."""
    return estimates(tried.model, data.counts, data.inputs, corruption)


@eqx.filter_jit
def _terms(model, corruption, batch, rates, settings):
    def one(counts, inputs, number):
        corrupted = corruption.validate(counts, rates, number)
        return model.terms(corrupted, inputs, settings, key=jax.random.fold_in(jax.random.key(1), number))

    return jax.vmap(one, axis_name=AXIS)(*batch[:3])


def all_terms(tried, data, corruption):
    settings = {name: jnp.float32(0.0) for name in tried.config.settings()}
    nothing = CorruptionConfig(coordinated_dropout=0.0)
    rates = CorruptionRates(*(jnp.float32(getattr(nothing, name)) for name in CorruptionRates._fields))
    return _terms(tried.model, corruption, jax.tree.map(jnp.asarray, data), rates, settings)


def test_every_model_of_the_table_is_tried():
    assert {config.section for config in VARIANTS.values()} == set(MODELS)


def test_shapes_of_the_estimate(tried, before):
    assert before["rates"].shape == (TRIALS, TIME, NEURONS)
    for name, value in before.items():
        has_time = ESTIMATE_VARIABLES[name][1] == "time"
        assert value.shape[:-1] == ((TRIALS, TIME) if has_time else (TRIALS,))
        assert np.isfinite(value).all()
    factors = getattr(tried.config, tried.config.size or "factors", 0)
    assert ("factors" in before) == (factors > 0)
    if factors:
        assert before["factors"].shape[-1] == factors
    if tried.config.observation != "gaussian":
        assert (before["rates"] > 0).all()


def test_loss_falls_and_all_gradients_are_finite(tried, data, corruption):
    """Without dropout the loss falls; with dropout and all ramps at their end every step is finite as well.

    The loss is held against that of weights that stay as they are, under the same chance.
    """
    chosen = Choices(tried.config, Training(batch_size=TRIALS), Optimiser(), Objective(), CorruptionConfig())
    plan, batch = plan_of(chosen, corruption, data), jax.tree.map(jnp.asarray, data)
    numbers = hyperparameters(chosen.model, chosen.optimiser, chosen.objective, chosen.corruption)
    state = start(tried.model, numbers, chosen.optimiser, key=jax.random.key(0))
    changing, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def many(changing, dropped, epoch, pace):
        before = changing.hyperparameters
        rates = before.corruption._replace(coordinated_dropout=dropped)
        numbers = before._replace(corruption=rates, learning_rate=pace * before.learning_rate)
        first = changing._replace(hyperparameters=numbers, epoch=epoch)

        def one(changing, key):
            state, metrics = step(plan, eqx.combine(changing, static), batch, key=key)
            return eqx.filter(state, eqx.is_array), metrics

        return jax.lax.scan(one, first, jax.random.split(jax.random.key(0), UPDATES))

    _, resting = many(changing, jnp.float32(0.0), jnp.int32(0), jnp.float32(0.0))
    after, metrics = many(changing, jnp.float32(0.0), jnp.int32(0), jnp.float32(1.0))
    assert metrics["reconstruction"][-10:].mean() < 0.99 * resting["reconstruction"][-10:].mean()
    assert int(after.skipped) == 0
    after, metrics = many(changing, jnp.float32(0.3), jnp.int32(200), jnp.float32(1.0))
    assert np.isfinite(metrics["total"]).all()
    assert int(after.skipped) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(eqx.filter(after.model, eqx.is_array)))


def test_one_trial_uncompiled_equals_its_part_of_the_batch(tried, before, data, corruption):
    trial = SHORT
    with jax.disable_jit():
        plain = tried.model.estimate(
            corruption.conceal(jnp.asarray(data.counts[trial])),
            jnp.asarray(data.inputs[trial]),
            key=jax.random.split(jax.random.key(7), TRIALS)[trial],
        )
    for name, value in plain.items():
        np.testing.assert_allclose(before[name][trial], value, rtol=2e-4, atol=2e-5, err_msg=name)


def test_a_trial_does_not_know_the_others(tried, before, data, corruption):
    other = np.where(np.arange(TRIALS)[:, None, None] == GAP, data.counts, data.counts + 2)
    after = estimates(tried.model, other, data.inputs, corruption)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name][GAP], value[GAP], err_msg=name)
    assert differ(after, before)


def differ(after, before) -> bool:
    """Whether anything of two estimates differs: rates that are told a code hear nothing of it before training."""
    return any((after[name] != value).any() for name, value in before.items())


def test_same_key_same_result_and_another_key_another(tried, before, data, corruption):
    again, other = (
        estimates(tried.model, data.counts, data.inputs, corruption, seed=seed) for seed in (7, 8)
    )
    assert all((before[name] == again[name]).all() for name in before)
    is_drawn = tried.model.is_sampled
    assert (other["rates"] != before["rates"]).any() == is_drawn


def test_every_penalty_is_weighed_and_those_of_the_observation_are_among_them(tried):
    penalties = tried.model.penalties()
    assert set(tried.model.observation.penalties()) <= set(penalties) <= set(tried.config.term_weights())


def test_save_and_load(tried, before, data, corruption, tmp_path):
    checkpoint.write(tmp_path / "model.safetensors", tried.model, facts={"schema": "test"})
    loaded, facts = checkpoint.read(tmp_path / "model.safetensors", tried.build(99))
    assert facts == {"schema": "test"}
    after = estimates(loaded, data.counts, data.inputs, corruption)
    assert all((before[name] == after[name]).all() for name in before)


def test_no_peeking_at_held_out_neurons_or_forward_bins(tried, before, data, corruption):
    other = data.counts.copy()
    other[:, :, HELD_OUT] += 3
    other[:, FORWARD] += 5
    after = estimates(tried.model, other, data.inputs, corruption)
    assert all((before[name] == after[name]).all() for name in before)


def test_what_is_seen_matters(tried, before, data, corruption):
    other = data.counts.copy()
    other[:, :9, ~HELD_OUT] += 3
    after = estimates(tried.model, other, data.inputs, corruption)
    assert differ(after, before)


@eqx.filter_jit
def _loss_and_gradient(model, corrupted, inputs, settings):
    """Of all terms of one trial, and what each parameter feels of them; a batch of one, as reverse mode asks for."""

    def total(model):
        def one(corrupted, inputs):
            return sum(model.terms(corrupted, inputs, settings, key=jax.random.key(2)).values())

        of_batch = jax.vmap(one, axis_name=AXIS)
        return of_batch(jax.tree.map(lambda part: part[None], corrupted), inputs[None])[0]

    return eqx.filter_value_and_grad(total)(model)


@pytest.fixture(scope="module")
def felt(tried, data, corruption):
    """The trial with a gap, under coordinated dropout and sample validation, and a function to its loss and gradient."""
    chosen = CorruptionConfig(coordinated_dropout=0.3, sample_validation=0.2)
    rates = CorruptionRates(*(jnp.float32(getattr(chosen, name)) for name in CorruptionRates._fields))
    trial = corruption.corrupt(jnp.asarray(data.counts[GAP]), rates, jnp.int32(GAP), key=jax.random.key(4))
    settings = {name: jnp.float32(0.1) for name in tried.config.settings()}
    return trial, lambda other: _loss_and_gradient(
        tried.model, other, jnp.asarray(data.inputs[GAP]), settings
    )


def test_values_that_do_not_count_change_no_loss_and_no_gradient(felt):
    """Whatever stands behind an entry that was not observed, or that coordinated dropout or sample validation leave out."""
    trial, loss_and_gradient = felt
    is_out = np.asarray(trial.weight == 0)
    assert is_out[np.isnan(np.asarray(trial.target))].all()
    assert is_out.mean() > 0.3
    expected = jax.tree.leaves(loss_and_gradient(trial))
    assert all(np.isfinite(leaf).all() for leaf in expected)
    rng = np.random.default_rng(0)
    for junk in (rng.normal(0, 1e3, is_out.shape), np.full(is_out.shape, np.inf), np.zeros(is_out.shape)):
        other = trial._replace(target=jnp.asarray(np.where(is_out, junk, trial.target), jnp.float32))
        for found, value in zip(jax.tree.leaves(loss_and_gradient(other)), expected, strict=True):
            np.testing.assert_array_equal(found, value)


def test_bins_neurons_and_trials_of_which_nothing_was_observed(tried, felt, data, corruption):
    """Loss, gradient and estimate stay finite; a trial without any observation teaches the read-out nothing."""
    trial, loss_and_gradient = felt
    for missing in (np.s_[4], np.s_[:, 0], np.s_[:]):
        seen, target, weight = (np.array(part) for part in trial)
        seen[missing], target[missing], weight[missing] = np.nan, np.nan, 0.0
        found = loss_and_gradient(Corrupted(*map(jnp.asarray, (seen, target, weight))))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(found[1].readout))
    counts = data.counts.copy()
    counts[0], counts[1, 4], counts[:, :, 0] = np.nan, np.nan, np.nan
    after = estimates(tried.model, counts, data.inputs, corruption)
    assert all(np.isfinite(value).all() for value in after.values())


def test_padding_and_order_change_nothing(tried, data, corruption):
    padding = np.full((TRIALS, PADDING, NEURONS), np.nan, np.float32)
    longer = TrialArrays(
        np.concatenate([data.counts, padding], axis=1),
        np.concatenate([data.inputs, np.zeros((TRIALS, PADDING, INPUTS), np.float32)], axis=1),
        data.number,
    )
    wider = Corruption(
        corruption.held_out, jnp.asarray(np.r_[FORWARD, np.zeros(PADDING, bool)]), moves_spikes=False
    )
    terms, padded = (all_terms(tried, d, c) for d, c in ((data, corruption), (longer, wider)))
    for name, value in terms.items():
        np.testing.assert_allclose(padded[name], value, rtol=2e-4, atol=1e-4, err_msg=name)
    order = np.array([3, 1, 5, 0, 2, 4])
    shuffled = all_terms(tried, jax.tree.map(lambda array: array[order], data), corruption)
    for name, value in terms.items():
        np.testing.assert_allclose(shuffled[name], value[order], rtol=2e-4, atol=1e-4, err_msg=name)


def test_a_causal_model_does_not_look_ahead(tried, before, data, corruption):
    now, other = 6, data.counts.copy()
    other[:, now:] += 4
    after = estimates(tried.model, other, data.inputs, corruption)
    if "code" in before:  # of the whole trial
        assert (before["code"] != after["code"]).any()
        return
    has_changed = (before["rates"] != after["rates"]).any((0, 2))
    first = int(np.argmax(has_changed))
    assert has_changed.any() == (tried.name not in FORECASTS)
    if tried.name in FORECASTS:
        return
    assert (first == now + LATER.get(tried.name, 0)) if is_causal(tried.config) else (first < now)


@eqx.filter_jit
def _streamed(model, seen, inputs):
    """The posterior means of a trial, bin by bin and at once."""
    streaming = model.streaming()
    opened = streaming.opening
    state, first = streaming.begin(seen[:opened], inputs[:opened])
    advance = lambda state, bins: streaming.advance(state, *bins)  # noqa: E731
    _, rest = jax.lax.scan(advance, state, (seen[opened:], inputs[opened:]))
    one_by_one = {name: jnp.concatenate([first[name], value]) for name, value in rest.items()}
    return one_by_one, model.estimate(seen, inputs, key=None)


def test_a_stream_gives_the_estimate_bin_by_bin_or_says_what_would_have_to_change(tried, data, corruption):
    answer, config = tried.model.streaming(), tried.config
    if isinstance(answer, str):
        assert not is_causal(config)
        if not hasattr(config, "causal"):
            assert "has no causal form" in answer
            return
        advice = re.findall(r"(\w+)\.(\w+)=(\w+)", answer)
        assert advice and {section for section, _, _ in advice} == {config.section}
        changed = type(config)(**config.model_dump() | {key: value_of(value) for _, key, value in advice})
        built = eqx.filter_eval_shape(
            changed.build, summarise(data)._replace(bins=TIME), key=jax.random.key(0)
        )
        assert not isinstance(built.streaming(), str)
        return
    assert config.causal
    seen = corruption.conceal(jnp.asarray(data.counts[GAP]))[~FORWARD]
    one_by_one, offline = _streamed(tried.model, seen, jnp.asarray(data.inputs[GAP])[~FORWARD])
    assert {"rates", "latents"} <= one_by_one.keys() <= offline.keys()
    for name, value in one_by_one.items():
        np.testing.assert_allclose(value, offline[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("config", MODELS.values(), ids=MODELS.keys())
def test_what_a_search_moves_are_numbers_of_the_state(config):
    choices = Choices(config(), Training(), Optimiser(), Objective(), CorruptionConfig())
    assert config.space
    assert set(config.space) <= moving_keys(choices)
