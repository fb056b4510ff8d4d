"""What is shown of large data: rules checked against plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_material import make_estimate, make_trials

from undertow.report import excerpt


@given(number=st.integers(0, 500), at_most=st.integers(1, 40))
def test_evenly_spaced_candidates_are_few_in_order_and_reach_both_ends(number, at_most):
    candidates = np.arange(number) * 3
    chosen = excerpt.evenly(candidates, at_most)
    assert len(chosen) == min(number, at_most)
    assert list(chosen) == sorted(set(chosen.tolist()) & set(candidates.tolist()))
    if number and at_most > 1:
        assert chosen[0] == candidates[0]
        assert chosen[-1] == candidates[-1]


@given(bins=st.integers(1, 2000))
def test_pooling_leaves_few_enough_bins(bins):
    step = excerpt.pooling(bins)
    assert bins // step <= excerpt.MAX_BINS
    assert step == 1 or bins / (step - 1) > excerpt.MAX_BINS


@given(
    values=st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(float("nan"))), min_size=1, max_size=40),
    step=st.integers(1, 7),
)
def test_pooled_values_are_means_of_neighbours_without_nan(values, step):
    if step == 1:
        expected = values
    else:
        blocks = [values[start : start + step] for start in range(0, len(values) - step + 1, step)]
        finite = [[value for value in block if value == value] for block in blocks]
        expected = [sum(block) / len(block) if block else float("nan") for block in finite]
    np.testing.assert_allclose(excerpt.pooled(np.array(values), step), expected, atol=1e-9)


def test_nothing_is_inside_after_the_last_observed_bin_but_gaps_and_forecasts_are():
    trials = make_trials(trials=4, bins=10, neurons=2, forward=2)
    trials.counts.values[0, 4:] = np.nan
    trials.counts.values[1, 2:5] = np.nan
    trials.counts.values[2, :, 0] = np.nan
    within = excerpt.inside(trials)
    assert within[0].tolist() == [True] * 4 + [False] * 4 + [True] * 2
    assert within[1:].all()


def test_single_trials_come_from_validation_and_from_every_condition():
    trials = make_trials(trials=300, conditions=3)
    chosen = excerpt.shown_trials(trials)
    assert set(trials.split.values[chosen]) == {"valid"}
    assert set(trials.condition.values[chosen]) == {"target 1", "target 2", "target 3"}
    assert len(chosen) == 6


def test_without_validation_trials_others_are_shown():
    trials = make_trials(trials=9)
    trials = trials.assign_coords(split=("trial", np.array(["train"] * 8 + ["test"])))
    assert excerpt.shown_split(trials) == "test"
    assert excerpt.shown_trials(trials).tolist() == [8]


def test_raster_neurons_are_ordered_by_the_time_of_their_peak():
    trials = make_trials(neurons=30)
    estimate = make_estimate(trials, noise=0)
    chosen = np.array([0, 5])
    order = excerpt.raster_neurons(estimate, chosen, at_most=12)
    mean = (estimate.rates.values[0] + estimate.rates.values[5]) / 2
    peaks = [max(range(len(mean)), key=lambda time: mean[time, neuron]) for neuron in order]
    assert peaks == sorted(peaks)
    activity = mean.mean(axis=0)
    assert min(activity[order]) >= max(np.delete(activity, order))


def test_one_of_the_telling_neurons_is_held_out():
    trials = make_trials(held_out=3)
    estimate = make_estimate(trials)
    estimate.rates.values[:, :, -3:] = 5.0
    best = excerpt.telling_neurons(trials, estimate)
    assert len(best) == len(set(best)) == 4
    assert trials.held_out.values[best].sum() == 1
    assert excerpt.neuron_label(trials, best[-1]).endswith("(held out)")


@pytest.mark.parametrize(
    ("labels", "names", "known"),
    [
        ([10, 9, 10, 9], ("9", "10"), 2),
        ([1.0, 2.5, 1.0, 2.5], ("1", "2.5"), 2),
        ([1.0, np.nan, 2.0, 1.0, 2.0], ("1", "2"), 2),
        (["b 10", "b 9", "b 10", "b 9"], ("b 9", "b 10"), 2),
        ([b"up", b"down", b"up", b"down"], ("down", "up"), 2),
        ([1, 2, 3, 4], ("all trials",), 0),
        (["one"] * 4, ("all trials",), 0),
    ],
)
def test_conditions_of_any_kind_are_named_as_a_person_writes_them(labels, names, known):
    trials = make_trials(trials=len(labels), conditions=0, neurons=3, bins=8)
    trials = trials.assign_coords(condition=("trial", np.array(labels)))
    grouping = excerpt.conditions(trials)
    assert (grouping.names, grouping.known) == (names, known)
    for label, member in zip(labels, grouping.member, strict=True):
        text = label.decode() if isinstance(label, bytes) else str(label).removesuffix(".0")
        assert member == -1 if text == "nan" else names[member] in (text, "all trials")


def test_of_many_conditions_eight_are_drawn():
    grouping = excerpt.conditions(make_trials(trials=80, conditions=40, neurons=3, bins=8))
    assert len(grouping.names) == 8
    assert grouping.known == 40
    assert (grouping.member >= 0).sum() == 16


def test_trials_are_named_by_place_and_condition():
    trials = make_trials(trials=4, neurons=3, bins=8, conditions=2)
    assert excerpt.trial_label(trials, 1) == "trial 2, target 2"
    numbered = trials.assign_coords(condition=("trial", np.array([-1.5, 2, np.nan, 2])))
    assert excerpt.trial_label(numbered, 0) == "trial 1, condition -1.5"
    assert excerpt.trial_label(numbered, 2) == "trial 3"
    assert excerpt.trial_label(trials.drop_vars("condition"), 3) == "trial 4"
