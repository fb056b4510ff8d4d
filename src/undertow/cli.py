"""The command `undertow`: each command is a few lines over `experiments`, which is imported only when it runs."""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
from rich.console import Console

from undertow.vocabulary import UndertowError, closest

Names = tuple[str, ...]
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
    chop: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Cut long trials into windows of so many seconds."""
    overlap: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 0.0
    """Seconds that neighbouring windows share."""
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


Shared = Annotated[Common, tyro.conf.OmitArgPrefixes]
HowToCut = Annotated[Cut, tyro.conf.OmitArgPrefixes]
HowToSearch = Annotated[How, tyro.conf.OmitArgPrefixes]


def demo(*, out: Path = Path("runs/demo"), common: Shared = Common()) -> None:
    """Simulate, fit, infer, evaluate, report: no arguments, no downloads, a few minutes.

    Example: undertow demo
    """
    from undertow.experiments.commands import run_demo

    _show_scores(run_demo(out, common), out)


def simulate(
    system: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SYSTEM")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.nc")],
    /,
    *,
    settings: Settings = (),
    common: Shared = Common(),
) -> None:
    """A recording whose truth is known: lorenz or chaotic-rnn.

    Example: undertow simulate chaotic-rnn rnn.nc --set g=2.5 pulses=true conditions=100

    Args:
        system: The system's name.
        out: The trials file to write.
        settings: Settings of the system, name=value.
    """
    from undertow.experiments.commands import run_simulate

    _say(run_simulate(system, out, settings, common))


def convert(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.nc")],
    /,
    *,
    cut: HowToCut = Cut(),
    common: Shared = Common(),
) -> None:
    """Turn a recording (NWB, MATLAB, NumPy, HDF5, Phy or Kilosort folder) into trials.

    Example: undertow convert session.nwb trials.nc --bin-width 0.01 --align move_onset_time --window -0.25 0.45

    Args:
        source: The file or folder to read.
        out: The trials file to write.
    """
    from undertow.experiments.commands import run_convert

    _say(run_convert(source, out, cut, common))


def describe(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    cut: HowToCut = Cut(),
    common: Shared = Common(),  # noqa: ARG001 - every command takes these
) -> None:
    """What is in a recording, and what is suspicious about it.

    Example: undertow describe trials.nc

    Args:
        source: Trials, or any source that convert takes.
    """
    from undertow.experiments.commands import run_describe

    _say(run_describe(source, cut))


def fit(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    out: Path,
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None,
    settings: Settings = (),
    cut: HowToCut = Cut(),
    common: Shared = Common(),
) -> None:
    """Fit a model, then infer, evaluate and report; go on if the run was interrupted.

    Example: undertow fit lfads trials.nc --out runs/first --set lfads.factors=20 training.epochs=300

    Args:
        model: lfads.
        source: Trials, or any source that convert takes.
        out: The run's folder.
        recipe: A recipe's name or TOML file; what is not in it takes its default.
        settings: Settings, section.key=value.
    """
    from undertow.experiments.commands import run_fit

    _show_scores(run_fit(model, source, out, recipe, settings, cut, common), out)


def search(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    out: Path = Path("runs/search"),
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None,
    settings: Settings = (),
    how: HowToSearch = How(),
    cut: HowToCut = Cut(),
    common: Shared = Common(),
) -> None:
    """Tune a model by a population of members (AutoLFADS), then infer, evaluate and report; go on if interrupted.

    Example: undertow search lfads trials.nc --out runs/auto --members 20 --space lfads.dropout_rate=0:0.4

    Args:
        model: lfads.
        source: Trials, or any source that convert takes.
        out: The run's folder.
        recipe: A recipe's name or TOML file; what is not in it takes its default.
        settings: Settings, section.key=value; a number that is set here does not move.
    """
    from undertow.experiments.commands import run_search

    _show_scores(run_search(model, source, out, recipe, settings, how, cut, common), out)


def infer(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    out: Path,
    samples: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    cut: HowToCut = Cut(),
    common: Shared = Common(),
) -> None:
    """Estimate rates, factors and inferred inputs of any trials of the same neurons.

    Example: undertow infer runs/first new_trials.nc --out estimate.nc

    Args:
        run: The folder of a finished run.
        source: Trials, or any source that convert takes.
        out: The estimate file to write.
        samples: Posterior samples to average.
    """
    from undertow.experiments.commands import run_infer

    _say(run_infer(run, source, out, samples, cut, common))


def evaluate(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="TRIALS")] = None,
    /,
    *,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    common: Shared = Common(),
) -> None:
    """The scores of a run, on its own trials or on others, beside the yardstick.

    Example: undertow evaluate runs/first --json

    Args:
        run: The folder of a finished run.
        source: Other trials to score; the run's own if not given.
        as_json: Print JSON.
    """
    from undertow.experiments.commands import run_evaluate

    scores = run_evaluate(run, source, common)
    _say(json.dumps(scores, indent=1)) if as_json else _show_scores(scores, run)


def report(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    trials: Path | None = None,
    common: Shared = Common(),
) -> None:
    """Make a run's estimate, scores and report again.

    Example: undertow report runs/first

    Args:
        run: The folder of a finished run.
        trials: Where its trials are now, if they moved.
    """
    from undertow.experiments.commands import run_report

    _show_scores(run_report(run, trials, common), run)


def doctor(*, common: Shared = Common()) -> None:
    """Versions, devices, caches: what to paste into a bug report.

    Example: undertow doctor
    """
    from undertow.experiments.commands import run_doctor

    facts = run_doctor(common)
    width = max(len(name) for name in facts)
    _say("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))


COMMANDS = {
    command.__name__: command
    for command in (demo, simulate, convert, describe, fit, search, infer, evaluate, report, doctor)
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits 0; 1 with one sentence about what was wrong; 2 for wrong usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        _say(_overview())
        return
    if name == "--version":
        _say(_version())
        return
    if name not in COMMANDS:
        _complain(f"There is no command '{name}'; {closest(name, COMMANDS)}")
        sys.exit(2)
    try:
        tyro.cli(COMMANDS[name], prog=f"undertow {name}", args=rest)
    except UndertowError as error:
        _fail(str(error), rest)
    except KeyboardInterrupt:
        _fail("Stopped; the same command goes on where this one was.", rest)
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{reason}: {error.filename or 'a file'}; check the path and the space that is left.", rest)
    except MemoryError as error:
        _fail(f"The memory ran out ({error}); use fewer trials, wider bins or a smaller batch.", rest)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"undertow {version('undertow')}"
    except PackageNotFoundError:
        return "undertow from source, not installed"


def _fail(sentence: str, arguments: list[str]) -> NoReturn:
    if "--debug" in arguments or "--common.debug" in arguments:
        traceback.print_exc()
    _complain(sentence)
    sys.exit(1)


def _say(text: str) -> None:
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def _complain(sentence: str) -> None:
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(f"undertow: {sentence}", markup=False)


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [
        f"  {name:<{width}}  {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()
    ]
    return "\n".join(
        [
            "undertow: from recordings of many neurons to the dynamics underneath them",
            "",
            "usage: undertow COMMAND ...        (undertow COMMAND --help explains it, with an example)",
            "",
            *lines,
        ]
    )


def _show_scores(scores: dict[str, Any], folder: Path) -> None:
    """A table of scores, the model beside the yardstick, one block a split."""
    for split, sides in scores["splits"].items():
        _say(f"{split} trials{'':<24}{scores['model']:>12}{'smoothing':>12}")
        for name, value in sides["model"].items():
            other = (sides.get("yardstick") or {}).get(name)
            if isinstance(value, (int, float)):
                _say(
                    f"  {name:<34}{value:>12.4f}"
                    + (f"{other:>12.4f}" if isinstance(other, (int, float)) else "")
                )
    _say(f"selected on {scores['selected_on']}")
    _say(f"report: {folder / 'report.html'}")
