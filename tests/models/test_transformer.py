"""The transformer against the same in NumPy, its contexts, where dropout acts, and what it refuses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_attention import layered, normalised
from scipy import stats

from undertow.components.corruption import Corrupted
from undertow.models.base import DataSummary
from undertow.models.transformer import FIXUP, NDT
from undertow.vocabulary import UndertowError

TIME, NEURONS, INPUTS = 9, 5, 2
SMALL = {"layers": 2, "feed_forward": 7, "embedding": "identity", "positions": "none"}
MEAN = np.linspace(0.5, 3.0, NEURONS, dtype=np.float32)


def built(*, neurons=NEURONS, inputs=INPUTS, bins=TIME, **choices):
    mean = jnp.asarray(np.resize(MEAN, neurons))
    summary = DataSummary(neurons, inputs, mean, mean, bins=bins)
    return NDT(**{**SMALL, "factors": 0, **choices}).build(summary, key=jax.random.key(0))


def trial(*, bins=TIME, neurons=NEURONS):
    """Counts with a missing neuron and two bins to be forecast, and inputs of which one is not known."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (bins, neurons)).astype(np.float32)
    counts[:, 1] = counts[-2:] = np.nan
    inputs = rng.normal(size=(bins, INPUTS)).astype(np.float32)
    inputs[2, 0] = np.nan
    return counts, inputs


@eqx.filter_jit
def _estimate(model, seen, inputs):
    return model.estimate(seen, inputs, key=None)


def estimate(model, seen, inputs):
    return jax.tree.map(np.asarray, _estimate(model, jnp.asarray(seen), jnp.asarray(inputs)))


def window(backward, forward, is_seen):
    """Which bins see which, and nobody ahead to what was not seen."""
    ahead = np.arange(TIME)[None] - np.arange(TIME)[:, None]
    near = (ahead <= (TIME if forward < 0 else forward)) & (-ahead <= (TIME if backward < 0 else backward))
    return near & ((ahead <= 0) | is_seen[None])


@pytest.mark.parametrize(
    ("choices", "forward"),
    [
        ({"positions": "learned", "context_backward": 3, "context_forward": 2}, 2),
        ({"positions": "sinusoidal", "factors": 3, "norm": "after", "spatial": True}, -1),
        ({"positions": "rotary", "causal": True, "context_forward": 4}, 0),
    ],
    ids=["published", "spatial", "causal"],
)
def test_the_model_is_its_formula(choices, forward):
    model, (seen, inputs) = built(**choices), trial()
    kernel = jnp.asarray(np.random.default_rng(3).normal(size=model.readout.kernel.shape), jnp.float32)
    model = eqx.tree_at(lambda of: of.readout.kernel, model, kernel)  # what begins small would hide much
    width, is_seen = 6, np.arange(TIME) < TIME - 2
    tokens = np.zeros((TIME, width))
    tokens[:, :NEURONS] = np.nan_to_num(seen)
    tokens += np.nan_to_num(inputs) @ np.asarray(model.known.kernel) + np.asarray(model.known.bias)
    tokens *= np.sqrt(width)
    if choices["positions"] == "learned":
        tokens += np.asarray(model.place)[:TIME]
    if choices["positions"] == "sinusoidal":
        angles = np.arange(TIME)[:, None] / 10_000.0 ** (np.arange(width // 2) / (width // 2))
        tokens += np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    allowed = window(choices.get("context_backward", -1), forward, is_seen)
    for layer in model.layers:
        tokens = layered(layer, tokens, allowed, is_seen)
    latents = normalised(model.norm, tokens)
    factors = latents
    if "factors" in choices:
        factors = latents @ np.asarray(model.to_factors.kernel) + np.asarray(model.to_factors.bias)
    log_rates = factors @ np.asarray(kernel)[..., 0] + np.asarray(model.readout.bias)[:, 0]
    said = estimate(model, seen, inputs)
    assert said.keys() == {"rates", "latents", *choices.keys() & {"factors"}}
    np.testing.assert_allclose(said["latents"], latents, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.log(said["rates"]), log_rates, rtol=1e-4, atol=2e-4)


def test_the_only_term_is_the_likelihood_of_what_counts():
    model, (seen, inputs) = built(), trial()
    rng = np.random.default_rng(1)
    target = np.where(rng.random(seen.shape) < 0.1, np.nan, rng.poisson(2.0, seen.shape)).astype(np.float32)
    weight = np.where(np.isnan(target), 0.0, rng.choice([0.0, 1.0, 2.5], seen.shape)).astype(np.float32)
    silent = {name: jnp.float32(0.0) for name in model.config.settings()}
    corrupted = Corrupted(*map(jnp.asarray, (seen, target, weight)))
    terms = model.terms(corrupted, jnp.asarray(inputs), silent, key=jax.random.key(0))
    rates = estimate(model, seen, inputs)["rates"]
    expected = -(weight * np.nan_to_num(stats.poisson(rates).logpmf(np.nan_to_num(target)))).sum()
    assert terms.keys() == {"reconstruction"}
    assert model.penalties() == {}
    np.testing.assert_allclose(terms["reconstruction"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "context", "reach"),
    [(1, (2, 1), (2, 1)), (2, (1, 2), (2, 4)), (2, (-1, 0), (TIME, 0)), (1, (0, -1), (0, TIME))],
)
def test_a_count_reaches_as_far_as_the_contexts_of_all_layers(layers, context, reach):
    """A bin that looks `reach` back and ahead hears of a count so many bins before and after it."""
    model = built(layers=layers, context_backward=context[0], context_forward=context[1])
    counts, inputs = trial()
    seen = np.nan_to_num(counts)
    before, place = estimate(model, seen, inputs)["latents"], 4
    seen[place] += 3
    has_changed = (estimate(model, seen, inputs)["latents"] != before).any(axis=1)
    behind = np.arange(TIME) - place
    np.testing.assert_array_equal(has_changed, (behind <= reach[0]) & (-behind <= reach[1]))


def test_training_begins_as_published():
    model = built(neurons=40, layers=4, feed_forward=100, heads=4)
    plain = built(neurons=40, layers=4, feed_forward=100, heads=4, initial_scale="plain")
    scale = FIXUP * 4**-0.25
    for layer, unscaled in zip(model.layers, plain.layers, strict=True):
        for name in ("widen", "narrow"):
            np.testing.assert_allclose(
                getattr(layer, name).kernel, scale * getattr(unscaled, name).kernel, rtol=1e-5, atol=1e-7
            )
        np.testing.assert_array_equal(
            layer.attention.query_key_value.kernel, unscaled.attention.query_key_value.kernel
        )
    first, second = model.layers[:2]
    assert not np.allclose(first.widen.kernel, second.widen.kernel)
    kernel = np.asarray(model.readout.kernel)
    assert 0.095 < np.abs(kernel).max() <= 0.1
    with_factors = built(neurons=40, factors=30).readout.kernel
    np.testing.assert_allclose(np.std(with_factors), 30**-0.5, rtol=0.1)  # no bound, as for every other model
    np.testing.assert_allclose(np.exp(model.readout.bias[:, 0]), np.resize(MEAN, 40), rtol=1e-4)
    place = built(positions="learned", neurons=40, bins=200).place
    np.testing.assert_allclose(np.std(place), 0.02, rtol=0.05)


@eqx.filter_jit
def _likelihood(model, seen, inputs, settings, key):
    corrupted = Corrupted(seen, jnp.nan_to_num(seen), jnp.ones_like(seen))
    return model.terms(corrupted, inputs, settings, key=key)["reconstruction"]


def test_dropout_acts_in_each_of_its_places_and_alone_by_its_rate():
    model, (seen, inputs) = built(), map(jnp.asarray, trial())
    silent = {name: jnp.float32(0.0) for name in model.config.settings()}

    def values(name, rate):
        keys = jax.random.split(jax.random.key(1), 3)
        return [
            float(_likelihood(model, seen, inputs, {**silent, name: jnp.float32(rate)}, key)) for key in keys
        ]

    assert set(silent) == {"dropout_rate", "embedding_dropout_rate", "readout_dropout_rate"}
    for name in silent:
        assert len(set(values(name, 0.0))) == 1
        assert len(set(values(name, 0.5))) == 3
    nearly_all = eqx.tree_at(lambda of: of.readout.kernel, model, jnp.zeros_like(model.readout.kernel))
    untouched = float(_likelihood(nearly_all, seen, inputs, silent, jax.random.key(0)))
    dropped = {**silent, "readout_dropout_rate": jnp.float32(0.9)}
    assert float(_likelihood(nearly_all, seen, inputs, dropped, jax.random.key(0))) == untouched


def test_known_inputs_enter_and_missing_ones_are_zero():
    model, (seen, inputs) = built(), trial()
    before = estimate(model, seen, inputs)["rates"]
    np.testing.assert_array_equal(estimate(model, seen, np.nan_to_num(inputs))["rates"], before)
    assert (estimate(model, seen, inputs + 1)["rates"] != before).any()
    assert built(inputs=0).known is None


@pytest.mark.parametrize(
    ("choices", "longest"),
    [
        ({"causal": True, "positions": "rotary", "context_backward": 3}, None),
        ({"causal": True, "positions": "relative"}, TIME),
        ({"causal": True, "positions": "learned", "context_backward": 3}, TIME),
    ],
)
def test_a_stream_knows_how_long_it_can_go_on(choices, longest):
    streaming = built(**choices).streaming()
    assert (streaming.opening, streaming.longest) == (0, longest)


def test_an_endless_stream_goes_on_beyond_the_trials_of_training():
    """A long trial at once against bin by bin, through a ring of four bins."""
    model = built(causal=True, positions="rotary", context_backward=3)
    seen, inputs = (jnp.asarray(array) for array in trial(bins=5 * TIME))
    seen, inputs = jnp.nan_to_num(seen), jnp.nan_to_num(inputs)
    streaming = model.streaming()
    state, none = streaming.begin(seen[:0], inputs[:0])
    assert none["rates"].shape == (0, NEURONS)
    _, said = jax.lax.scan(lambda state, bins: streaming.advance(state, *bins), state, (seen, inputs))
    np.testing.assert_allclose(said["rates"], estimate(model, seen, inputs)["rates"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("choices", "message"),
    [({"positions": "learned"}, "table of positions"), ({"spatial": True}, "spatial stream")],
)
def test_a_trial_that_is_too_long_is_named(choices, message):
    seen, inputs = trial(bins=TIME + 1)
    with pytest.raises(UndertowError, match=f"has 10 bins, .* up to 9, and its {message}"):
        built(**choices).estimate(jnp.asarray(seen), jnp.asarray(inputs), key=None)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"spatial": True, "causal": True}, "reads whole trials"),
        ({"spatial": True, "embedding": "per_count"}, "needs a channel for each neuron"),
        ({"spatial": True, "width": 8}, "ndt.width=0"),
        ({"embedding": "linear", "width": 5}, r"ndt\.width=5 can't be shared out among ndt\.heads=2"),
    ],
)
def test_choices_that_contradict_each_other(choices, message):
    with pytest.raises(UndertowError, match=message):
        NDT(**choices)


def test_tokens_per_count_that_the_heads_cannot_share_are_refused():
    """Three channels for each of five neurons are fifteen, and no two heads can share them."""
    with pytest.raises(UndertowError, match=r"ndt\.heads"):
        model = built(embedding="per_count", width=3)
        model.estimate(*(jnp.asarray(array) for array in trial()), key=None)
