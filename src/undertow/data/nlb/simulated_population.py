"""A population with known rates: a few damped rotations that events kick and noise disturbs, read out log-linearly.

Latents x have 10 dimensions: real and imaginary parts of four rotating modes and the real part of two that only decay. With
kicks u, complex decays a = exp((-1 / tau + 2 pi i f) dt) and white noise e,

    z[t + 1] = a z[t] + u[t] + e[t]        rates = min(exp(b + C x), 150) Hz,

at steps of 5 ms, in between linear. Spikes are a Poisson process whose rate is constant within each millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.signal import lfilter

from undertow.data.nlb.simulated_trials import Kicks, SimulatedTrials

STEP = 5
"""Milliseconds between two latents."""

LATENTS = 10
"""Dimensions."""

_FREQUENCY = np.array([1.6, 1.6, 2.5, 3.3, 0.0, 0.0])  # Hz
_DECAY = np.array([0.18, 0.18, 0.22, 0.16, 0.25, 0.6])  # seconds
_RISE = 0.02  # seconds, of a kick
_FLUCTUATION = 0.3  # standard deviation of what noise adds, relative to what events do
_GAIN = 0.65  # standard deviation of log-rates
_CEILING = 150.0  # Hz


@dataclass(frozen=True)
class Population:
    """The latents of a session and how neurons read them.

    Attributes:
        latents: (step, latent) at 5 ms, float32.
        weights: (latent, neuron).
        bias: (neuron,) log of Hz.
    """

    latents: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def rates(self, start: int, stop: int) -> np.ndarray:
        """(ms, neuron) Hz, float32, of the milliseconds from `start` to `stop`."""
        latents = upsampled(self.latents, np.arange(start, stop))
        return np.minimum(np.exp(latents @ self.weights + self.bias), np.float32(_CEILING))


def upsampled(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Values (step, ...) at 5 ms, at `times` (time,) in ms: linear in between."""
    before = np.minimum(times // STEP, len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = ((times % STEP) / STEP).astype(values.dtype)[:, None]
    return values[before] * (1 - share) + values[after] * share


def population(
    trials: SimulatedTrials,
    begins: np.ndarray,
    scored: np.ndarray,
    duration: int,
    neurons: int,
    generator: np.random.Generator,
) -> Population:
    """A population for a session.

    Args:
        trials: what drives it.
        begins: (trial,) ms, of each trial's period.
        scored: (time,) ms, of the windows, in which latents are to vary by about one.
        duration: ms, of the session.
        neurons: how many.
        generator: where the draws come from.
    """
    latents_from, weights_from, bias_from = generator.spawn(3)
    weights = weights_from.standard_normal((LATENTS, neurons)) * (_GAIN / np.sqrt(LATENTS))
    bias = np.log(np.clip(np.exp(np.log(6.0) + 0.8 * bias_from.standard_normal(neurons)), 0.8, 25.0))
    latents = _latents(trials, begins, scored // STEP, duration // STEP + 1, latents_from)
    return Population(latents, weights.astype(np.float32), bias.astype(np.float32))


def _latents(
    trials: SimulatedTrials,
    begins: np.ndarray,
    scored: np.ndarray,
    steps: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """(step, latent): what events do, of unit variance over the steps `scored`, and what noise adds."""
    driven = _filtered(_impulses(trials.kicks, begins, steps))
    for begin, (at, path) in zip(begins, trials.paths, strict=False):
        first = (begin + at) // STEP
        driven[first : first + len(path)] += path[: max(0, steps - first)]
    driven /= driven[scored].std(axis=0)
    noise = _filtered(
        generator.standard_normal((steps, len(_DECAY), 2)).astype(np.float32).view(np.complex64)[..., 0]
    )
    return driven + np.float32(_FLUCTUATION) * noise / noise.std(axis=0)


def _impulses(kicks: tuple[Kicks, ...], begins: np.ndarray, steps: int) -> np.ndarray:
    """(step, mode) complex: all kicks at their places."""
    drive = np.zeros((steps, len(_DECAY)), np.complex64)
    for group in kicks:
        at = ((begins[group.trial] + group.at) // STEP).astype(int)
        np.add.at(drive, np.minimum(at, steps - 1), group.force)
    return drive


def _filtered(drive: np.ndarray) -> np.ndarray:
    """(step, latent) float32: the modes' answer to a drive (step, mode)."""
    seconds = STEP / 1000
    rise = np.exp(-seconds / _RISE)
    modes = np.exp((-1 / _DECAY + 2j * np.pi * _FREQUENCY) * seconds)
    answer = []
    for mode, (factor, frequency) in enumerate(zip(modes, _FREQUENCY, strict=True)):
        smooth = lfilter([1 - rise], [1, -rise], drive[:, mode])
        state = lfilter([1.0], [1, -factor], smooth)
        answer += [state.real, state.imag] if frequency else [state.real]
    return np.stack(answer, axis=1).astype(np.float32)


def spike_times(
    source: Population, duration: int, generator: np.random.Generator, *, piece: int = 3000
) -> list[np.ndarray]:
    """For each neuron its spike times (spike,) in seconds, to the microsecond and sorted, over `duration` ms.

    Rates are made for `piece` ms at a time; a spike lies anywhere in its millisecond.
    """
    pieces = [
        _spikes(source.rates(start, min(start + piece, duration)), start, generator)
        for start in range(0, duration, piece)
    ]
    neurons = range(source.bias.size)
    return [np.concatenate([part[neuron] for part in pieces]) for neuron in neurons]


def _spikes(rates: np.ndarray, start: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Spike times of each neuron from rates (ms, neuron): one Poisson process on the neurons' time laid end to end."""
    cumulated = np.cumsum(rates.T, axis=None, dtype=np.float64) / 1000
    number = generator.poisson(cumulated[-1])
    where = np.sort(generator.random(number)) * cumulated[-1]
    place = np.minimum(np.searchsorted(cumulated, where, side="right"), cumulated.size - 1)
    neuron, millisecond = np.divmod(place, len(rates))
    offset = generator.integers(0, 1000, number)
    micro = (start + millisecond) * 1000 + offset
    bounds = np.searchsorted(neuron, np.arange(rates.shape[1] + 1))
    return [np.sort(micro[low:high]) / 1e6 for low, high in pairwise(bounds)]
