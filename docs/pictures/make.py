"""Make the picture that opens the README from a real run of the software.

    undertow demo
    python docs/pictures/make.py runs/demo docs/pictures/overview.png

Any finished run on simulated trials will do: the picture needs their true rates. Shown is the validation trial in the middle of
the recording: what was recorded, what was inferred from it, what was true, and the factors of all trials.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

import undertow as ut

WIDTH, HEIGHT, DOTS = 10.0, 2.9, 110  # inches, inches, dots an inch
PATHS = 40  # trials whose factors are drawn


def main() -> None:
    """Read the run, draw, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"))
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/pictures/overview.png"))
    chosen = parser.parse_args()
    trials = ut.open_trials(chosen.run / "trials.nc")
    estimate = ut.open_estimate(chosen.run / "estimate.nc")
    draw(trials, estimate).savefig(chosen.out, dpi=DOTS)


def draw(trials: xr.Dataset, estimate: xr.Dataset) -> Figure:
    """Four panels: spikes, inferred rates and true rates of one trial, and the factors of many."""
    trial = middle_validation_trial(trials)
    inferred, true = estimate.rates.values[trial], trials.true_rates.values[trial]
    order = np.argsort(true.argmax(axis=0), kind="stable")
    top = float(np.quantile(true, 0.99))
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3, 1])
    panels = left.subplots(1, 3, sharex=True, sharey=True)
    draw_spikes(panels[0], trials, trials.counts.values[trial][:, order])
    for axes, rates, title in zip(
        panels[1:], (inferred, true), ("rates inferred from them", "true rates"), strict=True
    ):
        image = draw_rates(axes, trials, rates[:, order], top)
        axes.set_title(title, fontsize=9)
    bar = left.colorbar(image, ax=list(panels), pad=0.01, aspect=25)
    bar.set_label("Hz", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    draw_factors(right, trials, estimate)
    return figure


def middle_validation_trial(trials: xr.Dataset) -> int:
    """The validation trial in the middle of the recording."""
    valid = np.flatnonzero(trials.split.values == "valid")
    return int(valid[len(valid) // 2])


def draw_spikes(axes: Axes, trials: xr.Dataset, counts: np.ndarray) -> None:
    """One tick for each bin with a spike, one row for each neuron; (time, neuron)."""
    time = trials.time.values
    axes.eventplot(
        [time[counts[:, neuron] > 0] for neuron in range(counts.shape[1])],
        colors="#1f2933",
        linelengths=0.8,
        linewidths=1.2,
    )
    axes.set_title("spikes of a validation trial", fontsize=9)
    axes.set_ylabel("neuron", fontsize=8)
    dress(axes)


def draw_rates(axes: Axes, trials: xr.Dataset, rates: np.ndarray, top: float):
    """Rates (time, neuron) as an image; all images end at `top` Hz."""
    image = axes.pcolormesh(
        trials.time.values, np.arange(rates.shape[1]), rates.T, vmin=0, vmax=top, rasterized=True
    )
    dress(axes)
    return image


def draw_factors(figure: SubFigure, trials: xr.Dataset, estimate: xr.Dataset) -> None:
    """Paths of validation trials along the three directions in which the factors vary most."""
    chosen = np.flatnonzero(trials.split.values == "valid")
    paths = estimate.factors.values[chosen]
    flat = paths.reshape(-1, paths.shape[2])
    directions = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][:3]
    axes = figure.add_subplot(projection="3d")
    for path in paths[:: max(len(paths) // PATHS, 1)][:PATHS] @ directions.T:
        axes.plot(*path.T, color="#0072B2", alpha=0.45, linewidth=0.8)
    axes.set_title(f"factors of {PATHS} validation trials", fontsize=9)
    for name in "xyz":
        getattr(axes, f"{name}axis").set_ticklabels([])
    axes.set_box_aspect(None, zoom=1.15)
    axes.view_init(elev=22, azim=-60)


def dress(axes: Axes) -> None:
    """Quiet axes."""
    axes.set_xlabel("time (s)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
