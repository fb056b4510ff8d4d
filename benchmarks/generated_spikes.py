"""Trials from nothing beside recorded trials: the spike statistics of LDNS (Kapoor et al. 2024) against the floor of two halves.

    python benchmarks/generated_spikes.py FOLDER [--data lorenz FILE ...] [--models gnocchi lfads] [--set MODEL:KEY=VALUE]

Data: `undertow simulate lorenz` (seed 7), or any file that `ut.load` reads, such as macaque_reaching.npz (`--bin-width 0.02`).
Models: gnocchi, and lfads without inferred inputs, whose trials come from draws of its prior; each with Poisson spikes and with
a memory of spikes ("history"). GNOCCHI's activity holds the noise of the spikes that were smoothed, and spikes drawn from it
are noisy twice; at temperature 0 it is the mean activity of the code and no more. Both are shown (`--temperatures`).

As many trials are drawn as were recorded, and held against all of those, five times over (`--draws`); the floor is the same
distance between disjoint halves of the recording, the ratio the one divided by the other. Runs are folders in FOLDER, DATA-MODEL;
what is finished is not fitted again.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

import undertow as ut
from undertow.evaluation import generation
from undertow.experiments import cache
from undertow.experiments import recipe as recipes

MODELS = {
    "gnocchi": {"model": "gnocchi", "training": {"epochs": 60}},
    "lfads": {"model": "lfads", "lfads": {"inferred_inputs": 0}, "training": {"epochs": 100}},
}


def main() -> None:
    """Print a table for each data set, model and way to draw spikes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="+", default=["lorenz"])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--set", nargs="+", default=[], metavar="MODEL:KEY=VALUE")
    parser.add_argument("--bin-width", type=float)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.0])
    arguments = parser.parse_args()
    cache.switch_on()
    width = {} if arguments.bin_width is None else {"bin_width": arguments.bin_width}
    for data in arguments.data:
        trials = ut.simulate.SYSTEMS["lorenz"](seed=7) if data == "lorenz" else ut.load(data, **width)
        if not (trials.split.values == "valid").any():
            trials = ut.split(trials, valid=0.2)
        for model in arguments.models:
            own = [text.partition(":")[2] for text in arguments.set if text.startswith(f"{model}:")]
            recipe = recipes.from_document(recipes.with_settings(MODELS[model], own))
            with threadpool_limits(limits=1, user_api="blas"):
                out = arguments.folder / f"{Path(data).stem}-{model}"
                fitted = ut.fit(recipe, trials, out=out, quiet=True)
                for choices in _choices(model, arguments.temperatures):
                    for spikes in ("poisson", "history"):
                        words = [
                            Path(data).stem,
                            model,
                            *(f"{name} {value}" for name, value in choices.items()),
                        ]
                        draws = [
                            fitted.sample(
                                trials.sizes["trial"], seed=seed, spikes=spikes, trials=trials, **choices
                            )
                            for seed in range(arguments.draws)
                        ]
                        _show(
                            ", ".join([*words, spikes, f"{fitted.outcome['seconds']:.0f} s"]), draws, trials
                        )


def _choices(model: str, temperatures: list[float]) -> list[dict[str, float]]:
    return [{"temperature": each} for each in temperatures] if model == "gnocchi" else [{}]


def _show(title: str, draws: list[xr.Dataset], trials: xr.Dataset) -> None:
    """Each statistic's mean over draws of trials, its floor, and the mean and standard deviation of the ratios."""
    width = float(trials.attrs["bin_width"])
    found = [generation.compare(made.counts.values, trials.counts.values, bin_width=width) for made in draws]
    print(title)
    for name in found[0]:
        value = np.mean([each[name].value for each in found])
        ratios = [each[name].ratio for each in found]
        print(
            f"  {name:<28} {value:>10.4g}  floor {found[0][name].floor:>10.4g}  ratio {np.mean(ratios):>7.2f}"
            f"  ({np.std(ratios):.2f} over {len(draws)} draws)",
            flush=True,
        )


if __name__ == "__main__":
    main()
