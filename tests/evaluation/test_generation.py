"""Statistics of generated spikes: against SciPy, against plain loops, and on processes that are the same or are not."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from undertow.evaluation.generation import (
    compare,
    copied,
    correlations,
    count_density,
    spike_count_kl,
    statistics,
)
from undertow.evaluation.spike_summary import halves, interval_sums, principal_axes, summary
from undertow.vocabulary import UndertowError

WIDTH = 0.01


def recorded(seed, trials=240, bins=60, neurons=12, gain=0.6, coupled=True, mean=0.15):
    """Trials with a gain and an oscillation that all neurons share, or each has for itself."""
    generator = np.random.default_rng(seed)
    share = 1 if coupled else neurons
    strength = np.exp(gain * generator.standard_normal((trials, 1, share)))
    phase = generator.uniform(0, 2 * np.pi, (trials, 1, share))
    wave = 1 + 0.8 * np.sin(2 * np.pi * np.arange(bins)[None, :, None] / 20 + phase)
    rates = mean * strength * wave * np.linspace(0.5, 1.5, neurons)
    return generator.poisson(rates).astype(np.float32)


def shuffled_bins(counts):
    """The same counts of each neuron and trial in other bins: intervals and spectra are lost."""
    return np.random.default_rng(0).permuted(counts, axis=1)


@pytest.fixture(scope="module")
def real():
    return recorded(0)


@pytest.fixture(scope="module")
def same(real):
    return compare(recorded(1), real, bin_width=WIDTH, repeats=5)


def test_the_same_process_scores_near_the_floor(same):
    assert all(np.isfinite(score.value) and score.floor > 0 for score in same.values())
    for name, score in same.items():
        assert score.value < 1.6 * score.floor, name


def test_whole_numbers_score_as_floats_do(same, real):
    whole = compare(recorded(1).astype(np.int64), real.astype(np.uint8), bin_width=WIDTH, repeats=5)
    for name, score in same.items():
        assert score.value == pytest.approx(whole[name].value, rel=1e-4), name
        assert score.floor == pytest.approx(whole[name].floor, rel=1e-4), name


@pytest.mark.parametrize(
    ("make", "seen_by"),
    [
        (
            lambda: recorded(2, mean=0.3),
            ("spike_count_kl", "rate_mean_rmse", "interval_mean_rmse", "sliced_wasserstein"),
        ),
        (lambda: recorded(2, gain=0.0), ("rate_sd_rmse", "correlation_rmse", "spike_count_kl")),
        (
            lambda: recorded(2, coupled=False),
            ("correlation_rmse", "spike_count_kl", "population_spectrum_rmse", "mmd_squared"),
        ),
        (
            lambda: shuffled_bins(recorded(2)),
            ("population_spectrum_rmse", "component_spectrum_rmse", "mmd_squared"),
        ),
        (lambda: np.minimum(recorded(2, gain=1.2), 1), ("interval_mean_rmse", "interval_sd_rmse")),
    ],
)
def test_other_processes_are_above_the_floor(real, make, seen_by):
    scores = compare(make(), real, bin_width=WIDTH)
    for name in seen_by:
        assert scores[name].ratio > 1.6, (name, scores[name])


def test_the_count_density_is_scipys_kernel_estimate():
    samples = np.random.default_rng(0).poisson(6, 500)
    expected = gaussian_kde(samples)(np.arange(31))
    np.testing.assert_allclose(count_density(samples, 30), expected / expected.sum(), atol=1e-9)
    other = np.random.default_rng(1).poisson(7, 400)
    p, q = (gaussian_kde(values)(np.arange(20)) for values in (samples, other))
    p, q = p / p.sum(), q / q.sum()
    highest = max(samples.max(), other.max())
    assert highest < 20
    expected = (p * np.log(p / q)).sum()
    assert spike_count_kl(samples, other) == pytest.approx(expected, rel=1e-2)
    assert spike_count_kl(samples, samples) == pytest.approx(0, abs=1e-12)
    assert np.isfinite(spike_count_kl(np.array([50, 50]), np.array([0, 0])))


def test_correlations_are_numpys(real):
    axes = principal_axes(real, WIDTH)
    whole = summary(real, WIDTH, axes)
    np.testing.assert_allclose(correlations(whole), np.corrcoef(real.reshape(-1, 12).T), atol=1e-10)
    big = real * 30  # beyond what float32 adds up exactly
    np.testing.assert_allclose(correlations(summary(big, WIDTH, axes)), correlations(whole), atol=1e-10)


def test_a_silent_neuron_correlates_with_none(real):
    silent = real.copy()
    silent[..., 3] = 0
    found = correlations(summary(silent, WIDTH, principal_axes(real, WIDTH)))
    assert np.isfinite(found).all() and (found[3] == 0).all()


def test_the_published_scale_of_correlations():
    neurons = 182
    real, other = (recorded(seed, trials=4, bins=40, neurons=neurons) for seed in (0, 1))
    axes = principal_axes(real, WIDTH)
    pair = summary(other, WIDTH, axes), summary(real, WIDTH, axes)
    plain, published = (statistics(*pair, ldns_scale=scale)["correlation_rmse"] for scale in (False, True))
    assert published / plain == pytest.approx(0.705, abs=5e-4)
    matrices = [np.nan_to_num(np.corrcoef(counts.reshape(-1, neurons).T)) for counts in (other, real)]
    by_hand = np.sqrt((np.tril(matrices[0] - matrices[1], -1) ** 2).mean())
    assert published == pytest.approx(by_hand, rel=1e-6)


def test_intervals_are_those_of_a_plain_loop():
    generator = np.random.default_rng(3)
    counts = generator.poisson(0.4, (5, 30, 4)).astype(np.float32)
    complete = generator.random((5, 30)) > 0.1
    counts[~complete] = 0
    expected = np.zeros((3, 5, 4))
    for trial, neuron in np.ndindex(5, 4):
        times = [
            (bin_, bin_ + (spike + 0.5) / int(counts[trial, bin_, neuron]))
            for bin_ in range(30)
            for spike in range(int(counts[trial, bin_, neuron]))
        ]
        for (first, start), (last, end) in pairwise(times):
            if complete[trial, first : last + 1].all():
                expected[:, trial, neuron] += ((end - start) * WIDTH) ** np.arange(3)
    np.testing.assert_allclose(interval_sums(counts, complete, WIDTH), expected, atol=1e-12)


def test_halves_share_no_trial_and_add_up_to_the_whole(real):
    whole = summary(real[:41], WIDTH, principal_axes(real, WIDTH))
    one, other = halves(whole, np.random.default_rng(0))
    assert len(one.members) == len(other.members) == 20
    assert not set(one.members) & set(other.members)
    even = summary(real[:40], WIDTH, principal_axes(real, WIDTH))
    one, other = halves(even, np.random.default_rng(0))
    assert sorted([*one.members, *other.members]) == list(range(40))
    for half in (one, other):
        alone = summary(real[half.members], WIDTH, principal_axes(real, WIDTH))
        np.testing.assert_allclose(correlations(half), correlations(alone), atol=1e-12)
        np.testing.assert_array_equal(half.intervals, alone.intervals)
        np.testing.assert_array_equal(half.population, alone.population)


def test_ends_of_short_trials_do_not_count(real):
    short = real.copy()
    short[::2, 45:] = np.nan
    axes = principal_axes(real, WIDTH)
    found = summary(short, WIDTH, axes)
    assert found.complete.sum() == 120 * 45 + 120 * 60
    rows = np.concatenate([short[trial, : 60 - 15 * (trial % 2 == 0)] for trial in range(240)])
    np.testing.assert_allclose(correlations(found), np.corrcoef(rows.T), atol=1e-10)
    whole = ~np.isnan(found.features).any(axis=1)
    np.testing.assert_array_equal(whole, np.arange(240) % 2 == 1)
    scores = compare(recorded(1), short, bin_width=WIDTH)
    assert all(np.isfinite(score.value) for score in scores.values())
    assert scores["rate_mean_rmse"].ratio < 2


def test_copies_of_training_trials_are_found(real):
    held_out = recorded(5)
    honest = copied(recorded(6), held_out, real, bin_width=WIDTH)
    assert 0.8 < honest.ratio < 1.25 and honest.copied < 0.1
    noisy = np.where(np.random.default_rng(0).random(real.shape) < 0.1, 0, real)
    assert copied(noisy, held_out, real, bin_width=WIDTH).ratio < 0.8
    assert copied(real, held_out, real, bin_width=WIDTH).copied == 1
    short = real.copy()
    short[::2, 50:] = np.nan
    assert len(copied(short, held_out, real, bin_width=WIDTH).generated) == 120


def test_the_seed_decides_the_floor(real):
    ours = recorded(1)
    assert compare(ours, real, bin_width=WIDTH) == compare(ours, real, bin_width=WIDTH)
    one, other = (compare(ours, real, bin_width=WIDTH, seed=seed) for seed in (0, 1))
    assert one["correlation_rmse"].value == other["correlation_rmse"].value
    assert one["correlation_rmse"].floor != other["correlation_rmse"].floor


def test_a_recording_split_in_two_scores_near_its_floor(recordings):
    counts = np.load(recordings / "macaque_reaching.npz")["counts"].astype(np.float32)
    shuffled = counts[np.random.default_rng(0).permutation(len(counts))]
    scores = compare(shuffled[::2], shuffled[1::2], bin_width=0.02)
    assert all(score.value < 2 * score.floor for score in scores.values())
    rates = np.broadcast_to(counts.mean((0, 1)), counts.shape)
    constant = compare(np.random.default_rng(1).poisson(rates).astype(np.float32), counts, bin_width=0.02)
    assert constant["spike_count_kl"].ratio > 5 and constant["population_spectrum_rmse"].ratio > 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda real: (real[..., :5], real), r"\(240, 60, 5\).*\(240, 60, 12\).*same bins and neurons"),
        (lambda real: (real[:3], real), "3 generated and 240 real trials"),
        (lambda real: (real + 0.5, real), "generated trials hold 0.5, which is no spike count"),
        (lambda real: (real, real - 1), "hold -1, which is no spike count"),
        (
            lambda real: (real, np.where(np.arange(12) == 4, np.nan, real)),
            "No bin of the .*trials has all 12 neurons",
        ),
    ],
)
def test_what_can_not_be_compared_is_refused(real, change, words):
    with pytest.raises(UndertowError, match=words):
        compare(*change(real), bin_width=WIDTH)
