"""The whole way of a run, as the command line goes it: fit, infer, score, report."""

import json
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.data import store
from undertow.data.loading import load
from undertow.experiments import scoring
from undertow.experiments.fitted import Fitted, open_run
from undertow.experiments.fitting import fingerprint, fit
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe
from undertow.experiments.searching import search
from undertow.files import write_bytes
from undertow.vocabulary import UndertowError


def run(
    recipe: Recipe, trials: xr.Dataset, out: Path, *, source: Path | None, listener: Listener
) -> dict[str, Any]:
    """Fit (or go on), then infer, score and write the report into `out`; the scores."""
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
    trials: xr.Dataset,
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


def complete(fitted: Fitted, trials: xr.Dataset, *, listener: Listener) -> dict[str, Any]:
    """Everything that follows from the weights: estimate.nc, scores.json, report.html."""
    listener.say(
        f"Inferring {trials.sizes['trial']} trials from {fitted.samples} posterior sample{'s' * (fitted.samples > 1)} each ..."
    )
    estimate = fitted.infer(trials, out=fitted.folder / "estimate.nc").load()
    listener.say("Fitting the yardstick (Gaussian smoothing and Poisson regression) ...")
    reference = scoring.reference_for(trials)
    scores = scoring.score(fitted, estimate, trials, reference)
    scoring.write_scores(fitted.folder, scores)
    path = scoring.write_report(fitted, trials, estimate, reference, scores)
    listener.say(f"The report is {path}.")
    return scores


def remember_source(fitted: Fitted, trials: xr.Dataset, source: Path | None) -> None:
    """Note in provenance.json where the trials are; trials that came from elsewhere are kept in the run's folder."""
    if source is None or source.suffix != ".nc":
        source = fitted.folder / "trials.nc"
        if not source.exists():
            store.save(trials, source)
    path = fitted.folder / "provenance.json"
    provenance = json.loads(path.read_text(encoding="utf-8"))
    write_bytes(path, json.dumps({**provenance, "trials": str(source.resolve())}, indent=1).encode())


def trials_of(fitted: Fitted, given: Path | xr.Dataset | None = None) -> xr.Dataset:
    """The trials that a run was fitted to: those `given`, or from where they were then.

    Raises:
        UndertowError: they are not there, or are not the same any more.
    """
    provenance = json.loads((fitted.folder / "provenance.json").read_text(encoding="utf-8"))
    trials = given if isinstance(given, xr.Dataset) else _loaded(fitted, given or provenance.get("trials"))
    if provenance["trials_fingerprint"] not in (None, fingerprint(trials)):  # None: taken over without trials
        raise UndertowError(
            f"These trials are not those that '{fitted.folder}' was fitted to (fingerprint "
            f"{fingerprint(trials)} instead of {provenance['trials_fingerprint']}); give the same file with --trials."
        )
    return trials


def _loaded(fitted: Fitted, place: Path | str | None) -> xr.Dataset:
    if place is None:
        raise UndertowError(
            f"The run in '{fitted.folder}' does not say where its trials are; give their file with --trials."
        )
    if not Path(place).is_file():
        raise UndertowError(
            f"The trials of '{fitted.folder}' are not at '{place}' any more; say where they are with --trials."
        )
    return load(place)


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
