"""Sums over all counts of a set of trials, in blocks of trials: what `describe` judges by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

CROWDED = 5  # spikes: more in one bin are too many
_BLOCK_ENTRIES = 8_000_000
_ENOUGH_SPIKES = 30  # fewer can coincide by chance
_DEVIATIONS = 6  # standard deviations of a correlation of independent counts that count as chance


@dataclass(frozen=True)
class Tally:
    """Sums over counts (trial, time, neuron); NaN entries are in none of them but `duplicates`.

    Attributes:
        spikes: (neuron,) sum of the counts.
        observed: (neuron,) number of observed entries.
        trial_spikes: (trial,) sum of the counts.
        trial_bins: (trial,) number of bins in which any neuron was observed.
        negative: number of entries below zero.
        fractional: number of entries that are no integers.
        crowded: number of entries above `CROWDED`.
        duplicates: groups of indices of neurons with exactly the same counts, silent ones excepted.
    """

    spikes: np.ndarray
    observed: np.ndarray
    trial_spikes: np.ndarray
    trial_bins: np.ndarray
    negative: int
    fractional: int
    crowded: int
    duplicates: tuple[tuple[int, ...], ...]


def tally(counts: xr.DataArray) -> Tally:
    """One pass over the counts."""
    neurons = counts.sizes["neuron"]
    spikes, observed = np.zeros(neurons), np.zeros(neurons, np.int64)
    trial_spikes, trial_bins = [], []
    odd = np.zeros(3, np.int64)
    digests = [hashlib.blake2b(digest_size=16) for _ in range(neurons)]
    for block in _blocks(counts):
        seen = ~np.isnan(block)
        values = np.where(seen, block, 0.0)
        spikes += values.sum(axis=(0, 1), dtype=np.float64)
        observed += seen.sum(axis=(0, 1))
        trial_spikes.append(values.sum(axis=(1, 2), dtype=np.float64))
        trial_bins.append(seen.any(axis=2).sum(axis=1))
        odd += [np.count_nonzero(part) for part in (values < 0, values != np.rint(values), values > CROWDED)]
        for digest, column in zip(digests, np.ascontiguousarray(np.moveaxis(block, 2, 0)), strict=True):
            digest.update(column.data)
    prints = [digest.digest() for digest in digests]
    return Tally(
        spikes,
        observed,
        np.concatenate(trial_spikes),
        np.concatenate(trial_bins),
        *(int(number) for number in odd),
        duplicates=_groups(prints, spikes),
    )


def coincidences(counts: xr.DataArray, found: Tally, *, threshold: float) -> list[tuple[int, int, float]]:
    """Pairs of neurons that spike together within a bin more than a shared rate explains, the strongest first.

    A shared rate changes little from one bin to the next, so it correlates counts across neighbouring bins
    nearly as much as within a bin; crosstalk and twice-detected spikes do so only within. What is compared
    with `threshold` is the correlation within bins minus the larger one of those at lags of plus and minus
    one bin, and with what chance alone reaches in so few bins. Needs trials of at least three bins and
    neurons of some 30 spikes; returns (index, index, difference).
    """
    bins, neurons = counts.sizes["time"], counts.sizes["neuron"]
    if bins < 3:
        return []
    mean = (found.spikes / np.maximum(found.observed, 1)).astype(np.float32)
    within, across = np.zeros((neurons, neurons)), np.zeros((neurons, neurons))
    for block in _blocks(counts):
        centred = np.nan_to_num(block - mean, nan=0.0)
        within += _product(centred, centred)
        across += _product(centred[:, :-1], centred[:, 1:])
    scale = np.sqrt(np.maximum(np.diag(within), 1e-12))
    lagged = across * bins / (bins - 1)
    excess = (within - np.maximum(lagged, lagged.T)) / np.outer(scale, scale)
    chance = _DEVIATIONS / np.sqrt(max(found.observed.max(), 1))
    enough = found.spikes >= _ENOUGH_SPIKES
    suspicious = (excess > max(threshold, chance)) & np.outer(enough, enough)
    one, other = np.nonzero(np.triu(suspicious, k=1))
    order = np.argsort(-excess[one, other], kind="stable")
    return [(int(i), int(j), float(excess[i, j])) for i, j in zip(one[order], other[order], strict=True)]


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])


def _blocks(counts: xr.DataArray) -> Iterator[np.ndarray]:
    """The counts, some trials at a time."""
    trials, bins, neurons = counts.shape
    step = max(1, _BLOCK_ENTRIES // max(bins * neurons, 1))
    for start in range(0, trials, step):
        yield counts[start : start + step].values


def _groups(prints: list[bytes], spikes: np.ndarray) -> tuple[tuple[int, ...], ...]:
    members: dict[bytes, list[int]] = {}
    for index, fingerprint in enumerate(prints):
        if spikes[index] != 0:
            members.setdefault(fingerprint, []).append(index)
    return tuple(tuple(group) for group in members.values() if len(group) > 1)
