"""From a recipe and trials to a fitted model in a folder of its own; the same call goes on with a run that was interrupted."""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from undertow.components.corruption import Corruption
from undertow.components.masking import Masking
from undertow.components.observations import OBSERVATIONS, SUPPORTS
from undertow.data.batches import TrialArrays, training_arrays
from undertow.experiments import recipe as recipes
from undertow.experiments.conditions import conditions_of, numbers_of
from undertow.experiments.fitted import Fitted, Session, open_run
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe
from undertow.files import write_bytes
from undertow.models.base import DirectConfig, FitData, ModelConfig
from undertow.training import loop
from undertow.training.hyperparameters import CorruptionConfig, masked_as
from undertow.vocabulary import UndertowError, check_trials

PACKAGES = ("undertow", "jax", "equinox", "optax", "numpy", "xarray")


def fit(
    model: ModelConfig | Recipe,
    trials: xr.Dataset,
    *,
    out: str | Path,
    quiet: bool = False,
    listen: Callable[[loop.Progress], None] | None = None,
    **sections: Any,
) -> Fitted:
    """Fit a model to trials, or go on with the run in `out` if it was interrupted.

    Args:
        model: a model's choices, such as `LFADS(factors=20)`, or a whole recipe.
        trials: with training and validation trials.
        out: the run's folder.
        quiet: show no progress.
        listen: called after each epoch, in place of the progress that is shown otherwise.
        **sections: `training`, `optimiser`, `objective`, `corruption`, `inference` configurations and `seed`, in place of the
            recipe's.

    Returns:
        The fitted model with the weights of the best epoch.

    Raises:
        UndertowError: trials that the model cannot explain, choices that contradict each other, a folder that holds another run
            or can't be written.
    """
    recipe = (model if isinstance(model, Recipe) else recipes.of(model))._replace(**sections, search=None)
    trials, folder = check_trials(trials), Path(out)
    check_support(recipe.model.observation, trials)
    data, corruption = training_arrays(trials), concealed(recipe, trials)
    loop.check(recipe.choices, corruption, data[0])
    provenance = {"seed": recipe.seed, "trials_fingerprint": fingerprint(trials), **environment()}
    if prepare(folder, recipe, provenance):
        return open_run(folder)
    if isinstance(recipe.model, DirectConfig):
        fitted = _fitted_directly(recipe, trials, data[0], folder, quiet=quiet)
        fitted.save()
        return fitted
    with Listener(is_quiet=quiet).training() as shown:
        if loop.is_begun(folder):
            shown.say(f"Going on with the run in {folder}.")
        result = loop.fit(
            recipe.choices, data, corruption, folder, seed=recipe.seed, listen=listen or shown.listen
        )
    fitted = Fitted(folder, recipe, result.state.best_model, Session.of(trials), _outcome(folder, result))
    fitted.save()
    return fitted


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


def fingerprint(trials: xr.Dataset) -> str:
    """A short name for exactly these data: counts, inputs, splits and what is held out."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("counts", "inputs", "held_out", "forward"):
        if name in trials.variables:
            digest.update(np.ascontiguousarray(trials[name].values).tobytes())
    digest.update("".join(trials.split.values.astype(str)).encode())
    return digest.hexdigest()


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


def check_support(observation: str, trials: xr.Dataset) -> None:
    """Raise an `UndertowError` that names the first count which the observation model cannot explain."""
    words, is_inside = SUPPORTS[OBSERVATIONS[observation](1).support]
    for trial in range(trials.sizes["trial"]):
        counts = trials.counts[trial].values
        is_outside = np.isfinite(counts) & ~is_inside(np.where(np.isfinite(counts), counts, 1.0))
        if is_outside.any():
            time, neuron = np.argwhere(is_outside)[0]
            raise UndertowError(
                f"Trial {trial}, bin {time}, neuron {trials.neuron.values[neuron]} holds {counts[time, neuron]:g}, but the "
                f"observation '{observation}' explains {words} only; mend the counts or choose another observation with --set "
                "MODEL.observation=..."
            )


def concealed(recipe: Recipe, trials: xr.Dataset) -> Corruption:
    """What training conceals and corrupts in these trials: what the recipe asks for, or what its search moves."""
    moving = recipe.search.space if recipe.search is not None else {}
    kinds = tuple(dict.fromkeys((*recipe.corruption.masks, *moving.get("corruption.masks", ()))))

    def is_on(name: str) -> bool:
        return getattr(recipe.corruption, name) > 0 or f"corruption.{name}" in moving

    corruption = recipe.corruption.model_copy(update={"masks": kinds})
    return Corruption(
        jnp.asarray(trials.held_out.values),
        jnp.asarray(trials.forward.values),
        masking_of(corruption, trials) if is_on("mask_rate") else None,
        moves_spikes=is_on("jitter") or is_on("shift"),
    )


def masking_of(corruption: CorruptionConfig, trials: xr.Dataset) -> Masking:
    """The masks of these choices, with the regions of the trials' neurons where they need them.

    Raises:
        UndertowError: masks by region where the trials name no regions, or one only.
    """
    asks, column = [kind for kind in corruption.masks if "region" in kind], corruption.region
    plain = Masking(jnp.zeros(trials.sizes["neuron"], jnp.int32), 1, corruption.masks)
    if not asks:
        return masked_as(corruption, plain)
    if column not in trials.coords or trials[column].dims != ("neuron",):
        known = [str(name) for name, of in trials.coords.items() if of.dims == ("neuron",)]
        raise UndertowError(
            f"The masks '{asks[0]}' need each neuron's region, but these trials have no unit column '{column}' "
            f"(corruption.region); they have {', '.join(known)}."
        )
    names, region = np.unique(trials[column].values.astype(str), return_inverse=True)
    if len(names) < 2:
        raise UndertowError(
            f"The masks '{asks[0]}' hide one region at a time, but all neurons lie in '{names[0]}'; take other corruption.masks."
        )
    return masked_as(corruption, Masking(jnp.asarray(region, jnp.int32), len(names), corruption.masks))


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
