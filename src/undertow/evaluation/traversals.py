"""What a walk through codes changes: how far the behaviours move that it should leave alone, and whether its own keeps rising.

    walk = leakage(decoded, target=2, spread=real.std(0))
    walk.mean, monotonicity(decoded[..., 2])

`decoded` are behaviours read from the activity that was generated along the walk, with the same decoder at every step; an
angle is unwrapped (`numpy.unwrap`) before its steps are compared, and told by cosine and sine where it is to stay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from undertow.vocabulary import UndertowError

STANDS_STILL = 1e-6  # standard deviations over the steps


class Leakage(NamedTuple):
    """How far behaviours move, in their own standard deviations, while the target moves by one of its own.

    Attributes:
        of_average: (behaviour,) for the average over trials; of the target it is 1. A straight line's slope, without its sign.
        of_trials: (behaviour,) for trials one by one, root mean square, the decoder's and the sampler's noise included.
        mean: `of_average`, the mean over all behaviours but the target; NaN where the target stands still or is alone.
        moved: how far the target goes from the first step to the last, in its standard deviations, with its sign.
    """

    of_average: np.ndarray
    of_trials: np.ndarray
    mean: float
    moved: float


def leakage(decoded: np.ndarray, *, target: int, spread: np.ndarray) -> Leakage:
    """What a traversal of one behaviour does to the others.

    Args:
        decoded: (step, trial, behaviour), each trial at every step of the walk.
        target: which behaviour the walk is to change.
        spread: (behaviour,) standard deviations over real trials.

    Raises:
        UndertowError: shapes that do not match, fewer than two steps, or spreads that are not positive.
    """
    _check(decoded, target, spread)
    paths = np.asarray(decoded, np.float64) / spread
    average = paths.mean(axis=1)
    size = average.std(axis=0)
    size_of_trials = np.sqrt(paths.var(axis=0).mean(axis=0))
    moves = size[target] > STANDS_STILL
    others = np.arange(len(size)) != target
    of_average = size / (size[target] if moves else np.nan)
    return Leakage(
        of_average=of_average,
        of_trials=size_of_trials / (size_of_trials[target] if moves else np.nan),
        mean=float(of_average[others].mean()) if others.any() else float("nan"),
        moved=float(average[-1, target] - average[0, target]),
    )


def monotonicity(decoded: np.ndarray) -> float:
    """Spearman's correlation of the decoded target with the step of the walk, the mean over trials: 1 if it always rises.

    Args:
        decoded: (step, trial); a trial that stands still counts as 0.
    """
    if np.ndim(decoded) != 2 or len(decoded) < 2:
        raise UndertowError(
            f"The decoded target has the shape {np.shape(decoded)}, but must be (step, trial) with at least 2 steps."
        )
    ranks = rankdata(decoded, axis=0)
    ranks = ranks - ranks.mean(axis=0)
    steps = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    size = np.sqrt((ranks**2).sum(axis=0) * (steps**2).sum())
    return float(np.divide(steps @ ranks, size, out=np.zeros_like(size), where=size > 0).mean())


def _check(decoded: np.ndarray, target: int, spread: np.ndarray) -> None:
    shape = np.shape(decoded)
    if len(shape) != 3 or shape[0] < 2 or np.shape(spread) != shape[2:]:
        raise UndertowError(
            f"The decoded behaviours have the shape {shape} and their spreads {np.shape(spread)}; give (step, trial, behaviour) "
            "with at least 2 steps, and one spread for each behaviour."
        )
    if not 0 <= target < shape[2]:
        raise UndertowError(f"The target is behaviour {target}, but there are {shape[2]}, counted from 0.")
    if not (np.isfinite(spread) & (np.asarray(spread) > 0)).all():
        raise UndertowError(
            f"The spreads are {np.asarray(spread).tolist()}, but must be positive; leave out what does not vary."
        )
