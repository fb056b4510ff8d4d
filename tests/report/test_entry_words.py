"""Reports say what was recorded: spikes, events of imaging, or activity that may be negative."""

import numpy as np
import pytest
from report_material import make_estimate, make_history, make_scores, make_trials

from undertow.report import bars, figures, page, paper
from undertow.report.entry_words import ACTIVITY, EVENTS, SPIKES, words_of


def as_events(trials):
    """The same trials as events of imaging, all below 1, a third of them not sampled."""
    events = (0.04 * trials.counts).astype(np.float32).where(trials.trial % 3 > 0)
    return trials.assign(counts=events).assign_attrs(event_unit="one spike, by its calcium")


def as_activity(trials):
    """The same trials as values around zero."""
    return trials.assign(counts=trials.counts - 2.5)


def test_what_was_recorded_is_told_from_the_trials():
    trials = make_trials()
    assert words_of(trials) is SPIKES
    assert words_of(trials.assign(counts=trials.counts.where(trials.trial > 3))) is SPIKES
    assert words_of(as_events(trials)) is EVENTS
    assert words_of(as_activity(trials)) is ACTIVITY
    assert words_of(trials.assign(counts=0.5 * trials.counts)) is ACTIVITY


@pytest.mark.parametrize(("change", "words"), [(as_events, EVENTS), (as_activity, ACTIVITY)])
def test_a_page_of_other_entries_does_not_speak_of_spikes(tmp_path, change, words):
    trials = change(make_trials(trials=24))
    estimate = make_estimate(trials)
    path = tmp_path / "report.html"
    material = {"yardstick": None, "history": make_history(epochs=30), "scores": make_scores()}
    page.write(path, trials=trials, estimate=estimate, recipe={}, provenance={}, **material)
    text = path.read_text(encoding="utf-8").split("<main")[-1]
    shown = text[text.index("What was recorded") :]
    assert words.rate in shown and f"Above: recorded {words.many}" in shown
    for word in ("(Hz)", "spikes a bin", "recorded spikes", "single spike", "Left: spike counts"):
        assert word not in shown


def test_activity_below_zero_is_drawn():
    trials = as_activity(make_trials(trials=24))
    estimate = make_estimate(trials)
    estimate["rates"] = estimate.rates - 80
    figure = figures.rates_figure(trials, estimate)
    recorded = next(trace for trace in figure.data if trace.name == "recorded")
    assert np.nanmin(recorded.y) < 0 and not any("taller" in str(trace.name) for trace in figure.data)
    for axis in figure.select_yaxes():
        drawn = [trace.y for trace in figure.data if f"y{axis.plotly_name[5:]}" == trace.yaxis]
        assert axis.range[0] <= min(np.nanmin(values) for values in drawn)
    images = figures.raster_figure(trials, estimate)
    assert images.layout.coloraxis.cmin < 0 and images.layout.coloraxis2.cmin < 0
    titles = [axes.get_ylabel() for axes in paper.rates_figure(trials, estimate).axes]
    assert any("activity per second" in title for title in titles)


def test_scales_end_where_values_end():
    values = np.concatenate([np.full(5, np.nan), np.linspace(0, 0.2, 1001)])
    assert bars.count_limits(values, SPIKES) == (0.0, 1.0)
    low, high = bars.count_limits(values, EVENTS)
    assert low == 0 and high == pytest.approx(0.199)
    assert bars.limits(values - 0.1)[0] == pytest.approx(-0.099)
    assert bars.limits(np.full(3, np.nan)) == (0.0, 1.0)
