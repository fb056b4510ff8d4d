"""The objective: named terms, their weights and their ramps.

With `entries` the mean number of observed entries (bins x neurons) of a training trial, one step minimises::

    (reconstruction + ramp_kl sum_k w_k kl_k) / entries + ramp_penalty sum_p w_p penalty_p

in nats an entry. With incremental training the reconstruction counts the first bins of a trial alone, and reaches further into it
as epochs pass (Sedler, Versteeg and Pandarinath 2022, arXiv 2212.03771): dynamics are learned over short times first.

A KL weight of 1 is the evidence lower bound (published settings of lfads-torch give the weight in units of
the mean over entries: divide them by 1 / entries, e.g. 1e-4 there is about 0.8 here for 45 bins of 182 neurons).
"""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float
from pydantic import Field

from undertow.components.configuration import Configuration
from undertow.vocabulary import UndertowError, closest


class Objective(Configuration):
    """How the terms of a model are weighed; ramps are in epochs."""

    section: ClassVar[str] = "objective"

    weights: dict[str, float] = Field(
        default_factory=dict, description="Weight by term; others keep the model's default"
    )
    ramp_start: int = Field(0, ge=0, description="Epoch at which the ramps begin")
    kl_ramp: int = Field(20, ge=0, description="Epochs over which the KL terms rise to their weights")
    penalty_ramp: int = Field(20, ge=0, description="Epochs over which the penalties rise to their weights")
    incremental_epochs: int = Field(
        0,
        ge=0,
        description="Epochs over which the loss comes to reach the trials' ends; 0 for all bins at once",
    )
    incremental_bins: int = Field(
        5, ge=1, description="Bins that it covers at first, and by which it grows at a time"
    )

    @property
    def ramps_end(self) -> int:
        """The first epoch in which every ramp has reached 1, and the loss the trials' ends."""
        return max(self.ramp_start + max(self.kl_ramp, self.penalty_ramp), self.incremental_epochs)

    def weights_for(self, defaults: dict[str, float]) -> dict[str, float]:
        """A model's default weights with this objective's own in their place."""
        for name in self.weights:
            if name not in defaults:
                raise UndertowError(
                    f"The objective weighs '{name}', which is no term of this model; {closest(name, defaults)}"
                )
        return {**defaults, **self.weights}


class Ramps(NamedTuple):
    """How far the weights have risen, 0 to 1."""

    kl: Float[Array, ""]
    penalty: Float[Array, ""]


def ramps(objective: Objective, epoch: Array) -> Ramps:
    """clip((epoch + 1 - start) / (increase + 1), 0, 1), as lfads-torch has it."""
    progress = (epoch + 1 - objective.ramp_start).astype(jnp.float32)
    return Ramps(
        *(
            jnp.clip(progress / (increase + 1.0), 0.0, 1.0)
            for increase in (objective.kl_ramp, objective.penalty_ramp)
        )
    )


def covered(objective: Objective, epoch: Array, bins: int) -> Float[Array, " time"]:
    """How much each bin counts in this epoch: those that the loss reaches so much that the mean over bins stays 1."""
    if not objective.incremental_epochs:
        return jnp.ones(bins)
    steps = -(-bins // objective.incremental_bins)
    passed = jnp.minimum(epoch * (steps - 1) // objective.incremental_epochs, steps - 1)
    reach = jnp.minimum((passed + 1) * objective.incremental_bins, bins)
    return jnp.where(jnp.arange(bins) < reach, bins / reach, 0.0)


def weigh(
    terms: dict[str, Array], penalties: dict[str, Array], weights: dict[str, Array], risen: Ramps
) -> Float[Array, ""]:
    """The total; `terms` in nats an entry."""
    total = terms["reconstruction"]
    for name, value in terms.items():
        if name != "reconstruction":
            total = total + risen.kl * weights[name] * value
    for name, value in penalties.items():
        total = total + risen.penalty * weights[name] * value
    return total
