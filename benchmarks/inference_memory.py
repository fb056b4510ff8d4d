"""Peak memory of `undertow infer` over more data than it may hold: 5,000 trials of 200 bins of 200 neurons (0.8 GB of counts).

    python benchmarks/inference_memory.py [--trials 5000 --samples 3]

The trials are written in chunks, the model is an untrained LFADS of the default size, and the command runs as a process of its
own, whose peak resident memory is what the operating system reports at its end.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import undertow as ut
from undertow.data import batches, store
from undertow.experiments.fitted import Fitted
from undertow.experiments.run_folder import Session
from undertow.training.loop import summarise

BINS, NEURONS, CHUNK = 200, 200, 100


def main():
    """Print seconds and the peak."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=3)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    rng = np.random.default_rng(0)

    def chunk(size):
        return ut.trials(rng.poisson(0.1, (size, BINS, NEURONS)), bin_width=0.01)

    small = chunk(CHUNK)
    whole = small.drop_vars("counts").isel(trial=np.zeros(arguments.trials, int))
    store.write_chunks(
        folder / "trials.nc", whole, (chunk(CHUNK)[["counts"]] for _ in range(arguments.trials // CHUNK))
    )
    recipe = ut.Recipe(ut.LFADS())
    model = recipe.model.build(summarise(batches.arrays(small)), key=jax.random.key(0))
    (folder / "run").mkdir()
    Fitted(folder / "run", recipe, model, Session.of(small), {"selected_on": "nothing"}).save()
    command = [sys.executable, "-m", "undertow", "infer", str(folder / "run"), str(folder / "trials.nc")]
    begun = time.perf_counter()
    subprocess.run(
        [*command, "--out", str(folder / "estimate.nc"), "--samples", str(arguments.samples)], check=True
    )
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    sizes = store.open_estimate(folder / "estimate.nc", lazy=True).sizes
    print(f"{dict(sizes)}: {seconds:.0f} s with {arguments.samples} samples, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
