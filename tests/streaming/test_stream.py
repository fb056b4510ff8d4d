"""Streams: the offline estimate bin by bin, what they refuse, and that nothing is compiled, kept or collected on the way."""

import gc
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import BIN_WIDTH, HELD_OUT, NEURONS, facts, lfads, make_bins, offline, stream_of, streamed

from undertow.models.base import Streaming
from undertow.streaming.stream import Stream
from undertow.vocabulary import UndertowError

BINS = 200
VARIANTS = {
    "lag 0": {"lag": 0},
    "lag 1, initial segment": {"lag": 1, "initial_segment": 5},
    "lag 3": {"lag": 3},
    "lag 3, initial segment": {"lag": 3, "initial_segment": 5},
    "autonomous": {"inferred_inputs": 0, "initial_segment": 5},
    "inputs to the generator": {"inputs": 2},
    "inputs to the encoders": {"inputs": 2, "known_inputs_to": "encoders", "initial_segment": 2},
    "inputs to both": {"inputs": 2, "known_inputs_to": "both"},
    "read-in": {"read_in": 4, "log_counts": True},
    "clipped": {"state_limit": 0.2},
    "gaussian": {"observation": "gaussian"},
    "zero-inflated gamma": {"observation": "zero_inflated_gamma"},
}


@pytest.fixture(scope="module")
def model():
    return lfads()


@pytest.fixture(scope="module")
def stream(model):
    return stream_of(model)


@pytest.fixture
def begun(stream):
    stream.reset()
    return stream


def assert_same(estimates, expected, *, opening=0):
    first = max(opening - 1, 0)
    for name, values in expected.items():
        if name == "initial_condition":
            continue
        found = np.stack([getattr(estimate, name) for estimate in estimates])
        assert np.isnan(found[:first]).all()
        tolerance = {"rtol": 1e-5, "atol": 1e-6} if name == "rates" else {"rtol": 0, "atol": 1e-5}
        np.testing.assert_allclose(found[first:], values[first:], err_msg=name, **tolerance)


@pytest.mark.parametrize("choices", VARIANTS.values(), ids=VARIANTS.keys())
def test_streamed_is_offline_with_missing_channels_and_after_reset(choices):
    inputs = choices.get("inputs", 0)
    model, opening = lfads(**choices), choices.get("initial_segment", 0)
    stream = stream_of(model, inputs=inputs)
    assert stream.opening == opening
    for seed, begin_anew in ((0, stream.on_done), (1, stream.reset)):
        counts, known = make_bins(BINS, inputs=inputs, seed=seed)
        expected = offline(model, counts, known)
        estimates = streamed(stream, counts, known if inputs else None)
        assert [estimate.bin for estimate in estimates] == list(range(BINS))
        assert_same(estimates, expected, opening=opening)
        begin_anew()
    assert stream.traces == 2


def test_the_initial_segment_and_the_lag_matter():
    counts, _ = make_bins(30)
    rates = [
        streamed(stream_of(lfads(**choices)), counts)[-1].rates
        for choices in ({}, {"lag": 3}, {"initial_segment": 5})
    ]
    assert not np.allclose(rates[0], rates[1], rtol=1e-4)
    assert not np.allclose(rates[0], rates[2], rtol=1e-4)


def test_held_out_neurons_are_not_looked_at(begun):
    counts, _ = make_bins(10)
    counts = np.nan_to_num(counts)
    before = streamed(begun, counts)
    begun.on_done()
    counts[:, HELD_OUT] = -np.inf
    after = streamed(begun, counts)
    assert all((first.rates == second.rates).all() for first, second in zip(before, after, strict=True))
    assert np.isfinite(after[-1].rates[HELD_OUT])


@pytest.mark.parametrize(
    "convert", [list, lambda v: v.astype(np.int16), lambda v: v.astype(np.float64), jnp.asarray]
)
def test_any_real_type_is_taken(begun, convert):
    counts = np.arange(NEURONS, dtype=np.float32)
    expected = begun.predict(counts).rates
    begun.reset()
    np.testing.assert_array_equal(begun.predict(convert(counts)).rates, expected)


def test_estimates_stay_as_they_are(begun):
    first = begun.predict(np.ones(NEURONS))
    kept = first.rates.copy()
    begun.predict(np.full(NEURONS, 9.0))
    np.testing.assert_array_equal(first.rates, kept)
    assert not first.rates.flags.writeable
    assert first.behaviour is None
    assert {
        name: getattr(first, name).shape for name in ("rates", "factors", "latents", "inferred_inputs")
    } == {
        "rates": (6,),
        "factors": (3,),
        "latents": (10,),
        "inferred_inputs": (2,),
    }
    assert begun.widths == {"rates": 6, "factors": 3, "latents": 10, "inferred_inputs": 2}


def test_observe_takes_a_bin_in_and_says_nothing(begun):
    counts = np.arange(NEURONS)
    begun.predict(counts)
    expected = begun.predict(counts).rates
    begun.reset()
    assert begun.observe(counts) is None
    np.testing.assert_array_equal(begun.predict(counts).rates, expected)


def test_a_trial_that_is_not_done_goes_on(begun):
    counts = np.arange(NEURONS)
    begun.predict(counts)
    begun.on_done(done=False)
    assert begun.predict(counts).bin == 1
    begun.on_done(done=True)
    assert begun.predict(counts).bin == 0
    assert begun.lag == 0


def test_the_weights_are_not_used_up(model, begun):
    for _ in range(3):
        begun.on_done()
        streamed(begun, make_bins(5)[0])
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.Array))


def test_an_ensemble_averages_rates_and_begins_with_its_last_member():
    members = lfads(initial_segment=4), lfads(seed=1, lag=0), lfads(seed=2, initial_segment=2)
    stream = stream_of(*members)
    counts, known = make_bins(40)
    alone = [offline(member, counts, known) for member in members]
    expected = {**alone[0], "rates": np.mean([estimate["rates"] for estimate in alone], axis=0)}
    assert (stream.opening, stream.members) == (4, 3)
    assert_same(streamed(stream, counts), expected, opening=4)


def test_nothing_is_traced_collected_or_kept_after_the_warm_up(model):
    stream, counts = Stream([model], facts()), make_bins(50)[0]
    collections = []
    was_enabled = gc.isenabled()
    gc.callbacks.append(note := lambda phase, _: collections.append(phase))
    try:
        with stream:
            traces = stream.traces
            collections.clear()
            tracemalloc.start()
            sizes = [_size_after_trials(stream, counts, 60) for _ in range(2)]
            tracemalloc.stop()
            assert not gc.isenabled()
            assert not collections
    finally:
        gc.callbacks.remove(note)
    assert (stream.traces, traces) == (2, 2)
    # Over 3,000 bins, of which each estimate has 84 bytes; what seems to grow are blocks that take the place of untraced ones.
    assert sizes[1] - sizes[0] < 20_000
    assert gc.isenabled() == was_enabled
    assert gc.get_freeze_count() == 0


def _size_after_trials(stream, counts, trials):
    for _ in range(trials):
        streamed(stream, counts)
        stream.on_done()
    return tracemalloc.get_traced_memory()[0]


def test_the_collector_comes_back_after_an_error(stream):
    with pytest.raises(ZeroDivisionError), stream:
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()


REFUSED = {
    "too many": (np.ones(7), r"shape \(7,\), but the model takes \(6,\)"),
    "two axes": (np.ones((1, 6)), r"shape \(1, 6\), but the model takes \(6,\)"),
    "text": (["a"] * 6, "type <U1, but must be real numbers"),
    "objects": ([None] * 6, "type object"),
    "truth": (np.ones(6, bool), "type bool"),
    "complex": (np.ones(6, complex), "type complex128"),
    "ragged": ([[1], [1, 2], 3, 4, 5, 6], "are no array"),
    "infinite": ([1, np.inf, 1, 1, 1, 1], "'unit1' holds inf .* finite"),
    "negative": ([1, 1, 1, 1, -2, np.nan], "'unit4' holds -2 .* zero or more"),
    "too large": ([1, 1, 1, 1e300, 1, 1], "'unit3' holds 1e[+]300"),
    "nothing": (np.full(6, np.nan), r"all of its 6 counts are NaN \(1 are held out\); call skip"),
    "nothing but held out": ([np.nan, np.nan, 4, np.nan, np.nan, np.nan], r"call skip\(\)"),
}


@pytest.mark.parametrize(("counts", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("call", ["predict", "observe"])
def test_a_bad_bin_is_refused_and_changes_nothing(begun, call, counts, message):
    begun.predict(np.ones(NEURONS))
    expected = begun.predict(np.ones(NEURONS))
    begun.reset()
    begun.predict(np.ones(NEURONS))
    with pytest.raises(UndertowError, match=message) as raised:
        getattr(begun, call)(counts)
    assert "\n" not in str(raised.value)
    found = begun.predict(np.ones(NEURONS))
    assert found.bin == expected.bin == 1
    np.testing.assert_array_equal(found.rates, expected.rates)


def test_what_can_be_observed_depends_on_the_observation():
    negative, zero = np.full(NEURONS, -1.0), np.zeros(NEURONS)
    real = stream_of(lfads(observation="gaussian"), support="real")
    assert np.isfinite(real.predict(negative).rates).all()
    positive = stream_of(lfads(observation="gamma"), support="positive")
    with pytest.raises(UndertowError, match=r"'unit0' holds 0 .* above zero"):
        positive.predict(zero)
    with pytest.raises(UndertowError, match=r"'unit0' holds inf .* finite"):
        real.predict(np.full(NEURONS, np.inf))


def test_inputs_that_are_missing_or_wrong():
    stream, counts = stream_of(lfads(inputs=2), inputs=2), np.ones(NEURONS)
    for inputs, message in (
        (None, "fitted with 2 known inputs"),
        (np.ones(3), r"inputs of this bin have the shape \(3,\)"),
        ([1, np.inf], "Input 1 of this bin is infinite"),
        (["a", "b"], "type <U1"),
    ):
        with pytest.raises(UndertowError, match=message):
            stream.predict(counts, inputs)
    assert stream.predict(counts, [0.5, np.nan]).bin == 0
    assert np.isfinite(stream.skip().rates).all()
    with pytest.raises(
        UndertowError, match=r"inputs of this bin have the shape \(2,\), but the model takes \(0,\)"
    ):
        stream_of(lfads()).predict(counts, [1.0, 2.0])


def test_nothing_before_reset(model):
    stream = Stream([model], facts())
    for call in (lambda: stream.predict(np.ones(NEURONS)), stream.skip, stream.on_done):
        with pytest.raises(UndertowError, match=r"has not begun; call reset\(\)"):
            call()


def test_a_model_that_is_not_causal_says_what_would_have_to_change():
    with pytest.raises(UndertowError, match=r"set lfads.causal=true and fit again, or pass window="):
        Stream([lfads(causal=False)], facts())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"window": 0}, "window has 0 bins"),
        ({"window": -3}, "window has -3 bins"),
        ({"window": 5, "delay": 5}, "delay is 5 bins, but must be 0 or more and less than the window's 5"),
        ({"window": 5, "delay": -1}, "delay is -1 bins"),
        ({"delay": 2}, "delay is 2 bins, but without a window"),
    ],
)
def test_windows_that_cannot_be(model, choices, message):
    with pytest.raises(UndertowError, match=message):
        Stream([model], facts(), **choices)


def test_a_model_that_must_begin_anew_says_so(model, monkeypatch):
    limited = Streaming(model.streaming().begin, model.streaming().advance, longest=4)
    monkeypatch.setattr(type(model), "streaming", lambda _: limited)
    stream = stream_of(model)
    for _ in range(4):
        stream.predict(np.ones(NEURONS))
    for call in (lambda: stream.predict(np.ones(NEURONS)), stream.skip):
        with pytest.raises(UndertowError, match=r"has 4 bins already.*call on_done\(\)"):
            call()
    stream.on_done()
    assert stream.predict(np.ones(NEURONS)).bin == 0


def test_rates_are_in_hertz(model, begun):
    expected = offline(model, np.ones((1, NEURONS)), np.zeros((1, 0), np.float32))
    np.testing.assert_allclose(begun.predict(np.ones(NEURONS)).rates, expected["rates"][0], rtol=1e-5)
    assert expected["rates"].mean() > 10 * BIN_WIDTH
