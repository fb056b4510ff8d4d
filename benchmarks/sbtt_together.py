"""Fits of sbtt.py as members of one program: on an accelerator all of them take little longer than one.

    python benchmarks/sbtt_together.py FOLDER --runs lfads-5 lfads-3-1 dropped-5 ...

All runs of a call must have the same shapes (model, epochs, batches): the autoencoders together; lfads and dropped together;
mask; mean. It writes finished runs into FOLDER, which `sbtt.py FOLDER` scores. Seeds, shuffles and corruption are those of single
fits; figures differ in their last digits.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sbtt import name_of, recipe_of, trials_of

from undertow.experiments.fitting import begin_folder, fitted_to
from undertow.experiments.material import Material, material
from undertow.training import loop
from undertow.training.epoch import build
from undertow.training.hyperparameters import hyperparameters


class Member(NamedTuple):
    """A run: its folder, and what it is fitted to."""

    folder: Path
    given: Material


def members(names, folder):
    """The runs of these names."""
    chosen = []
    for name in names:
        way, keep, *rest = name.split("-")
        keep, seed = int(keep), int(*rest or ["0"])
        given = material(recipe_of(way, seed), trials_of(way, keep))
        chosen.append(Member(folder / name_of(way, keep, seed), given))
    return chosen


def beginnings(chosen, summaries):
    """The members' states before the first epoch, with a member axis on every array."""
    recipes = [member.given.recipe for member in chosen]

    def begin(key, mean, variance):
        return loop.begin_from(recipes[0].choices, summaries[0], key, mean, variance)

    keys = jnp.stack([jax.random.key(recipe.seed) for recipe in recipes])
    means, variances = (
        jnp.stack([getattr(summary, name) for summary in summaries]) for name in ("mean", "variance")
    )
    states = eqx.filter_vmap(begin)(keys, means, variances)
    numbers = [hyperparameters(of.model, of.optimiser, of.objective, of.corruption) for of in recipes]
    return states._replace(hyperparameters=jax.tree.map(lambda *leaves: jnp.stack(leaves), *numbers))


def fit_together(chosen):
    """The members' last states, and the seconds it took."""
    data = [member.given.data for member in chosen]
    choices, corruption = chosen[0].given.recipe.choices, chosen[0].given.corruption
    plan = loop.plan_of(choices, corruption, data[0][0])
    train, valid = (
        jax.tree.map(lambda *arrays: jnp.stack(arrays), *parts) for parts in zip(*data, strict=True)
    )
    entries = jnp.asarray([loop.plan_of(choices, corruption, part[0]).entries for part in data])
    states = beginnings(chosen, [loop.summarise(part[0]) for part in data])
    changing, static = eqx.partition(states, eqx.is_array)

    def one(changing, train, valid, entries):
        epoch = build(plan._replace(entries=entries), None)
        state, metrics = epoch(eqx.combine(changing, static), train, valid)
        return eqx.filter(state, eqx.is_array), metrics

    compiled, begun = jax.jit(jax.vmap(one), donate_argnums=0), time.monotonic()
    for number in range(choices.training.epochs):
        changing, metrics = compiled(changing, train, valid, entries)
        if number < 2 or number % 50 == 49:
            score = np.asarray(metrics["selection"])
            print(
                f"epoch {number + 1}, {time.monotonic() - begun:.0f} s: selection {score.round(4)}",
                flush=True,
            )
    return eqx.combine(changing, static), time.monotonic() - begun


def write(chosen, states, seconds):
    """A finished run for each member."""
    arrays, static = eqx.partition(states, eqx.is_array)
    for place, (folder, given) in enumerate(chosen):
        state = eqx.combine(jax.tree.map(lambda leaf, place=place: leaf[place], arrays), static)
        begin_folder(folder, given)
        outcome = {
            "selected_on": loop.selected_on(given.recipe.choices, given.corruption),
            "selected_epoch": int(state.selection.best_epoch),
            "epochs": int(state.epoch),
            "updates": int(state.update),
            "seconds": seconds / len(chosen),
            "skipped_steps": int(state.skipped),
        }
        fitted_to(given, folder, state.best_model, outcome).save()


def main():
    """Fit, and write the runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", nargs="+", required=True)
    arguments = parser.parse_args()
    chosen = members(arguments.runs, arguments.folder)
    states, seconds = fit_together(chosen)
    write(chosen, states, seconds)
    print(f"{len(chosen)} runs in {seconds:.0f} s on {jax.devices()[0].device_kind}", flush=True)


if __name__ == "__main__":
    main()
