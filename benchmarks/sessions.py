"""Sessions that share a model: the stitched fit beside a fit of each session alone, and a session that joins later.

    python benchmarks/sessions.py FOLDER [--sessions 6] [--repeats 4] [--epochs 60] [--join 1.0 0.25 0.1]

A chaotic network of 100 units (`undertow simulate chaotic-rnn-sessions`), 20 of them observed in each session: the published
multi-session experiment (150 conditions), with so many trials of each condition in each session. Fitted are: all sessions but the
last together, from condition averages; each session alone, for as many updates; all together; the last joined to the stitched
model with a share of its training trials, while all that sessions share rests; and the stitched fit once more from chance.
Printed: R2 of the rates with the truth on validation trials, a mean over neurons, and seconds. Fits are runs in FOLDER: what is
finished is not fitted again, what was cut off goes on.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import undertow as ut
from undertow.experiments import cache
from undertow.experiments import recipe as recipes


def recipe(epochs, settings, **sections):
    """The default LFADS without inferred inputs, for so many epochs."""
    document = {
        "model": "lfads",
        "lfads": {"inferred_inputs": 0, "factors": 20},
        "training": {"epochs": epochs},
        **sections,
    }
    return recipes.from_document(recipes.with_settings(document, settings))


def rate_r2(fitted, trials):
    """Of the validation trials of one session."""
    valid = ut.select(trials, "valid")
    estimate = fitted.infer(valid, samples=10)
    return ut.evaluate(estimate, valid, splits=["valid"])["valid"]["model"]["rate_r2"]


def with_share(trials, share, seed=0):
    """The trials with this share of those for training; the validation trials all stay."""
    is_train = trials.split.values.astype(str) == "train"
    train = np.random.default_rng(seed).permutation(np.flatnonzero(is_train))
    kept = train[: max(round(share * len(train)), 8)]
    return trials.isel(trial=np.sort(np.concatenate([kept, np.flatnonzero(~is_train)])))


def main():
    """Fit, and print a line for each fit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=6, help="of the stitched model; one more joins")
    parser.add_argument(
        "--repeats", type=int, default=4, help="trials of each of 150 conditions in a session"
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--updates", type=int, default=1200, help="of a session that joins, about")
    parser.add_argument("--join", type=float, nargs="*", default=[1.0, 0.25, 0.1])
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, section.key=value")
    arguments = parser.parse_args()
    cache.switch_on()
    folder, epochs, settings = arguments.folder, arguments.epochs, arguments.set
    simulate = ut.simulate.SYSTEMS["chaotic-rnn-sessions"]
    every = simulate(sessions=arguments.sessions + 1, repeats=arguments.repeats, seed=5)
    *names, last = every
    stitched = {name: every[name] for name in names}

    def tell(what, values, begun):
        shown = " ".join(f"{value:.3f}" for value in values)
        print(
            f"{what}: mean {np.mean(values):.4f} ({shown}), {time.perf_counter() - begun:.0f} s now",
            flush=True,
        )

    def stitch(start):
        begun = time.perf_counter()
        chosen = recipe(epochs, settings, start={"read_in": start})
        fitted = ut.fit(chosen, stitched, out=folder / f"stitched-{start}", quiet=True)
        tell(f"{len(names)} sessions, from {start}", [rate_r2(fitted.at(n), every[n]) for n in names], begun)

    stitch("conditions")
    singles = []
    for name in every:
        begun = time.perf_counter()
        chosen = recipe(epochs * len(names), settings)  # as many updates as the stitched fit
        alone = ut.fit(chosen, every[name], out=folder / f"alone-{name}", quiet=True)
        singles.append(rate_r2(alone, every[name]))
        tell(f"{name} alone", singles[-1:], begun)
    print(
        f"the first {len(names)} alone: mean {np.mean(singles[:-1]):.4f}; the last alone {singles[-1]:.4f}",
        flush=True,
    )
    begun = time.perf_counter()
    together = ut.fit(recipe(epochs, settings), every, out=folder / "all", quiet=True)
    tell(f"all {len(every)} sessions", [rate_r2(together.at(n), every[n]) for n in every], begun)
    for share in arguments.join:
        begun, trials = time.perf_counter(), with_share(every[last], share)
        train = int((trials.split.values.astype(str) == "train").sum())
        training = ut.Training(epochs=arguments.updates * min(64, train) // train)
        joined = ut.adapt(
            folder / "stitched-conditions",
            trials,
            out=folder / f"joined-{share:g}",
            new_session=True,
            training=training,
            quiet=True,
        )
        tell(f"the last joined, {train} training trials", [rate_r2(joined, every[last])], begun)
    stitch("chance")


if __name__ == "__main__":
    main()
