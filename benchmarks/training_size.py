"""The figure of tuned against fixed settings over the number of training trials, from the results of benchmarks/autolfads.py.

for share in 1 0.5 0.25 0.1; do
    python benchmarks/autolfads.py lorenz --seeds 0 --share $share --ways default population --runs RUNS
done
python benchmarks/training_size.py RUNS/results.jsonl --out docs/pictures/training_size.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

WAYS = {"population": ("#0072B2", "tuned (AutoLFADS)"), "default": ("#D55E00", "fixed (default recipe)")}


def main():
    """Draw it, and print its points."""
    parser = argparse.ArgumentParser()
    parser.add_argument("results", type=Path)
    parser.add_argument("--data", default="lorenz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in arguments.results.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if (line["data"], line["seed"]) == (arguments.data, arguments.seed)]
    figure, axes = plt.subplots(figsize=(4.2, 3.0), layout="constrained")
    for way, (colour, label) in WAYS.items():
        points = sorted(
            {line["trials"]: line["scores"]["rate_r2"] for line in lines if line["way"] == way}.items()
        )
        print(way, ", ".join(f"{trials} trials {score:.3f}" for trials, score in points))
        axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label)
    ticks = sorted({line["trials"] for line in lines})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training trials")
    axes.set_ylabel("rate R² of test trials")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(arguments.out, dpi=200)


if __name__ == "__main__":
    main()
