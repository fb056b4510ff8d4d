"""Codes of simulated reaching: what they hold, how they move, and activity for a sector of directions that nobody trained on.

    python benchmarks/codes_of_reaching.py FOLDER [--models gnocchi lfads pca] [--seeds 0 1 2 3 4] [--set gnocchi:KEY=VALUE]

The data: `undertow simulate reaching --set hold_out_angles=45:90` (1,000 trials of 60 neurons, 50 bins of 20 ms) with the seed in
question. Every model keeps a trial as 8 numbers: gnocchi; lfads without inferred inputs, whose code is the mean of the initial
condition; and the first principal components of smoothed trials. What is scored, on trials that no model was fitted to:

* linear R2 of each factor from the codes (five folds over validation trials and training trials together), and DCI of the codes
  as they are, and turned to principal and to independent components;
* leakage: while a walk moves one factor by its standard deviation, how far the others move, read from the spikes that were made
  by one linear reader for all models (20 principal components of smoothed real training trials, ridge);
* the sector left out: as many trials are generated as were held out, for the same angles, starts, distances, speeds and
  curvatures. A decoder of hand position fitted to real training trials reads the spikes: R2 of the hand, and how far (cm) it ends
  from the target; beside that from the rates, by a decoder of real activity smoothed by 3 bins ("by_rates"), and for GNOCCHI from
  what it makes at temperature 1, where noise as in the recording is in it, smoothed alike ("at_temperature_1");
* controls: R2 of the hand decoded from trials made of their own codes, of those of other trials, and of codes of zeros.

Beside them real held-out trials through the same decoder, the ceiling. Runs are folders in FOLDER, MODEL-SEED; what is finished
is not fitted again.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import undertow as ut
from undertow.evaluation import disentanglement, linear_readout, traversals, unseen_conditions
from undertow.evaluation.code_steps import fit_steps
from undertow.evaluation.smoothing import smooth
from undertow.experiments import cache, coding, drawing_spikes
from undertow.experiments import recipe as recipes

FACTORS = ("start_x", "start_y", "reach_angle", "reach_distance", "peak_speed", "curvature")
WALKED = ("reach_angle", "reach_distance", "peak_speed", "curvature", "start_x", "start_y")
SECTOR, WIDTH, SMOOTHED, COMPONENTS = "45:90", 2.0, 3.0, 20
MODELS = {
    "gnocchi": {"model": "gnocchi", "training": {"epochs": 60}},
    "lfads": {
        "model": "lfads",
        "lfads": {"inferred_inputs": 0, "initial_condition": 8},
        "training": {"epochs": 200},
    },
    "pca": {"model": "pca"},
}


class Reader:
    """Factors from spikes, the same for all models: principal components of smoothed real training trials, and ridge."""

    def __init__(self, smoothed: np.ndarray, factors: dict[str, np.ndarray]):
        flat = smoothed.reshape(len(smoothed), -1)
        self.mean = flat.mean(0)
        self.components = np.linalg.svd(flat - self.mean, full_matrices=False)[2][:COMPONENTS].T
        self.read = fit_steps(self.codes(smoothed), factors, angles=("reach_angle",))

    def codes(self, smoothed: np.ndarray) -> np.ndarray:
        return (smoothed.reshape(len(smoothed), -1) - self.mean) @ self.components

    def __call__(self, smoothed: np.ndarray) -> dict[str, np.ndarray]:
        return self.read.read(self.codes(smoothed))


def activity(trials) -> np.ndarray:
    return smooth(trials.counts.values, WIDTH)


def factors_of(trials, names=FACTORS) -> dict[str, np.ndarray]:
    return {name: trials[name].values.astype(float) for name in names}


def hands_of(trials) -> np.ndarray:
    return trials.behaviour.sel(behaviour_channel=["hand_x", "hand_y"]).values


def scores(model: str, seed: int, folder: Path, document: dict) -> dict[str, float]:
    """Fit, unless it was, and score."""
    trials = ut.simulate.SYSTEMS["reaching"](seed=seed, hold_out_angles=SECTOR)
    run = folder / f"{model}-{seed}"
    row = _kept(run / "codes.json", lambda: _from_spikes(run, document, seed, trials))
    row |= _kept(run / "codes_rates.json", lambda: _from_rates(ut.open(run), trials))
    if model == "gnocchi":
        warm = _kept(run / "codes_warm.json", lambda: _from_rates(ut.open(run), trials, temperature=1.0))
        row |= {
            name.replace("by_rates", "at_temperature_1"): warm[name] for name in warm if "real" not in name
        }
    return row


def _kept(path: Path, make) -> dict[str, float]:
    """Scores that were stored, or are made and stored now."""
    if not path.exists():
        row = make()
        path.write_text(json.dumps(row))
    return json.loads(path.read_text())


def _from_spikes(run: Path, document: dict, seed: int, trials) -> dict[str, float]:
    fitted = ut.fit(recipes.from_document({**document, "seed": seed}), trials, out=run, quiet=True)
    train, valid, unseen = (
        trials.isel(trial=trials.split.values == split) for split in ("train", "valid", "test")
    )
    row = {"seconds": fitted.outcome["seconds"], **_of_codes(fitted, trials)}
    reader = Reader(activity(train), factors_of(train))
    decoder = unseen_conditions.hand_decoder(activity(train), hands_of(train))
    row |= _leakage(fitted, trials, reader)
    row |= _unseen(fitted, trials, unseen, decoder)
    return row | _controls(fitted, valid, decoder)


def _from_rates(fitted, trials, **choices) -> dict[str, float]:
    """The hand read from the rates that were made, without drawing spikes of them, by a decoder of real smoothed activity."""
    train, valid, unseen = (
        trials.isel(trial=trials.split.values == split) for split in ("train", "valid", "test")
    )
    real = lambda some: smooth(some.counts.values, SMOOTHED)  # noqa: E731

    def rates(made):
        expected = made.true_rates.values * trials.attrs["bin_width"]
        return smooth(expected, SMOOTHED) if choices else expected

    decoder = unseen_conditions.hand_decoder(real(train), hands_of(train))
    target = np.stack([unseen.target_x.values, unseen.target_y.values], axis=1)
    made = unseen_conditions.Reaching(
        rates(fitted.generate(trials, factors_of(unseen), **choices)), hands_of(unseen), target
    )
    ceiling = unseen_conditions.Reaching(real(unseen), hands_of(unseen), target)
    found = unseen_conditions.unseen_scores(decoder, made, ceiling)
    row = {f"unseen_{name}_by_rates": float(value) for name, value in found.items()}
    row["hand_r2_own_by_rates"] = _hand_r2(decoder, rates(fitted.reconstruct(valid, **choices)), valid)
    row["hand_r2_recorded"] = _hand_r2(decoder, real(valid), valid)
    return row


def _of_codes(fitted, trials) -> dict[str, float]:
    seen = trials.isel(trial=trials.split.values != "test")
    codes, factors = fitted.encode(seen).values.astype(float), factors_of(seen)
    row = {
        f"r2_{name}": value
        for name, value in linear_readout.linear_r2(codes, factors, angles=["reach_angle"]).items()
    }
    for rotation, found in disentanglement.dci_of_rotations(codes, factors, angles=["reach_angle"]).items():
        row[f"dci_{rotation}"], row[f"completeness_{rotation}"] = found.disentanglement, found.completeness
    return row


def _leakage(fitted, trials, reader) -> dict[str, float]:
    train = trials.isel(trial=trials.split.values == "train")
    of_training = reader(activity(train))
    row = {}
    for name in WALKED:
        made = fitted.traverse(
            trials,
            name,
            steps=8 if name == "reach_angle" else 5,
            keep=[other for other in FACTORS if other != name],
            sources=40,
        )
        found, steps = reader(activity(made)), int(made.step.max()) + 1
        order = [name, *(other for other in FACTORS if other != name)]
        columns, spread = [], []
        for other in order:
            values = found[other].reshape(-1, steps).T
            columns.append(np.unwrap(values, axis=0) if other == "reach_angle" else values)
            spread.append(of_training[other].std())
        found = traversals.leakage(np.stack(columns, axis=2), target=0, spread=np.array(spread))
        row[f"leakage_{name}"] = found.mean
        row[f"monotone_{name}"] = traversals.monotonicity(columns[0])
    row["leakage"] = float(np.mean([row[f"leakage_{name}"] for name in WALKED]))
    return row


def _unseen(fitted, trials, unseen, decoder) -> dict[str, float]:
    made = fitted.generate(trials, factors_of(unseen))
    target = np.stack([unseen.target_x.values, unseen.target_y.values], axis=1)
    asked = unseen_conditions.Reaching(activity(made), hands_of(unseen), target)
    real = unseen_conditions.Reaching(activity(unseen), hands_of(unseen), target)
    return {
        f"unseen_{name}": float(value)
        for name, value in unseen_conditions.unseen_scores(decoder, asked, real).items()
    }


def _controls(fitted, valid, decoder) -> dict[str, float]:
    codes = fitted.encode(valid).values
    order = np.random.default_rng(0).permutation(len(codes))
    row = {}
    for name, chosen in {"own": codes, "shuffled": codes[order], "zero": 0 * codes}.items():
        rates = coding.rates_of(fitted, chosen, bins=valid.sizes["time"], seed=0)
        counts = drawing_spikes.drawn_counts("poisson", rates * valid.attrs["bin_width"], 0)
        row[f"hand_r2_{name}"] = _hand_r2(decoder, smooth(counts, WIDTH), valid)
    return row


def _hand_r2(decoder, smoothed, trials) -> float:
    hand, truth = decoder(smoothed), hands_of(trials)
    is_known = np.isfinite(hand)
    error = np.where(is_known, (hand - truth) ** 2, 0).sum((0, 1))
    total = np.where(is_known, (truth - truth.mean((0, 1))) ** 2, 0).sum((0, 1))
    return float((1 - error / total).mean())


def main() -> None:
    """Print a line for each fit, then means and standard errors over seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", nargs="+", default=[], metavar="MODEL:KEY=VALUE")
    arguments = parser.parse_args()
    cache.switch_on()
    warnings.simplefilter(
        "ignore", UserWarning
    )  # that some codes lie outside the data is what is asked for here
    table = {}
    for seed in arguments.seeds:
        for model in arguments.models:
            own = [text.partition(":")[2] for text in arguments.set if text.startswith(f"{model}:")]
            with threadpool_limits(limits=1, user_api="blas"):
                row = scores(model, seed, arguments.folder, recipes.with_settings(MODELS[model], own))
            table.setdefault(model, []).append(row)
            print(
                f"{model} seed {seed}: " + "  ".join(f"{name} {value:.3f}" for name, value in row.items()),
                flush=True,
            )
    names = dict.fromkeys(name for rows in table.values() for name in rows[0])
    print("\n" + "mean (standard error) over seeds".ljust(34), *(f"{model:>16}" for model in table))
    for name in names:
        cells = []
        for rows in table.values():
            values = np.array([row.get(name, np.nan) for row in rows])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            cells.append(f"{values.mean():8.3f} ({error:.3f})")
        print(name.ljust(34), *(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
