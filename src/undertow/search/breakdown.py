"""When training has broken down although the score is finite: the model explains the counts far worse than constant rates do.

A learning rate that is much too high gives scores that are not numbers, and one that is a little lower gives finite ones without
meaning (thousands of nats an entry), from which training does not come back. Constant rates are what every model begins with.
"""

import jax
import jax.numpy as jnp
import numpy as np

from undertow.components.observations import OBSERVATIONS
from undertow.data.batches import TrialArrays
from undertow.training.loop import Choices, by_neuron, summarise

MARGIN = 10.0
"""By so many standard deviations of one entry's cost a score may lie above that of constant rates."""


def limit_of(choices: Choices, data: tuple[TrialArrays, TrialArrays]) -> float:
    """The score in nats an entry above which a member's training has broken down.

    Every neuron keeps the rate of its training trials through all validation trials, under the observation of these choices. The
    limit is the mean cost of an entry plus `MARGIN` standard deviations, of the neuron for which that is highest: a selection
    score may count some neurons only.
    """
    train, valid = data
    summary = summarise(train)
    observation = OBSERVATIONS[choices.model.observation](summary.neurons)
    parameters = observation.start(summary.mean, summary.variance)

    def sums(trial):
        counts, neurons = trial
        is_observed = jnp.isfinite(counts)
        of_columns = parameters if neurons is None else parameters[neurons]
        everywhere = jnp.broadcast_to(of_columns, (*counts.shape, parameters.shape[-1]))
        cost = -observation.log_likelihood(everywhere, jnp.where(is_observed, counts, 1.0))
        cost = jnp.where(is_observed, cost, 0.0)
        return is_observed.sum(0), cost.sum(0), (cost**2).sum(0)

    by_trial = jax.jit(lambda trials: jax.lax.map(sums, trials))((valid.counts, valid.neurons))
    entries, cost, square = (
        by_neuron(np.asarray(values, np.float64), valid.neurons, summary.neurons) for values in by_trial
    )
    is_known = entries > 0
    mean, square = cost[is_known] / entries[is_known], square[is_known] / entries[is_known]
    return float(np.max(mean + MARGIN * np.sqrt(np.maximum(square - mean**2, 0.0))))
