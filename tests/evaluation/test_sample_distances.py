"""Distances between sets of samples against SciPy, plain sums and processes that are known."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from undertow.evaluation.sample_distances import (
    memorisation,
    mmd_squared,
    nearest_distances,
    sliced_wasserstein,
)
from undertow.vocabulary import UndertowError


def normal(seed, samples, dimensions=3):
    return np.random.default_rng(seed).standard_normal((samples, dimensions))


@pytest.mark.parametrize("sizes", [(50, 50), (37, 60), (60, 7)])
def test_on_a_line_it_is_scipys_distance(sizes):
    one, other = normal(0, sizes[0], 1), 2 * normal(1, sizes[1], 1) + 0.3
    expected = wasserstein_distance(one[:, 0], other[:, 0])
    assert sliced_wasserstein(one, other, projections=4) == pytest.approx(expected)


def test_a_shift_is_seen_by_the_directions_that_look_along_it():
    one = normal(0, 200, 2)
    shifted = one + np.array([3.0, 0.0])
    assert sliced_wasserstein(one, shifted, projections=4000) == pytest.approx(3 * 2 / np.pi, rel=0.02)
    assert sliced_wasserstein(one, one) == 0


def test_mmd_is_the_plain_sum():
    one, other = normal(0, 6), normal(1, 5) + 1
    kernel = lambda x, y: np.exp(-((x - y) ** 2).sum() / (2 * 1.5**2))  # noqa: E731
    expected = np.mean([kernel(one[i], one[j]) for i in range(6) for j in range(6) if i != j])
    expected += np.mean([kernel(other[i], other[j]) for i in range(5) for j in range(5) if i != j])
    expected -= 2 * np.mean([kernel(x, y) for x in one for y in other])
    assert mmd_squared(one, other, width=1.5) == pytest.approx(expected)


@pytest.mark.parametrize("dimensions", [2, 8, 32, 256])
def test_mmd_tells_collapsed_from_matched_samples(dimensions):
    real = normal(0, 200, dimensions)
    matched = [mmd_squared(normal(seed, 200, dimensions), real) for seed in range(1, 11)]
    assert abs(np.mean(matched)) < 0.002
    assert mmd_squared(0.01 * normal(1, 200, dimensions), real) > 20 * np.max(np.abs(matched))


def test_nearest_distances_are_those_of_all_pairs():
    one, other = normal(0, 700, 4), normal(1, 90, 4)
    expected = np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)).min(axis=1)
    np.testing.assert_allclose(nearest_distances(one, other), expected)


def test_copies_are_nearer_to_training_than_what_was_held_out():
    training, held_out = normal(0, 300), normal(1, 300)
    honest = memorisation(normal(2, 300), held_out, training)
    assert honest.ratio == pytest.approx(1, abs=0.15) and honest.copied < 0.04
    copies = memorisation(training[:100] + 1e-3, held_out, training)
    assert copies.ratio < 0.05 and copies.copied > 0.9


def test_what_has_no_distance_is_refused():
    with pytest.raises(UndertowError, match=r"\(5, 3\) and \(5, 2\)"):
        sliced_wasserstein(normal(0, 5), normal(0, 5, 2))
    with pytest.raises(UndertowError, match="1 samples hold values that are no finite"):
        nearest_distances(np.where(np.eye(3) > 2, 0, np.diag([np.nan, 1, 1])), normal(0, 5))
    with pytest.raises(UndertowError, match="1 and 5 samples"):
        mmd_squared(normal(0, 1), normal(0, 5))
