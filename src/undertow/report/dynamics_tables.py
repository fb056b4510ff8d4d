"""The tables of the section on dynamics: the fixed points that were found, and the true ones beside them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from undertow.report.dynamics_marks import complex_of, growth_of
from undertow.report.material import Table
from undertow.report.quantities import hertz, seconds, written

MOST_ROWS = 20


def points_table(analysis: Mapping) -> Table | None:
    """A row for each fixed point, the nearest first; None where there are none."""
    points = analysis["fixed_points"]
    if not points:
        return None
    heads = (
        "",
        "Kind",
        "Slowest time constant",
        "Frequency",
        "Distance from the data",
        "Speed a bin",
        "Truth beside it",
    )
    matched = _matched(analysis["truth"])
    rows = tuple(
        (
            f"{place + 1}",
            point["kind"],
            seconds(point["slowest"]),
            hertz(point["frequency"]),
            written(point["distance"], ".2g"),
            written(point["speed"], ".1g"),
            matched.get(place, ""),
        )
        for place, point in enumerate(points[:MOST_ROWS])
    )
    if not matched:
        heads, rows = heads[:-1], tuple(row[:-1] for row in rows)
    more = f" Shown are the {MOST_ROWS} nearest of {len(points)}." if len(points) > MOST_ROWS else ""
    caption = (
        "Fixed points, nearest to the data first; distances and speeds in spreads of the latents." + more
    )
    return Table(caption, heads, rows)


def truth_table(analysis: Mapping) -> Table | None:
    """A row for each true fixed point in the data's region and what was found there; None where none is known."""
    truth = analysis["truth"]
    if not truth or not truth["fixed_points"]:
        return None
    heads = (
        "",
        "Kind",
        "Eigenvalues (1/s)",
        "Found as",
        "Kind",
        "Eigenvalues (1/s)",
        "Largest error",
        "Offset",
        "Offset, nearby",
    )
    rows = []
    for place, point in enumerate(truth["fixed_points"]):
        found = point["found"]
        told = ("not found", "", "", "")
        if found is not None:
            error = written(point["relative_error"], ".1%")
            there = _complex_words(complex_of(point["found_growth"]))
            told = (f"{found + 1}", point["found_kind"], there, error)
        rows.append(
            (
                f"true {place + 1}",
                point["kind"],
                _complex_words(growth_of(point)),
                *told,
                written(point["offset"], ".2g"),
                written(point.get("nearby_offset"), ".2g"),
            )
        )
    outside = truth["outside"]
    more = f" {outside} more lie outside the data's region and can't be asked of a model." if outside else ""
    caption = (
        f"The fixed points of the true system ({truth['system']}), and what was found in their place; offsets in standard "
        "deviations of the true latents, errors relative to the largest eigenvalue, both after the map from inferred to true "
        f"latents; nearby: after a map fitted to the nearest 2 % of the states.{more}"
    )
    return Table(caption, heads, tuple(rows))


def _matched(truth: Mapping | None) -> dict[int, str]:
    """By the place of a found point: what is true there."""
    pairs = truth["fixed_points"] if truth else ()
    return {
        point["found"]: f"true {place + 1}: {point['kind']}, {written(point['offset'], '.2g')} sd away"
        for place, point in enumerate(pairs)
        if point["found"] is not None
    }


def _complex_words(growth: np.ndarray) -> str:
    """Eigenvalues as a person writes them, each pair once."""
    upper = growth[growth.imag >= 0]
    words = (
        f"{value.real:.3g}" if abs(value.imag) < 1e-9 else f"{value.real:.3g} ± {value.imag:.3g}i"
        for value in upper[:4]
    )
    return ", ".join(words) + (", ..." if len(upper) > 4 else "")
