"""What a recipe says about a search."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from undertow.components.configuration import Configuration
from undertow.models.base import Range

Values = tuple[bool | int | float | str, ...]

HIDDEN = 0.3
"""The share of entries that validation hides in a search: one for all members, so that their scores can be compared."""


class Search(Configuration):
    """How a population is tuned. Durations are in epochs; the published AutoLFADS has 20 members and 25 epochs a generation."""

    section: ClassVar[str] = "search"

    algorithm: Literal["population", "random", "single"] = Field(
        "population",
        description="'population' is population-based training; 'random' draws once and trains to training.epochs; 'single' is "
        "one fit of the recipe itself",
    )
    members: int = Field(20, ge=1, description="Models trained side by side")
    epochs: int = Field(25, ge=1, description="Epochs of a generation")
    burn_in: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto", description="Epochs before the first generation counts; 'auto' waits for the ramps"
    )
    generations: int = Field(50, ge=1, description="At most so many generations")
    patience: int = Field(
        4, ge=1, description="Stop when the best score gained too little over so many generations"
    )
    tolerance: float = Field(5e-4, ge=0, description="The relative gain that is too little")
    cool_down: int = Field(
        25, ge=0, description="Epochs after the last generation in which every learning rate falls to 0"
    )
    at_once: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="Members side by side on a device; 'auto' measures whether side by side or one after another is faster, and "
        "notes it in the run's recipe, for results differ in their last digits",
    )
    ensemble: int = Field(1, ge=1, description="Average the rates of so many of the best members")
    default_space: bool = Field(default=True, description="Also move what the model's own space names")
    space: dict[str, Annotated[Values | Range, Field(union_mode="left_to_right")]] = Field(
        default_factory=dict,
        description="What moves, by key: a range, or a list of values; a list for a size trains a group for each",
    )
    hold: tuple[str, ...] = Field((), description="Keys of the model's space that stay at the recipe's value")
