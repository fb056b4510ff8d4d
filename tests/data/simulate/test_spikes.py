"""Splits within conditions, and the table of systems."""

import inspect

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from undertow.data.simulate import SYSTEMS
from undertow.data.simulate.spikes import conditions_of_trials, split_within
from undertow.vocabulary import check_trials


@given(st.integers(1, 12), st.integers(1, 200), st.floats(0, 0.99), st.integers(0, 2**32 - 1))
def test_every_condition_gives_its_share_to_validation(conditions, trials, valid, seed):
    condition = conditions_of_trials(trials, conditions)
    split = split_within(condition, valid, np.random.default_rng(seed))
    assert abs((split == "valid").sum() - trials * valid) < 1 + 1e-9
    for label in np.unique(condition):
        members = condition == label
        assert abs((split[members] == "valid").sum() - members.sum() * valid) < 1 + 1e-9


@given(st.integers(1, 30), st.integers(1, 300))
def test_conditions_are_as_even_as_can_be(conditions, trials):
    sizes = np.bincount(conditions_of_trials(trials, conditions), minlength=conditions)
    assert sizes.sum() == trials and sizes.max() - sizes.min() <= 1


def test_which_trial_of_a_condition_validates_is_random():
    condition = conditions_of_trials(50, 10)
    chosen = {tuple(split_within(condition, 0.2, np.random.default_rng(seed))) for seed in range(20)}
    assert len(chosen) == 20


def test_every_system_takes_the_words_of_the_command_line():
    for name, make in SYSTEMS.items():
        if name.endswith("sessions"):  # a dictionary of trials: test_chaotic_sessions.py
            continue
        known = inspect.signature(make).parameters
        few = {"trials": 30, "conditions": 3, "repeats": 10, "bins": 10, "duration": 0.2}
        sizes = {name: number for name, number in few.items() if name in known}
        assert {"bins", "duration"} & sizes.keys()
        trials = check_trials(make(neurons=4, bin_width=0.02, valid=0.2, seed=1, **sizes))
        assert dict(trials.sizes).items() >= {"trial": 30, "neuron": 4, "time": 10}.items()
        assert set(np.unique(trials.split)) >= {"train", "valid"}
