"""Trials of the Ready-Set-Go task (Sohn et al. 2019), whose population runs the faster the shorter the produced interval.

Between Set and Go each trial's latents follow the path of its condition as a function of the phase (t - Set) / tp, so that
neural speed is inversely proportional to tp. Times as in `simulated_trials.py`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from undertow.data.nlb.simulated_population import LATENTS, STEP
from undertow.data.nlb.simulated_trials import (
    MODES,
    Kicks,
    Plan,
    SimulatedTrials,
    balanced,
    random_forces,
    splits,
)

_SHORT = np.array([480, 560, 640, 720, 800])
_LONG = np.array([800, 900, 1000, 1100, 1200])
_LONGEST = 1450  # tp in ms: the window of 1500 ms holds it
_WEBER = 0.09  # of the measured and of the produced interval
_DECAY = 150.0  # ms, after Go


def timing(plan: Plan, generator: np.random.Generator) -> SimulatedTrials:
    """Ready, Set and a Go by eye or hand, to the left or right, after intervals from a short or a long prior."""
    split = splits(plan.size, generator)
    trials = split.size
    types = min(plan.types, min(plan.size.valid, plan.size.test) // 8)
    condition = balanced(split, 8 * types, generator)
    group, which = condition % 8, condition // 8
    is_short = group % 2 == 1
    places = np.linspace(0, 4, types).round().astype(int)[which]
    interval = np.where(is_short, _SHORT[places], _LONG[places])
    is_outlier = generator.random(trials) < 0.03
    produced = _produced(interval, is_short, is_outlier, generator)
    table = pd.DataFrame({"start_time": 0.0, "stop_time": 0.0, "split": split})
    table = table.assign(
        **_events(interval, produced, generator),
        is_eye=group // 4,
        is_outlier=is_outlier.astype(int),
        is_short=is_short.astype(int),
        theta=180 * (group // 2 % 2),
        tp=produced,
        ts=interval.astype(float),
    )
    cue = 0.4 * random_forces((1, MODES), generator).repeat(trials, axis=0)
    kicks = tuple(
        Kicks(np.arange(trials), table[name].to_numpy(), cue) for name in ("ready_time", "set_time")
    )
    length = table.stop_time.to_numpy() + generator.integers(300, 700, trials)
    return SimulatedTrials(table, length.astype(int), kicks, _paths(table, group, generator))


def _produced(
    interval: np.ndarray, is_short: np.ndarray, is_outlier: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Produced intervals in ms: drawn to the middle of the prior, with noise that grows with the interval."""
    middle = np.where(is_short, _SHORT.mean(), _LONG.mean())
    noise = 1 + _WEBER * generator.standard_normal(interval.size)
    produced = (0.75 * interval + 0.25 * middle) * noise
    produced[is_outlier] *= generator.choice([0.5, 1.4], np.count_nonzero(is_outlier))
    return np.clip(produced, 250, _LONGEST).round()


def _events(
    interval: np.ndarray, produced: np.ndarray, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """The times of the trial's events, and the durations between some of them, in ms."""
    trials = interval.size
    fixed_after = generator.integers(200, 500, trials)
    target_after = generator.integers(400, 700, trials)
    ready_after = generator.integers(500, 900, trials)
    fix_on = np.full(trials, 100)
    fixed = fix_on + fixed_after
    target_on = fixed + target_after
    ready = target_on + ready_after
    set_cue = ready + interval
    go = set_cue + produced
    acquired = go + generator.integers(80, 200, trials)
    is_rewarded = np.abs(produced - interval) < 0.2 * interval
    reward = acquired + 100
    return {
        "stop_time": reward + 300,
        "bad_time": np.where(is_rewarded, np.nan, reward),
        "fix_on_time": fix_on,
        "fix_time": fixed,
        "fix_time_dur": target_after,
        "go_time": go,
        "iti": generator.integers(300, 700, trials),
        "ready_time": ready,
        "reward_dur": np.where(is_rewarded, 100, 0),
        "reward_time": np.where(is_rewarded, reward, np.nan),
        "set_time": set_cue,
        "target_acq_time": acquired,
        "target_on_time": target_on,
        "target_time_dur": ready_after,
    }


def _paths(
    table: pd.DataFrame, group: np.ndarray, generator: np.random.Generator
) -> tuple[tuple[int, np.ndarray], ...]:
    """For each trial its latents at 5 ms from fixation to well after Go: a place for its group, and the two paths."""
    place = 0.7 * generator.standard_normal((8, LATENTS))
    waiting = _Path(generator)
    producing = _Path(generator)
    paths = []
    for row, which in zip(table.itertuples(), group, strict=True):
        begin = int(row.fix_on_time) // STEP * STEP
        times = np.arange(begin, row.go_time + 5 * _DECAY, STEP)
        rise = np.clip((times - begin) / 400, 0, 1)[:, None]
        fall = np.exp(-np.clip(times - row.go_time, 0, None) / _DECAY)[:, None]
        vigour = 1 + 0.06 * generator.standard_normal()
        elapsed = np.clip((times - row.ready_time) / 1000, 0, row.ts / 1000)
        phase = np.clip((times - row.set_time) / row.tp, 0, 1)
        moves = 0.5 * waiting(elapsed, which) + producing(phase, which)
        paths.append((begin, fall * (rise * place[which] + vigour * moves)))
    return tuple(paths)


class _Path:
    """A smooth path through the space of latents as a function of a number that begins at 0, where it is 0."""

    def __init__(self, generator: np.random.Generator):
        self.directions = generator.standard_normal((4, LATENTS))
        self.own = 0.4 * generator.standard_normal((8, 4, LATENTS))
        self.turns = np.pi * np.array([0.5, 1.0, 1.5, 2.0])

    def __call__(self, progress: np.ndarray, group: int) -> np.ndarray:
        """(time, latent) at `progress` (time,), for a group of conditions."""
        waves = np.concatenate(
            [np.sin(np.outer(progress, self.turns[:2])), 1 - np.cos(np.outer(progress, self.turns[2:]))],
            axis=1,
        )
        return waves @ (self.directions + self.own[group])
