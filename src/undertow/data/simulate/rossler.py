"""The Rossler system: a spiral that is folded back once a turn.

    dx/dt = -y - z      dy/dt = x + a y      dz/dt = b + z (x - c)

Fixed points lie at (a, -1, 1) q with q = (c +- sqrt(c^2 - 4 a b)) / (2 a): one in the middle of the spiral, one far
outside. The parameters are those of Rossler 1976 in the collection of Gilpin 2021, whose period is 5.9086.
"""

from __future__ import annotations

import numpy as np

from undertow.data.simulate.law import Law, around, matrix, rows

PERIOD = 5.9086


def law(*, a: float = 0.2, b: float = 0.2, c: float = 5.7) -> Law:
    """The Rossler system with its parameters by their published names."""

    def velocity(state: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(state, -1, 0)
        return rows(-y - z, x + a * y, b + z * (x - c))

    def jacobian(state: np.ndarray) -> np.ndarray:
        x, _, z = np.moveaxis(state, -1, 0)
        return matrix((0, -1, -1), (1, a, 0), (z, 0, x - c))

    start = around((3.0, 3.0, 0.1), 1.5)
    return Law(velocity, jacobian, _fixed_points(a, b, c), PERIOD, start, settling=20)


def _fixed_points(a: float, b: float, c: float) -> np.ndarray:
    """Where the system stands still: two points, or one, or none."""
    inside = c * c - 4 * a * b
    if inside < 0 or a == 0:
        return np.array([[0.0, -b / c, b / c]] if a == 0 and c != 0 else np.empty((0, 3)))
    roots = {(c - np.sqrt(inside)) / (2 * a), (c + np.sqrt(inside)) / (2 * a)}
    return np.array([[a * root, -root, root] for root in sorted(roots)])
