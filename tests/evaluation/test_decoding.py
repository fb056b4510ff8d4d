"""The decoder against scikit-learn's grid search, and lags with a known answer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold

from undertow.evaluation import chunks as chunks_module
from undertow.evaluation.decoding import ALPHAS, decode, lagged
from undertow.evaluation.regression import complete_rows, fit, moments, moments_of, r2_from
from undertow.vocabulary import UndertowError


def linear(seed, trials=24, bins=10, neurons=6, noise=1.0):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2, 5, (trials, bins, neurons)).astype(np.float32)
    behaviour = rates @ generator.standard_normal((neurons, 2)) + 30
    return rates, (behaviour + noise * behaviour.std() * generator.standard_normal(behaviour.shape)).astype(
        np.float32
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_penalty_and_score_are_those_of_the_benchmarks_grid_search(seed, has_gaps):
    rates, behaviour = linear(seed)
    if has_gaps:
        behaviour[3, 4:] = np.nan
        rates[20, 2] = np.nan
    alphas = (1e-4, 1.0, 1e3, 1e5)
    ours = decode(rates[:18], behaviour[:18], rates[18:], behaviour[18:], alphas=alphas)
    x, y = (values.reshape(-1, values.shape[-1]).astype(np.float64) for values in (rates, behaviour))
    train, test = np.arange(len(x)) < 180, np.arange(len(x)) >= 180
    known = complete_rows(x, y)
    search = GridSearchCV(Ridge(), {"alpha": alphas}, cv=KFold(5)).fit(x[train & known], y[train & known])
    assert ours.alpha == search.best_params_["alpha"]
    assert ours.r2.mean == pytest.approx(search.score(x[test & known], y[test & known]), abs=1e-6)
    np.testing.assert_allclose(ours.decoder.weights, search.best_estimator_.coef_.T, rtol=1e-5, atol=1e-8)


def test_chunks_do_not_change_the_folds(monkeypatch):
    rates, behaviour = linear(4)
    arguments = (rates[:18], behaviour[:18], rates[18:], behaviour[18:])
    whole = decode(*arguments)
    monkeypatch.setattr("undertow.evaluation.decoding.CHUNK_ENTRIES", 130)
    monkeypatch.setattr(chunks_module.chunks, "__defaults__", (130,))
    pieces = decode(*arguments)
    assert pieces.alpha == whole.alpha
    np.testing.assert_allclose(pieces.prediction, whole.prediction, rtol=1e-6)
    np.testing.assert_allclose(pieces.r2.per_column, whole.r2.per_column)


def test_behaviour_that_follows_the_rates_is_decoded_at_its_lag():
    generator = np.random.default_rng(1)
    rates = generator.standard_normal((30, 12, 4))
    behaviour = np.full((30, 12, 1), np.nan)
    behaviour[:, 3:, 0] = rates[:, :-3] @ [1.0, -2.0, 0.5, 0.0] + 4
    score = {}
    for lags in (0, 3, (0, 3), (2, 3, 4)):
        score[lags] = decode(rates[:20], behaviour[:20], rates[20:], behaviour[20:], lags=lags).r2.mean
    assert score[0] < 0.1
    assert all(score[lags] == pytest.approx(1, abs=1e-4) for lags in (3, (0, 3), (2, 3, 4)))


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4))
def test_lagged_is_a_shift_within_the_trial(lags):
    rates = np.arange(2 * 7 * 3, dtype=np.float64).reshape(2, 7, 3)
    columns = lagged(rates, lags).reshape(2, 7, len(lags), 3)
    for trial, bin_, index in np.ndindex(2, 7, len(lags)):
        source = bin_ - lags[index]
        expected = rates[trial, source] if 0 <= source < 7 else np.full(3, np.nan)
        np.testing.assert_array_equal(columns[trial, bin_, index], expected)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 100.0]))
def test_regression_from_moments_is_scikit_learns(seed, alpha):
    generator = np.random.default_rng(seed)
    x, y = generator.standard_normal((40, 3)) + 100, generator.standard_normal((40, 2)) - 50
    y += x[:, :2]
    known = moments_of([(x[:7], y[:7]), (x[7:], y[7:])])
    linear_map, theirs = fit(known, alpha), Ridge(alpha=max(alpha, 1e-12)).fit(x, y)
    np.testing.assert_allclose(linear_map.weights, theirs.coef_.T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(linear_map.intercept, theirs.intercept_, rtol=1e-5, atol=1e-5)
    other = moments(x[:20] + 0.3, y[:20], known.origin)
    expected = [
        1 - ((y[:20] - linear_map(x[:20] + 0.3)) ** 2).sum(0) / ((y[:20] - y[:20].mean(0)) ** 2).sum(0)
    ]
    np.testing.assert_allclose(r2_from(linear_map, other), expected[0], atol=1e-6)
    rest = known - other
    assert rest.rows == 20


def test_default_penalties_are_the_benchmarks():
    np.testing.assert_allclose(ALPHAS, 10.0 ** np.arange(-4, 0.1, 0.5))


def test_too_little_to_decode_from_is_said():
    rates, behaviour = linear(0)
    with pytest.raises(UndertowError, match="Only 0 bins have both"):
        decode(rates, np.full_like(behaviour, np.nan), rates, behaviour)
    with pytest.raises(UndertowError, match=r"\(24, 10, 6\).*\(23, 10, 2\)"):
        decode(rates, behaviour[1:], rates, behaviour)
