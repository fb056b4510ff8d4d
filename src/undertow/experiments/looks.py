"""The guard over the test split: every scoring on it is written down beside the run that was scored.

The labels of the benchmark's test trials are public, so nothing but honesty keeps a score on them from being chosen. A run's
folder holds `test_looks.jsonl`, one line for every time that test trials were scored: when, which weights, against which labels,
and what came out. The line is written before the scores are shown.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from undertow.files import write_bytes
from undertow.training import journal

NAME = "test_looks.jsonl"


class Before(NamedTuple):
    """What was known of a test split before a look at it.

    Attributes:
        looks: how often this run was scored on it.
        weights: with how many different weights.
        others: how many other runs in the same folder were scored on it.
    """

    looks: int
    weights: int
    others: int

    @property
    def is_first(self) -> bool:
        """Whether this run had not been scored on these labels before."""
        return self.looks == 0

    def sentence(self) -> str:
        """What a reader of the score must know."""
        if self.is_first:
            own = "First look of this run at these test labels."
        else:
            times = "once" if self.looks == 1 else f"{self.looks} times"
            kinds = "the same weights" if self.weights == 1 else f"{self.weights} different weights"
            own = f"Not a first look: this run was scored on these test labels {times} before, with {kinds}."
        if not self.others:
            return own
        runs = "1 other run" if self.others == 1 else f"{self.others} other runs"
        return f"{own} {runs} beside it looked at them, too: a choice between them by these scores is a choice on the test split."


def record(
    journal_of: Path, *, weights: str, labels: str, scores: Mapping[str, float], beside: Path | None = None
) -> Before:
    """Write a look down, and tell what there was before it.

    Args:
        journal_of: the journal, `FOLDER/test_looks.jsonl` for a run.
        weights: fingerprint of what was scored.
        labels: fingerprint of what it was compared with.
        scores: what came out.
        beside: the folder whose other runs are looked through, if any.
    """
    before = _before(journal_of, labels, beside)
    line = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "weights": weights,
        "labels": labels,
        "look": before.looks + 1,
        "scores": {name: float(value) if math.isfinite(value) else None for name, value in scores.items()},
    }
    content = journal_of.read_bytes() if journal_of.exists() else b""
    write_bytes(journal_of, content + json.dumps(line).encode() + b"\n")
    return before


def fingerprint_of_files(folder: Path) -> str:
    """A short name for the weights in a run's folder, those of an ensemble's further models included."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.glob("model*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fingerprint_of_arrays(arrays: Mapping[str, object]) -> str:
    """A short name for arrays by name; lists of arrays count entry by entry."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        value = arrays[name]
        for part in value if isinstance(value, list | tuple) else [value]:
            array = np.ascontiguousarray(part)
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _before(journal_of: Path, labels: str, beside: Path | None) -> Before:
    lines = _lines(journal_of, labels)
    others = 0
    if beside is not None and beside.is_dir():
        others = sum(
            bool(_lines(path, labels))
            for path in sorted(beside.glob(f"*/{NAME}"))
            if path.resolve() != journal_of.resolve()
        )
    return Before(len(lines), len({line["weights"] for line in lines}), others)


def _lines(path: Path, labels: str) -> list[journal.Line]:
    return [line for line in journal.read(path) if line.get("labels") == labels] if path.exists() else []
