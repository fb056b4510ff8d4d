"""The page: complete, self-contained, small for any data, and written whole or not at all."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr
from plotly.offline import get_plotlyjs
from report_material import make_estimate, make_history, make_material, make_scores, make_trials

from undertow.report import page
from undertow.report.averages import smoothed_rates
from undertow.vocabulary import UndertowError

LIMIT = 8_000_000


class Outline(HTMLParser):
    """Ids, links, loaded addresses and figures of a page; complains about elements closed wrongly."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loaded, self.figures, self.open = [], [], [], {}, []
        self._figure = None
        self.feed(text.replace(get_plotlyjs(), ""))
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.loaded += [attributes[name] for name in ("src", "data") if name in attributes]
        if attributes.get("type") == "application/json":
            self._figure = attributes["id"].removeprefix("data-")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self._figure = None

    def handle_data(self, data):
        if self._figure:
            self.figures[self._figure] = go.Figure(json.loads(data))


def written(tmp_path, **material):
    path = tmp_path / "report.html"
    page.write(path, **material)
    return path.read_text(encoding="utf-8")


def make_case(*, factors=20, estimated_inputs=0, bare=False, **shape):
    trials = make_trials(**shape)
    changes = {"yardstick": None, "history": [], "scores": {}, "recipe": {}, "provenance": {}} if bare else {}
    return make_material(
        trials=trials,
        estimate=make_estimate(trials, factors=factors, inputs=estimated_inputs, sd=not bare),
        **changes,
    )


CASES = {
    "everything": {"held_out": 5, "forward": 5, "inputs": True, "estimated_inputs": 2},
    "no conditions": {"conditions": 0},
    "ragged": {"ragged": True, "estimated_inputs": 1},
    "hundred neurons": {"neurons": 100},
    "two factors": {"factors": 2},
    "one factor": {"factors": 1},
    "no factors, nothing but rates": {"factors": 0, "bare": True, "conditions": 0},
    "one trial, one neuron": {"trials": 1, "neurons": 1, "conditions": 0, "bare": True},
    "two bins": {"bins": 2},
}


@pytest.mark.parametrize("name", CASES)
def test_pages_are_complete_and_need_nothing_from_elsewhere(name, tmp_path):
    case = CASES[name]
    text = written(tmp_path, **make_case(**case))
    outline = Outline(text)
    assert outline.open == []
    assert outline.loaded == []
    assert len(outline.ids) == len(set(outline.ids))
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    assert ("inputs" in outline.figures) == ("estimated_inputs" in case)
    assert ("factors" in outline.figures) == (case.get("factors", 20) > 0)
    assert ("learning" in outline.figures) == (not case.get("bare", False))
    assert {"recorded", "rasters", "rates", "averages"} <= set(outline.figures)
    assert text.count(get_plotlyjs()) == 1
    assert len(text.encode()) < LIMIT


def test_the_page_stays_small_for_large_data(tmp_path):
    case = make_case(trials=100, bins=479, neurons=64, conditions=10, inputs=True, estimated_inputs=6)
    case["history"] = make_history(epochs=8000)
    text = written(tmp_path, **case)
    assert len(text.encode()) < LIMIT


def test_summary_scores_findings_and_recipe_are_on_the_page(tmp_path):
    text = written(tmp_path, **make_material(scores=make_scores(model=0.1)))
    for words in (
        "LFADS on lorenz-2024",
        "48 training trials",
        "Simple smoothing does better",
        "lfads.prior.sd",
        "undertow fit lfads",
    ):
        assert words in text
    assert 'class="value better">0.120' in text
    assert "Nothing suspicious" not in text
    assert "Nothing suspicious" in written(tmp_path, **make_material())


def test_what_was_selected_on_is_said_in_words(tmp_path):
    scores = {**make_scores(), "selected_on": "held_out"}
    text = written(tmp_path, **make_material(scores=scores))
    assert "selected on the likelihood of validation trials, held-out neurons." in text


def test_names_from_the_data_cannot_become_markup(tmp_path):
    trials = make_trials(trials=12)
    evil = "</script><script>alert(1)</script>"
    trials.attrs["session"] = evil
    trials = trials.assign_coords(condition=("trial", np.array([evil, "b"] * 6)))
    material = make_material(trials=trials, recipe={"x": evil})
    text = written(tmp_path, **material)
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text
    assert Outline(text).open == []


def test_the_page_forbids_the_network_and_offers_no_upload(tmp_path):
    text = written(tmp_path, **make_material())
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'", text)
    assert '"sendChartToCloud"]' in text


def test_every_figure_has_a_caption_and_a_description(tmp_path):
    text = written(tmp_path, **make_case(**CASES["everything"]))
    figures = re.findall(r"<figure.*?</figure>", text, re.S)
    assert len(figures) == 9
    assert all(len(re.search(r"<figcaption>(.*?)</figcaption>", figure, re.S)[1]) > 60 for figure in figures)
    assert all(re.search(r'role="img" aria-label="[^"]{20,}"', figure) for figure in figures)


def test_a_failed_write_leaves_the_old_page_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(UndertowError, match=r"report\.html.*No space left on device.*choose a folder"):
        page.write(path, **make_material())
    assert [child.name for child in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UndertowError, match="nowhere"):
        page.write(tmp_path / "nowhere" / "report.html", **make_material())


def test_an_estimate_of_other_trials_is_refused(tmp_path):
    trials = make_trials()
    with pytest.raises(UndertowError, match=r"\(60, 49, 29\).*\(60, 50, 29\)"):
        page.write(
            tmp_path / "r.html",
            **make_material(trials=trials, estimate=make_estimate(trials).isel(time=slice(49))),
        )
    with pytest.raises(UndertowError, match="no variable 'rates'"):
        page.write(
            tmp_path / "r.html",
            **make_material(trials=trials, estimate=make_estimate(trials).drop_vars("rates")),
        )
    with pytest.raises(UndertowError, match="yardstick"):
        page.write(
            tmp_path / "r.html", **{**make_material(trials=trials), "yardstick": trials[["true_latents"]]}
        )
    assert list(tmp_path.iterdir()) == []


def test_writing_changes_nothing_it_was_given(tmp_path):
    material = make_material()
    before = {name: material[name].copy(deep=True) for name in ("trials", "estimate", "yardstick")}
    page.write(tmp_path / "r.html", **material)
    assert all(material[name].identical(before[name]) for name in before)


def test_a_real_recording_makes_a_page(recordings, tmp_path):
    source = recordings / "macaque_reaching.npz"
    if not source.is_file():
        pytest.skip(f"no {source}")
    held = np.load(source)
    counts = held["counts"].astype(np.float32)
    number, bins, neurons = counts.shape
    coordinates = {
        "time": (np.arange(bins) + 0.5) * 0.02,
        "neuron": np.arange(neurons),
        "split": ("trial", np.where(np.arange(number) % 5 == 0, "valid", "train")),
        "held_out": ("neuron", np.arange(neurons) % 4 == 0),
        "forward": ("time", np.zeros(bins, bool)),
        "condition": ("trial", held["condition"]),
    }
    axes = ("trial", "time", "neuron")
    trials = xr.Dataset({"counts": (axes, counts)}, coordinates, {"bin_width": 0.02, "session": "reaching"})
    estimate = xr.Dataset({"rates": (axes, smoothed_rates(counts, 0.02))})
    text = written(tmp_path, **make_material(trials=trials, estimate=estimate))
    assert f"{int(counts.sum()):,}" in text
    names = {trace.name for trace in Outline(text).figures["averages"].data}
    assert names == set(map(str, range(7)))
