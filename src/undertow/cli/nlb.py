"""The commands `undertow nlb ...`: the Neural Latents Benchmark from published files to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import tyro

from undertow.cli.options import EVERY, Names, Shared, say

DataSetName = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
BinWidth = Annotated[float, tyro.conf.arg(metavar="SECONDS")]
Phase = Annotated[str, tyro.conf.arg(metavar="PHASE")]


def download(name: DataSetName, /, *, out: Path, common: Shared = EVERY) -> None:
    """Get the published files of a data set from the DANDI archive (needs the extra [dandi] and a network).

    Example: undertow nlb download mc_maze_small --out nwb

    Args:
        name: mc_maze, mc_maze_large, mc_maze_medium, mc_maze_small, mc_rtt, area2_bump or dmfc_rsg.
        out: The folder for the files.
    """
    from undertow.experiments.nlb.commands import run_download

    say(run_download(name, out, common))


def generate(
    name: DataSetName,
    /,
    *,
    out: Path,
    scale: Annotated[float, tyro.conf.arg(metavar="SHARE")] = 1.0,
    common: Shared = EVERY,
) -> None:
    """Simulate a data set: NWB files in the published layout, with the targets of its test trials.

    Example: undertow nlb generate mc_maze_small --out nwb --scale 0.5

    Args:
        name: The data set whose layout to follow.
        out: The folder for the files.
        scale: Share of the published numbers of trials and neurons.
    """
    from undertow.experiments.nlb.commands import run_generate

    say(run_generate(name, out, scale, common))


def prepare(
    name: DataSetName,
    /,
    *,
    source: Annotated[Path, tyro.conf.arg(name="from", metavar="FOLDER")],
    out: Annotated[Path | None, tyro.conf.arg(metavar="TRIALS.nc")] = None,
    bin_width: BinWidth = 0.005,
    tensors: Annotated[str | None, tyro.conf.arg(metavar="PHASE")] = None,
    common: Shared = EVERY,
) -> None:
    """Turn the published files into trials with the official split, and the targets of the validation phase.

    Example: undertow nlb prepare mc_maze_small --from nwb --out mc_maze_small.nc

    Args:
        name: The data set.
        source: The folder that holds its two NWB files.
        out: The trials file; NAME.nc if not given. The targets go beside it, NAME_val_target.h5.
        bin_width: 0.005 or 0.02 s.
        tensors: Also write input tensors as the reference has them, for the phase val or test.
    """
    from undertow.experiments.nlb.commands import run_prepare

    say(run_prepare(name, source, out, bin_width, tensors, common))


def baselines(
    name: DataSetName,
    /,
    *,
    trials: Annotated[Path | None, tyro.conf.arg(metavar="TRIALS.nc")] = None,
    target: Annotated[Path | None, tyro.conf.arg(metavar="TARGET.h5")] = None,
    out: Path = Path("runs"),
    models: Annotated[Names, tyro.conf.arg(metavar="MODEL")] = ("smoothing", "gpfa", "slds", "psth"),
    beside: Annotated[tuple[Path, ...], tyro.conf.arg(name="with", metavar="RUN")] = (),
    extras: bool = False,
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    common: Shared = EVERY,
) -> None:
    """Fit the benchmark's baselines, each tuned by cross-validation on training trials, and print the table of scores.

    Example: undertow nlb baselines mc_maze_small --with runs/lfads

    Args:
        name: The data set.
        trials: Its prepared trials; NAME.nc if not given.
        target: The targets to score against; NAME_val_target.h5 beside the trials if not given.
        out: Each baseline's run is kept in this folder, as NAME-MODEL (NAME_20-MODEL at 20 ms).
        models: Which baselines.
        beside: Finished runs to show in the same table.
        extras: Also few-shot co-smoothing and cycle consistency.
        as_json: Print JSON.
    """
    from undertow.experiments.nlb.commands import run_baselines

    table = run_baselines(name, trials, target, out, models, beside, common, with_extras=extras)
    say(json.dumps(table.document(), indent=1) if as_json else str(table))


def submit(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="SUBMISSION.h5")],
    phase: Phase = "test",
    trials: Path | None = None,
    common: Shared = EVERY,
) -> None:
    """Write a run's rates as a submission to the benchmark; a file may hold several data sets.

    Example: undertow nlb submit runs/lfads --out submission.h5

    Args:
        run: The folder of a finished run.
        out: The submission file; groups of other data sets in it are kept.
        phase: 'test' (official), or 'val' for the validation trials.
        trials: Where the run's trials are now, if they moved.
    """
    from undertow.experiments.nlb.commands import run_submit

    say(run_submit(run, out, phase, trials, common))


def score(
    submission: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="SUBMISSION.h5")],
    /,
    *,
    target: Annotated[Path, tyro.conf.arg(metavar="TARGET.h5")],
    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    common: Shared = EVERY,
) -> None:
    """Score a submission as the benchmark does, beside the published numbers, and write down that the test split was looked at.

    Example: undertow nlb score submission.h5 --target eval_data_test.h5

    Args:
        submission: The submission file.
        target: The file with the targets.
        as_json: Print JSON.
    """
    from undertow.experiments.nlb.commands import run_score

    result = run_score(submission, target, common)
    say(json.dumps(result.document(), indent=1) if as_json else str(result))


COMMANDS = (download, generate, prepare, baselines, submit, score)
