"""A search on the page: what was selected, who broke down, how scores and numbers went; with any scores and any population."""

import copy
import json
import math
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from report_material import (
    NUMBERS,
    make_estimate,
    make_history,
    make_material,
    make_population,
    make_scores,
    make_trials,
)
from test_page import LIMIT, Outline, written

from undertow.report import figures, findings, paper
from undertow.report.population import Breakdown, Population
from undertow.report.population_lines import (
    broken_lines,
    copies,
    drawn_members,
    final_scores,
    score_limits,
    telling_limits,
    value_ticks,
)

BROKEN = {"lost": [(2, 1), (5, 3)]}
CASES = {
    "evolved": {},
    "random": {"algorithm": "random"},
    "random with breakdowns": {"algorithm": "random", "lost": [(3, g) for g in range(6)]},
    "breakdowns": BROKEN,
    "groups": {"sizes": (32, 64, 128), "ensemble": 3},
    "one member": {"members": 1},
    "one generation": {"generations": 1},
    "one member, one generation": {"members": 1, "generations": 1},
    "single": {"members": 1, "algorithm": "single", "ranges": {}},
    "nothing moves": {"ranges": {}},
    "unselected epoch": {"generations": 2},
}


def page_of(folder, told, *, history=()):
    """The text of a page on few trials that was told of a search."""
    trials = make_trials(trials=6, bins=10, neurons=4, conditions=0)
    return written(folder, **make_material(trials=trials, population=told, history=history))


def population(**case):
    return Population.of(make_population(**case))


def titles(**case):
    trials = make_trials()
    material = {"trials": trials, "estimate": make_estimate(trials), "scores": make_scores()}
    found = findings.find(**material, lines=make_history(), population=population(**case))
    return {finding.title: f"{finding.evidence} {finding.advice}" for finding in found}


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def broken_by_hand(told):
    """For every member its stretches of (generation, member) without a copy in between, in plain Python."""
    stretches = []
    for member in range(len(told["generations"][0]["scores"])):
        stretch = []
        for generation in range(len(told["generations"])):
            before = told["generations"][generation - 1]["parents"][member] if generation else member
            if before != member:
                stretches.append(stretch)
                stretch = []
            stretch.append((generation, member))
        stretches.append(stretch)
    return stretches


@pytest.mark.parametrize("name", CASES)
def test_the_page_of_any_search_is_complete(name, tmp_path):
    told = make_population(**CASES[name])
    if name == "unselected epoch":
        told["selected"]["epoch"] = -1
    before = copy.deepcopy(told)
    text = page_of(tmp_path, told)
    outline = Outline(text)
    assert outline.open == []
    assert "search" in outline.ids
    assert "search-scores" in outline.figures
    assert ("search-values" in outline.figures) == bool(told["ranges"])
    assert told["selected_on"] in text
    assert f"score {told['selected']['score']:.5g}" in text
    assert ("at the end, in generation" in text) == (name == "unselected epoch")
    assert not re.search(r"\b(nan|inf|None)\b", words_of_section(text))
    assert told == before


def words_of_section(text):
    """What the section "The search" says, without the figures' data."""
    begun = text[text.index('<section id="search"') :]
    return re.sub(r"<script.*?</script>", "", begun[: begun.index("</section>")], flags=re.S)


def test_an_ordinary_fit_has_no_such_section(tmp_path):
    text = page_of(tmp_path, None)
    assert 'id="search"' not in text
    assert "their ancestors" not in text


def test_the_section_follows_how_it_learned_and_says_whose_history_that_is(tmp_path):
    text = page_of(tmp_path, make_population(), history=make_history(epochs=4))
    places = [text.index(f'<section id="{anchor}"') for anchor in ("learning", "search", "rasters")]
    assert places == sorted(places)
    assert "their ancestors in the search" in text


def test_the_table_sets_the_selected_values_beside_the_populations(tmp_path):
    told = make_population(values={"lfads.dropout_rate": 0.123}, lost=[(0, 5)])
    text = page_of(tmp_path, told)
    ends = [
        value
        for member, value in enumerate(told["generations"][-1]["values"]["lfads.dropout_rate"])
        if member
    ]
    row = text[text.index('<th scope="row" class="key">lfads.dropout_rate') :]
    cells = row[: row.index("</tr>")]
    for words in ("0.123", f"{sorted(ends)[3]:.3g}", f"{min(ends):.3g} to {max(ends):.3g}", "0 to 0.6"):
        assert f"<td>{words}</td>" in cells


def test_groups_and_sizes_are_told(tmp_path):
    told = make_population(sizes=(32, 64, 128))
    text = page_of(tmp_path, told)
    scores = told["generations"][-1]["scores"]
    for group, size in enumerate((32, 64, 128)):
        assert f"lfads.generator = {size}" in text
        assert f"<td>{min(scores[group::3]):.5g}</td>" in text
    assert "3 of 3, 3, 2 members" in text
    assert "members at the end: 32 (3), 64 (3), 128 (2)" in text
    assert text.count("the winner&#39;s</td>") == 1


def test_members_that_broke_down_are_named_on_the_page(tmp_path):
    told = make_population(**BROKEN)
    told["generations"][1]["parents"][2], told["generations"][3]["parents"][5] = 7, 5
    told["lineage"] = [told["selected"]["member"]] * 6
    text = page_of(tmp_path, told)
    expected = (
        "member 2 in generation 1 (replaced by a copy of member 7); member 5 in generation 3 (not replaced)"
    )
    assert text.count(expected) == 2
    assert "2 breakdowns among the members" in text
    assert "Crosses along the top" in text


def test_many_breakdowns_are_counted_and_the_first_ones_named():
    told = titles(members=40, lost=[(member, 2) for member in range(39)])
    assert told["39 breakdowns among the members"].count("in generation 2") == 12
    assert "and 27 more" in told["39 breakdowns among the members"]


def test_a_member_that_stays_broken_is_named_once():
    told = make_population(algorithm="random", lost=[(3, 1), (3, 2), (3, 3), (4, 3)])
    assert Population.of(told).breakdowns == (Breakdown(3, 1, None), Breakdown(4, 3, None))


def test_a_member_that_breaks_down_again_after_a_rescue_is_named_again():
    told = make_population(lost=[(3, 1), (3, 2)])
    told["generations"][1]["parents"][3] = 6
    told["generations"][2]["parents"][3] = 7
    assert Population.of(told).breakdowns == (Breakdown(3, 1, 6), Breakdown(3, 2, 7))


@pytest.mark.parametrize("seed", range(4))
def test_lines_break_exactly_where_members_became_copies(seed):
    told = make_population(seed=seed)
    evolved = Population.of(told)
    generations, members, values = broken_lines(evolved, evolved.scores, np.arange(8))
    stretches, stretch = [], []
    for generation, member, value in zip(generations, members, values, strict=True):
        if math.isnan(generation):
            stretches.append(stretch)
            stretch = []
        else:
            assert value == evolved.scores[int(generation), int(member)]
            stretch.append((int(generation), int(member)))
    assert stretch == []
    assert stretches == broken_by_hand(told)
    began = list(zip(*(places.tolist() for places in copies(evolved, np.arange(8))), strict=True))
    starts = [stretch[0] for stretch in broken_by_hand(told) if stretch[0][0] > 0]
    assert sorted(began) == sorted(starts)


def test_the_scores_are_drawn_as_they_are():
    told = make_population(lost=[(1, 2)])
    figure = figures.search_scores_figure(Population.of(told))
    scores = np.array([line["scores"] for line in told["generations"]], float)
    np.testing.assert_allclose(traces(figure, "best")[0].y, np.nanmin(scores, axis=1))
    np.testing.assert_allclose(traces(figure, "median")[0].y, np.nanmedian(scores, axis=1))
    ancestors = [scores[generation, member] for generation, member in enumerate(told["lineage"])]
    np.testing.assert_allclose(traces(figure, "lineage of the winner")[0].y, ancestors)
    assert tuple(traces(figure, "selected")[0].y) == (told["selected"]["score"],)
    assert traces(figure, "broke down")[0].customdata[:, :2].tolist() == [[1, 2]]


def test_trajectories_show_lineage_range_and_selected_value_of_every_number():
    told = make_population()
    figure = figures.search_values_figure(Population.of(told))
    lines, bands, stars = (traces(figure, name) for name in ("lineage of the winner", "range", "selected"))
    for place, (key, where) in enumerate(NUMBERS.items()):
        ancestors = [
            line["values"][key][m] for line, m in zip(told["generations"], told["lineage"], strict=True)
        ]
        np.testing.assert_allclose(lines[place].y, ancestors)
        assert {*bands[place].y} == {where["low"], where["high"]}
        assert stars[place].y[0] == told["selected"]["values"][key]
        axis = figure.layout[f"yaxis{place + 1 if place else ''}"]
        assert axis.type == (None if where["is_added"] else "log")
    assert len(lines) == len(NUMBERS)


def test_a_random_search_draws_scores_against_values():
    told = make_population(algorithm="random", lost=[(2, 5)])
    figure = figures.search_values_figure(Population.of(told))
    last, winner = told["generations"][-1], told["selected"]["member"]
    dots, crosses = traces(figure, "member")[1], traces(figure, "broke down")[1]
    assert dots.customdata.tolist() == [member for member in range(8) if member != 2]
    expected = {m: last["scores"][m] for m in range(8) if m not in (2, winner)} | {
        winner: told["selected"]["score"]
    }
    np.testing.assert_allclose(dots.y, [expected[member] for member in dots.customdata])
    np.testing.assert_allclose(dots.x, [last["values"]["lfads.dropout_rate"][m] for m in dots.customdata])
    assert crosses.customdata.tolist() == [2]
    assert crosses.y[0] <= figure.layout.yaxis2.range[1]
    assert min(dots.y) == told["selected"]["score"]


def test_exploded_scores_do_not_squash_the_axis_and_are_counted(tmp_path):
    told = make_population(members=20)
    for generation, member in ((1, 3), (2, 4), (4, 7)):
        told["generations"][generation]["scores"][member] = 4000.0
    exploded = Population.of(told)
    low, high = score_limits(exploded)
    sound = exploded.scores[exploded.scores < 1000]
    assert low < sound.min()
    assert high < 1
    assert (exploded.best < high).all()
    assert high < sound.max() + 0.01
    text = page_of(tmp_path, told)
    outside = int((exploded.scores > high).sum())
    assert outside >= 3
    assert f"{outside} of 120 scores lie above the panel" in text


def test_exploded_scores_do_not_squash_a_random_searchs_panels_either(tmp_path):
    told = make_population(members=20, algorithm="random", lost=[(6, 5)])
    winner = told["selected"]["member"]
    for member in ((winner + 1) % 20, (winner + 2) % 20):
        told["generations"][-1]["scores"][member] = 4000.0 if member != 6 else None
    exploded = int((Population.of(told).scores[-1] > 1000).sum())
    figure = figures.search_values_figure(Population.of(told))
    assert max(figure.layout.yaxis.range) < 1
    words = words_of_section(page_of(tmp_path, told))
    assert f"{exploded} of {19} scores lie above the panel" in words
    assert words.count("Crosses along the top") == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    )
)
def test_limits_always_hold_the_lowest_score(rows):
    scores = np.array(rows)
    low, high = telling_limits(scores)
    finite = scores[np.isfinite(scores)]
    assert low < high
    assert finite.size == 0 or low <= finite.min() <= high
    assert finite.size == 0 or high <= finite.max() + 0.06 * np.ptp(finite) + max(
        1.0, 0.05 * abs(finite.max())
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(-8, 4), st.floats(0.05, 9))
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(exponent, decades):
    number = population(generations=1).numbers[0]
    low, high = 10.0**exponent, 10.0 ** (exponent + decades)
    values = np.array([[low, 0.0, high]])
    ticks = value_ticks(type(number)("key", low, high, False, True, values, low))
    assert len(ticks) <= 12
    assert all(0.98 * low <= tick <= 1.02 * high for tick in ticks)
    assert len(ticks) >= (1 if decades > 1 else 0)


def test_null_infinite_and_missing_scores_read_the_same():
    told = [make_population() for _ in range(3)]
    for case, value in zip(told, (None, math.inf, math.nan), strict=True):
        case["generations"][0]["scores"][1] = value
    read = [Population.of(case).scores for case in told]
    np.testing.assert_array_equal(read[0], read[1])
    np.testing.assert_array_equal(read[0], read[2])
    assert np.isnan(read[0][0, 1])


def test_a_generation_in_which_nobody_has_a_score_is_a_gap():
    told = make_population(lost=[(member, 2) for member in range(8)])
    gap = Population.of(told)
    assert np.isnan(gap.best[2])
    assert np.isnan(gap.median[2])
    assert np.isfinite(np.delete(gap.best, 2)).all()
    assert figures.search_scores_figure(gap).data


@pytest.mark.parametrize(
    ("key", "value", "algorithm", "edge"),
    [
        ("optimiser.learning_rate", 4.9e-3, "population", "upper"),
        ("optimiser.learning_rate", 1.05e-5, "population", "lower"),
        ("optimiser.learning_rate", 4e-3, "population", ""),
        ("lfads.dropout_rate", 0.595, "population", "upper"),
        ("lfads.dropout_rate", 0.0, "population", ""),
        ("objective.weights.kl_inputs", 1.0, "population", ""),
        ("objective.weights.kl_inputs", 1.0, "random", "upper"),
    ],
)
def test_a_value_at_the_edge_of_its_range_is_found(key, value, algorithm, edge):
    found = titles(values={key: value}, algorithm=algorithm)
    assert list(found) == ([f"Selected at the edge of the range: {key}"] if edge else [])
    for words in found.values():
        assert f"{key} is {value:.3g}, at the {edge} edge" in words
        assert f"--space {key}=LOW:HIGH" in words


def test_a_sound_search_is_not_suspicious():
    assert titles() == {}


def test_a_search_that_ended_without_settling_is_told_with_its_scores():
    told = titles(settled=False)
    best = population().best
    assert list(told) == ["The search ended before it settled"]
    assert f"from {best[2]:.5g} to {best[-1]:.5g}" in told["The search ended before it settled"]
    assert titles(settled=False, algorithm="random") == {}


def test_plain_validation_is_warned_of_before_anything_else(tmp_path):
    warning = "This search selects on the plain likelihood of the validation trials."
    found = titles(warning=warning, settled=False, **BROKEN)
    first, words = next(iter(found.items()))
    assert first == "This selection must not be trusted"
    assert warning in words
    assert "Don't use the selected weights" in words
    assert warning in page_of(tmp_path, make_population(warning=warning))


def test_whether_an_evolved_search_goes_on_improving_is_asked_of_the_population():
    trials = make_trials()
    material = {"trials": trials, "estimate": make_estimate(trials), "scores": make_scores()}

    def found(of):
        lines = make_history(epochs=120)
        return [finding.title for finding in findings.find(**material, lines=lines, population=of)]

    assert found(None) == ["Still improving at the end"]
    assert found(population(algorithm="random")) == ["Still improving at the end"]
    assert found(population()) == []


def test_a_large_search_makes_a_small_page_and_draws_its_winner(tmp_path):
    told = make_population(members=200, generations=300)
    text = page_of(tmp_path, told)
    assert len(text.encode()) < LIMIT
    assert "Drawn are 25 of 200 members." in text
    large = Population.of(told)
    assert drawn_members(large).size == 25
    lineage = traces(figures.search_scores_figure(large), "lineage of the winner")[0]
    assert len(lineage.y) == 300


def test_the_winners_final_score_is_the_selected_one():
    case = population()
    scores = final_scores(case)
    assert scores[case.selected.member] == case.selected.score
    others = np.delete(np.arange(8), case.selected.member)
    np.testing.assert_array_equal(scores[others], case.scores[-1][others])


@pytest.mark.parametrize("algorithm", ["population", "random"])
def test_the_figure_for_papers_shows_the_same(algorithm):
    case = population(algorithm=algorithm, lost=[(0, 5)])
    figure = paper.search_values_figure(case)
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()}
    assert sizes <= {7.0, 8.0}
    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.axison]
    assert shown == list(NUMBERS)
    curves = {line.get_label(): line for line in figure.axes[1].lines}
    if algorithm == "population":
        ancestors = case.along_lineage(case.numbers[1].values)
        np.testing.assert_allclose(curves["lineage of the winner"].get_ydata(), ancestors)
    else:
        np.testing.assert_allclose(curves["member"].get_xdata(), case.numbers[1].values[-1])
        assert curves["selected"].get_ydata()[0] == case.selected.score


@pytest.mark.parametrize("draw", [figures.search_scores_figure, figures.search_values_figure])
@pytest.mark.parametrize("name", CASES)
def test_figures_stand_any_search_and_can_be_embedded(draw, name):
    figure = draw(population(**CASES[name]))
    assert len(go.Figure(json.loads(figure.to_json())).data) == len(figure.data)
    names = [trace.name for trace in figure.data if trace.showlegend]
    assert len(names) == len(set(names))
