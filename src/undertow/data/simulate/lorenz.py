"""Trials of neurons driven by the Lorenz attractor: three latents, a log-linear read-out, random spikes.

    dx/dt = sigma (y - x)      dy/dt = x (rho - z) - y      dz/dt = x y - beta z

The state is integrated by Euler's rule with a step of 0.006; each step stands for 1 ms of the experiment.
Each dimension is centred over all conditions and divided by its maximum: that is the latent z(t). The log
rate of neuron n is

    ln r_n(t) = ln(base_rate) + sum_d C_nd z_d(t),      C_nd = +-(1 + U[0, 1])

and at every millisecond a neuron fires or not. This is the simulation of Sussillo et al. 2016 with the
parameters of the published demonstration: 65 conditions of 24 trials, 29 neurons, 1 s in bins of 20 ms.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from undertow.data.simulate import spikes, truth
from undertow.data.trials import trials as as_trials
from undertow.vocabulary import UndertowError

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
STEP = 0.006
BURN_IN = 500
SAMPLE = 0.001  # seconds of the experiment that one step of the integration stands for
CENTRE = (0.0, 0.0, 25.0)  # starts are normal around it, with variance one


def lorenz(
    *,
    trials: int = 1560,
    conditions: int = 65,
    neurons: int = 29,
    bins: int = 50,
    bin_width: float = 0.02,
    base_rate: float = 5.0,
    max_rate: float | None = None,
    binarised: bool = True,
    valid: float = 0.2,
    seed: int = 0,
) -> xr.Dataset:
    """Trials of a population driven by the Lorenz system, with their true rates and latents.

    Args:
        trials: how many, spread evenly over the conditions.
        conditions: how many starts of the system; all trials of a condition share one path.
        neurons: how many.
        bins: bins of a trial.
        bin_width: seconds, a whole number of milliseconds.
        base_rate: Hz, the rate of every neuron where all latents are zero.
        max_rate: Hz, the highest rate that any neuron reaches; takes the place of `base_rate`.
        binarised: at most one spike in a millisecond, as published; otherwise Poisson counts.
        valid: the fraction of validation trials, taken within every condition.
        seed: the system, its spikes and the split follow from it.

    Returns:
        Trials with `condition`, `split`, `true_rates` (Hz: the expected count of a bin, as drawn, over the
        bin width) and `true_latents` (the mean of z over a bin).
    """
    spikes.check_sizes(trials=trials, conditions=conditions, neurons=neurons, bins=bins)
    spikes.check_positive(bin_width=bin_width, base_rate=base_rate, max_rate=max_rate)
    per_bin = _samples_per_bin(bin_width)
    starts, readout, draws, splits = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    states = path(start_states(conditions, starts), BURN_IN + bins * per_bin)[:, BURN_IN:]
    latents, law = normalised(states), {"sigma": SIGMA, "rho": RHO, "beta": BETA}
    expected = sample_rates(latents, loadings(neurons, readout), base_rate, max_rate) * SAMPLE
    probability = -np.expm1(-expected)
    condition = spikes.conditions_of_trials(trials, conditions)
    if binarised:
        expected_in_bin = _binned(probability, per_bin).sum(axis=2)
        counts = spikes.binarised_counts(probability, condition, per_bin, draws)
    else:
        expected_in_bin = _binned(expected, per_bin).sum(axis=2)
        counts = spikes.poisson_counts(expected_in_bin, condition, draws)
    return as_trials(
        counts,
        bin_width=bin_width,
        split=spikes.split_within(condition, valid, splits),
        true_rates=(expected_in_bin / bin_width).astype(np.float32)[condition],
        true_latents=_binned(latents, per_bin).mean(axis=2).astype(np.float32)[condition],
        session="lorenz",
        condition=condition,
    ).assign_attrs(truth.attributes("lorenz", law, *normalisation(states), STEP * per_bin))


def velocity(state: np.ndarray) -> np.ndarray:
    """The time derivative of the Lorenz system at `state`, (..., 3) to (..., 3)."""
    x, y, z = np.moveaxis(state, -1, 0)
    return np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z], axis=-1)


def path(start: np.ndarray, steps: int, step: float = STEP) -> np.ndarray:
    """States after 1 to `steps` Euler steps of all starts, (condition, 3) to (condition, steps, 3)."""
    states = np.empty((len(start), steps, 3))
    state = np.asarray(start, dtype=np.float64)
    for index in range(steps):
        state = state + step * velocity(state)
        states[:, index] = state
    return states


def start_states(conditions: int, generator: np.random.Generator) -> np.ndarray:
    """Where the conditions start before the burn-in, (condition, 3)."""
    return CENTRE + generator.standard_normal((conditions, 3))


def normalised(states: np.ndarray) -> np.ndarray:
    """`states` (condition, sample, 3), each dimension centred over all and then divided by its maximum."""
    centre, scale = normalisation(states)
    return (states - centre) / scale


def normalisation(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `normalised` takes off and divides by: each dimension's mean, and its maximum beyond that, (3,) each."""
    centre = states.mean(axis=(0, 1))
    return centre, (states - centre).max(axis=(0, 1))


def loadings(neurons: int, generator: np.random.Generator) -> np.ndarray:
    """The read-out C, (3, neuron): magnitudes uniform from 1 to 2, signs at random."""
    magnitude = 1 + generator.random((3, neurons))
    return magnitude * generator.choice([-1.0, 1.0], size=magnitude.shape)


def sample_rates(
    latents: np.ndarray, readout: np.ndarray, base_rate: float, max_rate: float | None = None
) -> np.ndarray:
    """Rates in Hz, (condition, sample, neuron), the highest of them `max_rate` where that is given."""
    rates = np.exp(latents @ readout)
    return rates * (base_rate if max_rate is None else max_rate / rates.max())


def _samples_per_bin(bin_width: float) -> int:
    samples = round(bin_width / SAMPLE)
    if samples < 1 or abs(samples * SAMPLE - bin_width) > 1e-9:
        raise UndertowError(
            f"The bin width is {bin_width} s, but the Lorenz simulation moves in steps of {SAMPLE} s; "
            f"pass a multiple of them, for example {max(samples, 1) * SAMPLE:g}."
        )
    return samples


def _binned(samples: np.ndarray, per_bin: int) -> np.ndarray:
    """(condition, sample, column) as (condition, bin, sample in the bin, column)."""
    return samples.reshape(len(samples), -1, per_bin, samples.shape[-1])
