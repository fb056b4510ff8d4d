"""A switching linear dynamical system, fitted by variational Laplace-EM (Zoltowski, Pillow and Linderman 2020).

The model, its symbols and its inference are in `slds_inference.py`, how it is learned in `slds_learning.py`. Rates of neurons
that are seen are softplus(C x + d); those of held-out neurons Poisson regressions on the expected x, with a penalty chosen by
cross-validation over trials. Bins after the last seen one follow the dynamics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from pydantic import Field

from undertow.baselines import poisson_readout, slds_inference, slds_learning
from undertow.baselines.poisson_readout import PoissonReadout
from undertow.baselines.slds_inference import Parameters
from undertow.models.base import DataSummary, DirectConfig, DirectModel, FitData
from undertow.vocabulary import UndertowError

FIRST_WIDTH = 0.05  # seconds, of the smoothing that it begins with
FIRST_STEPS, STEPS = 6, 2  # of Newton's method, in the first iteration and in later ones
ROUNDS, STEPS_A_ROUND = 5, 2  # of a trial's inference from nothing
SAY_EVERY = 10  # iterations


class SLDS(DirectConfig):
    """The choices of a switching linear dynamical system."""

    section: ClassVar[str] = "slds"

    states: int = Field(4, ge=1, description="Discrete states; each has linear dynamics of its own")
    factors: int = Field(12, ge=1, description="Dimension of the continuous state")
    iterations: int = Field(50, ge=1, description="Iterations of variational Laplace-EM")
    inertia: float = Field(
        0.2, ge=0, lt=1, description="Share of the old parameters that stays in each iteration"
    )
    alphas: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1), min_length=1, description="Penalties of the regressions to choose from"
    )
    folds: int = Field(3, ge=2, description="Folds of the cross-validation over trials")

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> SLDSModel:  # noqa: ARG002
        """The model before it is fitted: slow dynamics that reach no neuron."""
        nothing = np.zeros((1, 1, data.neurons), np.float32)
        parameters = slds_learning.still(nothing, self.states, self.factors)
        readout = poisson_readout.empty(self.factors, data.neurons)
        return SLDSModel(parameters, readout, jnp.zeros(data.neurons, bool))

    def fit(
        self, data: FitData, *, seed: int, say: Callable[[str], None]
    ) -> tuple[SLDS, SLDSModel, dict[str, Any]]:
        """Learn the system from what is seen, and fit the map to held-out neurons.

        Raises:
            UndertowError: more dimensions than neurons that are seen.
        """
        most = int((~data.held_out).sum())
        if self.factors > most:
            raise UndertowError(
                f"The SLDS is asked for {self.factors} dimensions of {most} neurons that are seen; give at most as many."
            )
        parameters, bounds = self.learned(data, seed=seed, say=say)
        model = SLDSModel(
            parameters,
            poisson_readout.empty(self.factors, len(data.held_out)),
            jnp.asarray(~data.held_out),
        )
        factors = np.asarray(_factors_of_trials(model, jnp.asarray(data.seen, jnp.float32)))
        held_out = data.counts[:, :, data.held_out] if data.held_out.any() else data.counts
        rows = poisson_readout.rows_of(factors, held_out, ~data.forward)
        alpha, _ = poisson_readout.best_alpha(rows, self.alphas, folds=self.folds, seed=seed)
        every = poisson_readout.rows_of(factors, data.counts, ~data.forward)
        readout = poisson_readout.fit(every, alpha=alpha, wanted=data.held_out, seed=seed)
        chosen = {
            "selected_on": f"the evidence lower bound of training trials, after {self.iterations} iterations",
            "alpha": alpha,
            "bound": bounds[-1],
        }
        return self, eqx.tree_at(lambda one: one.readout, model, readout), chosen

    def learned(
        self, data: FitData, *, seed: int, say: Callable[[str], None]
    ) -> tuple[Parameters, list[float]]:
        """The parameters, and the evidence lower bound (nats an observed entry) at each iteration."""
        held_in = ~data.held_out
        seen = data.seen[:, : 1 + int(np.flatnonzero(~data.forward).max(initial=0))][:, :, held_in]
        width = max(FIRST_WIDTH / data.bin_width, 0.5)
        parameters, guess = slds_learning.beginning(seen, self.states, self.factors, width, seed)
        trials = jax.vmap(slds_learning.trial_of)(jnp.asarray(seen, jnp.float32))
        entries, bounds = max(int(np.isfinite(seen).sum()), 1), []
        for iteration in range(self.iterations):
            steps = STEPS if iteration else FIRST_STEPS
            sums, guess = slds_learning.expectation(parameters, trials, guess, steps=steps)
            bounds.append(float(sums.bound) / entries)
            if not np.isfinite(bounds[-1]):
                raise UndertowError(
                    f"The evidence lower bound of the SLDS became {bounds[-1]} in iteration {iteration + 1}; give fewer factors "
                    f"than {self.factors} or fewer states than {self.states}."
                )
            if iteration % SAY_EVERY == 0 or iteration == self.iterations - 1:
                say(
                    f"SLDS, iteration {iteration + 1} of {self.iterations}: bound {bounds[-1]:.4f} nats an entry"
                )
            parameters = slds_learning.maximised(parameters, sums, self.inertia)
        loadings = jnp.zeros((len(held_in), self.factors)).at[held_in].set(parameters.loadings)
        offset = jnp.zeros(len(held_in)).at[held_in].set(parameters.offset)
        whole = eqx.tree_at(lambda one: (one.loadings, one.offset), parameters, (loadings, offset))
        return whole, bounds


class SLDSModel(DirectModel):
    """A switching linear dynamical system, fitted."""

    parameters: Parameters
    readout: PoissonReadout
    held_in: Bool[Array, " neuron"]

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],  # noqa: ARG002 - every model answers the same call
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002
    ) -> dict[str, Array]:
        """Rates (expected counts a bin) and the expected continuous state as factors."""
        factors = self.factors_of(seen)
        own = jax.nn.softplus(slds_inference.log_rates_of(self.parameters, factors))
        return {
            "rates": jnp.where(self.held_in[None], jnp.maximum(own, 1e-6), self.readout(factors)),
            "factors": factors,
        }

    def factors_of(self, seen: Float[Array, "time neuron"]) -> Float[Array, "time factor"]:
        """The expected continuous state."""
        trial = slds_learning.trial_of(jnp.where(self.held_in[None], seen, jnp.nan))
        mean = jnp.broadcast_to(
            self.parameters.first_mean[None], (seen.shape[0], self.parameters.drift.shape[1])
        )
        scores = jnp.zeros((seen.shape[0], self.parameters.drift.shape[0]))
        states, _, _ = slds_inference.messages(self.parameters, scores)
        posterior = slds_inference.posterior(
            self.parameters, trial, mean, states, rounds=ROUNDS, steps=STEPS_A_ROUND
        )
        return slds_inference.foretold(self.parameters, posterior, trial.is_inside)


@eqx.filter_jit
def _factors_of_trials(
    model: SLDSModel, seen: Float[Array, "trial time neuron"]
) -> Float[Array, "trial time factor"]:
    return jax.lax.map(model.factors_of, seen, batch_size=slds_learning.AT_ONCE)
