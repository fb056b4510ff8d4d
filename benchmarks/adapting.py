"""Pretrain on dense data, adapt to sparse data: against training on the sparse data from scratch, by the number of sparse trials.

    python benchmarks/adapting.py FOLDER [--keep 3] [--trials 40 120 400 1248] [--epochs 100] [--train read_in,encoder]

Lorenz, 29 neurons (`undertow simulate lorenz`, seed 7). LFADS is fitted to half of the training trials with all neurons
observed; then, with `keep` neurons observed in each bin (`undertow subsample --pattern random`), to so many of the other half:
from scratch, from the dense fit with all parts free, and from the dense fit with only the named parts free. All are selected on
sparse validation trials alone and scored on them: R2 of the rates with the truth, a mean over neurons. Fits are runs in FOLDER:
what is finished is not fitted again.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import undertow as ut
from undertow.experiments import cache
from undertow.experiments import recipe as recipes


def rate_r2(fitted, trials):
    """Of the validation trials."""
    valid = ut.select(trials, "valid")
    estimate = fitted.infer(valid, samples=10)
    return ut.evaluate(estimate, valid, splits=["valid"])["valid"]["model"]["rate_r2"]


def halves(trials, seed=0):
    """Two sets of trials: each with half of the training trials, and half of the validation trials, of every condition."""
    order = np.random.default_rng(seed).permutation(trials.sizes["trial"])
    split = trials.split.values.astype(str)[order]
    first = np.concatenate(
        [order[split == name][: (split == name).sum() // 2] for name in ("train", "valid")]
    )
    return trials.isel(trial=np.sort(first)), trials.isel(
        trial=np.sort(np.setdiff1d(np.arange(len(order)), first))
    )


def first_of(trials, number, seed=1):
    """So many of the training trials, and as many of the validation trials as belong to them, but at least 20."""
    generator, split = np.random.default_rng(seed), trials.split.values.astype(str)
    train, valid = (generator.permutation(np.flatnonzero(split == name)) for name in ("train", "valid"))
    return trials.isel(trial=np.sort(np.concatenate([train[:number], valid[: max(number // 4, 20)]])))


def main():
    """Fit, and print a line for each number of trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--trials", type=int, nargs="+", default=[40, 120, 624])
    parser.add_argument("--epochs", type=int, default=100, help="of the dense fit")
    parser.add_argument("--updates", type=int, default=2000, help="of every sparse fit, about")
    parser.add_argument("--train", default="read_in,encoder,controller", help="the parts that may move")
    arguments = parser.parse_args()
    cache.switch_on()
    dense, other = halves(ut.simulate.SYSTEMS["lorenz"](seed=7))
    sparse = ut.subsample(other, keep=arguments.keep, seed=0)
    fitted = ut.fit(
        recipes.from_document({"model": "lfads", "training": {"epochs": arguments.epochs}}),
        dense,
        out=arguments.folder / "dense",
        quiet=True,
    )
    print(f"dense: {rate_r2(fitted, dense):.4f}; as it is on sparse trials: {rate_r2(fitted, sparse):.4f}")
    parts = tuple(part for part in arguments.train.split(",") if part in fitted.recipe.model.parts)
    for number in arguments.trials:
        begun, few = time.perf_counter(), first_of(sparse, number)
        batch = min(64, number)
        epochs = max(30, arguments.updates // (number // batch))
        training = ut.Training(epochs=epochs, batch_size=batch)
        ways = {
            "scratch": lambda out, few=few, training=training: ut.fit(
                ut.Recipe(ut.LFADS(), training=training), few, out=out, quiet=True
            ),
            "adapted": lambda out, few=few, training=training: ut.adapt(
                fitted.folder, few, out=out, quiet=True, training=training
            ),
            "adapted-in-part": lambda out, few=few, training=training: ut.adapt(
                fitted.folder, few, out=out, train=parts, quiet=True, training=training
            ),
        }
        scores = {
            way: rate_r2(fit(arguments.folder / f"{way}-{number}"), sparse) for way, fit in ways.items()
        }
        shown = "  ".join(f"{way} {score:.4f}" for way, score in scores.items())
        print(f"{number} sparse trials: {shown}  ({time.perf_counter() - begun:.0f} s now)", flush=True)


if __name__ == "__main__":
    main()
