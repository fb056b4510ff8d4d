"""Time and memory of preparing and scoring a data set of MC_Maze_Large's size, beside the reference implementation.

    python benchmarks/nlb_speed.py [--python PATH] [--name mc_maze_large] [--scale 1] [--bin 5] [--repeats 3] [--alone]

Both sides, each repeat in a process of its own and in turn: read the NWB files, make input tensors of the validation phase, the
target with its PSTH, and the scores of one submission. Printed are seconds from the start of the process to its end, the peak of
its resident memory (of its largest process, for the reference starts several), and their ratios: medians, smallest and largest.
--alone leaves the reference out. --python is a Python that has nlb_tools from PyPI; otherwise an environment is made in a
temporary folder.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from nlb_environment import Reference, measured
from nlb_reference import smoothed

from undertow.data.nlb.generate import generate
from undertow.data.nlb.input_tensors import eval_tensors, train_tensors
from undertow.data.nlb.prepare import prepare, target
from undertow.data.nlb.table import DATA_SETS
from undertow.data.nlb.tensor_files import read_submission, read_targets, write_submission, write_targets
from undertow.evaluation.nlb import score


def main():
    """Print seconds, memory and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python")
    parser.add_argument("--name", default="mc_maze_large")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--bin", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", help="a folder that has the generated files already, or is to keep them")
    parser.add_argument("--alone", action="store_true", help="without the reference")
    parser.add_argument("--once", help=argparse.SUPPRESS)  # a job of our side, in a process of its own
    arguments = parser.parse_args()
    if arguments.once:
        everything(json.loads(arguments.once))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        job = job_of(arguments, folder)
        if arguments.alone:
            for _ in range(arguments.repeats):
                side = ours(job)
                print(f"{side['seconds']:.1f} s {side['peak']:.0f} MiB", flush=True)
            return
        reference = Reference(folder, arguments.python)
        rows = []
        for _ in range(arguments.repeats):
            rows.append((ours(job), reference.run([job])))
            print(
                *(f"{side['seconds']:.1f} s {side['peak']:.0f} MiB" for side in rows[-1]),
                sep=" | ",
                flush=True,
            )
        report(rows, job)


def job_of(arguments, folder):
    """Files of both sides: generated data, the target and a submission."""
    name, width = arguments.name, arguments.bin / 1e3
    data = Path(arguments.data) if arguments.data else folder / "data"
    if not any(data.rglob("*.nwb")):
        generate(name, data, scale=arguments.scale, seed=0)
    trials = prepare(name, data, bin_width=width)
    print({axis: size for axis, size in trials.sizes.items()}, flush=True)
    (train,) = data.rglob(DATA_SETS[name].train_file)
    paths = {what: str(folder / f"{what}.h5") for what in ("target", "submission")}
    group, known = DATA_SETS[name].group(width), target(name, data, phase="val", bin_width=width)
    write_targets(paths["target"], {group: known})
    rates = smoothed(train_tensors(trials, "val") | eval_tensors(trials, "val"), known, width)
    write_submission(paths["submission"], {group: rates})
    job = {"do": "everything", "name": name, "bin": arguments.bin, "phase": "val", "prefix": "*train"}
    return job | paths | {"folder": str(train.parent), "out": str(folder / "reference.json")}


def ours(job):
    """Our side, in a process of its own."""
    return measured(
        [
            sys.executable,
            __file__,
            "--once",
            json.dumps(job | {"out": job["out"].replace("reference", "ours")}),
        ]
    )


def everything(job):
    """What the reference's side does in the job of this name."""
    name, width = job["name"], job["bin"] / 1e3
    trials = prepare(name, job["folder"], bin_width=width)
    train_tensors(trials, "val"), eval_tensors(trials, "val")
    target(name, job["folder"], phase="val", bin_width=width)
    group = DATA_SETS[name].group(width)
    found = score(
        read_targets(job["target"])[group], read_submission(job["submission"])[group], bin_width=width
    )
    Path(job["out"]).write_text(json.dumps({group: found}))


def report(rows, job):
    """The last lines: medians and ranges."""
    for key, unit in (("seconds", "s"), ("peak", "MiB")):
        mine, theirs = (np.array([row[side][key] for row in rows]) for side in (0, 1))
        ratio = theirs / mine
        print(
            f"{key}: ours {spread(mine)} {unit}, reference {spread(theirs)} {unit}, reference / ours {spread(ratio, 1)}"
        )
    for side in ("ours", "reference"):
        print(side, Path(job["out"].replace("reference", side)).read_text())


def spread(values, digits=1):
    """Median, smallest and largest."""
    return f"{np.median(values):.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


if __name__ == "__main__":
    main()
