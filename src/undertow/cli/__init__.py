"""The command `undertow`: each command is a few lines over `experiments`, which is imported only when it runs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

from undertow.cli import nlb
from undertow.cli.options import (
    AS_PUBLISHED,
    EVERY,
    FROM_CHANCE,
    SEVEN_STEPS,
    UNCUT,
    HowToBegin,
    HowToCut,
    HowToSearch,
    HowToWalk,
    Session,
    Settings,
    Shared,
    complain,
    say,
)
from undertow.cli.overview import overview, version
from undertow.cli.tables import show_scores
from undertow.vocabulary import UndertowError, closest


def demo(*, out: Path = Path("runs/demo"), common: Shared = EVERY) -> None:
    """Simulate, fit, infer, evaluate, report: no arguments, no downloads, a few minutes.

    Example: undertow demo
    """
    from undertow.experiments.commands.simulations import run_demo

    show_scores(run_demo(out, common), out)


def simulate(
    system: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SYSTEM")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.nc")],
    /,
    *,
    settings: Settings = (),
    common: Shared = EVERY,
) -> None:
    """A recording of a simulated system, whose truth is known; chaotic-rnn-sessions gives several sessions in one file.

    Example: undertow simulate chaotic-rnn rnn.nc --set g=2.5 pulses=true conditions=100

    Args:
        system: lorenz, reaching, imaging, chaotic-rnn, arneodo, rossler, lorenz63, halvorsen, limit-cycle, ring, flip-flop
            or linear.
        out: The trials file to write.
        settings: Settings of the system, name=value.
    """
    from undertow.experiments.commands.simulations import run_simulate

    say(run_simulate(system, out, settings, common))


def convert(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    out: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[SOURCE ...] OUT.nc")] = (),
    /,
    *,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """Turn a recording (NWB, MATLAB, NumPy, HDF5, Phy, Kilosort, Suite2p) into trials; several, into sessions of one file.

    Example: undertow convert session.nwb trials.nc --bin-width 0.01 --align move_onset_time --window -0.25 0.45

    Args:
        source: The file or folder to read.
        out: Further sources, each a session of its own, and last the trials file to write.
    """
    from undertow.experiments.commands.recordings import run_convert

    if not out:
        complain(f"Where shall the trials of '{source}' go? undertow convert {source} OUT.nc")
        sys.exit(2)
    say(run_convert((source, *out[:-1]), out[-1], cut, common))


def subsample(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TRIALS.nc")],
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.nc")],
    /,
    *,
    keep: Annotated[int, tyro.conf.arg(metavar="N")],
    pattern: Annotated[str, tyro.conf.arg(metavar="PATTERN")] = "random",
    block: Annotated[int, tyro.conf.arg(metavar="BINS")] = 5,
    splits: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SPLIT")] = ("train", "valid", "test"),
    common: Shared = EVERY,
) -> None:
    """Leave a few neurons observed in each bin, as multiplexed recording would; the other entries are missing.

    Example: undertow subsample trials.nc sparse.nc --keep 5 --pattern round-robin

    Args:
        source: Trials.
        out: The trials file to write.
        keep: Neurons observed in each bin.
        pattern: 'random' anew in every bin, 'round-robin' from one to the next, 'blocks' of bins, or 'fixed': always the same.
        block: Bins of a block.
        splits: Whose trials are thinned out; the others stay as they are.
    """
    from undertow.experiments.commands.recordings import run_subsample

    say(run_subsample(source, out, keep, pattern, block, splits, common))


def describe(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,  # noqa: ARG001 - every command takes these
) -> None:
    """What is in a recording, and what is suspicious about it.

    Example: undertow describe trials.nc

    Args:
        source: Trials, or any source that convert takes.
    """
    from undertow.experiments.commands.recordings import run_describe

    say(run_describe(source, cut))


def fit(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE ...")] = (),
    /,
    *,
    out: Path,
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None,
    settings: Settings = (),
    begin: HowToBegin = FROM_CHANCE,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """Fit a model, then infer, evaluate and report; go on if the run was interrupted. Several sources are sessions of one model.

    Example: undertow fit lfads trials.nc --out runs/first --set lfads.factors=20 training.epochs=300

    Args:
        model: lfads, ndt, autoencoder or gnocchi; or a baseline: smoothing, gpfa, slds, psth, pca. May be left out with --from.
        sources: Trials, or any sources that convert takes, each a session of its own.
        out: The run's folder.
        recipe: A recipe's name or TOML file; what is not in it takes its default.
        settings: Settings, section.key=value.
    """
    from undertow.experiments.commands.fits import run_fit

    show_scores(run_fit(model, sources, out, recipe, settings, begin, cut, common), out)


def search(
    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")],
    sources: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SOURCE ...")] = (),
    /,
    *,
    out: Path = Path("runs/search"),
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None,
    settings: Settings = (),
    how: HowToSearch = AS_PUBLISHED,
    begin: HowToBegin = FROM_CHANCE,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """Tune a model by a population of members (AutoLFADS), then infer, evaluate and report; go on if interrupted.

    Example: undertow search lfads trials.nc --out runs/auto --members 20 --space lfads.dropout_rate=0:0.4

    Args:
        model: lfads, ndt, autoencoder or gnocchi. May be left out with --from: every member begins with that run's weights.
        sources: Trials, or any sources that convert takes, each a session of its own.
        out: The run's folder.
        recipe: A recipe's name or TOML file; what is not in it takes its default.
        settings: Settings, section.key=value; a number that is set here does not move.
    """
    from undertow.experiments.commands.fits import run_search

    show_scores(run_search(model, sources, out, recipe, settings, how, begin, cut, common), out)


def dimensions(
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    sizes: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")],
    model: Annotated[str, tyro.conf.arg(metavar="MODEL")] = "autoencoder",
    out: Path = Path("runs/dimensions"),
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N")] = (),
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None,
    settings: Settings = (),
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """How many latent dimensions? Fit a model at several sizes and recommend one; go on if interrupted.

    Example: undertow dimensions trials.nc --sizes 2 3 5 8 12 --out runs/dimensions

    Args:
        source: Trials, or any source that convert takes.
        sizes: Numbers of latents, at least two.
        model: autoencoder or lfads.
        out: The folder of all fits, of dimensions.json and dimensions.html.
        seeds: One fit of each size for each of these seeds; one fit of each if not given.
        recipe: A recipe's name or TOML file; what is not in it takes its default.
        settings: Settings, section.key=value.
    """
    from undertow.experiments.commands.fits import run_dimensions

    say(run_dimensions(source, out, sizes, seeds, model, recipe, settings, cut, common))


def import_lfads_torch(
    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CHECKPOINT")],
    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="TRIALS")] = None,
    /,
    *,
    out: Path,
    session: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    settings: Settings = (),
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """Take over an LFADS that lfads-torch trained; with its trials also infer, evaluate and report.

    Example: undertow import-lfads-torch last.ckpt lfads_data.h5 --bin-width 0.02 --out runs/taken-over

    Args:
        checkpoint: Its Lightning checkpoint, or a state dictionary (.ckpt, .pt, .safetensors); nothing in it is executed.
        source: The trials that it was trained on: any source that convert takes.
        out: The run's folder.
        session: Which session of a checkpoint of several, from 0, in the order of their files' names.
        settings: Settings in place of what the checkpoint says, e.g. lfads.lag=1.
    """
    from undertow.experiments.commands.fits import run_import

    scores = run_import(checkpoint, source, out, session, settings, cut, common)
    if scores is not None:
        show_scores(scores, out)
    else:
        say(f"Wrote the run {out}; 'undertow infer {out} TRIALS --out estimate.nc' uses it.")


def infer(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SOURCE")],
    /,
    *,
    out: Path,
    samples: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """Estimate rates, factors and inferred inputs of any trials of the same neurons.

    Example: undertow infer runs/first new_trials.nc --out estimate.nc

    Args:
        run: The folder of a finished run.
        source: Trials, or any source that convert takes.
        out: The estimate file to write.
        samples: Posterior samples to average.
    """
    from undertow.experiments.commands.runs import run_infer

    say(run_infer(run, source, out, samples, cut, common))


def sample(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    out: Path,
    number: Annotated[int, tyro.conf.arg(metavar="N")] = 256,
    bins: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    spikes: Literal["poisson", "history"] = "poisson",
    settings: Settings = (),
    compare: bool = True,
    session: Session = None,
    common: Shared = EVERY,
) -> None:
    """Draw trials from a model with codes (gnocchi, lfads without inferred inputs, pca), and hold them against the recording.

    Example: undertow sample runs/gnocchi --number 500 --out drawn.nc --set guidance=1.5

    Args:
        run: The folder of a finished run.
        out: The file of trials to write.
        number: Trials to draw.
        bins: Bins of each; those of the fit if not given.
        spikes: Poisson at the rates, or with a memory of the spikes before, fitted to the run's training trials.
        settings: How to sample, e.g. temperature=1 steps=20 sampler=heun guidance=1.5.
        compare: Print the statistics of the drawn spikes beside those of the recording's halves.
        session: Which session of the run, where it holds several.
    """
    from undertow.experiments.commands.codes import run_sample

    say(run_sample(run, out, number, bins, settings, session, common, spikes=spikes, compares=compare))


def traverse(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    behaviour: Annotated[str, tyro.conf.arg(metavar="NAME")],
    out: Path,
    trials: Annotated[Path | None, tyro.conf.arg(metavar="TRIALS.nc")] = None,
    walk: HowToWalk = SEVEN_STEPS,
    settings: Settings = (),
    session: Session = None,
    common: Shared = EVERY,
) -> None:
    """Move one behaviour and leave the others: trials that a model with codes makes along the way.

    Example: undertow traverse runs/gnocchi --behaviour reach_angle --out walk.nc

    Args:
        run: The folder of a finished run.
        behaviour: A column of the trials, or a behaviour channel.
        out: The file of trials to write.
        trials: Trials with behaviour; those of the fit if not given.
        settings: How to sample, e.g. temperature=1 steps=20 sampler=heun.
        session: Which session of the run, where it holds several.
    """
    from undertow.experiments.commands.codes import run_traverse

    say(run_traverse(run, behaviour, out, trials, walk, settings, session, common))


def evaluate(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    source: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="TRIALS")] = None,
    /,
    *,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    cut: HowToCut = UNCUT,
    common: Shared = EVERY,
) -> None:
    """The scores of a run, on its own trials or on others, beside the yardstick.

    Example: undertow evaluate runs/first --json

    Args:
        run: The folder of a finished run.
        source: Other trials to score, or any source that convert takes; the run's own if not given.
        as_json: Print JSON.
    """
    from undertow.experiments.commands.runs import run_evaluate

    scores = run_evaluate(run, source, cut, common)
    say(json.dumps(scores, indent=1)) if as_json else show_scores(scores, run)


def report(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    trials: Path | None = None,
    common: Shared = EVERY,
) -> None:
    """Make a run's estimate, scores and report again.

    Example: undertow report runs/first

    Args:
        run: The folder of a finished run.
        trials: Where its trials are now, if they moved.
    """
    from undertow.experiments.commands.runs import run_report

    show_scores(run_report(run, trials, common), run)


def stream(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    replay: Annotated[Path, tyro.conf.arg(metavar="TRIALS.nc")],
    trials: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    window: Annotated[int | None, tyro.conf.arg(metavar="BINS")] = None,
    delay: Annotated[int, tyro.conf.arg(metavar="BINS")] = 0,
    decode: bool = False,
    wait: bool = True,
    out: Annotated[Path | None, tyro.conf.arg(metavar="ESTIMATE.nc")] = None,
    session: Session = None,
    common: Shared = EVERY,
) -> None:
    """Replay a recording bin by bin in real time, and measure how long the model takes for each bin.

    Example: undertow stream runs/causal --replay trials.nc --trials 20

    Args:
        run: The folder of a finished run.
        replay: Trials of the same neurons.
        trials: Replay the first N trials only.
        window: For a model that is not causal: estimate the last so many bins anew at each bin.
        delay: In a window, give the estimate of the bin so many bins before the newest.
        decode: Fit a linear decoder of behaviour to the training trials, and stream behaviour, too.
        wait: Wait for the end of each bin, as a closed loop would.
        out: Store what was streamed as an estimate.
        session: Which session of the run, where it holds several.
    """
    from undertow.experiments.commands.runs import run_stream

    say(run_stream(run, replay, trials, window, delay, out, session, common, decodes=decode, waits=wait))


def analyze(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    trials: Annotated[Path | None, tyro.conf.arg(metavar="TRIALS.nc")] = None,
    inputs: Annotated[str, tyro.conf.arg(metavar="WAY")] = "zero",
    starts: Annotated[int, tyro.conf.arg(metavar="N")] = 1024,
    session: Session = None,
    common: Shared = EVERY,
) -> None:
    """Look inside a model's dynamics: fixed points, eigenvalues, Lyapunov exponents, beside the truth where it is known.

    Example: undertow analyze runs/first

    Args:
        run: The folder of a finished run.
        trials: Trials of the same neurons, whose latents say where to look; those of the fit if not given.
        inputs: What pushes all the while: 'zero' for nothing, 'mean' for the mean of all inputs.
        starts: States along the trajectories from which fixed points are looked for.
        session: Which session of the run, where it holds several.
    """
    from undertow.experiments.commands.runs import run_analyze

    say(run_analyze(run, trials, inputs, starts, session, common))


def export(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    onnx: Annotated[Path, tyro.conf.arg(metavar="STEP.onnx")],
    session: Session = None,
    common: Shared = EVERY,
) -> None:
    """Write a causal model's step of one bin for ONNX Runtime, and a script that runs it without undertow.

    Example: undertow export runs/causal --onnx step.onnx

    Args:
        run: The folder of a finished run.
        onnx: The file to write; the script beside it has the same name and ends in .py.
        session: Which session of the run, where it holds several.
    """
    from undertow.experiments.commands.runs import run_export

    say(run_export(run, onnx, session, common))


def doctor(*, common: Shared = EVERY) -> None:
    """Versions, devices, caches: what to paste into a bug report.

    Example: undertow doctor
    """
    from undertow.experiments.commands.installation import run_doctor

    facts = run_doctor(common)
    width = max(len(name) for name in facts)
    say("\n".join(f"{name:<{width}}  {value}" for name, value in facts.items()))


COMMANDS = {
    command.__name__.replace("_", "-"): command
    for command in (
        demo,
        simulate,
        convert,
        subsample,
        describe,
        fit,
        search,
        dimensions,
        import_lfads_torch,
        infer,
        sample,
        traverse,
        evaluate,
        report,
        stream,
        analyze,
        export,
        doctor,
    )
}
COMMANDS |= {f"nlb {command.__name__}": command for command in nlb.COMMANDS}


def main(arguments: list[str] | None = None) -> None:
    """Run one command. Exits 0; 1 with one sentence about what was wrong; 2 for wrong usage."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name == "nlb":
        name, rest = (f"nlb {rest[0]}", rest[1:]) if rest else ("nlb --help", [])
    if name in ("-h", "--help", "nlb -h", "nlb --help"):
        say(overview(COMMANDS, "nlb " if name.startswith("nlb") else ""))
        return
    if name == "--version":
        say(version())
        return
    if name not in COMMANDS:
        complain(f"There is no command '{name}'; {closest(name, COMMANDS)}")
        sys.exit(2)
    try:
        tyro.cli(COMMANDS[name], prog=f"undertow {name}", args=rest)
    except UndertowError as error:
        _fail(str(error), rest)
    except KeyboardInterrupt:
        _fail("Stopped; the same command goes on where this one was.", rest)
    except BrokenPipeError:  # whoever read has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(f"{reason}: {error.filename or 'a file'}; check the path and the space that is left.", rest)
    except MemoryError as error:
        _fail(f"The memory ran out ({error}); use fewer trials, wider bins or a smaller batch.", rest)


def _fail(sentence: str, arguments: list[str]) -> NoReturn:
    if "--debug" in arguments or "--common.debug" in arguments:
        traceback.print_exc()
    complain(sentence)
    sys.exit(1)
