"""metrics.jsonl: one line an epoch. A line that a kill left half-written is dropped when the run resumes."""

import json
import math
from pathlib import Path

from undertow.training.checkpoint import write_bytes


def append(path: Path, line: dict[str, float]) -> None:
    """Add one line; what is not a finite number is stored as null."""
    finite = {name: value if math.isfinite(value) else None for name, value in line.items()}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(finite) + "\n")


def read(path: Path) -> list[dict[str, float]]:
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
    text = "".join(
        json.dumps({name: value if math.isfinite(value) else None for name, value in line.items()}) + "\n"
        for line in kept
    )
    write_bytes(path, text.encode())
