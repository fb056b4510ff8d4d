"""Recipes: to TOML and back, settings of the command line, and sentences about what is wrong in them."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.experiments import recipe as recipes
from undertow.models import MODELS
from undertow.models.lfads import LFADS
from undertow.models.transformer import NDT
from undertow.training.hyperparameters import CorruptionConfig
from undertow.training.loop import Training
from undertow.training.objective import Objective
from undertow.training.optimiser import Optimiser
from undertow.vocabulary import UndertowError

FOLDER = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("model", MODELS)
def test_defaults_come_back_from_toml(model):
    recipe = recipes.Recipe(MODELS[model]())
    assert recipes.from_document(tomllib.loads(recipes.to_toml(recipe))) == recipe


@settings(max_examples=30, deadline=None)
@given(
    factors=st.integers(1, 500),
    rate=st.floats(0, 0.99),
    epochs=st.integers(1, 10**6),
    weight=st.floats(0, 1e6),
    seed=st.integers(0, 2**31),
)
def test_every_number_comes_back_from_toml(factors, rate, epochs, weight, seed):
    recipe = recipes.Recipe(
        LFADS(factors=factors, dropout_rate=rate, input_prior="student_t", causal=True),
        Training(epochs=epochs, select_on="held_in"),
        objective=Objective(weights={"kl_inputs": weight}),
        corruption=CorruptionConfig(coordinated_dropout=rate),
        seed=seed,
    )
    assert recipes.from_document(tomllib.loads(recipes.to_toml(recipe))) == recipe


def test_what_is_not_said_takes_its_default():
    assert recipes.from_document({"model": "lfads"}) == recipes.Recipe(LFADS())


def test_a_model_brings_its_own_defaults_for_the_other_sections():
    recipe = recipes.from_document({"model": "ndt"})
    assert recipe == recipes.of(NDT())
    assert recipe.optimiser == Optimiser(**NDT.defaults["optimiser"]) != Optimiser()
    assert recipe.objective == Objective(kl_ramp=0, penalty_ramp=0)
    assert recipe.training == Training()
    assert recipes.of(LFADS()) == recipes.Recipe(LFADS())


def test_what_is_said_comes_before_the_models_own_defaults():
    document = {"model": "ndt", "optimiser": {"learning_rate": 0.5}, "corruption": {"masks": ["neurons"]}}
    recipe = recipes.from_document(recipes.with_settings(document, ["optimiser.averaging=0.0"]))
    own = NDT.defaults["optimiser"]
    assert recipe.optimiser == Optimiser(**{**own, "learning_rate": 0.5, "averaging": 0.0})
    assert recipe.corruption == CorruptionConfig(masks=("neurons",))
    assert own["averaging"] > 0


@pytest.mark.parametrize("model", recipes.EVERY_MODEL)
def test_every_models_own_defaults_are_understood_and_come_back_from_toml(model):
    recipe = recipes.of(recipes.EVERY_MODEL[model]())
    assert recipes.from_document({"model": model}) == recipe
    assert recipes.from_document(tomllib.loads(recipes.to_toml(recipe))) == recipe


def test_a_shipped_recipe_and_a_file_are_read(tmp_path):
    assert recipes.from_document(recipes.read("demo")).model == LFADS()
    path = tmp_path / "mine.toml"
    path.write_text('model = "lfads"\n[lfads]\nfactors = 7\n')
    assert recipes.from_document(recipes.read(path)).model.factors == 7


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"model": "lfad"}, "did you mean 'lfads'"),
        ({}, "asks for the model 'None'"),
        ({"model": "lfads", "trainning": {}}, "did you mean 'training'"),
        ({"model": "lfads", "lfads": {"factor": 3}}, "'lfads' has no key 'factor'; did you mean 'factors'"),
        ({"model": "lfads", "training": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"model": "lfads", "lfads": {"factors": 0}}, r"'lfads\.factors' is 0"),
        ({"model": "lfads", "lfads": {"factors": "many"}}, r"'lfads\.factors' is 'many'"),
        (
            {"model": "lfads", "lfads": {"input_prior": "cauchy"}},
            r"'lfads\.input_prior' is 'cauchy'.*gaussian",
        ),
        ({"model": "lfads", "corruption": {"coordinated_dropout": 1.0}}, "coordinated_dropout"),
        ({"model": "lfads", "optimiser": {"learning_rate": float("inf")}}, "learning_rate"),
        ({"model": "ndt", "corruption": {"masks": ["bin"]}}, r"'corruption\.masks\.0' is 'bin'.*entries"),
        ({"model": "ndt", "corruption": {"masks": []}}, r"'corruption\.masks' is \[\]"),
        ({"model": "ndt", "corruption": {"mask_rate": 1.0}}, "mask_rate"),
        ({"model": "ndt", "ndt": {"width": 3, "heads": 2}}, r"ndt\.width=3 can't be shared out"),
        ({"model": "ndt", "ndt": {"spatial": True, "causal": True}}, "reads whole trials"),
        ({"model": "lfads", "training": 5}, "'training' is 5, but is a section"),
        ({"model": "lfads", "seed": -1}, "seed is -1"),
        ({"model": "lfads", "seed": True}, "seed is True"),
        ({"model": "lfads", "seed": "x"}, "seed is 'x'"),
        ({"model": ["lfads"]}, "asks for the model"),
    ],
)
def test_faults_are_one_sentence(document, message):
    with pytest.raises(UndertowError, match=message) as raised:
        recipes.from_document(document)
    assert "\n" not in str(raised.value)


def test_settings_take_the_place_of_the_documents():
    document = {"model": "lfads", "lfads": {"factors": 3, "causal": True}}
    settings = [
        "lfads.factors=20",
        "training.epochs = 7",
        "objective.weights.kl_inputs=0.5",
        "lfads.input_prior=student_t",
        'training.select_on="held_in"',
        "lfads.variational=false",
    ]
    recipe = recipes.from_document(recipes.with_settings(document, settings))
    assert recipe.model == LFADS(factors=20, causal=True, input_prior="student_t", variational=False)
    assert recipe.training == Training(epochs=7, select_on="held_in")
    assert recipe.objective.weights == {"kl_inputs": 0.5}
    assert document == {"model": "lfads", "lfads": {"factors": 3, "causal": True}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lfads.factors", "write section.key=value"),
        ("lfads.=3", "write section.key=value"),
        ("=3", "write section.key=value"),
        ("model.x=3", "'model' is a value and no section"),
    ],
)
def test_settings_that_are_not_understood(setting, message):
    with pytest.raises(UndertowError, match=message):
        recipes.with_settings({"model": "lfads"}, [setting])


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe\x00", b"= 3"])
def test_a_file_that_is_no_toml(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    with pytest.raises(UndertowError, match=r"bad\.toml' can't be read"):
        recipes.read(tmp_path / "bad.toml")


def test_a_recipe_that_does_not_exist_names_the_closest(tmp_path):
    with pytest.raises(UndertowError, match="did you mean 'demo'"):
        recipes.read("demos")
    with pytest.raises(UndertowError, match="can't be read"):
        recipes.read(tmp_path / "nowhere.toml")


def test_configurations_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        LFADS().factors = 3


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.toml"))
)
def test_every_recipe_that_comes_with_undertow_is_one(name):
    """Its keys and values are known, it says what it is for, and the docs name it or its folder."""
    recipes.from_document(recipes.read(name))
    assert (FOLDER / f"{name}.toml").read_text().startswith("# ")
    pages = "".join(path.read_text() for path in sorted(FOLDER.parent.glob("docs/*/*.md")))
    assert name in pages
