"""The base of every configuration: frozen, and an unknown key or a bad value is a sentence that names the remedy."""

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from undertow.vocabulary import UndertowError, closest


class Configuration(BaseModel):
    """A section of a recipe, under the name `section`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    section: ClassVar[str]

    @model_validator(mode="wrap")
    @classmethod
    def _speak_plainly(cls, values: Any, build: Callable[[Any], Any]) -> Any:
        """Turn pydantic's reports into one sentence about the first fault.

        Raises:
            UndertowError: an unknown key (naming the closest), or a value that the key does not take.
        """
        for name in values if isinstance(values, dict) else ():
            if name not in cls.model_fields:
                raise UndertowError(f"'{cls.section}' has no key '{name}'; {closest(name, cls.model_fields)}")
        try:
            return build(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([cls.section, *(str(part) for part in first["loc"])])
            raise UndertowError(f"'{where}' is {first['input']!r}, but: {first['msg']}.") from error
