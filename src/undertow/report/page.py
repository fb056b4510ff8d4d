"""The report as one HTML page that a scientist reads without help: it works offline, is small, and prints.

`write` is the whole interface. Plotly's script is embedded once; a figure's data are embedded as JSON;
nothing is loaded from elsewhere. However large the data are, the page stays below about 8 MB, because figures
show excerpts (see `excerpt.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import jinja2
import plotly.offline
import xarray as xr

from undertow.files import replacing
from undertow.report import findings, history, score_words, summary
from undertow.report.codes import Codes
from undertow.report.material import Material, Picture
from undertow.report.population import Population
from undertow.report.sections import sections
from undertow.vocabulary import UndertowError, check_trials

_FOLDER = Path(__file__).parent


def write(  # noqa: PLR0913 - the parts of a report, all by name
    path: str | os.PathLike,
    *,
    trials: xr.Dataset,
    estimate: xr.Dataset,
    yardstick: xr.Dataset | None,
    scores: dict,
    history: history.History,
    recipe: dict,
    provenance: dict,
    population: Mapping | None = None,
    latency: Mapping | None = None,
    analysis: Mapping | None = None,
    codes: Codes | None = None,
) -> None:
    """Write the report to `path` (HTML); a page that is already there is replaced only by a complete one.

    Args:
        path: where the page goes; its folder must exist.
        trials: the trials that were fitted (see `undertow.vocabulary`).
        estimate: on the same trials: `rates` (Hz), and whatever of `rates_sd`, `factors`, `latents`,
            `inferred_inputs`, `inferred_inputs_sd` the model has.
        yardstick: `rates` from Gaussian smoothing with Poisson regression on the same trials, or None.
        scores: as in `scores.json`: "model", "selected_on" (a key of
            `score_words.SELECTED_ON`, or words), "splits" with scores of "model" and
            "yardstick", and "test_look" (a sentence) where test trials were scored.
        history: the lines of `metrics.jsonl`, one dictionary an epoch; may be empty.
        recipe: all settings, nested.
        provenance: versions, device, seed, command, times.
        population: of a search, None for a fit: "algorithm", "generations" (the lines of `generations.jsonl`),
            "lineage" (the winner's ancestors, one member a generation), "ranges" (by key: "low", "high",
            "is_added", "is_bounded"; None for a list), "selected" ("member", "generation", "epoch", "score",
            "values"), "selected_on", "ensemble", "settled", "warning". `history` then is the lineage's own.
        latency: of a replay through a stream, as in `latency.json`; None where there was none. In milliseconds: "median", "p99",
            "p99.9", "worst", "bin_width", "lag"; "bins", "missed", "device", "waits", "window" (bins or None), "when", and
            "histogram" with "edges" and "bins".
        analysis: of the dynamics, as in `analysis.json`; None where there was none. See `dynamics_section.py`.
        codes: of trials, and what is made of them; None for a model without codes.

    Raises:
        UndertowError: if estimate and trials do not belong together, or the page can't be written.
    """
    searched = None if population is None else Population.of(population)
    material = Material(
        trials, estimate, yardstick, scores, history, recipe, provenance, searched, latency, analysis, codes
    )
    _check(material)
    with replacing(Path(path)) as temporary:
        temporary.write_text(render(material), encoding="utf-8")


def render(material: Material) -> str:
    """The page's text, for material whose estimate lies on its trials."""
    return filled(
        title=(
            f"{summary.model_name(material.scores)} on {material.trials.attrs.get('session', 'a recording')}"
        ),
        paragraph=summary.paragraph(material.trials, material.scores),
        tables=tables_of(material.scores),
        selected_on=selected_on_of(material.scores),
        test_look=material.scores.get("test_look", ""),
        findings=findings.find(
            trials=material.trials,
            estimate=material.estimate,
            scores=material.scores,
            lines=material.lines,
            population=material.population,
            codes=material.codes,
        ),
        nothing_found=findings.NOTHING,
        sections=sections(material),
        recipe=list(flat(material.recipe)),
        provenance=list(flat(material.provenance)),
    )


def filled(**parts: object) -> str:
    """The page's template with these parts in their places; what is not given is left out."""
    loader = jinja2.FileSystemLoader(_FOLDER)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["embedded"] = _embedded
    environment.filters["written"] = score_words.written
    return environment.get_template("page.html.jinja").render(plotly=plotly.offline.get_plotlyjs(), **parts)


def _check(material: Material) -> None:
    check_trials(material.trials)
    for name, dataset in (("estimate", material.estimate), ("yardstick", material.yardstick)):
        if dataset is None:
            continue
        if "rates" not in dataset:
            raise UndertowError(
                f"The {name} has no variable 'rates' (found {list(dataset.data_vars)}); infer it again."
            )
        if dataset.rates.shape != material.trials.counts.shape:
            raise UndertowError(
                f"The {name}'s rates have the shape {dataset.rates.shape}, but the trials' counts "
                f"{material.trials.counts.shape} "
                "(trial, time, neuron); infer the estimate from these trials."
            )


def tables_of(scores: dict) -> list[tuple[str, list[score_words.Row]]]:
    """Rows for each split that was scored, the main one first, with its name in words."""
    main = score_words.main_split(scores)
    order = sorted(scores.get("splits", {}), key=lambda split: split != main)
    tables = [
        (score_words.SPLIT_WORDS.get(split, split), score_words.pairs(scores, split)) for split in order
    ]
    return [(words, rows) for words, rows in tables if rows]


def selected_on_of(scores: dict) -> str:
    """What the weights were selected on, in words without a full stop."""
    told = str(scores.get("selected_on", ""))
    return score_words.SELECTED_ON.get(told, told).rstrip(".")


def flat(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and their values as text."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)


def _embedded(picture: Picture) -> str:
    """A figure as JSON that may stand inside a script element."""
    return picture.figure.to_json().replace("<", "\\u003c")
