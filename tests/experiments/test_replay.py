"""Replays: the streamed estimate is the offline one, deadlines, what is stored; and decoders fitted for streams."""

import json

import numpy as np
import pytest
from tiny_trials import make_trials

import undertow as ut
from undertow.evaluation.decoding import decode
from undertow.experiments import latency
from undertow.experiments.replay import replay
from undertow.vocabulary import UndertowError


@pytest.fixture(scope="module")
def offline(fitted, trials):
    return fitted.infer(trials, samples=0)


@pytest.fixture(scope="module")
def moving(trials, offline):
    """The trials with two channels of behaviour, the first of which follows a rate by one bin."""
    rng = np.random.default_rng(1)
    rate = offline.rates.values[:, :, :1]
    follows = np.concatenate([np.full_like(rate[:, :1], np.nan), rate[:, :-1]], axis=1)
    behaviour = np.concatenate([follows, rng.normal(size=rate.shape)], axis=2).astype(np.float32)
    axes = ("trial", "time", "behaviour_channel")
    return trials.assign(behaviour=(axes, behaviour)).assign_coords(behaviour_channel=["follows", "noise"])


def test_a_replay_is_the_estimate_of_posterior_means(fitted, trials, offline):
    assert np.isnan(trials.counts.values).all(2).any()
    replayed = replay(fitted.stream(), trials, fitted.session)
    assert set(replayed.estimate.data_vars) == {"rates", "factors"}
    for name in replayed.estimate.data_vars:
        np.testing.assert_allclose(replayed.estimate[name], offline[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(replayed.estimate.split, trials.split)
    assert replayed.seconds.shape == (int(np.isfinite(offline.rates[:, :, 0]).sum()),)
    assert (replayed.seconds > 0).all()


def test_neurons_in_any_order_and_bins_to_be_forecast(fitted, trials):
    told = trials.assign_coords(forward=("time", np.arange(8) >= 6))
    other = told.copy(deep=True)
    other.counts[:, 6:] += 3
    before = told.copy(deep=True)
    first, second = (
        replay(fitted.stream(), change, fitted.session).estimate
        for change in (told, other.isel(neuron=[2, 0, 3, 1]))
    )
    np.testing.assert_array_equal(first.rates, second.rates)
    assert np.isfinite(first.rates[0]).all()
    assert told.identical(before)


def test_in_real_time_every_bin_takes_its_width(fitted, trials, monkeypatch):
    """The clock is replaced: time passes only while waiting and, for each look at the clock, by a millisecond."""
    now = [0.0]
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def look():
        now[0] += 1e-3
        return now[0]

    stream = fitted.stream()
    stream.reset()
    monkeypatch.setattr("time.perf_counter", look)
    chosen = trials.isel(trial=[0, 1])
    replayed = replay(stream, chosen, fitted.session, waits=True)
    np.testing.assert_allclose(replayed.seconds, 1e-3)
    assert now[0] >= 2 * 8 * 0.02
    begun, now[0] = now[0], 0.0
    replay(stream, chosen, fitted.session)
    assert now[0] < 0.2 * begun


def test_a_delay_leaves_the_last_bins_open(fitted, trials, offline):
    estimate = replay(fitted.stream(window=4, delay=2), trials, fitted.session).estimate
    np.testing.assert_allclose(estimate.rates[0, :-2], offline.rates[0, :-2], rtol=1e-5)
    assert np.isnan(estimate.rates[0, -2:]).all()
    assert estimate.attrs["lag"] == pytest.approx(0.04)


def test_a_streamed_estimate_is_stored_like_any_other(fitted, moving, tmp_path):
    stream = fitted.stream(decoder=fitted.decoder(moving))
    estimate = replay(stream, moving, fitted.session).estimate
    stored = ut.open_estimate(ut.save(estimate, tmp_path / "estimate.nc"))
    np.testing.assert_array_equal(stored.rates, estimate.rates)
    np.testing.assert_array_equal(stored.behaviour, estimate.behaviour)
    assert stored.behaviour_channel.values.tolist() == ["follows", "noise"]
    assert "valid" in ut.evaluate(stored, moving)


@pytest.mark.parametrize("lags", [0, 1, (0, 2)])
def test_a_decoder_is_evaluations_on_the_training_trials(fitted, moving, offline, lags):
    decoder = fitted.decoder(moving, lags=lags)
    is_training = moving.split.values == "train"
    rates, truth = offline.rates.values, moving.behaviour.values
    expected = decode(rates[is_training], truth[is_training], rates, truth, lags=lags)
    np.testing.assert_allclose(decoder.kernel, expected.decoder.weights, rtol=1e-2, atol=1e-3)
    found = replay(fitted.stream(decoder=decoder), moving, fitted.session).estimate.behaviour.values
    is_replayed = np.isfinite(rates).all(axis=2)  # evaluation's lags reach beyond the trial's end, too
    np.testing.assert_allclose(found[is_replayed], expected.prediction[is_replayed], rtol=1e-3, atol=1e-2)
    assert np.isnan(found[~is_replayed]).all()
    assert decoder.channels == ("follows", "noise")
    assert decoder.lags == ((lags,) if isinstance(lags, int) else lags)


def test_the_decoder_finds_the_lag(fitted, moving):
    decoder = fitted.decoder(moving, lags=1)
    np.testing.assert_allclose(decoder.kernel[:, 0], [1, 0, 0, 0], atol=0.05)


def test_a_decoder_for_a_window_is_fitted_to_what_the_window_gives(fitted, moving):
    """The smallest model reads each bin by itself, so a window changes nothing but which bins are there."""
    rows = moving.isel(time=slice(None, -2))
    direct = fitted.decoder(rows)
    windowed = fitted.decoder(moving, window=5, delay=2)
    np.testing.assert_allclose(windowed.kernel, direct.kernel, rtol=0.2, atol=0.05)
    assert windowed.kernel.shape == (4, 2)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.drop_vars("behaviour"), {}, "hold no behaviour to decode"),
        (lambda t: t.assign_coords(split=("trial", ["valid"] * 15)), {}, "none has the split 'train'"),
        (lambda t: t, {"lags": -1}, r"lags are \[-1\], but a stream knows no later bins"),
        (lambda t: t, {"lags": ()}, r"lags are \[\]"),
        (lambda t: t, {"delay": 1}, "without a window"),
    ],
)
def test_decoders_that_cannot_be_fitted(fitted, moving, change, options, message):
    with pytest.raises(UndertowError, match=message):
        fitted.decoder(change(moving), **options)


def test_the_summary_of_known_latencies(tmp_path):
    seconds = np.r_[np.full(990, 0.001), np.full(9, 0.004), 0.5]
    facts = latency.summary(seconds, 0.02, waits=True, window=None, lag=0.0, models=1)
    assert (facts["bins"], facts["missed"], facts["bin_width"]) == (1000, 1, 20.0)
    assert [facts[name] for name in ("median", "p99", "p99.9", "worst")] == [1.0, 1.0, 4.0, 500.0]
    assert sum(facts["histogram"]["bins"]) == 1000
    latency.write(tmp_path, facts)
    assert latency.read(tmp_path) == json.loads((tmp_path / "latency.json").read_text()) == facts
    assert "missed deadlines         1 (0.10%)" in latency.table(facts)


def test_latencies_that_are_not_there(tmp_path):
    assert latency.read(tmp_path) is None
    (tmp_path / "latency.json").write_text('{"schema": "another"}')
    assert latency.read(tmp_path) is None
    (tmp_path / "latency.json").write_text("half a fi")
    assert latency.read(tmp_path) is None
    with pytest.raises(UndertowError, match="nothing to replay"):
        latency.summary(np.zeros(0), 0.02)


def test_trials_without_anything(fitted):
    blank = make_trials(trials=2)
    blank.counts[:] = np.nan
    assert replay(fitted.stream(), blank, fitted.session).seconds.size == 0
