"""Reaches of a hand in the plane: independent factors, and the smooth path that follows from them.

    p(t) = start + s D u + 4 s (1 - s) c n         s = 10 tau^3 - 15 tau^4 + 6 tau^5,   tau = t / duration

u points at the reach angle and n a quarter turn to the left of it; D is the distance, c the bow of the path. Along u this is
the movement of least jerk (Flash and Hogan 1985), with its greatest speed 1.875 D / duration in the middle. The bow is a
parabola that leaves the straight line by c there and by nothing at both ends, whatever the speed. While c is within a
quarter of D, the bow leaves the greatest speed as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PEAK = 1.875  # the greatest speed of a movement of least jerk, in distances a duration


class Ranges(NamedTuple):
    """Where the factors are drawn from, uniformly and each on its own.

    Attributes:
        start: cm, the lowest and highest x, and y, of the hand before the reach.
        distance: cm from start to target.
        peak_speed: cm/s.
        curvature: cm, the bow to the left of the straight line.
    """

    start: Sequence[float] = (-4.0, 4.0)
    distance: Sequence[float] = (6.0, 12.0)
    peak_speed: Sequence[float] = (35.0, 55.0)
    curvature: Sequence[float] = (-1.5, 1.5)


class Reaches(NamedTuple):
    """What is to be known about the reach of each trial.

    Attributes:
        start: (trial, 2) cm.
        angle: (trial,) radians from -pi to pi, counter-clockwise from the right.
        distance: (trial,) cm.
        peak_speed: (trial,) cm/s.
        curvature: (trial,) cm, positive to the left.
    """

    start: np.ndarray
    angle: np.ndarray
    distance: np.ndarray
    peak_speed: np.ndarray
    curvature: np.ndarray

    @property
    def duration(self) -> np.ndarray:
        """(trial,) seconds from the onset to the end of the movement."""
        return PEAK * self.distance / self.peak_speed

    @property
    def displacement(self) -> np.ndarray:
        """(trial, 2) cm from start to target."""
        return self.distance[:, None] * _direction(self.angle)

    @property
    def target(self) -> np.ndarray:
        """(trial, 2) cm."""
        return self.start + self.displacement

    def progress(self, time: np.ndarray) -> np.ndarray:
        """s at `time` (time,) seconds from the onset, (trial, time): 0 before the movement, 1 after it."""
        return minimum_jerk(time / self.duration[:, None])

    def position(self, time: np.ndarray) -> np.ndarray:
        """The hand at `time` (time,), (trial, time, 2) cm."""
        done = self.progress(time)[..., None]
        return self.start[:, None] + done * self.displacement[:, None] + 4 * done * (1 - done) * self._bow

    def velocity(self, time: np.ndarray) -> np.ndarray:
        """The hand's velocity at `time` (time,), (trial, time, 2) cm/s."""
        done = self.progress(time)[..., None]
        rate = (minimum_jerk_speed(time / self.duration[:, None]) / self.duration[:, None])[..., None]
        return rate * (self.displacement[:, None] + 4 * (1 - 2 * done) * self._bow)

    @property
    def _bow(self) -> np.ndarray:
        return (self.curvature[:, None] * _direction(self.angle + np.pi / 2))[:, None]


def drawn(angle: np.ndarray, ranges: Ranges, generator: np.random.Generator) -> Reaches:
    """Reaches at the angles (trial,), in radians, whose other factors are drawn independently."""
    trials = len(angle)
    draw = {name: generator.uniform(*ranges.start, trials) for name in ("x", "y")}
    return Reaches(
        start=np.stack([draw["x"], draw["y"]], axis=1),
        angle=(angle + np.pi) % (2 * np.pi) - np.pi,
        distance=generator.uniform(*ranges.distance, trials),
        peak_speed=generator.uniform(*ranges.peak_speed, trials),
        curvature=generator.uniform(*ranges.curvature, trials),
    )


def minimum_jerk(tau: np.ndarray) -> np.ndarray:
    """Progress from 0 to 1 as tau goes from 0 to 1, at rest before and after."""
    tau = np.clip(tau, 0, 1)
    return tau**3 * (10 - 15 * tau + 6 * tau**2)


def minimum_jerk_speed(tau: np.ndarray) -> np.ndarray:
    """The derivative of `minimum_jerk`, at most `PEAK`."""
    tau = np.clip(tau, 0, 1)
    return 30 * tau**2 * (1 - tau) ** 2


def _direction(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
