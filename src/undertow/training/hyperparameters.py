"""What a search may move: every number of training that is not a shape, as array leaves of one pytree."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array
from pydantic import Field, field_validator

from undertow.components.configuration import Configuration
from undertow.components.corruption import CorruptionRates
from undertow.components.masking import Masking, MaskKind, Token
from undertow.models.base import ModelConfig
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser


class CorruptionConfig(Configuration):
    """How training corrupts trials; all rates are shares of entries."""

    section: ClassVar[str] = "corruption"

    coordinated_dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of seen entries dropped, and learned from"
    )
    pass_rate: float = Field(0.0, ge=0, le=1, description="Share of kept entries that pass gradient as well")
    sample_validation: float = Field(
        0.0, ge=0, lt=1, description="Share of entries never trained on, for the selection score"
    )
    jitter: int = Field(0, ge=0, description="Each entry's counts move by up to this many bins")
    shift: float = Field(
        0.0, ge=0, description="Standard deviation in bins of a shift of each neuron as a whole"
    )
    masks: tuple[MaskKind, ...] = Field(
        ("bins",), min_length=1, description="What masks hide; of several kinds each trial draws one"
    )
    mask_rate: float = Field(
        0.0, ge=0, le=0.95, description="Share that masks hide, and that is learned from"
    )
    mask_as: Token = Field(
        "zero", description="The token in place of what is hidden: a zero, or not observed"
    )
    mask_token: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of what is hidden that becomes the token; 1 never teaches what is seen",
    )
    mask_random: float = Field(
        0.5, ge=0, le=1, description="Share of the remainder that becomes a random count; the rest stays"
    )
    longest_span: int = Field(1, ge=1, description="Widest span of bins that masks hide at a time")
    span_probability: float = Field(
        1.0, ge=0, le=1, description="Share of trials whose masks are spans, after the ramp"
    )
    span_start: int = Field(0, ge=0, description="Update at which spans begin to appear")
    span_ramp: int = Field(0, ge=0, description="Updates over which their share rises")
    region: str = Field(
        "location", description="Column of the unit table that holds each neuron's region, for masks"
    )
    concealed_weight: float = Field(
        1.0, ge=0, description="Weight in the loss of held-out neurons and forward bins; 1 for all others"
    )

    @field_validator("masks", mode="before")
    @classmethod
    def _one_or_several(cls, masks: Any) -> Any:
        return (masks,) if isinstance(masks, str) else masks


class Hyperparameters(NamedTuple):
    """The numbers of one member of a population."""

    learning_rate: Array
    weight_decay: Array
    corruption: CorruptionRates
    weights: dict[str, Array]
    model: dict[str, Array]


def hyperparameters(
    model: ModelConfig, optimiser: Optimiser, objective: Objective, corruption: CorruptionConfig
) -> Hyperparameters:
    """The numbers of these configurations as float32 arrays."""
    return Hyperparameters(
        learning_rate=jnp.float32(optimiser.learning_rate),
        weight_decay=jnp.float32(optimiser.weight_decay),
        corruption=CorruptionRates(
            *(jnp.float32(getattr(corruption, name)) for name in CorruptionRates._fields)
        ),
        weights={
            name: jnp.float32(value) for name, value in objective.weights_for(model.term_weights()).items()
        },
        model={name: jnp.float32(value) for name, value in model.settings().items()},
    )


def masked_as(config: CorruptionConfig, masking: Masking) -> Masking:
    """The masks that these choices name, over the regions that `masking` knows; members of a search may differ in them."""
    return dataclasses.replace(
        masking,
        kinds=config.masks,
        token=config.mask_as,
        longest_span=config.longest_span,
        span_start=config.span_start,
        span_ramp=config.span_ramp,
    )


def by_key(numbers: Hyperparameters, section: str) -> dict[str, Array]:
    """Every number under its key in a recipe; `section` is the model's."""
    return {
        "optimiser.learning_rate": numbers.learning_rate,
        "optimiser.weight_decay": numbers.weight_decay,
        **{f"corruption.{name}": value for name, value in numbers.corruption._asdict().items()},
        **{f"objective.weights.{name}": value for name, value in numbers.weights.items()},
        **{f"{section}.{name}": value for name, value in numbers.model.items()},
    }


def from_keys(values: dict[str, Array], section: str) -> Hyperparameters:
    """What `by_key` named, put together again."""

    def below(prefix: str) -> dict[str, Array]:
        return {
            key.removeprefix(f"{prefix}."): value
            for key, value in values.items()
            if key.startswith(f"{prefix}.")
        }

    return Hyperparameters(
        learning_rate=values["optimiser.learning_rate"],
        weight_decay=values["optimiser.weight_decay"],
        corruption=CorruptionRates(**below("corruption")),
        weights=below("objective.weights"),
        model=below(section),
    )
