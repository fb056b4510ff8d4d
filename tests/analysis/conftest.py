"""Flows that several tests look into, simulated once."""

import known_flows
import pytest


@pytest.fixture(scope="session")
def lorenz():
    return known_flows.lorenz_flow()


@pytest.fixture(scope="session")
def rossler():
    return known_flows.rossler_flow()
