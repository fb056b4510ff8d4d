"""Affine maps with a known answer, and Jacobians that keep the true eigenvalues whatever the coordinates."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from undertow.analysis.alignment import align, placed_nearby
from undertow.vocabulary import UndertowError

JACOBIAN = np.array([[0.9, -0.3, 0.0], [0.3, 0.9, 0.1], [0.0, 0.0, 0.5]])


def draw(latents, seed=0, rows=400):
    return np.random.default_rng(seed).normal(size=(rows, latents))


def eigenvalues(matrix):
    return np.sort_complex(np.linalg.eigvals(matrix))


def test_the_map_is_that_of_least_squares():
    inferred = draw(4)
    true = inferred @ draw(3, seed=1, rows=4) + draw(3, seed=2) + 5
    alignment = align(inferred, true)
    expected = LinearRegression().fit(inferred, true)
    np.testing.assert_allclose(alignment(inferred), expected.predict(inferred), atol=1e-9)
    unexplained = (true - expected.predict(inferred)).var(axis=0).sum() / true.var(axis=0).sum()
    assert alignment.r2 == pytest.approx(1 - unexplained)


def test_mixed_coordinates_keep_the_eigenvalues():
    """z = x M + c moves by J_z = (M^-1 J' M)'."""
    true, mixing = draw(3), draw(3, seed=1, rows=3)
    alignment = align(true @ mixing + 2, true)
    inferred_jacobian = (np.linalg.inv(mixing) @ JACOBIAN.T @ mixing).T
    np.testing.assert_allclose(alignment.jacobian(inferred_jacobian), JACOBIAN, atol=1e-9)


def test_dimensions_of_their_own_and_dimensions_that_follow():
    """Five latents: the true three, one that is noise, and one that is the sum of two of them and acts back on the first."""
    true = draw(3)
    inferred = np.column_stack([true, draw(1, seed=3), true[:, :1] + true[:, 1:2]])
    step = np.zeros((5, 5))
    step[:3, :3] = JACOBIAN
    step[3, 3] = 0.7
    step[0, 4] = 0.2
    step[4] = step[0] + step[1]
    expected = JACOBIAN + np.array([[0.2, 0.2, 0], [0, 0, 0], [0, 0, 0]])
    found = align(inferred, true).jacobian(step)
    np.testing.assert_allclose(eigenvalues(found), eigenvalues(expected), atol=0.02)


def test_fewer_latents_know_part_of_it():
    """Two of three dimensions: their eigenvalues, and zero."""
    true = draw(3)
    found = align(true[:, :2], true).jacobian(JACOBIAN[:2, :2])
    expected = np.append(np.linalg.eigvals(JACOBIAN[:2, :2]), 0)
    np.testing.assert_allclose(eigenvalues(found), np.sort_complex(expected), atol=1e-9)


def test_unknown_states_are_left_out():
    inferred, true = draw(3), draw(3)
    inferred[5], true[7, 1] = np.nan, np.nan
    assert align(inferred, true).r2 == pytest.approx(1)


def test_what_does_not_fit_is_said():
    with pytest.raises(UndertowError, match="with the same states"):
        align(draw(3), draw(3, rows=10))
    with pytest.raises(UndertowError, match="Only 3 states are known on both sides"):
        align(draw(3, rows=3), draw(3, rows=3))


def test_a_bent_space_is_placed_by_the_states_nearby():
    true = np.random.default_rng(0).normal(size=(4000, 2))
    bent = true @ np.array([[1.0, 0.4], [-0.3, 0.8]]) + 0.15 * true**2
    places = np.array([[0.0, 0.0], [-0.3, 0.95]])  # images of (0, 0) and (0, 1)
    expected = np.array([[0.0, 0.0], [0.0, 1.0]])
    everywhere = np.abs(align(bent, true)(places) - expected).max()
    nearby = np.abs(placed_nearby(bent, true, places) - expected).max()
    assert nearby < 0.03 < 0.1 < everywhere
    assert placed_nearby(bent, true, np.empty((0, 2))).shape == (0, 2)
