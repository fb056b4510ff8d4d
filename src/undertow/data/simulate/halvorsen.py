"""The Halvorsen system: three arms of chaos, each the next one turned by a third about the diagonal.

    dx/dt = -a x - b (y + z) - y^2      and so on with x -> y -> z -> x

Its fixed points lie on the diagonal, at 0 and at -(a + 2 b). The parameters are those of the collection of
Gilpin 2021 (after Sprott 2010), whose period is 1.4889.
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate.law import Law, around, matrix, rows

PERIOD = 1.4889


def law(*, a: float = 1.4, b: float = 4.0) -> Law:
    """The Halvorsen system with its parameters by their published names."""

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(state, -1, 0)
        return rows(
            -a * x - b * (y + z) - y * y,
            -a * y - b * (z + x) - z * z,
            -a * z - b * (x + y) - x * x,
        )

    def jacobian(state: np.ndarray) -> np.ndarray:
        x, y, z = (-b - 2 * component for component in np.moveaxis(state, -1, 0))
        return matrix((-a, y, -b), (-b, -a, z), (x, -b, -a))

    points = np.array([[0.0] * 3, [-(a + 2 * b)] * 3])
    return Law(velocity, jacobian, points, PERIOD, around((-3.0, 0.0, 0.0), 1.0), settling=20)
