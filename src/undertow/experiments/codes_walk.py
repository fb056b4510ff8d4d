"""A walk for the report: the best-read behaviour is moved through its range, and the activity is put beside recordings.

Behaviour is decoded from generated spikes by a ridge decoder that was fitted to recorded training trials alone; recorded and
generated counts are smoothed alike before.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from undertow.evaluation.psth import SMOOTHING
from undertow.evaluation.r2 import r2
from undertow.evaluation.smoothing import smooth
from undertow.evaluation.traversals import leakage, monotonicity
from undertow.evaluation.unseen_conditions import LAGS, hand_decoder
from undertow.experiments import generating
from undertow.report.codes import Paths, Walk
from undertow.vocabulary import UndertowError

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

STEPS, SOURCES = 7, 12
CHANGED = 4
MOST_NEURONS = 60
MOST_CHANNELS = 4
POSITIONS = ("hand", "cursor", "finger", "pos")
SHORTEST = 3 * max(LAGS)
"""Bins of trials for which the decoder looks back."""


class Near(NamedTuple):
    """Recorded trials near each step of a walk: `member` (trial,) the step, -1 for none."""

    member: np.ndarray

    def means(self, values: np.ndarray) -> np.ndarray:
        """(step, ...) averages over each step's trials, NaN where it has none or nothing is known."""
        return np.stack([mean_over_trials(values[self.member == step]) for step in range(STEPS)])


def walk_along(
    fitted: Fitted, trials: xr.Dataset, codes: np.ndarray, told: Mapping[str, float], angles: set[str]
) -> Walk | None:
    """A walk along one behaviour.

    Args:
        fitted: a model with codes.
        trials: without test trials.
        codes: (trial, code_dimension) theirs.
        told: R2 of every behaviour that may be walked along or kept, the best-read first.
        angles: those that are angles.

    Returns:
        The walk along the best-read behaviour, or along an angle that is read half as well: it has no ends; None where the code
        has no room for any.
    """
    fitting = [name for name in told if codes.shape[1] >= (2 if name in angles else 1)]
    if not fitting:
        return None
    round_trips = [name for name in fitting if name in angles and told[name] >= 0.5 * told[fitting[0]]]
    behaviour = (round_trips or fitting)[0]
    training = np.flatnonzero(trials.split.values.astype(str) == generating.SUBSETS)
    sources = training[
        np.unique(np.linspace(0, len(training) - 1, min(SOURCES, len(training))).round().astype(int))
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # codes outside the data: told as a share
        made = generating.traverse(
            fitted,
            trials,
            behaviour,
            steps=STEPS,
            sources=sources,
            keep=_kept(codes.shape[1], tuple(told), behaviour, angles),
        )
    outside = _outside(codes[training], made.distance.values)
    return _told(fitted, trials, made, behaviour, outside, is_angle=behaviour in angles)


def _kept(dimension: int, ranked: Sequence[str], behaviour: str, angles: set[str]) -> list[str]:
    """As many of the other behaviours, the best-read first, as the code has dimensions for."""
    room, kept = dimension - (2 if behaviour in angles else 1), []
    for name in ranked:
        needed = 2 if name in angles else 1
        if name != behaviour and needed <= room:
            kept, room = [*kept, name], room - needed
    return kept


def _told(
    fitted: Fitted, trials: xr.Dataset, made: xr.Dataset, behaviour: str, outside: float, *, is_angle: bool
) -> Walk:
    asked = made.asked.values[:STEPS]
    near = near_steps(generating.behaviours_of(trials)[behaviour], asked, is_angle=is_angle)
    rates = made.true_rates.values.reshape(-1, STEPS, *made.true_rates.shape[1:])
    averages = mean_over_trials(rates)
    changed = _most_changed(averages)
    shown = _most_active(averages)
    width = SMOOTHING / float(trials.attrs["bin_width"])
    recorded = smooth(trials.counts.values, width)
    names = np.array([str(name) for name in trials.neuron.values])
    again = generating.read_again(fitted, trials, made, behaviour)
    moves = again.spread > 0
    leak = leakage(again.decoded[..., moves], target=0, spread=again.spread[moves]) if moves[0] else None
    others = [name for name, is_moving in zip(again.names, moves, strict=True) if is_moving][1:]
    return Walk(
        behaviour=behaviour,
        is_angle=is_angle,
        asked=asked,
        time=trials.time.values,
        source=int(made.source.values[0]),
        counts=made.counts.values[:STEPS][..., shown],
        rates=made.true_rates.values[:STEPS][..., shown],
        neurons=names[shown],
        changed=tuple(names[changed]),
        recorded=near.means(recorded[..., changed]) / float(trials.attrs["bin_width"]),
        generated=averages[..., changed],
        near=np.bincount(near.member[near.member >= 0], minlength=STEPS),
        read=again.decoded[..., 0],
        others={} if leak is None else dict(zip(others, leak.of_average[1:].tolist(), strict=True)),
        monotonicity=monotonicity(again.decoded[..., 0]),
        outside=outside,
        paths=_paths(trials, made, recorded, near, is_placed=is_angle or behaviour[-2:] in ("_x", "_y")),
    )


def near_steps(values: np.ndarray, asked: np.ndarray, *, is_angle: bool) -> Near:
    """Each recorded trial's step: the nearest asked value, no farther than half of a step."""
    away = values[:, None] - asked
    away = np.abs(np.angle(np.exp(1j * away)) if is_angle else away)
    nearest = away.argmin(axis=1)
    half = 0.5 * abs(asked[1] - asked[0]) * (1 + 1e-6)
    return Near(np.where(away.min(axis=1) <= half, nearest, -1))


def mean_over_trials(values: np.ndarray) -> np.ndarray:
    """The average along the first axis of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _most_changed(averages: np.ndarray) -> np.ndarray:
    """Neurons whose average course (step, time, neuron) differs most between steps, in units of their own Poisson scatter."""
    spread = np.nan_to_num(averages.var(axis=0)).mean(axis=0)
    mean = np.nan_to_num(averages).mean(axis=(0, 1))
    return np.argsort(-spread / np.maximum(mean, 0.1), kind="stable")[:CHANGED]


def _most_active(averages: np.ndarray) -> np.ndarray:
    """The most active neurons of (step, time, neuron), by the step at which they fire most, then by the time of their peak."""
    known = np.nan_to_num(averages)
    active = np.argsort(-known.mean(axis=(0, 1)), kind="stable")[:MOST_NEURONS]
    favourite = known[..., active].mean(axis=1).argmax(axis=0)
    peak = known[favourite, :, active].argmax(axis=1)
    return active[np.lexsort((peak, favourite))]


def _outside(codes: np.ndarray, distance: np.ndarray) -> float:
    """The share of distances (Mahalanobis) far beyond that of every training code (trial, code_dimension)."""
    away = codes - codes.mean(axis=0)
    inverse = np.linalg.pinv(np.cov(codes.T).reshape(codes.shape[1], -1))
    farthest = np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away).max())
    return float((distance > generating.FAR * farthest).mean())


def _paths(
    trials: xr.Dataset, made: xr.Dataset, recorded: np.ndarray, near: Near, *, is_placed: bool
) -> Paths | None:
    """Behaviour of recorded trials near each step, and what one decoder reads from recorded and from generated activity.

    Of positions that average to nothing over trials, because the walk is not along what places them, the distance from the
    start.
    """
    if "behaviour" not in trials:
        return None
    channels, plane = drawn_channels([str(name) for name in trials.behaviour_channel.values])
    behaviour = trials.behaviour.sel(behaviour_channel=list(channels)).values
    split = trials.split.values.astype(str)
    is_training = split == generating.SUBSETS
    lags = LAGS if trials.sizes["time"] >= SHORTEST else (0,)
    try:
        decoder = hand_decoder(recorded[is_training], behaviour[is_training], lags=lags)
    except UndertowError:  # too few complete bins
        return None
    has_others = (~is_training).sum() >= 2 * STEPS
    read = (~is_training if has_others else is_training) & (near.member >= 0)
    of_recorded = np.full(behaviour.shape, np.nan)
    of_recorded[read] = decoder(recorded[read])
    of_generated = decoder(smooth(made.counts.values, SMOOTHING / float(trials.attrs["bin_width"])))
    quality = r2(of_recorded[read], behaviour[read]).mean
    if plane is not None and not is_placed:
        behaviour, of_recorded, of_generated = map(from_start, (behaviour, of_recorded, of_generated))
        channels, plane = ("distance from the start",), None
    return Paths(
        channels=channels,
        recorded=near.means(np.where(read[:, None, None], behaviour, np.nan)),
        of_recorded=near.means(of_recorded),
        of_generated=mean_over_trials(of_generated.reshape(-1, STEPS, *of_generated.shape[1:])),
        r2=quality,
        read_from="validation trials" if has_others else "training trials",
        plane=plane,
    )


def from_start(path: np.ndarray) -> np.ndarray:
    """(trial, time, 1): how far a path (trial, time, channel) is from its first known place; NaN where it is not known."""
    known = np.isfinite(path).all(axis=2)
    first = path[np.arange(len(path)), known.argmax(axis=1)]
    return np.linalg.norm(path - first[:, None], axis=2, keepdims=True)


def drawn_channels(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, int] | None]:
    """Channels to draw: x and y of a position, where two are called so, else the first few; and where x and y are in them."""
    for name in sorted(names, key=lambda name: not any(word in name for word in POSITIONS)):
        stem = name.removesuffix("x")
        is_position = stem != name and not any(word in name for word in ("vel", "acc", "speed", "force"))
        if is_position and stem + "y" in names:
            return (name, stem + "y"), (0, 1)
    return tuple(names[:MOST_CHANNELS]), None
