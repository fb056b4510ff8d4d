"""A recipe: everything a run is told, defaults included, as one TOML file.

::

    model = "lfads"
    seed = 0
    [lfads]
    factors = 20
    [training]
    epochs = 500

A recipe file needs to hold only what differs from the defaults. Those that come with undertow are in recipes/.
"""

import tomllib
from collections import ChainMap
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import tomli_w
from pydantic import Field

from undertow.baselines import BASELINES
from undertow.components.configuration import Configuration
from undertow.models import MODELS
from undertow.models.base import ModelConfig
from undertow.search.settings import Search
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Choices, Training
from undertow.training.objective import Objective
from undertow.training.opening import Start
from undertow.training.optimiser import Optimiser
from undertow.vocabulary import UndertowError, closest

EVERY_MODEL: ChainMap[str, type[ModelConfig]] = ChainMap(MODELS, BASELINES)
"""Whatever can be fitted, by its name."""


class Inference(Configuration):
    """How estimates are made."""

    section: ClassVar[str] = "inference"

    samples: int = Field(50, ge=1, description="Posterior samples averaged for each trial")


SECTIONS = {
    configuration.section: configuration
    for configuration in (Training, Optimiser, Objective, CorruptionConfig, Inference, Start)
}


class Recipe(NamedTuple):
    """A model and how to train it; for a search also how to search."""

    model: ModelConfig
    training: Training = Training()
    optimiser: Optimiser = Optimiser()
    objective: Objective = Objective()
    corruption: CorruptionConfig = CorruptionConfig()
    inference: Inference = Inference()
    start: Start = Start()
    seed: int = 0
    search: Search | None = None

    @property
    def choices(self) -> Choices:
        """What training needs to know of it."""
        return Choices(self.model, self.training, self.optimiser, self.objective, self.corruption, self.start)

    def document(self) -> dict[str, Any]:
        """Plain nested values, defaults included; the section `search` where there is one."""
        sections = {name: getattr(self, name).model_dump() for name in SECTIONS}
        search = {} if self.search is None else {"search": self.search.model_dump()}
        return {
            "model": self.model.section,
            "seed": self.seed,
            self.model.section: self.model.model_dump(),
            **sections,
            **search,
        }


def of(model: ModelConfig) -> Recipe:
    """The recipe of a model and its own defaults for the other sections."""
    return Recipe(model, **{name: build(**model.defaults.get(name, {})) for name, build in SECTIONS.items()})


def from_document(document: dict[str, Any]) -> Recipe:
    """The recipe of plain nested values; what is not said takes its default.

    Raises:
        UndertowError: an unknown model, section or key (naming the closest), or a bad value.
    """
    model = document.get("model")
    if not isinstance(model, str) or model not in EVERY_MODEL:
        raise UndertowError(f"The recipe asks for the model '{model}'; {closest(str(model), EVERY_MODEL)}")
    known = ["model", "seed", model, *SECTIONS, "search"]
    for name, value in document.items():
        if name not in known:
            raise UndertowError(f"The recipe has no section or key '{name}'; {closest(name, known)}")
        if name not in ("model", "seed") and not isinstance(value, dict):
            raise UndertowError(
                f"The recipe's '{name}' is {value!r}, but is a section with keys of its own; write {name}.key=value."
            )
    seed = document.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UndertowError(f"The recipe's seed is {seed!r}, but must be a whole number of zero or more.")
    chosen = EVERY_MODEL[model](**document.get(model, {}))
    sections = {
        name: build(**{**chosen.defaults.get(name, {}), **document.get(name, {})})
        for name, build in SECTIONS.items()
    }
    search = Search(**document["search"]) if "search" in document else None
    return Recipe(model=chosen, seed=seed, search=search, **sections)


def read(path: str | Path) -> dict[str, Any]:
    """The document in a TOML file, or of a recipe that comes with undertow, by its name.

    Raises:
        UndertowError: no such file or recipe, or no TOML.
    """
    path = Path(path)
    if not path.exists() and path.suffix != ".toml":
        shipped = {
            file.relative_to(folder).with_suffix("").as_posix(): file
            for folder in _FOLDERS
            for file in sorted(folder.rglob("*.toml"))
        }
        if path.as_posix() not in shipped:
            raise UndertowError(f"There is no recipe '{path}'; {closest(str(path), shipped)}")
        path = shipped[path.as_posix()]
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UndertowError(f"The recipe '{path}' can't be read ({error}); give a TOML file.") from error


_FOLDERS = (Path(__file__).parents[1] / "recipes", Path(__file__).parents[3] / "recipes")


def with_settings(document: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The document with settings such as 'lfads.factors=20' in place of its own.

    Raises:
        UndertowError: a setting that is not of the form section.key=value.
    """
    result = deepcopy(document)
    for setting in settings:
        name, equals, value = setting.partition("=")
        *sections, key = name.strip().split(".")
        if not equals or not key:
            raise UndertowError(
                f"The setting '{setting}' is not understood; write section.key=value, e.g. lfads.factors=20."
            )
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise UndertowError(
                    f"The setting '{setting}' is not understood: '{section}' is a value and no section; write {section}=value."
                )
        target[key] = value_of(value.strip())
    return result


def to_toml(recipe: Recipe) -> str:
    """The whole recipe as TOML."""
    return tomli_w.dumps(recipe.document())


def value_of(text: str) -> Any:
    """A value as TOML has it; text that is no TOML value stays text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
