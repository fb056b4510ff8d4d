"""How the Neural Latents Benchmark compares rates with behaviour: decoded velocity, and neural speed against produced time.

vel R2: one decoder for each column of the decode masks, a ridge regression of behaviour on the rates of the same bin, fitted to
the training trials with its penalty chosen among 1e-4 ... 1 by five-fold cross-validation over consecutive rows, scored by R2
on the evaluated trials, mean over channels, then over decoders. Behaviour is lagged already.

tp corr: a trial's neural speed is the mean over its scored bins of |r(t + 1) - r(t)| over all neurons; Pearson's correlation with
the produced time tp within each condition, mean over conditions. The more negative, the better.
"""

from __future__ import annotations

import numpy as np

from undertow.evaluation.decoding import decode
from undertow.vocabulary import UndertowError

CONDITION_COLUMNS = slice(0, 3)
"""Of the behaviour of DMFC_RSG: is_eye, theta, is_short, followed by ts and tp."""

Masks = tuple[np.ndarray | None, np.ndarray | None]


def vel_r2(
    train_rates: np.ndarray,
    train_behaviour: np.ndarray,
    eval_rates: np.ndarray,
    eval_behaviour: np.ndarray,
    *,
    masks: Masks = (None, None),
) -> float:
    """R2 of velocity decoded from rates.

    Args:
        train_rates: (trial, time, neuron).
        train_behaviour: (trial, time, channel); bins whose first channel is NaN are left out.
        eval_rates: (other trial, time, neuron).
        eval_behaviour: (other trial, time, channel).
        masks: of the training and of the evaluated trials, each (trial, decoder) bool; None: one decoder for all trials.

    Raises:
        UndertowError: NaN rates or NaN further channels in bins with a first channel, a decoder without trials on either
            side, or too few bins.
    """
    train_mask = _mask(masks[0], train_rates)
    eval_mask = _mask(masks[1], eval_rates)
    for rates, behaviour, split in (
        (train_rates, train_behaviour, "training"),
        (eval_rates, eval_behaviour, "evaluated"),
    ):
        _check_rows(rates, behaviour, split)
    scores = []
    for index, (train, evaluated) in enumerate(zip(train_mask.T, eval_mask.T, strict=True)):
        if not (train.any() and evaluated.any()):
            raise UndertowError(
                f"Decoder {index + 1} of {train_mask.shape[1]} has {train.sum()} training and {evaluated.sum()} evaluated "
                "trials; each decode mask needs trials on both sides."
            )
        decoding = decode(
            _chosen(train_rates, train),
            _chosen(train_behaviour, train),
            _chosen(eval_rates, evaluated),
            _chosen(eval_behaviour, evaluated),
        )
        scores.append(decoding.r2.mean)
    return float(np.mean(scores))


def tp_corr(counts_held_out: np.ndarray, rates: np.ndarray, behaviour: np.ndarray) -> float:
    """The correlation of neural speed with the produced time, averaged over conditions; NaN if a speed does not vary.

    Args:
        counts_held_out: (trial, time, held-out neuron); bins where the first is NaN are not scored.
        rates: (trial, time, neuron) of all neurons.
        behaviour: (trial, 5): is_eye, theta, is_short, ts and tp; NaN for trials to be left out. Conditions with fewer than two
            trials have no correlation and are left out.

    Raises:
        UndertowError: NaN rates in scored bins, or no condition has two trials.
    """
    scored = ~np.isnan(counts_held_out[..., 0])
    speeds = np.array(
        [_speed(trial[bins].astype(np.float64)) for trial, bins in zip(rates, scored, strict=True)]
    )
    labels, produced = behaviour[:, CONDITION_COLUMNS], behaviour[:, -1].astype(np.float64)
    known = ~np.isnan(labels).any(axis=1)
    if np.isnan(speeds[known]).any():
        raise UndertowError(
            f"The neural speed of trial {np.flatnonzero(known & np.isnan(speeds))[0]} is not known: it has NaN rates or fewer "
            "than two scored bins; give finite rates from the Set cue to Go."
        )
    _, which, sizes = np.unique(labels[known], axis=0, return_inverse=True, return_counts=True)
    if not (sizes > 1).any():
        raise UndertowError(
            f"None of the {len(sizes)} conditions has two evaluated trials; score more trials to correlate speed and time."
        )
    return float(
        np.mean(
            [
                _correlation(speeds[known][which.ravel() == index], produced[known][which.ravel() == index])
                for index in np.flatnonzero(sizes > 1)
            ]
        )
    )


def _mask(mask: np.ndarray | None, rates: np.ndarray) -> np.ndarray:
    return np.ones((len(rates), 1), dtype=bool) if mask is None else np.asarray(mask, dtype=bool)


def _chosen(values: np.ndarray, trials: np.ndarray) -> np.ndarray:
    """Without a copy where all trials are chosen."""
    return values if trials.all() else values[trials]


def _check_rows(rates: np.ndarray, behaviour: np.ndarray, split: str) -> None:
    known = ~np.isnan(behaviour[..., 0])
    for what, values in (("rate", rates), ("behaviour channel", behaviour)):
        wrong = np.isnan(values).any(axis=-1) & known
        if wrong.any():
            where = tuple(int(index) for index in np.argwhere(wrong)[0])
            raise UndertowError(
                f"A {what} of the {split} trials is NaN in {int(wrong.sum())} bins to decode, the first at (trial, bin) {where}; "
                "give finite values wherever the first channel of behaviour is known."
            )


def _speed(trial: np.ndarray) -> float:
    """The mean length of the steps of (time, neuron) rates."""
    if len(trial) < 2:
        return np.nan
    return float(np.linalg.norm(np.diff(trial, axis=0), axis=1).mean())


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    first, second = one - one.mean(), other - other.mean()
    spread = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / spread) if spread > 0 else np.nan
