"""NDT, the Neural Data Transformer: every bin is a token, and attention across bins stands where LFADS has recurrence.

The model (Ye and Pandarinath 2021, arXiv 2108.01210), for counts k (time, neuron) of which training masks a share::

    x_t = sqrt(D) E(k_t) + p_t              token of width D: `embedding`, `positions`
    x   = L layers of attention and a feed-forward network, across the bins in `context`      components/attention.py
    f_t = norm(x_t) [F]                     latents; with `factors` a low-dimensional read-out of them
    k_t ~ observation(W f_t + b)            for Poisson the read-out is the log-rate

trained on the likelihood of what was hidden (and of held-out neurons and forward bins): by masks (`corruption.mask_rate`, as
published) or by coordinated dropout, the default, which also scales up what is left. There is no sampling and no other term. A
bin sees the bins from t - context_backward to t + context_forward in each layer, itself included; with `causal=True` none after
its own, and `streaming` gives the same one bin at a time, from the keys and values of the bins before.

The published model is the recipe `ndt/published`. Beyond it, all switchable: rotary and relative positions, a mark for what was
not observed, known inputs, a low-dimensional read-out, and the spatial stream of STNDT (Le and Shlizerman 2022).
"""

from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import Field, model_validator

from undertow.components.attention import (
    Cache,
    Layer,
    LayerNorm,
    LayerSizes,
    Moment,
    Norm,
    Positions,
    allowed_pairs,
    sinusoids,
    turned_on,
    turns,
)
from undertow.components.corruption import Corrupted, hashed_dropout
from undertow.components.embeddings import EMBEDDINGS, Embedding, EmbeddingKind, LinearEmbedding
from undertow.components.linear import Linear
from undertow.components.observations import OBSERVATIONS, Observation, ObservationKind
from undertow.components.readouts import Readout
from undertow.models.base import (
    DataSummary,
    Model,
    ModelConfig,
    Range,
    Streaming,
    reconstruction,
    through_last,
)
from undertow.vocabulary import UndertowError

LINEAR_WIDTH = 64
FIXUP = 0.67
READOUT_BOUND = 0.1
POSITION_SPREAD = 0.02


class NDT(ModelConfig):
    """The choices of the Neural Data Transformer; sizes are numbers of units, contexts numbers of bins."""

    section: ClassVar[str] = "ndt"
    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "read_in": ("embedding",),
        "layers": ("known", "place", "layers", "norm"),
        "factors": ("to_factors",),
        "readout": ("readout", "observation"),
    }
    weights: ClassVar[dict[str, float]] = {}
    defaults: ClassVar[dict[str, dict]] = {
        "optimiser": {
            "learning_rate": 3e-3,
            "weight_decay": 0.1,
            "warm_up": 200,
            "schedule": "constant",
            "averaging": 0.995,
        },
        "objective": {"kl_ramp": 0, "penalty_ramp": 0},
    }
    space: ClassVar[dict[str, Range]] = {  # the published random search
        "optimiser.learning_rate": Range(low=1e-5, high=5e-3),
        "optimiser.weight_decay": Range(low=1e-8, high=1e-3, prior="log_uniform"),
        "ndt.dropout_rate": Range(low=0.2, high=0.7),
        "ndt.embedding_dropout_rate": Range(low=0.2, high=0.7),
        "ndt.readout_dropout_rate": Range(low=0.2, high=0.7),
        "corruption.mask_rate": Range(low=0.1, high=0.4),
        "corruption.mask_token": Range(low=0.5, high=1.0, prior="log_uniform"),
        "corruption.mask_random": Range(low=0.6, high=1.0),
    }

    layers: int = Field(4, ge=1, description="Layers of attention and feed-forward network")
    heads: int = Field(2, ge=1, description="Heads of attention")
    embedding: EmbeddingKind = "linear"
    width: int = Field(
        0,
        ge=0,
        description="Units of a token (per_count: of each neuron's part); 0 for 64 (linear), one a neuron (identity, spatial), "
        "as many for each neuron as heads (per_count)",
    )
    feed_forward: int = Field(128, ge=1, description="Hidden units of the feed-forward network")
    positions: Positions = "rotary"
    norm: Norm = "before"
    initial_scale: Literal["published", "plain"] = Field(
        "published", description="'published' makes the first steps small: 0.67 layers^(-1/4)"
    )
    context_backward: int = Field(-1, ge=-1, description="Bins that each bin looks back; -1 for all")
    context_forward: int = Field(-1, ge=-1, description="Bins that each bin looks ahead; -1 for all")
    causal: bool = Field(default=False, description="No bin sees a later one, whatever context_forward says")
    factors: int = Field(20, ge=0, description="Low-dimensional read-out before the rates; 0 for none")
    observation: ObservationKind = "poisson"
    spatial: bool = Field(
        default=False, description="Attention across neurons, too (STNDT); reads whole trials"
    )
    dropout_rate: float = Field(0.1, ge=0, lt=1, description="Dropout within the layers")
    embedding_dropout_rate: float = Field(0.05, ge=0, lt=1, description="Dropout of the tokens")
    readout_dropout_rate: float = Field(0.0, ge=0, lt=1, description="Dropout before the read-out")

    @model_validator(mode="after")
    def _is_possible(self) -> "NDT":
        if self.spatial and (self.causal or self.width or self.embedding == "per_count"):
            raise UndertowError(
                "The spatial stream of ndt reads whole trials and needs a channel for each neuron; set ndt.causal=false, "
                "ndt.width=0 and ndt.embedding to 'linear' or 'identity', or ndt.spatial=false."
            )
        if self.embedding == "linear" and self.width % self.heads:
            raise UndertowError(
                f"A token of ndt.width={self.width} can't be shared out among ndt.heads={self.heads}; take a multiple."
            )
        return self

    def settings(self) -> dict[str, float]:
        """What training hands over at every step."""
        return {name: getattr(self, name) for name in Dropout._fields}

    def for_sessions(self) -> "NDT":
        """With a linear embedding, whose rows are each session's read-in."""
        if self.embedding != "linear" or self.spatial:
            raise UndertowError(
                f"ndt.embedding='{self.embedding}' with ndt.spatial={str(self.spatial).lower()} gives every neuron a place of "
                "its own and can't be shared by several sessions; set ndt.embedding=linear and ndt.spatial=false."
            )
        return self

    def build(self, data: DataSummary, *, key: Key[Array, ""]) -> "NDTModel":
        """The transformer at the start of training, for data of this shape."""
        return NDTModel(self, data, key=key)


class Dropout(NamedTuple):
    """The rates of dropout in each place."""

    dropout_rate: Array
    embedding_dropout_rate: Array
    readout_dropout_rate: Array


class Pass(NamedTuple):
    """What one pass over one trial yields; the factors are the latents where there is no read-out of their own."""

    parameters: Float[Array, "time neuron parameter"]
    factors: Float[Array, "time factor"]
    latents: Float[Array, "time latent"]


def _as_fed(embedding: LinearEmbedding, data: DataSummary) -> LinearEmbedding:
    """The embedding of several sessions, scaled for the neurons that one trial has, not for all."""
    scale = (data.neurons / data.fan_in) ** 0.5
    return eqx.tree_at(lambda one: one.kernel, embedding, embedding.kernel * scale)


class StreamState(NamedTuple):
    """What passes from bin to bin: when the next bin is, and each layer's cache."""

    next: Moment
    caches: tuple[Cache, ...]


class NDTModel(Model):
    """The model of this module's head."""

    is_sampled: ClassVar[bool] = False
    neuron_axes: ClassVar[dict[str, int]] = {
        "embedding.kernel": 0,
        "embedding.unobserved": 0,
        "readout.kernel": 1,
        "readout.bias": 0,
        "observation": 0,
    }

    config: NDT = eqx.field(static=True)
    longest: int = eqx.field(static=True)
    embedding: Embedding
    known: Linear | None
    place: Float[Array, "bin width"] | None
    layers: tuple[Layer, ...]
    norm: LayerNorm
    to_factors: Linear | None
    readout: Readout
    observation: Observation

    def __init__(self, config: NDT, data: DataSummary, *, key: Key[Array, ""]):
        embedding_key, known_key, place_key, factors_key, readout_key, layers_key = jax.random.split(key, 6)
        self.config, self.longest = config, data.bins
        make = EMBEDDINGS[config.embedding]
        has_own_width = config.embedding == "linear" and not config.spatial and not config.width
        asked = LINEAR_WIDTH if has_own_width else config.width
        embedding, width = make(data.neurons, asked, config.heads, key=embedding_key)
        self.embedding = _as_fed(embedding, data) if data.seen else embedding
        self.known = Linear(data.inputs, width, key=known_key) if data.inputs else None
        has_places = config.positions == "learned"
        self.place = (
            POSITION_SPREAD * jax.random.normal(place_key, (data.bins, width)) if has_places else None
        )
        scale = FIXUP * config.layers**-0.25 if config.initial_scale == "published" else 1.0
        sizes = LayerSizes(width, config.feed_forward, config.heads, data.bins if config.spatial else 0)
        self.layers = tuple(
            Layer(sizes, config.positions, config.norm, scale=scale, key=layer_key)
            for layer_key in jax.random.split(layers_key, config.layers)
        )
        self.norm = LayerNorm(width)
        self.to_factors = Linear(width, config.factors, key=factors_key) if config.factors else None
        self.observation = OBSERVATIONS[config.observation](data.neurons)
        self.readout = Readout(
            config.factors or width,
            self.observation.start(data.mean, data.variance),
            bound=None if config.factors else READOUT_BOUND,
            key=readout_key,
        )

    def terms(
        self,
        corrupted: Corrupted,
        inputs: Float[Array, "time input"],
        settings: dict[str, Array],
        *,
        key: Key[Array, ""],
    ) -> dict[str, Float[Array, ""]]:
        """The reconstruction of what counts, in nats: what was masked, held out or is to be forecast."""
        passed = self._run(corrupted.seen, inputs, Dropout(**settings), key=key)
        return {"reconstruction": reconstruction(self.observation, passed.parameters, corrupted)}

    def penalties(self) -> dict[str, Float[Array, ""]]:
        """The observation's."""
        return self.observation.penalties()

    def estimate(
        self,
        seen: Float[Array, "time neuron"],
        inputs: Float[Array, "time input"],
        *,
        key: Key[Array, ""] | None,  # noqa: ARG002 - every model answers the same call
    ) -> dict[str, Array]:
        """Rates (expected counts a bin), latents, and factors where the choices ask for them; nothing is drawn."""
        return self._named(self._run(seen, inputs, None, key=jax.random.key(0)))

    def streaming(self) -> Streaming | str:
        """One bin at a time, from each layer's keys and values of the bins before."""
        if not self.config.causal:
            also = " and ndt.spatial=false" if self.config.spatial else ""
            return f"set ndt.causal=true{also} and fit again"
        bins = self.config.context_backward + 1 if self.config.context_backward >= 0 else self.longest
        is_endless = self.config.context_backward >= 0 and self.place is None

        def begin(first: Array, known: Array) -> tuple[StreamState, dict[str, Array]]:
            tokens = self._tokens(first, known, jnp.arange(0))
            return self._empty(bins), self._named(self._read(tokens, None, key=None))

        return Streaming(begin, self._advance, 0, None if is_endless else self.longest)

    def _run(self, seen: Array, inputs: Array, dropout: Dropout | None, *, key: Key[Array, ""]) -> Pass:
        """One pass over one trial; without rates nothing is dropped."""
        embedding_key, readout_key, *layer_keys = jax.random.split(key, 2 + len(self.layers))
        time, rate = seen.shape[0], None if dropout is None else dropout.dropout_rate
        self._check_length(time)
        is_seen = through_last(jnp.isfinite(seen))
        tokens = self._tokens(seen, inputs, jnp.arange(time))
        if dropout is not None:
            tokens = tokens * hashed_dropout(dropout.embedding_dropout_rate, tokens.shape, key=embedding_key)
        allowed = self._allowed(is_seen)
        for layer, layer_key in zip(self.layers, layer_keys, strict=True):
            tokens = layer(tokens, allowed, is_seen, rate, key=layer_key)
        return self._read(tokens, None if dropout is None else dropout.readout_dropout_rate, key=readout_key)

    def _tokens(self, seen: Array, inputs: Array, bins: Int[Array, " time"]) -> Array:
        """The tokens of these bins, with their positions where tokens hold them."""
        tokens = self.embedding(seen)
        if self.known is not None:
            tokens = tokens + self.known(jnp.where(jnp.isfinite(inputs), inputs, 0.0))
        tokens = tokens * tokens.shape[-1] ** 0.5
        if self.place is not None:
            return tokens + self.place[bins]
        return tokens + sinusoids(bins, tokens.shape[-1]) if self.config.positions == "sinusoidal" else tokens

    def _allowed(self, is_seen: Bool[Array, " time"]) -> Bool[Array, "time time"]:
        ahead = 0 if self.config.causal else self.config.context_forward
        return allowed_pairs(is_seen, self.config.context_backward, ahead)

    def _read(self, tokens: Array, dropout: Array | None, *, key: Key[Array, ""] | None) -> Pass:
        """From the last layer to the observation's parameters."""
        latents = self.norm(tokens)
        factors = latents if self.to_factors is None else self.to_factors(latents)
        kept = factors if dropout is None else factors * hashed_dropout(dropout, factors.shape, key=key)
        return Pass(self.readout(kept), factors, latents)

    def _named(self, passed: Pass) -> dict[str, Array]:
        estimate = {"rates": self.observation.mean(passed.parameters), "latents": passed.latents}
        return estimate if self.to_factors is None else {**estimate, "factors": passed.factors}

    def _check_length(self, time: int) -> None:
        """Learned positions and the spatial stream know no bin beyond the longest trial of training."""
        if time > self.longest and (self.place is not None or self.config.spatial):
            what = "table of positions" if self.place is not None else "spatial stream"
            raise UndertowError(
                f"A trial has {time} bins, but this ndt was fitted to trials of up to {self.longest}, and its {what} knows no "
                "more; cut the trials with `--chop`, or fit with ndt.positions=rotary and ndt.spatial=false."
            )

    def _empty(self, bins: int) -> StreamState:
        caches = tuple(layer.attention.empty(bins) for layer in self.layers)
        return StreamState(Moment(jnp.int32(0), turns(caches[0].keys.shape[-1], 0)), caches)

    def _advance(
        self, state: StreamState, counts: Float[Array, " neuron"], inputs: Float[Array, " input"]
    ) -> tuple[StreamState, dict[str, Array]]:
        now, caches = state.next, []
        token = self._tokens(counts[None], inputs[None], now.bin[None])[0]
        for layer, cache in zip(self.layers, state.caches, strict=True):
            cache, token = layer.advance(cache, token, now)
            caches.append(cache)
        later = Moment(now.bin + 1, turned_on(now.turn, turns(caches[0].keys.shape[-1])))
        estimate = self._named(self._read(token[None], None, key=None))
        return StreamState(later, tuple(caches)), {name: value[0] for name, value in estimate.items()}
