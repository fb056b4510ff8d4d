"""Decoders in a stream: the sum over lags, written out; and what does not fit together."""

import numpy as np
import pytest
from small_models import NEURONS, facts, lfads, make_bins, offline, stream_of, streamed

from undertow.evaluation.decoding import lagged
from undertow.streaming.decoder import LinearDecoder
from undertow.streaming.stream import Stream
from undertow.vocabulary import UndertowError

CHANNELS = ("x", "y")


def decoder(lags=(0,), *, features=NEURONS, reads="rates", seed=3):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(len(lags) * features, len(CHANNELS))) / 50
    return LinearDecoder(tuple(lags), kernel, rng.normal(size=len(CHANNELS)), CHANNELS, reads)


def by_hand(decoder, reads):
    """(time, channel) from what is read (time, feature), with evaluation's lags."""
    return lagged(reads[None], decoder.lags)[0] @ decoder.kernel + decoder.intercept


@pytest.fixture(scope="module")
def model():
    return lfads()


@pytest.mark.parametrize("lags", [(0,), (2,), (0, 1, 3), (3, 0)])
def test_behaviour_is_the_sum_over_lags(model, lags):
    counts, known = make_bins(25)
    chosen = decoder(lags)
    stream = stream_of(model, decoder=chosen)
    estimates = streamed(stream, counts)
    found = np.stack([estimate.behaviour for estimate in estimates])
    np.testing.assert_allclose(
        found, by_hand(chosen, offline(model, counts, known)["rates"]), rtol=1e-4, atol=1e-4
    )
    assert np.isnan(found[: max(lags)]).all()
    stream.on_done()
    assert np.isnan(stream.predict(np.ones(NEURONS)).behaviour).all() == (max(lags) > 0)
    assert stream.channels == CHANNELS


def test_factors_can_be_read(model):
    counts, known = make_bins(12)
    chosen = decoder((0, 1), features=3, reads="factors")
    found = np.stack([estimate.behaviour for estimate in streamed(stream_of(model, decoder=chosen), counts)])
    np.testing.assert_allclose(
        found, by_hand(chosen, offline(model, counts, known)["factors"]), rtol=1e-4, atol=1e-4
    )


def test_the_opening_is_read_when_it_is_there():
    """With the bin that completes the initial segment its estimates are known: the lags reach into it."""
    model, chosen = lfads(initial_segment=4), decoder((0, 2))
    counts, known = make_bins(12)
    found = np.stack([estimate.behaviour for estimate in streamed(stream_of(model, decoder=chosen), counts)])
    expected = by_hand(chosen, offline(model, counts, known)["rates"])
    np.testing.assert_allclose(found[3:], expected[3:], rtol=1e-4, atol=1e-4)
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3:]).all()


def test_behaviour_waits_for_a_delay():
    chosen = decoder((1,))
    stream = stream_of(lfads(causal=False), window=5, delay=2, decoder=chosen)
    estimates = streamed(stream, np.nan_to_num(make_bins(9)[0], nan=1.0))
    rates = np.stack([estimate.rates for estimate in estimates])
    found = np.stack([estimate.behaviour for estimate in estimates])
    np.testing.assert_allclose(found[3:], by_hand(chosen, rates)[3:], rtol=1e-4, atol=1e-4)
    assert np.isnan(found[:3]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: decoder((0, -1)), r"lags are \[0, -1\], but a stream knows no later bins"),
        (lambda: decoder(()), r"lags are \[\]"),
        (lambda: LinearDecoder((0, 1), np.ones((5, 2)), np.ones(2), CHANNELS), r"shape \(5, 2\)"),
        (lambda: LinearDecoder((0,), np.ones((5, 2)), np.ones(3), CHANNELS), "its intercept"),
        (lambda: LinearDecoder((0,), np.ones((5, 2)), np.ones(2), ("x",)), "and 1 channels"),
    ],
)
def test_decoders_that_cannot_be(make, message):
    with pytest.raises(UndertowError, match=message):
        make()


def test_decoders_of_something_else(model):
    with pytest.raises(UndertowError, match="reads 7 neurons, but the model has 6"):
        Stream([model], facts(), decoder=decoder(features=7))
    with pytest.raises(UndertowError, match="reads 4 factors, but the model has 3"):
        Stream([model], facts(), decoder=decoder(features=4, reads="factors"))
    with pytest.raises(UndertowError, match="reads codes, which this model does not have"):
        Stream([model], facts(), decoder=decoder(reads="codes"))
