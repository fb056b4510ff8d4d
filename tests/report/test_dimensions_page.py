"""The page on latent sizes: what it recommends, what makes that uncertain, and what it draws."""

import json
import re

import pytest
from test_page import Outline

from undertow.report import dimensions_figure, dimensions_page

SIZES = (3, 5, 8, 16)


def make_told(*, recommended=5, best=8, seeds=2, latent_r2=0.9, gain=0.01, **changes):
    """What dimensions.json holds of four sizes."""
    rows = [
        {
            "size": size,
            "score": 0.8 + 0.01 * place,
            "behind": 0.02 - gain * place,
            "error": 0.0 if size == best else 0.015,
            "cycle_consistency": 1.0 if size < 16 else 0.7,
            "latent_r2": latent_r2,
            "is_consistent": size < 16,
            "is_within": size in (5, 8),
            "fits": [
                {
                    "seed": seed,
                    "folder": f"size-{size:02}",
                    "score": 0.8 + 0.01 * place + 0.001 * seed,
                    "cycle_consistency": 1.0,
                    "latent_r2": latent_r2,
                    "epochs": 100,
                    "seconds": 12.3,
                }
                for seed in range(seeds)
            ],
        }
        for place, size in enumerate(SIZES)
    ]
    return {
        "session": "a <session>",
        "model": "autoencoder",
        "field": "latents",
        "score": "rate_r2",
        "words": "rate R²",
        "margin": 0.05,
        "recommended": recommended,
        "best": best,
        "why": "Because it is so.",
        "sizes": rows,
        "recipe": {"model": "autoencoder", "autoencoder": {"latents": 3}},
        "provenance": {"seed": 0},
        **changes,
    }


def test_the_page_is_whole_and_loads_nothing(tmp_path):
    dimensions_page.write(tmp_path / "dimensions.html", make_told())
    text = (tmp_path / "dimensions.html").read_text(encoding="utf-8")
    found = Outline(text)
    assert found.open == []
    assert found.loaded == []
    assert list(found.figures) == ["dimensions"]
    assert "Take 5. Because it is so." in text
    assert "The sequential autoencoder on a &lt;session&gt;" in text
    assert [path.name for path in tmp_path.iterdir()] == ["dimensions.html"]
    assert {link for link in found.links if link.startswith("#")} <= {f"#{name}" for name in found.ids}


def test_every_size_has_its_verdict():
    rows = dimensions_page.section(make_told()).tables[0].rows
    assert [row[-1] for row in rows] == [
        "rates fit worse",
        "recommended",
        "scores as well",
        "latents that no rate shows",
    ]
    assert rows[2][2] == "–"
    assert rows[0][2] == "0.0200 ± 0.0150"


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        ({}, ["latents=5 is recommended"]),
        ({"best": 16, "gain": 0.006}, ["latents=5 is recommended", "The largest size scores best"]),
        ({"recommended": 3}, ["latents=3 is recommended", "The smallest size is recommended"]),
        ({"gain": 0.02}, ["latents=5 is recommended", "Sizes that were left out score better"]),
        ({"seeds": 1}, ["latents=5 is recommended", "One fit of each size"]),
        ({"recommended": None, "seeds": 1}, ["No size is recommended"]),
    ],
)
def test_findings_say_what_makes_the_answer_uncertain(changes, titles):
    assert [finding.title for finding in dimensions_page.findings(make_told(**changes))] == titles


def test_the_figure_draws_means_seeds_and_what_is_left_out():
    figure = dimensions_figure.dimensions_figure(make_told())
    curves = [trace for trace in figure.data if trace.name == "mean over seeds"]
    assert [list(curve.x) for curve in curves] == [list(SIZES)] * 3
    assert list(curves[0].error_y.array) == [0.015, 0.015, 0.0, 0.015]
    assert list(curves[1].marker.symbol) == ["circle"] * 3 + ["circle-open"]
    assert sum(len(trace.x) == 8 for trace in figure.data) == 3
    assert len([trace for trace in figure.data if trace.name == "recommended (5)"]) == 1


def test_without_truth_or_recommendation_there_is_less_to_draw():
    told = make_told(latent_r2=None, recommended=None, seeds=1)
    figure = dimensions_figure.dimensions_figure(told)
    assert len(figure.data) == 2
    text = dimensions_page.render(told)
    assert "true ones explain" not in text
    assert json.loads(re.search(r'id="data-dimensions">(.*?)</script>', text, re.DOTALL).group(1))["data"]
