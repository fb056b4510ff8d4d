"""The space of a search on the command line: KEY=LOW:HIGH[:log], KEY=VALUE,VALUE or KEY=fixed."""

from collections.abc import Iterable
from typing import Any

from undertow.experiments.recipe import value_of
from undertow.models.base import ModelConfig
from undertow.vocabulary import UndertowError

EXAMPLES = "write KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=VALUE,VALUE or KEY=fixed, e.g. optimiser.learning_rate=1e-4:1e-2:log"


def with_space(section: dict[str, Any], settings: Iterable[str], model: type[ModelConfig]) -> dict[str, Any]:
    """The recipe's section `search` with these settings added; a range keeps the step of the model's own range of that key.

    Raises:
        UndertowError: a setting that is not of one of the forms.
    """
    space, hold = dict(section.get("space", {})), list(section.get("hold", ()))
    for setting in settings:
        key, equals, where = (part.strip() for part in setting.partition("="))
        if not equals or not key or not where:
            raise UndertowError(f"The space '{setting}' is not understood; {EXAMPLES}.")
        space.pop(key, None)
        if where == "fixed":
            hold += [key] if key in model.space else []
        elif ":" in where:
            space[key] = _range(setting, where.split(":"), model.space.get(key))
        else:
            space[key] = [value_of(part.strip()) for part in where.split(",")]
    return {**section, "space": space, "hold": sorted(set(hold))}


def _range(setting: str, parts: list[str], own) -> dict[str, Any]:
    """A range as a document, with the model's step where it has one."""
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError as error:
        raise UndertowError(f"The space '{setting}' holds no two numbers; {EXAMPLES}.") from error
    if parts[2:] not in ([], ["log"]):
        raise UndertowError(f"The space '{setting}' ends on '{':'.join(parts[2:])}'; {EXAMPLES}.")
    is_log = bool(parts[2:]) or (own is not None and own.prior == "log_uniform" and low > 0)
    inherited = {} if own is None else {"step": own.step}
    return {"low": low, "high": high, "prior": "log_uniform" if is_log else "uniform", **inherited}
