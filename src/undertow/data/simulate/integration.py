"""Paths of a law: the classical Runge-Kutta rule of fourth order, for all trials at once.

A path begins at a drawn start. Systems that settle begin on their attractor: at random moments of long paths from
other starts, so that no two trials begin at the same place.
"""

from __future__ import annotations

import math

import numpy as np

from undertow.data.simulate.law import Law

STEPS_PER_POINT, STEPS_PER_PERIOD = 20, 700  # at least, while trials are recorded
SETTLING_STEPS = 200  # a period, before that
POINTS = 50  # a period, of the long paths from which starts are taken
LONG_PATHS = 200
SEARCHED = 10  # periods of the long paths, after they have settled, from which starts are taken


def path(law: Law, start: np.ndarray, inputs: np.ndarray, *, bin_time: float, steps: int) -> np.ndarray:
    """States at the end of each bin.

    Args:
        law: how states move.
        start: (trial, latent) states before the first bin.
        inputs: (trial, time, input), each constant through its bin; without inputs of size zero.
        bin_time: units of the system's time in a bin.
        steps: Runge-Kutta steps in a bin, all equal.

    Returns:
        (trial, time, latent). States that run away are infinite or NaN.
    """
    states = np.empty((*inputs.shape[:2], start.shape[1]))
    state = np.asarray(start, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        for index in range(inputs.shape[1]):
            for _ in range(steps):
                state = _stepped(law, state, inputs[:, index], bin_time / steps)
            states[:, index] = state
    return states


def steps_in_bin(points_per_period: float) -> int:
    """How many steps a bin takes when trials are recorded."""
    return max(STEPS_PER_POINT, math.ceil(STEPS_PER_PERIOD / points_per_period))


def starts(law: Law, count: int, generator: np.random.Generator) -> np.ndarray:
    """Where `count` trials begin, (trial, latent): as drawn, or for a system that settles on its attractor."""
    if not law.settling:
        return law.start(count, generator)
    points = round((law.settling + SEARCHED) * POINTS)
    begin, still = law.start(LONG_PATHS, generator), np.empty((LONG_PATHS, points, 0))
    long = path(law, begin, still, bin_time=law.period / POINTS, steps=SETTLING_STEPS // POINTS)
    candidates = long[:, round(law.settling * POINTS) :].reshape(-1, long.shape[2])
    return candidates[generator.choice(len(candidates), count, replace=count > len(candidates))]


def _stepped(law: Law, state: np.ndarray, inputs: np.ndarray, step: float) -> np.ndarray:
    first = _moved(law, state, inputs)
    second = _moved(law, state + step / 2 * first, inputs)
    third = _moved(law, state + step / 2 * second, inputs)
    fourth = _moved(law, state + step * third, inputs)
    return state + step / 6 * (first + 2 * second + 2 * third + fourth)


def _moved(law: Law, state: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    pushed = 0.0 if law.push is None else law.push(state, inputs)
    return law.velocity(state) + pushed
