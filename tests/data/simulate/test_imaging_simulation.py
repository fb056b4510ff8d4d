"""The simulated microscope: truth of the stated frequency, samples at their own time, events that follow the rates."""

import numpy as np
import pytest

from undertow.data.simulate import SYSTEMS
from undertow.data.simulate.truth import true_system
from undertow.evaluation.scores import evaluate
from undertow.vocabulary import UndertowError

SMALL = {"trials": 48, "conditions": 4, "neurons": 12}


def simulated(**settings):
    return SYSTEMS["imaging"](**{**SMALL, **settings})


def test_each_region_is_sampled_once_a_frame_at_its_own_time():
    trials = simulated()
    assert trials.counts.shape == (48, 90, 12)
    seen = np.isfinite(trials.counts.values)
    assert seen.mean() == pytest.approx(0.3, abs=0.01)
    steps = [np.diff(np.flatnonzero(seen[trial, :, unit])) for trial in range(48) for unit in range(12)]
    assert set(np.concatenate(steps)) == {3, 4}
    phases = {np.flatnonzero(seen[trial, :, 0])[0] for trial in range(48)}
    assert len(phases) > 2, "trials begin at any moment of a frame"
    first, last = (seen[:, :, unit].argmax(1) for unit in (0, 11))
    assert (first != last).any()


def test_both_samplings_are_of_one_session():
    fine, whole = simulated(), simulated(sampling="frame")
    np.testing.assert_array_equal(fine.start_time, whole.start_time)
    np.testing.assert_array_equal(fine.split, whole.split)
    assert whole.attrs["bin_width"] == pytest.approx(1 / 30) and whole.sizes["time"] == 27
    assert np.isfinite(whole.counts).mean() > 0.99
    by_bin = fine.true_latents.values.mean(1), whole.true_latents.values.mean(1)
    np.testing.assert_allclose(*by_bin, atol=1e-5)


@pytest.mark.parametrize("frequency", [2.0, 8.0])
def test_z_oscillates_at_the_stated_frequency(frequency):
    latents = simulated(
        frequency=frequency, duration=8.0, trials=8, conditions=8, neurons=2
    ).true_latents.values
    z = latents[:, :, 2] - latents[:, :, 2].mean(1, keepdims=True)
    power = (np.abs(np.fft.rfft(z * np.hanning(z.shape[1]), axis=1)) ** 2).mean(0)
    found = np.fft.rfftfreq(z.shape[1], 0.01)[3 + power[3:].argmax()]
    assert found == pytest.approx(frequency, rel=0.1)


def test_events_follow_the_rates_of_slow_latents():
    trials = simulated(frequency=1.0, trials=120, sampling="frame")
    counts, rates = trials.counts.values, trials.true_rates.values
    assert np.nanmin(counts) == 0 and counts[counts > 0].min() >= 0.1
    of_condition = [trials.condition.values == one for one in range(4)]
    means = np.stack([np.nanmean(counts[members], axis=0) for members in of_condition])
    truth = np.stack([rates[members][0] for members in of_condition])
    found = [np.corrcoef(means[:, :, unit].ravel(), truth[:, :, unit].ravel())[0, 1] for unit in range(12)]
    assert np.mean(found) > 0.75


def test_a_sample_is_laid_in_the_middle_of_what_it_sums_up():
    """Averaged over trials at all phases of the frame, events are in step with the rates; without the delay they are late."""
    settings = {"frequency": 4.0, "trials": 400, "neurons": 20, "noise": 0.05}
    in_step, late = (_lag(simulated(**settings, **delay)) for delay in ({}, {"delay": 0.0}))
    assert abs(in_step) <= 0.005
    assert late - in_step == pytest.approx(1 / 60, abs=0.006)


def _lag(trials):
    """Seconds by which events come after the rates, at which they correlate most."""
    counts, rates = trials.counts.values, trials.true_rates.values
    members = [trials.condition.values == one for one in range(4)]
    means = np.stack([np.nanmean(counts[one], axis=0) for one in members])[:, 10:-10]
    means = means - means.mean(axis=1, keepdims=True)
    scores = []
    for shift in range(-6, 7):
        truth = np.stack([rates[one][0] for one in members])[:, 10 - shift : 80 - shift]
        scores.append((means * (truth - truth.mean(axis=1, keepdims=True))).sum())
    shifts, scores = np.arange(-6, 7), np.array(scores)
    best = int(scores.argmax())
    curve = np.polyfit(shifts[best - 1 : best + 2], scores[best - 1 : best + 2], 2)
    return 0.01 * -curve[1] / (2 * curve[0])


def test_the_law_behind_the_trials_is_known():
    trials = simulated(frequency=3.0)
    true = true_system(trials)
    latents = trials.true_latents.values[0].astype(float)
    moved = (latents[2:] - latents[:-2]) / 2
    np.testing.assert_allclose(true.velocity(latents[1:-1]), moved, atol=0.05 * np.abs(moved).max())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bin_width": 0.04}, "wider than a frame"),
        ({"sampling": "line"}, "no sampling 'line'"),
        ({"frequency": 0.0}, "'frequency' is 0.0"),
        ({"duration": 0.005}, "holds no bin"),
        ({"noise": -1.0}, "'noise' is -1.0"),
        ({"conditions": 0}, "conditions"),
    ],
)
def test_settings_that_make_no_session(settings, words):
    with pytest.raises(UndertowError, match=words):
        simulated(**settings)


def test_rates_of_events_are_not_scored_against_spikes():
    trials = simulated(sampling="frame")
    estimate = trials[["true_rates", "true_latents"]].rename(
        {"true_rates": "rates", "true_latents": "factors", "latent": "factor"}
    )
    found = evaluate(estimate, trials)["valid"]["model"]
    assert "rate_r2" not in found and found["latent_r2_inferred_to_true"] == pytest.approx(1)
