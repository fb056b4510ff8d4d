"""From features to neurons that are never seen: a Poisson regression for each, and its penalty by cross-validation.

    log rate = W f + b,    kept within exp(+-10) of the neuron's mean

The regressions are those of `evaluation.poisson_regression`; here they become arrays of a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from undertow.evaluation import poisson_regression
from undertow.evaluation.likelihood import mean_counts
from undertow.evaluation.poisson_regression import LARGEST_LOG_RATIO

SMALLEST_MEAN = 1e-5
ENTRIES_TO_CHOOSE = 200_000  # entries of the features from which a penalty is chosen
NEURONS_TO_CHOOSE = 8  # neurons for which it is chosen
ENTRIES_TO_FIT = 30_000_000  # entries of the features to which the regressions are fitted


class PoissonReadout(eqx.Module):
    """Expected counts a bin from features."""

    weights: Float[Array, "feature neuron"]
    bias: Float[Array, " neuron"]
    log_mean: Float[Array, " neuron"]

    def __call__(self, features: Float[Array, "time feature"]) -> Float[Array, "time neuron"]:
        """The rates at these features."""
        log_ratio = features @ self.weights + (self.bias - self.log_mean)[None]
        return jnp.exp(self.log_mean[None] + jnp.clip(log_ratio, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO))


class Rows(NamedTuple):
    """Features (row, feature), all finite, counts (row, neuron) with NaN = not observed, and which trial a row is from."""

    features: np.ndarray
    counts: np.ndarray
    trial: np.ndarray

    def at(self, chosen: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(*(part[chosen] for part in self))


def empty(features: int, neurons: int) -> PoissonReadout:
    """A read-out of this shape: each neuron has the rate 1, whatever the features."""
    zeros = jnp.zeros(neurons, jnp.float32)
    return PoissonReadout(jnp.zeros((features, neurons), jnp.float32), zeros, zeros)


def rows_of(features: np.ndarray, counts: np.ndarray, bins: np.ndarray) -> Rows:
    """Rows where any count was observed.

    Args:
        features: (trial, time, feature).
        counts: (trial, time, neuron).
        bins: (time,) bool, those to take.
    """
    is_used = np.isfinite(counts).any(axis=2) & bins
    trial = np.broadcast_to(np.arange(len(counts))[:, None], is_used.shape)
    return Rows(
        features[is_used].astype(np.float64),
        counts[is_used].astype(np.float64),
        trial[is_used],
    )


def fit(rows: Rows, *, alpha: float, wanted: np.ndarray, seed: int = 0) -> PoissonReadout:
    """One regression for each column of the counts that is `wanted` (neuron); the mean for the others.

    Of very many rows a random part is enough.
    """
    rows = _some(rows, ENTRIES_TO_FIT, seed)
    features, neurons = rows.features.shape[1], rows.counts.shape[1]
    weights, bias = np.zeros((features, neurons)), np.log(np.fmax(mean_counts(rows.counts), SMALLEST_MEAN))
    log_mean = bias.copy()
    moves = _moves(rows)
    if len(rows.features) and wanted.any():
        fitted = poisson_regression.fit(rows.features[:, moves], rows.counts[:, wanted], alpha=alpha)
        scaled = fitted.weights / fitted.scale[:, None]
        weights[np.ix_(moves, wanted)] = scaled
        log_mean[wanted] = np.log(fitted.mean)
        bias[wanted] = fitted.intercept + log_mean[wanted] - fitted.centre @ scaled
    return PoissonReadout(*(jnp.asarray(part, jnp.float32) for part in (weights, bias, log_mean)))


def best_alpha(rows: Rows, alphas: Sequence[float], *, folds: int, seed: int = 0) -> tuple[float, float]:
    """The penalty whose regressions best predict trials that they were not fitted to, and their log-likelihood in nats a spike.

    Where the rows are many, the choice is made on a random part of them and of the neurons.
    """
    neurons = rows.counts.shape[1]
    some = np.linspace(0, neurons - 1, min(neurons, NEURONS_TO_CHOOSE)).astype(int)
    rows = rows._replace(features=rows.features[:, _moves(rows)], counts=rows.counts[:, some])
    rows = _some(rows, ENTRIES_TO_CHOOSE, seed)
    scores = {alpha: _left_out(rows, alpha, folds) for alpha in alphas}
    best = max(scores, key=scores.__getitem__)
    return best, scores[best] / max(np.nansum(rows.counts), 1.0)


def words_of(held_out: np.ndarray, folds: int) -> str:
    """What `best_alpha` selects on, as a clause."""
    which = "held-out neurons" if held_out.any() else "all neurons"
    return f"the likelihood of {which} in {folds}-fold cross-validation over training trials"


def fold_of(trials: int, folds: int) -> np.ndarray:
    """(trial,) which fold each belongs to: every `folds`-th trial, so that slow drifts reach all of them."""
    return np.arange(trials) % folds


def _some(rows: Rows, entries: int, seed: int) -> Rows:
    """Whole rows, drawn at random, that hold about so many entries of the features; all of them where they are fewer."""
    count = len(rows.features)
    kept = max(entries // max(rows.features.shape[1], 1), 1)
    if count <= kept:
        return rows
    return rows.at(np.sort(np.random.default_rng(seed).choice(count, kept, replace=False)))


def _moves(rows: Rows) -> np.ndarray:
    """(feature,) those that are not constant."""
    return np.ptp(rows.features, axis=0) > 0 if len(rows.features) else np.zeros(rows.features.shape[1], bool)


def _left_out(rows: Rows, alpha: float, folds: int) -> float:
    """The log-likelihood (without its constant) of each fold's trials, fitted on the others."""
    fold, total = rows.trial % folds, 0.0
    for number in range(folds):
        others, inside = rows.at(fold != number), rows.at(fold == number)
        if len(others.features) and len(inside.features):
            expected = poisson_regression.fit(others.features, others.counts, alpha=alpha)(inside.features)
            total += np.nansum(inside.counts * np.log(expected) - expected + 0 * inside.counts)
    return float(total)
