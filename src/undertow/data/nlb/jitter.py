"""By how many bins the windows of DMFC_RSG's training trials end after Go, so that the end does not give the time of Go away."""

from __future__ import annotations

import numpy as np

_LONGEST = 300.0  # ms
_WINDOW = 1500.0


def jitter(produced: np.ndarray, is_test: np.ndarray, width: int) -> np.ndarray:
    """Bins of delay of each trial of a set, (trial,) int64; zero for test trials, and at most what keeps the Set cue in sight.

    The draws are those of the benchmark: NumPy's generator of 1998 seeded with 0, one draw for each trial of the set in
    the file's order, so that they differ from set to set (training, evaluated, or both in the test phase).

    Args:
        produced: (trial,) produced times, ms.
        is_test: (trial,) whether the trial belongs to the test split.
        width: of a bin, ms.
    """
    longest = np.where(is_test, 0.0, np.clip(_WINDOW - produced, 0.0, _LONGEST))
    bins = np.floor(np.round(longest / width, 4))
    return np.rint(np.random.RandomState(0).random_sample(len(bins)) * bins).astype(np.int64)
