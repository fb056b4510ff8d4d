"""How the Neural Latents Benchmark compares averages of the rates with the average responses (PSTH).

The mean over a condition's evaluated trials of their rates, each shifted later by the trial's jitter, against the PSTH of the
target; R2 of each neuron over all bins of all conditions, mean over neurons. A neuron whose PSTH is constant counts 0 (1 if the
prediction is exact), so silent neurons weigh as much as others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.vocabulary import UndertowError


def psth_r2(
    psth: np.ndarray, rates: np.ndarray, trials: Sequence[np.ndarray], *, jitter: np.ndarray | None = None
) -> float:
    """R2 of the averages of `rates`.

    Args:
        psth: (condition, time, neuron) expected spikes per bin; bins where its first neuron is NaN are not scored.
        rates: (trial, time, neuron) expected spikes per bin of the evaluated trials.
        trials: for each condition the indices of its trials; conditions without any are left out.
        jitter: (trial,) bins by which each trial's window lies before the PSTH's, negative: behind it.

    Raises:
        UndertowError: shapes or indices that do not fit, no condition with trials, or NaN rates in scored bins.
    """
    _check(psth, rates, trials)
    shifts = np.zeros(len(rates), dtype=int) if jitter is None else np.asarray(jitter).astype(int)
    true, predicted = [], []
    for condition, (response, members) in enumerate(zip(psth, trials, strict=True)):
        if len(members):
            scored = ~np.isnan(response[:, 0])
            mean = _mean(rates, np.asarray(members, dtype=int), shifts)[scored]
            if np.isnan(mean).any():
                raise UndertowError(
                    f"Rates of condition {condition} are NaN in bins of its PSTH; give finite rates there, and the jitter of the "
                    "target's trials."
                )
            true.append(response[scored])
            predicted.append(mean)
    if not true:
        raise UndertowError(
            "No condition of the PSTH has evaluated trials; score trials of the same experiment."
        )
    return _r2(np.concatenate(predicted), np.concatenate(true).astype(np.float64))


def _mean(rates: np.ndarray, members: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """(time, neuron) float64: NaN in bins that some trial does not reach."""
    total = np.zeros(rates.shape[1:])
    for trial in members:
        total += later(rates[trial], shifts[trial])
    return total / len(members)


def later(values: np.ndarray, bins: int) -> np.ndarray:
    """(time, neuron) values moved to `bins` bins later, or earlier if negative; NaN where nothing moves to."""
    if bins == 0:
        return values
    moved = np.full(values.shape, np.nan)
    if bins > 0:
        moved[bins:] = values[:-bins]
    else:
        moved[:bins] = values[-bins:]
    return moved


def _r2(predicted: np.ndarray, true: np.ndarray) -> float:
    error = ((true - predicted) ** 2).sum(axis=0)
    variation = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    constant = np.where(error == 0, 1.0, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(variation == 0, constant, 1 - error / variation).mean())


def _check(psth: np.ndarray, rates: np.ndarray, trials: Sequence[np.ndarray]) -> None:
    if psth.ndim != 3 or psth.shape[1:] != rates.shape[1:] or len(trials) != len(psth):
        raise UndertowError(
            f"The PSTH has the shape {psth.shape}, the rates {rates.shape} and there are {len(trials)} lists of trials; the PSTH "
            "needs the bins and neurons of the rates, and one list for each condition."
        )
    largest = max((int(np.max(members)) for members in trials if len(members)), default=-1)
    if largest >= len(rates):
        raise UndertowError(
            f"A condition names the trial {largest}, but there are rates of {len(rates)} trials; score the trials of the target."
        )
