"""How well behaviour can be read out from rates: cross-validated ridge regression, scored on other trials.

    behaviour(t) = sum over lags of rates(t - lag) weights + intercept

As in the Neural Latents Benchmark the rows are all bins of all trials one after the other, the five folds are
blocks of consecutive rows, penalties go from 1e-4 to 1, nothing is standardised, and the score is R2, the
mean over channels. The regressions need only sums of products, so the memory does not grow with the number of
trials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from undertow.evaluation import regression
from undertow.evaluation.chunks import CHUNK_ENTRIES, chunks
from undertow.evaluation.r2 import R2, r2
from undertow.vocabulary import UndertowError

ALPHAS = tuple(np.logspace(-4, 0, 9))


@dataclass(frozen=True)
class Decoding:
    """What a decoder reached on the trials it was not fitted on.

    Attributes:
        r2: of each behaviour channel; `.mean` is the usual score.
        prediction: (trial, time, channel), NaN where the rates of a lag are not known.
        alpha: the penalty that was chosen.
        decoder: the fitted map from the rates at all lags to behaviour.
    """

    r2: R2
    prediction: np.ndarray
    alpha: float
    decoder: regression.LinearMap


def decode(
    rates_train: np.ndarray,
    behaviour_train: np.ndarray,
    rates_test: np.ndarray,
    behaviour_test: np.ndarray,
    *,
    alphas: Sequence[float] = ALPHAS,
    lags: int | Sequence[int] = 0,
    folds: int = 5,
) -> Decoding:
    """Fit a decoder on training trials and score it on others.

    Args:
        rates_train: (trial, time, neuron).
        behaviour_train: (trial, time, channel).
        rates_test: (other trial, time, neuron).
        behaviour_test: (other trial, time, channel).
        alphas: penalties to choose from; the first of the best is taken.
        lags: bins by which the rates precede behaviour, one or several at once; negative: they follow it.
        folds: blocks of the cross-validation.

    Rows in which a rate or a channel is NaN are left out, also where a lag reaches beyond the trial.

    Raises:
        UndertowError: shapes that do not match, or fewer complete rows than folds.
    """
    _check(rates_test, behaviour_test)
    decoder, alpha = fitted(rates_train, behaviour_train, alphas=alphas, lags=lags, folds=folds)
    prediction = predicted(decoder, rates_test, lags)
    return Decoding(r2(prediction, behaviour_test), prediction, alpha, decoder)


def fitted(
    rates: np.ndarray,
    behaviour: np.ndarray,
    *,
    alphas: Sequence[float] = ALPHAS,
    lags: int | Sequence[int] = 0,
    folds: int = 5,
) -> tuple[regression.LinearMap, float]:
    """The decoder, from the rates at all lags to behaviour, and its penalty; arguments and errors as for `decode`."""
    _check(rates, behaviour)
    blocks = _fold_moments(rates, behaviour, _every(lags), folds)
    alpha = _best_alpha(blocks, alphas)
    return regression.fit(sum(blocks[1:], start=blocks[0]), alpha), alpha


def predicted(decoder: regression.LinearMap, rates: np.ndarray, lags: int | Sequence[int] = 0) -> np.ndarray:
    """Behaviour (trial, time, channel) that a decoder reads from rates (trial, time, neuron); NaN where a lag is not known."""
    every_lag = _every(lags)
    return np.concatenate([decoder(lagged(rates[part], every_lag)) for part in _parts(rates, every_lag)])


def _every(lags: int | Sequence[int]) -> tuple[int, ...]:
    return (lags,) if isinstance(lags, (int, np.integer)) else tuple(lags)


def lagged(rates: np.ndarray, lags: Sequence[int]) -> np.ndarray:
    """The rates of `lag` bins ago for all lags, (trial, time, lag x neuron) float64; NaN outside the trial."""
    trials, bins, neurons = rates.shape
    columns = np.full((trials, bins, len(lags), neurons), np.nan)
    for index, lag in enumerate(lags):
        earlier = slice(max(-lag, 0), bins - max(lag, 0))
        later = slice(max(lag, 0), bins - max(-lag, 0))
        if abs(lag) < bins:
            columns[:, later, index] = rates[:, earlier]
    return columns.reshape(trials, bins, -1)


def _parts(rates: np.ndarray, lags: Sequence[int]) -> Iterator[slice]:
    return chunks(rates.shape, CHUNK_ENTRIES // max(1, len(lags)))


def _rows(
    rates: np.ndarray, behaviour: np.ndarray, lags: Sequence[int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The complete rows of a few trials at a time: regressors (row, column) and behaviour (row, channel)."""
    for part in _parts(rates, lags):
        columns = lagged(rates[part], lags)
        x = columns.reshape(-1, columns.shape[-1])
        y = behaviour[part].reshape(-1, behaviour.shape[-1])
        known = regression.complete_rows(x, y)
        yield x[known], y[known]


def _fold_moments(
    rates: np.ndarray, behaviour: np.ndarray, lags: Sequence[int], folds: int
) -> list[regression.Moments]:
    """The moments of `folds` blocks of consecutive complete rows; the first blocks take the rows left over."""
    rows = sum(len(x) for x, _ in _rows(rates, behaviour, lags))
    if rows < folds:
        raise UndertowError(
            f"Only {rows} bins have both rates and behaviour, too few for {folds} folds; "
            "pass more training trials."
        )
    ends = np.cumsum([len(block) for block in np.array_split(np.arange(rows), folds)])
    blocks: list[regression.Moments] = []
    done = 0
    for x, y in _rows(rates, behaviour, lags):
        if not blocks and len(x):
            blocks = [regression.no_rows(np.concatenate([x, y], axis=1).mean(axis=0), x.shape[1])] * folds
        fold = np.searchsorted(ends, np.arange(done, done + len(x)), side="right")
        for index in np.unique(fold):
            inside = fold == index
            blocks[index] = blocks[index] + regression.moments(x[inside], y[inside], blocks[index].origin)
        done += len(x)
    return blocks


def _best_alpha(blocks: Sequence[regression.Moments], alphas: Sequence[float]) -> float:
    """The penalty with the best R2, averaged over channels and over the blocks that were left out in turn."""
    everything = sum(blocks[1:], start=blocks[0])
    scores = [
        np.nanmean([regression.r2_from(regression.fit(everything - block, alpha), block) for block in blocks])
        for alpha in alphas
    ]
    return float(alphas[int(np.argmax(scores))])


def _check(rates: np.ndarray, behaviour: np.ndarray) -> None:
    if rates.ndim != 3 or behaviour.ndim != 3 or rates.shape[:2] != behaviour.shape[:2]:
        raise UndertowError(
            f"The rates have the shape {rates.shape} and the behaviour {behaviour.shape}; both must have "
            "the axes (trial, time, column) with the same trials and bins."
        )
