"""The Arneodo system: one unstable focus and two saddles on a line, with homoclinic chaos around them.

    dx/dt = y      dy/dt = z      dz/dt = -a x - b y - c z + d x^3

Fixed points lie where y = z = 0 and x is 0 or +-sqrt(a / d). The parameters are those of Arneodo, Coullet & Tresser
1980 in the collection of Gilpin 2021, whose period is 3.1641.
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate.law import Law, around, matrix, rows

PERIOD = 3.1641


def law(*, a: float = -5.5, b: float = 4.5, c: float = 1.0, d: float = -1.0) -> Law:
    """The Arneodo system with its parameters by their published names."""

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(state, -1, 0)
        return rows(y, z, (d * x * x - a) * x - b * y - c * z)

    def jacobian(state: np.ndarray) -> np.ndarray:
        slope = 3 * d * state[..., 0] ** 2 - a
        return matrix((0, 1, 0), (0, 0, 1), (slope, -b, -c))

    away = [np.sqrt(a / d)] if a * d > 0 else []
    points = [[x, 0.0, 0.0] for x in (0.0, *away, *(-x for x in away))]
    return Law(velocity, jacobian, np.array(points), PERIOD, around((0.5, 0.0, 0.0), 0.3), settling=20)
