"""The section on latency: there where something was streamed, with the figures it was given."""

import numpy as np
import pytest
from report_material import make_material

from undertow.report import figures, page

LATENCY = {
    "bins": 2000,
    "median": 0.25,
    "p99": 0.5,
    "p99.9": 3.0,
    "worst": 31.0,
    "bin_width": 20.0,
    "missed": 1,
    "lag": 0.0,
    "window": None,
    "waits": True,
    "device": "cpu (x86_64)",
    "when": "2024-05-01T12:00:00+00:00",
    "histogram": {"edges": np.geomspace(0.1, 32, 11).tolist(), "bins": [0, 900, 1000, 90, 5, 2, 1, 1, 0, 1]},
}


def test_the_figure_shows_the_histogram_and_the_deadline():
    figure = figures.latency_figure(LATENCY)
    (bars,) = figure.data
    assert list(bars.y) == LATENCY["histogram"]["bins"]
    np.testing.assert_allclose(bars.width, np.diff(LATENCY["histogram"]["edges"]))
    assert [line.x0 for line in figure.layout.shapes] == [0.25, 0.5, 20.0]
    # Words stand beside their lines: on a logarithmic axis their place is the logarithm.
    words = {note.text: 10**note.x for note in figure.layout.annotations}
    assert words == pytest.approx({"median": 0.25, "p99": 0.5, "bin width": 20.0})
    assert figure.layout.xaxis.type == "log"
    low, high = (10**end for end in figure.layout.xaxis.range)
    assert low < 0.1
    assert high > 32
    assert "ms" in figure.layout.xaxis.title.text


def test_a_deadline_beyond_all_bars_is_in_the_picture():
    figure = figures.latency_figure({**LATENCY, "bin_width": 500.0})
    assert 10 ** figure.layout.xaxis.range[1] > 500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ("in real time", "one bin at a time", "1 (0.05%)", "0.25 ms", "31 ms", "20 ms", "cpu (x86_64)")),
        (
            {"waits": False, "window": 50, "lag": 60.0},
            ("as fast as possible", "the last 50 bins", "by 60 ms"),
        ),
    ],
)
def test_the_section_is_on_the_page(tmp_path, change, words):
    path = tmp_path / "report.html"
    page.write(path, **make_material(latency={**LATENCY, **change}))
    text = path.read_text(encoding="utf-8")
    assert 'id="data-latency"' in text
    assert all(word in text for word in words)


def test_without_a_replay_there_is_no_section(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, **make_material())
    assert "latency" not in path.read_text(encoding="utf-8").split("<body>")[1].split("<script")[0]
    assert 'id="data-latency"' not in path.read_text(encoding="utf-8")
