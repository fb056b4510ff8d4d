"""What commands are asked, as the groups of options of `cli/options.py` have it."""

from pathlib import Path
from typing import Protocol


class Common(Protocol):
    """What every command takes."""

    seed: int | None
    quiet: bool


class Cut(Protocol):
    """How a source becomes trials; see `cli.options.Cut`."""

    chop: float | None
    overlap: float
    margin: float
    valid: float
    test: float
    split_by: str
    hold_out: float
    forward: int


class Begin(Protocol):
    """Where a fit begins; see `cli.options.Begin`."""

    run: Path | None
    train: str | None
    new_session: bool


class How(Protocol):
    """How to search; see `cli.options.How`."""

    algorithm: str | None
    members: int | None
    generations: int | None
    ensemble: int | None
    space: tuple[str, ...]
    ray: str | None
    workers: int | None


class Walk(Protocol):
    """How to walk along one behaviour; see `cli.options.Walk`."""

    values: tuple[float, ...]
    steps: int
    keep: tuple[str, ...] | None
    sources: int
    own_noise: bool
    spikes: str
