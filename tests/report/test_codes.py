"""The sections on codes: there for models that have codes, with the trials, steps and numbers they were given."""

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from report_material import make_estimate, make_history, make_material, make_scores, make_trials

from undertow.evaluation.generation import Comparison
from undertow.report import codes_section, figures, findings, page, paper, style
from undertow.report.codes import Codes, Generated, Paths, Read, Walk
from undertow.report.codes_words import near_turn, step_colours, step_names
from undertow.report.material import Material

TRIALS, STEPS, TIME, NEURONS = 40, 5, 20, 6


def make_walk(*, is_angle=True, plane=(0, 1), **changes):
    random = np.random.default_rng(0)
    asked = np.linspace(-np.pi, np.pi, STEPS, endpoint=False) if is_angle else np.linspace(3, 8, STEPS)
    rates = random.gamma(2, 5, (STEPS, TIME, NEURONS))
    channels = ("hand_x", "hand_y") if plane else ("force", "torque")
    ends = np.stack([np.cos(asked), np.sin(asked)], axis=1)[:, None]
    path = np.linspace(0, 1, TIME)[None, :, None] * ends
    walk = Walk(
        behaviour="reach_angle" if is_angle else "peak_speed",
        is_angle=is_angle,
        asked=asked,
        time=np.arange(TIME) * 0.02,
        source=6,
        counts=random.poisson(rates * 0.02).astype(float),
        rates=rates,
        neurons=np.array([f"n{place}" for place in range(NEURONS)]),
        changed=("n1", "n4"),
        recorded=rates[..., [1, 4]] + 1,
        generated=rates[..., [1, 4]],
        near=np.array([7, 9, 8, 7, 9]),
        read=np.repeat(asked[:, None], 3, axis=1),
        others={"curvature": 0.125, "start_x": 0.25},
        monotonicity=0.96,
        outside=0.05,
        paths=Paths(channels, path, 0.9 * path, 0.8 * path, 0.87, "validation trials", plane),
    )
    return replace(walk, **changes)


def make_generated(**changes):
    random = np.random.default_rng(1)
    counts = random.poisson(0.4, (2, 3, TIME, NEURONS)).astype(float)
    rates = random.gamma(2, 5, NEURONS)
    generated = Generated(
        time=np.arange(TIME) * 0.02,
        neurons=np.array([f"n{place}" for place in range(NEURONS)]),
        recorded=counts[0],
        generated=counts[1],
        averages=random.gamma(2, 5, (2, TIME, NEURONS)),
        rates=np.stack([rates, rates + 1]),
        deviations=np.stack([rates / 3, rates / 4]),
        correlations=random.normal(0, 0.05, (2, 15)),
        statistics={
            "spike_count_kl": Comparison(0.003, 0.002),
            "rate_mean_rmse": Comparison(0.4, 0.0),
        },
        note="",
        sizes=(TRIALS, 30),
    )
    return replace(generated, **changes)


def make_codes(**changes):
    random = np.random.default_rng(2)
    plane = random.normal(size=(TRIALS, 2))
    left_out = np.arange(TRIALS) % 4 == 0
    angle = np.arctan2(plane[:, 1], plane[:, 0])
    speed = random.uniform(20, 40, TRIALS)
    reads = (
        Read("reach_angle", True, angle, np.where(left_out, angle + 0.1, np.nan), 0.91),
        Read("peak_speed", False, speed, np.where(left_out, speed - 1, np.nan), -0.001),
    )
    codes = Codes(
        dimension=8,
        plane=plane,
        axes=("direction 1 (60%)", "direction 2 (30%)"),
        spread=np.ones(8),
        is_left_out=left_out,
        behaviours=reads,
        r2={"peak_speed": -0.001, "reach_angle": 0.91},
        walk=make_walk(),
        generated=make_generated(),
    )
    return replace(codes, **changes)


def material_of(codes):
    material = make_material()
    return Material(lines=material.pop("history"), codes=codes, **material)


def test_every_trial_is_a_dot_coloured_by_what_was_recorded():
    codes = make_codes()
    figure = figures.codes_figure(codes)
    assert len(figure.data) == 2
    for trace, read in zip(figure.data, codes.behaviours, strict=True):
        np.testing.assert_allclose(trace.x, codes.plane[:, 0], rtol=1e-6)
        expected = np.degrees(read.recorded) if read.is_angle else read.recorded
        np.testing.assert_allclose(trace.marker.color, expected, rtol=1e-5)
    angle = figure.data[0].marker
    assert (angle.cmin, angle.cmax) == (-180, 180)
    assert angle.colorscale[0][1] == angle.colorscale[-1][1]
    assert figure.data[1].marker.colorbar.x > angle.colorbar.x


def test_readings_are_those_of_trials_left_out_and_angles_stay_in_their_turn():
    codes = make_codes()
    figure = figures.readings_figure(codes)
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in dots] == [codes.is_left_out.sum()] * 2
    np.testing.assert_allclose(dots[0].y - dots[0].x, np.degrees(0.1), atol=1e-3)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["reach angle: R² 0.91", "peak speed: R² 0.00"]
    across = Read("a", True, np.array([3.1]), np.array([-3.1]), 1.0)
    assert near_turn(across) == pytest.approx(np.degrees(2 * np.pi - 3.1))


def test_the_steps_of_a_circle_have_colours_of_a_circle():
    walk = make_walk()
    assert step_names(walk) == ["−180°", "−108°", "−36°", "36°", "108°"]
    assert step_colours(walk)[0] == style.CYCLE_SCALE[0] == style.CYCLE_SCALE[-1]
    line = make_walk(is_angle=False)
    assert step_names(line)[0] == "3"
    assert (step_colours(line)[0], step_colours(line)[-1]) == (style.RANGE_SCALE[0], style.RANGE_SCALE[-1])


def test_a_walk_shows_its_steps():
    walk = make_walk()
    activity = figures.walk_activity_figure(walk)
    assert len(activity.data) == 2 * STEPS
    np.testing.assert_array_equal(activity.data[0].z, walk.counts[0].T)
    np.testing.assert_allclose(activity.data[-1].z, walk.rates[-1].T, rtol=1e-6)
    averages = figures.walk_averages_figure(walk)
    assert len(averages.data) == 2 * 2 * STEPS
    np.testing.assert_allclose(averages.data[0].y, walk.recorded[0, :, 0], rtol=1e-6)
    assert sum(trace.showlegend for trace in averages.data) == STEPS


@pytest.mark.parametrize("plane", [(0, 1), None])
def test_behaviour_is_drawn_in_a_plane_or_over_time(plane):
    walk = make_walk(plane=plane)
    figure = figures.walk_behaviour_figure(walk, walk.paths)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert len(lines) == 3 * STEPS * (1 if plane else 2)
    if plane:
        np.testing.assert_allclose(lines[-1].x, walk.paths.of_generated[-1, :, 0], atol=1e-6)
        ranges = {tuple(axis.range) for axis in figure.select_xaxes()}
        assert len(ranges) == 1


def test_generated_trials_stand_below_recorded_ones():
    generated = make_generated()
    figure = figures.generated_figure(generated)
    images = [np.asarray(trace.z) for trace in figure.data]
    np.testing.assert_array_equal(images[0], generated.recorded[0].T)
    np.testing.assert_array_equal(images[4], generated.generated[0].T)
    np.testing.assert_allclose(images[7], generated.averages[1].T, rtol=1e-6)
    dots = [trace for trace in figures.generated_neurons_figure(generated).data if trace.mode == "markers"]
    np.testing.assert_allclose(dots[0].y - dots[0].x, 1, atol=1e-5)
    assert len(dots) == 3


def test_the_sections_are_on_the_page(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, **make_material(codes=make_codes()))
    text = path.read_text(encoding="utf-8")
    for name in (
        *("codes", "readings", "walk-activity", "walk-averages", "walk-behaviour"),
        *("generated", "generated-neurons"),
    ):
        assert f'id="data-{name}"' in text
    for words in (
        "8 numbers",
        "the 10 validation trials",
        "A walk along reach angle",
        "Trial 7 made again",
        "7 to 9 trials a step",
        "0.96 (rank correlation)",
        "0.12 sd",
        "R² 0.87",
        "30 generated from 40 recorded trials",
        "1.50",
        "not known",
    ):
        assert words in text, words


def test_without_codes_there_are_no_sections(tmp_path):
    path = tmp_path / "report.html"
    page.write(path, **make_material())
    assert not {"codes", "walk-activity", "generated"} & {
        part.split('"')[0] for part in path.read_text(encoding="utf-8").split('id="data-')[1:]
    }


def test_without_behaviour_codes_are_grey_and_nothing_is_walked():
    codes = make_codes(behaviours=(), r2={}, walk=None)
    section = codes_section.codes(material_of(codes))
    assert [picture.name for picture in section.pictures] == ["codes"]
    assert "No behaviour is known" in section.pictures[0].caption
    assert section.facts == ()
    assert codes_section.walk(material_of(codes)) is None
    assert codes_section.generated(material_of(codes)) is not None


def test_without_generated_trials_the_rest_is_shown():
    codes = make_codes(generated=None)
    assert codes_section.generated(material_of(codes)) is None
    assert codes_section.codes(material_of(codes)) is not None
    assert found(codes) == []


def test_statistics_that_can_not_be_had_are_explained():
    bare = make_generated(statistics={}, note="No bin has all neurons.", correlations=np.zeros((2, 0)))
    section = codes_section.generated(material_of(make_codes(generated=bare)))
    assert section.tables == ()
    assert section.introduction.endswith("No bin has all neurons.")
    assert "pair" not in section.pictures[1].caption


WORRIES = {
    "Generated trials differ": {
        "generated": make_generated(statistics={"rate_sd_rmse": Comparison(5.0, 1.0)})
    },
    "tell little of behaviour": {"r2": {"peak_speed": 0.03}},
    "Unused code dimensions: 2": {"spread": np.array([1.0, 0.01, 0.9])},
    "is not followed": {"walk": make_walk(monotonicity=0.2)},
    "Other behaviours move along": {"walk": make_walk(others={"curvature": 0.8})},
    "leaves the data": {"walk": make_walk(outside=0.5)},
}


@pytest.mark.parametrize("words", WORRIES)
def test_worries_are_found_one_by_one(words):
    (finding,) = found(make_codes(**WORRIES[words]))
    assert words in finding.title
    assert finding.advice.endswith(".")


def test_good_codes_worry_nobody():
    assert found(make_codes()) == []
    assert found(make_codes(behaviours=(), r2={}, walk=None)) == []


def found(codes):
    trials = make_trials()
    asked = {"estimate": make_estimate(trials), "scores": make_scores(), "lines": make_history()}
    return findings.find(trials=trials, codes=codes, **asked)


DRAWN = {
    "codes_figure": make_codes(),
    "readings_figure": make_codes(),
    "walk_activity_figure": make_walk(),
    "walk_averages_figure": make_walk(is_angle=False),
    "generated_figure": make_generated(),
    "generated_neurons_figure": make_generated(),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_for_papers_have_a_papers_text(name):
    check(getattr(paper, name)(DRAWN[name]))


@pytest.mark.parametrize("plane", [(0, 1), None])
def test_paths_for_papers(plane):
    walk = make_walk(plane=plane)
    figure = paper.walk_behaviour_figure(walk, walk.paths)
    check(figure)
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), walk.paths.recorded[0, :, 1 if plane else 0])


def test_grey_codes_for_papers():
    check(paper.codes_figure(make_codes(behaviours=())))


def check(figure):
    figure.savefig(io.BytesIO(), format="pdf")
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()}
    assert sizes <= {7.0, 8.0}
    assert figure.get_size_inches()[0] <= 7.2
