"""The baselines of the benchmark on one data set, and a table of their scores beside those of other runs."""

from pathlib import Path

import numpy as np
import xarray as xr

from undertow.data import store
from undertow.data.nlb.table import DataSet
from undertow.evaluation import nlb
from undertow.experiments import looks, pipeline
from undertow.experiments import recipe as recipes
from undertow.experiments.nlb import scoring, submission
from undertow.experiments.nlb.extras import extras
from undertow.experiments.nlb.results import Row, Table
from undertow.experiments.opening_runs import open_session
from undertow.experiments.progress import Listener
from undertow.vocabulary import UndertowError


def compare(
    row: DataSet,
    path: Path,
    target: Path,
    out: Path,
    *,
    models: tuple[str, ...],
    beside: tuple[Path, ...],
    with_extras: bool,
    seed: int,
    listener: Listener,
) -> Table:
    """Fit each baseline (or take the finished run), and score all of them and the runs `beside` against the targets.

    Every look at test targets is written down in the run that was scored.

    Raises:
        UndertowError: trials of another data set, targets without this group, or an unknown baseline.
    """
    trials = store.open_trials(path)
    if trials.attrs.get("nlb") != row.name:
        raise UndertowError(
            f"'{path}' holds {trials.attrs.get('nlb', 'no data set of the benchmark')}, not {row.name}; give its prepared trials."
        )
    bin_width = float(trials.attrs["bin_width"])
    aims, facts = scoring.target_of(target, row.group(bin_width))
    phase = scoring.phase_of(facts)
    fitted = {str(folder): open_session(folder) for folder in beside}
    rows, remarks = [], []
    if "psth" in models and not _knows_conditions(trials, phase):
        models = tuple(model for model in models if model != "psth")
        remarks.append("psth is left out: the conditions of the evaluated trials are not known.")
    for model in models:
        folder = out / f"{row.group(bin_width)}-{model}"
        recipe = recipes.from_document({"model": model, "seed": seed, **published_settings(row, model)})
        listener.say(f"{model}: {folder}")
        if not (folder / "scores.json").exists():
            pipeline.run(recipe, trials, folder, source=path, listener=listener)
        fitted[model] = open_session(folder)
    for name, run in fitted.items():
        estimate = submission.estimate_of(run, pipeline.trials_of(run, trials))
        scores = nlb.score(aims, submission.rates_of(estimate, trials, phase), bin_width=bin_width)
        if with_extras:
            scores |= extras(estimate, trials, aims["eval_spikes_heldout"], phase)
        rows.append(Row(name, scores))
        if phase == "test":
            before = scoring.noted(run.folder, looks.fingerprint_of_files(run.folder), aims, scores)
            if not before.is_first:
                remarks.append(f"{name}: {before.sentence()}")
    rows.sort(key=lambda one: -one.scores["co-bps"])
    return scoring.table(row, bin_width, phase, tuple(rows), facts, remarks=tuple(remarks))


def published_settings(row: DataSet, model: str) -> dict[str, dict]:
    """The sizes that the benchmark's baselines had on this data set, as sections of a recipe."""
    states, dimensions = row.slds
    return {
        "gpfa": {"gpfa": {"factors": row.gpfa}},
        "slds": {"slds": {"states": states, "factors": dimensions}},
    }.get(model, {})


def _knows_conditions(trials: xr.Dataset, phase: str) -> bool:
    evaluated = np.isin(trials.split.values.astype(str), submission.PHASES[phase][1])
    return "condition" in trials.coords and bool((trials.condition.values[evaluated] >= 0).all())
