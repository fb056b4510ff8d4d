"""When a search does what: the epochs of each generation, the cool-down, and what training must know of both."""

import math
from itertools import pairwise
from typing import NamedTuple

from undertow.components.configuration import Configuration
from undertow.search.settings import HIDDEN, Search
from undertow.training.loop import Choices


class Timetable(NamedTuple):
    """Lengths in epochs: of the first generation (burn-in included), of the others, of the last, and of the cool-down."""

    first: int
    other: int
    last: int
    generations: int
    cool_down: int

    @property
    def epochs(self) -> int:
        """At most so many in all."""
        between = self.other * max(self.generations - 2, 0) + (self.last if self.generations > 1 else 0)
        return self.first + between + self.cool_down

    def length_of(self, generation: int) -> int:
        """Epochs of a generation, the first being number 0."""
        if generation == 0:
            return self.first
        return self.last if generation == self.generations - 1 else self.other


def timetable(search: Search, choices: Choices) -> Timetable:
    """The timetable of these choices. Random search and single fits train to training.epochs and have no cool-down."""
    if search.algorithm != "population":
        epochs = choices.training.epochs
        generations = math.ceil(epochs / search.epochs)
        last = epochs - search.epochs * (generations - 1)
        return Timetable(min(search.epochs, epochs), search.epochs, last, generations, 0)
    burn_in = choices.objective.ramps_end if search.burn_in == "auto" else search.burn_in
    first = burn_in + search.epochs
    cool_down = 0 if choices.optimiser.schedule == "cosine" else search.cool_down
    return Timetable(first, search.epochs, search.epochs, search.generations, cool_down)


def for_members(search: Search, choices: Choices) -> Choices:
    """The choices that every member shares: what the recipe leaves open takes what suits a search.

    In population-based training the learning rate is constant within a generation, and `training.epochs` is the timetable's; in
    every search validation hides the same share of entries for all members. A single fit stays as it is.
    """
    if search.algorithm == "single":
        return choices
    training, optimiser = choices.training, choices.optimiser
    if training.validation_dropout == "auto":
        training = _changed(training, validation_dropout=HIDDEN)
    if search.algorithm == "population":
        if "schedule" not in optimiser.model_fields_set:
            optimiser = _changed(optimiser, schedule="constant")
        with_schedule = choices._replace(optimiser=optimiser)
        training = _changed(training, epochs=timetable(search, with_schedule).epochs)
    return choices._replace(training=training, optimiser=optimiser)


def cooling(cool_down: int) -> list[float]:
    """By what the learning rate is multiplied before each epoch of the cool-down: together half a cosine down to nearly 0."""
    levels = [
        1.0,
        *(0.5 * (1 + math.cos(math.pi * (epoch + 1) / (cool_down + 1))) for epoch in range(cool_down)),
    ]
    return [after / before for before, after in pairwise(levels)]


def _changed(configuration: Configuration, **values) -> Configuration:
    """The configuration with these values, remembering which keys were given."""
    explicit = {name: getattr(configuration, name) for name in configuration.model_fields_set}
    return type(configuration)(**{**explicit, **values})
