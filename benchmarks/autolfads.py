"""Tuning against not tuning: the hand-set recipe, random search, and population-based training (AutoLFADS), on the same trials.

    python benchmarks/autolfads.py lorenz --seeds 0 1 2
    python benchmarks/autolfads.py chaotic-rnn --seeds 0 1 2
    python benchmarks/autolfads.py reaching --recordings FOLDER --seeds 0 1 2
    python benchmarks/autolfads.py lorenz --seeds 0 --share 0.5        half of the training trials

Both searches move the same numbers from the same (published) ranges, with as many members and as many epochs each; population-
based training may stop earlier. "ensemble" is the same search with the rates of its 5 best members averaged. The simulations are
split into training, validation and test trials: validation selects, and the scores printed are those of test trials, which
nothing else has seen (Gaussian smoothing's in brackets). Of the recording, whose few trials allow no third part, the scores are
co-smoothing of validation trials, whose held-out neurons take no part in training or selection. With --runs FOLDER the runs are
kept, and a repeated command goes on where it stopped. Each result is also a line in results.jsonl there.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
from recordings import SOURCES

import undertow as ut
from undertow.experiments import cache
from undertow.experiments import recipe as recipes
from undertow.search.settings import Search
from undertow.search.timetable import for_members, timetable

SHOWN = (
    "rate_r2",
    "latent_r2_inferred_to_true",
    "co_smoothing_over_training_mean",
    "co_smoothing",
    "decoding_r2",
)
SIMULATIONS = {
    "lorenz": {"trials": 500, "conditions": 50, "valid": 0.0},
    "chaotic-rnn": {"conditions": 60, "repeats": 8, "bins": 50, "valid": 0.0},
}
RECIPES = {
    "lorenz": {"lfads": {"inferred_inputs": 0}},
    "chaotic-rnn": {"lfads": {"inferred_inputs": 0}},
    "reaching": {"training": {"select_on": "held_in"}},
}


def simulated(system, seed, share):
    """Trials of a system whose dynamics drive nothing in from outside; `share` of the training trials are kept."""
    settings = dict(SIMULATIONS[system])
    settings |= {"seed": 100 + seed} if system == "lorenz" else {}
    trials = ut.simulate.SYSTEMS[system](**settings)
    trials = ut.split(trials, valid=0.2, test=0.2, seed=seed)
    is_train = np.flatnonzero(trials.split.values.astype(str) == "train")
    order = np.random.default_rng(seed).permutation(is_train)
    left_out = set(order[round(share * len(order)) :].tolist())
    return trials.isel(trial=[number for number in range(trials.sizes["trial"]) if number not in left_out])


def ways(arguments, seed):
    """The recipes to compare, by name."""
    base = {"model": "lfads", "seed": seed, **RECIPES[arguments.data]}
    search = {
        "members": arguments.members,
        "epochs": arguments.generation,
        "generations": arguments.generations,
        "patience": arguments.patience,
    }
    population = recipes.from_document({**base, "search": search})
    choices = for_members(Search(**search), population.choices)
    epochs = timetable(Search(**search), choices).epochs
    training = {**base.get("training", {}), "epochs": epochs}
    random = {**base, "training": training, "search": {**search, "algorithm": "random"}}
    found = {"default": recipes.from_document(base)}
    if arguments.data == "reaching":
        by_hand = {**recipes.read("reaching"), "seed": seed}
        found["by hand"] = recipes.from_document(by_hand)
        by_size = by_hand["lfads"] if arguments.sizes == "by hand" else {}
        sizes = {name: size for name, size in by_size.items() if name != "dropout_rate"}
        population = recipes.from_document({**base, "lfads": sizes, "search": search})
        random["lfads"] = sizes
    together = population._replace(search=population.search.model_copy(update={"ensemble": 5}))
    return found | {"random": recipes.from_document(random), "population": population, "ensemble": together}


def scored(fitted, trials, split):
    """The scores to print, of the model and of Gaussian smoothing."""
    both = ut.evaluate(
        fitted.infer(trials, samples=20), trials, yardstick=ut.yardstick(trials), splits=[split]
    )[split]
    return [
        {name: side[name] for name in SHOWN if name in side} for side in (both["model"], both["yardstick"])
    ]


def main():
    """Print a row for each seed and way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", choices=[*SIMULATIONS, "reaching"])
    parser.add_argument("--recordings", type=Path, help="folder with macaque_reaching.npz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the training trials of a simulation")
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--generation", type=int, default=15, help="epochs of a generation")
    parser.add_argument("--generations", type=int, default=11)
    parser.add_argument(
        "--patience", type=int, default=4, help="generations without gain before a search ends"
    )
    parser.add_argument(
        "--sizes", default="by hand", choices=["by hand", "default"], help="of searches on reaching"
    )
    parser.add_argument("--ways", nargs="*", default=["default", "by hand", "population", "random"])
    parser.add_argument("--runs", type=Path, default=None)
    arguments = parser.parse_args()
    cache.switch_on()
    folder = arguments.runs or Path(tempfile.mkdtemp())
    split = "valid" if arguments.data == "reaching" else "test"
    for seed in arguments.seeds:
        if arguments.data == "reaching":
            trials = SOURCES["reaching"](arguments.recordings, seed)
        else:
            trials = simulated(arguments.data, seed, arguments.share)
        for name, recipe in ways(arguments, seed).items():
            if name not in arguments.ways:
                continue
            begun = time.perf_counter()
            run = folder / f"{arguments.data}-{seed}-{arguments.share:g}-{name.replace(' ', '-')}"
            if (arguments.sizes, arguments.patience) != ("by hand", 4):
                run = folder / f"{run.name}-{arguments.sizes.replace(' ', '-')}-{arguments.patience}"
            fitted = (ut.fit if recipe.search is None else ut.search)(recipe, trials, out=run, quiet=True)
            seconds = time.perf_counter() - begun
            scores, smoothing = scored(fitted, trials, split)
            facts = {"data": arguments.data, "seed": seed, "share": arguments.share, "way": name}
            line = {
                **facts,
                "trials": int((trials.split == "train").sum()),
                "epochs": fitted.outcome["epochs"],
                "seconds": round(seconds),
                "scores": scores,
                "smoothing": smoothing,
            }
            with open(folder / "results.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(
                ", ".join(
                    f"{key} {value}" for key, value in line.items() if key not in ("scores", "smoothing")
                ),
                "; ".join(
                    f"{key} {value:.4f} ({smoothing.get(key, math.nan):.4f})" for key, value in scores.items()
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
