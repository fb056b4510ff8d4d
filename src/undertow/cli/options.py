"""What commands share: groups of options, and how they speak."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

Names = tuple[str, ...]
Session = Annotated[str | None, tyro.conf.arg(metavar="NAME")]
Settings = Annotated[Names, tyro.conf.arg(name="set", metavar="KEY=VALUE")]


@dataclass(frozen=True)
class Common:
    """What every command takes."""

    seed: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Seed of everything random."""
    quiet: bool = False
    """Say nothing but the result."""
    debug: bool = False
    """Show where an error came from."""


@dataclass(frozen=True)
class Cut:
    """How a source becomes trials."""

    bin_width: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Seconds."""
    align: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    """Column of the trial table with the times to align to."""
    window: Annotated[tuple[float, float] | None, tyro.conf.arg(metavar="FROM TO")] = None
    """Seconds around it, e.g. -0.25 0.45."""
    table: Annotated[str | None, tyro.conf.arg(metavar="TABLE")] = None
    """Interval table that holds the trials, by name or as a .csv file."""
    behaviour: Annotated[Names, tyro.conf.arg(metavar="NAME")] = ()
    """Series or variables to keep as behaviour."""
    variable: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Variable with the counts, in files of arrays."""
    condition: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Variable or column with the condition of each trial."""
    neurons: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Variable that lists the neurons to keep (MATLAB files)."""
    sampling: Annotated[str | None, tyro.conf.arg(metavar="WAY")] = None
    """Of imaging: 'subframe' for each region at its own time, 'frame' for all at once."""
    events: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    """Of imaging: 'stored' ones, or 'deconvolve' the fluorescence."""
    rois: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """RoiResponseSeries to read (NWB files)."""
    frame_times: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Seconds at which frames begin, .npy or .csv (Suite2p folders)."""
    decay_time: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Decay of the calcium indicator, to deconvolve."""
    delay: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Of imaging: by how much samples come after what they tell of."""
    chop: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Cut long trials into windows of so many seconds."""
    overlap: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 0.0
    """Seconds that neighbouring windows share."""
    margin: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 0.0
    """Seconds before and after each trial or window to keep beside it, for models that smooth."""
    valid: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.2
    """Share of trials for validation, where the source assigns none."""
    test: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.0
    """Share of trials for testing."""
    split_by: Annotated[str, tyro.conf.arg(metavar="WAY")] = "random"
    """'random', or 'blocked' to keep neighbouring trials together."""
    hold_out: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 0.0
    """Share of neurons that no encoder sees, to be predicted."""
    forward: Annotated[int, tyro.conf.arg(metavar="BINS")] = 0
    """Bins at the end of each trial to be forecast."""


@dataclass(frozen=True)
class How:
    """How to search; every other key is a setting, search.key=value."""

    members: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Models trained side by side (20)."""
    algorithm: Annotated[str | None, tyro.conf.arg(metavar="WAY")] = None
    """'population' (population-based training), 'random' or 'single'."""
    generations: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """At most so many generations (50)."""
    ensemble: Annotated[int | None, tyro.conf.arg(metavar="K")] = None
    """Average the rates of the K best members (1)."""
    space: Annotated[Names, tyro.conf.arg(metavar="KEY=RANGE")] = ()
    """What moves: KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=VALUE,VALUE or KEY=fixed."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Train on a Ray cluster: its address, 'auto' for this machine's, 'local' for workers on this machine alone."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """At most so many of Ray's workers; one a GPU, or one a machine, if not given."""


@dataclass(frozen=True)
class Begin:
    """Where training begins; every other key is a setting, start.key=value."""

    run: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None
    """Folder of a fitted run whose weights, and recipe, to begin with."""
    train: Annotated[str | None, tyro.conf.arg(metavar="PARTS")] = None
    """Parts that train, e.g. readout,encoder; the others rest."""
    new_session: bool = False
    """Other neurons than the run's: take what sessions share, train read-in and read-out."""


@dataclass(frozen=True)
class Walk:
    """How to walk along one behaviour."""

    values: Annotated[tuple[float, ...], tyro.conf.arg(metavar="VALUE")] = ()
    """Of the behaviour; from its 5th to its 95th percentile if not given, around the circle for an angle."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 7
    """How many values, where they are not given."""
    keep: Annotated[Names | None, tyro.conf.arg(metavar="NAME")] = None
    """Behaviours that stay; all that are not nearly a line of the others if not given."""
    sources: Annotated[int, tyro.conf.arg(metavar="N")] = 8
    """Trials that are moved, spread over all."""
    own_noise: bool = False
    """Begin from each trial's own noise, so that what its code does not hold stays, too."""
    spikes: Literal["poisson", "history"] = "poisson"
    """Poisson at the rates, or with a memory of the spikes before, fitted to the run's training trials."""


Shared = Annotated[Common, tyro.conf.OmitArgPrefixes]
HowToCut = Annotated[Cut, tyro.conf.OmitArgPrefixes]
HowToBegin = Annotated[Begin, tyro.conf.OmitArgPrefixes]
HowToSearch = Annotated[How, tyro.conf.OmitArgPrefixes]
HowToWalk = Annotated[Walk, tyro.conf.OmitArgPrefixes]

EVERY, UNCUT, AS_PUBLISHED, FROM_CHANCE, SEVEN_STEPS = Common(), Cut(), How(), Begin(), Walk()
"""What holds where nothing is said."""


def say(text: str) -> None:
    """Print a result."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def complain(sentence: str) -> None:
    """Print what was wrong."""
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(f"undertow: {sentence}", markup=False)
