"""A small recording of a population that follows two smooth courses."""

import numpy as np
import pytest

import undertow as ut


def make_population(trials=24, bins=30, neurons=12, seed=0, forward=3):
    """Ragged trials with a gap, every fourth neuron held out, two conditions, and their true rates in Hz."""
    rng = np.random.default_rng(seed)
    condition = np.arange(trials) % 2
    time = np.linspace(0, 2 * np.pi, bins)
    phase = np.pi * condition + 0.5 * rng.normal(size=trials)
    courses = np.stack([np.sin(time + phase[:, None]), np.cos(time + phase[:, None])], axis=2)
    expected = np.exp(courses @ (0.9 * rng.normal(size=(2, neurons))) + 0.3)
    counts = rng.poisson(expected).astype(np.float32)
    counts[1, 10:13, 0] = np.nan
    counts[3, 22:] = np.nan
    return ut.trials(
        counts,
        bin_width=0.02,
        held_out=np.arange(neurons) % 4 == 3,
        forward=np.arange(bins) >= bins - forward,
        split=["valid" if trial % 4 == 3 else "train" for trial in range(trials)],
        condition=condition,
        true_rates=expected.astype(np.float32) / 0.02,
    )


@pytest.fixture(scope="session")
def population():
    return make_population()
