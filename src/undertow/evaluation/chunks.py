"""A few trials at a time, so that sums over large arrays need little memory."""

from __future__ import annotations

from collections.abc import Iterator

CHUNK_ENTRIES = 2_000_000


def chunks(shape: tuple[int, ...], entries: int = CHUNK_ENTRIES) -> Iterator[slice]:
    """Slices that cover the first axis of an array of this `shape`, each with about `entries` entries at most."""
    entries_each = 1
    for size in shape[1:]:
        entries_each *= max(size, 1)
    step = max(1, entries // entries_each)
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
