"""Windows: each estimate is that of the model over the last bins as a trial of its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import BIN_WIDTH, HELD_OUT, NEURONS, lfads, make_bins, offline, stream_of, streamed

from undertow.streaming.window import windowed
from undertow.vocabulary import UndertowError

WINDOW, BINS = 6, 15


@pytest.fixture(scope="module")
def model():
    return lfads(causal=False, inputs=1)


@pytest.fixture(scope="module")
def recording():
    counts, known = make_bins(BINS, inputs=1)
    counts[BINS // 3] = (
        2.0  # a lost bin that is the newest is a trial's end to the model, and has no estimate of its own
    )
    return counts, known


@pytest.fixture(scope="module")
def alone(model, recording):
    """For each bin the estimate of the window that ends with it."""
    counts, known = recording
    windows = [slice(max(now + 1 - WINDOW, 0), now + 1) for now in range(BINS)]
    return [offline(model, counts[window], known[window]) for window in windows]


@pytest.mark.parametrize("delay", [0, 2, WINDOW - 1])
def test_each_estimate_is_that_of_the_last_bins_alone(model, recording, alone, delay):
    counts, known = recording
    stream = stream_of(model, inputs=1, window=WINDOW, delay=delay)
    assert stream.lag == pytest.approx(0.02 * delay)
    for now, estimate in enumerate(streamed(stream, counts, known)):
        assert estimate.bin == now - delay
        if now < delay:
            assert all(np.isnan(value).all() for value in estimate[:4])
            continue
        for name in ("rates", "factors", "latents", "inferred_inputs"):
            np.testing.assert_allclose(
                getattr(estimate, name),
                alone[now][name][-1 - delay],
                rtol=1e-5,
                atol=1e-5,
                err_msg=f"{name} {now}",
            )


def test_a_trial_begins_with_an_empty_window(model):
    counts, known = make_bins(BINS, inputs=1)
    stream = stream_of(model, inputs=1, window=WINDOW, delay=1)
    first = streamed(stream, counts, known)
    stream.on_done()
    second = streamed(stream, counts, known)
    for before, after in zip(first, second, strict=True):
        np.testing.assert_array_equal(before.rates, after.rates)
    assert stream.traces == 2


def test_a_lost_bin_at_the_windows_end_is_forecast(model):
    counts, known = make_bins(4, inputs=1)
    stream = stream_of(model, inputs=1, window=WINDOW)
    streamed(stream, np.nan_to_num(counts, nan=1.0), known)
    assert np.isfinite(stream.skip(known[0]).rates).all()


def test_a_window_of_one_bin(model):
    stream = stream_of(model, inputs=1, window=1)
    counts, known = np.ones((3, NEURONS), np.float32), np.zeros((3, 1), np.float32)
    rates = [estimate.rates for estimate in streamed(stream, counts, known)]
    np.testing.assert_array_equal(rates[0], rates[2])
    np.testing.assert_allclose(rates[0], offline(model, counts[:1], known[:1])["rates"][0], rtol=1e-5)


def test_begin_takes_bins_too(model):
    """So that it may stand beside members of an ensemble that begin later."""
    counts, known = (jnp.asarray(array) for array in make_bins(5, inputs=1))
    counts = counts.at[:, HELD_OUT].set(jnp.nan)
    window, estimates = jax.jit(windowed(model, WINDOW, 0).begin)(counts, known)
    assert int(window.filled) == 5
    expected = offline(model, np.asarray(counts), np.asarray(known))["rates"][-1]
    np.testing.assert_allclose(estimates["rates"][-1] / BIN_WIDTH, expected, rtol=1e-5)


def test_models_of_conditions_are_refused(model, monkeypatch):
    monkeypatch.setattr(type(model), "needs_conditions", True)
    with pytest.raises(UndertowError, match="each trial's condition, which a stream is not told"):
        stream_of(model, inputs=1, window=3)
