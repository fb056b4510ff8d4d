"""What each command does, from its arguments to its result; `cli` shows it."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import xarray as xr

from undertow.data import store
from undertow.data.describe import describe
from undertow.data.loading import load, load_each
from undertow.data.sessions import sessions
from undertow.data.simulate import SYSTEMS
from undertow.data.splits import hold_out, split
from undertow.data.subsample import subsample
from undertow.data.windows import chop
from undertow.experiments import (
    analysis_record,
    behaviour,
    cache,
    dimension_record,
    dimensions,
    doctor,
    latency,
    pipeline,
    recipe,
    replay,
)
from undertow.experiments.analysing import analyze, dynamics_of, has_report, redraw
from undertow.experiments.demo import demo
from undertow.experiments.export import export
from undertow.experiments.fitted import Fitted
from undertow.experiments.lfads_torch.importing import imported
from undertow.experiments.opening_runs import open_run, open_session
from undertow.experiments.progress import Listener
from undertow.experiments.space_settings import with_space
from undertow.models import MODELS
from undertow.vocabulary import UndertowError, closest


class Common(Protocol):
    """What every command takes."""

    seed: int | None
    quiet: bool


class Cut(Protocol):
    """How a source becomes trials; see `cli.options.Cut`."""

    chop: float | None
    overlap: float
    valid: float
    test: float
    split_by: str
    hold_out: float
    forward: int


class Begin(Protocol):
    """Where a fit begins; see `cli.options.Begin`."""

    run: Path | None
    train: str | None
    new_session: bool


class How(Protocol):
    """How to search; see `cli.options.How`."""

    algorithm: str | None
    members: int | None
    generations: int | None
    ensemble: int | None
    space: tuple[str, ...]
    ray: str | None
    workers: int | None


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
    return f"Wrote {_size(simulated)} of the system '{system}', with its true rates, to {out}."


def run_convert(sources: Sequence[Path], out: Path, cut: Cut, common: Common) -> str:
    """Write the trials of a source, or of several sessions to one file; sentences about them."""
    several = assigned_sessions(sources, cut, common)
    written = _one_or_all(several)
    store.save(written, out)
    return "\n".join([*_notes_of(several), f"Wrote {_size(written)} to {out}."])


def run_subsample(
    source: Path, out: Path, keep: int, pattern: str, block: int, splits: tuple[str, ...], common: Common
) -> str:
    """Write trials of which few neurons are observed in each bin; sentences about them."""
    if source.exists() and source.suffix != ".nc":
        raise UndertowError(
            f"'{source}' is no file of trials; make one with 'undertow convert {source} trials.nc' and thin that one out."
        )
    asked = {"keep": keep, "pattern": pattern, "block": block, "splits": splits, "seed": common.seed or 0}
    several = {name: subsample(trials, **asked) for name, trials in load_each(source).items()}
    store.save(_one_or_all(several), out)
    said = [trials.attrs["notes"].splitlines()[-1] for trials in several.values()]
    return "\n".join([*said, f"Wrote {_size(_one_or_all(several))} to {out}."])


def run_describe(source: Path, cut: Cut) -> str:
    """A page about a source, a section for each session."""
    return "\n\n\n".join(str(describe(trials)) for trials in read_each([source], cut).values())


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
    chosen = recipe.from_document(_document(model, name, settings, common, document))
    listener = Listener(is_quiet=common.quiet)
    trials = _announced(sources, cut, common, listener)
    return pipeline.run(chosen, trials, out, source=_only(sources), listener=listener)


def run_search(
    model: str,
    sources: Sequence[Path],
    out: Path,
    name: str | None,
    settings: tuple[str, ...],
    how: How,
    cut: Cut,
    common: Common,
) -> dict[str, Any]:
    """Search, infer, score and report; the scores."""
    cache.switch_on()
    document = _document(model, name, settings, common)
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
    trials = _announced(sources, cut, common, listener)
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
    chosen = recipe.from_document(_document(model, name, settings, common))
    key = f"{model}.{dimensions.field_of(chosen)}"
    if key in {setting.partition("=")[0].strip() for setting in settings}:
        raise UndertowError(f"Both --sizes and --set give '{key}'; leave it out of --set.")
    trials = _announced([source], cut, common, Listener(is_quiet=common.quiet))
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
    given = None if source is None else _announced(source, cut, common, listener)
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


def run_infer(run: Path, source: Path, out: Path, samples: int | None, cut: Cut, common: Common) -> str:
    """Write the estimate of trials; a sentence about it."""
    cache.switch_on()
    fitted = open_run(run)
    several = load_each(source, lazy=True) if source.suffix == ".nc" else read_each([source], cut)
    trials = several if len(several) > 1 else next(iter(several.values()))
    if len(several) > 1 and isinstance(fitted, Fitted):
        raise UndertowError(
            f"'{source}' holds {len(several)} sessions ({', '.join(several)}), but '{run}' was fitted to one; give that "
            "session's trials."
        )
    estimate = fitted.infer(trials, samples=samples, seed=common.seed, out=out)
    count = sum(of_session.sizes["trial"] for of_session in several.values())
    first = estimate if isinstance(estimate, xr.Dataset) else next(iter(estimate.values()))
    return f"Wrote {', '.join(first.data_vars)} of {count} trials to {out}."


def run_evaluate(run: Path, source: Path | None, common: Common) -> dict[str, Any]:
    """The scores of a run on its own trials or on others."""
    cache.switch_on()
    fitted = open_run(run)
    trials = pipeline.trials_of(fitted) if source is None else load_each(source)
    return pipeline.evaluate(fitted, trials, listener=Listener(is_quiet=common.quiet))


def run_report(run: Path, trials: Path | None, common: Common) -> dict[str, Any]:
    """Make a run's report again; its scores."""
    cache.switch_on()
    return pipeline.write_report(run, trials, quiet=common.quiet)


def run_stream(
    run: Path,
    source: Path,
    first: int | None,
    window: int | None,
    delay: int,
    out: Path | None,
    session: str | None,
    common: Common,
    *,
    decodes: bool,
    waits: bool,
) -> str:
    """Replay trials through a run's stream and write latency.json into its folder; the table, and sentences."""
    cache.switch_on()
    fitted = open_session(run, session)
    trials = _of_session(source, fitted)
    listener = Listener(is_quiet=common.quiet)
    _check_replay(first, out)
    decoder = fitted.decoder(trials, window=window, delay=delay) if decodes else None
    stream = fitted.stream(window=window, delay=delay, decoder=decoder)
    chosen = trials.isel(trial=slice(first))
    pace = "in real time" if waits else "as fast as possible"
    listener.say(f"Replaying {_size(chosen)} {pace} ...")
    replayed = replay.replay(stream, chosen, fitted.session, waits=waits)
    facts = {"waits": waits, "window": window, "lag": 1e3 * stream.lag, "models": stream.members}
    measured = latency.summary(replayed.seconds, fitted.session.bin_width, **facts)
    latency.write(fitted.folder, measured)
    if out is not None:
        store.save(replayed.estimate, out)
    return "\n".join([latency.table(measured), *_words_on(replayed, chosen, fitted.folder, out)])


def run_analyze(
    run: Path, source: Path | None, inputs: str, starts: int, session: str | None, common: Common
) -> str:
    """Analyse a run's dynamics, write analysis.json and redraw its report; the table, and where to look further."""
    cache.switch_on()
    fitted, listener = open_session(run, session), Listener(is_quiet=common.quiet)
    dynamics_of(fitted)  # refuses before anything takes time
    trials = pipeline.trials_of(fitted) if source is None else _of_session(source, fitted)
    listener.say(f"Looking for fixed points near the latents of {_size(trials)} from {starts} starts ...")
    found = analyze(fitted, trials, inputs=inputs, starts=starts, seed=common.seed or 0)
    wrote = f"Wrote {run / analysis_record.NAME}"
    if not has_report(fitted, trials):
        return f"{found}\n{wrote}; 'undertow report {run}' shows it."
    listener.say("Drawing the report again ...")
    return f"{found}\n{wrote}; the section 'Dynamics' of {redraw(fitted, trials)} shows it."


def run_export(run: Path, onnx: Path, session: str | None, _: Common) -> str:
    """Write a run's one-bin step and its script; sentences about them."""
    cache.switch_on()
    exported = export(open_session(run, session), onnx)
    size = exported.path.stat().st_size / 1e6
    return "\n".join(
        [
            f"Wrote the step of one bin to {exported.path} ({size:.1f} MB); in ONNX Runtime its estimates differ by at most "
            f"{exported.difference:.1g}.",
            f"Wrote {exported.script}, which runs it without undertow: python {exported.script} counts.npy",
        ]
    )


def run_doctor(_: Common) -> dict[str, str]:
    """Facts about this installation."""
    return doctor.examine()


def read(source: Path, cut: Cut) -> xr.Dataset:
    """Trials of a source, chopped into windows if asked."""
    return _chopped(load(source, **_options(cut)), cut)


def read_each(sources: Sequence[Path], cut: Cut) -> dict[str, xr.Dataset]:
    """Trials of all sessions in several sources by name, as they are, chopped into windows if asked."""
    return {name: _chopped(trials, cut) for name, trials in load_each(sources, **_options(cut)).items()}


def read_sessions(sources: Sequence[Path], cut: Cut) -> dict[str, xr.Dataset]:
    """Trials of all sessions in several sources by name, chopped if asked, brought to the same bins and known inputs."""
    return sessions(read_each(sources, cut))


def assigned_sessions(sources: Sequence[Path], cut: Cut, common: Common) -> dict[str, xr.Dataset]:
    """Trials of all sessions in several sources by name, with the same bins, split and with neurons held out as asked."""
    return {name: assigned(trials, cut, common) for name, trials in read_sessions(sources, cut).items()}


def _options(cut: Cut) -> dict[str, Any]:
    """What `load` is told."""
    asked = ("bin_width", "align", "window", "table", "variable", "condition", "neurons")
    imaged = ("sampling", "events", "rois", "frame_times", "decay_time", "delay")
    options = {name: getattr(cut, name) for name in (*asked, *imaged) if getattr(cut, name) is not None}
    behaviour = getattr(cut, "behaviour", ())
    if behaviour:
        options["behaviour"] = behaviour[0] if len(behaviour) == 1 else list(behaviour)
    return options


def _chopped(trials: xr.Dataset, cut: Cut) -> xr.Dataset:
    return chop(trials, length=cut.chop, overlap=cut.overlap) if cut.chop else trials


def assigned(trials: xr.Dataset, cut: Cut, common: Common) -> xr.Dataset:
    """The trials, split and with neurons held out as asked; a split that they bring with them stays."""
    seed = common.seed or 0
    if (trials.split.values.astype(str) == "train").all() and (cut.valid or cut.test):
        trials = split(trials, valid=cut.valid, test=cut.test, by=cut.split_by, seed=seed)
    if cut.hold_out or cut.forward:
        trials = hold_out(trials, neurons=cut.hold_out, forward=cut.forward, seed=seed)
    return trials


def _check_replay(first: int | None, out: Path | None) -> None:
    """Before anything takes time."""
    if first is not None and first < 1:
        raise UndertowError(
            f"The first {first} trials can't be replayed; give --trials 1 or more, or leave it out."
        )
    if out is not None and not out.parent.is_dir():
        raise UndertowError(f"There is no folder '{out.parent}' to write '{out.name}' into; create it first.")


def _words_on(replayed: replay.Replay, trials: xr.Dataset, folder: Path, out: Path | None) -> list[str]:
    """What a replay left behind besides its latency."""
    lines = [f"Wrote {folder / latency.NAME}; 'undertow report {folder}' shows it."]
    if "behaviour" in replayed.estimate:
        score = behaviour.validation_r2(replayed.estimate, trials)
        words = "no validation trial was replayed" if score is None else f"{score:.4f} on validation trials"
        lines.insert(0, f"Decoding of behaviour, R2: {words}.")
    if out is not None:
        lines.append(
            f"Wrote {', '.join(replayed.estimate.data_vars)} of {trials.sizes['trial']} trials to {out}."
        )
    return lines


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
    parts = tuple(part.strip() for part in (begin.train or "").split(",") if part.strip())
    start = {"run": str(begin.run), "train": parts, "new_session": begin.new_session}
    return model, sources, {**known._replace(search=None).document(), "start": start}


def _only(sources: Sequence[Path]) -> Path | None:
    """The file of all trials, where it is one."""
    return sources[0] if len(sources) == 1 else None


def _of_session(source: Path, fitted: Fitted) -> xr.Dataset:
    """The trials in a file, of one session or of the fitted one among several."""
    several = load_each(source)
    if len(several) > 1 and fitted.session.name not in several:
        raise UndertowError(
            f"'{source}' holds no session '{fitted.session.name}'; {closest(fitted.session.name, several)}"
        )
    return several[fitted.session.name] if len(several) > 1 else next(iter(several.values()))


def _document(
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


def _announced(
    sources: Sequence[Path], cut: Cut, common: Common, listener: Listener
) -> xr.Dataset | dict[str, xr.Dataset]:
    """The trials of the sources, of one session or of several by name, split as asked, after saying what was noted about them."""
    if not sources:
        raise UndertowError("There is nothing to fit; give the file of the trials after the model.")
    several = assigned_sessions(sources, cut, common)
    for note in _notes_of(several):
        listener.say(note)
    return _one_or_all(several)


def _one_or_all(several: dict[str, xr.Dataset]) -> xr.Dataset | dict[str, xr.Dataset]:
    """The trials of one session as they are, several by name."""
    return several if len(several) > 1 else next(iter(several.values()))


def _notes(trials: xr.Dataset) -> list[str]:
    notes = trials.attrs.get("notes", [])
    return [notes] if isinstance(notes, str) and notes else list(notes)


def _notes_of(several: Mapping[str, xr.Dataset]) -> list[str]:
    """The notes of all sessions, with the session's name where there are several."""
    return [
        note if len(several) == 1 else f"{name}: {note}"
        for name, trials in several.items()
        for note in _notes(trials)
    ]


def _size(trials: xr.Dataset | Mapping[str, xr.Dataset]) -> str:
    if isinstance(trials, xr.Dataset):
        sizes = trials.sizes
        bins = f"{sizes['time']} bins of {trials.attrs['bin_width'] * 1e3:g} ms"
        return f"{sizes['trial']} trials of {sizes['neuron']} neurons, up to {bins},"
    each = ", ".join(
        f"'{name}' {one.sizes['trial']} of {one.sizes['neuron']}" for name, one in trials.items()
    )
    longest = max(trials.values(), key=lambda one: one.sizes["time"])
    bins = f"{longest.sizes['time']} bins of {longest.attrs['bin_width'] * 1e3:g} ms"
    return f"{len(trials)} sessions (trials of neurons: {each}), up to {bins},"
