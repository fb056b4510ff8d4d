"""Conditions nobody trained on: the hand that a decoder reads, and averages over trials, with known answers."""

import numpy as np
import pytest

from undertow.evaluation.unseen_conditions import (
    Reaching,
    endpoint_errors,
    hand_decoder,
    psth_scores,
    unseen_scores,
)
from undertow.vocabulary import UndertowError

WEIGHTS = np.random.default_rng(9).standard_normal((2, 8))


def reached(seed, angle, trials=60, bins=20, noise=0.1):
    """Straight reaches of 10 cm, and rates that lead the hand by two bins."""
    generator = np.random.default_rng(seed)
    angles = angle + 0.2 * generator.standard_normal(trials)
    target = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    progress = np.clip((np.arange(bins + 2) - 3) / 10, 0, 1)[None, :, None]
    path = progress * target[:, None]
    rates = 20 + path[:, 2:] @ WEIGHTS
    return Reaching(rates + noise * generator.standard_normal(rates.shape), path[:, :bins], target)


@pytest.fixture(scope="module")
def training():
    parts = [reached(seed, angle) for seed, angle in enumerate((0.0, 1.5, 3.0))]
    return Reaching(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@pytest.fixture(scope="module")
def decoder(training):
    return hand_decoder(training.rates, training.hand)


def test_the_same_process_reaches_the_ceiling_and_another_direction_misses(decoder):
    real, asked = reached(10, -1.5), reached(11, -1.5)
    scores = unseen_scores(decoder, asked, real)
    assert scores["hand_r2"] > 0.98 and scores["hand_r2_of_real"] > 0.98
    assert scores["endpoint_error"] < 0.5 and scores["endpoint_error_of_real"] < 0.5
    wrong = unseen_scores(decoder, reached(12, -0.5)._replace(hand=real.hand, target=real.target), real)
    assert wrong["endpoint_error"] > 5 and wrong["hand_r2"] < 0.7


def test_history_is_what_the_decoder_needs(training):
    of_now = hand_decoder(training.rates, training.hand, lags=(0,))
    of_before = hand_decoder(training.rates, training.hand, lags=(2,))
    real = reached(10, -1.5)
    now, before = (unseen_scores(decoder, real, real)["hand_r2"] for decoder in (of_now, of_before))
    assert before > now
    assert np.isnan(of_before(real.rates)[:, :2]).all() and np.isfinite(of_before(real.rates)[:, 2:]).all()


def test_endpoint_errors_by_hand():
    decoded = np.zeros((3, 6, 2))
    decoded[0, 1:] = [3, 4]
    decoded[1, 1:4], decoded[1, 4:] = [6, 8], np.nan
    decoded[2] = np.nan
    np.testing.assert_allclose(endpoint_errors(decoded, np.zeros((3, 2)), last=3), [5, 10, np.nan])
    target = np.array([[3.0, 4], [0, 0], [0, 0]])
    assert endpoint_errors(decoded, target)[0] == 0


def spikes(seed, special, trials=200):
    generator = np.random.default_rng(seed)
    time = np.arange(40)[:, None]
    rates = 20 + 10 * np.sin(time / 6 + np.arange(5)) + special * 15 * np.cos(time / 5 + 2 * np.arange(5))
    rates = np.maximum(rates, 0)
    return rates, generator.poisson(np.broadcast_to(rates * 0.02, (trials, 40, 5))).astype(np.float32)


def test_psths_count_from_the_average_of_the_training_trials():
    usual, training = spikes(0, 0.0, 2000)
    special, real = spikes(1, 1.0)
    given = {"bin_width": 0.02, "smoothing": 0.04}
    right = psth_scores(np.broadcast_to(special, real.shape), real, training, **given)
    assert right["psth_r2"] > 0.95 and right["psth_r2"] > right["psth_r2_of_real"] > 0.85
    blind = psth_scores(np.broadcast_to(usual, real.shape), real, training, **given)
    assert abs(blind["psth_r2"]) < 0.1
    half = psth_scores(np.broadcast_to((usual + special) / 2, real.shape), real, training, **given)
    assert half["psth_r2"] == pytest.approx(0.75, abs=0.05)
    short = real.copy()
    short[:100, 30:] = np.nan
    assert psth_scores(np.broadcast_to(special, real.shape), short, training, **given)["psth_r2"] > 0.9


def test_what_does_not_fit_is_refused(decoder):
    with pytest.raises(UndertowError, match="fitted to 8 neurons"):
        decoder(np.zeros((2, 20, 7)))
    with pytest.raises(UndertowError, match=r"\(2, 20, 2\) and the targets \(2,\)"):
        endpoint_errors(np.zeros((2, 20, 2)), np.zeros(2))
    _, real = spikes(1, 1.0)
    with pytest.raises(UndertowError, match="There are 1 real trials"):
        psth_scores(real, real[:1], real, bin_width=0.02)
    with pytest.raises(UndertowError, match="same bins and neurons"):
        psth_scores(real[:, :30], real, real, bin_width=0.02)
