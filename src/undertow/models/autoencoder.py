"""The sequential autoencoder: a trial is a starting point and a law, and nothing else.

The generative model (Sedler, Versteeg and Pandarinath 2022, arXiv 2212.03771)::

    z_0                                    initial condition
    z_t = law(z_{t-1}, x_t)                latents, as few as the true system has; x_t are known inputs
    k_t ~ observation(W z_t + b)           counts; for Poisson the read-out is the log-rate

The law is any of `components/dynamics.py`: by default a neural ODE, whose velocity is a network, so that few latents suffice for
rich dynamics, where a GRU needs many. A bidirectional encoder reads the counts and gives z_0, by default without a posterior;
with `variational=True` it gives a Gaussian one, and the objective gains `kl_initial_condition`. With `readout="flow"` an
invertible network takes the place of W (ODIN; Versteeg et al. 2023).

LFADS without inferred inputs differs in two things: its latents are many, with factors between them and the rates, and its
initial condition is a posterior.
"""

from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import Field

from undertow.components.cells import GRU
from undertow.components.corruption import Corrupted, dropout_mask
from undertow.components.dynamics import Dynamics, DynamicsChoices, DynamicsKind
from undertow.components.encoders import Backward, Encoder
from undertow.components.generators import build_generator
from undertow.components.initial_condition import InitialCondition, InitialKeys
from undertow.components.missing import RULES, Missing, MissingKind
from undertow.components.observations import OBSERVATIONS, Observation, ObservationKind
from undertow.components.priors import Posterior
from undertow.components.read_in import ReadIn, features_of, read_in_of
from undertow.components.readouts import FlowReadout, Readout, ReadoutKind
from undertow.models.base import (
    DataSummary,
    LatentDynamics,
    Model,
    ModelConfig,
    Range,
    Streaming,
    reconstruction,
    through_last,
)
from undertow.vocabulary import UndertowError

SHARED_READ_IN = 20
"""Features of a read-in that several sessions share, where no width was chosen."""


class Autoencoder(DynamicsChoices, ModelConfig):
    """The choices of the autoencoder; sizes are numbers of units."""

    section: ClassVar[str] = "autoencoder"
    size: ClassVar[str | None] = "latents"
    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "read_in": ("read_in", "missing"),
        "encoder": ("start",),
        "generator": ("generator",),
        "readout": ("readout", "observation"),
    }
    weights: ClassVar[dict[str, float]] = {"kl_initial_condition": 0.1, "generator_penalty": 0.0}
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "corruption": {"coordinated_dropout": 0.2},
        "objective": {"incremental_epochs": 60, "kl_ramp": 0, "penalty_ramp": 0},
        "optimiser": {"learning_rate": 4e-3, "weight_decay": 1e-5},
        "training": {"batch_size": 32},
    }
    space: ClassVar[dict[str, Range]] = {
        "optimiser.learning_rate": Range(low=1e-4, high=2e-2, prior="log_uniform", step=0.3),
        "optimiser.weight_decay": Range(low=1e-7, high=1e-3, prior="log_uniform", step=0.8),
        "autoencoder.dropout_rate": Range(low=0.0, high=0.3, step=0.3),
        "corruption.coordinated_dropout": Range(low=0.0, high=0.5, step=0.3),
    }

    latents: int = Field(3, ge=1, description="Dimension of the latent state")
    dynamics: DynamicsKind = Field("ode", description="The law by which latents move from bin to bin")
    encoder: int = Field(64, ge=1, description="State of the encoder, each direction")
    read_in: int = Field(
        0, ge=0, description="Width of a linear map before the encoder; 0 for none (of several sessions: 20)"
    )
    initial_segment: int = Field(
        0, ge=0, description="Bins that the initial condition is read from; 0 for the whole trial"
    )
    causal: bool = Field(default=False, description="Encode forward in time only")
    variational: bool = Field(default=False, description="Sample a posterior of the initial condition")
    initial_condition_prior: Literal["gaussian", "student_t", "none"] = "gaussian"
    readout: ReadoutKind = Field("linear", description="From latents to the observation's parameters")
    flow_steps: int = Field(4, ge=1, description="Steps of the flow (readout='flow')")
    flow_units: int = Field(128, ge=1, description="Hidden units of each step of the flow")
    observation: ObservationKind = "poisson"
    missing: MissingKind = Field(
        "zero", description="What the encoder sees of an entry that was not observed"
    )
    time_step: float = Field(
        0.015,
        gt=0,
        description="Length of a bin in the law's own time (residual, ode); small makes slow starts",
    )
    dropout_rate: float = Field(
        0.0, ge=0, lt=1, description="Ordinary dropout of the encoder's output and of the initial condition"
    )
    backward: Backward = Field("by_hand", description="How the time loops of GRUs are differentiated")

    def settings(self) -> dict[str, float]:
        """What training hands over at every step."""
        return {"dropout_rate": self.dropout_rate}

    def for_sessions(self) -> "Autoencoder":
        """With a read-in for each session, and a read-out that is linear."""
        if self.readout != "linear":
            raise UndertowError(
                f"autoencoder.readout='{self.readout}' mixes all neurons and can't be shared by several sessions; take 'linear'."
            )
        return self if self.read_in else self.model_copy(update={"read_in": SHARED_READ_IN})

    @property
    def shared_features(self) -> int:
        """The read-in's width."""
        return self.read_in

    @property
    def shared_readout(self) -> bool:
        """Whether there are as many latents."""
        return self.latents == self.read_in

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> "AutoencoderModel":
        """The model at the start of training, for data of this shape."""
        return AutoencoderModel(self, data, key=key)


class Pass(NamedTuple):
    """Everything that one pass over one trial yields."""

    parameters: Float[Array, "time neuron parameter"]
    latents: Float[Array, "time latent"]
    initial_condition: Posterior


class AutoencoderModel(Model):
    """The model of this module's head."""

    neuron_axes: ClassVar[dict[str, int]] = {
        "missing": 0,
        "read_in.kernel": 0,
        "read_in.centre": 0,
        "readout.kernel": 1,
        "readout.bias": 0,
        "observation": 0,
    }

    config: Autoencoder = eqx.field(static=True)
    missing: Missing
    read_in: ReadIn | None
    start: InitialCondition
    generator: GRU | Dynamics
    readout: Readout | FlowReadout
    observation: Observation

    def __init__(self, config: Autoencoder, data: DataSummary, *, key: Key[Array, ""]):
        encoder_key, start_key, generator_key, readout_key = jax.random.split(key, 4)
        unbounded = float("inf")
        self.config = config
        self.read_in = read_in_of(
            config.read_in, jnp.asarray(data.mean), fan_in=data.fan_in, key=jax.random.fold_in(key, 5)
        )
        features = config.read_in or data.neurons
        self.missing = RULES[config.missing](jnp.asarray(data.mean), features, key=jax.random.fold_in(key, 4))
        encoder = Encoder(
            features + self.missing.channels,
            config.encoder,
            is_causal=config.causal,
            limit=unbounded,
            differentiate=config.backward,
            key=encoder_key,
        )
        self.start = InitialCondition(
            encoder,
            config.latents,
            prior=config.initial_condition_prior,
            segment=config.initial_segment,
            is_variational=config.variational,
            key=start_key,
        )
        self.generator = build_generator(
            config, data.inputs, config.latents, limit=unbounded, key=generator_key
        )
        self.observation = OBSERVATIONS[config.observation](data.neurons)
        start = self.observation.start(data.mean, data.variance)
        self.readout = (
            Readout(config.latents, start, key=readout_key)
            if config.readout == "linear"
            else FlowReadout(
                config.latents, start, steps=config.flow_steps, units=config.flow_units, key=readout_key
            )
        )

    @property
    def is_sampled(self) -> bool:
        """Whether there is a posterior to be sampled."""
        return self.config.variational

    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Reconstruction and the divergence of the initial condition, in nats."""
        passed = self._run(corrupted.seen, inputs, settings["dropout_rate"], key=key)
        return {
            "reconstruction": reconstruction(self.observation, passed.parameters, corrupted),
        } | self.start.divergence(passed.initial_condition)

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """Half the mean square of the law's kernels, and the observation's."""
        kernels = self.generator.recurrent
        squares = sum(jnp.sum(kernel**2) for kernel in kernels)
        own = {"generator_penalty": 0.5 * squares / sum(kernel.size for kernel in kernels)}
        return own | self.observation.penalties()

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,
    ) -> dict[str, Array]:
        """One sample of rates (expected counts a bin), latents, which are the factors too, and the initial condition."""
        passed = self._run(seen, inputs, None, key=key)
        return self._named(passed.parameters, passed.latents) | {
            "initial_condition": passed.initial_condition.sample[0]
        }

    def streaming(self) -> Streaming | str:
        """With a causal encoder, from the initial segment on a forecast; the estimates lack the initial condition."""
        if not self.config.causal:
            return (
                "set autoencoder.causal=true and autoencoder.initial_segment to the bins to begin from, and fit again "
                "(what follows is then a forecast), or fit a causal lfads"
            )
        return Streaming(self._begin, self._advance, opening=self.config.initial_segment)

    def dynamics(self) -> LatentDynamics:
        """The law, pushed by known inputs."""

        def step(state: Array, inputs: Array) -> Array:
            return self.generator.step(state, self.generator.project(inputs))

        return LatentDynamics(step, self.config.latents, self.generator.input_kernel.shape[0])

    def _begin(self, first: Array, known: Array) -> tuple[Array, dict[str, Array]]:
        """The initial condition from the first bins, and the latents over them."""
        before = self.start.opened(self._features(first))
        return jax.lax.scan(lambda before, bins: self._advance(before, *bins), before, (first, known))

    def _advance(
        self,
        before: Array,
        counts: Array,  # noqa: ARG002 - the call of every stream
        known: Array,
    ) -> tuple[Array, dict[str, Array]]:
        """One bin of the law."""
        latents = self.generator.step(before, self._drive(known[None])[0])
        estimate = self._named(self.readout(latents[None]), latents[None])
        return latents, {name: value[0] for name, value in estimate.items()}

    def _run(
        self, seen: Array, inputs: Array, dropout_rate: Array | None, *, key: Key[Array, ""] | None
    ) -> Pass:
        """One pass over one trial; without a dropout rate nothing is dropped, without a key nothing is sampled either."""
        sample_key, dropout_key, state_key = [None] * 3 if key is None else jax.random.split(key, 3)
        is_seen = through_last(jnp.isfinite(seen))
        keys = InitialKeys(sample_key, dropout_key)
        start = self.start.posterior(self._features(seen), is_seen, dropout_rate, keys=keys)
        initial = start.sample[0]
        if dropout_rate is not None:
            initial = initial * dropout_mask(dropout_rate, initial.shape, key=state_key)
        latents = self.generator.run(initial, self._drive(inputs), backward=self.config.backward)
        return Pass(self.readout(latents), latents, start)

    def _features(self, seen: Float[Array, "time neuron"]) -> Float[Array, "time feature"]:
        """What the encoder reads."""
        counts = self.missing.replaced(seen)
        features = features_of(self.read_in, counts)
        return self.missing.beside(features, seen)

    def _drive(self, inputs: Float[Array, "time input"]) -> Float[Array, "time drive"]:
        return self.generator.project(jnp.where(jnp.isfinite(inputs), inputs, 0.0))

    def _named(self, parameters: Array, latents: Array) -> dict[str, Array]:
        return {"rates": self.observation.mean(parameters), "factors": latents, "latents": latents}
