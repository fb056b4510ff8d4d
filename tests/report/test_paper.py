"""Figures for papers: Matplotlib without pyplot, at a paper's sizes, showing the data they were given."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from report_material import make_estimate, make_history, make_trials, make_yardstick

from undertow.report import excerpt, paper


def drawn(name, trials, estimate):
    arguments = {
        "learning_figure": (make_history(),),
        "rates_figure": (trials, estimate, make_yardstick(trials)),
    }
    return getattr(paper, name)(*arguments.get(name, (trials, estimate)))


NAMES = (
    "raster_figure",
    "rates_figure",
    "psth_figure",
    "factors_figure",
    "factor_courses_figure",
    "inputs_figure",
    "learning_figure",
)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_saved_and_their_text_is_a_papers(name, trials, estimate):
    figure = drawn(name, trials, estimate)
    target = io.BytesIO()
    figure.savefig(target, format="pdf")
    assert target.getvalue().startswith(b"%PDF")
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()}
    assert sizes <= {7.0, 8.0}
    assert figure.get_size_inches()[0] <= 7.2


@pytest.mark.parametrize(
    "shape", [{"conditions": 0}, {"ragged": True}, {"trials": 2, "neurons": 2, "conditions": 0}]
)
@pytest.mark.parametrize("factors", [1, 2, 5])
def test_figures_stand_any_data(shape, factors):
    trials = make_trials(**shape)
    estimate = make_estimate(trials, factors=factors, inputs=1, sd=False)
    for name in NAMES[:-1]:
        assert drawn(name, trials, estimate).axes


def test_the_inferred_rate_is_drawn_as_it_is(trials, estimate):
    figure = paper.rates_figure(trials, estimate)
    trial, neuron = excerpt.shown_trials(trials, 3)[0], excerpt.telling_neurons(trials, estimate)[0]
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["inferred rate"], estimate.rates.values[trial, :, neuron])
    np.testing.assert_allclose(lines["true rate"], trials.true_rates.values[trial, :, neuron])


def test_neither_pyplot_nor_settings_are_touched():
    code = (
        "import matplotlib, matplotlib.pyplot; before = dict(matplotlib.rcParams);"
        "import undertow.report.page, undertow.report.figures, undertow.report.paper as paper;"
        "paper.learning_figure([{'epoch': e, 'train/total': 1.0 / (e + 1)} for e in range(3)]);"
        "assert not matplotlib.pyplot.get_fignums(); assert dict(matplotlib.rcParams) == before"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(paper.__file__).parents[2])}
    environment.pop("DISPLAY", None)
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=environment)
