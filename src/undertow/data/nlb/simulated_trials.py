"""What happens in the trials of a simulated session: their tables, and the kicks and paths that drive the population.

Times are milliseconds from the beginning of the trial's period; periods follow each other. A kick is an impulse to the modes
of `simulated_population.py`; the first two modes are the movement along x and along y.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from undertow.data.nlb.layouts import Sizes

MODES = 6
_SPREAD = 0.35  # trial-to-trial part of a kick, relative to its condition's part


@dataclass(frozen=True)
class Plan:
    """What trials are to be made: their numbers, at most `types` kinds, and behaviour that follows by `lag` ms."""

    size: Sizes
    types: int
    lag: int


@dataclass(frozen=True)
class Kicks:
    """Impulses: `trial` (kick,) in whose period, `at` (kick,) ms after its begin, `force` (kick, mode) complex."""

    trial: np.ndarray
    at: np.ndarray
    force: np.ndarray


@dataclass(frozen=True)
class SimulatedTrials:
    """The trials of a session, those of the train file first, then the test trials.

    Attributes:
        table: one row a trial, columns as published; those that end in "_time" in ms from the period's begin.
        length: (trial,) ms, of each period.
        kicks: impulses that drive the population.
        paths: for each trial a (time, latent) piece at 5 ms and the ms where it begins, added to the latents.
        targets: (kick of the first group, 2) where each of these kicks leads to, in standard deviations.
    """

    table: pd.DataFrame
    length: np.ndarray
    kicks: tuple[Kicks, ...] = ()
    paths: tuple[tuple[int, np.ndarray], ...] = ()
    targets: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))


def splits(size: Sizes, generator: np.random.Generator) -> np.ndarray:
    """The split of each trial: train, val and none in random order, then test."""
    counts = {"train": size.train, "val": size.valid, "none": size.ignored}
    mixed = generator.permutation(np.repeat(list(counts), list(counts.values())))
    return np.concatenate([mixed, np.repeat(["test"], size.test)])


def balanced(split: np.ndarray, conditions: int, generator: np.random.Generator) -> np.ndarray:
    """A condition for each trial, as equally often as can be within each split, in random order."""
    chosen = np.empty(split.size, int)
    for name in np.unique(split):
        members = np.flatnonzero(split == name)
        rounds = [generator.permutation(conditions) for _ in range(-(-members.size // conditions))]
        chosen[members] = np.concatenate(rounds)[: members.size]
    return chosen


def random_forces(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Complex kicks of unit variance; of the last two modes, which do not rotate, the real part alone."""
    force = (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)) / np.sqrt(2)
    force[..., 4:] = np.sqrt(2) * force[..., 4:].real
    return force


def varied(force: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Kicks (trial, mode) of trials from those of their conditions: with the trial's vigour and its own deviation."""
    vigour = np.exp(0.2 * generator.standard_normal((len(force), 1)))
    return vigour * force + _SPREAD * random_forces(force.shape, generator)


def directed(angle: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Kicks (trial, mode) of movements into a direction (trial,) in radians, with those of the other modes (trial, mode)."""
    force = others.astype(complex)
    force[:, 0] = 1.5 * np.cos(angle)
    force[:, 1] = 1.5 * np.sin(angle)
    return force


def maze(plan: Plan, generator: np.random.Generator) -> SimulatedTrials:
    """Delayed reaches through mazes (Churchland et al. 2012): a target, barriers in its way, a delay, a go cue, a movement."""
    split = splits(plan.size, generator)
    trials = split.size
    types = min(plan.types, min(plan.size.valid, plan.size.test) // 3)
    condition = balanced(split, 3 * types, generator)
    kind, version = condition // 3, condition % 3
    target_on = generator.integers(150, 400, trials)
    delay = generator.integers(400, 1000, trials)
    reaction = generator.integers(250, 400, trials)
    go = target_on + delay
    onset = go + reaction
    stop = onset + generator.integers(700, 1000, trials)
    is_success = split != "none"
    table = pd.DataFrame({"start_time": 0.0, "stop_time": stop, "split": split})
    table = table.assign(
        trial_type=kind,
        trial_version=version,
        maze_id=10 * kind + version + 1,
        success=is_success,
        target_on_time=target_on,
        go_cue_time=go,
        move_onset_time=np.where(is_success, onset, np.nan),
        rt=np.where(is_success, reaction, np.nan),
        delay=delay,
        **_obstacles(kind, version, types, generator),
    )
    angle = 2 * np.pi * kind / types + 0.3 * (version - 1)
    of_condition = random_forces((3 * types, MODES), generator)[condition]
    planned = 0.5 * random_forces((3 * types, MODES), generator)[condition]
    planned[:, :2] = 0
    return SimulatedTrials(
        table,
        stop + generator.integers(300, 700, trials),
        (
            Kicks(np.arange(trials), onset - plan.lag, varied(directed(angle, of_condition), generator)),
            Kicks(np.arange(trials), target_on + 60, varied(planned, generator)),
        ),
        targets=np.stack([np.cos(angle), np.sin(angle)], axis=1),
    )


def _obstacles(kind: np.ndarray, version: np.ndarray, types: int, generator: np.random.Generator) -> dict:
    """Targets and barriers: one target and no barrier, one and some, three and some, by version of the maze."""
    targets = np.where(version == 2, 3, 1)
    barriers = np.where(version == 0, 0, 2 + kind % 4)
    spots = generator.integers(-120, 120, (types, 3, 2))
    walls = generator.integers(5, 90, (types, 5, 4))
    return {
        "num_targets": targets,
        "target_pos": [spots[row, :number] for row, number in zip(kind, targets, strict=True)],
        "num_barriers": barriers,
        "barrier_pos": [walls[row, :number] for row, number in zip(kind, barriers, strict=True)],
        "active_target": np.where(version == 2, kind % 3, 0),
    }


def random_targets(plan: Plan, generator: np.random.Generator) -> SimulatedTrials:
    """Self-paced reaches from target to target without pause (O'Doherty et al. 2017), cut into pieces of 600 ms."""
    split = splits(plan.size, generator)
    length = np.where(split == "test", 1000, 600)
    table = pd.DataFrame({"start_time": 0.0, "stop_time": np.full(split.size, 600.0), "split": split})
    ends = np.cumsum(length)
    at = np.cumsum(generator.integers(600, 1200, ends[-1] // 600))
    at = at[at < ends[-1]]
    targets = generator.uniform(-1.7, 1.7, (at.size, 2))
    steps = np.diff(targets, axis=0, prepend=np.zeros((1, 2)))
    force = random_forces((at.size, MODES), generator)
    mixing = 0.7 * random_forces((2, MODES), generator)
    force = 0.5 * force + steps @ mixing
    force[:, :2] = steps
    trial = np.searchsorted(ends, at, side="right")
    kicks = Kicks(trial, at - (ends - length)[trial], varied(force, generator))
    return SimulatedTrials(table, length, (kicks,), targets=targets)


def bump(plan: Plan, generator: np.random.Generator) -> SimulatedTrials:
    """Centre-out reaches, in half of the trials with a bump of the hand before (Chowdhury et al. 2020)."""
    split = splits(plan.size, generator)
    trials = split.size
    directions = plan.types if min(plan.size.valid, plan.size.test) >= 2 * plan.types else 4
    condition = balanced(split, 2 * directions, generator)
    is_bumped = condition % 2 == 1
    direction = 360 // directions * (condition // 2)
    result = np.where(split == "none", generator.choice(list("RAIF"), trials), "R")
    target_on = generator.integers(400, 700, trials)
    hold = generator.integers(500, 1000, trials)
    bump_time = target_on + hold // 2
    go = target_on + hold + np.where(is_bumped, 700, 0)
    onset = np.where(is_bumped, bump_time, go + generator.integers(200, 350, trials))
    stop = go + generator.integers(900, 1300, trials)
    table = pd.DataFrame({"start_time": 0.0, "stop_time": stop, "split": split})
    table = table.assign(
        bump_dir=np.where(is_bumped, direction, np.nan),
        bump_time=np.where(is_bumped, bump_time, np.nan),
        cond_dir=direction,
        ctr_hold=hold / 1000,
        ctr_hold_bump=is_bumped,
        go_cue_time=np.where(result == "A", np.nan, go),
        move_onset_time=np.where(result == "R", onset, np.nan),
        result=result,
        target_dir=np.where(is_bumped, generator.choice(direction, trials), direction),
        target_on_time=target_on,
    )
    force = 0.8 * random_forces((2 * directions, MODES), generator)[condition]
    kicks = varied(directed(np.deg2rad(direction), force), generator)
    return SimulatedTrials(
        table,
        stop + generator.integers(200, 600, trials),
        (Kicks(np.arange(trials), onset - plan.lag, kicks),),
    )
