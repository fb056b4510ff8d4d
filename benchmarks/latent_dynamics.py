"""Latent dynamics at their true dimension and beyond: the neural ODE and the GRU on Arneodo, Rossler and Lorenz.

    python benchmarks/latent_dynamics.py FOLDER [--systems arneodo rossler lorenz63] [--dynamics ode gru] [--sizes 3]
        [--seeds 0 1 2] [--recipe default] [--epochs 200] [--set KEY=VALUE ...]

The data of Sedler, Versteeg and Pandarinath (2022): `undertow simulate SYSTEM` with its defaults (2,000 trials of 70 bins of 10
neurons, 64 / 16 / 20 % to train, validate and test), the seed of the simulation 0, that of the fit one of --seeds. The recipe is
the model's defaults, or with `--recipe published --epochs 600` that of the paper (`PUBLISHED_RECIPE` below), for both dynamics.
Printed for each fit, of the validation trials: rate R2 (mean over neurons), hidden R2 (true latents to inferred ones by a linear
map, mean over inferred dimensions), negative log-likelihood an entry, seconds; then means over seeds beside the published values.
Fits are runs in FOLDER: what is finished is not fitted again, what was cut off goes on.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import undertow as ut
from undertow.experiments import cache
from undertow.experiments import recipe as recipes

PUBLISHED_RECIPE = {
    "autoencoder": {"dropout_rate": 0.05, "time_step": 1 / 70},
    "corruption": {"coordinated_dropout": 0.0},
    "objective": {"kl_ramp": 0, "penalty_ramp": 0},
    "optimiser": {"learning_rate": 5e-3, "weight_decay": 1e-5},
    "training": {"batch_size": 128},
}
PUBLISHED = {  # rate R2, hidden R2; specs of the family, 5.4
    ("arneodo", "ode"): {3: (0.912, 0.940), 5: (0.924, 0.935), 10: (0.968, 0.752)},
    ("arneodo", "gru"): {3: (0.511, 0.686), 5: (0.746, 0.608), 10: (0.924, 0.671)},
    ("rossler", "ode"): {3: (0.876, 0.957), 5: (0.897, 0.879), 10: (0.913, 0.698)},
    ("rossler", "gru"): {3: (0.272, 0.155), 5: (0.491, 0.255), 10: (0.847, 0.502)},
    ("lorenz63", "ode"): {3: (0.836, 0.895), 5: (0.925, 0.717), 10: (0.971, 0.549)},
    ("lorenz63", "gru"): {3: (0.382, 0.319), 5: (0.553, 0.285), 10: (0.809, 0.414)},
}


def recipe(name, dynamics, size, epochs, seed, settings):
    """What one fit is told."""
    document = {"model": "autoencoder", "seed": seed}
    if name == "published":
        document |= {section: dict(values) for section, values in PUBLISHED_RECIPE.items()}
        document["objective"]["incremental_epochs"] = epochs // 2
    document["autoencoder"] = document.get("autoencoder", {}) | {"dynamics": dynamics, "latents": size}
    document["training"] = document.get("training", {}) | {"epochs": epochs, "patience": epochs}
    return recipes.from_document(recipes.with_settings(document, settings))


def scores(trials, chosen, folder):
    """Rate R2, hidden R2 and negative log-likelihood of the validation trials, and the seconds of the fit."""
    fitted = ut.fit(chosen, trials, out=folder)
    kept = folder / "latent_dynamics.json"
    if kept.exists():
        return json.loads(kept.read_text())
    known = trials.isel(trial=np.isin(trials.split.values.astype(str), ("train", "valid")))
    estimate = fitted.infer(known)
    found = ut.evaluate(estimate, known, splits=["valid"])["valid"]["model"]
    is_valid = known.split.values.astype(str) == "valid"
    expected = np.maximum(estimate.rates.values[is_valid] * known.attrs["bin_width"], 1e-9)
    counts = known.counts.values[is_valid]
    likelihood = counts * np.log(expected) - expected
    row = {
        "rate": found["rate_r2"],
        "hidden": found["latent_r2_true_to_inferred_mean"],
        "nll": float(-likelihood.mean()),
        "seconds": fitted.outcome["seconds"],
    }
    kept.write_text(json.dumps(row))
    return row


def main():
    """Print a line for each fit, then a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--systems", nargs="+", default=["arneodo", "rossler", "lorenz63"])
    parser.add_argument("--dynamics", nargs="+", default=["ode", "gru"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--recipe", choices=["default", "published"], default="default")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, section.key=value")
    arguments = parser.parse_args()
    cache.switch_on()
    table = {}
    for system in arguments.systems:
        trials = ut.simulate.SYSTEMS[system](seed=0)
        for dynamics in arguments.dynamics:
            for size in arguments.sizes:
                for seed in arguments.seeds:
                    chosen = recipe(arguments.recipe, dynamics, size, arguments.epochs, seed, arguments.set)
                    begun = time.perf_counter()
                    row = scores(trials, chosen, arguments.folder / f"{system}-{dynamics}-{size}-{seed}")
                    table.setdefault((system, dynamics, size), []).append(row)
                    shown = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
                    print(
                        f"{system} {dynamics} D={size} seed {seed}: {shown}  ({time.perf_counter() - begun:.0f} s now)",
                        flush=True,
                    )
    print("\nsystem, dynamics, D: rate R2 / hidden R2 (published), standard deviation over seeds")
    for (system, dynamics, size), rows in table.items():
        rate, hidden = (np.array([row[name] for row in rows]) for name in ("rate", "hidden"))
        published = PUBLISHED.get((system, dynamics), {}).get(size, (float("nan"),) * 2)
        print(
            f"{system}, {dynamics}, {size}: {rate.mean():.3f} / {hidden.mean():.3f} "
            f"({published[0]:.3f} / {published[1]:.3f}), {rate.std():.3f} / {hidden.std():.3f}"
        )


if __name__ == "__main__":
    main()
