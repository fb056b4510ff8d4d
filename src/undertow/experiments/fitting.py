"""From a recipe and trials to a fitted model in a folder of its own; the same call goes on with a run that was interrupted."""

import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from undertow.data.batches import TrialArrays
from undertow.experiments import alignment_file, looks
from undertow.experiments import recipe as recipes
from undertow.experiments.conditions import conditions_of, numbers_of
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.experiments.material import Material, given_sessions, material, refuse_direct
from undertow.experiments.opening_runs import open_run
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe
from undertow.experiments.run_folder import Session
from undertow.experiments.starting import recipe_of_run
from undertow.files import write_bytes
from undertow.models.base import DirectConfig, FitData, Model, ModelConfig
from undertow.training import loop
from undertow.training.opening import Start
from undertow.vocabulary import UndertowError

PACKAGES = ("undertow", "jax", "equinox", "optax", "numpy", "xarray")


def fit(
    model: ModelConfig | Recipe,
    trials: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    out: str | Path,
    quiet: bool = False,
    listen: Callable[[loop.Progress], None] | None = None,
    **sections: Any,
) -> Fitted | FittedSessions:
    """Fit a model to trials, or go on with the run in `out` if it was interrupted.

    Args:
        model: a model's choices, such as `LFADS(factors=20)`, or a whole recipe.
        trials: with training and validation trials; or those of several sessions by name, which then share the model and have
            read-ins and read-outs of their own.
        out: the run's folder.
        quiet: show no progress.
        listen: called after each epoch, in place of the progress that is shown otherwise.
        **sections: `training`, `optimiser`, `objective`, `corruption`, `inference`, `start` configurations and `seed`, in
            place of the recipe's.

    Returns:
        The fitted model with the weights of the best epoch; of several sessions a `FittedSessions`.

    Raises:
        UndertowError: trials that the model cannot explain, choices that contradict each other, a folder that holds another run
            or can't be written.
    """
    recipe = (model if isinstance(model, Recipe) else recipes.of(model))._replace(**sections, search=None)
    folder = Path(out)
    refuse_direct(recipe, given_sessions(trials))
    given = material(recipe, trials)
    recipe = given.recipe
    loop.check(recipe.choices, given.corruption, given.data[0], given.opening)
    if begin_folder(folder, given):
        return open_run(folder)
    if isinstance(recipe.model, DirectConfig):
        fitted = _fitted_directly(recipe, given.trials, given.data[0], folder, quiet=quiet)
        fitted.save()
        return fitted
    with Listener(is_quiet=quiet).training() as shown:
        if loop.is_begun(folder):
            shown.say(f"Going on with the run in {folder}.")
        for note in given.beginning.notes:
            shown.say(note)
        result = loop.fit(
            recipe.choices,
            given.data,
            given.corruption,
            folder,
            seed=recipe.seed,
            listen=listen or shown.listen,
            opening=given.opening,
        )
    fitted = fitted_to(given, folder, result.state.best_model, _outcome(folder, result))
    fitted.save()
    return fitted


def adapt(
    run: str | Path,
    trials: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    out: str | Path,
    train: Sequence[str] = (),
    new_session: bool = False,
    quiet: bool = False,
    **sections: Any,
) -> Fitted | FittedSessions:
    """Go on from a fitted run with other trials: sparse ones after dense ones, a new day, a session with other neurons.

    Args:
        run: the folder of the run whose weights training begins with; its recipe holds, too, where `sections` say nothing else.
        trials: of the run's neurons; with `new_session` of any neurons, in bins of the same width.
        out: the folder of the run that begins here.
        train: parts of the model that train, such as ("read_in", "readout"); all by default, or with `new_session` these two.
        new_session: only what all sessions share is taken from the run; read-in and read-out begin from chance.
        quiet: show no progress.
        **sections: as in `fit`.

    Raises:
        UndertowError: as `fit`; and a run that does not fit these trials.
    """
    start = Start(run=str(run), train=tuple(train), new_session=new_session)
    recipe = recipe_of_run(start)._replace(start=start)
    return fit(recipe, trials, out=out, quiet=quiet, **sections)


def fitted_to(
    given: Material,
    folder: Path,
    model: Model,
    outcome: dict[str, Any],
    recipe: Recipe | None = None,
    others: tuple[tuple[Recipe, Model], ...] = (),
) -> Fitted | FittedSessions:
    """What a fit to this material ends with; `recipe` in place of the material's."""
    sessions = tuple(Session.of(trials) for trials in given.sessions.values())
    recipe = recipe or given.recipe
    if len(sessions) == 1:
        return Fitted(folder, recipe, model, sessions[0], outcome, others)
    return FittedSessions(folder, recipe, model, sessions, outcome, others)


def begin_folder(folder: Path, given: Material) -> bool:
    """Begin the run's folder, or check that it is this same run; whether the run is finished already."""
    if prepare(folder, given.recipe, provenance_of(given)):
        return True
    if given.beginning.alignment is not None:
        alignment_file.write(folder, given.beginning.alignment)
    return False


def provenance_of(given: Material) -> dict[str, Any]:
    """What a run writes down of where it comes from before it begins."""
    began = {}
    if given.recipe.start.run:
        began = {"began_with": looks.fingerprint_of_files(Path(given.recipe.start.run))}
    return {
        "seed": given.recipe.seed,
        "trials_fingerprint": given.fingerprint,
        **began,
        **environment(),
    }


def _fitted_directly(
    recipe: Recipe, trials: xr.Dataset, train: TrialArrays, folder: Path, *, quiet: bool
) -> Fitted:
    """The fit of a model that needs no epochs; its recipe holds what was chosen."""
    session, began = Session.of(trials), time.monotonic()
    numbers = numbers_of(trials, conditions_of(trials))[train.number]
    flags = np.asarray(session.held_out, bool), trials.forward.values
    data = FitData(train.counts, *flags, session.bin_width, numbers, len(session.conditions))
    # Threads of BLAS wait for each other where others compute too: a Cholesky factor took a hundred times as long.
    with threadpool_limits(limits=1, user_api="blas"):
        config, model, chosen = recipe.model.fit(data, seed=recipe.seed, say=Listener(is_quiet=quiet).say)
    outcome = {
        "selected_on": chosen.pop("selected_on"),
        "selected_epoch": 0,
        "epochs": 0,
        "updates": 0,
        "seconds": time.monotonic() - began,
        "skipped_steps": 0,
        "chosen": chosen,
    }
    return Fitted(folder, recipe._replace(model=config), model, session, outcome)


def environment() -> dict[str, Any]:
    """Versions, device, command and time: what a reader needs to repeat the run."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "from source"
    device = jax.devices()[0]
    return {
        **versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": f"{device.platform} ({device.device_kind})",
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def prepare(folder: Path, recipe: Recipe, provenance: dict[str, Any]) -> bool:
    """Begin the run's folder, or check that it is this same run; whether the run is finished already."""
    if not (folder / "recipe.toml").exists():
        write_bytes(folder / "provenance.json", json.dumps(provenance, indent=1).encode())
        write_bytes(folder / "recipe.toml", recipes.to_toml(recipe).encode())
        return False
    before = recipes.from_document(recipes.read(folder / "recipe.toml")).document()
    differences = [
        f"{name} is {old!r} there and {new!r} here"
        for name, old, new in _pairs(before, recipe.document())
        if old != new
    ]
    trained_on = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["trials_fingerprint"]
    if trained_on != provenance["trials_fingerprint"]:
        differences.append(
            f"its trials have the fingerprint {trained_on}, these {provenance['trials_fingerprint']}"
        )
    if differences:
        raise UndertowError(
            f"The folder '{folder}' holds another run ({differences[0]}); choose another folder with --out, or remove that one."
        )
    return (folder / "config.json").exists()


def _pairs(before: dict, now: dict, prefix: str = ""):
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _pairs(old, new, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", old, new


def _outcome(folder: Path, result: loop.Result) -> dict[str, Any]:
    last = loop.journal.read(folder / "metrics.jsonl")[-1]
    return {
        "selected_on": result.selected_on,
        "selected_epoch": int(result.state.selection.best_epoch),
        "epochs": int(result.state.epoch),
        "updates": int(result.state.update),
        "seconds": last["seconds"],
        "skipped_steps": int(result.state.skipped),
    }
