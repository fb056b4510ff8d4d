"""From an estimate to scores and the report, always beside the yardstick."""

import json
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.evaluation import scores as scoring
from undertow.evaluation.yardstick import yardstick
from undertow.experiments import analysis_record, codes_record, latency, looks, searching
from undertow.experiments.fitted import Fitted
from undertow.files import write_bytes
from undertow.report import page
from undertow.vocabulary import SPLITS

TEST = SPLITS[-1]


def score(
    fitted: Fitted, estimate: xr.Dataset, trials: xr.Dataset, reference: xr.Dataset | None
) -> dict[str, Any]:
    """What scores.json holds: the scores of every split of `trials`, beside the yardstick's, and what was selected on.

    Where test trials are among them, the look at them is written down in the run's folder, and told under "test_look".
    """
    present = [split for split in SPLITS if (trials.split.values.astype(str) == split).any()]
    splits = scoring.evaluate(estimate, trials, yardstick=reference, splits=present)
    facts = {"model": fitted.recipe.model.section, "selected_on": fitted.outcome["selected_on"]}
    if TEST in present:
        facts["test_look"] = _noted_look(fitted, trials, splits[TEST]["model"]).sentence()
    return {**facts, "splits": splits}


def _noted_look(fitted: Fitted, trials: xr.Dataset, scores: dict[str, float]) -> looks.Before:
    labels = trials.counts.values[trials.split.values.astype(str) == TEST]
    return looks.record(
        fitted.folder / looks.NAME,
        weights=looks.fingerprint_of_files(fitted.folder),
        labels=looks.fingerprint_of_arrays({"counts": labels}),
        scores=scores,
        beside=fitted.folder.resolve().parent,
    )


def reference_for(trials: xr.Dataset) -> xr.Dataset | None:
    """The yardstick, where it can be fitted: counts of zero or more, and training trials."""
    has_training = (trials.split.values.astype(str) == "train").any()
    return yardstick(trials) if has_training and float(trials.counts.min()) >= 0 else None


def write_scores(folder: Path, scores: dict[str, Any]) -> None:
    """scores.json in a run's folder."""
    write_bytes(folder / "scores.json", json.dumps(scores, indent=1).encode())


def write_report(
    fitted: Fitted,
    trials: xr.Dataset,
    estimate: xr.Dataset,
    reference: xr.Dataset | None,
    scores: dict[str, Any],
    path: Path | None = None,
) -> Path:
    """report.html in the run's folder, or another page."""
    provenance = json.loads((fitted.folder / "provenance.json").read_text(encoding="utf-8"))
    path = path or fitted.folder / "report.html"
    page.write(
        path,
        trials=trials,
        estimate=estimate,
        yardstick=reference,
        scores=scores,
        history=searching.history(fitted),
        recipe=fitted.recipe.document(),
        provenance={**provenance, **_without_search(fitted.outcome)},
        population=searching.told(fitted),
        latency=latency.read(fitted.folder),
        analysis=analysis_record.read(fitted.folder),
        codes=codes_record.record(fitted, trials),
    )
    return path


def _without_search(outcome: dict[str, Any]) -> dict[str, Any]:
    """The outcome without what a section of its own shows."""
    return {name: value for name, value in outcome.items() if name != "search"}
