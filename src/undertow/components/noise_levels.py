"""How much noise there is at each level of a diffusion, and which levels a sampler visits.

Everywhere in this house a noised sample is (Ho et al. 2020, arXiv 2006.11239; Kingma et al. 2021)::

    x_i = alpha_i x_0 + sigma_i eps,      alpha_i^2 + sigma_i^2 = 1,      level i = 0 (next to no noise) ... T - 1

so that data of variance one stay so, and a level is an angle: `angle = arctan2(sigma, alpha)`, from 0 to pi / 2. Networks are
told the angle, never the number of the level, so that a sampler may visit any levels, also between those of training. Schedules:

* "linear": beta from 1e-4 to 0.02 (Ho et al.); "linear_low": from 1e-5 to 0.01 (InfoDiffusion), whose last level still holds 8 %
  of the signal, so that sampling from pure noise shrinks the data's mean;
* "cosine" (Nichol and Dhariwal 2021, arXiv 2102.09672): s = 0.008, beta at most 0.999;
* "edm" (Karras et al. 2022, arXiv 2206.00364): ln(sigma / alpha) is normal. With data of standard deviation one its
  preconditioning
  is the target "velocity" here, and its weights are even; mean -0.5 and spread 1.2 are the published numbers moved to that
  deviation.

With `zero_terminal` sqrt(abar) is shifted and rescaled so that the last level is pure noise (Lin et al. 2023, arXiv 2305.08891,
algorithm 1). With one level there is nothing but pure noise: the denoiser is then the decoder of a variational autoencoder.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import ndtri

from undertow.vocabulary import UndertowError

ScheduleKind = Literal["linear", "linear_low", "cosine", "edm"]
Spacing = Literal["trailing", "karras", "angle"]

COSINE_SHIFT, LARGEST_BETA = 0.008, 0.999
EDM_MEAN, EDM_SPREAD = -0.5, 1.2
KARRAS_RHO = 7.0


class Level(NamedTuple):
    """One level of noise, or several: signal and noise, (...)."""

    alpha: Array
    sigma: Array

    @property
    def angle(self) -> Array:
        """From 0, no noise, to pi / 2, nothing else."""
        return jnp.arctan2(self.sigma, self.alpha)

    def noised(self, clean: Array, noise: Array) -> Array:
        """x_i of x_0 and eps."""
        return self.alpha * clean + self.sigma * noise


def at_angle(angle: Array) -> Level:
    """The level of this angle."""
    return Level(jnp.cos(angle), jnp.sin(angle))


def angles(kind: ScheduleKind, levels: int, *, zero_terminal: bool) -> np.ndarray:
    """The angle of every level, (level), rising; float64.

    Raises:
        UndertowError: fewer than one level.
    """
    if levels < 1:
        raise UndertowError(f"A diffusion with {levels} levels of noise can't be; take 1 or more.")
    if levels == 1:
        return np.array([np.pi / 2])
    if kind == "edm":
        found = np.arctan(np.exp(EDM_MEAN + EDM_SPREAD * ndtri((np.arange(levels) + 0.5) / levels)))
    else:
        found = np.arccos(np.sqrt(np.cumprod(1 - _BETAS[kind](levels))))
    if not zero_terminal:
        return found
    alpha = np.cos(found)
    return np.arccos(np.clip((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1]), 0.0, 1.0))


def visited(schedule: np.ndarray, steps: int, spacing: Spacing) -> np.ndarray:
    """The angles that a sampler of so many steps goes through, (step + 1): from the noisiest level to no noise at all.

    "trailing" takes every (T / steps)-th level and begins with the last; "angle" divides the angle evenly; "karras" divides the
    seventh root of sigma / alpha (Karras et al. 2022, eq. 5), between the second-noisiest visited level where the last is pure
    noise.

    Raises:
        UndertowError: fewer steps than one.
    """
    if steps < 1:
        raise UndertowError(f"A sampler of {steps} steps can't be; take 1 or more, 20 to 50 as a rule.")
    levels = len(schedule)
    if spacing == "trailing":
        index = np.round(levels - np.arange(steps) * levels / steps).astype(int) - 1
        inner = (
            np.interp(levels - np.arange(steps) * levels / steps - 1, np.arange(levels), schedule)
            if steps > levels
            else schedule[index]
        )
        return np.append(inner, 0.0)
    if spacing == "angle":
        return np.linspace(schedule[-1], 0.0, steps + 1)
    return _by_karras(schedule, steps)


def _by_karras(schedule: np.ndarray, steps: int) -> np.ndarray:
    ratio = np.tan(schedule[schedule < np.pi / 2 - 1e-6])
    is_open = len(ratio) < len(schedule)  # begins with pure noise, whose ratio is infinite
    inner = steps - is_open
    if inner < 1 or not len(ratio):
        return np.linspace(schedule[-1], 0.0, steps + 1)
    share = np.arange(inner) / max(inner - 1, 1)
    high, low = (value ** (1 / KARRAS_RHO) for value in (ratio[-1], ratio[0]))
    found = np.arctan((high + share * (low - high)) ** KARRAS_RHO)
    return np.concatenate([schedule[-1:][: int(is_open)], found, [0.0]])


def _linear(first: float, last: float) -> Callable[[int], np.ndarray]:
    def betas(levels: int) -> np.ndarray:
        scale = 1000 / levels  # the published ends are for 1,000 levels
        return np.minimum(np.linspace(first * scale, last * scale, levels), LARGEST_BETA)

    return betas


def _cosine(levels: int) -> np.ndarray:
    def remaining(time):
        return np.cos((time + COSINE_SHIFT) / (1 + COSINE_SHIFT) * np.pi / 2) ** 2

    edges = remaining(np.arange(levels + 1) / levels)
    return np.minimum(1 - edges[1:] / edges[:-1], LARGEST_BETA)


_BETAS: dict[str, Callable[[int], np.ndarray]] = {
    "linear": _linear(1e-4, 0.02),
    "linear_low": _linear(1e-5, 0.01),
    "cosine": _cosine,
}


def signal_to_noise(level: Level) -> Float[Array, "..."]:
    """alpha^2 / sigma^2."""
    return (level.alpha / jnp.maximum(level.sigma, 1e-12)) ** 2
