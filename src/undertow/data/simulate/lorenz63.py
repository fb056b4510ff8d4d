"""The Lorenz system of 1963, sampled by points per period: two wings around two unstable foci, a saddle between.

    dx/dt = sigma (y - x)      dy/dt = x (rho - z) - y      dz/dt = x y - beta z

Fixed points lie at the origin and, for rho above 1, at (+-s, +-s, rho - 1) with s = sqrt(beta (rho - 1)). The
parameters are those of Lorenz 1963 as the collection of Gilpin 2021 has them, whose period is 1.5008. (`lorenz` is
the same equation in the published demonstration of LFADS: other steps, other rates, trials of conditions.)
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate.law import Law, around, matrix, rows

PERIOD = 1.5008


def law(*, sigma: float = 10.0, rho: float = 28.0, beta: float = 2.667) -> Law:
    """The Lorenz system with its parameters by their published names."""

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(state, -1, 0)
        return rows(sigma * (y - x), x * (rho - z) - y, x * y - beta * z)

    def jacobian(state: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(state, -1, 0)
        return matrix((-sigma, sigma, 0), (rho - z, -1, -x), (y, x, -beta))

    away = [np.sqrt(beta * (rho - 1))] if beta * (rho - 1) > 0 else []
    wings = [[side * s, side * s, rho - 1] for s in away for side in (1, -1)]
    points = np.array([[0.0, 0.0, 0.0], *wings])
    return Law(velocity, jacobian, points, PERIOD, around((0.0, 0.0, rho - 3), 5.0), settling=20)
