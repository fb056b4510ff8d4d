"""Spikes from known rates: which trials show which condition, which of them train, and what was counted.

A simulated experiment has conditions; every trial of a condition has the same rates and its own spikes. The
functions here are shared by all systems and take a `numpy.random.Generator` where they draw.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np

from undertow.vocabulary import UndertowError


def conditions_of_trials(trials: int, conditions: int) -> np.ndarray:
    """The condition of each trial, (trial,) int: one after the other, of sizes that differ by one at most."""
    return np.arange(trials) * conditions // trials


def poisson_counts(expected: np.ndarray, condition: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Poisson counts for each trial from the expected counts of its condition.

    Args:
        expected: (condition, time, neuron) expected counts per bin.
        condition: (trial,) index into the first axis of `expected`.
        generator: where the draws come from.

    Returns:
        (trial, time, neuron) float32.
    """
    counts = np.empty((len(condition), *expected.shape[1:]), np.float32)
    for which, members in _members(condition):
        counts[members] = generator.poisson(expected[which], size=counts[members].shape)
    return counts


def binarised_counts(
    probability: np.ndarray, condition: np.ndarray, samples_per_bin: int, generator: np.random.Generator
) -> np.ndarray:
    """Counts in bins of fine samples that hold at most one spike each.

    Args:
        probability: (condition, sample, neuron) probability of a spike in each sample.
        condition: (trial,) index into the first axis of `probability`.
        samples_per_bin: how many samples are summed to one bin.
        generator: where the draws come from.

    Returns:
        (trial, time, neuron) float32.
    """
    samples, neurons = probability.shape[1:]
    bins = samples // samples_per_bin
    counts = np.empty((len(condition), bins, neurons), np.float32)
    for which, members in _members(condition):
        draws = generator.random((len(members), samples, neurons), dtype=np.float32)
        spikes = (draws < probability[which]).reshape(len(members), bins, samples_per_bin, neurons)
        counts[members] = spikes.sum(axis=2)
    return counts


def over_dispersed_counts(
    expected: np.ndarray, dispersion: float, generator: np.random.Generator
) -> np.ndarray:
    """Negative binomial counts with mean m = `expected` and variance m + m^2 / `dispersion`, float32."""
    moved = generator.gamma(dispersion, expected / dispersion)
    return generator.poisson(moved).astype(np.float32)


def zero_inflated_counts(
    expected: np.ndarray, zero_share: float, generator: np.random.Generator
) -> np.ndarray:
    """Poisson counts with mean `expected`, float32, of which the share `zero_share` of all bins is silent anyway.

    The other bins have the mean `expected` / (1 - `zero_share`).
    """
    speaks = generator.random(expected.shape) >= zero_share
    return np.where(speaks, generator.poisson(expected / (1 - zero_share)), 0).astype(np.float32)


def split_within(condition: np.ndarray, valid: float, generator: np.random.Generator) -> np.ndarray:
    """Each trial's split, "train" or "valid", with the fraction `valid` taken from within every condition.

    Trials are shuffled within their condition and every (1 / valid)-th is taken from a random start on. So a
    condition of 24 trials gives 4 or 5 of them when `valid` is 0.2, and 65 such conditions give 312 of 1560.
    """
    if not 0 <= valid < 1:
        raise UndertowError(
            f"The fraction of validation trials is {valid}, but must be at least 0 and below 1; "
            "pass for example valid=0.2."
        )
    order = np.lexsort((generator.random(len(condition)), condition))
    taken = np.floor(np.arange(len(condition) + 1) * valid + generator.random())
    split = np.full(len(condition), "train")
    split[order[np.diff(taken) > 0]] = "valid"
    return split


def check_sizes(**sizes: object) -> None:
    """Refuse sizes that are not positive whole numbers, with the name of the first that is not."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 1:
            raise UndertowError(
                f"The number of {name} is {size!r}, but must be a whole number of at least 1."
            )


def check_positive(**quantities: float | None) -> None:
    """Refuse quantities that are not positive and finite, naming the first; None is left out."""
    for name, quantity in quantities.items():
        if quantity is not None and not (_is_number(quantity) and quantity > 0):
            raise UndertowError(f"'{name}' is {quantity!r}, but must be a positive number.")


def check_not_negative(**quantities: float) -> None:
    """Refuse quantities that are negative or not finite, naming the first."""
    for name, quantity in quantities.items():
        if not (_is_number(quantity) and quantity >= 0):
            raise UndertowError(f"'{name}' is {quantity!r}, but must be zero or a positive number.")


def check_finite(**quantities: object) -> None:
    """Refuse quantities that are no finite numbers, and lists with such entries, naming the first."""
    for name, quantity in quantities.items():
        is_list = isinstance(quantity, (list, tuple))
        if not all(_is_number(entry) for entry in (quantity if is_list else [quantity])):
            raise UndertowError(
                f"'{name}' is {quantity!r}, but must be {'finite numbers' if is_list else 'a finite number'}."
            )


def check_fractions(**fractions: float) -> None:
    """Refuse shares that are not at least 0 and below 1, naming the first."""
    for name, fraction in fractions.items():
        if not (_is_number(fraction) and 0 <= fraction < 1):
            raise UndertowError(f"'{name}' is {fraction!r}, but must be at least 0 and below 1.")


def check_seed(seed: object) -> None:
    """Refuse a seed that is not a whole number of at least 0."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise UndertowError(f"The seed is {seed!r}, but must be a whole number of at least 0.")


def _is_number(quantity: object) -> bool:
    return isinstance(quantity, Real) and not isinstance(quantity, bool) and math.isfinite(quantity)


def _members(condition: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each condition with the trials that show it."""
    return [(which, np.flatnonzero(condition == which)) for which in np.unique(condition)]
