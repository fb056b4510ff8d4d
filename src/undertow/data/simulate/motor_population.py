"""Neurons of a motor area during reaches: a few latents that plan and move, and rates that are log-linear in them.

    z_k(t) = tanh((W m(t + lead_k))_k + b_k)           ln r_n(t) = ln base_n + depth a_n(t)

m are nine signals of variance about one: where the hand is (2), its velocity (2), and the plan: displacement of the target
(2), its distance, peak speed and curvature, times a ramp that rises until the movement begins and falls as it is carried
out. Each latent leads the hand by a time of its own. a_n is a random sum of all latents, centred, of standard deviation one.
W, b, leads and read-out are random.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from undertow.data.simulate.reaches import Ranges, Reaches

LEADS = (0.04, 0.12)  # seconds by which latents lead the hand
RISE = 0.3  # seconds in which the ramp of the plan grows e-fold
GAIN = 0.7  # of the weights W: how far tanh bends
SPREAD_OF_RATES = 0.4  # of the logarithm of the neurons' mean rates
SIGNALS = 9


class MotorPopulation(NamedTuple):
    """A random population.

    Attributes:
        weights: W, (signal, latent).
        offset: b, (latent,).
        lead: (latent,) seconds.
        readout: (latent, neuron).
        mean_rate: (neuron,) Hz, the mean over all trials and bins.
        depth: standard deviation of a neuron's log rate.
    """

    weights: np.ndarray
    offset: np.ndarray
    lead: np.ndarray
    readout: np.ndarray
    mean_rate: np.ndarray
    depth: float

    def latents(self, reaches: Reaches, ranges: Ranges, time: np.ndarray) -> np.ndarray:
        """z at `time` (time,) seconds from the movement's onset, (trial, time, latent)."""
        columns = [
            signals(reaches, ranges, time + lead) @ weights + offset
            for lead, weights, offset in zip(self.lead, self.weights.T, self.offset, strict=True)
        ]
        return np.tanh(np.stack(columns, axis=-1))

    def rates(self, latents: np.ndarray) -> np.ndarray:
        """Hz, (trial, time, neuron), from latents (trial, time, latent)."""
        activation = latents @ self.readout
        deviation = activation - activation.mean(axis=(0, 1))
        spread = deviation.std(axis=(0, 1))
        modulation = np.exp(self.depth * deviation / np.where(spread > 0, spread, 1))
        return self.mean_rate * modulation / modulation.mean(axis=(0, 1))


def random_population(
    neurons: int, latents: int, mean_rate: float, depth: float, generator: np.random.Generator
) -> MotorPopulation:
    """A population whose mean rates differ from neuron to neuron and average to `mean_rate` Hz."""
    relative = np.exp(SPREAD_OF_RATES * generator.standard_normal(neurons))
    return MotorPopulation(
        weights=GAIN * _frame(SIGNALS, latents, generator),
        offset=0.3 * generator.standard_normal(latents),
        lead=generator.uniform(*LEADS, latents),
        readout=generator.standard_normal((latents, neurons)),
        mean_rate=mean_rate * relative / relative.mean(),
        depth=depth,
    )


def _frame(rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """(row, column) of a random rotation, scaled, so that no signal hides behind another."""
    longer, shorter = max(rows, columns), min(rows, columns)
    orthonormal = np.linalg.qr(generator.standard_normal((longer, shorter)))[0]
    return np.sqrt(columns / shorter) * (orthonormal if rows == longer else orthonormal.T)


def signals(reaches: Reaches, ranges: Ranges, time: np.ndarray) -> np.ndarray:
    """m at `time` (time,) seconds from the movement's onset, (trial, time, signal), in units of the factors' ranges."""
    reach, speed = np.mean(ranges.distance), np.mean(ranges.peak_speed)
    plan = (np.exp(np.minimum(time, 0) / RISE) * (1 - reaches.progress(time)))[..., None]
    planned = [
        1.5 * reaches.displacement / reach,
        _standardised(reaches.distance, ranges.distance)[:, None],
        _standardised(reaches.peak_speed, ranges.peak_speed)[:, None],
        _standardised(reaches.curvature, ranges.curvature)[:, None],
    ]
    return np.concatenate(
        [
            reaches.position(time) / (0.45 * reach),
            1.5 * reaches.velocity(time) / speed,
            plan * np.concatenate(planned, axis=1)[:, None],
        ],
        axis=-1,
    )


def _standardised(factor: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """A uniform factor with mean 0 and variance 1; 0 where it does not vary."""
    low, high = limits
    return np.sqrt(12) * (factor - (low + high) / 2) / (high - low if high > low else 1)
