"""Lorenz, Rossler and linear systems as laws in coordinates of their own, with what is known of them in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from undertow.models.base import LatentDynamics

BETA = 8 / 3
CORNER = np.sqrt(BETA * 27)


class Flow(NamedTuple):
    """A flow sampled every `bin_width` time units: z = x `mixing` + `offset` are the coordinates of its law."""

    dynamics: LatentDynamics
    mixing: np.ndarray
    offset: np.ndarray
    true: np.ndarray
    fixed_points: np.ndarray
    jacobians: np.ndarray
    bin_width: float

    @property
    def data(self) -> np.ndarray:
        """(trial, time, 3) in the coordinates of the law."""
        return self.true @ self.mixing + self.offset


def lorenz_velocity(state, stack=jnp.stack):
    x, y, z = state
    return stack([10 * (y - x), x * (28 - z) - y, x * y - BETA * z])


def rossler_velocity(state, stack=jnp.stack):
    x, y, z = state
    return stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)])


def lorenz_flow(bin_width=0.02, steps=4):
    corners = [[0, 0, 0], [CORNER, CORNER, 27], [-CORNER, -CORNER, 27]]
    jacobians = [[[-10, 10, 0], [28 - z, -1, -x], [y, x, -BETA]] for x, y, z in corners]
    return _flow(lorenz_velocity, np.array([1.0, 1.0, 20.0]), corners, jacobians, bin_width, steps)


def rossler_flow(bin_width=0.15, steps=6):
    root = np.sqrt(5.7**2 - 4 * 0.2 * 0.2)
    across = [(5.7 - root) / 2, (5.7 + root) / 2]
    points = [[x, -x / 0.2, x / 0.2] for x in across]
    jacobians = [[[0, -1, -1], [1, 0.2, 0], [z, 0, x - 5.7]] for x, _, z in points]
    return _flow(rossler_velocity, np.array([1.0, 1.0, 0.0]), points, jacobians, bin_width, steps)


def linear_dynamics(matrix, offset=None):
    """z' = matrix z + offset + the first entries' inputs."""
    matrix = jnp.asarray(matrix, jnp.float32)
    offset = jnp.zeros(len(matrix)) if offset is None else jnp.asarray(offset, jnp.float32)
    return LatentDynamics(lambda state, inputs: matrix @ state + offset + inputs, len(matrix), len(matrix))


def _flow(velocity, start, points, jacobians, bin_width, steps):
    generator = np.random.default_rng(4)
    mixing, offset = generator.normal(size=(3, 3)) + np.eye(3), 3 * generator.normal(size=3)
    starts = (start + generator.normal(size=(12, 3))).T
    true = np.moveaxis(_trajectories(velocity, starts, bin_width, steps, bins=150, before=400), 2, 0)
    inverse = jnp.asarray(np.linalg.inv(mixing), jnp.float32)
    there, foot = jnp.asarray(mixing, jnp.float32), jnp.asarray(offset, jnp.float32)

    def step(state, inputs):
        after = _runge_kutta(velocity, (state - foot) @ inverse, bin_width, steps)
        return after @ there + foot + jnp.sum(inputs)

    return Flow(
        dynamics=LatentDynamics(step, 3, 1),
        mixing=mixing,
        offset=offset,
        true=true,
        fixed_points=np.array(points, float),
        jacobians=np.array(jacobians, float),
        bin_width=bin_width,
    )


def _runge_kutta(velocity, state, bin_width, steps):
    step = bin_width / steps

    def advance(_, now):
        first = velocity(now)
        second = velocity(now + step / 2 * first)
        third = velocity(now + step / 2 * second)
        fourth = velocity(now + step * third)
        return now + step / 6 * (first + 2 * second + 2 * third + fourth)

    return jax.lax.fori_loop(0, steps, advance, state)


def _trajectories(velocity, starts, bin_width, steps, *, bins, before):
    """States (time, 3, trial) in float64, by the same rule in plain NumPy."""
    step, state, states = bin_width / steps, starts, []
    for _ in range(before + bins):
        for _ in range(steps):
            first = velocity(state, np.stack)
            second = velocity(state + step / 2 * first, np.stack)
            third = velocity(state + step / 2 * second, np.stack)
            fourth = velocity(state + step * third, np.stack)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
        states.append(state)
    return np.stack(states[before:])
