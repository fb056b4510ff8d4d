"""Commands that need no recording: demo, simulate."""

import inspect
from pathlib import Path
from typing import Any

from undertow.data import store
from undertow.data.simulate import SYSTEMS
from undertow.experiments import cache, recipe
from undertow.experiments.commands.asked import Common
from undertow.experiments.commands.sources import size_of
from undertow.experiments.demo import demo
from undertow.experiments.progress import Listener
from undertow.vocabulary import UndertowError, closest


def run_demo(out: Path, common: Common) -> dict[str, Any]:
    """The scores of the demo."""
    cache.switch_on()
    return demo(out, seed=common.seed or 0, listener=Listener(is_quiet=common.quiet))


def run_simulate(system: str, out: Path, settings: tuple[str, ...], common: Common) -> str:
    """Write a simulated recording; a sentence about it."""
    if system not in SYSTEMS:
        raise UndertowError(f"There is no system '{system}'; {closest(system, SYSTEMS)}")
    arguments = recipe.with_settings({}, settings)
    known = inspect.signature(SYSTEMS[system]).parameters
    for name in arguments:
        if name not in known:
            raise UndertowError(f"The system '{system}' has no setting '{name}'; {closest(name, known)}")
    if common.seed is not None:
        arguments["seed"] = common.seed
    simulated = SYSTEMS[system](**arguments)
    store.save(simulated, out)
    return f"Wrote {size_of(simulated)} of the system '{system}', with its true rates, to {out}."
