"""Trials of a chaotic network of rate units, each seen through Poisson spikes, with or without input pulses.

    x <- (1 - dt/tau) x + (dt/tau) (g W tanh(x) + B u)
    W_ij ~ N(0, 1/N),   B_i ~ N(0, 1),   x(0) ~ N(0, 1)

For g above 1 large networks are chaotic; one of 50 units may end on a cycle (with seed 5 it does at g = 1.5).
The rates are tanh(x), brought to [0, 1] unit by unit over all conditions, times `max_rate`. With pulses, u is
20 for one bin at a random time in the middle half of the trial and zero elsewhere. This is the simulation of
Sussillo et al. 2016; the weights come from `numpy.random.RandomState(seed)` as published, so with 50 neurons
and seed 5 the first of them is 0.06239899.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from undertow.data.simulate import spikes
from undertow.data.trials import trials as as_trials

STEP = 0.01  # seconds; wider bins are integrated in steps no longer than this
PULSE = 20.0  # magnitude of an input pulse that lasts for one step of 0.01 s; in other bins its area is kept


def chaotic_rnn(  # noqa: PLR0913 - what of the published experiment may be moved, all by name
    *,
    neurons: int = 50,
    conditions: int = 400,
    repeats: int = 10,
    g: float = 1.5,
    bins: int = 100,
    bin_width: float = 0.01,
    tau: float = 0.025,
    max_rate: float = 30.0,
    pulses: bool = False,
    valid: float = 0.2,
    seed: int = 5,
) -> xr.Dataset:
    """Trials of a chaotic network, with their true rates, states and input pulses.

    Args:
        neurons: units of the network, all of them observed.
        conditions: how many starts of the network (and times of the pulse).
        repeats: trials of each condition; they share rates and pulse and differ in their spikes.
        g: gain of the recurrent weights; 1.5 and 2.5 were published.
        bins: bins of a trial.
        bin_width: seconds; 0.01 is also the published step of the integration.
        tau: seconds, the time constant of a unit.
        max_rate: Hz, the highest rate of every neuron.
        pulses: give the network one input pulse in each condition.
        valid: the fraction of validation trials, taken within every condition.
        seed: the network, its spikes and the split follow from it.

    Returns:
        Trials with `condition`, `split`, `true_rates` (Hz) and `true_latents` (the state x, one latent a
        unit); with pulses also `true_inputs` (trial, time, 1) and the coordinate `pulse_time` (s from the
        trial's start, the bin's centre).
    """
    spikes.check_sizes(neurons=neurons, conditions=conditions, repeats=repeats, bins=bins)
    spikes.check_positive(bin_width=bin_width, tau=tau, max_rate=max_rate)
    starts, inputs, draws, splits = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    courses = simulated(
        (starts, inputs),
        (conditions, bins, neurons),
        seed=seed,
        g=g,
        bin_width=bin_width,
        tau=tau,
        pulses=pulses,
    )
    rates = max_rate * courses.activity
    condition = spikes.conditions_of_trials(conditions * repeats, conditions)
    truth = {"true_inputs": courses.inputs[condition, :, None], "pulse_time": courses.pulse_time[condition]}
    return as_trials(
        spikes.poisson_counts(rates * bin_width, condition, draws),
        bin_width=bin_width,
        split=spikes.split_within(condition, valid, splits),
        true_rates=rates.astype(np.float32)[condition],
        true_latents=courses.states.astype(np.float32)[condition],
        session="chaotic-rnn",
        condition=condition,
        **(truth if pulses else {}),
    )


class Courses(NamedTuple):
    """What a network does in every condition.

    `states` x and `activity`, tanh(x) brought to [0, 1] unit by unit, are (condition, time, neuron), the `inputs` u (condition,
    time), zero without pulses, and `pulse_time` (condition) the seconds from the trial's start to the middle of the pulse's bin.
    """

    states: np.ndarray
    activity: np.ndarray
    inputs: np.ndarray
    pulse_time: np.ndarray


def simulated(
    generators: tuple[np.random.Generator, np.random.Generator],
    shape: tuple[int, int, int],
    *,
    seed: int,
    g: float,
    bin_width: float,
    tau: float,
    pulses: bool,
) -> Courses:
    """The courses of one network, of `shape` (condition, time, neuron), with starts and pulses from the two `generators`."""
    starts, inputs = generators
    conditions, bins, neurons = shape
    weights, input_weights = network(neurons, seed)
    pulse_bin = inputs.integers(bins // 4, max(3 * bins // 4, bins // 4 + 1), size=conditions)
    pulse = pulse_inputs(pulse_bin, bins, bin_width) if pulses else np.zeros((conditions, bins))
    start = starts.standard_normal((conditions, neurons))
    drive = pulse[..., None] * input_weights
    states, activity = path(start, g * weights, drive, bin_width=bin_width, tau=tau)
    return Courses(states, unit_range(activity), pulse, (pulse_bin + 0.5) * bin_width)


def network(neurons: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The recurrent weights W (neuron, neuron), before the gain g, and the input weights B (neuron,)."""
    generator = np.random.RandomState(seed)
    return generator.randn(neurons, neurons) / math.sqrt(neurons), generator.randn(neurons)


def pulse_inputs(pulse_bin: np.ndarray, bins: int, bin_width: float) -> np.ndarray:
    """(condition, time): zero but in the bin of the pulse, where the area is that of the published pulse."""
    inputs = np.zeros((len(pulse_bin), bins))
    inputs[np.arange(len(pulse_bin)), pulse_bin] = PULSE * STEP / bin_width
    return inputs


def path(
    start: np.ndarray,
    weights: np.ndarray,
    drive: np.ndarray,
    *,
    bin_width: float,
    tau: float,
    step: float = STEP,
) -> tuple[np.ndarray, np.ndarray]:
    """States and activities of all conditions at once.

    Args:
        start: (condition, neuron) states x(0).
        weights: (neuron, neuron) recurrent weights, the gain included.
        drive: (condition, time, neuron) input B u, constant within a bin.
        bin_width: seconds of a bin.
        tau: seconds, the time constant.
        step: seconds, the longest step of Euler's rule; a bin is a whole number of equal steps.

    Returns:
        The means of x and of tanh(x) over the steps of each bin, both (condition, time, neuron).
    """
    substeps = max(1, math.ceil(bin_width / step - 1e-9))
    rate = bin_width / substeps / tau
    state = np.asarray(start, dtype=np.float64)
    states, activity = np.zeros(drive.shape), np.zeros(drive.shape)
    for index in range(drive.shape[1]):
        for _ in range(substeps):
            state = (1 - rate) * state + rate * (np.tanh(state) @ weights.T + drive[:, index])
            states[:, index] += state / substeps
            activity[:, index] += np.tanh(state) / substeps
    return states, activity


def unit_range(activity: np.ndarray) -> np.ndarray:
    """`activity` (condition, time, neuron) brought to [0, 1] for each neuron; 0 for one that never moves."""
    lowest = activity.min(axis=(0, 1))
    span = activity.max(axis=(0, 1)) - lowest
    return (activity - lowest) / np.where(span > 0, span, 1)
