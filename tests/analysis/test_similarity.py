"""Systems that are alike in other coordinates, and systems that are not; optima against brute force over angles."""

import numpy as np
import pytest

from undertow.analysis import similarity
from undertow.analysis.similarity import dynamical_similarity
from undertow.vocabulary import UndertowError

FEW = {"delays": 10, "rank": 12, "starts": 1}


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


@pytest.mark.parametrize("reflected", [False, True])
def test_coordinates_do_not_matter(lorenz, reflected):
    turn = orthogonal(3) * ([1, 1, -1] if reflected else [1, 1, 1])
    assert dynamical_similarity(lorenz.true, 4 * lorenz.true @ turn + 7, **FEW) < 1e-3
    wider = lorenz.true @ orthogonal(8)[:3]
    assert dynamical_similarity(lorenz.true, wider, **FEW) < 1e-3
    assert dynamical_similarity(lorenz.true, lorenz.data, **FEW) < 0.05
    assert dynamical_similarity(lorenz.true, wider, **FEW, distance="frobenius") < 1e-2


def test_other_dynamics_are_further_away_than_other_trajectories(lorenz, rossler):
    same = dynamical_similarity(lorenz.true[:6], lorenz.true[6:], **FEW)
    other = dynamical_similarity(lorenz.true, rossler.true, **FEW)
    assert other > 3 * same
    assert other == pytest.approx(dynamical_similarity(rossler.true, lorenz.true, **FEW), abs=1e-6)
    assert other == dynamical_similarity(lorenz.true, rossler.true, **FEW)


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_against_all_planar_turns(seed):
    """For 2 x 2 maps every orthogonal matrix can be tried."""
    first, second = np.random.default_rng(seed).normal(size=(2, 2, 2))
    angles = np.linspace(0, 2 * np.pi, 2000)
    turns = np.moveaxis(
        np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]), -1, 0
    )
    every = np.concatenate([turns, turns * [1, -1]])
    products = np.einsum("ij,nik,kl,njl->n", first, every, second, every)
    found = similarity._largest_product(first, second, 4, np.random.default_rng(0))
    assert found == pytest.approx(products.max(), abs=1e-4)


def test_the_map_is_that_of_a_linear_system():
    """Without delays, a noisy linear system's map has its eigenvalues."""
    generator = np.random.default_rng(0)
    matrix = np.array([[0.9, -0.3], [0.3, 0.9]])
    states = [generator.normal(size=(40, 2))]
    for _ in range(300):
        states.append(states[-1] @ matrix.T + 0.3 * generator.normal(size=(40, 2)))
    fitted = similarity._linear_map(np.stack(states, axis=1), 1, 2)
    np.testing.assert_allclose(
        np.sort_complex(np.linalg.eigvals(fitted)), np.sort_complex(np.linalg.eigvals(matrix)), atol=0.02
    )


def test_what_can_not_be_compared_is_said(lorenz):
    with pytest.raises(UndertowError, match="more bins than the 150 delays"):
        dynamical_similarity(lorenz.true, lorenz.true, delays=150)
    with pytest.raises(UndertowError, match="do not move"):
        dynamical_similarity(np.ones((3, 30, 2)), lorenz.true)
    with pytest.raises(UndertowError, match="The states of 0 trials"):
        dynamical_similarity(np.full((3, 30, 2), np.nan), lorenz.true)
