"""Trials from arrays and from spike times, against plain Python; every kind of bad input is one sentence."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.data.trials import trials, trials_from_spike_times
from undertow.vocabulary import UndertowError, check_trials


def _counts(shape=(4, 5, 3), seed=0):
    return np.random.default_rng(seed).poisson(1.0, shape)


def test_an_array_becomes_trials_with_its_values_axes_and_columns():
    counts = _counts()
    velocity = np.random.default_rng(1).normal(size=(4, 5, 2))
    built = trials(
        counts,
        bin_width=0.02,
        start=-0.1,
        behaviour=velocity,
        behaviour_channels=["x", "y"],
        condition=["a", "b", "a", "c"],
        start_time=[1.0, 2.0, 3.0, 4.0],
        neuron=[10, 20, 30],
        neuron_columns={"area": ["M1", "M1", "PMd"]},
        session="monday",
    )
    assert built.counts.dtype == np.float32
    np.testing.assert_array_equal(built.counts.values, counts)
    np.testing.assert_allclose(built.behaviour.values, velocity, rtol=1e-6)
    np.testing.assert_allclose(built.time.values, [-0.09, -0.07, -0.05, -0.03, -0.01], atol=1e-12)
    assert built.split.values.tolist() == ["train"] * 4
    assert not built.held_out.values.any() and not built.forward.values.any()
    assert built.condition.values.tolist() == ["a", "b", "a", "c"]
    assert built.start_time.dtype == np.float64
    assert built.behaviour_channel.values.tolist() == ["x", "y"]
    assert built.area.dims == ("neuron",) and built.neuron.values.tolist() == [10, 20, 30]
    assert built.attrs["bin_width"] == 0.02 and built.attrs["session"] == "monday"


@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5), neurons=st.integers(1, 4))
def test_shorter_trials_end_in_nan_and_keep_every_count(lengths, neurons):
    arrays = [_counts((length, neurons), seed) for seed, length in enumerate(lengths)]
    built = trials(arrays, bin_width=0.01, behaviour=[array[:, 0] for array in arrays], inputs=arrays)
    assert built.counts.shape == (len(lengths), max(lengths), neurons)
    for trial, array in enumerate(arrays):
        for name, expected in (("counts", array), ("inputs", array), ("behaviour", array[:, :1])):
            values = built[name].values[trial]
            np.testing.assert_array_equal(values[: len(array)], expected)
            assert np.isnan(values[len(array) :]).all()


def test_arguments_stay_as_they_were_and_are_not_shared():
    counts = _counts().astype(np.float32)
    flags = np.array([True, False, False])
    built = trials(counts, bin_width=0.02, held_out=flags)
    built.counts.values[:] = -1
    built.held_out.values[:] = False
    assert counts.min() >= 0 and flags[0]


def test_masked_entries_are_not_observed():
    masked = np.ma.masked_array(_counts(), mask=_counts(seed=3) > 2)
    built = trials(masked, bin_width=0.02)
    np.testing.assert_array_equal(np.isnan(built.counts.values), masked.mask)
    np.testing.assert_array_equal(built.counts.values[~masked.mask], masked.data[~masked.mask])


def test_simulations_carry_their_truth():
    rates = np.random.default_rng(2).uniform(0, 9, (4, 5, 3))
    built = trials(
        _counts(), bin_width=0.02, true_rates=rates, true_latents=rates[..., :2], true_inputs=rates[..., 0]
    )
    np.testing.assert_allclose(built.true_rates.values, rates, rtol=1e-6)
    assert built.true_latents.shape == (4, 5, 2) and built.true_inputs.shape == (4, 5, 1)


def test_one_split_name_is_for_all_and_flags_are_kept():
    built = trials(_counts(), bin_width=0.02, split="test", forward=[False] * 3 + [True] * 2)
    assert built.split.values.tolist() == ["test"] * 4
    assert built.forward.values.tolist() == [False] * 3 + [True] * 2
    assert check_trials(built) is built


BAD = {
    "nothing": (dict(counts=None), "three axes"),
    "two axes": (dict(counts=np.zeros((4, 5))), r"counts\[None\]"),
    "no bin width": (dict(bin_width=0), "positive number of seconds"),
    "negative bin width": (dict(bin_width=-0.02), "-0.02"),
    "infinite bin width": (dict(bin_width=np.inf), "inf"),
    "word as bin width": (dict(bin_width="fast"), "fast"),
    "infinite count": (
        dict(counts=np.where(np.arange(60).reshape(4, 5, 3) == 16, np.inf, 0)),
        r"\(1, 0, 1\)",
    ),
    "words as counts": (dict(counts=np.full((4, 5, 3), "a")), "numbers"),
    "complex counts": (dict(counts=np.zeros((4, 5, 3), complex)), "numbers"),
    "other neurons in a trial": (dict(counts=[np.zeros((5, 3)), np.zeros((5, 2))]), r"counts\[1\]"),
    "a trial without neurons' axis": (dict(counts=[np.zeros((5, 3)), np.zeros(5)]), r"\(5,\)"),
    "no trial": (dict(counts=np.zeros((0, 5, 3))), "empty"),
    "no trial in a list": (dict(counts=[]), "empty"),
    "behaviour of other bins": (dict(behaviour=np.zeros((4, 6, 2))), "6 bins"),
    "behaviour of other trials": (dict(behaviour=np.zeros((3, 5, 2))), "3 trials"),
    "infinite behaviour": (dict(behaviour=np.full((4, 5, 2), -np.inf)), "-inf"),
    "channels": (dict(behaviour=np.zeros((4, 5, 2)), behaviour_channels=["x"]), "2 channels"),
    "same channel twice": (dict(behaviour=np.zeros((4, 5, 2)), behaviour_channels=["x", "x"]), "distinct"),
    "rates of other neurons": (dict(true_rates=np.zeros((4, 5, 2))), "2 neurons"),
    "neuron ids": (dict(neuron=[1, 2]), "'neuron'"),
    "same neuron twice": (dict(neuron=[1, 1, 2]), "id"),
    "split name": (dict(split=["train", "train", "train", "eval"]), "'eval'"),
    "split length": (dict(split=["train"]), "'split'"),
    "held out as indices": (dict(held_out=[0, 1, 1]), "boolean"),
    "forward length": (dict(forward=[True]), "bin"),
    "column length": (dict(condition=[1, 2]), "'condition'"),
    "column of two axes": (dict(condition=np.zeros((4, 2))), "one axis"),
    "column of a taken name": (dict(latent=[1, 2, 3, 4]), "another name"),
    "neuron column": (dict(neuron_columns={"area": ["M1"]}), "'area'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case):
    options, words = BAD[case]
    with pytest.raises(UndertowError, match=words) as caught:
        trials(**({"counts": _counts(), "bin_width": 0.02} | options))
    assert "\n" not in str(caught.value)


@settings(max_examples=60)
@given(data=st.data())
def test_spike_times_are_counted_as_with_fractions(data):
    milliseconds = st.lists(st.integers(-50, 400), max_size=12)
    spikes = data.draw(st.lists(st.lists(milliseconds, min_size=2, max_size=2), min_size=1, max_size=3))
    bins = data.draw(st.lists(st.integers(1, 6), min_size=len(spikes), max_size=len(spikes)))
    width = Fraction(50, 1000)
    built = trials_from_spike_times(
        [[[t / 1000 for t in times] for times in row] for row in spikes],
        bin_width=float(width),
        duration=[float(n * width) for n in bins],
    )
    lost = 0
    for trial, row in enumerate(spikes):
        for neuron, times in enumerate(row):
            places = [Fraction(t, 1000) // width for t in times]
            expected = [places.count(k) for k in range(bins[trial])]
            lost += len(times) - sum(expected)
            assert built.counts.values[trial, : bins[trial], neuron].tolist() == expected
    assert built.attrs.get("notes", "0 of").startswith(f"{lost} of")


def test_spike_times_may_count_from_an_event_and_carry_columns():
    built = trials_from_spike_times(
        [[[-0.2, 0.0]], [[0.05, 0.29999]]], bin_width=0.1, duration=0.5, start=-0.2, condition=["a", "b"]
    )
    assert built.counts.values[:, :, 0].tolist() == [[1, 0, 1, 0, 0], [0, 0, 1, 0, 1]]
    np.testing.assert_allclose(built.time.values[0], -0.15)
    assert built.condition.values.tolist() == ["a", "b"] and "notes" not in built.attrs


@pytest.mark.parametrize(
    ("spikes", "duration", "words"),
    [
        ([[[0.1]]], 0.05, "whole bin"),
        ([[[0.1]]], [1.0, 2.0], "1 trials"),
        ([[[0.1]]], np.nan, "whole bin"),
        ([[["soon"]]], 1.0, "numbers in seconds"),
        ([[[np.nan]]], 1.0, "NaN"),
        ([[[0.1]], [[0.1], [0.2]]], 1.0, "channels"),
    ],
)
def test_bad_spike_times_are_one_sentence(spikes, duration, words):
    with pytest.raises(UndertowError, match=words):
        trials_from_spike_times(spikes, bin_width=0.1, duration=duration)
