"""The page over all sessions that share a model: their scores side by side, the learning curves, and a page for each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import plotly.graph_objects as go

from undertow.files import replacing
from undertow.report import history, page, score_words, style, summary
from undertow.report.learning import learning_figure
from undertow.report.material import Finding, Picture, Section, Table

_SCORES = ("co_smoothing", "rate_r2", "bits_per_spike", "decoding_r2")
_FAR = 0.5
"""A session whose score lies below this share of the median stands out."""
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
        facts: "pages" (by session: its page, from this one) and "sizes" (by session: numbers of "trial", "time", "neuron").
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
        findings=list(_findings(scores)),
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
    key, values, others = _told(scores)
    if not values:
        return opening
    name = score_words.EXPLAINED[key][0]
    name = name if name.startswith("R²") else name[0].lower() + name[1:]
    mean = score_words.written(sum(values.values()) / len(values))
    low, high = (score_words.written(pick(values.values())) for pick in (min, max))
    known = [value for value in others.values() if value is not None]
    against = (
        f", against {score_words.written(sum(known) / len(known))} for Gaussian smoothing with Poisson regression"
        if known
        else ""
    )
    where = score_words.SPLIT_WORDS.get(score_words.main_split(scores), "")
    return f"{opening} Mean {name} on {where}: {mean} (from {low} to {high} over sessions){against}."


def _told(scores: Mapping) -> tuple[str, dict[str, float], dict[str, float | None]]:
    """The score that is told first: its key, and its values by session for the model and the yardstick."""
    split = score_words.main_split(scores)
    for key in _SCORES:
        by_session = {
            name: (score_words.value(of, split, "model", key), score_words.value(of, split, "yardstick", key))
            for name, of in scores["sessions"].items()
        }
        values = {name: model for name, (model, _) in by_session.items() if model is not None}
        if values:
            return key, values, {name: by_session[name][1] for name in values}
    return _SCORES[0], {}, {}


def _findings(scores: Mapping) -> Iterator[Finding]:
    """Sessions in which smoothing does better, or that stand apart."""
    key, values, others = _told(scores)
    if not values or len(values) < 2:
        return
    words = score_words.EXPLAINED[key][0]
    behind = [name for name, value in values.items() if others[name] is not None and value < others[name]]
    if behind and key != score_words.FLATTERING:
        yield Finding(
            f"Smoothing does better in {', '.join(behind)}",
            f"There {words} of the model is below that of Gaussian smoothing with Poisson regression.",
            "look at the pages of these sessions; they may have few trials or neurons, or another alignment than the others.",
        )
    median = sorted(values.values())[len(values) // 2]
    apart = [name for name, value in values.items() if median > 0 and value < _FAR * median]
    if apart:
        yield Finding(
            f"{', '.join(apart)} stands apart" if len(apart) == 1 else f"{', '.join(apart)} stand apart",
            f"Their {words} is less than half of the median over sessions ({score_words.written(median)}).",
            "check that the same event aligns all sessions and that conditions mean the same, or fit this session by itself.",
        )


def _sessions(scores: Mapping, facts: Mapping) -> Section:
    key, values, others = _told(scores)
    split = score_words.main_split(scores)
    name, where = score_words.EXPLAINED[key][0], score_words.SPLIT_WORDS.get(split, split)
    pictures = (
        Picture(
            "sessions",
            sessions_figure(values, others, name),
            _CAPTION.format(name=name, where=where),
            f"{name} of each session, for the model and for smoothing.",
        ),
    )
    heads = ("Session", "Trials", "Neurons", name, "Smoothing")
    rows = tuple(
        (
            session,
            f"{size['trial']:,}",
            f"{size['neuron']:,}",
            score_words.written(values.get(session)),
            score_words.written(others.get(session)),
        )
        for session, size in facts["sizes"].items()
    )
    table = Table(f"On {where}; a session's name leads to its page.", heads, rows, links=facts["pages"])
    return Section("sessions", "Sessions", _INTRODUCTION, pictures if values else (), tables=(table,))


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
