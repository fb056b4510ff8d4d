"""Journals, such as metrics.jsonl: one line an epoch (and a member, or a generation).

A line that a kill left half-written is dropped when the run resumes.
"""

import json
import math
from pathlib import Path
from typing import Any

from undertow.files import write_bytes
from undertow.vocabulary import UndertowError

Line = dict[str, Any]


def append(path: Path, *lines: Line) -> None:
    """Add lines; what is not a finite number is stored as null.

    Raises:
        UndertowError: if the folder cannot be written or the disk is full.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write("".join(_text(line) for line in lines))
    except OSError as error:
        raise UndertowError(
            f"Could not write {path}: {error.strerror or error}; free space there, then the same command goes on."
        ) from error


def read(path: Path) -> list[Line]:
    """All complete lines; null reads as NaN."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        lines.append({name: _read(value) for name, value in line.items()})
    return lines


def rewind(path: Path, count: int, *, by: str = "epoch") -> None:
    """Forget the lines from epoch (or whatever `by` names) `count` on: the run goes on from there."""
    kept = [line for line in read(path) if line[by] < count]
    write_bytes(path, "".join(_text(line) for line in kept).encode())


def _text(line: Line) -> str:
    return json.dumps({name: _stored(value) for name, value in line.items()}) + "\n"


def _stored(value: Any) -> Any:
    """Nested values with null in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _stored(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_stored(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(value: Any) -> Any:
    """Nested values with NaN in place of null."""
    if isinstance(value, dict):
        return {name: _read(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_read(part) for part in value]
    return math.nan if value is None else value
