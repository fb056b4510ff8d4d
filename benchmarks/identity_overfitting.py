"""Identity overfitting and its cure: does the validation score rank models by how well they recover the true rates?

    python benchmarks/identity_overfitting.py --out FILE.json
    python benchmarks/identity_overfitting.py --plot FILE.json

A flexible LFADS can pass each spike through to its own rate. Validation trials do not show it, for they too are seen while they
are scored (Keshtkaran and Pandarinath 2019). Here settings drawn at random (sizes, dropout, KL weights, penalties, learning rate)
are trained on a small simulated data set in three arms, from the same first weights: as they are; with coordinated dropout; with
sample validation. Each arm's last weights are scored on validation trials: the likelihood of all entries, each seen while it is
scored; that of entries hidden by coordinated dropout; that of entries hidden by sample validation; and R2 of the rates.

All settings of one size are one population program, in all arms. The results are written after each size and a repeated command
goes on from there; --plot prints the table and draws the picture again.
"""

import argparse
import json
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from validation_ranking import DOTS, draw, show

import undertow as ut
from undertow.components.corruption import Corruption, CorruptionRates
from undertow.data.batches import training_arrays
from undertow.evaluation.truth import rate_r2
from undertow.experiments import cache
from undertow.files import write_bytes
from undertow.models.base import Range
from undertow.models.lfads import LFADS
from undertow.search.members import MemberEpochs
from undertow.search.population import begin, groups_of, values_of
from undertow.search.settings import Search
from undertow.search.timetable import timetable
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training, plan_of
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.training.step import terms_of_batch

DATA = {"g": 1.5, "neurons": 50, "conditions": 60, "repeats": 3, "bins": 50}
SIZES = (16, 32, 64)
SAMPLES = 8  # of the posterior, for scores and rates
BATCH = 24
SPACE = {
    "optimiser.learning_rate": Range(low=2e-3, high=1e-2, prior="log_uniform"),
    "lfads.dropout_rate": Range(low=0.0, high=0.6),
    "corruption.coordinated_dropout": Range(low=0.1, high=0.7),
    "objective.weights.kl_initial_condition": Range(low=2e-3, high=2.0, prior="log_uniform"),
    "objective.weights.kl_inputs": Range(low=2e-3, high=2.0, prior="log_uniform"),
    "objective.weights.generator_penalty": Range(low=1e-4, high=1.0, prior="log_uniform"),
    "objective.weights.controller_penalty": Range(low=1e-4, high=1.0, prior="log_uniform"),
}
SAMPLE_VALIDATION = 0.2
ARMS = {  # (share of the setting's coordinated dropout, sample validation)
    "as they are": (0.0, 0.0),
    "coordinated dropout": (1.0, 0.0),
    "sample validation": (0.0, SAMPLE_VALIDATION),
}
SCORES = {  # what validation hides: (coordinated dropout, sample validation)
    "nothing hidden": (0.0, 0.0),
    "dropout hides 30 %": (0.3, 0.0),
    "samples hidden": (0.0, SAMPLE_VALIDATION),
}
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "identity_overfitting.png"


def choices_for(size, epochs):
    """LFADS with all parts of this size and a controller through which spikes can leak."""
    model = LFADS(
        factors=size,
        generator=size,
        initial_condition=size,
        encoder=size,
        input_encoder=size,
        controller=size,
        inferred_inputs=size // 4,
    )
    training = Training(epochs=epochs, batch_size=BATCH, validation_dropout=0.0)
    return Choices(model, training, Optimiser(), Objective(), CorruptionConfig())


def begun(choices, train, members, *, seed):
    """The group of settings of one size, and its members' first states."""
    search = Search(algorithm="random", members=members, default_space=False)
    groups = groups_of(search, choices, SPACE, seed=seed)
    states = begin(groups, SPACE, train, timetable(search, choices), seed=seed).groups
    return groups[0], states[0]


def in_all_arms(states):
    """Every member once in each arm, arm after arm."""
    rates = states.hyperparameters.corruption
    by_arm = [
        rates._replace(
            coordinated_dropout=share * rates.coordinated_dropout,
            sample_validation=jnp.full_like(rates.sample_validation, samples),
        )
        for share, samples in ARMS.values()
    ]
    numbers = [states.hyperparameters._replace(corruption=rates) for rates in by_arm]
    arms = [states._replace(hyperparameters=own) for own in numbers]
    return jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves) if eqx.is_array(leaves[0]) else leaves[0], *arms
    )


def validation_loss(model, plan, hidden, valid, *, key):
    """Nats a counted entry of the validation trials where `hidden` is hidden, averaged over posterior samples."""
    rates = CorruptionRates(*(jnp.zeros(()) for _ in CorruptionRates._fields))._replace(
        coordinated_dropout=jnp.float32(hidden[0]), sample_validation=jnp.float32(hidden[1])
    )
    shown = jax.vmap(lambda counts, number: plan.corruption.validate(counts, rates, number))(
        valid.counts, valid.number
    )

    def sample(sample_key):
        keys = jax.random.split(sample_key, len(valid.number))
        silent = {"dropout_rate": jnp.zeros(())}
        return terms_of_batch(model, plan, shown, valid, silent, keys)["reconstruction"].sum()

    samples = jax.lax.map(sample, jax.random.split(key, SAMPLES))
    return samples.mean() * plan.entries / shown.weight.sum()


def mean_rates(model, valid, *, key):
    """Expected counts a bin, averaged over posterior samples, with everything seen: (trial, time, neuron)."""

    def sample(sample_key):
        keys = jax.random.split(sample_key, len(valid.number))
        return jax.vmap(lambda counts, inputs, own: model.estimate(counts, inputs, key=own)["rates"])(
            valid.counts, valid.inputs, keys
        )

    return jax.lax.map(sample, jax.random.split(key, SAMPLES)).mean(0)


def outcomes(models, plan, valid):
    """Of stacked models: the validation loss under every score (member,), and the rates (member, trial, time, neuron)."""
    arrays, static = eqx.partition(models, eqx.is_array)
    losses_key, rates_key = jax.random.split(jax.random.key(0))

    def one(own):
        model = eqx.combine(own, static)
        losses = {
            name: validation_loss(model, plan, hidden, valid, key=losses_key)
            for name, hidden in SCORES.items()
        }
        return losses, mean_rates(model, valid, key=rates_key)

    return jax.jit(lambda members: jax.lax.map(one, members))(arrays)


def trained(trials, size, members, arguments):
    """One row for each setting of this size and each arm."""
    data = train, valid = training_arrays(trials)
    choices = choices_for(size, arguments.epochs)
    corruption = Corruption(
        jnp.asarray(trials.held_out.values), jnp.asarray(trials.forward.values), moves_spikes=False
    )
    group, first = begun(choices, train, members, seed=1000 * arguments.seed + size)
    program, states = MemberEpochs(choices, corruption, data, at_once=arguments.at_once), in_all_arms(first)
    for _ in range(arguments.epochs):
        states, _ = program.advance(states)
    device_valid = jax.tree.map(jnp.asarray, valid)
    losses, rates = outcomes(states.model, plan_of(choices, corruption, train), device_valid)
    truth = trials.true_rates.values[valid.number]
    r2 = [rate_r2(np.asarray(own) / trials.attrs["bin_width"], truth).mean for own in rates]
    settings = {
        name: np.tile(np.asarray(value), len(ARMS)) for name, value in values_of(group, first).items()
    }
    return [
        {
            "arm": list(ARMS)[place // members],
            "size": size,
            "setting": place % members,
            "rate_r2": r2[place],
            "loss": {name: float(losses[name][place]) for name in SCORES},
            **{name: float(value[place]) for name, value in settings.items()},
        }
        for place in range(members * len(ARMS))
    ]


def run(arguments):
    """Train what the file lacks, size after size; the whole record."""
    asked = {name: getattr(arguments, name) for name in ("settings", "epochs", "seed")} | {"data": DATA}
    record = {"asked": asked, "models": [], "seconds": 0}
    if arguments.out.exists():
        record = json.loads(arguments.out.read_text(encoding="utf-8"))
        if record["asked"] != asked:
            raise SystemExit(
                f"'{arguments.out}' holds other results ({record['asked']}); give another --out."
            )
    cache.switch_on()
    trials = ut.simulate.chaotic_rnn(**DATA)
    smoothed = ut.evaluate(ut.yardstick(trials), trials, splits=["valid"])
    record["smoothing"] = smoothed["valid"]["model"]["rate_r2"]
    shares = np.array_split(np.arange(arguments.settings), len(SIZES))
    for size, share in zip(SIZES, shares, strict=True):
        if any(row["size"] == size for row in record["models"]):
            continue
        begun_at = time.perf_counter()
        record["models"] += trained(trials, size, len(share), arguments)
        seconds = time.perf_counter() - begun_at
        record["seconds"] += seconds
        write_bytes(arguments.out, json.dumps(record, indent=1).encode())
        print(f"size {size}: {len(share)} settings in {len(ARMS)} arms, {seconds:.0f} s", flush=True)
    return record


def main():
    """Train, print and draw, or only print and draw."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="where the results are written, as JSON")
    parser.add_argument("--settings", type=int, default=42)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1, help="members side by side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="results to draw, without training")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    arguments = parser.parse_args()
    if arguments.out is None and arguments.plot is None:
        parser.error("give --out FILE.json to train, or --plot FILE.json to draw what was trained")
    record = (
        run(arguments) if arguments.plot is None else json.loads(arguments.plot.read_text(encoding="utf-8"))
    )
    show(record)
    draw(record).savefig(arguments.picture, dpi=DOTS)


if __name__ == "__main__":
    main()
