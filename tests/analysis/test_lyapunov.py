"""Exponents of Lorenz as published, and of linear systems in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest
from known_flows import linear_dynamics

from undertow.analysis.lyapunov import lyapunov_spectrum
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError


def test_lorenz_as_published(lorenz):
    """0.906, 0 and -14.57 (Sprott 2003); their sum is the flow's divergence, -13.667, exactly."""
    exponents = lyapunov_spectrum(
        lorenz.dynamics, lorenz.data[:, 0], bins=3000, bin_width=lorenz.bin_width, warm_up=200
    )
    np.testing.assert_allclose(exponents, [0.906, 0, -14.57], atol=0.05)
    assert exponents.sum() == pytest.approx(-41 / 3, abs=0.01)


def test_a_linear_system_has_the_logarithms_of_its_moduli():
    matrix = np.array([[0.8, -0.3, 0.2], [0.3, 0.8, 0.1], [0.0, 0.0, 0.4]])
    exponents = lyapunov_spectrum(
        linear_dynamics(matrix), np.zeros((2, 3)), bins=300, bin_width=0.02, warm_up=50
    )
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))[::-1]
    np.testing.assert_allclose(exponents, np.log(moduli) / 0.02, rtol=0.01)


def test_a_direction_that_is_forgotten_at_once_has_a_finite_exponent():
    exponents = lyapunov_spectrum(
        linear_dynamics(np.diag([0.5, 0.0])), np.zeros((1, 2)), bins=10, bin_width=1.0
    )
    assert exponents[0] == pytest.approx(np.log(0.5), rel=1e-5)
    assert np.isfinite(exponents[1])


def test_a_trajectory_that_is_lost_is_said():
    explosion = LatentDynamics(lambda state, _: jnp.exp(state), 1, 0)
    with pytest.raises(UndertowError, match="2 of 2 trajectories ran to infinity within 22 bins"):
        lyapunov_spectrum(explosion, np.ones((2, 1)), bins=20, bin_width=0.1)
