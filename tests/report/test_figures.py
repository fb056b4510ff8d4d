"""Interactive figures: they show the data they were given, with units, and change nothing."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
from report_material import make_estimate, make_history, make_trials, make_yardstick

from undertow.report import excerpt, figures, learning, rasters

FIGURES = {
    "raster": figures.raster_figure,
    "rates": figures.rates_figure,
    "psth": figures.psth_figure,
    "factors": figures.factors_figure,
    "planes": figures.factor_planes_figure,
    "courses": figures.factor_courses_figure,
    "inputs": figures.inputs_figure,
}
UNITS = (
    "(s)",
    "(Hz)",
    "a.u.",
    "counts",
    "rates",
    "trials",
    "neurons",
    "epoch",
    "second",
    "condition",
    "split",
)


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def axis_titles(figure):
    return [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_serialise_keep_their_data_and_name_units(name, trials, estimate):
    before = trials.copy(deep=True), estimate.copy(deep=True)
    figure = FIGURES[name](trials, estimate)
    assert trials.identical(before[0])
    assert estimate.identical(before[1])
    again = go.Figure(json.loads(figure.to_json()))
    assert len(again.data) == len(figure.data) > 0
    titles = axis_titles(figure) + [axis["title"]["text"] for axis in _scene_axes(figure)]
    assert len(titles) >= 2
    assert all(any(unit in title for unit in UNITS) for title in titles)


def _scene_axes(figure):
    scene = figure.layout.scene.to_plotly_json()
    return [scene[axis] for axis in ("xaxis", "yaxis", "zaxis") if axis in scene]


def test_the_same_material_gives_the_same_figure(trials, estimate):
    assert (
        figures.rates_figure(trials, estimate).to_json() == figures.rates_figure(trials, estimate).to_json()
    )


def test_raster_shows_counts_above_rates_of_the_same_neurons(trials, estimate):
    figure = figures.raster_figure(trials, estimate)
    chosen = excerpt.shown_trials(trials)
    neurons = excerpt.raster_neurons(estimate, chosen)
    assert len(figure.data) == 2 * len(chosen)
    for place, trial in enumerate(chosen):
        counts, rates = figure.data[2 * place], figure.data[2 * place + 1]
        assert counts.yaxis != rates.yaxis
        assert list(counts.y) == list(rates.y) == [excerpt.neuron_label(trials, neuron) for neuron in neurons]
        np.testing.assert_array_equal(counts.z, trials.counts.values[trial][:, neurons].T)
        np.testing.assert_allclose(rates.z, estimate.rates.values[trial][:, neurons].T, rtol=1e-6)


def test_rates_are_blank_after_the_end_of_a_short_trial():
    trials = make_trials(ragged=True, neurons=8)
    images = rasters.raster_images(trials, make_estimate(trials), np.arange(5), np.arange(8))
    np.testing.assert_array_equal(np.isnan(images["rates"]), np.isnan(images["counts"]))
    assert np.isnan(images["rates"]).any()


def test_long_trials_are_pooled():
    trials = make_trials(trials=10, bins=700, neurons=4)
    images = rasters.raster_images(trials, make_estimate(trials), np.arange(2), np.arange(4))
    assert images["time"].shape == (233,)
    np.testing.assert_allclose(images["counts"][1, 2, 5], trials.counts.values[1, 15:18, 2].mean(), rtol=1e-6)


def test_single_trial_rates_carry_truth_yardstick_band_and_spikes(trials, estimate):
    yardstick = make_yardstick(trials)
    figure = figures.rates_figure(trials, estimate, yardstick)
    trial, neuron = excerpt.shown_trials(trials, 3)[0], excerpt.telling_neurons(trials, estimate)[0]
    for name, source in (
        ("true rate", trials.true_rates),
        ("smoothing yardstick", yardstick.rates),
        ("inferred rate", estimate.rates),
    ):
        np.testing.assert_allclose(traces(figure, name)[0].y, source.values[trial, :, neuron], rtol=1e-5)
    band = np.asarray(traces(figure, "inferred rate ± 2 sd")[0].y)
    half = len(band) // 2
    width = band[:half] - band[half:][::-1]
    np.testing.assert_allclose(width, 4 * estimate.rates_sd.values[trial, :, neuron], rtol=1e-4)
    spikes = traces(figure, "spikes (taller: more in the bin)")[0]
    fired = trials.counts.values[trial, :, neuron] > 0
    np.testing.assert_allclose(spikes.x, trials.time.values[fired], rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(spikes.customdata, trials.counts.values[trial, fired, neuron])


def test_each_name_stands_in_the_legend_once(trials, estimate):
    for figure in (
        FIGURES["rates"](trials, estimate),
        FIGURES["psth"](trials, estimate),
        FIGURES["inputs"](trials, estimate),
    ):
        named = [trace.name for trace in figure.data if trace.showlegend]
        assert len(named) == len(set(named)) > 0


def test_averages_of_inferred_rates_are_plain_means(trials, estimate):
    figure = figures.psth_figure(trials, estimate)
    neuron = excerpt.telling_neurons(trials, estimate)[0]
    members = trials.condition.values == "target 2"
    expected = estimate.rates.values[members][:, :, neuron].mean(axis=0)
    model = next(trace for trace in traces(figure, "target 2") if trace.xaxis == "x2")
    np.testing.assert_allclose(model.y, expected, rtol=1e-5)


def test_three_dimensions_are_drawn_only_where_there_are(trials):
    kinds = {
        number: figures.factors_figure(trials, make_estimate(trials, factors=number)).data[0].type
        for number in (1, 2, 3, 9)
    }
    assert kinds == {1: "scatter", 2: "scatter", 3: "scatter3d", 9: "scatter3d"}


def test_latents_stand_in_for_factors(trials):
    estimate = make_estimate(trials).rename(factors="latents", factor="latent")
    figure = figures.factors_figure(trials, estimate)
    assert figure.layout.scene.xaxis.title.text.startswith("latent PC 1")


def test_true_inputs_are_marked_where_they_came(trials, estimate):
    figure = figures.inputs_figure(trials, estimate)
    trial = excerpt.shown_trials(trials, 3)[1]
    marked = traces(figure, "true input (size, scaled)")[1]
    assert int(np.argmax(marked.y)) == int(trials.true_inputs.values[trial, :, 0].argmax())
    assert not traces(
        figures.inputs_figure(trials.drop_vars("true_inputs"), estimate), "true input (size, scaled)"
    )


def test_the_strongest_inputs_are_drawn():
    trials = make_trials(inputs=True)
    estimate = make_estimate(trials, inputs=6)
    estimate.inferred_inputs.values[..., 4] *= 30
    titles = axis_titles(figures.inputs_figure(trials, estimate))
    assert sum("inferred input" in title for title in titles) == 4
    assert any("inferred input 5" in title for title in titles)


def test_forecast_bins_are_marked_at_their_left_edge(trials, estimate):
    figure = figures.psth_figure(trials, estimate)
    expected = trials.time.values[45] - 0.01
    assert {round(shape.x0, 6) for shape in figure.layout.shapes} == {round(expected, 6)}


def test_learning_curves_hold_every_term_the_ramp_and_the_selected_epoch():
    lines = make_history(epochs=200)
    figure = figures.learning_figure(lines)
    drawn = [list(trace.y) for trace in traces(figure, "validation")]
    for key in ("valid/reconstruction", "valid/kl_initial_condition", "valid/kl_inputs", "valid/total"):
        assert any(np.allclose(values, [line[key] for line in lines]) for values in drawn)
    ramp = {(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"}
    assert ramp == {(0, 80.0)}
    best = min(lines, key=lambda line: line["selection_smoothed"])["epoch"]
    assert {shape.x0 for shape in figure.layout.shapes if shape.type == "line"} == {best}
    moved = figures.learning_figure(lines, selected_epoch=17)
    assert {shape.x0 for shape in moved.layout.shapes if shape.type == "line"} == {17}


def test_a_history_of_another_model_is_drawn_too():
    figure = figures.learning_figure(
        [{"epoch": epoch, "train/denoising": 1 / (epoch + 1)} for epoch in range(5)]
    )
    assert [note.text for note in figure.layout.annotations] == ["Denoising"]
    assert figures.learning_figure([]).data == ()


def test_panels_show_the_course_and_not_the_plunge():
    low, high = learning.telling_range([np.r_[100.0, 50.0, np.linspace(2, 1, 98)]])
    assert low < 1
    assert 2 < high < 2.2


def test_a_rate_that_only_rounding_moves_is_drawn_flat():
    low, high = learning.telling_range([np.array([1.5e-5, 1.4999999e-5])])
    assert high - low > 1e-6


def test_recorded_rates_and_trials_are_counted(trials):
    figure = figures.recorded_figure(trials)
    seen, held_out = traces(figure, "neurons seen by the model")[0], traces(figure, "held-out neurons")[0]
    assert (sum(seen.y), sum(held_out.y)) == (24, 5)
    for split, name in (("train", "training trials"), ("valid", "validation trials")):
        expected = [
            int(((trials.split == split) & (trials.condition == f"target {place}")).sum())
            for place in (1, 2, 3)
        ]
        assert list(traces(figure, name)[0].y) == expected
