"""A ring attractor in its reduced form: a direction that stays where it is until a known input turns it.

    dx/dt = (1 - r^2) x / tau - u y      dy/dt = (1 - r^2) y / tau + u x      r^2 = x^2 + y^2

Every point of the circle r = 1 is fixed where the input u (radians / unit of time) is 0; along it nothing pulls, and
paths come back to it with the rate 2 / tau. The known input is the angular velocity: an Ornstein-Uhlenbeck process of
standard deviation `turning`, which forgets within one unit of time. (x, y) are the first Fourier components of the
bump of activity of a ring network, as in Zhang 1996 and Skaggs et al. 1995.
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate import spikes
from undertow.data.simulate.law import Law, matrix, rows

POINTS = 32  # of the circle, listed as fixed points


def law(*, tau: float = 0.5, turning: float = 2.0) -> Law:
    """The ring with the time constant of its radius (units of time) and the spread of its input (radians a unit)."""
    spikes.check_positive(tau=tau, turning=turning)

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(state, -1, 0)
        left = (1 - x * x - y * y) / tau
        return rows(left * x, left * y)

    def jacobian(state: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(state, -1, 0)
        left = 1 - x * x - y * y
        return matrix((left - 2 * x * x, -2 * x * y), (-2 * x * y, left - 2 * y * y)) / tau

    def drive(shape: tuple[int, int], bin_time: float, generator: np.random.Generator) -> np.ndarray:
        draws = generator.standard_normal(shape)
        kept = np.exp(-bin_time)
        for index in range(1, shape[1]):
            draws[:, index] = kept * draws[:, index - 1] + np.sqrt(1 - kept**2) * draws[:, index]
        return turning * draws[..., None]

    points = np.concatenate([np.zeros((1, 2)), _on_circle(np.arange(POINTS) * 2 * np.pi / POINTS)])
    return Law(velocity, jacobian, points, 1.0, _start, push=_turned, drive=drive)


def _turned(state: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    return inputs * rows(-state[..., 1], state[..., 0])


def _start(count: int, generator: np.random.Generator) -> np.ndarray:
    return _on_circle(generator.uniform(0, 2 * np.pi, count)) * generator.uniform(0.7, 1.3, (count, 1))


def _on_circle(angle: np.ndarray) -> np.ndarray:
    return rows(np.cos(angle), np.sin(angle))
