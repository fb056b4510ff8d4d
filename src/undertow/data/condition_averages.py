"""Where sessions meet: principal components of the condition averages that they share, and each session's way there and back.

Trials of the same condition are taken to pass through the same states in every session, however other its neurons are. So the
averages of all sessions' neurons over each condition, side by side, have a few components that all sessions see, and each
session is regressed onto them (principal component regression; Pandarinath et al. 2018, methods of multi-session LFADS)::

    X_s   averages of session s, (condition x bin, neuron), smoothed, each neuron centred and divided by its standard deviation
    Z     the K leading principal components of [X_1 X_2 ...], the first of variance one
    W_s   = argmin |Z - X_s W|^2 + ridge |W|^2: ((counts - mean) / deviation) W_s is session s' view of Z
    C_s   Poisson regression of the averages on Z: log of the expected counts = Z C_s + c_s

    shared = alignment(several, components=20)
    start = align_to(shared, tuesday)                    # another session of the same conditions

Training trials alone are averaged; held-out neurons have no part in Z and no way in, but a way back; bins that are to be forecast
are left out, and those that fewer than half of the trials of some condition observed. What was not observed is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from undertow.vocabulary import UndertowError

SMOOTHING = 0.02  # seconds, the published standard deviation
RIDGE = 1.0  # the published penalty, beside a sum over conditions and bins of variance one each
FOLDS = 10
RIDGES = tuple(10.0**power for power in range(-2, 6))  # tried where none is given
SHRINKAGE = 0.03  # penalty on the read-out, beside the information in a neuron's counts on a component of variance one
ENOUGH = 0.5  # of the trials of a condition: a bin that fewer observed, as after the end of most, is left out
SILENT = 1e-6  # counts of a bin: no neuron is taken to have a lower mean
BLOCK = 2_000_000  # numbers in memory at once
STEPS, CONVERGED, LARGEST_LOG = 30, 1e-6, 10.0  # of Newton's method
STILL = 1e-6  # of the first component's deviation: a component below does not vary
_NAMED = 4  # conditions named in an error


class SessionStart(NamedTuple):
    """One session's way to the shared components and back.

    Attributes:
        read_in: (neuron, component), from centred counts of a bin to the components; zero for held-out neurons.
        mean: (neuron,) counts of a bin where the components are zero, which are taken off before.
        readout: (component, neuron), from components of variance one to the log of the expected counts of a bin.
        bias: (neuron,) the log of the expected counts where the components are zero.
    """

    read_in: np.ndarray
    mean: np.ndarray
    readout: np.ndarray
    bias: np.ndarray


class Alignment(NamedTuple):
    """What several sessions share, and each one's way there and back, by the session's name.

    Attributes:
        components: (condition, time, component), of mean zero; the first of variance one, the others of less.
        deviation: (component,) their standard deviations.
        explained: (component,) the share of the variance of all averages (each neuron's is one) that each explains.
        conditions: the conditions that all sessions have, in order.
        time: (time,) seconds, the centres of the bins that enough trials of all sessions observed.
        bin_width: seconds.
        column: the column of `trial` that holds the condition.
        smoothing: seconds, the standard deviation of the Gaussian that smoothed the averages.
        ridge: the penalty; None where cross-validation chose one for each session.
        starts: each session's read-in, mean, read-out and bias.
    """

    components: np.ndarray
    deviation: np.ndarray
    explained: np.ndarray
    conditions: tuple
    time: np.ndarray
    bin_width: float
    column: str
    smoothing: float
    ridge: float | None
    starts: dict[str, SessionStart]


def alignment(
    several: Mapping[str, xr.Dataset],
    *,
    components: int,
    column: str = "condition",
    smoothing: float = SMOOTHING,
    ridge: float | None = RIDGE,
) -> Alignment:
    """The components that sessions share, from the averages over the conditions that all of them have.

    Args:
        several: trials by the session's name, with the same bins (`undertow.sessions`).
        components: how many, K.
        column: the column of `trial` with the condition.
        smoothing: seconds, the standard deviation of a Gaussian along time.
        ridge: the penalty of each session's regression; None: by cross-validation over conditions.

    Raises:
        UndertowError: a session without the column, no condition or bin that all sessions have, or more components than
            neurons or bins that vary.
    """
    conditions = _common_conditions({name: _conditions(name, each, column) for name, each in several.items()})
    averages = {
        name: condition_averages(each, conditions, column=column, smoothing=smoothing)
        for name, each in several.items()
    }
    first = next(iter(several.values()))
    bins = ~first.forward.values & np.all(
        [_seen_bins(each, conditions, column) for each in several.values()], axis=0
    )
    if not bins.any():
        raise UndertowError(
            f"There is no bin that half of the trials of all {len(conditions)} common conditions observed in all {len(several)} "
            "sessions; align the sessions alike, or leave the shortest one out."
        )
    tables = {name: _Table.of(each[:, bins], several[name]) for name, each in averages.items()}
    scores, deviation, explained = _principal(
        [table.standard[:, table.is_held_in] for table in tables.values()], components
    )
    folds = np.repeat(np.arange(len(conditions)), int(bins.sum()))
    return Alignment(
        components=scores.reshape(len(conditions), int(bins.sum()), components),
        deviation=deviation,
        explained=explained,
        conditions=tuple(conditions),
        time=first.time.values[bins],
        bin_width=float(first.attrs["bin_width"]),
        column=column,
        smoothing=smoothing,
        ridge=ridge,
        starts={name: _start(table, scores, deviation, ridge, folds) for name, table in tables.items()},
    )


def align_to(shared: Alignment, trials: xr.Dataset) -> SessionStart:
    """Another session's way to components that are known, from the conditions and bins that it has of theirs.

    Raises:
        UndertowError: no column of conditions, another bin width, no condition or bin of those that the components have.
    """
    name = str(trials.attrs.get("session", "session"))
    width = float(trials.attrs["bin_width"])
    if abs(width - shared.bin_width) > 1e-6 * shared.bin_width:
        raise UndertowError(
            f"Session '{name}' has bins of {width:g} s, the components have {shared.bin_width:g} s; convert it with "
            f"--bin-width {shared.bin_width:g}."
        )
    own = {"the components": list(shared.conditions), name: _conditions(name, trials, shared.column)}
    conditions = _common_conditions(own)
    averages = condition_averages(trials, conditions, column=shared.column, smoothing=shared.smoothing)
    distance = np.abs(trials.time.values[:, None] - shared.time[None])
    has_place = (
        (distance.min(axis=1) < width / 2)
        & ~trials.forward.values
        & _seen_bins(trials, conditions, shared.column)
    )
    if not has_place.any():
        raise UndertowError(
            f"Session '{name}' observed none of the bins of the components, {shared.time[0]:g} to {shared.time[-1]:g} s; align "
            "it to the same event."
        )
    rows = [shared.conditions.index(condition) for condition in conditions]
    scores = shared.components[rows][:, distance.argmin(axis=1)[has_place]].reshape(-1, len(shared.deviation))
    folds = np.repeat(np.arange(len(conditions)), int(has_place.sum()))
    table = _Table.of(averages[:, has_place], trials)
    return _start(table, scores, shared.deviation, shared.ridge, folds)


def condition_averages(
    trials: xr.Dataset, conditions: Sequence, *, column: str = "condition", smoothing: float = SMOOTHING
) -> np.ndarray:
    """(condition, time, neuron) mean counts of a bin over the training trials of each condition, smoothed along time.

    NaN where no trial of the condition observed the neuron in any bin that the Gaussian, of standard deviation `smoothing` in
    seconds, reaches; bins after a session's end stay NaN.
    """
    counts, labels = trials.counts.values, trials[column].values
    is_train = trials.split.values.astype(str) == "train"
    total, observed = np.empty((2, len(conditions), *counts.shape[1:]))
    for row, condition in enumerate(conditions):
        members = counts[is_train & (labels == condition)]
        total[row] = np.nansum(members, axis=0, dtype=np.float64)
        observed[row] = np.isfinite(members).sum(axis=0)
    kernel = _kernel(counts.shape[1], smoothing / float(trials.attrs["bin_width"]))
    with np.errstate(invalid="ignore"):
        smooth = (kernel @ total) / (kernel @ observed)
    return np.where(observed.any(axis=2, keepdims=True), smooth, np.nan)


def _kernel(bins: int, deviation: float) -> np.ndarray:
    """(bin, bin) weights of a Gaussian out to four deviations, in bins."""
    distance = np.arange(bins)[:, None] - np.arange(bins)[None]
    if deviation <= 0:
        return np.eye(bins)
    return np.exp(-0.5 * (distance / deviation) ** 2) * (np.abs(distance) <= 4 * deviation)


def _conditions(name: str, trials: xr.Dataset, column: str) -> list:
    """The conditions of the training trials, in order."""
    if column not in trials.coords or trials[column].dims != ("trial",):
        columns = [other for other, values in trials.coords.items() if values.dims == ("trial",)]
        raise UndertowError(
            f"Session '{name}' has no column '{column}' of conditions (its columns are {', '.join(map(str, columns))}); name the "
            "one that says what each trial was, or begin without condition averages."
        )
    return np.unique(trials[column].values[trials.split.values.astype(str) == "train"]).tolist()


def _common_conditions(own: Mapping[str, list]) -> list:
    """The conditions that all have, in the order of the first."""
    first, *others = own.values()
    shared = [condition for condition in first if all(condition in other for other in others)]
    if not shared:
        found = "; ".join(f"'{name}': {_some(conditions)}" for name, conditions in own.items())
        raise UndertowError(
            f"No condition is in the training trials of all sessions ({found}); give the same condition the same name in all."
        )
    return shared


def _some(conditions: Sequence) -> str:
    more = f" and {len(conditions) - _NAMED} more" if len(conditions) > _NAMED else ""
    return ", ".join(repr(condition) for condition in conditions[:_NAMED]) + more


def _seen_bins(trials: xr.Dataset, conditions: Sequence, column: str) -> np.ndarray:
    """(time,) whether enough training trials of every condition observed something in the bin."""
    is_seen = np.isfinite(trials.counts.values).any(axis=2)
    is_train = trials.split.values.astype(str) == "train"
    shares = [
        is_seen[is_train & (trials[column].values == condition)].mean(axis=0) for condition in conditions
    ]
    return np.min(shares, axis=0) >= ENOUGH


class _Table(NamedTuple):
    """A session's averages as rows of conditions and bins.

    Attributes:
        averages: (row, neuron) counts of a bin, NaN where nothing was observed.
        mean: (neuron,) counts of a bin.
        deviation: (neuron,), infinite for a neuron that does not vary.
        standard: (row, neuron), of mean zero and variance one; zero where nothing was observed.
        is_held_in: (neuron,) whether an encoder sees it.
    """

    averages: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    standard: np.ndarray
    is_held_in: np.ndarray

    @classmethod
    def of(cls, averages: np.ndarray, trials: xr.Dataset) -> _Table:
        rows = averages.reshape(-1, averages.shape[2])
        number = np.maximum(np.isfinite(rows).sum(axis=0), 1)
        mean = np.nansum(rows, axis=0) / number
        centred = np.where(np.isfinite(rows), rows - mean, 0.0)
        deviation = np.sqrt((centred**2).sum(axis=0) / number)
        deviation = np.where(deviation > 1e-9 * np.maximum(mean, 1e-9), deviation, np.inf)
        return cls(rows, mean, deviation, centred / deviation, ~trials.held_out.values)


def _principal(tables: Sequence[np.ndarray], components: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (row, component) of which the first has variance one, their deviations, and shares of the variance."""
    together = np.concatenate(tables, axis=1)
    if not 1 <= components <= min(together.shape):
        raise UndertowError(
            f"{components} components can't be found in {together.shape[0]} bins of condition averages of {together.shape[1]} "
            f"neurons; choose 1 to {min(together.shape)}."
        )
    together = together - together.mean(axis=0)
    left, singular, _ = np.linalg.svd(together, full_matrices=False)
    rank = int((singular > STILL * singular[0]).sum()) if singular[0] > 0 else 0
    if components > rank:
        raise UndertowError(
            f"{components} components can't be found in condition averages that vary in {rank} directions; choose "
            f"{'at most ' + str(rank) if rank else 'other trials, in which something varies'}."
        )
    kept = left[:, :components]
    kept = kept * np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=0)[None], axis=0))
    deviation = singular[:components] / singular[0]
    return kept * np.sqrt(len(kept)) * deviation, deviation, (singular**2 / (singular**2).sum())[:components]


def _start(
    table: _Table, scores: np.ndarray, deviation: np.ndarray, ridge: float | None, folds: np.ndarray
) -> SessionStart:
    is_seen, scale = table.is_held_in, np.where(np.isfinite(table.deviation), table.deviation, 0.0)
    shift = _at_the_origin(table.standard, scores)
    seen = (table.standard - shift)[:, is_seen]
    chosen = _chosen_ridge(seen, scores, folds) if ridge is None else ridge
    read_in = np.zeros((len(table.mean), len(deviation)))
    read_in[is_seen] = _ridge(seen, scores, chosen) / table.deviation[is_seen, None]
    readout, bias = _readout(scores, table.averages)
    start = SessionStart(read_in, table.mean + scale * shift, readout * deviation[:, None], bias)
    return SessionStart(*(array.astype(np.float32) for array in start))


def _at_the_origin(standard: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(neuron,) where the neurons are when the components are zero: not at their mean in a session that has a part of
    the conditions or bins alone."""
    mean = scores.mean(axis=0)
    return -mean @ _ridge(scores - mean, standard, RIDGE)


def _readout(scores: np.ndarray, averages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (component, neuron) and bias (neuron,) of log averages: Newton's steps to the penalised Poisson likelihood.

    Least squares to the logarithm would hang on the averages near zero, which are few spikes or none. The penalty is in
    proportion to a neuron's counts and spares large components, so that small ones, which are mostly noise, add little.
    """
    is_seen = np.isfinite(averages)
    counts, number = np.where(is_seen, averages, 0.0), np.maximum(is_seen.sum(axis=0), 1)
    inputs = np.concatenate([scores, np.ones((len(scores), 1))], axis=1)
    weights = np.zeros((inputs.shape[1], counts.shape[1]))
    weights[-1] = np.log(np.maximum(counts.sum(axis=0) / number, SILENT))
    penalty = np.outer(np.append(np.full(scores.shape[1], SHRINKAGE), 0.0), counts.sum(axis=0)) + SILENT
    for _ in range(STEPS):
        expected = is_seen * np.exp(np.minimum(inputs @ weights, LARGEST_LOG))
        slope = inputs.T @ (expected - counts) + penalty * weights
        curvature = _curvature(inputs, expected)
        curvature[:, *np.diag_indices(len(weights))] += penalty.T
        step = np.linalg.solve(curvature, slope.T[..., None])[..., 0].T
        weights -= step
        if np.abs(step).max() < CONVERGED:
            break
    return weights[:-1], weights[-1]


def _curvature(inputs: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """(neuron, input, input): the sum over rows of expected counts times products of two inputs, in blocks of rows."""
    size = inputs.shape[1]
    total = np.zeros((expected.shape[1], size**2))
    rows = max(1, BLOCK // size**2)
    for begin in range(0, len(inputs), rows):
        block = inputs[begin : begin + rows]
        products = block[:, :, None] * block[:, None, :]
        total += expected[begin : begin + rows].T @ products.reshape(len(block), -1)
    return total.reshape(-1, size, size)


def _ridge(inputs: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """(input, target) least squares without intercept; an input that never varies gets zero."""
    gram = inputs.T @ inputs + (penalty + 1e-9 * len(inputs)) * np.eye(inputs.shape[1])
    return np.linalg.solve(gram, inputs.T @ targets)


def _chosen_ridge(seen: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> float:
    """The penalty that predicts conditions it was not fitted to best."""
    fold = folds % min(FOLDS, len(np.unique(folds)))
    errors = np.zeros(len(RIDGES))
    for left_out in np.unique(fold):
        here, there = fold != left_out, fold == left_out
        for place, penalty in enumerate(RIDGES):
            weights = _ridge(seen[here], scores[here], penalty)
            errors[place] += ((scores[there] - seen[there] @ weights) ** 2).sum()
    return RIDGES[int(errors.argmin())]
