"""What follows from weights that several sessions share: an estimate, scores and a report for each, and one page over all."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from undertow.data import store
from undertow.experiments import scoring, searching
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.experiments.inference import for_session
from undertow.experiments.progress import Listener
from undertow.report import sessions_page

REPORTS = "reports"


def complete(fitted: FittedSessions, several: dict[str, xr.Dataset], *, listener: Listener) -> dict[str, Any]:
    """estimate.nc and scores.json of all sessions, a page for each in reports/, and report.html over them; the scores."""
    several = {name: for_session(one, fitted.at(name).session) for name, one in several.items()}
    listener.say(
        f"Inferring {sum(one.sizes['trial'] for one in several.values())} trials of {len(several)} sessions ..."
    )
    fitted.infer(several, out=fitted.folder / "estimate.nc")
    by_session, pages = {}, {}
    for name, trials in several.items():
        listener.say(f"Scoring session {name} ...")
        of_session = fitted.at(name)
        estimate = _stored(fitted.folder, name)
        reference = scoring.reference_for(trials)
        by_session[name] = scoring.score(of_session, estimate, trials, reference)
        pages[name] = f"{REPORTS}/{_file_name(name)}.html"
        (fitted.folder / REPORTS).mkdir(exist_ok=True)
        path = fitted.folder / pages[name]
        scoring.write_report(of_session, trials, estimate, reference, by_session[name], path)
    scores = together(by_session)
    scoring.write_scores(fitted.folder, scores)
    provenance = json.loads((fitted.folder / "provenance.json").read_text(encoding="utf-8"))
    sizes = {name: dict(one.sizes) for name, one in several.items()}
    is_evolved = fitted.outcome.get("search", {}).get("algorithm") == "population"
    facts = {"pages": pages, "sizes": sizes, "is_evolved": is_evolved}
    path = fitted.folder / "report.html"
    sessions_page.write(
        path,
        scores=scores,
        facts=facts,
        lines=searching.history(fitted),
        recipe=fitted.recipe.document(),
        provenance=provenance,
    )
    listener.say(f"The report is {path}.")
    return scores


def together(by_session: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The scores of all sessions by name, and their means, in which every session counts alike."""
    first = next(iter(by_session.values()))
    names = dict.fromkeys(split for scores in by_session.values() for split in scores["splits"])
    return {
        "model": first["model"],
        "selected_on": first["selected_on"],
        "splits": {
            split: _means([of["splits"][split] for of in by_session.values() if split in of["splits"]])
            for split in names
        },
        "sessions": by_session,
    }


def _means(of_sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """For the model and the yardstick: the mean of every score that all sessions have."""
    means = {}
    for side in ("model", "yardstick"):
        tables = [one.get(side) or {} for one in of_sessions]
        shared = [
            name for name in tables[0] if all(isinstance(table.get(name), (int, float)) for table in tables)
        ]
        means[side] = {name: float(np.mean([table[name] for table in tables])) for name in shared} or None
    return means


def _stored(folder: Path, name: str) -> xr.Dataset:
    return store.open_estimate(folder / "estimate.nc", lazy=True)[name].load()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
