"""Do generated spike trials look like recorded ones: the statistics of LDNS and more, each beside what chance alone makes of it.

    scores = compare(generated, real, bin_width=0.005)       # counts (trial, time, neuron)
    scores["correlation_rmse"].value, scores["correlation_rmse"].floor

The floor of every statistic is its median over random splits of the real trials into two halves that share none. Halves
are smaller than the whole, so that trials of the very same process score somewhat below the floor: at about 0.7 of it for as
many trials as were recorded.

* `spike_count_kl`: Kullback-Leibler divergence of generated from real, of the number of spikes of all neurons in a bin
  (nats), both smoothed by a Gaussian kernel as `scipy.stats.gaussian_kde` does;
* `correlation_rmse`: of the correlation between neurons, over pairs; a silent neuron correlates with none;
* `interval_mean_rmse`, `interval_sd_rmse`: of inter-spike intervals (s), over neurons with at least two on both sides;
* `rate_mean_rmse`, `rate_sd_rmse`: of the mean rate, and of its standard deviation over trials (Hz), over neurons;
* `population_spectrum_rmse`, `component_spectrum_rmse`: of the decimal logarithm of the power over frequencies, of the
  population's spikes and of the real trials' principal components;
* `sliced_wasserstein`, `mmd_squared`: distances between trials as wholes, told by these components in coarse bins. The second
  falls on either side of 0, so that its floor is the root mean square.

The first four are those of LDNS (arXiv 2407.08751), but for the halves: theirs may share trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from undertow.evaluation.sample_distances import Memorisation, memorisation, mmd_squared, sliced_wasserstein
from undertow.evaluation.spike_summary import Summary, halves, principal_axes, summary, trial_features
from undertow.vocabulary import UndertowError

SIGNED = ("mmd_squared",)  # statistics whose mean is 0 for samples of one process
SMALLEST_PROBABILITY = 1e-12
FEWEST = 4  # trials: two for each half


class Comparison(NamedTuple):
    """A statistic of generated trials against real ones.

    Attributes:
        value: 0 is best.
        floor: the same between halves of the real trials, the median over splits.
    """

    value: float
    floor: float

    @property
    def ratio(self) -> float:
        """How many floors; NaN without one."""
        return self.value / self.floor if self.floor > 0 else float("nan")


def compare(
    generated: np.ndarray,
    real: np.ndarray,
    *,
    bin_width: float,
    repeats: int = 5,
    ldns_scale: bool = False,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Every statistic of generated trials against real ones, with its floor.

    Args:
        generated: (trial, time, neuron) counts.
        real: (other trial, time, neuron) counts, NaN = not observed.
        bin_width: seconds.
        repeats: splits of the real trials.
        ldns_scale: give the correlations' RMSE on the scale of the published table, whose mean runs over all entries of the
            matrix, so that it is smaller by sqrt((N - 1) / 2N): 0.705 for 182 neurons.
        seed: of splits and random directions.

    Raises:
        UndertowError: other neurons or bins, fewer than four trials, or what `spike_summary.summary` refuses.
    """
    _check(generated, real, repeats)
    # Threads of BLAS wait for each other where others compute too: small products took thirty times as long.
    with threadpool_limits(limits=1, user_api="blas"):
        return _compared(generated, real, bin_width, repeats, ldns_scale=ldns_scale, seed=seed)


def _compared(
    generated: np.ndarray, real: np.ndarray, bin_width: float, repeats: int, **how: float
) -> dict[str, Comparison]:
    axes = principal_axes(real, bin_width)
    theirs = summary(real, bin_width, axes, "real trials")
    ours = summary(generated, bin_width, axes, "generated trials")
    values = statistics(ours, theirs, **how)
    generator = np.random.default_rng(how["seed"])
    splits = [statistics(*halves(theirs, generator), **how) for _ in range(repeats)]
    return {
        name: Comparison(value, floor_of(name, [split[name] for split in splits]))
        for name, value in values.items()
    }


def copied(
    generated: np.ndarray, held_out: np.ndarray, training: np.ndarray, *, bin_width: float
) -> Memorisation:
    """Whether generated trials lie nearer to training trials than real trials held out do, in the training trials' components.

    Args:
        generated: (trial, time, neuron) counts.
        held_out: (other trial, time, neuron) counts, never trained on.
        training: (training trial, time, neuron) counts.
        bin_width: seconds.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        axes = principal_axes(training, bin_width)
        sets = {"generated trials": generated, "trials held out": held_out, "training trials": training}
        return memorisation(*(trial_features(counts, bin_width, axes, name) for name, counts in sets.items()))


def floor_of(name: str, values: Sequence[float]) -> float:
    """What a statistic is by chance, from its values between halves of the real trials."""
    return float(np.sqrt(np.mean(np.square(values))) if name in SIGNED else np.median(values))


def statistics(model: Summary, data: Summary, *, ldns_scale: bool = False, seed: int = 0) -> dict[str, float]:
    """Every statistic of one summary against another, by name; arguments as for `compare`."""
    table: Mapping[str, Callable[[Summary, Summary], float]] = {
        "spike_count_kl": lambda one, other: spike_count_kl(_counted(one), _counted(other)),
        "correlation_rmse": partial(_correlation_rmse, ldns_scale=ldns_scale),
        "interval_mean_rmse": lambda one, other: _rmse(_interval_means(one), _interval_means(other)),
        "interval_sd_rmse": lambda one, other: _rmse(_interval_sds(one), _interval_sds(other)),
        "rate_mean_rmse": lambda one, other: _rmse(_rate_means(one), _rate_means(other)),
        "rate_sd_rmse": lambda one, other: _rmse(_rate_sds(one), _rate_sds(other)),
        "population_spectrum_rmse": lambda one, other: _log_rmse(
            one.population_power, other.population_power
        ),
        "component_spectrum_rmse": lambda one, other: _log_rmse(one.component_power, other.component_power),
        "sliced_wasserstein": lambda one, other: _of_features(
            partial(sliced_wasserstein, seed=seed), one, other
        ),
        "mmd_squared": partial(_of_features, mmd_squared),
    }
    return {name: float(statistic(model, data)) for name, statistic in table.items()}


def spike_count_kl(model: np.ndarray, data: np.ndarray) -> float:
    """KL(model || data), nats, of whole numbers (sample,) each, after a kernel density estimate at 0, 1, 2, ..."""
    highest = int(max(model.max(), data.max()))
    p, q = (count_density(samples, highest) for samples in (model, data))
    return float((p * np.log(p / q)).sum())


def count_density(samples: np.ndarray, highest: int) -> np.ndarray:
    """Probabilities of 0 to `highest`: Scott's Gaussian kernel over the samples, evaluated there and normalised."""
    number = np.bincount(samples.astype(np.int64), minlength=highest + 1)
    spread = samples.std(ddof=1) if len(samples) > 1 else 0.0
    width = max(spread * len(samples) ** (-1 / 5), 1e-3)
    value = np.arange(highest + 1)
    density = np.exp(-0.5 * ((value[:, None] - value) / width) ** 2) @ number
    density = np.maximum(density / density.sum(), SMALLEST_PROBABILITY)
    return density / density.sum()


def correlations(of: Summary) -> np.ndarray:
    """(neuron, neuron) correlations of counts over all bins; 0 for a neuron that never changes."""
    covariance = of.moments.scatter
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    return covariance * scale * scale[:, None]


def _correlation_rmse(model: Summary, data: Summary, *, ldns_scale: bool) -> float:
    neurons = model.counts.shape[2]
    if neurons < 2:
        return float("nan")
    squared = np.tril(correlations(model) - correlations(data), -1) ** 2
    return np.sqrt(squared.sum() / (neurons**2 if ldns_scale else neurons * (neurons - 1) / 2))


def _counted(of: Summary) -> np.ndarray:
    return of.population[of.complete]


def _interval_means(of: Summary) -> np.ndarray:
    number, total, _ = of.intervals.sum(axis=1)
    return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 1)


def _interval_sds(of: Summary) -> np.ndarray:
    number, _, squares = of.intervals.sum(axis=1)
    mean = _interval_means(of)
    return np.sqrt(np.maximum(squares / np.maximum(number, 1) - mean**2, 0))


def _rates_of_trials(of: Summary) -> np.ndarray:
    """(trial, neuron) Hz, of the trials that have complete bins."""
    seconds = of.complete.sum(axis=1) * of.bin_width
    return of.spikes[seconds > 0] / seconds[seconds > 0, None]


def _rate_means(of: Summary) -> np.ndarray:
    return of.spikes.sum(axis=0) / (of.complete.sum() * of.bin_width)


def _rate_sds(of: Summary) -> np.ndarray:
    return _rates_of_trials(of).std(axis=0)


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
    squared = (one - other) ** 2
    known = squared[np.isfinite(squared)]
    return float(np.sqrt(known.mean())) if known.size else float("nan")


def _log_rmse(one: np.ndarray, other: np.ndarray) -> float:
    """RMSE of log10 of the power's mean over trials, each (trial, frequency, ...), over what has power on both sides."""
    power = [_known(values).mean(axis=0) if len(_known(values)) else np.zeros(0) for values in (one, other)]
    if not all(values.size for values in power):
        return float("nan")
    there = (power[0] > 0) & (power[1] > 0)
    return _rmse(np.log10(power[0][there]), np.log10(power[1][there]))


def _of_features(distance: Callable[[np.ndarray, np.ndarray], float], one: Summary, other: Summary) -> float:
    """A distance between whole trials, in the spread of the second set's."""
    first, second = _known(one.features), _known(other.features)
    if min(len(first), len(second)) < 2:
        return float("nan")
    scale = np.sqrt(second.var(axis=0).mean()) or 1.0
    return distance(first / scale, second / scale)


def _known(values: np.ndarray) -> np.ndarray:
    """The trials without NaN."""
    return values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]


def _check(generated: np.ndarray, real: np.ndarray, repeats: int) -> None:
    shapes = np.shape(generated), np.shape(real)
    if any(len(shape) != 3 for shape in shapes) or shapes[0][1:] != shapes[1][1:]:
        raise UndertowError(
            f"The generated trials have the shape {shapes[0]} and the real ones {shapes[1]}; both must be (trial, time, neuron) "
            "with the same bins and neurons."
        )
    if min(shapes[0][0], shapes[1][0]) < FEWEST:
        raise UndertowError(
            f"There are {shapes[0][0]} generated and {shapes[1][0]} real trials, but at least {FEWEST} of each are needed."
        )
    if repeats < 1:
        raise UndertowError(f"The number of repeats is {repeats}, but a floor needs at least 1.")
