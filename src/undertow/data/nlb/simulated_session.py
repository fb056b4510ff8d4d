"""A session: the periods of simulated trials one after the other on a clock in milliseconds, and what is observed of it.

The train file's trials lie in a few blocks with pauses between them, the test trials in one more block at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from undertow.data.nlb.simulated_population import STEP
from undertow.data.nlb.simulated_trials import SimulatedTrials

_PAUSE = 8_000  # ms between blocks
_MARGIN = 1_000  # ms observed before a block's first and after its last trial
_ROUND = 1_000  # ms: the last block begins at a multiple, so that bins are the same on its own clock


@dataclass(frozen=True)
class Session:
    """Trials on a clock.

    Attributes:
        table: one row a trial, times in ms on the session's clock.
        begins: (trial,) ms, of each trial's period.
        observed: (interval, 2) ms, that are recorded.
        target: (step, 2) at 5 ms, where the current movement leads.
        duration: ms.
        origin: ms that are the 0 of the file's clock.
    """

    table: pd.DataFrame
    begins: np.ndarray
    observed: np.ndarray
    target: np.ndarray
    duration: int
    origin: int = 0

    def of_train(self) -> Session:
        """The part of the train file."""
        is_test = self.table.split == "test"
        observed = self.observed[:-1]
        return replace(
            self,
            table=self.table[~is_test],
            begins=self.begins[~is_test],
            observed=observed,
            duration=int(observed[-1, 1]),
        )

    def of_test(self) -> Session:
        """The part of the test file, whose clock begins with it."""
        is_test = self.table.split == "test"
        return replace(
            self,
            table=self.table[is_test],
            begins=self.begins[is_test],
            observed=self.observed[-1:],
            origin=int(self.observed[-1, 0]),
        )

    def seconds(self) -> pd.DataFrame:
        """The trial table with times in seconds on the file's clock."""
        times = [name for name in self.table.columns if name.endswith("_time")]
        changed = {name: (self.table[name].to_numpy(float) - self.origin) / 1000 for name in times}
        return self.table.assign(**changed).reset_index(drop=True)


def arranged(trials: SimulatedTrials, in_train_file: int, blocks: int) -> Session:
    """A session of trials, of which the first `in_train_file` lie in a number of blocks."""
    firsts = np.unique(np.linspace(0, in_train_file, blocks, endpoint=False).astype(int))
    firsts = np.append(firsts, in_train_file)
    begins = np.zeros(len(trials.length), np.int64)
    observed, now = [], 0
    for first, stop in zip(firsts, [*firsts[1:], len(begins)], strict=True):
        start = now if first < in_train_file else -(-now // _ROUND) * _ROUND
        lengths = trials.length[first:stop]
        begins[first:stop] = start + _MARGIN + np.cumsum(lengths) - lengths
        end = begins[stop - 1] + lengths[-1] + _MARGIN
        observed.append((start, end))
        now = end + _PAUSE
    times = [name for name in trials.table.columns if name.endswith("_time")]
    table = trials.table.assign(**{name: trials.table[name] + begins for name in times})
    duration = int(observed[-1][1])
    return Session(table, begins, np.array(observed), _target(trials, begins, duration), duration)


def _target(trials: SimulatedTrials, begins: np.ndarray, duration: int) -> np.ndarray:
    """(step, 2): where the latest kick of the first group leads to, the centre before it."""
    steps = np.arange(duration // STEP + 1) * STEP
    if not trials.targets.size:
        return np.zeros((steps.size, 2), np.float32)
    kicks = trials.kicks[0]
    latest = np.searchsorted(begins[kicks.trial] + kicks.at, steps, side="right")
    targets = np.concatenate([np.zeros((1, 2)), trials.targets])
    return targets[latest].astype(np.float32)
