"""How fast latents may be behind a 30 Hz microscope: sub-frame sampling times, whole frames, smoothing.

    python benchmarks/imaging.py FOLDER [--frequencies 2 5 8 12 15] [--seed 0] [--epochs 80] [--set KEY=VALUE ...]
        [--simulate NAME=VALUE ...] [--picture docs/pictures/imaging.png]

`undertow simulate imaging` at each frequency of the Lorenz system's z, read twice from the same fluorescence: each region at its
own time in the frame, in bins of 10 ms, and all regions at once, one bin a frame. The same LFADS with a zero-inflated Gamma
observation (`RECIPE`) is fitted to both. Beside them events smoothed by a Gaussian, of both kinds, its width the best on the
training trials.

All are scored on the same 10 ms bins of the validation trials (what has one value a frame is interpolated by a cubic spline; bins
before the first frame's middle and after the last's are left out), with maps fitted on the training trials: latent R2, true
latents from factors (of smoothing: from all regions) by a linear map, mean over the three dimensions; rate R2, each neuron's true
rate from its estimated one by a straight line (events have no unit in Hz), mean over neurons. Fits are runs in FOLDER: what is
finished is not fitted again.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

import undertow as ut
from undertow.evaluation.truth import latent_r2
from undertow.experiments import cache
from undertow.experiments import recipe as recipes

RECIPE = {
    "model": "lfads",
    "lfads": {
        "observation": "zero_inflated_gamma",
        "generator": 64,
        "factors": 16,
        "controller": 32,
        "encoder": 32,
    }
    | {"input_encoder": 32, "initial_condition": 32, "inferred_inputs": 2},
    "training": {"batch_size": 64},
}
SIMULATION = {"trials": 320, "conditions": 8, "neurons": 60}
SAMPLINGS = ("subframe", "frame")
WIDTHS = (0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12)
COLOURS = {"subframe": "#1b6ca8", "frame": "#c8553d", "smoothing": "#6b6b6b"}
WORDS = {
    "subframe": "LFADS, each region at its own time",
    "frame": "LFADS, whole frames",
    "smoothing": "Gaussian smoothing (the better of both)",
}


def simulated(frequency, sampling, seed, settings):
    """Trials of the simulation; those of both samplings are of one session."""
    return ut.simulate.SYSTEMS["imaging"](frequency=frequency, sampling=sampling, seed=seed, **settings)


def on_bins(values, times, wanted):
    """Values (trial, time, column) at other times, by a cubic spline; after a trial's last sample as there."""
    for later in range(1, values.shape[1]):
        values[:, later] = np.where(np.isnan(values[:, later]), values[:, later - 1], values[:, later])
    return values if len(times) == len(wanted) else CubicSpline(times, values, axis=1)(wanted)


def scores(values, rates, fine, is_scored):
    """Latent R2 and rate R2 of estimates on the fine bins."""
    splits = fine.split.values.astype(str)
    train, valid = splits == "train", splits == "valid"
    latents, truth = fine.true_latents.values[:, is_scored], fine.true_rates.values[:, is_scored]
    values, rates = values[:, is_scored], rates[:, is_scored].astype(float)
    both = latent_r2(values[valid], latents[valid], fitted_on=(values[train], latents[train]))
    mean, aim = rates[train].mean((0, 1)), truth[train].mean((0, 1))
    shared, own = (
        ((rates[train] - mean) * (truth[train] - aim)).sum((0, 1)),
        ((rates[train] - mean) ** 2).sum((0, 1)),
    )
    slope = np.where(own > 0, shared / np.maximum(own, 1e-30), 0.0)
    residual = truth[valid] - (aim + slope * (rates[valid] - mean))
    explained = 1 - (residual**2).mean((0, 1)) / truth[valid].var((0, 1))
    return {"latent_r2": both.inferred_to_true.mean, "rate_r2": float(explained.mean())}


def smoothed(trials, fine, is_scored):
    """Scores of smoothed events, the width chosen on training trials: entries that were not observed carry no weight."""
    is_seen = np.isfinite(trials.counts.values)
    events = np.where(is_seen, trials.counts.values, 0.0)
    train = trials.split.values.astype(str) == "train"
    best = None
    for width in WIDTHS:
        bins = width / trials.attrs["bin_width"]
        weight = gaussian_filter1d(is_seen.astype(np.float32), bins, axis=1, mode="constant", truncate=6)
        total = gaussian_filter1d(events, bins, axis=1, mode="constant", truncate=6)
        mean = events.sum((0, 1)) / is_seen.sum((0, 1))
        values = np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), mean)
        values = on_bins(values, trials.time.values, fine.time.values)
        shown, known = values[train][:, is_scored], fine.true_latents.values[train][:, is_scored]
        fit = latent_r2(shown, known).inferred_to_true.mean
        if best is None or fit > best[0]:
            best = fit, width, values
    return scores(best[2], best[2], fine, is_scored) | {"width": best[1]}


def fitted(trials, fine, is_scored, folder, document):
    """Scores of LFADS."""
    kept = folder / "imaging.json"
    if kept.exists():
        return json.loads(kept.read_text())
    begun = time.process_time()
    run = ut.fit(recipes.from_document(document), trials, out=folder, quiet=True)
    seconds = time.process_time() - begun
    estimate = run.infer(trials)
    factors, rates = (
        on_bins(estimate[name].values, trials.time.values, fine.time.values) for name in ("factors", "rates")
    )
    found = scores(factors, rates, fine, is_scored) | {
        "seconds": seconds,
        "epoch": run.outcome["selected_epoch"],
    }
    kept.write_text(json.dumps(found))
    return found


def compared(frequency, options, document):
    """All scores at one frequency, by what was compared."""
    trials = {
        sampling: simulated(frequency, sampling, options.seed, options.simulate) for sampling in SAMPLINGS
    }
    fine, frames = trials["subframe"], trials["frame"].time.values
    is_scored = (fine.time.values >= frames[0]) & (fine.time.values <= frames[-1])
    found = {}
    for sampling in options.samplings:
        found[f"smoothing, {sampling}"] = smoothed(trials[sampling], fine, is_scored)
        folder = options.folder / f"{frequency:g}-{sampling}"
        found[sampling] = fitted(trials[sampling], fine, is_scored, folder, document)
    for name, numbers in found.items():
        print(
            f"{frequency:g} Hz  {name:20s}",
            "  ".join(f"{key} {value:.3f}" for key, value in numbers.items()),
            flush=True,
        )
    return found


def draw(found, path):
    """R2 of the latents and of the rates against frequency."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True, layout="constrained")
    frequencies = sorted(found)
    for axis, score, title in zip(
        axes, ("latent_r2", "rate_r2"), ("true latents", "true rates"), strict=True
    ):
        for name, colour in COLOURS.items():
            alike = [key for key in found[frequencies[0]] if key.startswith(name)]
            values = [max(found[one][key][score] for key in alike) for one in frequencies]
            axis.plot(frequencies, values, "o-", color=colour, label=WORDS[name])
        axis.axvline(15, color="#bbbbbb", lw=1, ls=":", zorder=0)
        axis.set(
            title=f"R² of the {title}", xlabel="oscillation of the Lorenz system's z (Hz)", ylim=(0, 1.02)
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].annotate("half the frame rate", (14.8, 0.98), ha="right", va="top", color="#8a8a8a", fontsize=9)
    axes[0].legend(frameon=False, loc="lower left", fontsize=9)
    figure.savefig(path, dpi=140)


def main():
    """Fit, score, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frequencies", type=float, nargs="+", default=[2, 5, 8, 12, 15])
    parser.add_argument("--samplings", nargs="+", default=list(SAMPLINGS), choices=SAMPLINGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--set", nargs="*", default=[], dest="settings")
    parser.add_argument("--simulate", nargs="*", default=[])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    cache.switch_on()
    options.simulate = {**SIMULATION, **recipes.with_settings({}, options.simulate)}
    document = {**RECIPE, "seed": options.seed}
    document["training"] = {**RECIPE["training"], "epochs": options.epochs, "patience": options.epochs}
    document = recipes.with_settings(document, options.settings)
    found = {frequency: compared(frequency, options, document) for frequency in options.frequencies}
    if options.picture is not None:
        draw(found, options.picture)


if __name__ == "__main__":
    main()
