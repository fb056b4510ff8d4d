"""Trials for runs of the smallest model."""

import numpy as np

import undertow as ut

TRIALS, TIME, NEURONS = 15, 8, 4


def make_trials(*, trials=TRIALS, bins=TIME, seed=0, neuron=("a", "b", "c", "d")):
    """Ragged trials of named neurons with one input; the third is held out."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, (trials, bins, len(neuron))).astype(np.float32)
    counts[min(4, trials - 1), bins - 3 :] = np.nan
    return ut.trials(
        counts,
        bin_width=0.02,
        neuron=list(neuron),
        held_out=[name == "c" for name in neuron],
        inputs=rng.normal(size=(trials, bins, 1)).astype(np.float32),
        split=["valid" if trial % 3 == 2 else "train" for trial in range(trials)],
        condition=np.arange(trials) % 2,
    )
