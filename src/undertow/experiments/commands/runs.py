"""Commands that use a finished run: infer, evaluate, report, stream, analyze, export."""

from pathlib import Path
from typing import Any

import xarray as xr

from undertow.data import store
from undertow.data.loading import load_each
from undertow.experiments import analysis_record, behaviour, cache, latency, pipeline, replay
from undertow.experiments.analysing import analyze, dynamics_of, has_report, redraw
from undertow.experiments.commands.asked import Common, Cut
from undertow.experiments.commands.sources import read_each, size_of
from undertow.experiments.export import export
from undertow.experiments.fitted import Fitted
from undertow.experiments.opening_runs import open_run, open_session
from undertow.experiments.progress import Listener
from undertow.vocabulary import UndertowError, closest


def run_infer(run: Path, source: Path, out: Path, samples: int | None, cut: Cut, common: Common) -> str:
    """Write the estimate of trials; a sentence about it."""
    cache.switch_on()
    fitted = open_run(run)
    several = read_each([source], cut, lazy=True)
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


def run_evaluate(run: Path, source: Path | None, cut: Cut, common: Common) -> dict[str, Any]:
    """The scores of a run on its own trials or on others."""
    cache.switch_on()
    fitted = open_run(run)
    trials = pipeline.trials_of(fitted) if source is None else read_each([source], cut)
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
    trials = of_session_in(source, fitted)
    listener = Listener(is_quiet=common.quiet)
    _check_replay(first, out)
    decoder = fitted.decoder(trials, window=window, delay=delay) if decodes else None
    stream = fitted.stream(window=window, delay=delay, decoder=decoder)
    chosen = trials.isel(trial=slice(first))
    pace = "in real time" if waits else "as fast as possible"
    listener.say(f"Replaying {size_of(chosen)} {pace} ...")
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
    trials = pipeline.trials_of(fitted) if source is None else of_session_in(source, fitted)
    listener.say(f"Looking for fixed points near the latents of {size_of(trials)} from {starts} starts ...")
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


def of_session_in(source: Path, fitted: Fitted) -> xr.Dataset:
    """The trials in a file, of one session or of the fitted one among several."""
    several = load_each(source)
    if len(several) > 1 and fitted.session.name not in several:
        raise UndertowError(
            f"'{source}' holds no session '{fitted.session.name}'; {closest(fitted.session.name, several)}"
        )
    return several[fitted.session.name] if len(several) > 1 else next(iter(several.values()))
