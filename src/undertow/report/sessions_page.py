"""The page over all sessions that share a model: their scores side by side, the learning curves, and a page for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import plotly.graph_objects as go

from undertow.files import replacing
from undertow.report import history, page, score_words, sessions_findings, style, summary
from undertow.report.learning import learning_figure
from undertow.report.material import Picture, Section, Table
from undertow.report.sessions_findings import TOLD, compared

_NOTHING = (
    "Nothing suspicious: no session far below the others or below smoothing, no overfitting, no skipped steps. Unused inputs and "
    "dead factors are looked for on each session's page."
)
_INTRODUCTION = (
    "All sessions were fitted by one model: they share encoder, dynamics and factors, and each has a read-in and a read-out for "
    "its own neurons. Every session has a page of its own, behind its name, with rasters, single neurons, averages and factors."
)
_CAPTION = (
    "Each session's {name} on {where}, the model beside Gaussian smoothing. Look for a session that stands apart from the "
    "others: its neurons may be few, its alignment another, or its bins shifted."
)


def write(
    path: str | os.PathLike,
    *,
    scores: Mapping,
    facts: Mapping,
    lines: history.History,
    recipe: Mapping,
    provenance: Mapping,
) -> None:
    """Write the page to `path` (HTML); an old page is replaced only by a complete one.

    Args:
        path: where the page goes.
        scores: as in scores.json of a run of several sessions: "sessions" holds the scores of each by name, "splits" their means.
        facts: "pages" (by session: its page, from this one), "sizes" (by session: numbers of "trial", "time", "neuron")
            and "is_evolved" (whether a population was trained).
        lines: of `metrics.jsonl`.
        recipe: all settings, nested.
        provenance: versions, device, seed, command, times.

    Raises:
        UndertowError: the page can't be written.
    """
    text = page.filled(
        title=f"{summary.model_name(scores)} on {len(scores['sessions'])} sessions",
        paragraph=_paragraph(scores, facts),
        tables=[(f"{words} (means over sessions)", rows) for words, rows in page.tables_of(scores)],
        selected_on=page.selected_on_of(scores),
        findings=sessions_findings.find(
            scores, facts["sizes"], lines, is_evolved=facts.get("is_evolved", False)
        ),
        nothing_found=_NOTHING,
        sections=[_sessions(scores, facts), *_learning(lines)],
        recipe=list(page.flat(recipe)),
        provenance=list(page.flat(provenance)),
    )
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _paragraph(scores: Mapping, facts: Mapping) -> str:
    sizes = facts["sizes"].values()
    trials, neurons = (sum(of[name] for of in sizes) for name in ("trial", "neuron"))
    opening = f"{trials:,} trials of {len(sizes)} sessions, {neurons:,} neurons in all."
    told = compared(scores)
    if not told.values:
        return opening
    values, name = list(told.values.values()), told.name
    name = name if name.startswith("R²") else name[0].lower() + name[1:]
    mean = score_words.written(sum(values) / len(values))
    low, high = (
        f"{score_words.written(told.values[session])} in {session}"
        for session in (pick(told.values, key=told.values.get) for pick in (min, max))
    )
    known = [value for value in told.others.values() if value is not None]
    against = (
        f", against {score_words.written(sum(known) / len(known))} for Gaussian smoothing with Poisson regression"
        if known
        else ""
    )
    return f"{opening} Mean {name} on {told.where}: {mean} (from {low} to {high}){against}."


def _sessions(scores: Mapping, facts: Mapping) -> Section:
    told = compared(scores)
    pictures = (
        Picture(
            "sessions",
            sessions_figure(told.values, told.others, told.name),
            _CAPTION.format(name=told.name, where=told.where),
            f"{told.name} of each session, for the model and for smoothing.",
        ),
    )
    more = {
        key: sessions_findings.by_session(scores, told.split, "model", key) for key in TOLD if key != told.key
    }
    more = {
        key: values for key, values in more.items() if any(value is not None for value in values.values())
    }
    heads = (
        "Session",
        "Trials",
        "Neurons",
        told.name,
        "Smoothing's",
        *(score_words.EXPLAINED[key][0] for key in more),
    )
    rows = tuple(
        (
            session,
            f"{size['trial']:,}",
            f"{size['neuron']:,}",
            *map(score_words.written, (told.values.get(session), told.others.get(session))),
            *(score_words.written(values.get(session)) for values in more.values()),
        )
        for session, size in facts["sizes"].items()
    )
    table = Table(f"On {told.where}; a session's name leads to its page.", heads, rows, links=facts["pages"])
    return Section("sessions", "Sessions", _INTRODUCTION, pictures if told.values else (), tables=(table,))


def sessions_figure(values: Mapping, others: Mapping, name: str) -> go.Figure:
    """A row for each session: the model's score as a dot, smoothing's as a hollow one, a line between them.

    Args:
        values: the model's score by session.
        others: the yardstick's, None where it has none.
        name: of the score.
    """
    figure = go.Figure()
    names = list(values)[::-1]
    for session in names:
        if others.get(session) is not None:
            figure.add_scatter(
                x=[others[session], values[session]],
                y=[session, session],
                mode="lines",
                line={"color": style.GRID, "width": 3},
                showlegend=False,
                hoverinfo="skip",
            )
    sides = (
        (
            "smoothing",
            others,
            {"color": style.YARDSTICK, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
        ),
        ("model", values, {"color": style.MODEL, "size": 10}),
    )
    for side, of_session, marker in sides:
        shown = [session for session in names if of_session.get(session) is not None]
        figure.add_scatter(
            x=[of_session[session] for session in shown],
            y=shown,
            mode="markers",
            marker=marker,
            name=side,
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    figure.update_xaxes(title_text=name)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    return style.dressed(figure, height=130 + 26 * max(len(names), 2), top=40)


def _learning(lines: history.History) -> Iterator[Section]:
    if not lines:
        return
    yield Section(
        "learning",
        "Learning",
        "Every term of the objective over all sessions, in nats an entry, training beside validation.",
        (
            Picture(
                "learning",
                learning_figure(lines),
                "Validation should follow training down; where it turns up, the model begins to overfit.",
                "Curves of every term against epochs.",
            ),
        ),
    )
