"""How close an estimate comes to a known truth: rates, latents and the times of input pulses.

Latents are only known up to a linear map, so two of them are fitted. From the inferred to the true ones: can
the truth be read out? From the true to the inferred ones: is there anything in the estimate beside the truth?
The second sees dimensions that the model invented; the first does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from undertow.evaluation import regression
from undertow.evaluation.chunks import chunks
from undertow.evaluation.r2 import R2, r2
from undertow.vocabulary import UndertowError


@dataclass(frozen=True)
class LatentR2:
    """R2 of the linear maps from inferred to true latents and from true to inferred ones."""

    inferred_to_true: R2
    true_to_inferred: R2


def rate_r2(rates: np.ndarray, true_rates: np.ndarray) -> R2:
    """R2 of the rates of each neuron over all trials and bins, both (trial, time, neuron) in the same unit.

    `.mean` is the mean over neurons, `.per_column` has one value for each neuron, NaN where the true rate is
    constant.
    """
    return r2(rates, true_rates)


def latent_r2(
    inferred: np.ndarray,
    true: np.ndarray,
    *,
    fitted_on: tuple[np.ndarray, np.ndarray] | None = None,
) -> LatentR2:
    """R2 of the best linear maps (with intercept) between inferred and true latents, in both directions.

    Args:
        inferred: (trial, time, factor).
        true: (trial, time, latent).
        fitted_on: inferred and true latents of other trials, on which the maps are fitted; by default the
            same.

    Raises:
        UndertowError: trials or bins differ, or no bin is known in both.
    """
    inferred_to_fit, true_to_fit = (inferred, true) if fitted_on is None else fitted_on
    return LatentR2(
        inferred_to_true=_mapped_r2(inferred, true, inferred_to_fit, true_to_fit),
        true_to_inferred=_mapped_r2(true, inferred, true_to_fit, inferred_to_fit),
    )


def pulse_offsets(inferred_inputs: np.ndarray, true_inputs: np.ndarray) -> np.ndarray:
    """How many bins after the true pulse the inferred input peaks in each trial, (trial,) float64.

    The true pulse is where |true input| is largest. The inferred input peaks where its distance (over all its
    dimensions) from its own average over trials is largest: what the model infers in every trial alike is no
    pulse. Negative: too early; NaN: a trial without a pulse or without an inferred input.

    Args:
        inferred_inputs: (trial, time, inferred_input).
        true_inputs: (trial, time, input).
    """
    _check_bins(inferred_inputs, true_inputs)
    inferred = np.asarray(inferred_inputs, dtype=np.float64)
    known = ~np.isnan(inferred)
    average = np.where(known, inferred, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    deviation = _magnitude(inferred - average)
    pulse = _magnitude(np.asarray(true_inputs, dtype=np.float64))
    offsets = (deviation.argmax(axis=1) - pulse.argmax(axis=1)).astype(np.float64)
    offsets[(deviation.max(axis=1) <= 0) | (pulse.max(axis=1) <= 0)] = np.nan
    return offsets


def fraction_within(offsets: np.ndarray, bins: int = 2) -> float:
    """The fraction of trials whose offset is at most `bins` either way; trials with NaN are left out."""
    known = offsets[~np.isnan(offsets)]
    return float((np.abs(known) <= bins).mean()) if known.size else float("nan")


def _magnitude(values: np.ndarray) -> np.ndarray:
    """The Euclidean norm over the last axis, 0 where it is not known."""
    return np.sqrt(np.nan_to_num(values**2).sum(axis=-1))


def _mapped_r2(x: np.ndarray, y: np.ndarray, x_to_fit: np.ndarray, y_to_fit: np.ndarray) -> R2:
    _check_bins(x, y)
    _check_bins(x_to_fit, y_to_fit)
    known = regression.moments_of(_rows(x_to_fit, y_to_fit))
    if known.rows == 0:
        raise UndertowError(
            "No bin has both inferred and true latents, so no linear map can be fitted; "
            "pass trials that have both."
        )
    linear_map = regression.fit(known)
    mapped = (linear_map(np.asarray(x[part], np.float64)).astype(y.dtype) for part in chunks(x.shape))
    return r2(np.concatenate(list(mapped)), y)


def _rows(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for part in chunks((*x.shape[:2], x.shape[2] + y.shape[2])):
        yield x[part].reshape(-1, x.shape[2]), y[part].reshape(-1, y.shape[2])


def _check_bins(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 3 or second.ndim != 3 or first.shape[:2] != second.shape[:2]:
        raise UndertowError(
            f"The shapes {first.shape} and {second.shape} do not match; both must have the axes "
            "(trial, time, dimension) with the same trials and bins."
        )
