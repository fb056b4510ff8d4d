"""The whole way of a run, as the command line goes it: fit, infer, score, report."""

import json
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.data import store
from undertow.data.loading import load_each
from undertow.data.sessions import sessions
from undertow.experiments import coding, scoring, session_results
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.experiments.fitting import fit
from undertow.experiments.inference import for_session
from undertow.experiments.material import Sessions, fingerprint_of, given_sessions
from undertow.experiments.opening_runs import open_run
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe
from undertow.experiments.searching import search
from undertow.files import write_bytes
from undertow.vocabulary import UndertowError


def run(
    recipe: Recipe, trials: xr.Dataset | Sessions, out: Path, *, source: Path | None, listener: Listener
) -> dict[str, Any]:
    """Fit (or go on), then infer, score and write the report into `out`; the scores. `source` is the file of all trials."""
    fitted = fit(recipe, trials, out=out, quiet=listener.is_quiet)
    outcome = fitted.outcome
    chosen = ", ".join(f"{name} {value}" for name, value in outcome.get("chosen", {}).items())
    what = f"Trained {outcome['epochs']} epochs in {outcome['seconds']:.0f} s; kept epoch {outcome['selected_epoch']}"
    if "chosen" in outcome:
        what = f"Fitted in {outcome['seconds']:.0f} s; chose {chosen}"
    listener.say(f"{what}, selected on {outcome['selected_on']}.")
    remember_source(fitted, trials, source)
    return complete(fitted, trials, listener=listener)


def run_search(
    recipe: Recipe,
    trials: xr.Dataset | Sessions,
    out: Path,
    *,
    source: Path | None,
    ray: str | None,
    workers: int | None = None,
    listener: Listener,
) -> dict[str, Any]:
    """Search (or go on), then infer, score and write the report into `out`; the scores."""
    fitted = search(recipe, trials, out=out, ray=ray, workers=workers, listener=listener)
    outcome, facts = fitted.outcome, fitted.outcome["search"]
    selected, lost = facts["selected"], facts["lost"]
    broke = (
        f" {lost} times a member broke down and was replaced."
        if lost and facts["algorithm"] == "population"
        else ""
    )
    listener.say(
        f"Trained {facts['members']} members for {outcome['epochs']} epochs in {outcome['seconds']:.0f} s; kept member "
        f"{selected['member']} of generation {selected['generation']}, epoch {selected['epoch']}, selected on "
        f"{outcome['selected_on']}.{broke}"
    )
    if facts["ensemble"] > 1:
        listener.say(f"The rates are the average of the {facts['ensemble']} best members.")
    remember_source(fitted, trials, source)
    return complete(fitted, trials, listener=listener)


def complete(
    fitted: Fitted | FittedSessions, trials: xr.Dataset | Sessions, *, listener: Listener
) -> dict[str, Any]:
    """Everything that follows from the weights: estimate.nc, scores.json, report.html."""
    if isinstance(fitted, FittedSessions):
        return session_results.complete(fitted, trials, listener=listener)
    (trials,) = given_sessions(trials).values()
    trials = for_session(trials, fitted.session)  # a run that went on from another knows that one's neurons
    listener.say(
        f"Inferring {trials.sizes['trial']} trials from {fitted.samples} posterior sample{'s' * (fitted.samples > 1)} each ..."
    )
    estimate = fitted.infer(trials, out=fitted.folder / "estimate.nc").load()
    listener.say("Fitting the yardstick (Gaussian smoothing and Poisson regression) ...")
    reference = scoring.reference_for(trials)
    scores = scoring.score(fitted, estimate, trials, reference)
    scoring.write_scores(fitted.folder, scores)
    if coding.has_codes(fitted):
        listener.say("Moving codes and drawing trials for the report ...")
    path = scoring.write_report(fitted, trials, estimate, reference, scores)
    listener.say(f"The report is {path}.")
    return scores


def evaluate(
    fitted: Fitted | FittedSessions, trials: xr.Dataset | Sessions, *, listener: Listener
) -> dict[str, Any]:
    """The scores of any trials of a run's sessions, beside the yardstick's."""
    by_session, several = {}, given_sessions(trials)
    if len(several) > 1 and isinstance(fitted, Fitted):
        raise UndertowError(
            f"These are {len(several)} sessions ({', '.join(several)}), but '{fitted.folder}' was fitted to one; give that "
            "session's trials."
        )
    for name, of_session in several.items():
        one = fitted.at(name) if isinstance(fitted, FittedSessions) else fitted
        ordered = for_session(of_session, one.session)
        listener.say(f"Inferring {ordered.sizes['trial']} trials ...")
        estimate = one.infer(ordered)
        by_session[name] = scoring.score(one, estimate, ordered, scoring.reference_for(ordered))
    return session_results.together(by_session) if len(by_session) > 1 else by_session.popitem()[1]


def remember_source(
    fitted: Fitted | FittedSessions, trials: xr.Dataset | Sessions, source: Path | None
) -> None:
    """Note in provenance.json where the trials are; trials that came from elsewhere are kept in the run's folder."""
    if source is None or source.suffix != ".nc":
        source = fitted.folder / "trials.nc"
        if not source.exists():
            store.save(trials, source)
    path = fitted.folder / "provenance.json"
    provenance = json.loads(path.read_text(encoding="utf-8"))
    write_bytes(path, json.dumps({**provenance, "trials": str(source.resolve())}, indent=1).encode())


def trials_of(
    fitted: Fitted | FittedSessions, given: Path | xr.Dataset | Sessions | None = None
) -> xr.Dataset | Sessions:
    """The trials that a run was fitted to: those `given`, or from where they were then.

    Raises:
        UndertowError: they are not there, or are not the same any more.
    """
    provenance = json.loads((fitted.folder / "provenance.json").read_text(encoding="utf-8"))
    is_place = given is None or isinstance(given, Path)
    trials = _loaded(fitted, given or provenance.get("trials")) if is_place else given
    several = given_sessions(trials)
    known = provenance["trials_fingerprint"]
    if known not in (None, fingerprint_of(several)):  # None: taken over without trials
        raise UndertowError(
            f"These trials are not those that '{fitted.folder}' was fitted to (fingerprint "
            f"{fingerprint_of(several)} instead of {provenance['trials_fingerprint']}); give the same file with --trials."
        )
    if isinstance(fitted, FittedSessions):
        return several
    return several[fitted.session.name] if len(several) > 1 else next(iter(several.values()))


def _loaded(fitted: Fitted | FittedSessions, place: Path | str | None) -> Sessions:
    if place is None:
        raise UndertowError(
            f"The run in '{fitted.folder}' does not say where its trials are; give their file with --trials."
        )
    if not Path(place).is_file():
        raise UndertowError(
            f"The trials of '{fitted.folder}' are not at '{place}' any more; say where they are with --trials."
        )
    several = load_each(place)
    return sessions(several) if len(several) > 1 else several


def write_report(
    folder: str | Path, trials: str | Path | xr.Dataset | None = None, *, quiet: bool = False
) -> dict[str, Any]:
    """Infer a run's trials and write estimate.nc, scores.json and report.html into its folder.

    Args:
        folder: a finished run.
        trials: the trials that it was fitted to, or their file; where the run found them if not given.
        quiet: say nothing.

    Returns:
        The scores of every split, beside the yardstick's.

    Raises:
        UndertowError: an unfinished run, or trials that are not there or not the same.
    """
    fitted = open_run(folder)
    given = Path(trials) if isinstance(trials, str) else trials
    return complete(fitted, trials_of(fitted, given), listener=Listener(is_quiet=quiet))
