"""The report's section on dynamics: by which law the latents move, where they would stand still, and what happens near there.

It draws `analysis.json` as `undertow analyze` writes it. Numbers that are not finite are None there; complex numbers are pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from undertow.report import figures
from undertow.report.dynamics_tables import points_table, truth_table
from undertow.report.material import Material, Picture, Section
from undertow.report.quantities import written

_MARKS = (
    "Filled circles are stable: what comes near is drawn in. Open circles are unstable: everything is pushed out. Open diamonds "
    "are saddles: drawn in along some directions, pushed out along others."
)
_TRUE = (
    " Black squares: fixed points of the simulated system, mapped into these latents by the best affine map."
)
_TRAJECTORIES = (
    "Pale lines: latents of single trials along their main directions, with the share of the variance on the axes. Marks: "
    "states at which the model's law stands still, by their number in the table. {marks}{true} Trajectories should swirl around, "
    "leave or approach the marks as their kinds say; a mark far from all lines is the model's own extrapolation."
)
_FLOW = (
    "A slice of the flow through the mean of the latents, in the plane of the first two main directions. Arrows: where a state "
    "on this plane goes next, as far as that lies in the plane. Colours: how far it goes in a bin, in spreads of the "
    "latents, on a logarithmic scale; dark places are slow. Fixed points are projected onto the plane: where one is not dark, it "
    "lies above or below."
)
_EIGENVALUES = (
    "What a small push away from a fixed point becomes: one mark an eigenvalue, one colour a fixed point, shapes as above. Left "
    "of the line a push fades, right of it it grows; the inverse of the distance to the line is the time constant. Off the axis "
    "it turns, at the frequency on the ordinate, in pairs. {true}What fades by a factor of 7 or more in a bin is left out."
)
_TRUE_EIGENVALUES = (
    "Black squares: the true system at its fixed points; each should have a coloured mark on top of it. "
)


def section(material: Material) -> Section | None:
    """The section "Dynamics"; None where nothing was analysed."""
    analysis = material.analysis
    if analysis is None:
        return None
    tables = (points_table(analysis), truth_table(analysis))
    return Section(
        "dynamics",
        "Dynamics",
        _introduction(analysis),
        _pictures(analysis),
        facts=_facts(analysis),
        tables=tuple(table for table in tables if table is not None),
    )


def _introduction(analysis: Mapping) -> str:
    count = len(analysis["fixed_points"])
    found = (
        f"{count} fixed point{'s' * (count != 1)} lie{'s' * (count == 1)}" if count else "No fixed points lie"
    )
    searched = f"{analysis['starts']:,} starts, {analysis['when'][:10]}"
    return (
        f"The law by which the model moves its {analysis['latents']} latents from bin to bin, looked at apart from any data, "
        f"with {analysis['inputs_words']}. A fixed point is a state that the law leaves where it is. {found} within "
        f"{analysis['near']:g} spreads of the trajectories ({searched}). The spread of the latents is the root mean square "
        f"distance of their states from their mean. {' '.join(analysis['notes'])}"
    ).rstrip()


def _facts(analysis: Mapping) -> tuple[tuple[str, str], ...]:
    cycle, truth = analysis["cycle_consistency"], analysis["truth"] or {}
    facts = {
        "Lyapunov exponents (1/s)": _lyapunov(analysis["lyapunov"] or ()),
        f"Cycle consistency, {cycle['split']} trials": f"R2 {written(cycle['variance_weighted'], '.3f')}",
    }
    if truth:
        r2 = truth["latent_r2"]
        facts |= {
            "The true system": truth["system"],
            f"R2, latents to truth, {r2['split']} trials": written(r2["inferred_to_true"], ".3f"),
            f"R2, truth to latents, {r2['split']} trials": written(r2["true_to_inferred"], ".3f"),
            "Dissimilarity of dynamics (DSA)": written(truth["dissimilarity"], ".3f") + " rad",
        }
    return tuple(facts.items())


def _lyapunov(exponents: Sequence[float | None]) -> str:
    shown = ", ".join(written(exponent, ".3g") for exponent in exponents[:3])
    return f"{shown}, ..." if len(exponents) > 3 else shown or "not known"


def _pictures(analysis: Mapping) -> tuple[Picture, ...]:
    has_truth = bool(analysis["truth"] and analysis["truth"]["fixed_points"])
    words = _TRAJECTORIES.format(marks=_MARKS, true=_TRUE if has_truth else "")
    description = "Trajectories of latents with the fixed points of the model's dynamics."
    solid, flat = figures.dynamics_figure(analysis), figures.dynamics_planes_figure(analysis)
    pictures = [Picture("dynamics", solid, words, description)]
    if len(analysis["drawn"]["axes"]) > 2:
        pictures = [
            Picture("dynamics", solid, words, description, shown="screen"),
            Picture("dynamics-planes", flat, words, description, shown="flat"),
        ]
    if analysis["drawn"]["flow"] is not None:
        flow = figures.flow_figure(analysis)
        pictures.append(
            Picture("flow", flow, _FLOW, "Arrows and speeds of the flow in a plane of the latents.")
        )
    if analysis["fixed_points"] or has_truth:
        caption = _EIGENVALUES.format(true=_TRUE_EIGENVALUES if has_truth else "")
        eigenvalues = figures.eigenvalues_figure(analysis)
        pictures.append(
            Picture("eigenvalues", eigenvalues, caption, "Eigenvalues of fixed points in the complex plane.")
        )
    return tuple(pictures)
