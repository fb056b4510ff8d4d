"""What an analysis found, as analysis.json in the run's folder and as a table on a terminal.

Complex numbers are pairs, what is not finite is None, arrays are lists. Growth is in 1/s, frequencies in Hz, time constants in s.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from undertow.analysis.fixed_points import FixedPoints, FixedPointSearch
from undertow.analysis.linearisation import Linearisation
from undertow.analysis.truth import CLOSE
from undertow.experiments.analysis_truth import Truth
from undertow.files import write_bytes
from undertow.report.quantities import hertz, seconds, written

NAME = "analysis.json"
SCHEMA = "undertow-analysis-1"
MOST_ROWS = 20


def law(
    search: FixedPointSearch, points: FixedPoints, linear: Linearisation, lyapunov: np.ndarray | None
) -> dict[str, Any]:
    """The part on the model's own law: how it was searched, its fixed points, its Lyapunov exponents."""
    return {
        **search.model_dump(),
        "fixed_points": [_point(points, linear, place) for place in range(len(points.states))],
        "lyapunov": None if lyapunov is None else lyapunov.tolist(),
    }


def truth(truth: Truth) -> dict[str, Any]:
    """The part on the true system: scores of the latents, and its fixed points beside those found."""
    facts = {
        "system": truth.name,
        "latent_r2": {
            "split": truth.split,
            "inferred_to_true": truth.r2.inferred_to_true.variance_weighted,
            "true_to_inferred": truth.r2.true_to_inferred.variance_weighted,
        },
        "alignment_r2": truth.alignment.r2,
        "dissimilarity": truth.dissimilarity,
        "is_known": truth.comparison is not None,
        "outside": 0,
        "fixed_points": [],
        "strays": [],
    }
    if truth.comparison is None:
        return facts
    rows = [_true_point(truth, row) for row in range(len(truth.comparison.expected))]
    outside = len(truth.side.states) - len(rows)
    return {
        **facts,
        "outside": outside,
        "fixed_points": rows,
        "strays": truth.comparison.strays.tolist(),
    }


def write(folder: Path, document: dict[str, Any]) -> None:
    """analysis.json in a run's folder, from a document as `finite` makes it."""
    write_bytes(folder / NAME, json.dumps(document, allow_nan=False).encode())


def read(folder: Path) -> dict[str, Any] | None:
    """What `write` wrote; None where nothing was analysed yet, or by another version."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return document if document.get("schema") == SCHEMA else None


def table(document: dict[str, Any]) -> str:
    """The fixed points as lines for a terminal, the true ones below, then the scores."""
    lines = [*_point_lines(document), *_truth_lines(document), *_score_lines(document), *document["notes"]]
    return "\n".join(lines)


def _point(points: FixedPoints, linear: Linearisation, place: int) -> dict[str, Any]:
    growth, times = linear.growth[place], linear.time_constants[place]
    turning = np.flatnonzero(linear.frequencies[place] > 0)
    slowest_turning = turning[np.argmax(times[turning])] if turning.size else None
    return {
        "state": points.states[place].tolist(),
        "kind": linear.kinds[place],
        "distance": float(points.distances[place]),
        "speed": float(points.speeds[place]),
        "slowest": float(times.max()),
        "frequency": None if slowest_turning is None else float(linear.frequencies[place, slowest_turning]),
        "eigenvalues": pairs(linear.eigenvalues[place]),
        "growth": pairs(growth),
        "time_constants": times.tolist(),
        "frequencies": linear.frequencies[place].tolist(),
    }


def _true_point(truth: Truth, row: int) -> dict[str, Any]:
    side, comparison = truth.side, truth.comparison
    place, found = comparison.expected[row], int(comparison.found[row])
    offset = float(comparison.distances[row])
    order = np.argsort(-side.growth[place].real, kind="stable")
    is_found = found >= 0 and offset <= CLOSE
    return {
        "state": side.states[place].tolist(),
        "kind": side.kinds[place],
        "distance": float(side.distances[place]),
        "growth": pairs(side.growth[place][order]),
        "found": found if is_found else None,
        "offset": offset,
        "nearby_offset": float(comparison.nearby_distances[row]),
        "found_kind": comparison.kinds[found] if is_found else None,
        "has_same_kind": bool(comparison.same_kind[row]) and is_found,
        "found_growth": pairs(comparison.growth[row][order]) if is_found else None,
        "eigenvalue_error": float(comparison.eigenvalue_errors[row].max()) if is_found else None,
        "relative_error": float(comparison.relative_errors[row]) if is_found else None,
    }


def pairs(values: np.ndarray) -> list[list[float]]:
    """Complex numbers as pairs of their real and imaginary parts."""
    return np.stack([values.real, values.imag], axis=-1).tolist()


def finite(value: Any) -> Any:
    """The same with None in place of numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _point_lines(document: dict[str, Any]) -> list[str]:
    points = document["fixed_points"]
    searched = f"{document['near']:g} spreads of the trajectories ({document['starts']} starts, {document['inputs_words']})"
    if not points:
        return [f"No fixed points lie within {searched}."]
    head = f"{'':>4}  {'kind':<14}{'time constant':>14}{'frequency':>12}{'distance':>10}{'speed':>10}"
    rows = [
        f"{place + 1:>4}  {point['kind']:<14}{seconds(point['slowest']):>14}{hertz(point['frequency']):>12}"
        f"{point['distance']:>10.3f}{point['speed']:>10.1g}"
        for place, point in enumerate(points[:MOST_ROWS])
    ]
    more = [f"      and {len(points) - MOST_ROWS} further away"] if len(points) > MOST_ROWS else []
    is_one = len(points) == 1
    count = "1 fixed point lies" if is_one else f"{len(points)} fixed points lie"
    return [f"{count} within {searched}:", head, *rows, *more]


def _truth_lines(document: dict[str, Any]) -> list[str]:
    truth = document["truth"]
    if truth is None or not truth["is_known"]:
        return []
    rows = [_true_line(place, point) for place, point in enumerate(truth["fixed_points"])]
    outside = [f"      {truth['outside']} more outside the data's region"] if truth["outside"] else []
    strays = truth["strays"]
    more = [f"      {len(strays)} of the model's own stand for no true one"] if strays else []
    return [
        f"Fixed points of the true system '{truth['system']}' near its trajectories:",
        *rows,
        *outside,
        *more,
    ]


def _true_line(place: int, point: dict[str, Any]) -> str:
    begin = f"{place + 1:>4}  {point['kind']:<14}"
    if point["found"] is None:
        nearest = "" if point["offset"] is None else f", the nearest is {point['offset']:.2f} sd away"
        return f"{begin}not found{nearest}"
    agrees = "" if point["has_same_kind"] else f", but as {point['found_kind']}"
    return (
        f"{begin}found as {point['found'] + 1}, {point['offset']:.3f} sd away ({point['nearby_offset']:.3f} by the states around "
        f"it), eigenvalues within {point['relative_error']:.1%}{agrees}"
    )


def _score_lines(document: dict[str, Any]) -> list[str]:
    cycle, truth = document["cycle_consistency"], document["truth"]
    lines = [
        f"Cycle consistency on {cycle['split']} trials: R2 {written(cycle['variance_weighted'], '.4f')}."
    ]
    if document["lyapunov"] is not None:
        exponents = document["lyapunov"]
        shown = ", ".join(f"{exponent:.3g}" for exponent in exponents[:3])
        lines.append(f"Lyapunov exponents: {shown}{', ...' if len(exponents) > 3 else ''} /s.")
    if truth is not None:
        r2 = truth["latent_r2"]
        lines.append(
            f"Latents on {r2['split']} trials: R2 {written(r2['inferred_to_true'], '.4f')} to the true ones, "
            f"{written(r2['true_to_inferred'], '.4f')} from them; dissimilarity of dynamics "
            f"{written(truth['dissimilarity'], '.3f')} rad."
        )
    return lines
