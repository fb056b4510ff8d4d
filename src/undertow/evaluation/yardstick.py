"""The yardstick of every model: Gaussian smoothing, and Poisson regression for what smoothing cannot see.

* Neurons that an encoder sees: their own smoothed counts. A spike has a share in its own rate, so bits per
  spike on these neurons flatter the yardstick (as they flatter a model that copies its input); co-smoothing
  is the fair comparison.
* Held-out neurons: one Poisson regression each on ln(1 + smoothed count / mean count) of the neurons that
  are seen.
* Bins to be forecast: the smoothed mean count of that bin over training trials, times the ratio to it that a Poisson
  regression for each neuron expects after the last seen bin of the trial.

Everything is chosen and fitted on training trials: the width for the neurons that are seen by predicting each
bin from its neighbours, width and penalty of the regressions by cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr

from undertow.evaluation import poisson_regression
from undertow.evaluation.chunks import chunks
from undertow.evaluation.likelihood import mean_counts
from undertow.evaluation.smoothing import best_width, smooth
from undertow.vocabulary import COUNTS_AXES, ESTIMATE_SCHEMA, UndertowError

WIDTHS = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.2, 0.4)  # seconds; those under half a bin are left out
WIDTHS_IN_BINS = (1, 2, 4)
ALPHAS = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0)
PROFILE_WIDTH = 0.05  # seconds, of the Gaussian over each bin's mean count
FORWARD_ALPHAS = (1.0, 10.0, 100.0, 1000.0)
FOLDS = 5
ENTRIES_TO_CHOOSE = 400_000  # entries of the features from which width and penalty are chosen
NEURONS_TO_CHOOSE = 12  # held-out neurons for which they are chosen
ENTRIES_TO_FIT = 30_000_000  # entries of the features to which the regressions are fitted


@dataclass(frozen=True)
class Choice:
    """What was chosen on training trials.

    Attributes:
        smoothing_width: seconds, for the neurons that are seen.
        regression_width: seconds, for the features of the regressions.
        alpha: penalty of the regressions.
    """

    smoothing_width: float
    regression_width: float
    alpha: float


def yardstick(
    trials: xr.Dataset,
    *,
    widths: Sequence[float] | None = None,
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
) -> xr.Dataset:
    """An estimate of all trials by smoothing and Poisson regression, fitted on the training trials.

    Args:
        trials: as in `vocabulary`. Held-out neurons and forward bins are never seen; in training trials they
            are targets.
        widths: standard deviations of the Gaussian to choose from, seconds; by default from 10 to 400 ms.
        alphas: penalties to choose from, for the trials that they are chosen on; more data get a smaller one.
        seed: of the training trials and neurons that are drawn where using all would take long.

    Returns:
        `rates` in Hz on the coordinates of `trials`; the attributes tell what was chosen.

    Raises:
        UndertowError: no training trials, nothing that may be seen, or counts below zero.
    """
    _check(trials)
    bin_width = float(trials.attrs["bin_width"])
    seen = _seen(trials)
    train = np.random.default_rng(seed).permutation(np.flatnonzero(trials.split.values == "train"))
    choice = _choose(trials, seen, train, widths or _default_widths(bin_width), alphas)
    rates = _smoothed_rates(trials, seen, train, choice.smoothing_width / bin_width)
    features = _Features(mean_counts(seen[train]), choice.regression_width / bin_width)
    fitting = _first(train, seen, ENTRIES_TO_FIT)
    _regress_held_out(rates, trials, seen, fitting, features, choice.alpha)
    _regress_forward(rates, trials, seen, fitting, features, choice.alpha)
    rates /= bin_width
    attributes = {"schema": ESTIMATE_SCHEMA, "bin_width": bin_width, "model": "yardstick", **asdict(choice)}
    return xr.Dataset({"rates": (COUNTS_AXES, rates)}, coords=trials.coords, attrs=attributes)


@dataclass(frozen=True)
class _Features:
    """ln(1 + smoothed count / mean count) of the neurons that are seen; the ratio is 1 where it is not known.

    Attributes:
        mean: (neuron,) mean counts per bin in training.
        width: of the smoothing, in bins.
    """

    mean: np.ndarray
    width: float

    def __call__(self, seen: np.ndarray) -> np.ndarray:
        """(trial, time, neuron) counts to features of the same shape."""
        ratio = smooth(seen, self.width) / np.where(self.mean > 0, self.mean, 1)
        return np.log1p(np.where(np.isnan(ratio), 1, ratio))


def _check(trials: xr.Dataset) -> None:
    if not (trials.split.values == "train").any():
        raise UndertowError(
            "The yardstick is fitted on training trials, but there are none; split the trials first."
        )
    for name in ("held_out", "forward"):
        if trials[name].values.all():
            raise UndertowError(
                f"Every entry of '{name}' is true, so nothing is left to predict from; leave some out."
            )
    visible = trials.counts.values[trials.split.values == "train"][:, ~trials.forward.values][
        :, :, ~trials.held_out.values
    ]
    if np.isnan(visible).all():
        raise UndertowError(
            "No count is observed in the training trials, so there is nothing to smooth; check the splits."
        )
    lowest = float(trials.counts.min())
    if lowest < 0:
        raise UndertowError(
            f"The lowest count is {lowest:g}, but Poisson regression needs counts of at least 0; "
            "leave the yardstick out."
        )


def _seen(trials: xr.Dataset) -> np.ndarray:
    """(trial, time, held-in neuron) counts, NaN in the bins to be forecast."""
    counts = trials.counts.values[:, :, ~trials.held_out.values]
    return np.where(trials.forward.values[:, None], np.float32(np.nan), counts)


def _default_widths(bin_width: float) -> tuple[float, ...]:
    in_seconds = {width for width in WIDTHS if width >= 0.5 * bin_width}
    return tuple(sorted(in_seconds | {round(bins * bin_width, 9) for bins in WIDTHS_IN_BINS}))


def _first(trials: np.ndarray, seen: np.ndarray, entries: int) -> np.ndarray:
    """As many of `trials`, from the first on and at least one, as have about so many observed entries in `seen`."""
    before = np.cumsum([0, *(_observed(seen[trial]) for trial in trials[:-1])])
    return trials[before < entries]


def _observed(seen: np.ndarray) -> int:
    return int(np.count_nonzero(~np.isnan(seen)))


def _choose(
    trials: xr.Dataset, seen: np.ndarray, train: np.ndarray, widths: Sequence[float], alphas: Sequence[float]
) -> Choice:
    """Widths and penalty from a few training trials: the width with the middle penalty, then the penalty.

    The penalty is relative to the mean deviance, so it is made smaller by the fraction of the data that was used to choose it.
    """
    bin_width, bins = float(trials.attrs["bin_width"]), ~trials.forward.values
    few = _first(train, seen, ENTRIES_TO_CHOOSE)
    counts = seen[few][:, bins]
    smoothing = bin_width * best_width(counts, [width / bin_width for width in widths])
    neurons = np.flatnonzero(trials.held_out.values)
    neurons = neurons[np.linspace(0, len(neurons) - 1, min(len(neurons), NEURONS_TO_CHOOSE)).astype(int)]
    targets = _flat(trials.counts.values[few][:, bins][:, :, neurons])
    known = ~np.isnan(targets).all(axis=1)
    mean, alpha = mean_counts(counts), sorted(alphas)[len(alphas) // 2]
    if known.sum() < FOLDS:
        return Choice(smoothing, smoothing, alpha)

    def score(width: float, alpha: float) -> float:
        features = _flat(_Features(mean, width / bin_width)(counts))[known]
        return poisson_regression.validated_log_likelihood(features, targets[known], alpha=alpha, folds=FOLDS)

    regression = max(widths, key=lambda width: score(width, alpha))
    best = max(alphas, key=lambda alpha: score(regression, alpha))
    fraction = _observed(seen[few]) * (1 - 1 / FOLDS) / _observed(seen[_first(train, seen, ENTRIES_TO_FIT)])
    return Choice(smoothing, regression, best * fraction)


def _smoothed_rates(trials: xr.Dataset, seen: np.ndarray, train: np.ndarray, width: float) -> np.ndarray:
    """Counts per bin of all neurons, smoothed where seen; the mean of training where that says nothing, or of its neurons."""
    rates = np.zeros(trials.counts.shape, np.float32)
    smoothed, mean = smooth(seen, width), mean_counts(seen[train])
    mean = np.where(np.isnan(mean), np.nanmean(mean), mean)
    rates[:, :, ~trials.held_out.values] = np.where(np.isnan(smoothed), mean, smoothed)
    return rates


def _regress_held_out(
    rates: np.ndarray,
    trials: xr.Dataset,
    seen: np.ndarray,
    fitting: np.ndarray,
    features: _Features,
    alpha: float,
) -> None:
    """Write the held-out neurons' counts per bin into `rates`."""
    held_out, bins = trials.held_out.values, ~trials.forward.values
    if not held_out.any():
        return
    targets = trials.counts.values[fitting][:, bins][:, :, held_out]
    inputs = features(seen[fitting])[:, bins]
    regressions = poisson_regression.fit(_flat(inputs), _flat(targets), alpha=alpha)
    for part in chunks(seen.shape):
        rates[part][:, :, held_out] = regressions(features(seen[part]))


def _regress_forward(
    rates: np.ndarray,
    trials: xr.Dataset,
    seen: np.ndarray,
    fitting: np.ndarray,
    features: _Features,
    alpha: float,
) -> None:
    """Write the counts per bin of all neurons in the bins to be forecast into `rates`."""
    forward = trials.forward.values
    if not forward.any():
        return
    last = np.flatnonzero(~forward)[-1]
    targets = trials.counts.values[fitting][:, forward]
    profile = _profile(targets, PROFILE_WIDTH / float(trials.attrs["bin_width"]))
    observed = ~np.isnan(targets)
    exposure = (observed * profile).sum(axis=1)
    totals = np.where(observed.any(axis=1), np.nansum(targets, axis=1), np.nan)
    inputs = features(seen[fitting])[:, last]
    penalty = _forward_penalty(inputs, totals, exposure, alpha)
    regressions = poisson_regression.fit(inputs, totals, alpha=penalty, exposure=exposure)
    for part in chunks(seen.shape):
        ratio = regressions(features(seen[part])[:, last])
        rates[part][:, forward] = ratio[:, None] * profile


def _forward_penalty(inputs: np.ndarray, totals: np.ndarray, exposure: np.ndarray, alpha: float) -> float:
    """The penalty of forecasts: each trial gives them one row only, so they may need a much larger one than `alpha`."""
    if len(inputs) < 2 * FOLDS:
        return max(FORWARD_ALPHAS)
    neurons = np.flatnonzero(np.nansum(totals, axis=0) > 0)
    neurons = neurons[np.linspace(0, len(neurons) - 1, min(len(neurons), NEURONS_TO_CHOOSE)).astype(int)]

    def score(penalty: float) -> float:
        return poisson_regression.validated_log_likelihood(
            inputs, totals[:, neurons], alpha=penalty, folds=FOLDS, exposure=exposure[:, neurons]
        )

    return max((alpha, *(one for one in FORWARD_ALPHAS if one > alpha)), key=score)


def _profile(counts: np.ndarray, width: float) -> np.ndarray:
    """(time, neuron) mean count of each bin over trials, smoothed by `width` bins; one trial of the neuron's mean is counted in.

    So a bin in which no spike happened to fall is not taken for impossible; nor is a neuron, which has half a spike at least.
    """
    observed = np.isfinite(counts)
    mean = np.nan_to_num(mean_counts(counts))
    mean = np.maximum(mean, 0.5 / np.maximum(observed.sum(axis=(0, 1)), 1))
    total = np.where(observed, counts, 0).sum(axis=0, dtype=np.float64) + mean
    return smooth((total / (observed.sum(axis=0) + 1))[None], width)[0]


def _flat(values: np.ndarray) -> np.ndarray:
    """(trial, time, column) to (row, column)."""
    return values.reshape(values.shape[0] * values.shape[1], values.shape[2])
