"""Tensors and scores of the Neural Latents Benchmark beside those of its reference implementation, on generated files.

    python benchmarks/nlb_reference.py [--python PATH] [--names mc_maze_small dmfc_rsg] [--bins 5 20] [--scale 0.1]

For each data set, bin width and phase: input tensors and target tensors entry by entry, in float32 as the files store them
(largest absolute difference, differing NaN), and the scores of one submission of smoothed counts, by both. In the phase "test"
the target comes from the complete file.
--python is a Python that has nlb_tools from PyPI; otherwise an environment is made in a temporary folder.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from nlb_environment import Reference
from scipy.ndimage import gaussian_filter1d

from undertow.data.nlb.generate import generate
from undertow.data.nlb.input_tensors import eval_tensors, train_tensors
from undertow.data.nlb.prepare import prepare, target
from undertow.data.nlb.table import DATA_SETS
from undertow.data.nlb.tensor_files import read_submission, read_targets, write_submission, write_targets
from undertow.evaluation.nlb import score
from undertow.evaluation.nlb_results import SCALING, results

PHASES = ("val", "test")
SMOOTHING = 50.0  # ms
LAST = 20  # bins whose mean is the forecast


def main():
    """Print one row for each data set, bin width and phase."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python")
    parser.add_argument("--names", nargs="+", default=list(DATA_SETS))
    parser.add_argument("--bins", nargs="+", type=int, default=[5, 20])
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="a line for each tensor")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reference = Reference(folder, arguments.python)
        print(
            f"{'group':<18} {'phase':<5} {'inputs':>24} {'target':>24}  scores: ours, difference from the reference"
        )
        for name in arguments.names:
            files = generate(name, folder / name, scale=arguments.scale, seed=arguments.seed)
            for width in arguments.bins:
                for phase in PHASES:
                    trials = prepare(name, folder / name, bin_width=width / 1e3, phase=phase)
                    row = compared(reference, files, trials, phase, folder, is_verbose=arguments.verbose)
                    print(f"{DATA_SETS[name].group(width / 1e3):<18} {phase:<5} {row}", flush=True)


def compared(reference, files, trials, phase, folder, *, is_verbose):
    """One row of the table."""
    name, width = trials.attrs["nlb"], trials.attrs["bin_width"]
    ours = {"inputs": train_tensors(trials, phase) | eval_tensors(trials, phase)}
    labels = {"labels": files.complete} if phase == "test" else {}
    ours["targets"] = target(name, folder / name, phase=phase, bin_width=width, **labels)
    theirs = reference_tensors(reference, files, name, width, phase, folder)
    if is_verbose:
        for what in ours:
            for line in each_difference(ours[what], theirs[what]):
                print("   ", what, line)
    scores = both_scores(reference, ours, name, width, folder)
    return "  ".join([*(f"{difference(ours[what], theirs[what]):>24}" for what in ours), scores])


def reference_tensors(reference, files, name, width, phase, folder):
    """Input and target tensors of the reference."""
    out = {what: str(folder / f"{what}.npz") for what in ("inputs", "targets")}
    job = {"do": "tensors", "name": name, "bin": round(width * 1e3), "phase": phase}
    published = {"folder": str(files.train.parent)}
    if phase == "val":
        jobs = [job | published | {"prefix": "*train"} | out]
    else:
        jobs = [
            job | published | {"inputs": out["inputs"]},
            job | {"folder": str(files.complete), "targets": out["targets"]},
        ]
    reference.run(jobs)
    return {what: dict(np.load(path)) for what, path in out.items()}


def flat(tensors):
    """Arrays alone, as the reference's side stores them."""
    found = {}
    for name, values in tensors.items():
        if name.endswith("cond_idx"):
            found[f"{name}/lengths"] = np.array([len(row) for row in values])
            found[f"{name}/values"] = np.concatenate(values)
        else:
            found[name] = np.asarray(values)
    return found


def each_difference(ours, theirs):
    """For each entry: its name, largest difference and number of differing NaN, or the shapes where they differ."""
    ours = flat(ours)
    for name in sorted(set(ours) | set(theirs)):
        if name not in ours or name not in theirs:
            yield name, "only ours" if name in ours else "only the reference's", 0
        elif ours[name].shape != theirs[name].shape:
            yield name, f"shape {ours[name].shape}, not {theirs[name].shape}", 0
        else:
            one, other = (
                values.astype(np.float32).astype(np.float64) for values in (ours[name], theirs[name])
            )
            known = ~np.isnan(one) & ~np.isnan(other)
            yield (
                name,
                float(np.abs(one - other)[known].max(initial=0)),
                int((np.isnan(one) != np.isnan(other)).sum()),
            )


def difference(ours, theirs):
    """In a few words: the largest difference of all entries, or what is amiss."""
    rows = list(each_difference(ours, theirs))
    amiss = [f"{name} {largest}" for name, largest, _ in rows if isinstance(largest, str)]
    nans = sum(count for _, _, count in rows)
    if amiss:
        return f"{amiss[0]} (+{len(amiss) - 1})"
    return f"{max(largest for _, largest, _ in rows):.0e}" + (
        f", {nans} NaN differ" if nans else ", same NaN"
    )


def both_scores(reference, ours, name, width, folder):
    """Scores of one submission and how far they are from the reference's."""
    group = DATA_SETS[name].group(width)
    paths = {what: folder / f"{what}.h5" for what in ("target", "submission")}
    for path in paths.values():
        path.unlink(missing_ok=True)
    write_targets(paths["target"], {group: ours["targets"]})
    write_submission(paths["submission"], {group: smoothed(ours["inputs"], ours["targets"], width)})
    job = {
        "do": "score",
        "out": str(folder / "scores.json"),
        **{what: str(path) for what, path in paths.items()},
    }
    reference.run([job])
    (theirs,) = json.loads((folder / "scores.json").read_text())
    found = score(
        read_targets(paths["target"])[group], read_submission(paths["submission"])[group], bin_width=width
    )
    (mine,) = results({group: found})
    if list(mine) != list(theirs):
        return f"{list(mine)} instead of {list(theirs)}"
    (mine,), (theirs,) = mine.values(), theirs.values()
    short = {key: key.removeprefix(SCALING.get(name, "")) for key in mine}
    return "; ".join(f"{short[key]} {mine[key]:.4f} {abs(mine[key] - theirs[key]):.0e}" for key in mine)


def smoothed(inputs, targets, width):
    """A submission: smoothed counts of held-in neurons, and random mixtures of them as rates of held-out neurons."""
    rng = np.random.default_rng(0)
    held_in = {split: _smooth(inputs[f"{split}_spikes_heldin"], width) for split in ("train", "eval")}
    means = np.nanmean(inputs["train_spikes_heldout"], axis=(0, 1)) + 1e-4
    mixture = rng.dirichlet(np.full(held_in["train"].shape[-1], 0.3), len(means)).T
    level = (held_in["train"] @ mixture).mean(axis=(0, 1))
    rates = {}
    for split, values in held_in.items():
        rates[f"{split}_rates_heldin"] = values
        rates[f"{split}_rates_heldout"] = np.sqrt(values @ mixture / level) * means
    bins = targets["eval_spikes_heldin_forward"].shape[1]
    for what in ("heldin", "heldout"):
        last = rates[f"eval_rates_{what}"][:, -LAST:].mean(axis=1, keepdims=True)
        rates[f"eval_rates_{what}_forward"] = np.repeat(last, bins, axis=1)
    return rates


def _smooth(counts, width):
    return gaussian_filter1d(np.nan_to_num(counts).astype(np.float64), SMOOTHING / 1e3 / width, axis=1) + 1e-3


if __name__ == "__main__":
    main()
