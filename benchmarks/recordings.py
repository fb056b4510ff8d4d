"""Real recordings: co-smoothing and decoding of LFADS beside smoothing with Poisson regression, on the same splits.

    python benchmarks/recordings.py reaching FOLDER [--seeds 0 1 2]
    python benchmarks/recordings.py reaching FOLDER [--seeds 0 1 2] --recipe reaching ndt/reaching
    python benchmarks/recordings.py stabilized FOLDER
    python benchmarks/recordings.py human FOLDER

FOLDER holds macaque_reaching.npz, stabilizedbci_20160325.mat and human_mtl_sub-4_ses-4.nwb. The split of `reaching`: the
permutation of the trials by `numpy.random.default_rng(seed)`, the first fifth is validation; of the channels with more than
0.02 counts a bin in training, permuted by the same generator, the first quarter is held out. The held-out neurons of
validation trials take no part in training or selection (`training.select_on = "held_in"`). Of several recipes each is fitted,
and then their ensemble is scored: the rates averaged over the models.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import undertow as ut
from undertow.experiments import recipe as recipes

SHOWN = ("co_smoothing_over_training_mean", "co_smoothing", "bits_per_spike", "decoding_r2")


def reaching(folder, seed):
    """212 trials of 35 bins of 24 channels; a quarter of the channels held out."""
    trials = ut.load(
        folder / "macaque_reaching.npz", bin_width=0.02, behaviour="hand_velocity", condition="condition"
    )
    rng = np.random.default_rng(seed)
    order = rng.permutation(trials.sizes["trial"])
    assignment = np.full(len(order), "train")
    assignment[order[: len(order) // 5]] = "valid"
    trials = ut.split(trials, assignment=assignment)
    mean = ut.select(trials, "train").counts.mean(("trial", "time")).values
    channels = rng.permutation(np.flatnonzero(mean > 0.02))
    held_out = trials.neuron.values[channels[: len(channels) // 4]]
    return ut.hold_out(trials, neurons=held_out.tolist())


def stabilized(folder, seed):
    """Ragged trials of 93 electrodes in bins of 45 ms; a quarter held out."""
    trials = ut.load(
        folder / "stabilizedbci_20160325.mat",
        variable="trialData.binCounts",
        bin_width=0.045,
        neurons="goodElectrodes",
    )
    return ut.hold_out(ut.split(trials, valid=0.2, seed=seed), neurons=0.25, seed=seed)


def human(folder, seed):
    """Single units of the human medial temporal lobe in the trials of the encoding table."""
    trials = ut.load(
        folder / "human_mtl_sub-4_ses-4.nwb",
        table="encoding_table",
        align="start_time",
        window=(0.0, 4.0),
        bin_width=0.05,
    )
    return ut.hold_out(ut.split(trials, valid=0.2, seed=seed), neurons=0.25, seed=seed)


SOURCES = {"reaching": reaching, "stabilized": stabilized, "human": human}


def main():
    """Print model and yardstick for each seed, and their means."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--recipe", nargs="+", help="names or files of recipes; by default the one named like the source"
    )
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, section.key=value")
    arguments = parser.parse_args()
    rows = {}
    for seed in arguments.seeds:
        trials = SOURCES[arguments.source](arguments.folder, seed)
        reference, estimates = ut.yardstick(trials), []
        for name in arguments.recipe or [arguments.source]:
            estimate, note = fitted_estimate(name, trials, seed, arguments.set)
            estimates.append(estimate)
            _show(rows, name, scores_of(estimate, trials, reference), f"seed {seed}, {note}")
        if len(estimates) > 1:
            mean = sum(estimate.rates for estimate in estimates) / len(estimates)
            ensemble = estimates[0][["rates"]].assign(rates=mean)
            _show(rows, "ensemble", scores_of(ensemble, trials, reference), f"seed {seed}")
    for name, sides in rows.items():
        means = {
            side: {
                key: float(np.mean([row[side][key] for row in sides]))
                for key in SHOWN
                if key in sides[0][side]
            }
            for side in ("model", "yardstick")
        }
        print(f"{name}, mean: {_words(means)}")


def fitted_estimate(name, trials, seed, settings):
    """The estimate of a recipe fitted to these trials, and words about the fit."""
    document = {**recipes.read(name), "seed": seed}
    chosen = recipes.from_document(recipes.with_settings(document, settings))
    folder = Path(tempfile.mkdtemp())
    begun = time.perf_counter()
    fitted = ut.fit(chosen, trials, out=folder)
    seconds = time.perf_counter() - begun
    estimate = fitted.infer(trials)
    shutil.rmtree(folder)
    return estimate, f"{seconds:.0f} s, epoch {fitted.outcome['selected_epoch']}"


def scores_of(estimate, trials, reference):
    """Model and yardstick on the validation trials."""
    return ut.evaluate(estimate, trials, yardstick=reference, splits=["valid"])["valid"]


def _show(rows, name, sides, note):
    rows.setdefault(name, []).append(sides)
    print(f"{name}, {note}: {_words(sides)}", flush=True)


def _words(sides):
    return ", ".join(
        f"{name} {sides['model'][name]:.4f} (smoothing {sides['yardstick'][name]:.4f})"
        for name in SHOWN
        if name in sides["model"]
    )


if __name__ == "__main__":
    main()
