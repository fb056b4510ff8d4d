"""Commands that end with a run: fit, search, dimensions, import-lfads-torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.experiments import cache, dimension_record, dimensions, pipeline, recipe
from undertow.experiments.commands.asked import Begin, Common, Cut, How
from undertow.experiments.commands.sources import assigned_sessions, notes_of, one_or_all
from undertow.experiments.lfads_torch.importing import imported
from undertow.experiments.opening_runs import open_run
from undertow.experiments.progress import Listener
from undertow.experiments.space_settings import with_space
from undertow.models import MODELS
from undertow.vocabulary import UndertowError


def run_fit(
    model: str,
    sources: Sequence[Path],
    out: Path,
    name: str | None,
    settings: tuple[str, ...],
    begin: Begin,
    cut: Cut,
    common: Common,
) -> dict[str, Any]:
    """Fit, infer, score and report; the scores."""
    cache.switch_on()
    model, sources, document = _begun(model, sources, begin)
    chosen = recipe.from_document(document_of(model, name, settings, common, document))
    listener = Listener(is_quiet=common.quiet)
    trials = announced(sources, cut, common, listener)
    return pipeline.run(chosen, trials, out, source=_only(sources), listener=listener)


def run_search(
    model: str,
    sources: Sequence[Path],
    out: Path,
    name: str | None,
    settings: tuple[str, ...],
    how: How,
    begin: Begin,
    cut: Cut,
    common: Common,
) -> dict[str, Any]:
    """Search, infer, score and report; the scores."""
    cache.switch_on()
    model, sources, beginning = _begun(model, sources, begin)
    document = document_of(model, name, settings, common, beginning)
    section = {**document.get("search", {})}
    asked = {option: getattr(how, option) for option in ("algorithm", "members", "generations", "ensemble")}
    section |= {option: value for option, value in asked.items() if value is not None}
    if model in MODELS:
        section = with_space(section, how.space, MODELS[model])
        given = {setting.partition("=")[0].strip() for setting in settings}
        held = given & set(MODELS[model].space) - set(section["space"])
        section["hold"] = sorted({*section["hold"], *held})
    chosen = recipe.from_document({**document, "search": section})
    listener = Listener(is_quiet=common.quiet)
    trials = announced(sources, cut, common, listener)
    return pipeline.run_search(
        chosen, trials, out, source=_only(sources), ray=how.ray, workers=how.workers, listener=listener
    )


def run_dimensions(
    source: Path,
    out: Path,
    sizes: tuple[int, ...],
    seeds: tuple[int, ...],
    model: str,
    name: str | None,
    settings: tuple[str, ...],
    cut: Cut,
    common: Common,
) -> str:
    """Fit several latent sizes and recommend one; a table, and why."""
    cache.switch_on()
    chosen = recipe.from_document(document_of(model, name, settings, common))
    key = f"{model}.{dimensions.field_of(chosen)}"
    if key in {setting.partition("=")[0].strip() for setting in settings}:
        raise UndertowError(f"Both --sizes and --set give '{key}'; leave it out of --set.")
    trials = announced([source], cut, common, Listener(is_quiet=common.quiet))
    if not isinstance(trials, xr.Dataset):
        raise UndertowError(
            f"'{source}' holds {len(trials)} sessions ({', '.join(trials)}), but sizes are compared on one; give that one's file."
        )
    found = dimensions.latent_dimensions(
        trials, sizes, model=chosen, out=out, seeds=seeds, source=source, quiet=common.quiet
    )
    return f"{dimension_record.table(found.told)}\nThe page is {found.folder / dimensions.PAGE}."


def run_import(
    checkpoint: Path,
    source: Path | None,
    out: Path,
    session: int | None,
    settings: tuple[str, ...],
    cut: Cut,
    common: Common,
) -> dict[str, Any] | None:
    """Take over a checkpoint of lfads-torch; with trials also infer, score and report, and then the scores."""
    cache.switch_on()
    listener = Listener(is_quiet=common.quiet)
    given = None if source is None else announced([source], cut, common, listener)
    seed = () if common.seed is None else (f"seed={common.seed}",)
    fitted, trials = imported(
        checkpoint,
        given,
        out,
        bin_width=getattr(cut, "bin_width", None),
        session=session,
        settings=(*settings, *seed),
        say=listener.say,
    )
    if trials is None:
        return None
    pipeline.remember_source(fitted, trials, source if trials is given else None)
    return pipeline.complete(fitted, trials, listener=listener)


def _begun(model: str, sources: Sequence[Path], begin: Begin) -> tuple[str, Sequence[Path], dict[str, Any]]:
    """The model, the sources, and the document to start from: that of the run that is begun with, if any."""
    if begin.run is None:
        if begin.train or begin.new_session:
            raise UndertowError(
                "--train and --new-session belong to a fit that begins with a fitted run; name its folder with --from RUN."
            )
        return model, sources, {}
    known = open_run(begin.run).recipe
    if model not in recipe.EVERY_MODEL:  # left out: the run says which
        model, sources = known.model.section, [Path(model), *sources]
    if model != known.model.section:
        raise UndertowError(
            f"The run in '{begin.run}' is of the model '{known.model.section}', not '{model}'; its weights can begin a fit of "
            "the same model alone, so leave the model out."
        )
    parts = tuple(part.strip() for part in (begin.train or "").split(",") if part.strip())
    start = {"run": str(begin.run), "train": parts, "new_session": begin.new_session}
    return model, sources, {**known._replace(search=None).document(), "start": start}


def _only(sources: Sequence[Path]) -> Path | None:
    """The file of all trials, where it is one."""
    return sources[0] if len(sources) == 1 else None


def document_of(
    model: str,
    name: str | None,
    settings: tuple[str, ...],
    common: Common,
    beginning: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The recipe's document with the settings and the seed of the command line, over the one that is begun with."""
    document = {**(beginning or {}), "model": model}
    for key, value in (recipe.read(name) if name else {}).items():
        both = isinstance(value, dict) and isinstance(document.get(key), dict)
        document[key] = {**document[key], **value} if both else value
    document = recipe.with_settings({**document, "model": model}, settings)
    return document if common.seed is None else {**document, "seed": common.seed}


def announced(
    sources: Sequence[Path], cut: Cut, common: Common, listener: Listener
) -> xr.Dataset | dict[str, xr.Dataset]:
    """The trials of the sources, of one session or of several by name, split as asked, after saying what was noted about them."""
    if not sources:
        raise UndertowError("There is nothing to fit; give the file of the trials after the model.")
    several = assigned_sessions(sources, cut, common)
    for note in notes_of(several):
        listener.say(note)
    return one_or_all(several)
