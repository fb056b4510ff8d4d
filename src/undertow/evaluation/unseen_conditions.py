"""Activity that was generated for a condition nobody trained on: where does it take the hand, and does it look as recorded?

    decoder = hand_decoder(training_rates, training_hand)          # real training trials only
    scores = unseen_scores(decoder, Reaching(generated, asked_hand, asked_target), Reaching(real, hand, target))

The hand is read by one decoder from generated and from real activity, smoothed alike: what it reaches on real trials of the
unseen condition is the ceiling. Trial averages are compared as well, which needs no behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from undertow.evaluation import decoding
from undertow.evaluation.psth import SMOOTHING
from undertow.evaluation.r2 import r2
from undertow.evaluation.regression import LinearMap
from undertow.evaluation.smoothing import smooth
from undertow.vocabulary import UndertowError

LAGS = (0, 2, 4, 6, 8)  # bins of history
ALPHAS = tuple(np.logspace(-4, 6, 11))
LAST = 5  # bins that tell where the hand ends


@dataclass(frozen=True)
class HandDecoder:
    """From the rates of some bins to where the hand is; called with (trial, time, neuron), it gives (trial, time, channel).

    Attributes:
        linear_map: from the rates at all lags to the channels.
        lags: bins by which rates precede the hand.
        alpha: the penalty that was chosen.
    """

    linear_map: LinearMap
    lags: tuple[int, ...]
    alpha: float

    def __call__(self, rates: np.ndarray) -> np.ndarray:
        neurons = len(self.linear_map.weights) // len(self.lags)
        if np.ndim(rates) != 3 or rates.shape[2] != neurons:
            raise UndertowError(
                f"The rates have the shape {np.shape(rates)}, but the decoder was fitted to {neurons} neurons; "
                "pass (trial, time, neuron) of the same neurons."
            )
        return decoding.predicted(self.linear_map, rates, self.lags)


class Reaching(NamedTuple):
    """Activity and the reaches that belong to it: those made, or those that were asked for.

    Attributes:
        rates: (trial, time, neuron), smoothed and in units as in training.
        hand: (trial, time, channel), cm.
        target: (trial, channel), cm.
    """

    rates: np.ndarray
    hand: np.ndarray
    target: np.ndarray


def hand_decoder(
    rates: np.ndarray,
    hand: np.ndarray,
    *,
    lags: Sequence[int] = LAGS,
    alphas: Sequence[float] = ALPHAS,
) -> HandDecoder:
    """A ridge decoder of the hand, the penalty chosen by cross-validation; fit it to real training trials and nothing else.

    Args:
        rates: (trial, time, neuron).
        hand: (trial, time, channel) positions.
        lags: bins by which rates precede the hand, several at once.
        alphas: penalties to choose from.
    """
    linear_map, alpha = decoding.fitted(rates, hand, alphas=alphas, lags=lags)
    return HandDecoder(linear_map, tuple(lags), alpha)


def endpoint_errors(decoded: np.ndarray, target: np.ndarray, *, last: int = LAST) -> np.ndarray:
    """How far the hand ends from the target, (trial,): the mean of the `last` known bins against it.

    Args:
        decoded: (trial, time, channel), NaN = not known.
        target: (trial, channel).
        last: bins; NaN is given for a trial that has none.
    """
    if np.ndim(decoded) != 3 or np.shape(target) != (len(decoded), decoded.shape[2]):
        raise UndertowError(
            f"The hand has the shape {np.shape(decoded)} and the targets {np.shape(target)}; give (trial, time, channel) and "
            "(trial, channel)."
        )
    known = ~np.isnan(decoded).any(axis=2)
    is_last = known & (np.cumsum(known[:, ::-1], axis=1)[:, ::-1] <= last)
    number = is_last.sum(axis=1)
    total = np.where(is_last[..., None], decoded, 0).sum(axis=1)
    end = np.divide(total, number[:, None], out=np.full(total.shape, np.nan), where=number[:, None] > 0)
    return np.linalg.norm(end - target, axis=1)


def unseen_scores(
    decoder: HandDecoder, generated: Reaching, real: Reaching, *, last: int = LAST
) -> dict[str, float]:
    """Where the hand goes, in generated and, as the ceiling, in real trials of the unseen condition.

    Returns:
        `hand_r2` (mean over channels, against the paths asked for) and `endpoint_error` (mean over trials, the unit of the
        hand), and both `_of_real`.
    """
    scores = {}
    for ending, reaching in (("", generated), ("_of_real", real)):
        decoded = decoder(reaching.rates)
        scores[f"hand_r2{ending}"] = r2(decoded, np.asarray(reaching.hand)).mean
        scores[f"endpoint_error{ending}"] = float(
            np.nanmean(endpoint_errors(decoded, reaching.target, last=last))
        )
    return scores


def psth_scores(
    generated: np.ndarray,
    real: np.ndarray,
    training: np.ndarray,
    *,
    bin_width: float,
    smoothing: float = SMOOTHING,
    repeats: int = 5,
    seed: int = 0,
) -> dict[str, float]:
    """How much of what is special about an unseen condition the average of its generated trials has.

        R2 = 1 - sum (real - generated)^2 / sum (real - training)^2

    with sums over bins and neurons of averages over trials, all smoothed alike: 0 is the average of the training trials.

    Args:
        generated: (trial, time, neuron), rates in Hz for this condition.
        real: (other trial, time, neuron), counts recorded in this condition, NaN = not observed.
        training: (training trial, time, neuron), counts.
        bin_width: seconds.
        smoothing: standard deviation of the Gaussian, seconds.
        repeats: splits of the real trials for the ceiling.
        seed: of these splits.

    Returns:
        `psth_r2`, and `psth_r2_of_real`: of one half of the real trials for the other, the median over splits, with the noise
        of both halves in it.
    """
    width = smoothing / bin_width
    if len(real) < 2:
        raise UndertowError(
            f"There are {len(real)} real trials of the unseen condition, but two halves need at least 2."
        )
    base = _average(training, width) / bin_width
    scores = {"psth_r2": _r2_beyond(base, _average(generated, width), _average(real, width) / bin_width)}
    generator, ceilings = np.random.default_rng(seed), []
    for _ in range(repeats):
        one, other = np.array_split(generator.permutation(len(real)), 2)
        ceilings.append(
            _r2_beyond(base, _average(real[one], width) / bin_width, _average(real[other], width) / bin_width)
        )
    return scores | {"psth_r2_of_real": float(np.median(ceilings))}


def _average(values: np.ndarray, width: float) -> np.ndarray:
    """The smoothed mean over trials, (time, neuron), NaN where no trial has a value."""
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    mean = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return np.where(np.isnan(mean), np.nan, smooth(mean[None], width)[0]) if width > 0 else mean


def _r2_beyond(base: np.ndarray, predicted: np.ndarray, truth: np.ndarray) -> float:
    if not base.shape == predicted.shape == truth.shape:
        raise UndertowError(
            f"The averages have the shapes {predicted.shape} (generated), {truth.shape} (real) and {base.shape} (training); they "
            "must have the same bins and neurons."
        )
    known = ~np.isnan(base + predicted + truth)
    special = ((truth - base)[known] ** 2).sum()
    return float(1 - ((truth - predicted)[known] ** 2).sum() / special) if special > 0 else float("nan")
