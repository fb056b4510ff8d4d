"""What every model answers, so that training, search and inference need to know no model by name.

A configuration (`ModelConfig`) names the choices and builds a `Model` for given data. A `Model` speaks of one trial:

* `terms(corrupted, inputs, settings, key=...)` gives its unweighted objective by name, in nats a trial;
* `penalties()` gives what its parameters cost by name, those of its observation among them;
* `estimate(seen, inputs, key=...)` gives one posterior sample of everything it can say of a trial, or without a key its mean;
* `streaming()` gives the same one bin at a time, or says what would have to change for that;
* `dynamics()` gives the law by which its latents move, for `analysis/`, or says why there is none;
* `coded()` gives the way from trials to codes and from codes to activity, or says why there is none.

The names of `terms` and `penalties` are the names under which a recipe weighs them: "kl_..." terms follow the ramp of the KL,
"..._penalty" the ramp of the penalties. "reconstruction" always has weight 1.

A model that is not trained by gradient epochs has a `DirectConfig`, whose `fit` does everything at once, and is a `DirectModel`.
"""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import Field, model_validator

from undertow.components.configuration import Configuration
from undertow.components.corruption import Corrupted
from undertow.components.observations import OBSERVATIONS, Observation, Poisson
from undertow.vocabulary import UndertowError

TRIALS = "trials"
"""The name of the axis over which `Model.terms` is mapped: a term that belongs to a batch asks `jax.lax` for it by this name."""


class DataSummary(NamedTuple):
    """What a model must know of the data to take its shape and its start: from the training trials alone.

    `seen` is the number of neurons that one trial has, where several sessions with neurons of their own share the model; 0: all.
    `measured` is what the choices' own `measure` found in the training trials; empty where they measure nothing.
    """

    neurons: int
    inputs: int
    mean: Float[Array, " neuron"]
    variance: Float[Array, " neuron"]
    bins: int = 0
    conditions: int = 0
    bin_width: float = 1.0
    seen: int = 0
    measured: tuple[np.ndarray, ...] = ()

    @property
    def fan_in(self) -> int:
        """How many neurons feed a map from neurons at a time."""
        return self.seen or self.neurons


class FitData(NamedTuple):
    """What a model that is fitted directly receives: training trials alone.

    `counts` (trial, time, neuron) with NaN = not observed, the flags `held_out` (neuron) and `forward` (time), seconds a bin, and
    each trial's `condition` (trial): a number below `conditions`, -1 where it is not known.
    """

    counts: np.ndarray
    held_out: np.ndarray
    forward: np.ndarray
    bin_width: float
    condition: np.ndarray
    conditions: int

    @property
    def seen(self) -> np.ndarray:
        """The counts (trial, time, neuron) without held-out neurons and forward bins, as inference will see them."""
        is_concealed = self.held_out[None, :] | self.forward[:, None]
        return np.where(is_concealed, np.float32(np.nan), self.counts)


class Streaming(NamedTuple):
    """A causal model one bin at a time: state in, state out, in the posterior means and without chance.

    `opening` is the number of bins that must be there before the first estimate (0 for none). With `first` their counts
    (opening, neuron; NaN = not observed) and `known` their inputs (opening, input), `begin(first, known)` gives the state
    after them and their estimates, under the names and with the axes of `Model.estimate`. Then, for each further bin,
    `advance(state, counts (neuron), inputs (input))` gives the next state and that bin's estimate, without the time axis. A
    state is a pytree of arrays of fixed shapes. `longest` is the number of bins after which the model must begin anew; None
    if it can go on for ever.
    """

    begin: Callable[[Array, Array], tuple[Any, dict[str, Array]]]
    advance: Callable[[Any, Array, Array], tuple[Any, dict[str, Array]]]
    opening: int = 0
    longest: int | None = None


class LatentDynamics(NamedTuple):
    """The law by which a model's latents move, apart from any data and without chance.

    `step(state (latent), inputs (input)) -> state` is one bin onward. States are those of the estimate's "latents"; the inputs
    are the known ones, then the inferred ones, and all zero where nothing pushes. There are `latents` and `inputs` of them.
    """

    step: Callable[[Array, Array], Array]
    latents: int
    inputs: int


class Coded(NamedTuple):
    """A model that keeps a trial as one vector, its code, and makes activity of codes.

    `encode(seen (time, neuron), inputs (time, input))` gives the code (code_dimension), its mean where it has a posterior.
    `generate(code, inputs, is_there (time), start (time, neuron), key=...)` gives rates (expected counts a bin): `start` is the
    noise to begin from, of N(0, 1), where the model `has_noise`; without a key nothing further is drawn. `draw(key=...)` gives a
    code of the prior. `start_of(seen, inputs, code)` gives the noise from which `generate` without a key makes this trial's own
    activity. A model of whole trials that are told no code has codes of no dimension, and no `encode`.
    """

    dimension: int
    encode: Callable[[Array, Array], Array] | None
    generate: Callable[..., Array]
    draw: Callable[..., Array]
    start_of: Callable[[Array, Array, Array], Array] | None = None
    has_noise: bool = False


class Model(eqx.Module):
    """The interface; see the module.

    `is_sampled` tells whether two estimates with different keys differ; `needs_conditions` that a last column of `inputs` shall
    hold the number of the trial's condition (-1 where it is not known), `validates_by_one_draw` that every epoch's validation
    shall use the same chance, for a model whose terms scatter widely with it. `neuron_axes` names the leaves that have one row
    for each neuron, by the beginning of their paths, and which of their axes that is.
    """

    is_sampled: ClassVar[bool] = True
    needs_conditions: ClassVar[bool] = False
    validates_by_one_draw: ClassVar[bool] = False
    neuron_axes: ClassVar[dict[str, int]] = {}

    def for_neurons(self, neurons: Int[Array, " column"]) -> "Model":
        """The same model for a trial whose columns are these of its neurons; zeros stand in the rows of empty columns (-1).

        What the sessions share stays as it is, so under `jax.vmap` over trials of several sessions only rows are gathered.
        """

        def gathered(path, leaf):
            axis = axis_of_neurons(self.neuron_axes, path)
            if axis is None or not eqx.is_array(leaf):
                return leaf
            beyond = leaf.shape[axis]  # -1 would be the last row
            rows = jnp.where(neurons < 0, beyond, neurons)
            return jnp.take(leaf, rows, axis=axis, mode="fill", fill_value=0)

        return jax.tree_util.tree_map_with_path(gathered, self)

    def for_surroundings(self, around: Float[Array, "around neuron"]) -> "Model":  # noqa: ARG002 - most models smooth nothing
        """The same model for a trial before and after which these counts were recorded, (margin + time + margin, neuron).

        NaN stands within the trial, and where nothing was recorded. Only models that smooth counts take them up.
        """
        return self

    @abstractmethod
    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """The objective's terms of one trial, in nats, among them "reconstruction"."""

    @abstractmethod
    def penalties(self) -> dict[str, Float[Array, ""]]:
        """Costs of the parameters, independent of the data."""

    @abstractmethod
    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,
    ) -> dict[str, Array]:
        """One posterior sample: "rates" (expected counts a bin) and what else the model has, under the house's words.

        Without a key the posterior's means pass on in place of a sample.
        """

    @abstractmethod
    def streaming(self) -> Streaming | str:
        """The model one bin at a time, or, where its estimate of a bin needs later ones, what would have to change.

        The words are a clause that ends a sentence: "set lfads.causal=true and fit again".
        """

    def dynamics(self) -> LatentDynamics | str:
        """How the latents move by themselves, or a clause that says why this model can't say it."""
        return "its latents follow no law from bin to bin; fit lfads or autoencoder to look at dynamics"

    def with_config(self, config: "ModelConfig") -> "Model":
        """The same weights under other choices, for those that no weight depends on."""
        changed = object.__new__(type(self))
        for field in dataclasses.fields(self):
            value = config if field.name == "config" else getattr(self, field.name)
            object.__setattr__(changed, field.name, value)
        return changed

    def coded(self) -> Coded | str:
        """Trials as codes, and activity from codes, or a clause that says why this model can't do it."""
        return "it keeps no code of a trial; fit gnocchi, or lfads with lfads.inferred_inputs=0"


class DirectModel(Model):
    """A model whose estimate has no chance in it, and whose only term is the Poisson likelihood of its rates."""

    is_sampled: ClassVar[bool] = False

    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],  # noqa: ARG002 - every model answers the same call
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """The negative log-likelihood of the trial under the rates that are estimated from what is seen."""
        rates = self.estimate(corrupted.seen, inputs, key=key)["rates"]
        return {"reconstruction": reconstruction(Poisson(), jnp.log(rates)[..., None], corrupted)}

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """None."""
        return {}

    def streaming(self) -> str:
        """None of these reads a trial forward only."""
        return "it reads whole trials and has no causal form; fit a causal ndt or lfads"


class Range(Configuration):
    """Where a search may move one number, how it is drawn at the start, and how far one perturbation goes.

    A perturbation multiplies by exp(+-log(1 + step)), drawn evenly up to there, so that up and down are equally likely; a number
    that may be zero moves instead by up to +-step/2 of the range.
    """

    section: ClassVar[str] = "search.space"

    low: float
    high: float
    prior: Literal["uniform", "log_uniform"] = "uniform"
    start: Literal["drawn"] | float = Field(
        "drawn", description="Every member's first value; 'drawn' from the prior"
    )
    step: float = Field(0.2, gt=0, description="Size of one perturbation, as a share")
    is_bounded: bool = Field(default=True, description="Whether perturbations end at the range, too")
    unit: Literal["own", "mean"] = Field(
        "own",
        description="'own' is the unit of the recipe; 'mean' gives a weight for the mean over entries, as published settings do",
    )

    @model_validator(mode="after")
    def _has_order(self) -> "Range":
        if not 0 <= self.low < self.high:
            raise UndertowError(
                f"A search's range goes from {self.low:g} to {self.high:g}, but low must be 0 or more and lie below high."
            )
        if self.prior == "log_uniform" and self.low == 0:
            raise UndertowError(
                "A search's range that is log_uniform can't begin at 0; give a small positive low."
            )
        return self


class ModelConfig(Configuration):
    """The choices of a model.

    `section` is its name on the command line, `weights` are the defaults of its terms, `space` the numbers that a search moves
    unless it is told otherwise, by their keys in a recipe. `defaults` are what the other sections of a recipe take for this model
    in place of their own defaults. `size` names the field that holds the dimension of the latent space, where a model has one.
    `parts` names the groups of leaves that may train while others rest, each by the beginnings of their paths; "read_in" and
    "readout" among them are what a session has of its own.
    """

    weights: ClassVar[dict[str, float]]
    space: ClassVar[dict[str, Range]]
    defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    size: ClassVar[str | None] = None
    parts: ClassVar[dict[str, tuple[str, ...]]] = {}
    observation: str

    def for_sessions(self) -> "ModelConfig":
        """These choices as they can be shared by several sessions: with a read-in for each.

        Raises:
            UndertowError: a model, or choices, that cannot be shared.
        """
        raise UndertowError(
            f"'{self.section}' can't be shared by several sessions; fit lfads, autoencoder or ndt, or each session by itself."
        )

    @property
    def shared_features(self) -> int:
        """Width of a read-in that can begin from averages over conditions (`components/read_in.py`); 0 where there is none."""
        return 0

    @property
    def shared_readout(self) -> bool:
        """Whether the read-out reads as many factors, so that it can begin from the same averages."""
        return False

    def measure(
        self,
        counts: np.ndarray,  # noqa: ARG002 - most choices measure nothing
        around: np.ndarray | None = None,  # noqa: ARG002
    ) -> tuple[np.ndarray, ...]:
        """What `build` needs to know of the training counts (trial, time, neuron) beyond means and variances.

        `around` (trial, margin + time + margin, neuron) are those before and after the trials, where there are any.
        """
        return ()

    @abstractmethod
    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> Model:
        """A model of these choices at the start of training."""

    @abstractmethod
    def settings(self) -> dict[str, float]:
        """Numbers that training hands to `Model.terms` at every step and a search may move."""

    def term_weights(self) -> dict[str, float]:
        """The default weights of all terms: the model's own, and those of its observation's penalties."""
        return {**self.weights, **OBSERVATIONS[self.observation](1).weights}

    def when_not_finite(self) -> str:
        """What, besides training, may be wrong where values are not finite: a clause, or nothing."""
        return ""


class DirectConfig(ModelConfig):
    """The choices of a model with a `fit` of its own, in place of epochs of gradient steps, and nothing for a search to move."""

    weights: ClassVar[dict[str, float]] = {}
    space: ClassVar[dict[str, Range]] = {}
    observation: Literal["poisson"] = Field("poisson", description="How counts scatter around the rates")

    @abstractmethod
    def fit(
        self, data: FitData, *, seed: int, say: Callable[[str], None]
    ) -> tuple["DirectConfig", Model, dict[str, Any]]:
        """Fit to training trials, and choose by cross-validation among them what is left to choose.

        Returns:
            These choices with what was chosen in the place of "auto", the fitted model, and "selected_on" (a sentence without its
            first capital and its full stop) with everything else that was chosen, by name.
        """

    def settings(self) -> dict[str, float]:
        """None."""
        return {}


def axis_of_neurons(neuron_axes: dict[str, int], path) -> int | None:
    """The axis of a leaf at this path (of JAX's keys) that counts neurons, or None if it has none."""
    name = name_of_leaf(path)
    for beginning, axis in neuron_axes.items():
        if lies_below(name, beginning):
            return axis
    return None


def name_of_leaf(path) -> str:
    """A leaf's path in its model, as files and recipes write it: "start.encoder.forward.bias"."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def lies_below(name: str, beginning: str) -> bool:
    """Whether a leaf's name is this one or begins with it."""
    return name == beginning or name.startswith(f"{beginning}.")


def reconstruction(
    observation: Observation, parameters: Float[Array, "time neuron parameter"], corrupted: Corrupted
) -> Float[Array, ""]:
    """The weighted negative log-likelihood of a trial in nats; an entry of weight 0 cannot reach value or gradient.

    There the likelihood is that of harmless numbers: an overflow in its place times a gradient of 0 would be no number.
    """
    counts = corrupted.weight > 0
    target = jnp.where(counts, corrupted.target, 1.0)
    parameters = jnp.where(counts[..., None], parameters, 0.0)
    return -jnp.sum(jnp.where(counts, corrupted.weight * observation.log_likelihood(parameters, target), 0.0))


def through_last(is_observed: Bool[Array, "time neuron"]) -> Bool[Array, " time"]:
    """True for the bins up to the last in which anything was observed: the trial without its padding."""
    return jnp.flip(jax.lax.cummax(jnp.flip(is_observed.any(axis=1).astype(jnp.int32)))).astype(bool)
