"""The yardstick: what it may not see, what it must reach, and the regressions beneath it against scikit-learn and SciPy."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from undertow.data.trials import trials as as_trials
from undertow.evaluation import poisson_regression
from undertow.evaluation.likelihood import co_smoothing, forward_prediction, mean_counts
from undertow.evaluation.yardstick import yardstick
from undertow.vocabulary import UndertowError

RECORDINGS = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).parents[3] / "shared" / "data"))


def correlated(seed=0, trials=60, bins=40, neurons=12, **columns):
    """Trials of neurons that share one slow latent; a quarter of the neurons is held out."""
    generator = np.random.default_rng(seed)
    latent = np.sin(2 * np.pi * (np.arange(bins) / 40 + generator.random((trials, 1))))[:, :, None]
    rates = np.exp(-0.5 + latent * generator.choice([-1, 1], neurons))
    counts = generator.poisson(rates).astype(np.float32)
    split = np.where(np.arange(trials) % 4 == 0, "valid", "train")
    held_out = np.arange(neurons) % 4 == 0
    return as_trials(
        counts, bin_width=0.02, split=split, held_out=held_out, true_rates=rates / 0.02, **columns
    )


def valid(trials, name):
    return trials[name].values[trials.split.values == "valid"]


def test_held_out_neurons_are_predicted_from_the_others():
    trials = correlated()
    estimate = yardstick(trials)
    scored = {"held_out": trials.held_out.values, "bin_width": 0.02}
    reached = co_smoothing(valid(estimate, "rates"), valid(trials, "counts"), **scored)
    possible = co_smoothing(valid(trials, "true_rates"), valid(trials, "counts"), **scored)
    assert 0.8 * possible < reached < possible
    assert estimate.rates.dtype == np.float32 and estimate.rates.dims == trials.counts.dims
    assert estimate.attrs["smoothing_width"] >= 0.04


def test_nothing_hidden_is_seen():
    forward = np.arange(40) >= 34
    trials = correlated(forward=forward)
    changed = trials.copy(deep=True)
    is_valid = trials.split.values == "valid"
    hidden = np.broadcast_to(trials.held_out.values | forward[:, None], trials.counts.shape[1:])
    changed.counts.values[np.ix_(is_valid, range(40), range(12))] += 7 * hidden
    before = trials.copy(deep=True)
    rates = yardstick(trials).rates.values
    np.testing.assert_array_equal(rates, yardstick(changed).rates.values)
    assert trials.identical(before)
    seen_in_valid = trials.copy(deep=True)
    seen_in_valid.counts.values[is_valid] += 7
    training = ~is_valid
    np.testing.assert_array_equal(yardstick(seen_in_valid).rates.values[training], rates[training])


def test_forward_bins_follow_the_trial():
    generator = np.random.default_rng(5)
    gain = generator.choice([0.3, 3.0], (90, 1, 1))
    counts = generator.poisson(gain * np.linspace(0.5, 2, 20)[:, None] * np.ones(8))
    forward, split = np.arange(20) >= 15, np.where(np.arange(90) < 60, "train", "valid")
    trials = as_trials(counts, bin_width=0.05, forward=forward, split=split)
    rates = yardstick(trials).rates.values
    true = np.broadcast_to(gain * np.linspace(0.5, 2, 20)[:, None], counts.shape)
    scores = [
        forward_prediction(expected[60:], counts[60:].astype(float), forward=forward)
        for expected in (rates * 0.05, true)
    ]
    assert 0.9 * scores[1] < scores[0] < scores[1]


def test_gaps_silence_duplicates_and_ragged_trials_give_finite_rates_without_a_warning():
    trials = correlated(trials=30)
    counts = trials.counts.values.copy()
    counts[:, :, 1] = 0
    counts[:, :, 4] = 0
    counts[:, :, 3] = counts[:, :, 2]
    counts[:, :, 5] = np.nan
    counts[3, 25:] = np.nan
    counts[7, :10, 8] = np.nan
    rates = yardstick(trials.assign(counts=(trials.counts.dims, counts))).rates.values
    assert np.isfinite(rates).all() and (rates >= 0).all()
    assert 0 < rates[:, :, 4].max() < 0.1


def test_only_smoothing_without_held_out_neurons_and_one_training_trial():
    trials = correlated(trials=2)
    trials = trials.assign_coords(
        held_out=("neuron", np.zeros(12, bool)), split=("trial", ["train", "valid"])
    )
    estimate = yardstick(trials, widths=[0.04])
    assert estimate.attrs["smoothing_width"] == pytest.approx(0.04)
    np.testing.assert_allclose(estimate.rates.mean(), trials.counts.mean() / 0.02, rtol=0.1)
    assert np.isfinite(yardstick(correlated(trials=2).assign_coords(split=trials.split)).rates).all()


def test_held_out_neurons_that_training_never_shows_get_a_small_constant_rate():
    trials = correlated(trials=12)
    never = trials.assign(counts=trials.counts.where((trials.split == "valid") | ~trials.held_out))
    rates = yardstick(never).rates.values[:, :, trials.held_out.values]
    assert np.isfinite(rates).all() and rates.std() == 0


def test_regression_minimises_its_formula():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((300, 3)) * [1, 5, 0.1] + [0, 3, -1]
    exposure = generator.gamma(2, 1, (300, 1))
    standardised = (features - features.mean(0)) / features.std(0)
    counts = generator.poisson(exposure * np.exp(standardised @ [0.5, -0.3, 0.1] - 1)[:, None])
    mean, alpha = counts.sum() / exposure.sum(), 0.05
    weight = exposure[:, 0] / exposure.sum()

    def loss(parameters):
        log_ratio = standardised @ parameters[:3] + parameters[3]
        relative = counts[:, 0] / (exposure[:, 0] * mean)
        return (weight * (np.exp(log_ratio) - relative * log_ratio)).sum() + alpha / 2 * (
            parameters[:3] ** 2
        ).sum()

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    fitted = poisson_regression.fit(features, counts, alpha=alpha, exposure=exposure)
    np.testing.assert_allclose(fitted.weights[:, 0], best[:3], atol=1e-4)
    np.testing.assert_allclose(
        fitted(features)[:, 0], mean * np.exp(standardised @ best[:3] + best[3]), rtol=1e-3
    )


def test_what_cannot_be_predicted_is_said():
    trials = correlated(trials=8)
    with pytest.raises(UndertowError, match="no"):
        yardstick(trials.assign_coords(split=("trial", ["valid"] * 8)))
    with pytest.raises(UndertowError, match="'held_out' is true"):
        yardstick(trials.assign_coords(held_out=("neuron", np.ones(12, bool))))
    with pytest.raises(UndertowError, match="No count is observed"):
        yardstick(trials.assign(counts=trials.counts.where(trials.split == "valid")))
    with pytest.raises(UndertowError, match="lowest count is -1"):
        yardstick(trials.assign(counts=trials.counts - 1))


@pytest.mark.skipif(not (RECORDINGS / "macaque_reaching.npz").exists(), reason="needs the shared recordings")
@pytest.mark.parametrize(("seed", "published"), [(0, 0.051), (2, 0.059)])
def test_macaque_reaching_is_predicted_as_well_as_published(seed, published):
    with np.load(RECORDINGS / "macaque_reaching.npz") as recording:
        counts = recording["counts"].astype(np.float32)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(counts))
    split = np.full(len(counts), "train")
    split[order[: len(counts) // 5]] = "valid"
    training = counts[split == "train"]
    active = generator.permutation(np.flatnonzero(training.mean(axis=(0, 1)) > 0.02))
    held_out = active[: len(active) // 4]
    kept = np.sort(active)
    trials = as_trials(counts[:, :, kept], bin_width=0.02, split=split, held_out=np.isin(kept, held_out))
    null = mean_counts(training[:, :, kept]) / 0.02

    def score(widths):
        rates = valid(yardstick(trials, widths=widths), "rates")
        scored = {"held_out": trials.held_out.values, "bin_width": 0.02, "null_rates": null}
        return co_smoothing(rates, valid(trials, "counts"), **scored)

    assert score([0.04]) == pytest.approx(published, abs=0.006)
    assert score(None) > published - 0.006


def test_a_bin_without_spikes_in_training_is_not_taken_for_impossible():
    """Few trials of rare spikes: most forward bins of most neurons are empty in training, and the forecast is near the mean."""
    generator = np.random.default_rng(4)
    counts = generator.poisson(0.05, (40, 60, 30)).astype(np.float32)
    forward, split = np.arange(60) >= 40, np.where(np.arange(40) < 20, "train", "valid")
    estimate = yardstick(as_trials(counts, bin_width=0.005, forward=forward, split=split))
    rates = estimate.rates.values[20:] * 0.005
    assert (counts[:20, 40:].sum(axis=0) == 0).any()
    assert forward_prediction(rates, counts[20:].astype(float), forward=forward) > -0.15
