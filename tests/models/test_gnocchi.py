"""GNOCCHI: what its terms are, what its special cases come to, and what it is told."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.attention import sinusoids
from undertow.components.corruption import Corrupted
from undertow.models.base import TRIALS, DataSummary
from undertow.models.gnocchi import POSITIONS, Gnocchi, GnocchiModel
from undertow.vocabulary import UndertowError

TIME, NEURONS, BATCH = 9, 4, 6
TINY = {
    "code": 3,
    "width": 8,
    "depth": 1,
    "encoder_width": 8,
    "encoder_blocks": 1,
    "steps": 3,
    "smoothing": 1.0,
}
SETTINGS = {"dropout_rate": jnp.float32(0.0), "code_dropout": jnp.float32(0.0)}


def built(**choices) -> GnocchiModel:
    config, mean = Gnocchi(**{**TINY, **choices}), jnp.full(NEURONS, 2.0)
    summary = DataSummary(NEURONS, 0, mean, mean, bins=TIME)
    return eqx.filter_jit(lambda key: config.build(summary, key=key))(jax.random.key(0))


@pytest.fixture(scope="module")
def counts():
    return jnp.asarray(np.random.default_rng(0).poisson(2.0, (BATCH, TIME, NEURONS)), jnp.float32)


def terms_of(model, counts):
    def one(counts, key):
        whole = Corrupted(counts, counts, jnp.ones_like(counts))
        return model.terms(whole, jnp.zeros((TIME, 0)), SETTINGS, key=key)

    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(1), number))(jnp.arange(len(counts)))
    return jax.jit(jax.vmap(one, axis_name=TRIALS))(counts, keys)


@pytest.mark.parametrize(
    ("zeta", "lam", "kl", "discrepancy"),
    [(1.0, 0.1, 0.0, 0.1), (0.5, 1.0, 0.5, 0.5), (0.0, 1.0, 1.0, 0.0), (0.25, 2.0, 0.75, 1.25)],
)
def test_zeta_and_lambda_are_weights(zeta, lam, kl, discrepancy):
    weights = Gnocchi(zeta=zeta, lam=lam, code_kind="gaussian").term_weights()
    assert weights["kl_code"] == pytest.approx(kl)
    assert weights["code_discrepancy"] == pytest.approx(discrepancy)
    own = Gnocchi(code_kind="gaussian").term_weights()
    assert {name: value for name, value in weights.items() if "code_d" not in name and "kl" not in name} == {
        name: value for name, value in own.items() if "code_d" not in name and "kl" not in name
    }


def test_zeta_and_lambda_of_none_leave_a_deterministic_code_free():
    weights = Gnocchi(zeta=0.0, lam=0.0).term_weights()
    assert weights["code_discrepancy"] == 0
    assert weights["kl_code"] == 0


@pytest.fixture(scope="module")
def full():
    return built(code_kind="gaussian", reconstructs_first=True, kl_capacity=0.7)


@pytest.fixture(scope="module")
def whole(full, counts):
    return terms_of(full, counts)


def test_the_kl_is_a_trials_own_whatever_the_batch(full, whole, counts):
    """And what a code may hold for nothing is taken off it."""
    half = terms_of(full, counts[:3])
    np.testing.assert_allclose(whole["kl_code"][:3], half["kl_code"], rtol=1e-4)
    posterior = full._posterior(counts[0], key=jax.random.key(0))
    expected = 0.5 * np.sum(
        np.asarray(posterior.variance + posterior.mean**2 - 1 - jnp.log(posterior.variance))
    )
    np.testing.assert_allclose(whole["kl_code"][0], TIME * NEURONS * abs(expected - 0.7), rtol=1e-3)


def test_terms_are_those_of_the_choices(full, whole, counts):
    assert set(terms_of(built(code=0), counts)) == {"reconstruction"}
    assert set(whole) == {"reconstruction", "code_discrepancy", "kl_code", "first_step", "code_prior"}
    assert set(full.config.term_weights()) >= set(whole) - {"reconstruction"}


def test_the_first_step_is_on_a_pass_of_its_own_at_the_lowest_level(whole):
    """There a velocity is nearly the noise, so the data are nearly what came in, whatever an untrained network answers."""
    assert (np.asarray(whole["first_step"]) * 1000 < 0.1 * TIME * NEURONS).all()


def test_one_level_is_a_variational_autoencoder(counts):
    """Nothing but noise comes in, so the answer, and the sample, hang on the code alone, in one step."""
    model = built(levels=1, steps=1, code_kind="gaussian", target="data")
    np.testing.assert_allclose(model.config.visited(), [np.pi / 2, 0.0])
    told = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(jax.random.key(9), leaf.shape), model)
    rates = [
        told.coded().generate(
            jnp.full(3, value),
            jnp.zeros((TIME, 0)),
            jnp.ones(TIME, bool),
            jnp.zeros((TIME, NEURONS)),
            key=None,
        )
        for value in (0.0, 2.0)
    ]
    assert np.abs(rates[0] - rates[1]).max() > 1e-3


def test_codes_hang_on_what_was_observed_alone(full, counts):
    encode = jax.jit(lambda seen: full.coded().encode(seen, jnp.zeros((seen.shape[0], 0))))
    trial = counts[0].at[6:].set(jnp.nan)
    longer = jnp.concatenate([trial, jnp.full((5, NEURONS), jnp.nan)])
    np.testing.assert_allclose(encode(trial), encode(longer), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(encode(trial), encode(trial[:6]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"zeta": 1.0}, "give both, or neither"),
        ({"zeta": 0.5, "lam": 1.0}, "code_kind=gaussian"),
        ({"zeta": 0.5, "lam": 0.2, "code_kind": "gaussian"}, "lam of 1 - zeta or more"),
        ({"target": "noise"}, "'velocity' or 'data'"),
        ({"taps": 4}, "odd number"),
        ({"denoiser": "transformer", "width": 12, "heads": 4}, "multiple of 8"),
        ({"code_prior": "swiss_roll", "code": 3}, "2"),
    ],
)
def test_choices_that_can_not_go_together(choices, words):
    with pytest.raises(UndertowError, match=words):
        Gnocchi(**choices)


def test_a_plain_diffusion_draws_trials_without_a_code():
    coded = built(code=0).coded()
    assert coded.dimension == 0
    assert coded.encode is None
    start = jax.random.normal(jax.random.key(3), (TIME, NEURONS))
    generate = jax.jit(
        lambda start: coded.generate(
            jnp.zeros(0), jnp.zeros((TIME, 0)), jnp.ones(TIME, bool), start, key=None
        )
    )
    assert np.abs(generate(start) - generate(-start)).max() > 1e-3


def test_the_temperature_is_that_of_what_is_drawn():
    assert Gnocchi().warmth() == 0
    assert Gnocchi(observation="gaussian").warmth() == 1
    assert Gnocchi(code=0).warmth() == 1
    assert Gnocchi(two_phase=0.4).warmth() == 1
    assert Gnocchi(temperature=0.3).warmth() == 0.3


def test_without_a_level_of_pure_noise_the_mean_is_the_end_of_a_path():
    assert built().config.has_pure_noise()
    model = built(zero_terminal=False, schedule="linear_low", smoothing=0.0)
    assert not model.config.has_pure_noise()
    given = jnp.ones(3), jnp.zeros((TIME, 0)), jnp.ones(TIME, bool)
    rates = model.coded().generate(*given, jnp.zeros((TIME, NEURONS)), key=None)
    np.testing.assert_allclose(model._expected(*given), rates, rtol=1e-5)


@pytest.mark.parametrize("target", ["velocity", "data"])
def test_what_the_code_says_alone_is_what_remains_without_noise(target):
    """With a network that answers nothing it is the course of the code: in one step and in five."""
    model = built(target=target, steps=5)
    model = eqx.tree_at(lambda model: model.readout, model, jax.tree.map(jnp.zeros_like, model.readout))
    code, is_there, start = jnp.array([1.0, -1.0, 0.5]), jnp.ones(TIME, bool), jnp.zeros((TIME, NEURONS))
    rates = model.coded().generate(code, jnp.zeros((TIME, 0)), is_there, start, key=None)
    places = sinusoids(jnp.arange(TIME), POSITIONS)
    _, course = model.code_course(code, jnp.array(True), places)
    np.testing.assert_allclose(rates, model.activity.rates(course, 1e-4), rtol=1e-4)
    np.testing.assert_allclose(model._expected(code, jnp.zeros((TIME, 0)), is_there), rates, rtol=1e-4)
    assert np.ptp(rates, axis=0).min() > 0
