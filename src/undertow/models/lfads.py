"""LFADS: a trial is a starting point, a dynamical system, and the inputs that push it.

The generative model (Sussillo et al. 2016, arXiv 1608.06315; Pandarinath et al. 2018)::

    g_0 ~ p(g_0)                              initial condition                  `initial_condition_prior`
    u_t ~ p(u_t | u_{t-1})                    inferred inputs                    `input_prior`
    g_t = GRU([u_t, x_t], g_{t-1})            generator; x_t are known inputs    `latents`; other laws: `dynamics`
    f_t = F g_t,  columns of F of length 1    factors
    k_t ~ observation(W f_t + b)              counts; for Poisson the read-out is the log-rate

and its inference: a bidirectional encoder reads the counts and gives the mean and variance of g_0; a second one and a
controller, which also sees the factors of the bin before, give those of u_t. All are trained together on

    reconstruction + kl_initial_condition + kl_inputs      (weights 1, 1 and 1: the evidence lower bound)
    + generator_penalty + controller_penalty               (half the mean square of the recurrent kernels)

Without inferred inputs (`inferred_inputs=0`) there is no controller and the generator is autonomous. With `causal=True` both
encoders run forward only: rates at bin t depend on counts up to bin t - lag and on the `initial_segment` alone.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key
from pydantic import Field, model_validator

from undertow.components.cells import GRU
from undertow.components.control_loop import LoopInputs, LoopState, control_loop
from undertow.components.controller import CausalState, Controller, ControllerSizes
from undertow.components.corruption import Corrupted, dropout_mask
from undertow.components.dynamics import Dynamics, DynamicsChoices
from undertow.components.encoders import Backward, Encoder
from undertow.components.generators import build_generator
from undertow.components.initial_condition import InitialCondition, InitialKeys
from undertow.components.linear import Linear, fan_in_normal, unit_columns
from undertow.components.missing import RULES, Missing, MissingKind
from undertow.components.observations import OBSERVATIONS, Observation, ObservationKind
from undertow.components.priors import NoPrior, Posterior, PriorKind
from undertow.components.read_in import ReadIn, features_of, read_in_of
from undertow.components.readouts import Readout
from undertow.models.base import (
    Coded,
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


def _published(low: float, high: float, *, unit: Literal["own", "mean"]) -> Range:
    """The range of a weight: only its first value is bound to it."""
    return Range(low=low, high=high, prior="log_uniform", step=0.8, is_bounded=False, unit=unit)


class LFADS(DynamicsChoices, ModelConfig):
    """The choices of LFADS; sizes are numbers of units."""

    section: ClassVar[str] = "lfads"
    size: ClassVar[str | None] = "factors"
    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "read_in": ("read_in", "missing"),
        "encoder": ("start",),
        "controller": ("controller",),
        "generator": ("to_generator", "generator", "factors_kernel"),
        "readout": ("readout", "observation"),
    }
    weights: ClassVar[dict[str, float]] = {
        "kl_initial_condition": 0.1,
        "kl_inputs": 0.1,
        "generator_penalty": 0.01,
        "controller_penalty": 0.01,
    }

    space: ClassVar[dict[str, Range]] = {  # AutoLFADS (Keshtkaran et al. 2022), as lfads-torch has it
        "optimiser.learning_rate": Range(low=1e-5, high=5e-3, prior="log_uniform", start=4e-3, step=0.3),
        "lfads.dropout_rate": Range(low=0.0, high=0.6, step=0.3),
        "corruption.coordinated_dropout": Range(low=0.01, high=0.7, start=0.5, step=0.3),
        "objective.weights.kl_initial_condition": _published(1e-6, 1e-3, unit="mean"),
        "objective.weights.kl_inputs": _published(1e-6, 1e-4, unit="mean"),
        "objective.weights.generator_penalty": _published(1e-4, 1.0, unit="own"),
        "objective.weights.controller_penalty": _published(1e-4, 1.0, unit="own"),
    }

    factors: int = Field(20, ge=1, description="Low-dimensional read-out of the generator")
    generator: int = Field(100, ge=1, description="State of the generator")
    initial_condition: int = Field(64, ge=1, description="Dimension of the initial condition's code")
    encoder: int = Field(64, ge=1, description="State of the initial condition's encoder, each direction")
    inferred_inputs: int = Field(
        2, ge=0, description="Inferred inputs; 0 for an autonomous generator without controller"
    )
    input_encoder: int = Field(64, ge=1, description="State of the inputs' encoder, each direction")
    controller: int = Field(64, ge=1, description="State of the controller")
    lag: int = Field(
        1, ge=0, description="Bins by which the controller sees the encoder's states away from its own bin"
    )
    initial_segment: int = Field(
        0, ge=0, description="Bins that the initial condition is read from; 0 for the whole trial"
    )
    causal: bool = Field(default=False, description="Encode forward in time only")
    controller_reads: Literal["all", "own_bins"] = Field(
        "all",
        description="'own_bins': counts after the initial segment, and zeros in all bins that the encoder of inputs does not "
        "read, as in lfads-torch",
    )
    variational: bool = Field(
        default=True, description="Sample the posteriors; otherwise their means pass and no KL is asked"
    )
    initial_condition_prior: Literal["gaussian", "student_t", "none"] = "gaussian"
    input_prior: PriorKind = "autoregressive"
    observation: ObservationKind = "poisson"
    read_in: int = Field(
        0,
        ge=0,
        description="Width of a linear map before the encoders; 0 for none (of several sessions: as many as factors)",
    )
    missing: MissingKind = Field(
        "zero", description="What the encoders see of an entry that was not observed"
    )
    log_counts: bool = Field(default=False, description="Encoders see log(1 + counts)")
    known_inputs_to: Literal["generator", "encoders", "both"] = "generator"
    dropout_rate: float = Field(
        0.05, ge=0, lt=1, description="Ordinary dropout of encoder, controller and generator outputs"
    )
    state_limit: float = Field(5.0, gt=0, description="Bound of every recurrent state")
    limit_start: bool = Field(
        default=True, description="Bound the generator's first state, too; lfads-torch does not"
    )
    backward: Backward = Field("by_hand", description="How the time loops are differentiated")

    @model_validator(mode="after")
    def _is_one_pass(self) -> "LFADS":
        if self.causal and self.controller_reads == "own_bins":
            raise UndertowError(
                "'lfads.controller_reads' is 'own_bins', which is the way of lfads-torch with encoders in both directions, but "
                "'lfads.causal' is true; set one of them back."
            )
        return self

    def settings(self) -> dict[str, float]:
        """What training hands over at every step."""
        return {"dropout_rate": self.dropout_rate}

    def for_sessions(self) -> "LFADS":
        """With a read-in for each session, as wide as there are factors where no width was chosen."""
        return self if self.read_in else self.model_copy(update={"read_in": self.factors})

    @property
    def shared_features(self) -> int:
        """The read-in's width, unless it reads logarithms."""
        return 0 if self.log_counts else self.read_in

    @property
    def shared_readout(self) -> bool:
        """Whether there are as many factors."""
        return self.factors == self.read_in

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> "LFADSModel":
        """LFADS at the start of training, for data of this shape."""
        return LFADSModel(self, data, key=key)


class Pass(NamedTuple):
    """Everything that one pass over one trial yields."""

    parameters: Float[Array, "time neuron parameter"]
    factors: Float[Array, "time factor"]
    latents: Float[Array, "time latent"]
    initial_condition: Posterior
    inferred_inputs: Posterior | None


class LFADSModel(Model):
    """The model of this module's head."""

    neuron_axes: ClassVar[dict[str, int]] = {
        "missing": 0,
        "read_in.kernel": 0,
        "read_in.centre": 0,
        "readout.kernel": 1,
        "readout.bias": 0,
        "observation": 0,
    }

    config: LFADS = eqx.field(static=True)
    missing: Missing
    read_in: ReadIn | None
    start: InitialCondition
    to_generator: Linear
    generator: GRU | Dynamics
    factors_kernel: Float[Array, "latent factor"]
    controller: Controller | None
    readout: Readout
    observation: Observation

    def __init__(self, config: LFADS, data: DataSummary, *, key: Key[Array, ""]):
        keys = jax.random.split(key, 8)
        known_to_encoders = data.inputs if config.known_inputs_to != "generator" else 0
        known_to_generator = data.inputs if config.known_inputs_to != "encoders" else 0
        features = config.read_in or data.neurons
        self.config = config
        self.missing = RULES[config.missing](
            jnp.asarray(data.mean), features, key=jax.random.fold_in(key, len(keys))
        )
        encoder_inputs = features + self.missing.channels + known_to_encoders
        centre = jnp.log1p(data.mean) if config.log_counts else data.mean
        self.read_in = read_in_of(config.read_in, jnp.asarray(centre), fan_in=data.fan_in, key=keys[0])
        shared = {
            "is_causal": config.causal,
            "limit": config.state_limit,
            "differentiate": config.backward,
        }
        self.start = InitialCondition(
            Encoder(encoder_inputs, config.encoder, key=keys[1], **shared),
            config.initial_condition,
            prior=config.initial_condition_prior,
            segment=config.initial_segment,
            is_variational=config.variational,
            key=keys[2],
        )
        self.to_generator = Linear(config.initial_condition, config.generator, key=keys[3])
        self.generator = build_generator(
            config, known_to_generator, config.generator, limit=config.state_limit, key=keys[4]
        )
        self.factors_kernel = fan_in_normal(config.generator, (config.generator, config.factors), key=keys[5])
        self.controller = (
            Controller(
                _sizes(config, encoder_inputs, self.generator.drive_size),
                prior=config.input_prior,
                key=keys[6],
                **shared,
            )
            if config.inferred_inputs
            else None
        )
        self.observation = OBSERVATIONS[config.observation](data.neurons)
        self.readout = Readout(config.factors, self.observation.start(data.mean, data.variance), key=keys[7])

    @property
    def is_sampled(self) -> bool:
        """Whether the posteriors are sampled."""
        return self.config.variational

    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """Reconstruction and the two divergences, in nats; bins after the trial's end cost nothing."""
        passed = self._run(corrupted.seen, inputs, settings["dropout_rate"], key=key)
        is_trial = through_last(jnp.isfinite(corrupted.target))
        return (
            {"reconstruction": reconstruction(self.observation, passed.parameters, corrupted)}
            | self.start.divergence(passed.initial_condition)
            | self._divergence(passed.inferred_inputs, is_trial)
        )

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """Half the mean square of the recurrent kernels of generator and controller, and the observation's."""
        penalties = {"generator_penalty": _half_mean_square(self.generator.recurrent)}
        if self.controller is not None:
            penalties["controller_penalty"] = _half_mean_square(self.controller.cell.recurrent)
        return penalties | self.observation.penalties()

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,
    ) -> dict[str, Array]:
        """One posterior sample of rates (expected counts a bin), factors, latents, initial condition, inferred inputs.

        Without a key the posteriors' means pass in place of samples.
        """
        passed = self._run(seen, inputs, None, key=key)
        estimate = {
            "rates": self.observation.mean(passed.parameters),
            "factors": passed.factors,
            "latents": passed.latents,
            "initial_condition": passed.initial_condition.sample[0],
        }
        if passed.inferred_inputs is not None:
            estimate["inferred_inputs"] = passed.inferred_inputs.sample
        return estimate

    def streaming(self) -> Streaming | str:
        """With causal encoders one bin at a time, after the initial segment; the estimates lack the initial condition."""
        if not self.config.causal:
            both = "" if self.config.controller_reads == "all" else " and lfads.controller_reads=all"
            return f"set lfads.causal=true{both} and fit again"
        return Streaming(self._begin, self._advance, opening=self.config.initial_segment)

    def dynamics(self) -> LatentDynamics:
        """The generator, pushed by known inputs, where it receives them, and by inferred ones."""
        known = self.generator.input_kernel.shape[0]
        inferred = self.config.inferred_inputs

        def step(state: Array, inputs: Array) -> Array:
            drive = self.generator.project(inputs[:known])
            if self.controller is not None:
                drive = drive + inputs[known:] @ self.controller.input_kernel
            return self.generator.step(state, drive)

        return LatentDynamics(step, self.config.generator, known + inferred)

    def coded(self) -> Coded | str:
        """Without inferred inputs the initial condition is a trial's code."""
        if self.controller is not None:
            return "its inputs, inferred at every bin, are no code; set lfads.inferred_inputs=0 and fit again"
        return Coded(self.config.initial_condition, self._code, self._from_code, self.start.prior_sample)

    def _code(self, seen: Array, inputs: Array) -> Array:
        return self._run(seen, inputs, None, key=None).initial_condition.mean[0]

    def _from_code(
        self,
        code: Array,
        inputs: Array,
        is_there: Array,
        start: Array,  # noqa: ARG002 - every model with codes answers the same call
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002
    ) -> Array:
        """Rates (expected counts a bin) of the trial that begins so."""
        drive = self._prepare(jnp.zeros((inputs.shape[0], self._neurons)), inputs)
        _, factors, _ = self._generate(self._initial_state(code), (*drive, is_there), None, key=None)
        return self.observation.mean(self.readout(factors))

    @property
    def _neurons(self) -> int:
        return self.readout.bias.shape[0]

    def _begin(self, first: Array, known: Array) -> tuple[CausalState, dict[str, Array]]:
        """The initial condition from the first bins, and the generator over them."""
        encoder_inputs, _ = self._prepare(first, known)
        initial = self._initial_state(self.start.opened(encoder_inputs))
        factors = initial @ unit_columns(self.factors_kernel)
        if self.controller is None:
            before = CausalState(None, LoopState(jnp.zeros(0), initial, factors))
        else:
            state = LoopState(self.controller.start, initial, factors)
            before = self.controller.begin(state, self.config.lag)
        return jax.lax.scan(lambda before, bins: self._advance(before, *bins), before, (first, known))

    def _advance(
        self, before: CausalState, counts: Array, known: Array
    ) -> tuple[CausalState, dict[str, Array]]:
        """One bin of the pass that `_generate` runs over all."""
        (encoder_inputs,), (generator_gates,) = self._prepare(counts[None], known[None])
        factors_kernel = unit_columns(self.factors_kernel)
        if self.controller is None:
            latents = self.generator.step(before.loop.latents, generator_gates)
            loop = LoopState(before.loop.controller, latents, latents @ factors_kernel)
            after, inferred = CausalState(None, loop), {}
        else:
            weights = self.controller.weights(self.generator, factors_kernel)
            after, inputs = self.controller.advance(before, weights, encoder_inputs, generator_gates)
            inferred = {"inferred_inputs": inputs}
        rates = self.observation.mean(self.readout(after.loop.factors[None]))[0]
        return after, {
            "rates": rates,
            "factors": after.loop.factors,
            "latents": after.loop.latents,
            **inferred,
        }

    def _run(
        self, seen: Array, inputs: Array, dropout_rate: Array | None, *, key: Key[Array, ""] | None
    ) -> Pass:
        """One pass over one trial; without a dropout rate nothing is dropped, without a key nothing is sampled either."""
        start_key, start_dropout_key, control_key = _keys(3, key=key)
        is_seen = through_last(jnp.isfinite(seen))
        encoder_inputs, generator_gates = self._prepare(seen, inputs)
        start = self.start.posterior(
            encoder_inputs, is_seen, dropout_rate, keys=InitialKeys(start_key, start_dropout_key)
        )
        initial = self._initial_state(start.sample[0])
        drive = (encoder_inputs, generator_gates, is_seen)
        latents, factors, inferred = self._generate(initial, drive, dropout_rate, key=control_key)
        return Pass(self.readout(factors), factors, latents, start, inferred)

    def _initial_state(self, initial_condition: Array) -> Array:
        state, limit = self.to_generator(initial_condition), self.config.state_limit
        return jnp.clip(state, -limit, limit) if self.config.limit_start else state

    def _prepare(self, seen: Array, inputs: Array) -> tuple[Array, Array]:
        """What the encoders read, and the known inputs' share of the generator's gates."""
        counts = self.missing.replaced(seen)
        counts = jnp.log1p(jnp.maximum(counts, 0.0)) if self.config.log_counts else counts
        features = features_of(self.read_in, counts)
        features = self.missing.beside(features, seen)
        known = jnp.where(jnp.isfinite(inputs), inputs, 0.0)
        if self.config.known_inputs_to != "generator":
            features = jnp.concatenate([features, known], axis=-1)
        to_generator = known[:, :0] if self.config.known_inputs_to == "encoders" else known
        return features, self.generator.project(to_generator)

    def _generate(
        self,
        initial: Array,
        drive: tuple[Array, Array, Array],
        dropout_rate: Array | None,
        *,
        key: Key[Array, ""] | None,
    ) -> tuple[Array, Array, Posterior | None]:
        """Latents, factors and inferred inputs from the generator's first state."""
        encoder_inputs, generator_gates, is_seen = drive
        mask_key, control_key = _keys(2, key=key)
        factors_kernel = unit_columns(self.factors_kernel)
        latents_mask = _mask(dropout_rate, (encoder_inputs.shape[0], initial.shape[0]), key=mask_key)
        if self.controller is None:
            latents = self.generator.run(initial, generator_gates, backward=self.config.backward)
            return latents, (latents_mask * latents) @ factors_kernel, None
        encoded = self._encoded(encoder_inputs, is_seen)
        return self._control(
            initial, factors_kernel, encoded, (generator_gates, latents_mask), dropout_rate, key=control_key
        )

    def _encoded(self, encoder_inputs: Array, is_seen: Array) -> Array:
        """What the controller reads of the counts, (time, encoder)."""
        config, encoder = self.config, self.controller.encoder
        if config.controller_reads == "all":
            return encoder.around(encoder_inputs, is_seen, config.lag)
        is_read = is_seen & (jnp.arange(is_seen.shape[0]) >= config.initial_segment)
        return jnp.where(is_read[:, None], encoder.around(encoder_inputs, is_read, config.lag), 0.0)

    def _control(
        self,
        initial: Array,
        factors_kernel: Array,
        encoded: Array,
        generator_drive: tuple[Array, Array],
        dropout_rate: Array | None,
        *,
        key: Key[Array, ""] | None,
    ) -> tuple[Array, Array, Posterior]:
        """The loop of controller and generator."""
        noise_key, encoded_key, factors_key = _keys(3, key=key)
        time = encoded.shape[0]
        noise_shape = (time, self.config.inferred_inputs)
        is_drawn = self.config.variational and noise_key is not None
        outputs = control_loop(
            self.controller.weights(self.generator, factors_kernel),
            LoopState(self.controller.start, initial, initial @ factors_kernel),
            LoopInputs(
                self.controller.gates(_dropped(encoded, dropout_rate, key=encoded_key)),
                generator_drive[0],
                jax.random.normal(noise_key, noise_shape) if is_drawn else jnp.zeros(noise_shape),
                _mask(dropout_rate, (time, self.config.factors), key=factors_key),
                generator_drive[1],
            ),
            backward=self.config.backward,
        )
        mean, log_variance = jnp.split(outputs.posterior, 2, axis=-1)
        return (
            outputs.latents,
            outputs.factors,
            Posterior(mean, jnp.exp(log_variance), outputs.inferred_inputs),
        )

    def _divergence(
        self, inferred: Posterior | None, is_counted: Bool[Array, " time"]
    ) -> dict[str, Float[Array, ""]]:
        """The objective's term of the inferred inputs, where they have a posterior and a prior."""
        if self.controller is None or not self.is_sampled or isinstance(self.controller.prior, NoPrior):
            return {}
        divergence = self.controller.prior.divergence(*inferred)
        return {"kl_inputs": jnp.sum(jnp.where(is_counted[:, None], divergence, 0.0))}


def _sizes(config: LFADS, encoder_inputs: int, drive: int) -> ControllerSizes:
    return ControllerSizes(
        encoder_inputs,
        config.input_encoder,
        config.controller,
        config.factors,
        config.inferred_inputs,
        drive,
    )


def _keys(number: int, *, key: Key[Array, ""] | None) -> Sequence[Key[Array, ""] | None]:
    """So many keys, or as many times none."""
    return [None] * number if key is None else list(jax.random.split(key, number))


def _mask(rate: Array | None, shape: tuple[int, ...], *, key: Key[Array, ""] | None) -> Array:
    return jnp.ones(shape) if rate is None else dropout_mask(rate, shape, key=key)


def _dropped(values: Array, rate: Array | None, *, key: Key[Array, ""] | None) -> Array:
    return values if rate is None else values * dropout_mask(rate, values.shape, key=key)


def _half_mean_square(kernels: tuple[Array, ...]) -> Float[Array, ""]:
    return 0.5 * sum(jnp.sum(kernel**2) for kernel in kernels) / sum(kernel.size for kernel in kernels)
