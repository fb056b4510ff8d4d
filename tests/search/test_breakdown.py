"""The score above which training has broken down, against SciPy's likelihoods."""

import jax
import numpy as np
import pytest
from scipy import stats
from tiny_model import Tiny, choices, trial_arrays

from undertow.search.breakdown import MARGIN, limit_of
from undertow.training.loop import summarise

TRAIN, VALID = trial_arrays(40), trial_arrays(20, seed=1, first=40)


def by_hand(costs):
    """The highest of the neurons' mean costs plus so many standard deviations, over observed entries."""
    neurons = costs.shape[2]
    return max(
        np.nanmean(costs[..., neuron]) + MARGIN * np.nanstd(costs[..., neuron]) for neuron in range(neurons)
    )


def test_of_poisson_counts_the_limit_is_that_of_constant_rates():
    rates = np.nanmean(TRAIN.counts, (0, 1))
    costs = np.where(
        np.isfinite(VALID.counts), -stats.poisson.logpmf(np.nan_to_num(VALID.counts), rates), np.nan
    )
    assert limit_of(choices(), (TRAIN, VALID)) == pytest.approx(by_hand(costs), rel=1e-4)


def test_of_gamma_amplitudes_too():
    """Densities may be far above 1, so scores below 0: the limit is a distance, not a multiple."""
    rng = np.random.default_rng(0)
    train, valid = (
        arrays._replace(counts=rng.gamma(2.0, 1e-2, arrays.counts.shape).astype(np.float32))
        for arrays in (TRAIN, VALID)
    )
    model = Tiny(observation="gamma")
    summary = summarise(train)
    parameters = np.asarray(model.build(summary, key=jax.random.key(0)).bias, np.float64)
    mean, shape = np.exp(parameters).T
    costs = -stats.gamma.logpdf(valid.counts, shape, scale=mean / shape)
    assert costs.mean() < 0
    assert limit_of(choices(model), (train, valid)) == pytest.approx(by_hand(costs), rel=1e-3)


def test_a_neuron_that_validation_never_observes_says_nothing():
    counts = VALID.counts.copy()
    counts[..., 2] = np.nan
    known = [0, 1, 3]
    both = [arrays._replace(counts=arrays.counts[..., known]) for arrays in (TRAIN, VALID)]
    hidden = limit_of(choices(), (TRAIN, VALID._replace(counts=counts)))
    assert hidden == pytest.approx(limit_of(choices(), tuple(both)), rel=1e-6)


def test_no_sensible_model_comes_near_it():
    """Rates wrong by a factor of four in every entry are bad, and still no breakdown."""
    rates = np.nanmean(TRAIN.counts, (0, 1))
    for factor in (0.25, 4.0):
        wrong = -stats.poisson.logpmf(np.nan_to_num(VALID.counts), factor * rates).mean()
        assert wrong < limit_of(choices(), (TRAIN, VALID))
