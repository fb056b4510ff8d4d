"""Spikes from known rates: which trials show which condition, which of them train, and what was counted.

A simulated experiment has conditions; every trial of a condition has the same rates and its own spikes. The
functions here are shared by all systems and take a `numpy.random.Generator` where they draw.
"""

from __future__ import annotations

import math
from numbers import Integral

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
        if quantity is not None and not (quantity > 0 and math.isfinite(quantity)):
            raise UndertowError(f"'{name}' is {quantity!r}, but must be a positive number.")


def _members(condition: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each condition with the trials that show it."""
    return [(which, np.flatnonzero(condition == which)) for which in np.unique(condition)]
