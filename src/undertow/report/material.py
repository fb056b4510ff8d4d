"""What a report is made of, and what it is made into: the material, and sections with their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import plotly.graph_objects as go
import xarray as xr

from undertow.report import history
from undertow.report.codes import Codes
from undertow.report.population import Population


@dataclass(frozen=True)
class Material:
    """All that a report is made of, as handed to `page.write`; `population` is None for an ordinary fit, `latency` where nothing
    was streamed, `analysis` where nobody looked at the dynamics, `codes` where the model has none.
    """

    trials: xr.Dataset
    estimate: xr.Dataset
    yardstick: xr.Dataset | None
    scores: dict
    lines: history.History
    recipe: dict
    provenance: dict
    population: Population | None = None
    latency: Mapping | None = None
    analysis: Mapping | None = None
    codes: Codes | None = None


@dataclass(frozen=True)
class Finding:
    """One thing worth attention: a `title`, what was seen (`evidence`), and what to do (`advice`)."""

    title: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Picture:
    """A figure with its `caption` (what to look for), its `description` for those who can't see it, and where
    it is shown.

    `shown` is "everywhere", "screen" (needs WebGL), or "flat" (in its place in print and where there is no
    WebGL).
    """

    name: str
    figure: go.Figure
    caption: str
    description: str
    shown: str = "everywhere"


@dataclass(frozen=True)
class Table:
    """A table of words: its `caption`, the `heads` of its columns, and its rows, each beginning with its name.

    `links` are the pages behind names of rows.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading with its `anchor`, an `introduction`, facts (pairs of a name and a value), tables, and pictures."""

    anchor: str
    title: str
    introduction: str
    pictures: tuple[Picture, ...]
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
