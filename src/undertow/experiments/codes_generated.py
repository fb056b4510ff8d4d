"""Generated trials for the report: as many as recorded ones, or a few hundred, and all that tells one kind from the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from undertow.evaluation import generation
from undertow.evaluation.psth import SMOOTHING
from undertow.evaluation.smoothing import smooth
from undertow.evaluation.spike_summary import principal_axes, summary
from undertow.experiments import generating
from undertow.experiments.codes_walk import MOST_NEURONS, mean_over_trials
from undertow.report.codes import Generated
from undertow.vocabulary import UndertowError

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

MOST_DRAWN = 200
MOST_PAIRS = 2000
SHOWN = 3


def generated_beside(fitted: Fitted, trials: xr.Dataset, *, seed: int = 0) -> Generated:
    """Trials drawn from the model, beside these recorded ones."""
    number = min(MOST_DRAWN, trials.sizes["trial"])
    made = generating.sample(fitted, number, bins=trials.sizes["time"], seed=seed)
    recorded, generated = trials.counts.values, made.counts.values
    bin_width = float(trials.attrs["bin_width"])
    averages = np.stack(
        [
            mean_over_trials(smooth(counts, SMOOTHING / bin_width)) / bin_width
            for counts in (recorded, generated)
        ]
    )
    shown = _by_peak(averages[0])
    rates = np.stack([_trial_rates(counts, bin_width) for counts in (_some(recorded, number), generated)])
    statistics, note = _statistics(generated, recorded, bin_width)
    return Generated(
        time=trials.time.values,
        neurons=np.array([str(name) for name in trials.neuron.values])[shown],
        recorded=_some(recorded, SHOWN)[..., shown],
        generated=generated[:SHOWN][..., shown],
        averages=averages[..., shown],
        rates=np.stack([mean_over_trials(of_one) for of_one in rates]),
        deviations=np.stack([_deviation(of_one) for of_one in rates]),
        correlations=_correlations(recorded, generated, bin_width) if statistics else np.zeros((2, 0)),
        statistics=statistics,
        note=note,
        sizes=(len(recorded), len(generated)),
    )


def _some(values: np.ndarray, number: int) -> np.ndarray:
    """So many trials, evenly spaced."""
    return values[np.linspace(0, len(values) - 1, min(number, len(values))).round().astype(int)]


def _by_peak(average: np.ndarray) -> np.ndarray:
    """The most active neurons of (time, neuron), by the time of their peak."""
    course = np.nan_to_num(average)
    active = np.sort(np.argsort(-course.mean(axis=0), kind="stable")[:MOST_NEURONS])
    return active[np.argsort(course[:, active].argmax(axis=0), kind="stable")]


def _trial_rates(counts: np.ndarray, bin_width: float) -> np.ndarray:
    """(trial, neuron) Hz over the observed bins, NaN where there are none."""
    return mean_over_trials(np.moveaxis(counts, 1, 0)) / bin_width


def _deviation(rates: np.ndarray) -> np.ndarray:
    """(neuron,) standard deviations over trials of what is known."""
    return np.sqrt(mean_over_trials((rates - mean_over_trials(rates)) ** 2))


def _statistics(
    generated: np.ndarray, recorded: np.ndarray, bin_width: float
) -> tuple[dict[str, generation.Comparison], str]:
    """The statistics beside their floors, or none and the reason."""
    try:
        return generation.compare(generated, recorded, bin_width=bin_width), ""
    except UndertowError as error:
        return {}, str(error)


def _correlations(recorded: np.ndarray, generated: np.ndarray, bin_width: float) -> np.ndarray:
    """(2, pair) correlations of counts, evenly spaced over the pairs of neurons."""
    axes = principal_axes(recorded, bin_width)
    first, second = np.tril_indices(recorded.shape[2], -1)
    both = [
        generation.correlations(summary(counts, bin_width, axes))[first, second]
        for counts in (recorded, generated)
    ]
    return _some(np.stack(both, axis=1), MOST_PAIRS).T if len(first) else np.zeros((2, 0))
