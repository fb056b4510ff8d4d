"""Trials and an estimate that most tests of the report look at; never changed by a test."""

import pytest
from report_material import make_estimate, make_trials


@pytest.fixture(scope="session")
def trials():
    return make_trials(held_out=5, forward=5, inputs=True)


@pytest.fixture(scope="session")
def estimate(trials):
    return make_estimate(trials, inputs=2)
