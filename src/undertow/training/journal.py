"""metrics.jsonl: one line an epoch. A line that a kill left half-written is dropped when the run resumes."""

import json
import math
from pathlib import Path

from undertow.files import write_bytes
from undertow.vocabulary import UndertowError

Line = dict[str, int | float]


def append(path: Path, line: Line) -> None:
    """Add one line; what is not a finite number is stored as null.

    Raises:
        UndertowError: if the folder cannot be written or the disk is full.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(_text(line))
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
        lines.append({name: math.nan if value is None else value for name, value in line.items()})
    return lines


def rewind(path: Path, epochs: int) -> None:
    """Forget the lines from epoch `epochs` on: the run goes on from there."""
    kept = [line for line in read(path) if line["epoch"] < epochs]
    write_bytes(path, "".join(_text(line) for line in kept).encode())


def _text(line: Line) -> str:
    finite = {name: value if math.isfinite(value) else None for name, value in line.items()}
    return json.dumps(finite) + "\n"
