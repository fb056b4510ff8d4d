"""Milliseconds of a training step of LFADS beside the same arithmetic as plain matrix products, in one run.

    python benchmarks/train_step.py [--repeats 15]

For each size: one update as training makes it (corruption, forward, backward, AdamW) with the backward pass of the time loops
written by hand and by automatic differentiation, and the matrix products of that update alone, as compiled products on arrays of
their shapes: each product of the forward pass once, and twice more for the two gradients that it has. The products of the time
loops are made bin by bin, as the recursion must. Medians of interleaved repeats, with the 10th and 90th percentile.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.components.corruption import Corruption
from undertow.data.batches import TrialArrays
from undertow.models.lfads import LFADS
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training, beginning, plan_of
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.training.step import step

SIZES = (
    {"batch": 256, "neurons": 182, "bins": 45, "generator": 200, "factors": 100},
    {"batch": 64, "neurons": 137, "bins": 140, "generator": 100, "factors": 40},
    {"batch": 64, "neurons": 30, "bins": 100, "generator": 64, "factors": 20},
)


def update(size, backward):
    """A compiled update for this size, its state and its batch."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.2, (size["batch"], size["bins"], size["neurons"])).astype(np.float32)
    data = TrialArrays(
        counts, np.zeros((*counts.shape[:2], 0), np.float32), np.arange(len(counts), dtype=np.int32)
    )
    model = LFADS(generator=size["generator"], factors=size["factors"], inferred_inputs=4, backward=backward)
    choices = Choices(model, Training(batch_size=size["batch"]), Optimiser(), Objective(), CorruptionConfig())
    corruption = Corruption(
        jnp.zeros(size["neurons"], bool), jnp.zeros(size["bins"], bool), moves_spikes=False
    )
    plan, state = plan_of(choices, corruption, data), beginning(choices, data, seed=0)
    changing, static = eqx.partition(state, eqx.is_array)

    @jax.jit
    def run(changing, batch, key):
        state, metrics = step(plan, eqx.combine(changing, static), batch, key=key)
        return eqx.filter(state, eqx.is_array), metrics

    batch = jax.tree.map(jnp.asarray, data)
    return lambda: run(changing, batch, jax.random.key(1))


def products(size):
    """The matrix products of that update: (rows, inputs, outputs), whether each is made bin by bin."""
    batch, bins = size["batch"], size["bins"]
    encoder, controller, generator, factors, inputs, start = 64, 64, size["generator"], size["factors"], 4, 64
    rows = batch * bins
    whole = [
        *[(rows, size["neurons"], 3 * encoder)] * 4,
        (rows, 2 * encoder, 3 * controller),
        (rows, factors, size["neurons"]),
        (batch, 2 * encoder, 2 * start),
        (batch, start, generator),
    ]
    by_bin = [
        *[(batch, encoder, 3 * encoder)] * 4,
        (batch, controller + factors, 3 * controller),
        (batch, controller, 2 * inputs),
        (batch, inputs + generator, 3 * generator),
        (batch, generator, factors),
    ]
    arrays = [
        [(jnp.ones((r, n)), jnp.ones((n, m)), jnp.ones((r, m))) for r, n, m in group]
        for group in (whole, by_bin)
    ]

    def forward_and_gradients(left, kernel, right):
        return (left @ kernel).sum() + (right @ kernel.T).sum()

    @jax.jit
    def run(whole, by_bin, shifts):
        total = sum(forward_and_gradients(*group) + (group[0].T @ group[2]).sum() for group in whole)

        def one(carry, shift):
            for left, kernel, right in by_bin:
                carry = carry + forward_and_gradients(left + shift, kernel, right + shift)
            return carry, None

        total = jax.lax.scan(one, total, shifts)[0]
        stacked = [(jnp.repeat(left, bins, 0), jnp.repeat(right, bins, 0)) for left, _, right in by_bin]
        return total + sum((left.T @ right).sum() for left, right in stacked)

    return lambda: run(*arrays, jnp.arange(bins, dtype=jnp.float32))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for size in SIZES:
        runs = {
            "by hand": update(size, "by_hand"),
            "automatic": update(size, "automatic"),
            "products": products(size),
        }
        seconds = {name: [] for name in runs}
        for name in runs:
            jax.block_until_ready(runs[name]())
        for _ in range(repeats):
            for name, run in runs.items():
                begun = time.perf_counter()
                jax.block_until_ready(run())
                seconds[name].append(1e3 * (time.perf_counter() - begun))
        middle = {name: np.median(values) for name, values in seconds.items()}
        print(", ".join(f"{name} {value}" for name, value in size.items()))
        for name, values in seconds.items():
            low, high = np.percentile(values, [10, 90])
            ratio = middle[name] / middle["products"]
            print(f"  {name:<10} {middle[name]:8.1f} ms ({low:.1f} to {high:.1f})  {ratio:5.2f} x products")


if __name__ == "__main__":
    main()
