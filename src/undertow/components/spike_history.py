"""Spikes that depend on the spikes before them: from rates to counts by a Poisson regression with a memory, one for each neuron.

    e_t = softplus(sum_{j=1..20} w_j min(k_{t-j}, 5) + g f(r_t) + b),      k_t ~ Poisson(e_t)

for rates r (expected counts a bin) of a model, after Kapoor et al. 2024 (LDNS, arXiv 2407.08751, section 3): 20 bins of memory,
counts clipped at 5, nothing before the trial begins. With `rate="log"` f is the logarithm, as published; by default it is the
inverse of the softplus, so that without a memory (w = 0, g = 1, b = 0) counts are Poisson at the model's rates whatever their
size. A refractory period, a burst or a count noisier than Poisson is then in the spikes, which rates alone can't say.

The fit is by Newton's method on the penalised likelihood, which has one maximum (Paninski 2004): what the paper reaches in
3,000 steps
of Adam takes a dozen. An entry that was not observed is in no likelihood, and counts as its rate in the memory of later ones.
"""

from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

RateTerm = Literal["inverse_softplus", "log"]

MEMORY, LARGEST_COUNT = 20, 5.0
PENALTY, NEWTON_STEPS = 1.0, 25
SMALLEST_RATE, LARGEST_EXPECTED = 1e-4, 50.0
MOST_ENTRIES = 200_000
"""Bins (of all trials together) that a fit uses at most."""


class SpikeHistory(eqx.Module):
    """The regressions: weights of the bins before (the nearest first), gains of the rate and offsets."""

    weights: Float[Array, "neuron memory"]
    gain: Float[Array, " neuron"]
    offset: Float[Array, " neuron"]
    rate: RateTerm = eqx.field(static=True, default="inverse_softplus")

    @classmethod
    def none(
        cls, neurons: int, *, memory: int = MEMORY, rate: RateTerm = "inverse_softplus"
    ) -> "SpikeHistory":
        """Without a memory: Poisson at the rates."""
        return cls(jnp.zeros((neurons, memory)), jnp.ones(neurons), jnp.zeros(neurons), rate)

    def expected(
        self, rates: Float[Array, "time neuron"], counts: Float[Array, "time neuron"]
    ) -> Float[Array, "time neuron"]:
        """Expected counts of each bin, given the counts before it; NaN counts are held to be at their rate."""
        memory = self.weights.shape[1]
        past = jnp.where(jnp.isfinite(counts), jnp.clip(counts, 0.0, LARGEST_COUNT), rates)
        padded = jnp.pad(past, ((memory, 0), (0, 0)))
        time = rates.shape[0]
        drive = sum(
            self.weights[None, :, lag - 1] * padded[memory - lag : memory - lag + time]
            for lag in range(1, memory + 1)
        )
        return self._softplus(drive + self._of_rates(rates))

    def sample(
        self, rates: Float[Array, "time neuron"], *, key: Key[Array, ""]
    ) -> Float[Array, "time neuron"]:
        """Counts drawn bin after bin."""
        entering = self._of_rates(rates)

        def one(past, bin_of):
            now, chance = bin_of
            mean = self._softplus(now + jnp.sum(self.weights * past, axis=1))
            drawn = jax.random.poisson(chance, mean).astype(rates.dtype)
            past = jnp.concatenate([jnp.minimum(drawn, LARGEST_COUNT)[:, None], past[:, :-1]], axis=1)
            return past, drawn

        _, counts = jax.lax.scan(
            one, jnp.zeros_like(self.weights), (entering, jax.random.split(key, len(rates)))
        )
        return counts

    def _of_rates(self, rates: Array) -> Array:
        return self.gain[None] * _entering(self.rate, rates) + self.offset[None]

    @staticmethod
    def _softplus(drive: Array) -> Array:
        return jnp.clip(jax.nn.softplus(drive), SMALLEST_RATE, LARGEST_EXPECTED)


def fit(
    rates: np.ndarray,
    counts: np.ndarray,
    *,
    memory: int = MEMORY,
    rate: RateTerm = "inverse_softplus",
    penalty: float = PENALTY,
) -> SpikeHistory:
    """The regressions of recorded counts on a model's rates, both (trial, time, neuron); counts may be NaN.

    Args:
        rates: expected counts a bin.
        counts: as recorded.
        memory: bins that are remembered.
        rate: how the rate enters.
        penalty: half of it times the squares of the weights, and of gain - 1, is taken off the log-likelihood.
    """
    trials = max(1, min(len(rates), MOST_ENTRIES // rates.shape[1]))
    chosen = np.linspace(0, len(rates) - 1, trials).round().astype(int)
    rates, counts = np.asarray(rates[chosen], np.float32), np.asarray(counts[chosen], np.float32)
    found = [
        np.asarray(_of_neuron(rates[..., neuron], counts[..., neuron], memory, rate, jnp.float32(penalty)))
        for neuron in range(rates.shape[2])
    ]
    parameters = jnp.asarray(np.stack(found), jnp.float32)
    return SpikeHistory(parameters[:, :memory], parameters[:, memory], parameters[:, memory + 1], rate)


@partial(jax.jit, static_argnums=(2, 3))
def _of_neuron(rates: Array, counts: Array, memory: int, rate: RateTerm, penalty: Array) -> Array:
    """Weights, gain and offset of one neuron from (trial, time)."""
    is_known = jnp.isfinite(counts)
    past = jnp.pad(jnp.where(is_known, jnp.clip(counts, 0.0, LARGEST_COUNT), rates), ((0, 0), (memory, 0)))
    time = rates.shape[1]
    columns = [past[:, memory - lag : memory - lag + time] for lag in range(1, memory + 1)]
    design = jnp.stack([*columns, _entering(rate, rates), jnp.ones_like(rates)], axis=-1).reshape(
        -1, memory + 2
    )
    known = is_known.reshape(-1)
    target = jnp.where(known, counts.reshape(-1), 0.0)
    rest = jnp.zeros(memory + 2).at[memory].set(1.0)
    strength = (penalty * jnp.ones(memory + 2)).at[-1].set(1e-3)

    def slopes(drive):
        mean = jnp.maximum(jax.nn.softplus(drive), SMALLEST_RATE)
        share = jax.nn.sigmoid(drive)
        bend = share * (1 - share)
        slope = jnp.where(known, share * (1 - target / mean), 0.0)
        curvature = bend * (1 - target / mean) + target * (share / mean) ** 2
        return slope, jnp.where(known, jnp.maximum(curvature, 1e-8), 0.0)

    def cost(parameters):
        mean = jnp.maximum(jax.nn.softplus(design @ parameters), SMALLEST_RATE)
        likelihood = jnp.sum(jnp.where(known, mean - target * jnp.log(mean), 0.0))
        return likelihood + 0.5 * jnp.sum(strength * (parameters - rest) ** 2)

    def newton(_, parameters):
        slope, curvature = slopes(design @ parameters)
        gradient = design.T @ slope + strength * (parameters - rest)
        hessian = (design * curvature[:, None]).T @ design + jnp.diag(strength)
        step = jnp.linalg.solve(hessian, gradient)
        lengths = 0.5 ** jnp.arange(6.0)
        costs = jax.vmap(lambda length: cost(parameters - length * step))(lengths)
        costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf)
        best = jnp.argmin(costs)
        return jnp.where(costs[best] < cost(parameters), parameters - lengths[best] * step, parameters)

    return jax.lax.fori_loop(0, NEWTON_STEPS, newton, rest)


def _entering(rate: RateTerm, rates: Array) -> Array:
    rates = jnp.maximum(rates, SMALLEST_RATE)
    return jnp.log(rates) if rate == "log" else rates + jnp.log(-jnp.expm1(-rates))
