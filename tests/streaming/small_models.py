"""Small models as streams, and the same models over whole trials."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.models.base import DataSummary
from undertow.models.lfads import LFADS
from undertow.streaming.stream import Stream, StreamFacts

NEURONS, BIN_WIDTH, HELD_OUT = 6, 0.02, 2
SIZES = {
    "factors": 3,
    "generator": 10,
    "initial_condition": 4,
    "encoder": 5,
    "input_encoder": 6,
    "controller": 7,
    "inferred_inputs": 2,
}


def lfads(*, inputs=0, seed=0, **choices):
    """A causal LFADS with random weights, unless told otherwise."""
    mean = np.linspace(0.5, 2.0, NEURONS, dtype=np.float32)
    config = LFADS(**{"causal": True, **SIZES, **choices})
    return config.build(DataSummary(NEURONS, inputs, mean, mean), key=jax.random.key(seed))


def facts(*, inputs=0, support="counts", neurons=NEURONS):
    """A recording whose third neuron is held out."""
    names = [f"unit{number}" for number in range(neurons)]
    return StreamFacts(names, [place == HELD_OUT for place in range(neurons)], inputs, BIN_WIDTH, support)


def make_bins(bins, *, inputs=0, seed=0):
    """Counts with missing entries and one lost bin, and inputs."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.5, (bins, NEURONS)).astype(np.float32)
    counts[rng.random(counts.shape) < 0.2] = np.nan
    counts[bins // 3] = np.nan
    counts[-1] = 1.0
    return counts, rng.normal(size=(bins, inputs)).astype(np.float32)


def offline(model, counts, inputs):
    """What the model says of the whole trial in the posterior means, rates in Hz."""
    seen = np.where(np.arange(NEURONS) == HELD_OUT, np.nan, counts).astype(np.float32)
    run = eqx.filter_jit(lambda model, seen, inputs: model.estimate(seen, inputs, key=None))
    estimate = {
        name: np.asarray(value) for name, value in run(model, jnp.asarray(seen), jnp.asarray(inputs)).items()
    }
    return {**estimate, "rates": estimate["rates"] / BIN_WIDTH}


def streamed(stream, counts, inputs=None):
    """The estimates of all bins, one after the other; lost bins are skipped."""
    inputs = [None] * len(counts) if inputs is None else inputs
    seen = np.delete(counts, HELD_OUT, axis=1)
    return [
        stream.skip(known) if np.isnan(shown).all() else stream.predict(values, known)
        for values, shown, known in zip(counts, seen, inputs, strict=True)
    ]


def stream_of(*models, inputs=0, support="counts", **choices) -> Stream:
    stream = Stream(models, facts(inputs=inputs, support=support), **choices)
    stream.reset()
    return stream
