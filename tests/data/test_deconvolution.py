"""OASIS against non-negative least squares, and noise and decay against those that made the traces."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.signal import lfilter

from undertow.data.deconvolution import decay_of, deconvolve, noise_level, oasis
from undertow.vocabulary import UndertowError

RATE = 30.0


def traces(frames=4000, number=3, decay_time=0.4, noise=0.3, seed=0):
    generator = np.random.default_rng(seed)
    spikes = generator.poisson(0.03, (frames, number))
    calcium = lfilter([1.0], [1.0, -np.exp(-1 / (RATE * decay_time))], spikes, axis=0)
    return spikes, calcium + noise * generator.normal(size=calcium.shape)


@pytest.mark.parametrize("decay", [0.5, 0.95])
@pytest.mark.parametrize("penalty", [0.0, 0.4])
def test_events_are_those_of_non_negative_least_squares(decay, penalty):
    _, noisy = traces(frames=50, number=4, noise=1.0)
    frame = np.arange(50)
    matrix = np.where(frame[:, None] >= frame, decay ** np.maximum(frame[:, None] - frame, 0), 0.0)
    shift = penalty * np.linalg.solve(matrix.T, np.ones(50))
    ours = oasis(noisy, decay, penalty=penalty)
    for trace in range(4):
        exact = nnls(matrix, noisy[:, trace] - shift)[0]
        np.testing.assert_allclose(ours[1:, trace], exact[1:], atol=1e-10)
    assert (ours[0] == 0).all()


def test_no_event_is_smaller_than_the_smallest():
    _, noisy = traces(noise=0.5)
    events = oasis(noisy, 0.9, smallest=0.7)
    assert (events > 0).sum() > 100
    assert events[events > 0].min() >= 0.7 * (1 - 1e-8)


def test_spikes_without_noise_come_back():
    spikes, clean = traces(noise=0.0)
    events = deconvolve(clean, frame_rate=RATE, decay_time=0.4, smallest=0.0, baseline_window=0).events
    np.testing.assert_allclose(events[1:], spikes[1:], atol=1e-8)


def test_events_follow_spikes_through_noise_and_a_drifting_baseline():
    spikes, noisy = traces(frames=9000)
    drift = 5 + np.sin(np.arange(9000) / 3000)[:, None]
    found = deconvolve(noisy + drift, frame_rate=RATE, decay_time=0.4)
    assert np.corrcoef(found.events.ravel(), spikes.ravel())[0, 1] > 0.8
    np.testing.assert_allclose(found.noise, 0.3, rtol=0.1)
    np.testing.assert_allclose(found.events.sum(0), spikes.sum(0), rtol=0.3)


def test_noise_level_of_white_noise():
    white = np.random.default_rng(1).normal(size=(20_000, 2)) * [0.2, 3.0]
    np.testing.assert_allclose(noise_level(white), [0.2, 3.0], rtol=0.03)


@pytest.mark.parametrize("decay_time", [0.15, 0.4, 1.0])
def test_decay_time_from_the_autocorrelation(decay_time):
    _, noisy = traces(frames=30_000, decay_time=decay_time)
    np.testing.assert_allclose(decay_of(noisy, RATE), decay_time, rtol=0.2)


@pytest.mark.parametrize(
    ("fluorescence", "options", "words"),
    [
        (np.zeros(100), {}, "must be \\(frame, trace\\)"),
        (np.full((100, 2), np.nan), {}, "2 of 2 traces"),
        (np.zeros((100, 1)), {"frame_rate": 0.0}, "must be positive"),
        (np.zeros((100, 1)), {"decay_time": -1.0}, "must be positive"),
        (np.zeros((100, 1)), {"penalty": -1.0}, "neither may be negative"),
    ],
)
def test_what_cannot_be_deconvolved(fluorescence, options, words):
    with pytest.raises(UndertowError, match=words):
        deconvolve(fluorescence, **{"frame_rate": RATE, **options})
