"""A limit cycle: the normal form of a Hopf bifurcation, whose solution is known in closed form.

    dx/dt = (growth - r^2) x - 2 pi y      dy/dt = (growth - r^2) y + 2 pi x      r^2 = x^2 + y^2

A turn takes one unit of time. For growth above 0 all paths but that from the unstable focus at 0 come to the circle
of radius sqrt(growth), and

    r(t)^2 = growth / (1 + (growth / r(0)^2 - 1) exp(-2 growth t))

Trials begin inside and outside the circle and show the way to it. (Strogatz, Nonlinear Dynamics and Chaos, 8.2.)
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate import spikes
from undertow.data.simulate.law import Law, matrix, rows

TURN = 2 * np.pi


def law(*, growth: float = 0.5) -> Law:
    """The normal form, with the real part of its eigenvalues at 0 (1 / unit of time)."""
    spikes.check_positive(growth=growth)

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(state, -1, 0)
        left = growth - x * x - y * y
        return rows(left * x - TURN * y, left * y + TURN * x)

    def jacobian(state: np.ndarray) -> np.ndarray:
        x, y = np.moveaxis(state, -1, 0)
        left = growth - x * x - y * y
        return matrix((left - 2 * x * x, -2 * x * y - TURN), (-2 * x * y + TURN, left - 2 * y * y))

    def start(count: int, generator: np.random.Generator) -> np.ndarray:
        radius = np.sqrt(growth) * generator.uniform(0.1, 2.0, count)
        angle = generator.uniform(0, TURN, count)
        return rows(radius * np.cos(angle), radius * np.sin(angle))

    return Law(velocity, jacobian, np.zeros((1, 2)), 1.0, start)
