"""The smallest model of tests/training stands in the table of models here, so that whole runs take a second."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "training"))

import pytest
from tiny_model import Tiny
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments.recipe import Recipe
from undertow.models import MODELS
from undertow.training.loop import Training
from undertow.training.objective import Objective


@pytest.fixture(scope="module", autouse=True)
def _tiny_in_the_table():
    MODELS["tiny"] = Tiny
    yield
    del MODELS["tiny"]


@pytest.fixture(scope="session")
def trials():
    return make_trials()


@pytest.fixture(scope="session")
def recipe():
    return Recipe(Tiny(), Training(epochs=3, batch_size=5), objective=Objective(kl_ramp=1, penalty_ramp=1))


@pytest.fixture(scope="session")
def fitted(trials, recipe, tmp_path_factory):
    return ut.fit(recipe, trials, out=tmp_path_factory.mktemp("runs") / "first")
