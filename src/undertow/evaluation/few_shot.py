"""Few-shot co-smoothing: how well a model's factors predict held-out neurons when only k trials are there to learn the read-out.

Two models with equal co-smoothing can differ in what else their factors contain: a read-out learned from few trials is misled by
whatever does not help. Source: Dabholkar and Barak, arXiv 2405.14425. A small penalty (`alpha`) keeps the regressions finite.

    log E[n] = b + w z,     z = factors, standardised over the k trials, one regression for each held-out neuron
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from undertow.evaluation import poisson_regression
from undertow.evaluation.likelihood import bits_per_spike
from undertow.vocabulary import UndertowError

DRAWS = 5
ALPHA = 1e-3


@dataclass(frozen=True)
class FewShot:
    """Bits per spike of the evaluated trials: of each draw of k trials, (draw,), and their mean and standard deviation."""

    draws: np.ndarray

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(self.draws.mean())

    @property
    def deviation(self) -> float:
        """The standard deviation of the draws."""
        return float(self.draws.std(ddof=1)) if len(self.draws) > 1 else 0.0


def few_shot_co_smoothing(
    train_factors: np.ndarray,
    train_counts: np.ndarray,
    eval_factors: np.ndarray,
    eval_counts: np.ndarray,
    *,
    shots: int,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    seed: int = 0,
) -> FewShot:
    """Bits per spike of held-out neurons, from read-outs fitted to `shots` training trials, for several draws of trials.

    Args:
        train_factors: (trial, time, factor) factors, latents or log rates of held-in neurons; a model that was fitted
            without the held-out neurons gives the fairest comparison.
        train_counts: (trial, time, held-out neuron), NaN = not observed.
        eval_factors: (other trial, time, factor).
        eval_counts: (other trial, time, held-out neuron).
        shots: trials a draw, drawn without replacement.
        draws: how many.
        alpha: penalty of the Poisson regressions, as in `poisson_regression.fit`.
        seed: of the draws.

    Raises:
        UndertowError: shapes that do not match, values of factors that are not finite, or more shots than trials.
    """
    _check(train_factors, train_counts, "training")
    _check(eval_factors, eval_counts, "evaluated")
    if not 0 < shots <= len(train_factors):
        raise UndertowError(
            f"{shots} trials can't be drawn from {len(train_factors)}; choose between 1 and {len(train_factors)} shots."
        )
    generator = np.random.default_rng(seed)
    scores = []
    for _ in range(draws):
        chosen = np.sort(generator.choice(len(train_factors), shots, replace=False))
        readout = poisson_regression.fit(
            _rows(train_factors[chosen]), _rows(train_counts[chosen]), alpha=alpha
        )
        scores.append(bits_per_spike(readout(eval_factors), eval_counts))
    return FewShot(np.array(scores))


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def _check(factors: np.ndarray, counts: np.ndarray, split: str) -> None:
    if factors.ndim != 3 or counts.ndim != 3 or factors.shape[:2] != counts.shape[:2]:
        raise UndertowError(
            f"The {split} factors have the shape {factors.shape} and the counts {counts.shape}; both must have the axes (trial, "
            "time, column) with the same trials and bins."
        )
    if not np.isfinite(factors).all():
        raise UndertowError(
            f"{int((~np.isfinite(factors)).sum())} values of the {split} factors are not finite; leave out bins without factors."
        )
