"""Trials of reaching: known, independent factors make hand paths, these drive a population, and conditions can be held out.

    trials = reaching(hold_out_angles="45:90")             # reaches into this sector are "test", the others train and validate
    trials.reach_angle, trials.curvature, trials.behaviour.sel(behaviour_channel="hand_x")

Time runs from the onset of the movement. `reaches` says how the hand moves, `motor_population` what its neurons do, and
`unseen_reaches` what is held out. All trials with the same factors would have the same rates: spikes are the only noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.simulate import spikes
from undertow.data.simulate.motor_population import random_population
from undertow.data.simulate.reaches import Ranges, Reaches, drawn
from undertow.data.simulate.unseen_reaches import unseen
from undertow.data.trials import trials as as_trials
from undertow.vocabulary import UndertowError, closest

CHANNELS = ("hand_x", "hand_y", "velocity_x", "velocity_y")
PREPARATION = 0.3  # of a trial, before the movement begins

ANGLES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "continuous": lambda condition, within: condition + within,
    "grid": lambda condition, _: condition.astype(np.float64),
}


def reaching(  # noqa: PLR0913 - what of the experiment may be moved, all by name
    *,
    trials: int = 1000,
    neurons: int = 60,
    latents: int = 10,
    bins: int = 50,
    bin_width: float = 0.02,
    preparation: float | None = None,
    conditions: int = 8,
    angles: str = "continuous",
    distances: Sequence[float] = Ranges().distance,
    peak_speeds: Sequence[float] = Ranges().peak_speed,
    curvatures: Sequence[float] = Ranges().curvature,
    starts: Sequence[float] = Ranges().start,
    mean_rate: float = 10.0,
    depth: float = 0.6,
    hold_out_angles: Any = None,
    hold_out_conditions: Any = None,
    hold_out_targets: Any = None,
    valid: float = 0.2,
    seed: int = 0,
) -> xr.Dataset:
    """Trials of reaching, with hand paths, factors, true rates and latents.

    Args:
        trials: how many, spread evenly over the conditions, in random order.
        neurons: how many.
        latents: dimensions of what all neurons read.
        bins: bins of a trial.
        bin_width: seconds.
        preparation: seconds before the movement begins; three tenths of the trial by default.
        conditions: sectors of the reach angle, all equally wide; the first begins at 0.
        angles: "continuous": anywhere in the condition's sector; "grid": where it begins.
        distances: cm, the shortest and longest.
        peak_speeds: cm/s, the lowest and highest.
        curvatures: cm, the lowest and highest bow of the hand path to the left of the straight line.
        starts: cm, the lowest and highest x and y of the hand before the reach.
        mean_rate: Hz, over all neurons, trials and bins.
        depth: standard deviation of a neuron's log rate.
        hold_out_angles: sectors such as "45:90", in degrees, one or a list: their trials are "test".
        hold_out_conditions: conditions by number, one or a list, likewise.
        hold_out_targets: cells such as "0:5,5:10", x and y in cm, one or a list, likewise.
        valid: the fraction of validation trials, taken within every condition.
        seed: factors, population, spikes and split follow from it; what is held out changes the split alone.

    Returns:
        Trials with `behaviour` (hand position, cm, and velocity, cm/s, at the bins' centres), `true_rates` (Hz),
        `true_latents`, `condition`, `split`, and on each trial `start_x`, `start_y`, `target_x`, `target_y`,
        `reach_distance` and `curvature` (cm), `reach_angle` (radians), `peak_speed` (cm/s), `reach_duration` (s) and
        `unseen` (bool: held out).

    Raises:
        UndertowError: sizes and ranges that make no reaches, and what is held out but is not there.
    """
    spikes.check_sizes(trials=trials, neurons=neurons, latents=latents, bins=bins, conditions=conditions)
    spikes.check_positive(bin_width=bin_width, mean_rate=mean_rate)
    spikes.check_not_negative(depth=depth)
    spikes.check_seed(seed)
    ranges = _ranges(starts=starts, distances=distances, peak_speeds=peak_speeds, curvatures=curvatures)
    plans, population_, draws, splits = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    condition, angle = _directions(trials, conditions, angles, plans)
    reaches = drawn(angle, ranges, plans)
    start = -_preparation_bins(preparation, bins, bin_width) * bin_width
    time = start + (np.arange(bins) + 0.5) * bin_width
    population = random_population(neurons, latents, mean_rate, depth, population_)
    states = population.latents(reaches, ranges, time)
    rates = population.rates(states)
    held_out = {"angles": hold_out_angles, "conditions": hold_out_conditions, "targets": hold_out_targets}
    is_unseen = unseen(reaches, condition, **held_out)
    return as_trials(
        draws.poisson(rates * bin_width).astype(np.float32),
        bin_width=bin_width,
        start=start,
        split=np.where(is_unseen, "test", spikes.split_within(condition, valid, splits)),
        behaviour=np.concatenate([reaches.position(time), reaches.velocity(time)], -1).astype(np.float32),
        behaviour_channels=CHANNELS,
        true_rates=rates.astype(np.float32),
        true_latents=states.astype(np.float32),
        session="reaching",
        condition=condition,
        unseen=is_unseen,
        **factors_of(reaches),
    )


def factors_of(reaches: Reaches) -> dict[str, np.ndarray]:
    """What is known about each reach, by name, (trial,) each."""
    return {
        **{f"start_{axis}": column for axis, column in zip("xy", reaches.start.T, strict=True)},
        **{f"target_{axis}": column for axis, column in zip("xy", reaches.target.T, strict=True)},
        "reach_angle": reaches.angle,
        "reach_distance": reaches.distance,
        "peak_speed": reaches.peak_speed,
        "curvature": reaches.curvature,
        "reach_duration": reaches.duration,
    }


def _directions(
    trials: int, conditions: int, kind: str, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The condition of each trial, in random order, and its angle in radians, (trial,) each."""
    if kind not in ANGLES:
        raise UndertowError(f"'angles' is {kind!r}, and no such kind is known; {closest(str(kind), ANGLES)}")
    condition = generator.permutation(spikes.conditions_of_trials(trials, conditions))
    turns = ANGLES[kind](condition, generator.random(trials)) / conditions
    return condition, 2 * np.pi * turns


def _ranges(**limits: Sequence[float]) -> Ranges:
    """The limits as ranges, refused where they are no pairs, fall, or let distance or speed reach zero."""
    for name, pair in limits.items():
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise UndertowError(
                f"'{name}' is {pair!r}, but must be the lowest and the highest, such as [6, 12]."
            )
        spikes.check_finite(**{name: pair})
        if pair[0] > pair[1]:
            raise UndertowError(f"'{name}' goes from {pair[0]:g} down to {pair[1]:g}; give the lowest first.")
    for name in ("distances", "peak_speeds"):
        if limits[name][0] <= 0:
            raise UndertowError(
                f"'{name}' begins at {limits[name][0]:g}, but must lie above 0; give for example [6, 50]."
            )
    return Ranges(limits["starts"], limits["distances"], limits["peak_speeds"], limits["curvatures"])


def _preparation_bins(preparation: float | None, bins: int, bin_width: float) -> int:
    if preparation is None:
        return round(PREPARATION * bins)
    spikes.check_not_negative(preparation=preparation)
    if round(preparation / bin_width) >= bins:
        raise UndertowError(
            f"The preparation of {preparation:g} s leaves nothing of a trial of {bins * bin_width:g} s for the movement; "
            "make it shorter, or the trial longer."
        )
    return round(preparation / bin_width)
