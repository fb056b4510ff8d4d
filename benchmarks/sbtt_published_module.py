"""How far the published autoencoder itself comes on our simulation: its module and its training, written out without our library.

    python benchmarks/sbtt_published_module.py [--keep 29 5] [--base-rate 5] [--system-seed 7] [--epochs 1000]

The setting of the SBTT demonstration (specs: bidirectional GRU of 50, linear map, GRU of 50, linear read-out; dropout 0.1 of the
encoder's output and of the initial condition; Adam at 1e-3 with a decay of 1e-4 in the gradient; batches of 64, the last one
smaller; mean Poisson loss over observed entries; 1,000 epochs, the best validation loss is kept) with the cell and the first
weights of PyTorch: the reset gate after the product, all weights and biases even within 1 / sqrt(size). Only simulation and
thinning are undertow's. If this falls short of the published curve, data make the difference, not our autoencoder.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

import undertow as ut

UNITS, BATCH, RATE, DECAY, DROPOUT = 50, 64, 1e-3, 1e-4, 0.1
OPTIMISER = optax.chain(optax.add_decayed_weights(DECAY), optax.adam(RATE))


def even(key, fan_in, shape):
    return jax.random.uniform(key, shape, minval=-(fan_in**-0.5), maxval=fan_in**-0.5)


def gru(key, inputs):
    keys = jax.random.split(key, 4)
    shapes = {"x": (inputs, 3 * UNITS), "h": (UNITS, 3 * UNITS), "bx": (3 * UNITS,), "bh": (3 * UNITS,)}
    return {name: even(one, UNITS, shape) for one, (name, shape) in zip(keys, shapes.items(), strict=True)}


def linear(key, inputs, outputs):
    kernel_key, bias_key = jax.random.split(key)
    return {"w": even(kernel_key, inputs, (inputs, outputs)), "b": even(bias_key, inputs, (outputs,))}


def first_weights(key, neurons):
    keys = jax.random.split(key, 5)
    return {
        "forward": gru(keys[0], neurons),
        "backward": gru(keys[1], neurons),
        "generator": gru(keys[2], 1),
        "start": linear(keys[3], 2 * UNITS, UNITS),
        "readout": linear(keys[4], UNITS, neurons),
    }


def states(cell, initial, inputs):
    """All states (time, trial, unit), by the GRU of PyTorch."""

    def step(state, projected):
        gates, inside = projected, state @ cell["h"] + cell["bh"]
        reset, update = jnp.split(jax.nn.sigmoid(gates[:, : 2 * UNITS] + inside[:, : 2 * UNITS]), 2, axis=1)
        proposed = jnp.tanh(gates[:, 2 * UNITS :] + reset * inside[:, 2 * UNITS :])
        state = (1 - update) * proposed + update * state
        return state, state

    return jax.lax.scan(step, initial, inputs @ cell["x"] + cell["bx"])[1]


def dropped(key, values):
    if key is None:
        return values
    return jnp.where(jax.random.bernoulli(key, 1 - DROPOUT, values.shape), values / (1 - DROPOUT), 0.0)


def log_rates(weights, counts, key):
    encoder_key, start_key = (None, None) if key is None else jax.random.split(key)
    seen = jnp.moveaxis(jnp.nan_to_num(counts), 1, 0)
    zero = jnp.zeros((counts.shape[0], UNITS))
    ends = [states(weights["forward"], zero, seen)[-1], states(weights["backward"], zero, seen[::-1])[-1]]
    start = (
        dropped(encoder_key, jnp.concatenate(ends, axis=1)) @ weights["start"]["w"] + weights["start"]["b"]
    )
    silent = jnp.zeros((counts.shape[1], counts.shape[0], 1))
    latents = states(weights["generator"], dropped(start_key, start), silent)
    return jnp.moveaxis(latents @ weights["readout"]["w"] + weights["readout"]["b"], 0, 1)


def loss(weights, counts, key):
    is_observed, logs = jnp.isfinite(counts), log_rates(weights, counts, key)
    return (
        jnp.sum(jnp.where(is_observed, jnp.exp(logs) - jnp.nan_to_num(counts) * logs, 0.0))
        / is_observed.sum()
    )


def update(weights, state, counts, key):
    moves, state = OPTIMISER.update(jax.grad(loss)(weights, counts, key), state, weights)
    return optax.apply_updates(weights, moves), state


@jax.jit
def epoch(weights, state, train, key):
    order_key, *keys = jax.random.split(key, 2 + len(train) // BATCH)
    order, whole = jax.random.permutation(order_key, len(train)), len(train) // BATCH * BATCH

    def one(carried, batch):
        return update(*carried, train[batch[0]], batch[1]), None

    batches = order[:whole].reshape(-1, BATCH), jnp.stack(keys[: whole // BATCH])
    (weights, state), _ = jax.lax.scan(one, (weights, state), batches)
    return update(weights, state, train[order[whole:]], keys[-1]) if whole < len(train) else (weights, state)


def fit(keep: int, arguments) -> tuple[float, float, int]:
    """Rate R2 of validation trials at the best validation loss, that loss, and its epoch."""
    dense = ut.simulate.SYSTEMS["lorenz"](seed=arguments.system_seed, base_rate=arguments.base_rate)
    trials = ut.subsample(dense, keep=keep, seed=0)
    is_train = trials.split.values == "train"
    train, valid = jnp.asarray(trials.counts.values[is_train]), jnp.asarray(trials.counts.values[~is_train])
    truth = trials.true_rates.values[~is_train] * trials.attrs["bin_width"]
    weights = first_weights(jax.random.key(arguments.seed), train.shape[2])
    state, best = OPTIMISER.init(weights), (0.0, float("inf"), -1)
    validate = jax.jit(lambda weights: (loss(weights, valid, None), jnp.exp(log_rates(weights, valid, None))))
    for number in range(arguments.epochs):
        weights, state = epoch(weights, state, train, jax.random.fold_in(jax.random.key(1), number))
        score, rates = validate(weights)
        if score < best[1]:
            error = ((np.asarray(rates) - truth) ** 2).sum((0, 1))
            total = ((truth - truth.mean((0, 1))) ** 2).sum((0, 1))
            best = (float((1 - error / total).mean()), float(score), number)
        if number % 100 == 99:
            print(f"k={keep} epoch {number + 1}: rate R2 {best[0]:.3f} at epoch {best[2]}", flush=True)
    return best


def main() -> None:
    """Print the rate R2 for each number of neurons observed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=int, nargs="+", default=[29, 5])
    parser.add_argument("--base-rate", type=float, default=5.0)
    parser.add_argument("--system-seed", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for keep in arguments.keep:
        found, score, number = fit(keep, arguments)
        print(f"k={keep}: rate R2 {found:.3f} at epoch {number} (validation loss {score:.5f})", flush=True)


if __name__ == "__main__":
    main()
