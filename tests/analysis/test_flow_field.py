"""Slices of linear flows, whose arrows are known everywhere."""

import numpy as np
import pytest
from known_flows import linear_dynamics
from sklearn.decomposition import PCA

from undertow.analysis.flow_field import flow_slice, principal_plane
from undertow.vocabulary import UndertowError

MATRIX = np.array([[0.9, -0.1, 0.2], [0.1, 0.9, 0.0], [0.3, 0.0, 0.5]])


@pytest.fixture(scope="module")
def data():
    return np.random.default_rng(0).normal(size=(500, 3)) @ np.diag([3.0, 2.0, 0.5]) + [1.0, 0.0, -2.0]


def test_the_plane_is_that_of_the_principal_axes(data):
    plane = principal_plane(data)
    axes = PCA(2).fit(data).components_
    np.testing.assert_allclose(np.abs((plane * axes).sum(axis=1)), 1, atol=1e-6)
    assert (np.take_along_axis(plane, np.abs(plane).argmax(axis=1)[:, None], axis=1) > 0).all()


def test_arrows_are_the_velocity_in_the_plane_and_speed_is_all_of_it(data):
    flow = flow_slice(linear_dynamics(MATRIX), data, points=5)
    states = flow.mean + flow.grid @ flow.plane
    velocity = states @ MATRIX.T - states
    np.testing.assert_allclose(flow.velocities, velocity @ flow.plane.T, atol=1e-4)
    np.testing.assert_allclose(flow.speed, np.linalg.norm(velocity, axis=-1), atol=1e-4)
    assert flow.height == 0


def test_the_grid_covers_the_data(data):
    flow = flow_slice(linear_dynamics(MATRIX), data, points=5)
    drawn = (data - flow.mean) @ flow.plane.T
    assert (flow.grid[0, 0] < drawn.min(axis=0)).all()
    assert (flow.grid[-1, -1] > drawn.max(axis=0)).all()
    assert flow.grid[0, 1, 0] > flow.grid[0, 0, 0]
    assert flow.grid[0, 1, 1] == flow.grid[0, 0, 1]


def test_through_a_point_of_a_chosen_plane(data):
    plane, point = np.eye(3)[:2], np.array([0.5, 0.5, 4.0])
    flow = flow_slice(linear_dynamics(MATRIX), data, plane, through=point, inputs=np.ones(3), points=5)
    assert flow.height == pytest.approx(4 - data[:, 2].mean())
    states = np.append(flow.mean[:2] + flow.grid[1, 2], 4.0)
    np.testing.assert_allclose(flow.velocities[1, 2], (MATRIX @ states + 1 - states)[:2], atol=1e-4)


def test_what_does_not_fit_is_said(data):
    with pytest.raises(UndertowError, match=r"two orthonormal axes, \(2, 3\)"):
        flow_slice(linear_dynamics(MATRIX), data, 2 * np.eye(3)[:2])
    with pytest.raises(UndertowError, match="at least two latents"):
        principal_plane(data[:, :1])
