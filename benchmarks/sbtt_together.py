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

from undertow.data.batches import training_arrays
from undertow.experiments.fitted import Fitted, Session
from undertow.experiments.fitting import concealed, environment, fingerprint, prepare
from undertow.training import loop
from undertow.training.epoch import build
from undertow.training.hyperparameters import hyperparameters


class Member(NamedTuple):
    """A run: its folder, its recipe, its trials."""

    folder: Path
    recipe: object
    trials: object


def members(names, folder):
    """The runs of these names."""
    chosen = []
    for name in names:
        way, keep, *seed = name.split("-")
        place = name_of(way, int(keep), int(*seed or ["0"]))
        chosen.append(Member(folder / place, recipe_of(way, int(*seed or ["0"])), trials_of(way, int(keep))))
    return chosen


def beginnings(chosen, summaries):
    """The members' states before the first epoch, with a member axis on every array."""
    choices = chosen[0].recipe.choices

    def begin(key, mean, variance):
        return loop.begin_from(choices, summaries[0], key, mean, variance)

    keys = jnp.stack([jax.random.key(member.recipe.seed) for member in chosen])
    means, variances = (
        jnp.stack([getattr(summary, name) for summary in summaries]) for name in ("mean", "variance")
    )
    states = eqx.filter_vmap(begin)(keys, means, variances)
    numbers = [
        hyperparameters(m.recipe.model, m.recipe.optimiser, m.recipe.objective, m.recipe.corruption)
        for m in chosen
    ]
    return states._replace(hyperparameters=jax.tree.map(lambda *leaves: jnp.stack(leaves), *numbers))


def fit_together(chosen):
    """The members' last states, and the seconds it took."""
    data = [training_arrays(member.trials) for member in chosen]
    choices, corruption = chosen[0].recipe.choices, concealed(chosen[0].recipe, chosen[0].trials)
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
    for place, member in enumerate(chosen):
        state = eqx.combine(jax.tree.map(lambda leaf, place=place: leaf[place], arrays), static)
        provenance = {
            "seed": member.recipe.seed,
            "trials_fingerprint": fingerprint(member.trials),
            **environment(),
        }
        prepare(member.folder, member.recipe, provenance)
        outcome = {
            "selected_on": loop.selected_on(member.recipe.choices, concealed(member.recipe, member.trials)),
            "selected_epoch": int(state.selection.best_epoch),
            "epochs": int(state.epoch),
            "updates": int(state.update),
            "seconds": seconds / len(chosen),
            "skipped_steps": int(state.skipped),
        }
        Fitted(member.folder, member.recipe, state.best_model, Session.of(member.trials), outcome).save()


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
