"""The section on dynamics: there where something was analysed, with the points, marks and numbers it was given."""

import numpy as np
import pytest
from report_material import lorenz_states, make_material

from undertow.report import dynamics_section, dynamics_tables, figures, page, paper
from undertow.report.dynamics_marks import by_mark, growth_of
from undertow.report.eigenvalue_figure import limits
from undertow.report.material import Material

BIN_WIDTH, BIN = 0.02, 0.024  # seconds, and the system's time that a bin lasts
CENTRE, SCALE = np.array([0, 0, 25.0]), np.array([8.0, 9.0, 9.0])


def pairs(values):
    return [[float(value.real), float(value.imag)] for value in np.asarray(values, complex)]


def lorenz_point(state):
    """A fixed point of the Lorenz system as analysis tells it: its eigenvalues come from NumPy."""
    x, y, z = state
    jacobian = np.array([[-10, 10, 0], [28 - z, -1, -x], [y, x, -8 / 3]])
    growth = np.linalg.eigvals(jacobian) * BIN / BIN_WIDTH
    growth = growth[np.argsort(-growth.real)]
    turning = np.abs(growth.imag) / (2 * np.pi)
    return {
        "state": ((state - CENTRE) / SCALE).tolist(),
        "kind": "saddle focus" if turning.any() else "saddle",
        "growth": pairs(growth),
        "eigenvalues": pairs(np.exp(growth * BIN_WIDTH)),
        "slowest": float(1 / np.abs(growth.real).min()),
        "frequency": float(turning.max()) if turning.any() else None,
    }


def make_analysis(*, points=None, truth=True, latents=3):
    """What `undertow analyze` would say of a model that found the Lorenz system, but for one point."""
    root = np.sqrt(8 / 3 * 27)
    true = [lorenz_point(np.array(state)) for state in ([0, 0, 0], [root, root, 27], [-root, -root, 27])]
    found = [{**point, "speed": 1e-6, "distance": 0.3 + 0.1 * place} for place, point in enumerate(true[1:])]
    found = found if points is None else (found * points)[:points]
    paths = lorenz_states(trials=12, bins=100, starts=12, seed=0)[..., :latents]
    side = np.linspace(-2.5, 2.5, 20)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    states = np.concatenate([grid, np.zeros((20, 20, 1))], axis=2) * SCALE + CENTRE
    x, y, z = np.moveaxis(states, -1, 0)
    velocity = np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=-1) / SCALE * BIN
    flow = {
        "grid": grid.tolist(),
        "velocities": velocity[..., :2].tolist(),
        "speed": np.linalg.norm(velocity, axis=-1).tolist(),
    }
    truths = [
        {"kind": point["kind"], "growth": point["growth"], "state": point["state"], "found": found_as, "offset": 0.04,
         "nearby_offset": 0.03,
         "found_kind": None if found_as is None else found[found_as]["kind"], "relative_error": 0.02,
         "found_growth": None if found_as is None else found[found_as]["growth"]}
        for point, found_as in zip(true, [None, *range(min(2, len(found)))] + [None] * 3, strict=False)
    ]  # fmt: skip
    return {
        "schema": "undertow-analysis-1",
        "when": "2024-05-01T12:00:00+00:00",
        "model": "lfads",
        "latents": latents,
        "bin_width": BIN_WIDTH,
        "inputs_words": "all inputs zero",
        "starts": 1024,
        "near": 1.2,
        "fixed_points": found,
        "lyapunov": [1.1, 0.01, -17.3, -20.0][: latents + 1],
        "notes": [],
        "cycle_consistency": {"split": "valid", "mean": 0.97, "variance_weighted": 0.98},
        "truth": {
            "system": "lorenz63",
            "latent_r2": {"split": "valid", "inferred_to_true": 0.991, "true_to_inferred": 0.874},
            "alignment_r2": 0.99,
            "dissimilarity": 0.123,
            "outside": 1,
            "fixed_points": truths,
            "unmatched": [],
        }
        if truth
        else None,
        "drawn": {
            "axes": [f"latent PC {k + 1} (a.u., {40 - k}%)" for k in range(latents)],
            "trajectories": paths.tolist(),
            "fixed_points": [point["state"][:latents] for point in found],
            "true_fixed_points": [point["state"][:latents] for point in truths] if truth else [],
            "flow": flow if latents > 1 else None,
        },
    }


def section_of(analysis):
    material = make_material()
    lines = material.pop("history")
    return dynamics_section.section(Material(lines=lines, analysis=analysis, **material))


def test_marks_lie_where_the_points_are_and_tell_their_stability():
    analysis = make_analysis()
    analysis["fixed_points"][0]["kind"] = "stable node"
    figure = figures.dynamics_figure(analysis)
    paths, stable, saddle, true = figure.data
    assert np.isfinite(paths.x).sum() == 12 * 100
    assert np.isnan(paths.x).sum() == 12 + 1
    assert (stable.marker.symbol, saddle.marker.symbol, true.marker.symbol) == (
        "circle",
        "diamond-open",
        "square",
    )
    np.testing.assert_allclose(
        [stable.x[0], stable.y[0], stable.z[0]], analysis["fixed_points"][0]["state"], rtol=1e-5
    )
    assert list(saddle.text) == ["2"]
    assert len(true.x) == 3


def test_planes_are_the_trajectories_along_the_axes():
    analysis = make_analysis(truth=False)
    solid, flat = figures.dynamics_figure(analysis), figures.dynamics_planes_figure(analysis)
    lines = [trace for trace in flat.data if trace.mode == "lines"]
    for line, pair in zip(lines, ("xy", "xz", "yz"), strict=True):
        np.testing.assert_array_equal(line.x, solid.data[0][pair[0]])
        np.testing.assert_array_equal(line.y, solid.data[0][pair[1]])
    assert sum(trace.showlegend for trace in flat.data if trace.mode != "lines") == 1


@pytest.mark.parametrize("latents", [1, 2])
def test_few_latents_are_drawn_flat(latents):
    section = section_of(make_analysis(latents=latents))
    assert all(trace.type != "scatter3d" for picture in section.pictures for trace in picture.figure.data)
    assert {picture.shown for picture in section.pictures} == {"everywhere"}
    assert ("flow" in {picture.name for picture in section.pictures}) == (latents > 1)


def test_arrows_point_along_the_flow():
    analysis = make_analysis()
    figure = figures.flow_figure(analysis)
    heat, arrows = figure.data[:2]
    flow = analysis["drawn"]["flow"]
    np.testing.assert_allclose(10.0 ** np.asarray(heat.z, float), flow["speed"], rtol=1e-4)
    ends = np.stack([arrows.x, arrows.y], axis=-1).reshape(20, 20, 7, 2)
    shaft = ends[:, :, 1] - ends[:, :, 0]
    velocity = np.asarray(flow["velocities"])
    cosine = (shaft * velocity).sum(-1) / np.linalg.norm(shaft, axis=-1) / np.linalg.norm(velocity, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=1e-4)
    np.testing.assert_allclose((ends[:, :, 0] + ends[:, :, 1]) / 2, flow["grid"], atol=1e-5)


def test_eigenvalues_stand_at_their_growth_and_frequency():
    analysis = make_analysis()
    figure = figures.eigenvalues_figure(analysis)
    assert len(figure.data) == 2 + 3
    growth = growth_of(analysis["fixed_points"][0])
    np.testing.assert_allclose(figure.data[0].x, growth.real, rtol=1e-6)
    np.testing.assert_allclose(figure.data[0].y, growth.imag / (2 * np.pi), rtol=1e-6)
    low, high, top = limits(analysis)
    assert low < min(min(trace.x) for trace in figure.data)
    assert high > max(max(trace.x) for trace in figure.data)
    assert top > max(max(trace.y) for trace in figure.data)
    assert sum(trace.showlegend for trace in figure.data if trace.name == "true fixed point") == 1


def test_what_fades_at_once_does_not_squeeze_the_picture():
    analysis = make_analysis(truth=False)
    before = limits(analysis)
    analysis["fixed_points"][0]["growth"] += [[-4000.0, 0.0]]
    assert limits(analysis) == before


def test_points_are_sorted_by_their_marks():
    kinds = ["saddle", "stable focus", "saddle focus", "centre", "unstable node"]
    groups = by_mark([{"kind": kind} for kind in kinds])
    assert {mark.name: places for mark, places in groups.items()} == {
        "saddle": [0, 2],
        "stable": [1],
        "centre": [3],
        "unstable": [4],
    }


def test_the_section_is_on_the_page(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, **make_material(analysis=make_analysis()))
    text = path.read_text(encoding="utf-8")
    for name in ("dynamics", "dynamics-planes", "flow", "eigenvalues"):
        assert f'id="data-{name}"' in text
    for words in (
        "2 fixed points lie within 1.2 spreads",
        "all inputs zero",
        "true 2: saddle focus, 0.04 sd away",
        "not found",
        "1 more lie outside",
        "R2 0.980",
        "0.991",
        "0.874",
        "0.123 rad",
        "1.1, 0.01, -17.3, ...",
    ):
        assert words in text, words


def test_tables_tell_kinds_times_and_frequencies():
    points, truth = section_of(make_analysis()).tables
    row = points.rows[0]
    slowest, frequency = lorenz_point(np.array([np.sqrt(72), np.sqrt(72), 27]))["slowest"], row[3]
    assert row[:3] == ("1", "saddle focus", f"{slowest:.3g} s")
    assert frequency.endswith("Hz")
    assert [row[3] for row in truth.rows] == ["not found", "1", "2"]
    assert truth.rows[1][2] == truth.rows[1][5]
    assert len(points.heads) == len(row) == 7
    (alone,) = section_of(make_analysis(truth=False)).tables
    assert len(alone.heads) == len(alone.rows[0]) == 6


def test_without_fixed_points_the_section_says_so():
    section = section_of(make_analysis(points=0, truth=False))
    assert "No fixed points lie within 1.2 spreads of the trajectories (1,024 starts" in section.introduction
    assert section.tables == ()
    assert {picture.name for picture in section.pictures} == {"dynamics", "dynamics-planes", "flow"}


def test_many_points_stay_readable():
    section = section_of(make_analysis(points=50, truth=False))
    assert len(section.tables[0].rows) == dynamics_tables.MOST_ROWS
    assert "nearest of 50" in section.tables[0].caption
    marks = next(trace for trace in section.pictures[0].figure.data if trace.mode == "markers+text")
    assert set(marks.text) == {""}


def test_without_an_analysis_there_is_no_section(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, **make_material())
    assert 'id="dynamics"' not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("latents", [1, 2, 3])
def test_figures_for_papers_show_the_same(latents, tmp_path):
    analysis = make_analysis(latents=latents)
    figure = paper.dynamics_planes_figure(analysis)
    assert len(figure.axes) == (3 if latents == 3 else 1)
    path, saddle, true = figure.axes[0].lines
    np.testing.assert_allclose(saddle.get_xdata(), [point["state"][0] for point in analysis["fixed_points"]])
    assert (saddle.get_markerfacecolor(), true.get_markerfacecolor()) == ("none", "#111111")
    assert np.isfinite(path.get_xdata()).sum() == 12 * 100
    figure.savefig(tmp_path / "planes.pdf")
    eigenvalues = paper.eigenvalues_figure(analysis)
    drawn = np.concatenate([line.get_xdata() for line in eigenvalues.axes[0].lines[:2]])
    np.testing.assert_allclose(drawn, np.concatenate([growth_of(p).real for p in analysis["fixed_points"]]))
    eigenvalues.savefig(tmp_path / "eigenvalues.pdf")
    assert len(list(tmp_path.iterdir())) == 2
