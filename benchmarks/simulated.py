"""How well a recipe recovers a truth that is known: Lorenz, and the chaotic RNN without and with input pulses.

    python benchmarks/simulated.py lorenz [--epochs 25 50 100 200 300]
    python benchmarks/simulated.py lorenz --model ndt --set seed=7 --epochs 300
    python benchmarks/simulated.py chaotic-rnn --epochs 100 [--set g=2.5]
    python benchmarks/simulated.py chaotic-rnn --epochs 100 --set pulses=true

Each number of epochs is a run of its own (the learning rate falls over the whole of it), so that the rows show what more training
time buys. Scores are those of the validation trials, beside the yardstick.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import undertow as ut
from undertow.experiments import recipe as recipes

SHOWN = (
    "rate_r2",
    "latent_r2_inferred_to_true",
    "latent_r2_true_to_inferred",
    "bits_per_spike",
    "pulse_within_2_bins",
)


def main():
    """Print a row for each number of epochs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("system")
    parser.add_argument("--model", default="lfads")
    parser.add_argument("--epochs", type=int, nargs="+", default=[300])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the system, name=value")
    parser.add_argument("--recipe", nargs="*", default=[], help="settings of the recipe, section.key=value")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    trials = ut.simulate.SYSTEMS[arguments.system](**recipes.with_settings({}, arguments.set))
    reference = ut.evaluate(ut.yardstick(trials), trials, splits=["valid"])["valid"]["model"]
    print(
        "smoothing: " + ", ".join(f"{name} {reference[name]:.4f}" for name in SHOWN if name in reference),
        flush=True,
    )
    for epochs in arguments.epochs:
        settings = [f"training.epochs={epochs}", f"seed={arguments.seed}", *arguments.recipe]
        chosen = recipes.from_document(recipes.with_settings({"model": arguments.model}, settings))
        folder = Path(tempfile.mkdtemp())
        begun = time.perf_counter()
        fitted = ut.fit(chosen, trials, out=folder)
        seconds = time.perf_counter() - begun
        scores = ut.evaluate(fitted.infer(trials), trials, splits=["valid"])["valid"]["model"]
        shown = ", ".join(f"{name} {scores[name]:.4f}" for name in SHOWN if name in scores)
        print(f"{epochs} epochs, {seconds:.0f} s with compilation: {shown}", flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
