"""Scores taken apart into trials, and the choice of a size: against whole scores, the jackknife, and made-up curves."""

import numpy as np
import pytest

from undertow.evaluation import likelihood, trial_scores, truth
from undertow.evaluation.cycle_consistency import cycle_consistency
from undertow.evaluation.size_choice import SizeCurve, choose, reason
from undertow.evaluation.trial_scores import TrialScores, difference_error
from undertow.vocabulary import UndertowError

SIZES = [3, 5, 8, 16, 32, 64]
# a neural ODE on the 3-bit flip-flop, as the Computation-through-Dynamics Benchmark's example shows it
RATE_R2 = np.array([0.851, 0.887, 0.906, 0.912, 0.914, 0.914])
CO_SMOOTHING = np.array([0.118, 0.123, 0.126, 0.126, 0.127, 0.127])
CYCLE = np.array([1.0, 1.0, 1.0, 0.797, 0.648, 0.592])


def curve(scores, consistency=CYCLE, *, error=0.002, sizes=SIZES):
    """A curve whose differences all have the same standard error."""
    count = len(sizes)
    return SizeCurve(sizes, np.asarray(scores), np.asarray(consistency), error * (1 - np.eye(count)))


def chosen(of_curve):
    """The size and the reason."""
    choice = choose(of_curve)
    size = None if choice.place is None else of_curve.sizes[choice.place]
    return size, reason(of_curve, choice, "score")


@pytest.fixture(scope="module")
def counted():
    """Counts and two sets of rates, Hz, with missing entries."""
    rng = np.random.default_rng(0)
    true = rng.gamma(3.0, 5.0, (12, 20, 4))
    counts = rng.poisson(true * 0.02).astype(np.float32)
    counts[3, 15:] = np.nan
    return counts, true, *(true * rng.gamma(50, 0.02, true.shape) for _ in range(2))


@pytest.mark.parametrize(("scores", "wide", "smaller"), [(RATE_R2, 0.02, 5), (CO_SMOOTHING, 0.004, 5)])
def test_the_published_table_gives_eight_or_with_wide_errors_five(scores, wide, smaller):
    eight, why = chosen(curve(scores, error=0.001))
    assert eight == 8
    assert f"16, 32 and 64 did not come into question, with scores up to {max(scores):.4f}" in why
    assert "0.592 to 0.797" in why
    assert chosen(curve(scores, error=wide))[0] == smaller


def test_the_reason_has_both_numbers():
    size, why = chosen(curve(RATE_R2, error=0.02))
    assert size == 5
    assert (
        "The score with 5, 0.8870, lies within one standard error (0.0200) of the best, 0.9060 with 8" in why
    )
    assert "cycle consistency, 1.000, lies within 0.05 of the largest, 1.000" in why
    assert "5 comes nearest: 0.8870" in chosen(curve(RATE_R2))[1]


def test_a_smaller_size_that_does_nearly_as_well_is_named():
    size, why = chosen(curve([0.35, 0.94, 0.96], [1.0, 1.0, 0.97], sizes=[2, 3, 5]))
    assert size == 5
    assert "But 3 latents reach 98% of its score: to look inside the dynamics, train that size longer" in why
    assert "But" not in chosen(curve([0.35, 0.9, 0.96], [1.0, 1.0, 0.97], sizes=[2, 3, 5]))[1]


def test_a_size_that_hides_latents_is_never_taken_however_well_it_scores():
    assert chosen(curve([0.5, 0.6, 0.99], [1.0, 0.96, 0.94], sizes=[2, 4, 8]))[0] == 4
    assert chosen(curve([0.5, 0.6, 0.99], [1.0, 0.96, 0.951], sizes=[2, 4, 8]))[0] == 8


def test_consistency_is_measured_against_the_largest_not_against_one():
    assert chosen(curve([0.5, 0.6], [0.7, 0.68], sizes=[2, 4]))[0] == 4
    assert chosen(curve([0.6, 0.5], [0.7, 0.68], sizes=[2, 4]))[1].startswith(
        "The score with 2, 0.6000, is the best, and"
    )


def test_where_no_size_beats_constant_rates_none_is_taken():
    size, why = chosen(curve(-0.01 * np.ones(6)))
    assert size is None
    assert "No size does better than constant rates (the best score is -0.0100)" in why


def test_a_score_that_is_not_finite_is_named():
    with pytest.raises(UndertowError, match="score of size 8 is nan"):
        choose(curve([0.5, 0.6, np.nan, 0.7, 0.7, 0.7]))


def test_bits_per_spike_of_trials_add_up(counted):
    counts, _, rates, _ = counted
    parts = trial_scores.bits_per_spike(rates, counts, bin_width=0.02)
    assert parts.score == pytest.approx(likelihood.bits_per_spike(rates, counts, bin_width=0.02), rel=1e-9)
    null = np.full(4, 9.0)
    parts = trial_scores.bits_per_spike(rates, counts, bin_width=0.02, null_rates=null)
    whole = likelihood.bits_per_spike(rates, counts, bin_width=0.02, null_rates=null)
    assert parts.score == pytest.approx(whole, rel=1e-9)
    alone = likelihood.bits_per_spike(rates[5:6], counts[5:6], bin_width=0.02, null_rates=null)
    assert parts.gains[5] / parts.weights[5] == pytest.approx(alone, rel=1e-9)


def test_rate_r2_of_trials_adds_up(counted):
    _, true, rates, _ = counted
    true, rates = true.copy(), rates.copy()
    true[..., 2] = 7.0
    rates[3, 15:] = np.nan
    assert trial_scores.rate_r2(rates, true).score == pytest.approx(truth.rate_r2(rates, true).mean, rel=1e-9)
    with pytest.raises(UndertowError, match="one for each"):
        trial_scores.rate_r2(rates[1:], true)


def test_the_standard_error_is_about_that_of_leaving_trials_out(counted):
    counts, _, first, second = counted
    parts = [trial_scores.bits_per_spike(rates, counts, bin_width=0.02) for rates in (first, second)]
    without = [
        np.subtract(*(TrialScores(*(np.delete(values, trial) for values in part)).score for part in parts))
        for trial in range(12)
    ]
    jackknife = np.sqrt(11 / 12 * np.sum((without - np.mean(without)) ** 2))
    assert difference_error(*parts) == pytest.approx(jackknife, rel=0.1)


def test_what_trials_have_in_common_cancels():
    rng = np.random.default_rng(1)
    weights, common = rng.uniform(1, 2, 30), rng.normal(size=30)
    first, second = (TrialScores(common + 0.1 * add * weights, weights) for add in (0, 1))
    assert difference_error(first, second) == pytest.approx(0, abs=1e-12)
    assert np.isnan(difference_error(TrialScores(*np.ones((2, 1))), TrialScores(*np.ones((2, 1)))))


def test_a_faint_trace_of_a_latent_does_not_count():
    rng = np.random.default_rng(2)
    latents = rng.standard_normal((30, 20, 3))
    readout = rng.standard_normal((3, 9)) * np.array([0.4, 0.4, 0.004])[:, None]
    rates = np.exp(latents @ readout)
    rates[2, 12:] = np.nan
    sides = latents[:20], rates[:20], latents[20:], rates[20:]
    np.testing.assert_allclose(cycle_consistency(*sides).per_column, 1, atol=1e-2)
    found = cycle_consistency(*sides, least_share=0.01).per_column
    np.testing.assert_allclose(found[:2], 1, atol=1e-2)
    assert found[2] < 0.1
