"""Latency of one bin, batch 1: a stream beside the whole window run anew, for the Neural Data Transformer and for LFADS.

    python benchmarks/latency.py [--bins 3000] [--neurons 100] [--context 100] [--layers 6] [--core 0]

Models at the start of training (their arithmetic is that of trained ones). NDT has the published size: tokens of one unit a
neuron, 2 heads, feed-forward networks of 128; LFADS its default sizes. `stream` takes one bin in and gives one estimate out;
`window` holds the last --context bins and runs the model over all of them at every bin, as the published measurement does.
Both are the same calls that a user makes, from a NumPy array to a NumPy array, so transfers are included; the two are timed
in turn, bin by bin, after a warm-up, on one core. On a machine with an accelerator `--core -1` leaves cores alone and JAX
takes the accelerator; results are synchronised either way, for the estimate is read back.

Printed in milliseconds: median, p99, p99.9 and the worst, and the window's median over the stream's.
"""

import argparse
import gc
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--bins", type=int, default=3000)
parser.add_argument("--neurons", type=int, default=100)
parser.add_argument("--context", type=int, default=100)
parser.add_argument("--layers", type=int, default=6)
parser.add_argument(
    "--core", type=int, default=0, help="the core to run on; -1 for all, and for an accelerator"
)
ARGUMENTS = parser.parse_args()
if ARGUMENTS.core >= 0:  # before JAX counts the cores
    os.sched_setaffinity(0, {ARGUMENTS.core})

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from undertow.models.base import DataSummary  # noqa: E402
from undertow.models.lfads import LFADS  # noqa: E402
from undertow.models.transformer import NDT  # noqa: E402
from undertow.streaming.bins import StreamFacts  # noqa: E402
from undertow.streaming.stream import Stream  # noqa: E402

BIN_WIDTH = 0.01
RATE = 0.2  # spikes of a neuron in a bin


def models():
    """What is measured, by name."""
    context = ARGUMENTS.context
    published = {"embedding": "identity", "layers": ARGUMENTS.layers, "feed_forward": 128, "heads": 2}
    causal = {"causal": True, "context_backward": context - 1}
    return {
        f"ndt, {ARGUMENTS.layers} layers, causal, sinusoidal": NDT(
            **published, **causal, positions="sinusoidal"
        ),
        f"ndt, {ARGUMENTS.layers} layers, causal, rotary": NDT(**published, **causal, positions="rotary"),
        "lfads, causal": LFADS(causal=True, lag=0),
    }


def built(config):
    """The model at the start of training."""
    neurons = ARGUMENTS.neurons
    rates = jnp.full(neurons, RATE)
    return config.build(DataSummary(neurons, 0, rates, rates, bins=ARGUMENTS.context), key=jax.random.key(0))


def timed(streams, counts):
    """Seconds of each bin (stream, bin), the streams in turn."""
    seconds = np.zeros((len(streams), len(counts)))
    for place, bin_counts in enumerate(counts):
        for which, stream in enumerate(streams):
            begun = time.perf_counter()
            stream.predict(bin_counts)
            seconds[which, place] = time.perf_counter() - begun
    return seconds


def main():
    """Print a row for each model and way."""
    neurons = ARGUMENTS.neurons
    facts = StreamFacts(list(range(neurons)), [False] * neurons, 0, BIN_WIDTH, "counts")
    counts = np.random.default_rng(0).poisson(RATE, (ARGUMENTS.bins, neurons)).astype(np.float32)
    print(
        f"{jax.devices()[0].device_kind}, {neurons} neurons, {ARGUMENTS.context} bins of context, {ARGUMENTS.bins} bins timed"
    )
    print(f"{'milliseconds':<44}{'median':>8}{'p99':>8}{'p99.9':>8}{'worst':>8}")
    for name, config in models().items():
        model = built(config)
        streams = [Stream([model], facts), Stream([model], facts, window=ARGUMENTS.context)]
        for stream in streams:
            stream.reset()
        timed(streams, counts[: ARGUMENTS.context + 50])
        gc.collect()
        gc.disable()
        seconds = timed(streams, counts)
        gc.enable()
        for way, of_way in zip(("stream", "window"), seconds, strict=True):
            shown = 1e3 * np.array([*np.quantile(of_way, (0.5, 0.99, 0.999)), of_way.max()])
            print(f"{name + ', ' + way:<44}" + "".join(f"{value:8.3f}" for value in shown), flush=True)
        print(f"{'':<44}window / stream, medians: {np.median(seconds[1]) / np.median(seconds[0]):.1f}")


if __name__ == "__main__":
    main()
