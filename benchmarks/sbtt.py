"""Multiplexed recording: how well rates are recovered when k of 29 neurons are observed in each bin, against dropping channels.

    python benchmarks/sbtt.py FOLDER [--ways sae lfads dropped mean mask] [--keep 29 25 20 15 10 5 3 2] [--seeds 0]
        [--figure PICTURE.png]

The data: `undertow simulate lorenz --seed 7` (8.4 Hz on average), thinned out by `undertow subsample` with seed 0, in training
and validation trials alike. The ways:

* sae: the published autoencoder (recipes/autoencoder/sbtt.toml, 1,000 epochs), k neurons at random in each bin;
* lfads: the default recipe of LFADS with 100 epochs, which uses coordinated dropout, on the same trials;
* mean, mask: the same with lfads.missing;
* dropped: LFADS on what an interface without multiplexing would record: the same k neurons always (pattern "fixed").

Printed for the validation trials of each fit: rate R2 (mean over neurons), and R2 of the true latents read from the factors by a
linear map that is fitted to the training trials. A model never saw a dropped channel and can't know its rate; for "dropped" the
rate R2 is therefore that of log rates read from the factors by a ridge regression on the *true* log rates of all 29 neurons,
fitted to the training trials: generous to it, for nobody knows true rates. Fits are runs in FOLDER, named WAY-K and for further
seeds of the fit WAY-K-SEED; what is finished is not fitted again, what was cut off goes on. `sbtt_together.py` fits them all at
once on an accelerator.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

import undertow as ut
from undertow.experiments import cache
from undertow.experiments import recipe as recipes

SYSTEM_SEED, EPOCHS, RIDGE = 7, 100, 1e-3
KEEP = (29, 25, 20, 15, 10, 5, 3, 2)
PUBLISHED = dict(zip(KEEP, (0.911, 0.908, 0.891, 0.888, 0.852, 0.757, 0.589, 0.339), strict=True))
SAE_RECIPE = Path(__file__).parents[1] / "recipes" / "autoencoder" / "sbtt.toml"


class Way(NamedTuple):
    """How few channels are recorded, and what is fitted to that: sections of a recipe."""

    pattern: str
    model: str
    settings: tuple[str, ...] = ()
    words: str = ""


WAYS = {
    "sae": Way("random", "autoencoder", words="its setting, fitted to these data"),
    "lfads": Way("random", "lfads", words="LFADS, multiplexed"),
    "mean": Way("random", "lfads", ("lfads.missing=mean",), "LFADS, means for what is missing"),
    "mask": Way("random", "lfads", ("lfads.missing=mask",), "LFADS, told what is missing"),
    "dropped": Way("fixed", "lfads", words="LFADS, channels dropped (left: helped, see RESULTS)"),
}


def trials_of(way: str, keep: int):
    """The thinned-out simulation."""
    dense = ut.simulate.SYSTEMS["lorenz"](seed=SYSTEM_SEED)
    return ut.subsample(dense, keep=keep, pattern=WAYS[way].pattern, seed=0)


def recipe_of(way: str, seed: int) -> recipes.Recipe:
    """What one fit is told."""
    model = WAYS[way].model
    document = recipes.read(str(SAE_RECIPE)) if model == "autoencoder" else {"model": model}
    if model == "lfads":
        document["training"] = {"epochs": EPOCHS}
    document = recipes.with_settings(document, WAYS[way].settings)
    return recipes.from_document({**document, "seed": seed})


def name_of(way: str, keep: int, seed: int) -> str:
    """The name of a run's folder."""
    return f"{way}-{keep}" + (f"-{seed}" if seed else "")


def scores(way: str, keep: int, seed: int, folder: Path) -> dict[str, float]:
    """Fit, unless it was, and score on the validation trials, unless that was done."""
    kept = folder / name_of(way, keep, seed) / "sbtt.json"
    if kept.exists():
        return json.loads(kept.read_text())
    trials = trials_of(way, keep)
    fitted = ut.fit(recipe_of(way, seed), trials, out=kept.parent, quiet=True)
    estimate = fitted.infer(trials)
    found = ut.evaluate(estimate, trials, splits=["valid"])["valid"]["model"]
    row = {
        "rate_r2": found["rate_r2"],
        "latent_r2": found["latent_r2_inferred_to_true"],
        "rate_r2_by_ridge": _rate_r2_by_ridge(estimate, trials),
        "selected_epoch": fitted.outcome["selected_epoch"],
        "seconds": fitted.outcome["seconds"],
    }
    kept.write_text(json.dumps(row))
    return row


def _rate_r2_by_ridge(estimate, trials) -> float:
    """Rate R2 of validation trials where the factors are mapped to the true log rates, as training trials show them."""
    is_train = trials.split.values == "train"
    factors, truth = estimate.factors.values.astype(float), trials.true_rates.values.astype(float)
    seen = factors[is_train].reshape(-1, factors.shape[2])
    centre, scale = seen.mean(0), np.maximum(seen.std(0), 1e-9)
    design = np.append((factors - centre) / scale, np.ones((*factors.shape[:2], 1)), axis=2)
    x, y = design[is_train].reshape(-1, design.shape[2]), np.log(truth[is_train]).reshape(-1, truth.shape[2])
    penalty = RIDGE * len(x) * np.diag(np.append(np.ones(len(scale)), 0.0))
    log_rates = design @ np.linalg.solve(x.T @ x + penalty, x.T @ y)
    rates = np.exp(np.clip(log_rates, y.min(0), y.max(0)))
    valid = trials.split.values == "valid"
    error = ((rates[valid] - truth[valid]) ** 2).sum((0, 1))
    return float((1 - error / ((truth[valid] - truth[valid].mean((0, 1))) ** 2).sum((0, 1))).mean())


def shown_rate_r2(way: str, row: dict[str, float]) -> float:
    """The rate R2 of a way: the model's own, or where channels were dropped the generous one."""
    return row["rate_r2_by_ridge" if WAYS[way].pattern == "fixed" else "rate_r2"]


def draw(table: dict, picture: Path) -> None:
    """Rate R2 and latent R2 against the number of neurons observed."""
    from matplotlib.figure import Figure

    colours = {"sae": "#888888", "lfads": "#1f6feb", "mean": "#0a9396", "dropped": "#d1495b"}
    figure = Figure(figsize=(9, 4.0), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for way, colour in colours.items():
        keeps = sorted(keep for of, keep in table if of == way)
        for axis, value in zip(axes, (shown_rate_r2, lambda _, row: row["latent_r2"]), strict=True):
            means = [np.mean([value(way, row) for row in table[way, keep]]) for keep in keeps]
            if keeps:
                axis.plot(keeps, means, "o-", color=colour, label=WAYS[way].words)
    axes[0].plot(
        PUBLISHED.keys(),
        PUBLISHED.values(),
        "x--",
        color="black",
        label="autoencoder as published (2021), its own data",
    )
    for axis, title in zip(
        axes, ("rate R², all 29 neurons", "R² of the true latents, read from the factors"), strict=True
    ):
        axis.set(title=title, xlabel="neurons observed in each bin, of 29", ylim=(0, 1), xscale="log")
        axis.set_xticks(KEEP, [str(keep) for keep in KEEP])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
    *ours, published = zip(*axes[0].get_legend_handles_labels(), strict=True)
    figure.legend(
        *zip(published, *ours, strict=True), frameon=False, fontsize=8, loc="outside lower center", ncols=3
    )
    figure.savefig(picture, dpi=150)


def main() -> None:
    """Print a line for each fit, then the curve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["sae", "lfads", "dropped"])
    parser.add_argument("--keep", type=int, nargs="+", default=KEEP)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    cache.switch_on()
    table = {}
    for way in arguments.ways:
        for keep in arguments.keep:
            for seed in arguments.seeds:
                row = scores(way, keep, seed, arguments.folder)
                table.setdefault((way, keep), []).append(row)
                shown = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
                print(f"{way} k={keep} seed {seed}: {shown}", flush=True)
    print(
        "\nrate R2 / latent R2 of validation trials, means over seeds\nk".ljust(8) + "  published",
        *arguments.ways,
        sep="  ",
    )
    for keep in arguments.keep:
        cells = []
        for way in arguments.ways:
            rows = table[way, keep]
            pair = (
                np.mean([shown_rate_r2(way, row) for row in rows]),
                np.mean([row["latent_r2"] for row in rows]),
            )
            cells.append(" / ".join(f"{value:.3f}" for value in pair))
        print(f"{keep:<6}  {PUBLISHED.get(keep, float('nan')):.3f}    ", *cells, sep="  ")
    if arguments.figure:
        draw(table, arguments.figure)


if __name__ == "__main__":
    main()
