"""GNOCCHI: a diffusion model of the activity of whole trials, told a code that holds what there is to know of each.

The model (McCart et al. 2024, arXiv 2407.21195; Wang et al. 2023, InfoDiffusion, arXiv 2306.08757), for counts k (time, neuron)::

    x_0 = (smooth(k) - mean) / sd                      activity; components/activity.py
    c   = encoder(x_0)                                 the trial's code, one vector; components/code.py
    x_i = alpha_i x_0 + sigma_i eps                    noised, at a random level i; components/noise_levels.py
    answer(x_i, angle_i, c)                            the denoiser: eps, x_0 or the velocity; components/unet.py

trained, encoder and denoiser together, on the weighted error of the answer (at pure noise about counts that are not smoothed, so
that their mean is that of the rates, and weighed by the variance that smoothing would leave them) plus, in units of its mean over
the entries of a trial,

    w_d MMD(codes of the batch, draws of the prior)    "code_discrepancy"; components/discrepancy.py
    w_k |KL(q(c) || N(0, 1)) - capacity|               "kl_code", of Gaussian codes
    w_f error of x_0 at the first level, / T           "first_step", if asked
    w_p error of a diffusion of the codes themselves   "code_prior", if asked; sends nothing to the codes

With InfoDiffusion's (zeta, lambda): w_k = 1 - zeta and w_d = lambda + zeta - 1. So zeta = 1 is the model of the paper (a
deterministic code and the discrepancy), zeta = lambda = 0 with a deterministic code DiffAE, whose codes are free, no code a plain
diffusion, and one level of noise a variational autoencoder: an InfoVAE, or where lambda = 1 - zeta, so that no discrepancy is
weighed, a beta-VAE. (The authors name lambda = 0 for that, in another form of their objective.)

The denoiser is three parts, each by configuration: a direct way from the code to the trial's course
(components/code_course.py), and, of what that leaves over, a filter of each neuron by itself (components/level_filter.py) and the
network.

Published are the three losses, one code a trial, smoothed activity and the name; backbone, sizes, schedule, kernel and weights
are our choices, measured in benchmarks/RESULTS.md. A sample of temperature 1 is smoothed activity as it is recorded,
with the noise of spikes in it, and spikes drawn from it are noisy twice; at temperature 0 it is the mean of all activity of this
code, which the denoiser says of pure noise in one step. That is the default where counts are drawn, and what an estimate is: it
follows what the code knows of a trial, not its every bin.
"""

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from pydantic import Field, model_validator

from undertow.components import noise_levels
from undertow.components.activity import Activity, Transform, kernel, measured
from undertow.components.attention import sinusoids
from undertow.components.code import CodeEncoder, ConvolutionStack, EncoderKind, RecurrentStack
from undertow.components.code_course import CodeCourse
from undertow.components.code_priors import CODE_PRIORS, CodePriorKind, LearnedPrior, check_prior
from undertow.components.conditioning import CodeEmbedding, Conditions, LevelEmbedding
from undertow.components.corruption import Corrupted
from undertow.components.diffusion import (
    LEAST_SIGNAL,
    Sampler,
    SamplerKind,
    Target,
    Weighting,
    cleaned,
    error_weight,
    invert,
    question,
    sample,
)
from undertow.components.diffusion_transformer import DiffusionTransformer
from undertow.components.discrepancy import DiscrepancyKind, discrepancy_row
from undertow.components.level_filter import LevelFilter
from undertow.components.linear import Linear
from undertow.components.noise_levels import ScheduleKind, Spacing, at_angle
from undertow.components.observations import OBSERVATIONS, SMALLEST_MEAN, Observation
from undertow.components.priors import Posterior
from undertow.components.unet import UNet, UNetSizes
from undertow.models.base import TRIALS, Coded, DataSummary, Model, ModelConfig, Range, through_last
from undertow.vocabulary import UndertowError

LATENT_LAYERS, LATENT_WIDTH, LATENT_STEPS = 4, 128, 50
POSITIONS = 16
"""Channels that tell a bin's place in the trial: sines and cosines of periods from 6 bins to 20,000."""


class Gnocchi(ModelConfig):
    """The choices of GNOCCHI; sizes are numbers of units, widths of smoothing numbers of bins."""

    section: ClassVar[str] = "gnocchi"
    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "encoder": ("encoder",),
        "denoiser": (
            "denoiser",
            "level_embedding",
            "code_embedding",
            "level_filter",
            "code_course",
            "readout",
        ),
        "code_prior": ("learned_prior",),
    }
    weights: ClassVar[dict[str, float]] = {
        "code_discrepancy": 0.1,
        "kl_code": 0.0,
        "first_step": 1.0,
        "code_prior": 1.0,
    }
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "corruption": {"coordinated_dropout": 0.0},
        "objective": {"kl_ramp": 0, "penalty_ramp": 0},
        "optimiser": {
            "learning_rate": 2e-3,
            "weight_decay": 1e-2,
            "warm_up": 100,
            "averaging": 0.999,
            "max_gradient_norm": 1e4,
        },
        "training": {"batch_size": 32, "select_on": "all"},
        "inference": {"samples": 1},
    }
    space: ClassVar[dict[str, Range]] = {
        "optimiser.learning_rate": Range(low=1e-4, high=5e-3, prior="log_uniform", step=0.3),
        "optimiser.weight_decay": Range(low=1e-5, high=1e-1, prior="log_uniform", step=0.8),
        "gnocchi.dropout_rate": Range(low=0.0, high=0.4, step=0.3),
        "gnocchi.code_dropout": Range(low=0.0, high=0.3, step=0.3),
        "objective.weights.code_discrepancy": Range(low=1e-3, high=1.0, prior="log_uniform", step=0.8),
    }

    code: int = Field(8, ge=0, description="Dimensions of a trial's code; 0 for a diffusion without codes")
    code_kind: Literal["deterministic", "gaussian"] = Field(
        "deterministic", description="Whether a code has a posterior, as the KL needs it"
    )
    code_prior: CodePriorKind = Field("normal", description="What codes are drawn towards")
    discrepancy: DiscrepancyKind = Field(
        "imq", description="Kernel of the discrepancy; 'infovae' as published"
    )
    kl_capacity: float = Field(0.0, ge=0, description="Nats of a trial's code that cost nothing")
    zeta: Literal["off"] | float = Field(
        "off",
        description="InfoDiffusion's weight of the information; with lam it sets both weights of the code",
    )
    lam: Literal["off"] | float = Field("off", description="InfoDiffusion's lambda; goes with zeta")
    learned_prior: bool = Field(default=True, description="Train a diffusion of codes, to sample codes from")
    reconstructs_first: bool = Field(
        default=False,
        description="Add the error of the data at the first level, on a pass of its own",
    )
    encoder: EncoderKind = "gru"
    encoder_width: int = Field(64, ge=1, description="Channels of the encoder")
    encoder_blocks: int = Field(3, ge=1, description="Residual blocks of the encoder")
    denoiser: Literal["unet", "transformer"] = "unet"
    width: int = Field(64, ge=2, description="Channels at the denoiser's first resolution, or of a token")
    depth: int = Field(2, ge=1, description="Resolutions of the U-Net, or layers of the transformer")
    blocks: int = Field(1, ge=1, description="Residual blocks at each resolution, down and up")
    taps: int = Field(3, ge=1, description="Bins of a convolution; odd")
    heads: int = Field(4, ge=1, description="Heads of attention")
    course: int = Field(
        64,
        ge=0,
        description="Units of a direct way from code and bin to activity; needs positions; 0: none",
    )
    filters: bool = Field(
        default=True, description="Add a filter over time of each neuron by itself to the denoiser's answer"
    )
    code_at: Literal["everywhere", "bottleneck"] = Field(
        "everywhere", description="Blocks that are told the code"
    )
    positions: bool = Field(
        default=True,
        description="Tell the denoiser how far into the trial a bin is; false where trials have no common time",
    )
    smoothing: float = Field(
        1.0, ge=0, description="Standard deviation of the Gaussian that smooths counts, in bins"
    )
    transform: Transform = Field(
        "identity", description="'sqrt' of the smoothed counts evens out their variance"
    )
    levels: int = Field(1000, ge=1, description="Levels of noise in training")
    from_noise: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the trials noised to the last level, where all must come from the code",
    )
    schedule: ScheduleKind = "cosine"
    zero_terminal: bool = Field(default=True, description="Whether the last level is pure noise")
    target: Target = Field("velocity", description="What the denoiser answers")
    weighting: Weighting = Field("even", description="How errors at different levels weigh")
    dropout_rate: float = Field(0.1, ge=0, lt=1, description="Dropout within the denoiser")
    code_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of the trials whose code is not told: for guidance and two phases"
    )
    sampler: SamplerKind = "dpm"
    steps: int = Field(32, ge=1, description="Steps of the sampler; a temperature of 0 needs but one")
    spacing: Spacing = Field("angle", description="How the sampler's levels are spaced")
    eta: float = Field(0.0, ge=0, le=1, description="Share of fresh noise at each step (ddim)")
    matched: bool = Field(default=True, description="Put back the variance that few steps lose (ddim, ddpm)")
    guidance: float = Field(1.0, ge=0, description="How far answers go beyond those without a code; 1: not")
    temperature: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        "auto",
        description="Factor of the noise in samples: at 1 activity as recorded, at 0 the mean of all activity of the code; "
        "'auto' is 0 where counts are drawn from it, 1 otherwise",
    )
    two_phase: float = Field(
        0.0, ge=0, le=1, description="Share of the steps, the noisiest, that are not told the code"
    )
    observation: Literal["poisson", "gaussian"] = Field(
        "poisson", description="How counts scatter around the rates; 'gaussian' for real-valued activity"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "Gnocchi":
        if self.code:
            check_prior(self.code_prior, self.code)
        if self.taps % 2 == 0:
            raise UndertowError(f"gnocchi.taps={self.taps} has no middle bin; take an odd number.")
        if (self.zeta == "off") != (self.lam == "off"):
            raise UndertowError(
                "gnocchi.zeta and gnocchi.lam set the weights together; give both, or neither."
            )
        needs_posterior = self.zeta != "off" and self.zeta < 1 and self.code_kind != "gaussian"
        if needs_posterior and (self.zeta, self.lam) != (0.0, 0.0):
            raise UndertowError(
                f"gnocchi.zeta={self.zeta:g} weighs a KL, and a deterministic code has none; set gnocchi.code_kind=gaussian, or "
                "zeta=1."
            )
        is_free = self.code_kind == "deterministic" and (self.zeta, self.lam) == (0.0, 0.0)
        if self.zeta != "off" and self.lam + self.zeta < 1 - 1e-9 and not is_free:
            weight = self.lam + self.zeta - 1
            raise UndertowError(
                f"gnocchi.zeta={self.zeta:g} and gnocchi.lam={self.lam:g} weigh the discrepancy of codes by {weight:g}, and "
                "codes would be driven away from their prior; take lam of 1 - zeta or more."
            )
        if self.target == "noise" and (self.zero_terminal or self.levels == 1):
            raise UndertowError(
                "From pure noise the answer 'noise' says nothing of the data; set gnocchi.target to 'velocity' or 'data', or "
                "gnocchi.zero_terminal=false with more than one level."
            )
        if self.denoiser == "transformer" and self.width % (2 * self.heads):
            raise UndertowError(
                f"A token of gnocchi.width={self.width} can't be shared out among gnocchi.heads={self.heads} in pairs; take a "
                f"multiple of {2 * self.heads}."
            )
        return self

    def settings(self) -> dict[str, float]:
        """What training hands over at every step."""
        return {"dropout_rate": self.dropout_rate, "code_dropout": self.code_dropout}

    def term_weights(self) -> dict[str, float]:
        """The weights, by zeta and lambda where they are given: (1 - zeta) of the KL, (lambda + zeta - 1) of the discrepancy.

        zeta = lambda = 0 with a deterministic code is DiffAE, whose codes are free.
        """
        weights = super().term_weights()
        if self.zeta == "off":
            return weights
        if self.code_kind == "deterministic":
            return {**weights, "code_discrepancy": max(self.lam + self.zeta - 1, 0.0)}
        return {**weights, "kl_code": 1 - self.zeta, "code_discrepancy": self.lam + self.zeta - 1}

    def warmth(self) -> float:
        """The temperature: noise of activity is noise of counts, left to these where they are drawn; a code tells the rest."""
        if self.temperature != "auto":
            return self.temperature
        return 0.0 if self.code and self.observation == "poisson" and self.two_phase == 0 else 1.0

    def has_pure_noise(self) -> bool:
        """Whether nothing of the data is left at the last level."""
        return bool(np.cos(self.angles()[-1]) < LEAST_SIGNAL)

    def measure(self, counts: np.ndarray, around: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread of the smoothed activity of training trials."""
        return measured(counts, self.smoothing, self.transform, around)

    def visited(self) -> np.ndarray:
        """The angles that the sampler goes through, (step + 1)."""
        return noise_levels.visited(self.angles(), self.steps, self.spacing)

    def angles(self) -> np.ndarray:
        """The angle of every level of training."""
        return noise_levels.angles(self.schedule, self.levels, zero_terminal=self.zero_terminal)

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> "GnocchiModel":
        """The model at the start of training, for data of this shape."""
        return GnocchiModel(self, data, key=key)


class Told(NamedTuple):
    """What a pass of the denoiser is given besides the noised activity and the level."""

    code: Float[Array, " code_dimension"] | None
    is_told: Bool[Array, ""]
    inputs: Float[Array, "time input"]
    is_there: Bool[Array, " time"]


class GnocchiModel(Model):
    """The model of this module's head."""

    validates_by_one_draw: ClassVar[bool] = True

    config: Gnocchi = eqx.field(static=True)
    activity: Activity
    encoder: CodeEncoder | None
    level_embedding: LevelEmbedding
    code_embedding: CodeEmbedding | None
    denoiser: UNet | DiffusionTransformer
    level_filter: LevelFilter | None
    code_course: CodeCourse | None
    readout: Linear
    learned_prior: LearnedPrior | None
    observation: Observation

    def __init__(self, config: Gnocchi, data: DataSummary, *, key: Key[Array, ""]):
        encoder_key, level_key, code_key, denoiser_key, readout_key, prior_key = jax.random.split(key, 6)
        self.config = config
        self.activity = _activity(config, data)
        self.observation = OBSERVATIONS[config.observation](data.neurons)
        features = 4 * config.width
        self.level_embedding = LevelEmbedding(config.width, features, key=level_key)
        has_code = config.code > 0
        self.encoder = _encoder(config, data, key=encoder_key) if has_code else None
        self.code_embedding = CodeEmbedding(config.code, features, key=code_key) if has_code else None
        units = config.course if has_code and config.positions else 0
        channels = data.neurons + data.inputs + (POSITIONS if config.positions else 0) + units
        self.denoiser = _denoiser(config, channels, features, key=denoiser_key)
        filter_key = jax.random.fold_in(denoiser_key, 1)
        self.level_filter = LevelFilter(data.neurons, features, key=filter_key) if config.filters else None
        course_key = jax.random.fold_in(denoiser_key, 2)
        self.code_course = (
            CodeCourse(config.code, POSITIONS, units, data.neurons, key=course_key) if units else None
        )
        readout = Linear(self.denoiser.width, data.neurons, key=readout_key)
        self.readout = eqx.tree_at(lambda linear: linear.kernel, readout, 0.1 * readout.kernel)
        is_learned = has_code and config.learned_prior
        self.learned_prior = (
            LearnedPrior(config.code, LATENT_WIDTH, LATENT_LAYERS, key=prior_key) if is_learned else None
        )

    @property
    def is_sampled(self) -> bool:
        """Gaussian codes are drawn; all else of an estimate follows from the trial."""
        return self.config.code > 0 and self.config.code_kind == "gaussian"

    def for_surroundings(self, around: Float[Array, "around neuron"]) -> "GnocchiModel":
        """The same model, whose smoothing reaches beyond the trial."""
        return eqx.tree_at(
            lambda model: model.activity.around, self, around, is_leaf=lambda leaf: leaf is None
        )

    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """The denoiser's weighted squared error, summed over what counts, and what the code costs."""
        level_key, noise_key, code_key, told_key, network_key, prior_key, first_key = jax.random.split(key, 7)
        is_counted = corrupted.weight > 0
        clean = self.activity.of(corrupted.target, is_counted)
        is_there = through_last(is_counted | jnp.isfinite(corrupted.seen))
        posterior = self._posterior(corrupted.seen, key=code_key)
        is_told = jax.random.uniform(told_key) >= settings["code_dropout"]
        told = Told(None if posterior is None else posterior.sample, is_told, inputs, is_there)
        chosen = jax.random.uniform(level_key)

        def error(angle, clean, weight, noise, pass_key):
            level, target = at_angle(angle), self.config.target
            noised = level.noised(clean, noise)
            answer = self._answer(noised, angle, told, settings["dropout_rate"], key=pass_key)
            missed = (answer - question(target, clean, noise, level)) ** 2
            return weight(level) * jnp.sum(jnp.where(is_counted, corrupted.weight * missed, 0.0))

        noise = jax.random.normal(noise_key, clean.shape)
        angles = jnp.asarray(self.config.angles(), jnp.float32)
        share = chosen / (1 - self.config.from_noise)  # of 1 or more: the last level
        place = jnp.minimum((share * len(angles)).astype(jnp.int32), len(angles) - 1)
        is_pure = (place == len(angles) - 1) & self.config.has_pure_noise()
        aim = jnp.where(is_pure, self.activity.unsmoothed(corrupted.target, is_counted), clean)
        evening = jnp.where(is_pure, self.activity.evenness(), 1.0)
        weighting = lambda level: evening * error_weight(self.config.target, self.config.weighting, level)  # noqa: E731
        terms = {"reconstruction": error(angles[place], aim, weighting, noise, network_key)}
        if self.config.reconstructs_first:
            fresh_key, pass_key = jax.random.split(first_key)
            noise = jax.random.normal(fresh_key, clean.shape)
            terms["first_step"] = error(angles[0], clean, self._of_data, noise, pass_key) / len(angles)
        if posterior is None:
            return terms
        entries = jax.lax.pmean(jnp.sum(corrupted.weight), TRIALS)
        of_code = self._code_terms(posterior, chosen, key=prior_key)
        return terms | {name: entries * value for name, value in of_code.items()}

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """None."""
        return self.observation.penalties()

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,
    ) -> dict[str, Array]:
        """Rates (expected counts a bin) by the trial's code, without noise, and the code; without a key its mean."""
        posterior = self._posterior(seen, key=key)
        code = None if posterior is None else posterior.sample
        is_there = jnp.ones(seen.shape[0], bool)
        rates = self._expected(code, inputs, is_there)
        return {"rates": rates} if code is None else {"rates": rates, "code": code}

    def streaming(self) -> str:
        """There is none."""
        return "it draws whole trials and has no causal form; fit a causal lfads or ndt"

    def coded(self) -> Coded:
        """Codes in, activity out; activity alone where there is no code."""
        is_noisy = self.config.warmth() > 0
        if self.encoder is None:
            return Coded(0, None, self._generated, lambda *, key: jnp.zeros(0), None, has_noise=is_noisy)  # noqa: ARG005
        return Coded(
            self.config.code,
            self._mean_code,
            self._generated,
            self._drawn_code,
            self._start_of
            if self.config.levels > 1
            else None,  # one level is pure noise, and says nothing of a trial
            has_noise=is_noisy,
        )

    def _posterior(
        self, seen: Float[Array, "time neuron"], *, key: Key[Array, ""] | None
    ) -> Posterior | None:
        if self.encoder is None:
            return None
        is_seen = jnp.isfinite(seen)
        return self.encoder(self.activity.of(seen, is_seen), through_last(is_seen), key=key)

    def _mean_code(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],  # noqa: ARG002 - every model with codes answers the same call
    ) -> Float[Array, " code_dimension"]:
        return self._posterior(seen, key=None).mean

    def _drawn_code(self, *, key: Key[Array, ""]) -> Float[Array, " code_dimension"]:
        if self.learned_prior is None:
            return CODE_PRIORS[self.config.code_prior](self.config.code, key=key)
        schedule = noise_levels.angles("cosine", 1000, zero_terminal=True)
        angles = jnp.asarray(noise_levels.visited(schedule, LATENT_STEPS, "angle"), jnp.float32)
        return self.learned_prior.draw(Sampler("dpm"), angles, key=key)

    def _generated(
        self,
        code: Float[Array, " code_dimension"] | None,
        inputs: Float[Array, "time input"],
        is_there: Bool[Array, " time"],
        start: Float[Array, "time neuron"],
        *,
        key: Key[Array, ""] | None,
    ) -> Float[Array, "time neuron"]:
        """Rates from a code and from noise to start from; without a key by DDIM, which `_start_of` undoes."""
        config, sampler = self.config, Sampler("ddim", matched=False)
        if key is not None:
            if config.warmth() == 0:
                return self._expected(code, inputs, is_there)
            sampler = Sampler(config.sampler, config.eta, config.matched, config.warmth())
            start = config.warmth() * start
        angles = jnp.asarray(config.visited(), jnp.float32)
        standard = sample(sampler, self._cleaning(code, inputs, is_there), start, angles, key=key)
        return self.activity.rates(standard, SMALLEST_MEAN)

    def _expected(
        self, code: Float[Array, " code_dimension"] | None, inputs: Array, is_there: Bool[Array, " time"]
    ) -> Float[Array, "time neuron"]:
        """Rates of the mean activity of all trials of a code.

        That is what the denoiser says of pure noise, where it is trained on counts as they are. The end of a path from no noise
        is rather the likeliest activity: of rare spikes, none. It is taken only where no level is pure noise.
        """
        angles = jnp.asarray(self.config.visited(), jnp.float32)
        start = jnp.zeros((is_there.shape[0], self.activity.mean.shape[0]))
        clean = self._cleaning(code, inputs, is_there)
        if self.config.has_pure_noise():
            standard = clean(start, angles[0]).data
        else:
            standard = sample(Sampler("ddim", matched=False), clean, start, angles)
        return self.activity.rates(standard, SMALLEST_MEAN)

    def _start_of(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        code: Float[Array, " code_dimension"],
    ) -> Float[Array, "time neuron"]:
        """The noise from which `_generated` without a key makes this trial's own activity."""
        is_seen = jnp.isfinite(seen)
        clean = self.activity.of(seen, is_seen)
        angles = jnp.asarray(self.config.visited(), jnp.float32)
        return invert(self._cleaning(code, inputs, jnp.ones(seen.shape[0], bool)), clean, angles)

    def _cleaning(self, code: Array | None, inputs: Array, is_there: Array):
        """The denoiser as samplers use it: with guidance, and told the code only in the second phase."""
        config, yes = self.config, jnp.array(True)  # noqa: FBT003
        first_told = jnp.cos(jnp.pi / 2 * config.two_phase)

        def network(noised, angle):
            def answer(is_told):
                told = Told(code, is_told, inputs, is_there)
                return self._answer(noised, angle, told, None, key=jax.random.key(0))

            now = yes if config.two_phase == 0 else jnp.sin(angle) <= first_told
            if not config.code or config.guidance == 1:
                return answer(now)
            untold = answer(~yes)
            return untold + jnp.where(now, config.guidance, 0.0) * (answer(yes) - untold)

        return cleaned(config.target, network)

    def _answer(
        self,
        noised: Float[Array, "time neuron"],
        angle: Float[Array, ""],
        told: Told,
        dropout: Array | None,
        *,
        key: Key[Array, ""],
    ) -> Float[Array, "time neuron"]:
        code = None if self.code_embedding is None else self.code_embedding(told.code, told.is_told)
        conditions, level = Conditions(self.level_embedding(angle), code), at_angle(angle)
        known = jnp.where(jnp.isfinite(told.inputs), told.inputs, 0.0)
        places = sinusoids(jnp.arange(len(noised)), POSITIONS)
        shown, added = [places] if self.config.positions else [], []
        if self.code_course is not None:
            units, course = self.code_course(told.code, told.is_told, places)
            shown, added = (
                [*shown, units],
                [question(self.config.target, course, jnp.zeros_like(course), level)],
            )
            noised = noised - level.alpha * course
        if self.level_filter is not None:
            added.append(self.level_filter(noised, conditions.level, told.is_there))
        channels = jnp.concatenate([noised, known, *shown], axis=1)
        features = self.denoiser(channels, conditions, told.is_there, dropout, key=key)
        return sum(added, self.readout(features))

    def _of_data(self, level) -> Array:
        """What turns the answer's squared error into that of the data."""
        factors = {"data": 1.0, "velocity": level.sigma**2, "noise": (level.sigma / level.alpha) ** 2}
        return factors[self.config.target] * jnp.ones(())

    def _code_terms(
        self, posterior: Posterior, chosen: Array, *, key: Key[Array, ""]
    ) -> dict[str, Float[Array, ""]]:
        """What a trial's code costs: a row of the batch's discrepancy, its KL, and the error of the prior that is learned."""
        config = self.config
        draw_key, latent_key = jax.random.split(key)
        draw = CODE_PRIORS[config.code_prior](config.code, key=draw_key)
        codes, draws = (jax.lax.all_gather(part, TRIALS) for part in (posterior.mean, draw))
        own = jax.lax.axis_index(TRIALS)
        terms = {"code_discrepancy": discrepancy_row(config.discrepancy, codes, draws, own)}
        if config.code_kind == "gaussian":
            mean, variance, _ = posterior
            divergence = 0.5 * jnp.sum(variance + mean**2 - 1 - jnp.log(variance))
            terms["kl_code"] = jnp.abs(divergence - config.kl_capacity)
        if self.learned_prior is not None:
            angle = (jnp.pi / 2) * jnp.mod(chosen + 0.5, 1.0)
            terms["code_prior"] = self.learned_prior.error(posterior.mean, angle, key=latent_key)
        return terms


def _activity(config: Gnocchi, data: DataSummary) -> Activity:
    """Standardised by what was measured; by the counts' own mean and variance where nothing was."""
    mean, scale = data.measured or (data.mean, jnp.sqrt(data.variance))
    if not data.measured and config.transform == "sqrt":
        mean, scale = jnp.sqrt(mean), scale / (2 * jnp.sqrt(jnp.maximum(mean, SMALLEST_MEAN)))
    return Activity(
        jnp.asarray(mean, jnp.float32),
        jnp.maximum(jnp.asarray(scale, jnp.float32), 1e-3),
        kernel(config.smoothing),
        config.transform,
        config.observation == "gaussian",
    )


def _encoder(config: Gnocchi, data: DataSummary, *, key: Key[Array, ""]) -> CodeEncoder:
    stack_key, code_key = jax.random.split(key)
    if config.encoder == "gru":
        stack = RecurrentStack(data.neurons, config.encoder_width, key=stack_key)
    else:
        stack = ConvolutionStack(
            data.neurons, config.encoder_width, config.encoder_blocks, config.taps, key=stack_key
        )
    return CodeEncoder(stack, config.code, is_gaussian=config.code_kind == "gaussian", key=code_key)


def _denoiser(
    config: Gnocchi, channels: int, features: int, *, key: Key[Array, ""]
) -> UNet | DiffusionTransformer:
    if config.denoiser == "transformer":
        return DiffusionTransformer(channels, config.width, config.depth, config.heads, features, key=key)
    sizes = UNetSizes(
        config.width,
        config.depth,
        config.blocks,
        config.taps,
        config.heads,
        features,
        config.code_at == "everywhere",
    )
    return UNet(channels, sizes, key=key)
