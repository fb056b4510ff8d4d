"""Gaussian-process factor analysis: smooth factors behind the square roots of counts, by expectation maximisation.

The model and its equations are in `gpfa_inference.py` (Yu et al. 2009). As in the benchmark's baseline, rates of the neurons that
are seen are a rectified linear map of the factors (ridge regression), those of held-out neurons Poisson regressions on them, the
penalties chosen by 3-fold cross-validation over trials. What is different: narrow bins are grouped to `grain` seconds before the
square root, and the Gaussian processes say what the factors are in between; and only the number of factors is given, or chosen
among a few by the likelihood of left-out trials. Bins after the last seen one are where the processes expect to go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from pydantic import Field

from undertow.baselines import gpfa_inference, poisson_readout
from undertow.baselines.gpfa_inference import Parameters
from undertow.baselines.poisson_readout import PoissonReadout, fold_of
from undertow.evaluation.likelihood import mean_counts
from undertow.models.base import DataSummary, DirectConfig, DirectModel, FitData
from undertow.vocabulary import UndertowError

FIRST_SCALE = 0.1  # seconds
FLOOR_SHARE = 0.05  # of its mean is the least that a rectified map gives a neuron
SMALLEST_FLOOR = 1e-5  # counts a bin
TOLERANCE = 1e-5  # relative gain of the log-likelihood below which the iterations end
ITERATIONS_TO_CHOOSE = 15


class GPFA(DirectConfig):
    """The choices of Gaussian-process factor analysis."""

    section: ClassVar[str] = "gpfa"

    factors: int | Literal["auto"] = Field(
        "auto", description="Number of factors; 'auto' chooses by cross-validation"
    )
    candidates: tuple[int, ...] = Field((4, 8, 16, 32), min_length=1, description="What 'auto' chooses from")
    grain: float = Field(0.02, gt=0, description="Narrower bins are grouped to about this width, s")
    iterations: int = Field(60, ge=1, description="Most iterations of expectation maximisation")
    alphas: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1), min_length=1, description="Penalties of the regressions to choose from"
    )
    folds: int = Field(3, ge=2, description="Folds of the cross-validations over trials")

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> GPFAModel:  # noqa: ARG002
        """The model before it is fitted: one factor if their number is still to be chosen, and no structure."""
        factors = 1 if self.factors == "auto" else self.factors
        zeros = jnp.zeros((data.neurons, factors), jnp.float32)
        ones = jnp.ones(data.neurons, jnp.float32)
        return GPFAModel(
            Parameters(zeros, jnp.sqrt(data.mean), ones, jnp.zeros(factors, jnp.float32)),
            Linear(zeros, jnp.asarray(data.mean), jnp.asarray(data.mean)),
            poisson_readout.empty(factors, data.neurons),
            jnp.zeros(data.neurons, bool),
            self.group(data.bin_width),
        )

    def group(self, bin_width: float) -> int:
        """How many bins of this width (s) are grouped."""
        return max(1, round(self.grain / bin_width))

    def fit(
        self, data: FitData, *, seed: int, say: Callable[[str], None]
    ) -> tuple[GPFA, GPFAModel, dict[str, Any]]:
        """Choose the number of factors if asked, fit, and fit the maps to rates.

        Raises:
            UndertowError: as many factors as neurons that are seen, or more.
        """
        most, group = int((~data.held_out).sum()), self.group(data.bin_width)
        sizes = self.candidates if self.factors == "auto" else (self.factors,)
        fitting = [size for size in sizes if 1 <= size < most]
        if not fitting:
            raise UndertowError(
                f"GPFA is asked for {sizes[0]} factors of {most} neurons that are seen; give 1 or more, and fewer than neurons."
            )
        observations = Observations.of(data, group)
        factors = fitting[0]
        if len(fitting) > 1:
            scores = {size: self._left_out(observations, size, data.bin_width) for size in fitting}
            for size, score in scores.items():
                say(f"GPFA with {size} factors: {score:.4f} nats an entry of left-out trials")
            factors = max(scores, key=scores.__getitem__)
        scale = FIRST_SCALE / data.bin_width
        parameters, score = expectation_maximisation(observations, factors, scale, self.iterations)
        say(f"GPFA with {factors} factors: {score:.4f} nats an entry of training trials")
        model, chosen = self._with_maps(data, parameters, seed)
        selected_on = poisson_readout.words_of(data.held_out, self.folds)
        if len(fitting) > 1:
            selected_on += ", the number of factors on that of a left-out fold"
        chosen = {"selected_on": selected_on, "factors": factors, **chosen}
        return self.model_copy(update={"factors": factors}), model, chosen

    def _left_out(self, observations: Observations, factors: int, bin_width: float) -> float:
        """The log-likelihood in nats an entry of one fold's trials, fitted to the others."""
        is_left_out = fold_of(len(observations.y), self.folds) == 0
        scale = FIRST_SCALE / bin_width
        parameters, _ = expectation_maximisation(
            observations.at(~is_left_out), factors, scale, ITERATIONS_TO_CHOOSE
        )
        left_out = observations.at(is_left_out)
        return left_out.per_entry(left_out.moments(parameters).log_likelihood)

    def _with_maps(
        self, data: FitData, parameters: Parameters, seed: int
    ) -> tuple[GPFAModel, dict[str, float]]:
        """The model with its maps from factors to rates, and the penalties that were chosen for them."""
        factors = np.asarray(
            _factors_of_trials(parameters, jnp.asarray(data.seen, jnp.float32), self.group(data.bin_width))
        )
        held_out = data.counts[:, :, data.held_out] if data.held_out.any() else data.counts
        rows = poisson_readout.rows_of(factors, held_out, ~data.forward)
        alpha, _ = poisson_readout.best_alpha(rows, self.alphas, folds=self.folds, seed=seed)
        every = poisson_readout.rows_of(factors, data.counts, ~data.forward)
        ridge = min(self.alphas, key=lambda alpha: linear_error(every, alpha, self.folds))
        model = GPFAModel(
            parameters,
            linear_map(every, ridge),
            poisson_readout.fit(every, alpha=alpha, wanted=data.held_out, seed=seed),
            jnp.asarray(~data.held_out),
            self.group(data.bin_width),
        )
        return model, {"alpha": alpha, "ridge": ridge}


class Linear(eqx.Module):
    """Rates W x + b, kept above a floor."""

    weights: Float[Array, "neuron factor"]
    offset: Float[Array, " neuron"]
    floor: Float[Array, " neuron"]

    def __call__(self, factors: Float[Array, "time factor"]) -> Float[Array, "time neuron"]:
        """Expected counts a bin."""
        return jnp.maximum(factors @ self.weights.T + self.offset[None], self.floor[None])


class GPFAModel(DirectModel):
    """GPFA, fitted; `group` bins are one observation."""

    parameters: Parameters
    linear: Linear
    readout: PoissonReadout
    held_in: Bool[Array, " neuron"]
    group: int = eqx.field(static=True)

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],  # noqa: ARG002 - every model answers the same call
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002
    ) -> dict[str, Array]:
        """Rates (expected counts a bin) and expected factors."""
        held_in = self.held_in[None]
        seen = jnp.where(held_in, seen, jnp.nan)
        factors = gpfa_inference.posterior_mean(self.parameters, seen, self.group)
        rates = jnp.where(held_in, self.linear(factors), self.readout(factors))
        return {"rates": rates, "factors": factors}


class Observations(NamedTuple):
    """Square roots of grouped counts (trial, coarse, neuron), what was observed, and which trials begin a pattern of that."""

    y: np.ndarray
    is_observed: np.ndarray
    is_another: np.ndarray
    group: int

    @classmethod
    def of(cls, data: FitData, group: int) -> Observations:
        """Training trials as inference will see them."""
        y, is_observed = jax.vmap(lambda seen: gpfa_inference.coarse(seen, group))(jnp.asarray(data.seen))
        return cls(np.asarray(y), np.asarray(is_observed), np.zeros(len(y), bool), group).at(slice(None))

    def at(self, chosen: np.ndarray | slice) -> Observations:
        """Some of the trials, ordered so that those of which the same was observed stand together."""
        y, is_observed = self.y[chosen], self.is_observed[chosen]
        packed = [np.packbits(mask).tobytes() for mask in is_observed]
        order = sorted(range(len(packed)), key=packed.__getitem__)
        is_another = [
            place == 0 or packed[order[place - 1]] != packed[one] for place, one in enumerate(order)
        ]
        return Observations(y[order], is_observed[order], np.array(is_another, bool), self.group)

    def moments(self, parameters: Parameters) -> gpfa_inference.Moments:
        """The E step on these trials."""
        return gpfa_inference.moments(parameters, *(jnp.asarray(part) for part in self[:3]), self.group)

    def per_entry(self, log_likelihood: Array) -> float:
        """Nats an observed entry."""
        return float(log_likelihood) / max(int(self.is_observed.sum()), 1)


def expectation_maximisation(
    observations: Observations, factors: int, scale: float, iterations: int
) -> tuple[Parameters, float]:
    """Parameters, and their log-likelihood in nats an observed entry before the last step.

    Args:
        observations: of training trials.
        factors: how many.
        scale: the time scale to begin with, in bins.
        iterations: at most.
    """
    parameters = gpfa_inference.beginning(observations.y, observations.is_observed, factors, scale)
    before = -np.inf
    for _ in range(iterations):
        sums = observations.moments(parameters)
        now = observations.per_entry(sums.log_likelihood)
        parameters = gpfa_inference.maximised(parameters, sums, observations.group)
        if now - before < TOLERANCE * abs(now):
            break
        before = now
    return parameters, now


def linear_map(rows: poisson_readout.Rows, alpha: float) -> Linear:
    """Ridge regression from features to counts, for each neuron on the rows where it was observed."""
    features = np.concatenate([rows.features, np.ones((len(rows.features), 1))], axis=1)
    is_observed = np.isfinite(rows.counts)
    penalty = alpha * np.eye(features.shape[1])
    penalty[-1, -1] = 1e-9
    solved = []
    for counts, used in zip(rows.counts.T, is_observed.T, strict=True):
        chosen = features[used]
        solved.append(np.linalg.solve(chosen.T @ chosen + penalty, chosen.T @ counts[used]))
    solved = np.array(solved)
    mean = np.nan_to_num(mean_counts(rows.counts))
    floor = np.maximum(FLOOR_SHARE * mean, SMALLEST_FLOOR)
    return Linear(*(jnp.asarray(part, jnp.float32) for part in (solved[:, :-1], solved[:, -1], floor)))


def linear_error(rows: poisson_readout.Rows, alpha: float, folds: int) -> float:
    """The squared error on each fold's trials of the rectified map that was fitted to the others."""
    fold, total = rows.trial % folds, 0.0
    for number in range(folds):
        others, inside = rows.at(fold != number), rows.at(fold == number)
        if len(others.features) and len(inside.features):
            expected = np.asarray(linear_map(others, alpha)(jnp.asarray(inside.features, jnp.float32)))
            total += np.nansum((inside.counts - expected) ** 2)
    return float(total)


@eqx.filter_jit
def _factors_of_trials(
    parameters: Parameters, seen: Float[Array, "trial time neuron"], group: int
) -> Float[Array, "trial time factor"]:
    return jax.vmap(lambda one: gpfa_inference.posterior_mean(parameters, one, group))(seen)
