"""Whether latents hold only what the rates need: latents decoded back from the rates, or from another model's latents.

Cycle consistency: a ridge regression from the log rates back to the latents that made them, fitted to training trials with its
penalty chosen by cross-validation, scored by R2 on other trials. Latents that move without moving any rate can't be recovered
and lower the score; 1 means that the read-out can be inverted. It says nothing of how well the rates fit the data. (After
Versteeg et al. 2023, who ask for read-outs that can be inverted; here the inverse is a regression and no noise is added.)
Without noise the faintest trace of a latent is enough, and a linear read-out of fewer latents than neurons always scores 1.
`least_share` asks that a trace be seen: principal components of the log rates that carry less of their variance are dropped.

Cross-decoding: the same regression from one model's latents to another's. A latent that the others can't decode is
superfluous; one that can't decode the others lacks something. (Dabholkar and Barak, arXiv 2405.14425.)
"""

from __future__ import annotations

import numpy as np

from undertow.evaluation.decoding import decode
from undertow.evaluation.r2 import R2
from undertow.vocabulary import UndertowError

SMALLEST_RATE = 1e-6  # relative to the neuron's mean rate; rates below it are lifted before the logarithm


def cycle_consistency(
    train_latents: np.ndarray,
    train_rates: np.ndarray,
    eval_latents: np.ndarray,
    eval_rates: np.ndarray,
    *,
    least_share: float = 0.0,
) -> R2:
    """R2 of each latent, decoded from the log rates of the same bin; `.mean` and `.variance_weighted` sum it up.

    Args:
        train_latents: (trial, time, latent) latents or factors.
        train_rates: (trial, time, neuron) rates of any unit, not negative.
        eval_latents: (other trial, time, latent).
        eval_rates: (other trial, time, neuron).
        least_share: of the log rates' variance over training trials that a principal component must carry to be used; 0 uses all.

    Raises:
        UndertowError: negative rates, or shapes that do not match.
    """
    negative = sum(int((rates < 0).sum()) for rates in (train_rates, eval_rates))
    if negative:
        raise UndertowError(f"{negative} rates are negative; give rates, not their logarithms.")
    floor = SMALLEST_RATE * np.nanmean(train_rates, axis=(0, 1), dtype=np.float64)
    floor = np.where(floor > 0, floor, SMALLEST_RATE)
    logarithms = [np.log(np.maximum(rates, floor)) for rates in (train_rates, eval_rates)]
    if least_share > 0:
        axes = _visible_axes(logarithms[0], least_share)
        logarithms = [values @ axes for values in logarithms]
    return decode(logarithms[0], train_latents, logarithms[1], eval_latents).r2


def _visible_axes(logarithms: np.ndarray, least_share: float) -> np.ndarray:
    """(neuron, axis) the principal axes that each carry at least this share of the variance; the first in any case."""
    rows = logarithms.reshape(-1, logarithms.shape[-1])
    rows = rows[~np.isnan(rows).any(axis=1)]
    variances, axes = np.linalg.eigh(np.cov(rows, rowvar=False).reshape(rows.shape[1], -1))
    is_visible = variances >= least_share * variances.sum()
    is_visible[-1] = True
    return axes[:, is_visible]


def cross_decoding(
    train_source: np.ndarray, train_latents: np.ndarray, eval_source: np.ndarray, eval_latents: np.ndarray
) -> R2:
    """R2 of each latent, decoded from another model's latents of the same trials; arrays (trial, time, column).

    Raises:
        UndertowError: shapes that do not match.
    """
    return decode(train_source, train_latents, eval_source, eval_latents).r2
