"""From a recipe and trials to the best model of a population: AutoLFADS, random search, a single fit; resumable like any run."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.batches import TrialArrays
from undertow.experiments import recipe as recipes
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.experiments.fitting import begin_folder, fitted_to
from undertow.experiments.material import Material, concealed, material
from undertow.experiments.opening_runs import open_run
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe, read
from undertow.files import write_bytes
from undertow.models.base import DirectConfig, ModelConfig, Range
from undertow.search import loop as searching
from undertow.search.executor import Executor, InProcess, Work
from undertow.search.lineage import history_of, lineage
from undertow.search.members import Speed, probe
from undertow.search.population import begin, groups_of
from undertow.search.records import GENERATIONS, METRICS, Progress, Setup
from undertow.search.settings import Search
from undertow.search.space import resolve
from undertow.search.timetable import for_members
from undertow.training import journal, loop
from undertow.vocabulary import UndertowError

SPEED = Path("state") / "speed.json"
VALIDATION_SHARE = 0.4
"""What validating a batch takes of the time of training on it."""

PLAIN = (
    "This search selects on the plain likelihood of the validation trials, whose own spikes the model sees: it rewards copying "
    "spikes to rates and can prefer the worst models. Set training.validation_dropout above 0, use sample validation "
    "(corruption.sample_validation=0.2), or hold out neurons."
)


def search(
    model: ModelConfig | Recipe,
    trials: xr.Dataset | Mapping[str, xr.Dataset],
    *,
    out: str | Path,
    quiet: bool = False,
    ray: str | None = None,
    workers: int | None = None,
    listen: Callable[[Progress], None] | None = None,
    listener: Listener | None = None,
    **sections: Any,
) -> Fitted | FittedSessions:
    """Tune a model on trials by a population of members, or go on with the search in `out` if it was interrupted.

    Without further choices: population-based training of 20 members (AutoLFADS, Keshtkaran et al. 2022) over the model's space.
    A number that the recipe gives another value than the default stays at that value. Test trials take no part.

    Args:
        model: a model's choices, such as `LFADS(factors=20)`, or a whole recipe.
        trials: with training and validation trials.
        out: the run's folder.
        quiet: show no progress.
        ray: "auto", "local" or the address of a Ray cluster that trains the members; this process if not given.
        workers: at most so many of Ray's workers; one a GPU, or one a machine, if not given.
        listen: called as the population trains, in place of the progress that is shown otherwise.
        listener: who says sentences; one of its own if not given.
        **sections: `search`, `training`, `optimiser`, `objective`, `corruption`, `inference` configurations and `seed`, in place
            of the recipe's.

    Returns:
        The best model (or ensemble of the best), selected on validation trials.

    Raises:
        UndertowError: trials that the model cannot explain, choices that contradict each other, a folder that holds another run
            or can't be written, or a search in which every member broke down.
    """
    recipe = (model if isinstance(model, Recipe) else recipes.of(model))._replace(**sections)
    folder = Path(out)
    listener = listener or Listener(is_quiet=quiet)
    if isinstance(recipe.model, DirectConfig):
        name = recipe.model.section
        raise UndertowError(
            f"'{name}' tunes itself by cross-validation while it is fitted, so there is nothing to search for; use "
            f"undertow.fit, or `undertow fit {name}`."
        )
    given = material(recipe, trials)
    recipe = settled(given.recipe, given.data)
    given = given._replace(recipe=recipe, corruption=concealed(recipe, given.sessions))
    setup = _setup(given)
    loop.check(recipe.choices, setup.corruption, setup.data[0], setup.opening)
    # Contradictions of any member are found before anything is written.
    for group in groups_of(setup.search, setup.choices, setup.space, seed=setup.seed):
        loop.check(group.choices, setup.corruption, setup.data[0], setup.opening)
    speed = _speed(folder, setup)
    recipe, setup = _with_at_once(folder, recipe, setup, speed)
    if begin_folder(folder, given._replace(recipe=recipe)):
        return open_run(folder)
    if loop.rewards_copying(recipe.choices, setup.corruption):
        listener.say(f"Warning: {PLAIN}")
    if searching.is_begun(folder):
        listener.say(f"Going on with the search in {folder}.")
    for note in given.beginning.notes:
        listener.say(note)
    write_bytes(folder / SPEED, json.dumps(speed._asdict()).encode())
    listener.say(plan_of(setup, speed, is_remote=ray is not None))
    with listener.searching() as shown:
        outcome = searching.search(
            setup,
            _executor(ray, workers, listener),
            folder,
            at_once=setup.search.at_once,
            listen=listen or shown.listen_to_search,
        )
    fitted = _fitted(folder, recipe, given, setup, outcome)
    fitted.save()
    return fitted


def settled(recipe: Recipe, data: tuple[TrialArrays, TrialArrays]) -> Recipe:
    """The recipe with everything that a search decides by itself written out: its space, its timetable, its score."""
    asked = recipe.search or Search()
    if asked.ensemble > asked.members:
        raise UndertowError(
            f"The ensemble is to have {asked.ensemble} models, but the population only {asked.members} members; ask for fewer "
            "with --ensemble, or for more --members."
        )
    choices = for_members(asked, recipe.choices)
    if asked.default_space:
        asked = asked.model_copy(update={"hold": tuple(sorted({*asked.hold, *_given(recipe, asked)}))})
    entries = float(np.isfinite(data[0].counts).sum() / len(data[0].counts))
    space = resolve(asked, choices, loop.summarise(data[0]), entries=entries)
    written = asked.model_copy(update={"space": space, "hold": (), "default_space": False})
    return recipe._replace(search=written, training=choices.training, optimiser=choices.optimiser)


def plan_of(setup: Setup, speed: Speed, *, is_remote: bool = False) -> str:
    """What a search will do, and about how long it takes at most."""
    search, table = setup.search, setup.timetable
    kinds = {
        "population": f"Population-based training of {search.members} members, up to {table.generations} generations of "
        f"{search.epochs} epochs",
        "random": f"Random search: {search.members} members, {table.epochs} epochs each",
        "single": f"A single fit of {table.epochs} epochs",
    }
    moving = ", ".join(_place(key, where) for key, where in setup.space.items())
    plan = loop.plan_of(setup.choices, setup.corruption, setup.data[0])
    batches = plan.updates + VALIDATION_SHARE * np.ceil(len(setup.data[1].counts) / plan.batch_size)
    seconds = speed.update * batches * table.epochs * search.members
    way = "one after another" if search.at_once == 1 else f"up to {search.at_once} side by side"
    where = (
        "the members are shared among Ray's workers"
        if is_remote
        else f"members run {way} ({_measured(speed)}); at most about {_duration(seconds)} on this device"
    )
    early = ", fewer when they gain nothing more" if search.algorithm == "population" else ""
    return (
        f"{kinds[search.algorithm]}{early}. Moving: {moving or 'nothing'}. Selecting on "
        f"{loop.selected_on(setup.choices, setup.corruption)}. To begin with, {where}."
    )


def told(fitted: Fitted | FittedSessions) -> dict[str, Any] | None:
    """What the report says about a search: generations, the winner's lineage, ranges, what was selected; None for a fit."""
    if "search" not in fitted.outcome:
        return None
    facts = fitted.outcome["search"]
    generations = journal.read(fitted.folder / GENERATIONS)
    selected = facts["selected"]
    return {
        **facts,
        "generations": generations,
        "lineage": lineage(generations, selected["member"], selected["generation"]),
        "selected_on": fitted.outcome["selected_on"],
    }


def history(fitted: Fitted | FittedSessions) -> list[journal.Line]:
    """The lines of metrics.jsonl that led to the selected weights: all of a fit, the winner's lineage of a search."""
    lines, facts = journal.read(fitted.folder / METRICS), told(fitted)
    return lines if facts is None else history_of(lines, facts["generations"], facts["lineage"])


def _given(recipe: Recipe, asked: Search) -> set[str]:
    """Keys of the model's space to which the recipe gives another value than the default: they stay there."""
    default = type(recipe.model)()
    fresh = recipes.of(default).document()
    own, found = recipe.document(), set()
    for key in set(default.space) - set(asked.space):
        if _look_up(own, key) != _look_up(fresh, key):
            found.add(key)
    return found


def _look_up(document: dict, key: str):
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _setup(given: Material) -> Setup:
    recipe = given.recipe
    return Setup(
        recipe.search,
        recipe.choices,
        recipe.search.space,
        given.corruption,
        given.data,
        recipe.seed,
        given.opening,
    )


def _speed(folder: Path, setup: Setup) -> Speed:
    """How fast members are which way: measured when a search begins; a resumed one must go the same way."""
    path = folder / SPEED
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        seconds = {int(way): taken for way, taken in stored["seconds"].items()}
        return Speed(stored["at_once"], stored["update"], seconds)
    group = groups_of(setup.search, setup.choices, setup.space, seed=setup.seed)[0]
    began = begin(
        (group,), setup.space, setup.data[0], setup.timetable, seed=setup.seed, opening=setup.opening
    )
    states = began.groups[0]
    return probe(group.choices, setup.corruption, setup.data[0], states)


def _with_at_once(folder: Path, recipe: Recipe, setup: Setup, speed: Speed) -> tuple[Recipe, Setup]:
    """Both with the number of members side by side written out: as asked, else as the run began, else as measured."""
    at_once, begun = recipe.search.at_once, folder / "recipe.toml"
    if at_once == "auto":
        at_once = speed.at_once
        if begun.exists():
            at_once = read(begun).get("search", {}).get("at_once", at_once)
    search = recipe.search.model_copy(update={"at_once": at_once})
    return recipe._replace(search=search), setup._replace(search=search)


def _executor(ray: str | None, workers: int | None, listener: Listener) -> Callable[[Work], Executor]:
    if ray is None:
        return InProcess
    from undertow.search.ray_workers import RayWorkers

    def hire(work: Work) -> Executor:
        workers_of_ray = RayWorkers(work, address=ray, workers=workers, say=listener.say)
        listener.say(workers_of_ray.describe())
        return workers_of_ray

    return hire


def _fitted(
    folder: Path, recipe: Recipe, given: Material, setup: Setup, outcome: searching.Outcome
) -> Fitted | FittedSessions:
    """The best model and, for an ensemble, those behind it: fewer where members ended with the same weights."""
    count = setup.search.ensemble
    best, *others = outcome.ranking[:count]
    recipes = [recipe._replace(**one.choices._asdict()) for one in (best, *others)]
    facts = _facts(setup, outcome, folder)
    rest = tuple((own, one.model) for own, one in zip(recipes[1:], others, strict=True))
    return fitted_to(given, folder, best.model, facts, recipes[0], rest)


def _facts(setup: Setup, outcome: searching.Outcome, folder: Path) -> dict[str, Any]:
    best, state = outcome.ranking[0], outcome.state
    lines = journal.read(folder / GENERATIONS)
    kept = ("score", "member", "generation", "epoch", "values")
    last, cooled = lines[-1], setup.timetable.cool_down > 0
    return {
        "selected_on": loop.selected_on(setup.choices, setup.corruption),
        "selected_epoch": best.epoch,
        "epochs": int(state.groups[0].epoch[0]),
        "updates": int(state.groups[0].update[0]),
        "seconds": last["seconds"],
        "skipped_steps": int(sum(int(states.skipped.sum()) for states in state.groups)),
        "search": {
            "algorithm": setup.search.algorithm,
            "members": setup.search.members,
            "selected": {name: getattr(best, name) for name in kept},
            "ensemble": min(setup.search.ensemble, len(outcome.ranking)),
            "settled": len(lines) - cooled < setup.timetable.generations,
            "cooled": cooled,
            "lost": sum(len(line["lost"]) for line in lines),
            "ranges": {key: _range(where) for key, where in setup.space.items()},
            "warning": PLAIN if loop.rewards_copying(setup.choices, setup.corruption) else None,
        },
    }


def _range(where) -> dict[str, Any] | None:
    if not isinstance(where, Range):
        return None
    return {"low": where.low, "high": where.high, "is_added": where.low == 0, "is_bounded": where.is_bounded}


def _place(key: str, where) -> str:
    if isinstance(where, Range):
        start = "" if where.start == "drawn" else f" from {where.start:g}"
        return f"{key}{start} in {where.low:.2g} to {where.high:.2g}"
    return f"{key} in {', '.join(str(value) for value in where)}"


def _measured(speed: Speed) -> str:
    words = {1: "one after another"}
    parts = [
        f"{1e3 * taken:.1f} ms {words.get(way, 'side by side')}"
        for way, taken in sorted(speed.seconds.items())
    ]
    return f"measured: an update of one member takes {' and '.join(parts)}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
