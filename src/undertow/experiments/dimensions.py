"""How many latent dimensions? One fit for each size, validation scores and cycle consistency against size, and a recommendation.

Every fit is a run in a folder of its own (`size-05`, of a further seed `size-05-seed-1`), so that the same call goes on where
it was stopped, and the recommended run is there to be used. `dimensions.json` and `dimensions.html` beside them hold what came
out.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from undertow.data import store
from undertow.experiments import recipe as recipes
from undertow.experiments.dimension_record import record
from undertow.experiments.dimension_scores import measure
from undertow.experiments.fitting import environment, fit, prepare
from undertow.experiments.material import fingerprint, material
from undertow.experiments.pipeline import remember_source
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import EVERY_MODEL, Recipe
from undertow.files import write_bytes
from undertow.models.base import ModelConfig
from undertow.report import dimensions_page
from undertow.training import loop
from undertow.vocabulary import UndertowError, check_trials

NAME, PAGE = "dimensions.json", "dimensions.html"


class Dimensions(NamedTuple):
    """The answer: the `recommended` size (None where no size does better than constant rates) and `why`; `told` is what
    dimensions.json in the `folder` holds.
    """

    recommended: int | None
    why: str
    told: dict[str, Any]
    folder: Path


def latent_dimensions(
    trials: xr.Dataset,
    sizes: Sequence[int],
    *,
    model: str | ModelConfig | Recipe = "autoencoder",
    out: str | Path,
    seeds: Sequence[int] = (),
    source: Path | None = None,
    quiet: bool = False,
) -> Dimensions:
    """Fit a model at several latent sizes and recommend one, or go on if `out` holds a part of it.

    Args:
        trials: with training trials and at least two validation trials; test trials take no part.
        sizes: numbers of latents, at least two.
        model: a name, a model's choices, or a whole recipe; the size that it names does not matter.
        out: the folder of all fits.
        seeds: each size is fitted once with each of them; with the recipe's alone if none is given.
        source: the file that the trials are from; they are stored in `out` without one.
        quiet: show no progress.

    Raises:
        UndertowError: a model without latent size, fewer than two sizes or validation trials, or a folder that holds something
            else.
    """
    recipe, folder, listener = _recipe_of(model), Path(out), Listener(is_quiet=quiet)
    plan = _planned(recipe, sizes, seeds)
    _check(recipe, trials)
    facts = {"seed": recipe.seed, "trials_fingerprint": fingerprint(trials), **environment()}
    prepare(folder, recipe, facts)
    source = source if source is not None and source.suffix == ".nc" else _stored(trials, folder)
    fits = []
    for name, (size, of_size) in plan.items():
        listener.say(f"{name}: fit {len(fits) + 1} of {len(plan)} ...")
        fitted = fit(of_size, trials, out=folder / name, quiet=quiet)
        remember_source(fitted, trials, source)
        fits.append(measure(fitted, trials, size, field_of(recipe)))
    told = {**record(fits, recipe, trials), "provenance": facts}
    write_bytes(folder / NAME, json.dumps(told, indent=1).encode())
    dimensions_page.write(folder / PAGE, told)
    return Dimensions(told["recommended"], told["why"], told, folder)


def field_of(recipe: Recipe) -> str:
    """The key of the recipe's model that sets the dimension of its latent space.

    Raises:
        UndertowError: the model has none.
    """
    if recipe.model.size is None:
        known = [f"'{name}'" for name, config in EVERY_MODEL.items() if config.size is not None]
        raise UndertowError(
            f"The model '{recipe.model.section}' has no latent space of a size that could be chosen; take {' or '.join(known)}."
        )
    return recipe.model.size


def _recipe_of(model: str | ModelConfig | Recipe) -> Recipe:
    if isinstance(model, str):
        return recipes.from_document({"model": model})
    return (model if isinstance(model, Recipe) else recipes.of(model))._replace(search=None)


def _planned(recipe: Recipe, sizes: Sequence[int], seeds: Sequence[int]) -> dict[str, tuple[int, Recipe]]:
    """The recipes of all fits by the names of their folders, in rising order of size."""
    field, rising = field_of(recipe), sorted(set(sizes))
    if len(rising) < 2:
        raise UndertowError(
            f"Sizes are compared with each other, but {rising} is all there is; give two or more."
        )
    if min(seeds, default=0) < 0:
        raise UndertowError(f"The seed {min(seeds)} can't be used; take whole numbers of zero or more.")
    plan = {}
    for size in rising:
        model = type(recipe.model)(**{**recipe.model.model_dump(), field: size})
        for seed in dict.fromkeys(seeds or (recipe.seed,)):
            name = f"size-{size:02}" + (f"-seed-{seed}" if seed != recipe.seed else "")
            plan[name] = (size, recipe._replace(model=model, seed=seed))
    return plan


def _check(recipe: Recipe, trials: xr.Dataset) -> None:
    """Whatever would stop the first fit, before a folder is made."""
    valid = int((check_trials(trials).split.values.astype(str) == "valid").sum())
    if valid < 2:
        raise UndertowError(
            f"Sizes are compared over validation trials, but of {trials.sizes['trial']} trials {valid} "
            f"{'is' if valid == 1 else 'are'} for validation; assign at least two, for example with --valid 0.2."
        )
    given = material(recipe, trials)
    loop.check(recipe.choices, given.corruption, given.data[0], given.opening)


def _stored(trials: xr.Dataset, folder: Path) -> Path:
    path = folder / "trials.nc"
    if not path.exists():
        store.save(trials, path)
    return path
