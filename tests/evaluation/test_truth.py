"""R2 against scikit-learn, linear maps with a known answer, pulses at known times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from undertow.evaluation.r2 import r2
from undertow.evaluation.truth import fraction_within, latent_r2, pulse_offsets, rate_r2
from undertow.vocabulary import UndertowError


def noisy(seed, shape=(6, 10, 4), noise=0.5):
    generator = np.random.default_rng(seed)
    truth = generator.standard_normal(shape) * np.arange(1, shape[-1] + 1) + 5
    return truth + noise * generator.standard_normal(shape), truth


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 3))
def test_r2_is_scikit_learns(seed, noise):
    prediction, truth = noisy(seed, noise=noise)
    flat = truth.reshape(-1, 4), prediction.reshape(-1, 4)
    ours = rate_r2(prediction, truth)
    np.testing.assert_allclose(ours.per_column, r2_score(*flat, multioutput="raw_values"))
    assert ours.mean == pytest.approx(r2_score(*flat))
    assert ours.variance_weighted == pytest.approx(r2_score(*flat, multioutput="variance_weighted"))


def test_unknown_entries_and_constant_columns_are_left_out():
    prediction, truth = noisy(1)
    truth[..., 2] = 3.3
    prediction[0, :5, 0] = np.nan
    truth[2, :, 0] = np.nan
    known = ~(np.isnan(prediction[..., 0]) | np.isnan(truth[..., 0]))
    ours = r2(prediction, truth)
    assert ours.per_column[0] == pytest.approx(r2_score(truth[known, 0], prediction[known, 0]))
    assert np.isnan(ours.per_column[2])
    assert ours.mean == pytest.approx(np.mean([ours.per_column[column] for column in (0, 1, 3)]))
    assert np.isfinite(ours.variance_weighted)
    everything_constant = r2(truth[..., 2:3], truth[..., 2:3])
    assert np.isnan(everything_constant.mean) and np.isnan(everything_constant.variance_weighted)


def test_latent_r2_is_linear_regression_fitted_on_other_trials():
    generator = np.random.default_rng(0)
    true = generator.standard_normal((20, 15, 3))
    inferred = true @ generator.standard_normal((3, 5)) + 0.7 * generator.standard_normal((20, 15, 5)) + 2
    ours = latent_r2(inferred[15:], true[15:], fitted_on=(inferred[:15], true[:15]))
    x, y = inferred.reshape(-1, 5), true.reshape(-1, 3)
    cases = ((ours.inferred_to_true, x, y), (ours.true_to_inferred, y, x))
    for ours_one_way, source, target in cases:
        prediction = LinearRegression().fit(source[:225], target[:225]).predict(source[225:])
        np.testing.assert_allclose(
            ours_one_way.per_column, r2_score(target[225:], prediction, multioutput="raw_values")
        )


def test_invented_dimensions_are_only_seen_in_one_direction():
    generator = np.random.default_rng(0)
    true = generator.standard_normal((30, 20, 3)).astype(np.float32)
    invented = generator.standard_normal((30, 20, 3)).astype(np.float32)
    mixed = np.concatenate([true, invented], axis=2) @ generator.standard_normal((6, 6)).astype(np.float32)
    both = latent_r2(mixed, true)
    assert both.inferred_to_true.mean == pytest.approx(1, abs=1e-5)
    assert both.true_to_inferred.variance_weighted < 0.8


def test_collinear_latents_map_exactly():
    generator = np.random.default_rng(2)
    true = generator.standard_normal((10, 20, 3))
    inferred = true @ generator.standard_normal((3, 20)) + generator.standard_normal(20)
    both = latent_r2(inferred.astype(np.float32), true.astype(np.float32))
    assert both.inferred_to_true.mean == pytest.approx(1, abs=1e-5)
    assert both.true_to_inferred.mean == pytest.approx(1, abs=1e-5)


def pulses(at, bins=20):
    inputs = np.zeros((len(at), bins, 1))
    inputs[np.arange(len(at)), at, 0] = 20
    return inputs


def test_pulses_are_found_under_a_common_transient_with_the_sign_that_the_model_chose():
    at = np.array([5, 8, 12, 10, 7, 9])
    late = np.array([0, 1, -2, 3, 0, 2])
    inferred = np.zeros((6, 20, 2))
    inferred[:, 0] = 50
    inferred[np.arange(6), at + late] = [-3.0, 1.0]
    offsets = pulse_offsets(inferred, pulses(at))
    np.testing.assert_array_equal(offsets, late)
    assert fraction_within(offsets) == pytest.approx(5 / 6)
    assert fraction_within(offsets, bins=0) == pytest.approx(2 / 6)


def test_trials_without_pulse_or_inference_are_left_out():
    true = pulses(np.array([3, 4, 5]))
    true[1] = 0
    inferred = np.random.default_rng(0).standard_normal((3, 20, 1))
    inferred[2] = np.nan
    offsets = pulse_offsets(inferred, true)
    np.testing.assert_array_equal(np.isnan(offsets), [False, True, True])
    assert np.isnan(fraction_within(np.full(3, np.nan)))


def test_wrong_shapes_are_named():
    with pytest.raises(UndertowError, match=r"\(2, 3, 4\).*\(2, 3, 5\)"):
        rate_r2(np.zeros((2, 3, 4)), np.zeros((2, 3, 5)))
    with pytest.raises(UndertowError, match=r"\(2, 3, 4\).*\(2, 4, 4\)"):
        latent_r2(np.zeros((2, 3, 4)), np.zeros((2, 4, 4)))
    with pytest.raises(UndertowError, match="No bin has both"):
        latent_r2(np.full((2, 3, 4), np.nan), np.zeros((2, 3, 2)))
