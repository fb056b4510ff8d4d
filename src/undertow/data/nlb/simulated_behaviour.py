"""Behaviour that follows the latents of a simulated population: velocities are read from them `lag` ms later, with noise.

Every signal has a standard deviation of about one at 5 ms; `layouts.SeriesLayout.scale` gives it its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from undertow.data.nlb.simulated_population import STEP

_NOISE = 0.25  # standard deviation, relative to the velocity
_NOISE_LASTS = 40.0  # ms
_RETURN = 1500.0  # ms in which positions drift back to the centre
_MOVEMENT = (1, 3)  # latents whose values are the velocity along x and y


@dataclass(frozen=True)
class Behaviour:
    """What signals are made of.

    Attributes:
        latents: (step, latent) at 5 ms, shifted by the lag.
        velocity: (step, 2).
        target: (step, 2), where the last movement was to lead.
        seed: of mixtures and noise.
    """

    latents: np.ndarray
    velocity: np.ndarray
    target: np.ndarray
    seed: int

    def signal(self, source: str, channels: int) -> np.ndarray:
        """(step, channel) float32 of a source."""
        return SOURCES[source](self, channels).astype(np.float32)


def behaviour(latents: np.ndarray, target: np.ndarray, lag: int, generator: np.random.Generator) -> Behaviour:
    """The behaviour that goes with latents (step, latent) at 5 ms, `lag` ms after them."""
    shifted = np.roll(latents, lag // STEP, axis=0)
    velocity = shifted[:, _MOVEMENT] + _NOISE * _smooth_noise((len(latents), 2), generator)
    return Behaviour(shifted, velocity.astype(np.float32), target, int(generator.integers(2**31)))


def _smooth_noise(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """White noise through a low pass, of unit variance."""
    keep = np.exp(-STEP / _NOISE_LASTS)
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], generator.standard_normal(shape), axis=0)


def _velocity(parts: Behaviour, _channels: int) -> np.ndarray:
    return parts.velocity


def _position(parts: Behaviour, channels: int) -> np.ndarray:
    position = _drifting(parts.velocity)
    depth = 0.1 * position.sum(axis=1, keepdims=True)
    return np.concatenate([position, depth], axis=1)[:, :channels]


def _cursor(parts: Behaviour, channels: int) -> np.ndarray:
    return 1.02 * _position(parts, channels) + 0.1


def _gaze(parts: Behaviour, _channels: int) -> np.ndarray:
    looking = lfilter([0.08], [1, -0.92], parts.target, axis=0)
    return looking + 0.2 * _smooth_noise(looking.shape, np.random.default_rng([parts.seed, 1]))


def _target(parts: Behaviour, _channels: int) -> np.ndarray:
    return parts.target


def _turning(parts: Behaviour, channels: int) -> np.ndarray:
    latents = parts.latents.shape[1]
    mixture = np.random.default_rng([parts.seed, channels]).standard_normal((latents, channels))
    return parts.latents @ (mixture / np.sqrt(latents)).astype(np.float32)


def _swing(parts: Behaviour, channels: int) -> np.ndarray:
    return _drifting(_turning(parts, channels))


def _drifting(velocity: np.ndarray) -> np.ndarray:
    """The integral of velocities (step, channel) with a slow return to 0, of unit variance."""
    keep = np.exp(-STEP / _RETURN)
    position = lfilter([1.0], [1, -keep], velocity - velocity.mean(axis=0), axis=0)
    return position / position.std(axis=0)


SOURCES: Mapping[str, Callable[[Behaviour, int], np.ndarray]] = {
    "velocity": _velocity,
    "position": _position,
    "cursor": _cursor,
    "gaze": _gaze,
    "target": _target,
    "turning": _turning,
    "swing": _swing,
}
"""By the name in `layouts.SeriesLayout.source`; each gives (step, channel) for a number of channels."""
