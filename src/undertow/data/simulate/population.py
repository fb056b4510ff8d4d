"""The neurons that watch a system: random weights, activations of variance one, a link, a mean, and counts.

    a_n = (C x)_n, centred and divided by its standard deviation      expected count of a bin = link(a_n)

The weights are those of Sedler et al. 2022: uniform between -0.5 and 0.5, neurons in the order of their first weight;
with the same seed and sizes they are the published ones.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from undertow.data.simulate import spikes
from undertow.vocabulary import UndertowError, closest


class Population(NamedTuple):
    """How neurons see a system.

    Attributes:
        neurons: how many.
        readout: "states": weights on the states as the system has them, as published; "standardised": on the
            latents, of variance one each, so that all count alike; "positive": the same without negative weights.
        link: "exp", "softplus" or "sigmoid", from activations to expected counts.
        mean_count: every neuron's expected count of a bin, on average; None leaves it as the link gives it.
        observation: "poisson"; "over_dispersed": negative binomial; "zero_inflated": Poisson, and bins that are
            silent whatever happens.
        dispersion: d of over-dispersed counts, whose variance is m + m^2 / d.
        zero_share: the share of bins that zero-inflated counts leave silent; the others have so much more.
    """

    neurons: int = 10
    readout: str = "states"
    link: str = "exp"
    mean_count: float | None = None
    observation: str = "poisson"
    dispersion: float = 2.0
    zero_share: float = 0.2

    def expected_counts(self, states: np.ndarray, latents: np.ndarray, seed: int) -> np.ndarray:
        """Expected counts of a bin, (trial, time, neuron), from states and latents, (trial, time, latent)."""
        seen, lowest = _choice("readout", self.readout, READOUTS)
        matrix = weights(latents.shape[2], self.neurons, seed, lowest)
        activation = _standardised({"states": states, "latents": latents}[seen] @ matrix)
        counts = _choice("link", self.link, LINKS)(activation)
        return counts if self.mean_count is None else counts * (self.mean_count / counts.mean(axis=(0, 1)))

    def counts(self, expected: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Counts (trial, time, neuron) float32 whose means are the expected ones."""
        return _choice("observation", self.observation, OBSERVATIONS)(self, expected, generator)

    def check(self) -> None:
        """Refuse sizes, kinds and numbers that make no population."""
        spikes.check_sizes(neurons=self.neurons)
        spikes.check_positive(mean_count=self.mean_count, dispersion=self.dispersion)
        spikes.check_fractions(zero_share=self.zero_share)
        _choice("readout", self.readout, READOUTS)
        _choice("link", self.link, LINKS)
        _choice("observation", self.observation, OBSERVATIONS)


READOUTS: Mapping[str, tuple[str, float]] = {  # what the weights act on, the lowest of them
    "states": ("states", -0.5),
    "standardised": ("latents", -0.5),
    "positive": ("latents", 0.0),
}
LINKS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "softplus": lambda activation: np.logaddexp(0, activation),
    "sigmoid": lambda activation: 0.5 + 0.5 * np.tanh(activation / 2),
}
OBSERVATIONS: Mapping[str, Callable[[Population, np.ndarray, np.random.Generator], np.ndarray]] = {
    "poisson": lambda _, expected, generator: generator.poisson(expected).astype(np.float32),
    "over_dispersed": lambda seen, expected, generator: spikes.over_dispersed_counts(
        expected, seen.dispersion, generator
    ),
    "zero_inflated": lambda seen, expected, generator: spikes.zero_inflated_counts(
        expected, seen.zero_share, generator
    ),
}


def weights(latents: int, neurons: int, seed: int, lowest: float = -0.5) -> np.ndarray:
    """The read-out C, (latent, neuron): uniform from `lowest` to 0.5."""
    drawn = np.random.default_rng(seed).uniform(lowest, 0.5, (latents, neurons))
    return drawn[:, np.argsort(drawn[0])]


def _standardised(activation: np.ndarray) -> np.ndarray:
    return (activation - activation.mean(axis=(0, 1))) / activation.std(axis=(0, 1))


def _choice(setting: str, name: Any, table: Mapping[str, Any]) -> Any:
    """The entry of a table that a setting names."""
    if not isinstance(name, str) or name not in table:
        raise UndertowError(
            f"'{setting}' is {name!r}, and no such kind is known; {closest(str(name), table)}"
        )
    return table[name]
