"""What moves, from where, by which rules: against a table written out, SciPy, and counting."""

import math
from collections import Counter

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from search_material import TRAIN, setup_of
from tiny_model import Tiny, choices

from undertow.components.corruption import CorruptionRates
from undertow.models import MODELS
from undertow.models.base import Range
from undertow.models.lfads import LFADS
from undertow.search.population import groups_of
from undertow.search.settings import Search
from undertow.search.space import first_values, group_values, moving_keys, resolve, rules_of
from undertow.training.loop import summarise
from undertow.vocabulary import UndertowError

ENTRIES = 20.0

# AutoLFADS, as published with lfads-torch: range, first value, largest perturbation, whether the range binds later.
PUBLISHED = {
    "optimiser.learning_rate": (1e-5, 5e-3, 4e-3, 0.3, True),
    "lfads.dropout_rate": (0.0, 0.6, "uniform", 0.3, True),
    "corruption.coordinated_dropout": (0.01, 0.7, 0.5, 0.3, True),
    "objective.weights.kl_initial_condition": (1e-6, 1e-3, "log_uniform", 0.8, False),
    "objective.weights.kl_inputs": (1e-6, 1e-4, "log_uniform", 0.8, False),
    "objective.weights.generator_penalty": (1e-4, 1.0, "log_uniform", 0.8, False),
    "objective.weights.controller_penalty": (1e-4, 1.0, "log_uniform", 0.8, False),
}


def resolved(search, chosen=None):
    return resolve(search, chosen or choices(), summarise(TRAIN), entries=ENTRIES)


def test_lfads_moves_what_autolfads_moves():
    assert set(LFADS.space) == set(PUBLISHED)
    for key, (low, high, start, step, is_bounded) in PUBLISHED.items():
        where = LFADS.space[key]
        assert (where.low, where.high, where.step, where.is_bounded) == (low, high, step, is_bounded), key
        assert (where.prior if where.start == "drawn" else where.start) == start, key
        assert where.unit == ("mean" if ".kl_" in key else "own"), key


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_every_model_can_be_searched_in_its_own_space(model):
    """Weights of terms that the default model has not are left out; all else moves."""
    space = resolved(Search(), choices(model()))
    assert set(space) <= set(model.space)
    assert {key for key in model.space if not key.startswith("objective.weights.")} <= set(space)
    assert not {f"objective.weights.{name}" for name in ("kl_code", "first_step")} & set(space)


def test_published_weights_become_weights_of_the_bound():
    space = resolved(Search(), choices(LFADS()))
    assert set(space) == set(PUBLISHED)
    inputs = space["objective.weights.kl_inputs"]
    assert (inputs.low, inputs.high, inputs.unit) == (1e-6 * ENTRIES, 1e-4 * ENTRIES, "own")
    assert space["objective.weights.generator_penalty"] == LFADS.space["objective.weights.generator_penalty"]


def test_a_published_first_value_is_converted_too():
    asked = {"objective.weights.kl_code": Range(low=0.1, high=1.0, start=0.5, unit="mean")}
    assert resolved(Search(space=asked))["objective.weights.kl_code"].start == 0.5 * ENTRIES


def test_weights_of_terms_that_the_model_lacks_are_left_out():
    space = resolved(Search(), choices(LFADS(inferred_inputs=0)))
    assert set(PUBLISHED) - set(space) == {
        "objective.weights.kl_inputs",
        "objective.weights.controller_penalty",
    }


def test_a_recipe_adds_replaces_and_holds():
    asked = {"tiny.noise": Range(low=0.1, high=0.2), "tiny.width": (2, 3), "corruption.pass_rate": (0.0, 0.5)}
    space = resolved(Search(space=asked, hold=("optimiser.learning_rate",)))
    assert set(space) == {*asked, "objective.weights.kl_code"}
    assert {key: space[key] for key in asked} == asked
    assert set(resolved(Search(space=asked, default_space=False))) == set(asked)
    assert resolved(Search(algorithm="single", space=asked)) == {}


def test_the_recipes_own_number_need_not_be_a_range_of_the_model():
    """A weight of a term that the model has, though its own space does not name it."""
    asked = {"objective.weights.kernel_penalty": Range(low=0.1, high=0.2)}
    assert resolved(Search(space=asked))["objective.weights.kernel_penalty"].low == 0.1


def test_every_number_of_training_that_is_no_shape_moves():
    expected = {"optimiser.learning_rate", "optimiser.weight_decay", "tiny.noise"}
    expected |= {f"corruption.{name}" for name in CorruptionRates._fields}
    assert moving_keys(choices()) == expected | {f"objective.weights.{name}" for name in Tiny.weights}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"hold": ("tiny.nois",)}, r"hold 'tiny.nois', which does not move; did you mean 'tiny.noise'\?"),
        (
            {"space": {"tiny.width": Range(low=1, high=5)}},
            r"a range for 'tiny.width', but only .* move freely.*list",
        ),
        ({"space": {"tiny.width": ()}}, r"empty list of values for 'tiny.width'; name at least one"),
        ({"space": {"tiny.widht": (2, 3)}}, r"'tiny' has no key 'widht'; did you mean 'width'\?"),
        ({"space": {"tiy.width": (2, 3)}}, r"names 'tiy.width'; did you mean 'tiny'\?"),
        ({"space": {"tiny.width": (0, 3)}}, r"'tiny.width' is 0, but: .* greater than or equal to 1"),
        ({"space": {"training.epochs": (5, 10)}}, r"'training.epochs', but all members train equally long"),
        ({"space": {"optimiser.learning_rate": (0.1, -0.1)}}, r"'optimiser.learning_rate' is -0.1, but"),
        (
            {"space": {"corruption.coordinated_dropout": Range(low=0.1, high=1.5)}},
            r"'corruption.coordinated_dropout' is 1.5, but: .* less than 1",
        ),
        (
            {"space": {"corruption.jitter": Range(low=0, high=3)}},
            r"'corruption.jitter' is 1.5, but: .* integer",
        ),
        (
            {"space": {"corruption.pass_rate": Range(low=0.1, high=0.5, is_bounded=False)}},
            r"range for 'corruption.pass_rate' has no end .*set is_bounded = true",
        ),
    ],
)
def test_a_wrong_space_is_one_sentence_before_anything_is_built(asked, message):
    with pytest.raises(UndertowError, match=message) as caught:
        setup = setup_of(Search(**asked))
        groups_of(setup.search, setup.choices, setup.space, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "from 2 to 1, but low must be 0 or more and lie below high"),
        (
            {"low": 0.0, "high": 1.0, "prior": "log_uniform"},
            "log_uniform can't begin at 0; give a small positive low",
        ),
        ({"low": 0.1, "high": 1.0, "stepp": 1.0}, "has no key 'stepp'; did you mean 'step'"),
        ({"low": 0.1, "high": math.nan}, "finite number"),
    ],
)
def test_a_wrong_range_is_one_sentence(where, message):
    """From Python and from a recipe alike."""
    for build in (lambda: Range(**where), lambda: Search(space={"tiny.noise": where})):
        with pytest.raises(UndertowError, match=message) as caught:
            build()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Range(low=1e-3, high=1.0, prior="log_uniform"), stats.loguniform(1e-3, 1.0)),
        (Range(low=0.0, high=0.6), stats.uniform(0, 0.6)),
        (Range(low=0.1, high=0.6), stats.uniform(0.1, 0.5)),
    ],
)
def test_members_begin_as_their_prior_says(where, expected):
    drawn = first_values({"x": where}, ["x"], 3000, key=jax.random.key(0))["x"]
    assert stats.kstest(drawn.astype(np.float64), expected.cdf).pvalue > 0.01
    assert drawn.min() >= np.float32(where.low)
    assert drawn.max() <= np.float32(where.high)


def test_a_start_is_everybodys_and_a_lists_values_are_equally_likely():
    space = {
        "x": Range(low=0.0, high=1.0, start=0.25),
        "y": (0.5, 0.25, 0.125),
        "z": Range(low=0.0, high=1.0),
    }
    drawn = first_values(space, ["x", "y", "z"], 3000, key=jax.random.key(0))
    np.testing.assert_array_equal(drawn["x"], np.float32(0.25))
    counts = Counter(drawn["y"].tolist())
    assert set(counts) == {0.5, 0.25, 0.125}
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    codes = np.searchsorted([0.125, 0.25, 0.5], drawn["y"])
    assert stats.pearsonr(codes, drawn["z"]).pvalue > 1e-3, "numbers are drawn independently"
    assert first_values({}, [], 5, key=jax.random.key(0)) == {}


@given(members=st.integers(1, 40), sizes=st.lists(st.integers(1, 4), max_size=3), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_every_combination_is_met_equally_often(members, sizes, seed):
    space = {f"k{number}": tuple(range(size)) for number, size in enumerate(sizes)}
    values = group_values(space, list(space), members, key=jax.random.key(seed))
    counts = Counter(tuple(own.items()) for own in values)
    combinations = math.prod(sizes)
    assert len(values) == members
    assert len(counts) == min(members, combinations)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert all(set(own) == set(space) for own in values)


def test_which_combinations_are_met_depends_on_the_seed():
    space = {"a": tuple(range(20))}
    few = {
        tuple(own["a"] for own in group_values(space, ["a"], 3, key=jax.random.key(seed)))
        for seed in range(10)
    }
    assert len(few) > 5


def test_rules_by_hand():
    space = {
        "multiplied": Range(low=0.1, high=2.0, step=0.5),
        "free": Range(low=0.1, high=2.0, step=0.8, is_bounded=False),
        "added": Range(low=0.0, high=4.0, step=0.3),
        "listed": (1.0, 2.0),
    }
    rules = rules_of(space, list(space))
    np.testing.assert_array_equal(rules.is_added, [False, False, True, True])
    np.testing.assert_allclose(rules.factor[:2], np.log([1.5, 1.8]), rtol=1e-6)
    np.testing.assert_allclose(rules.addend[2:], [0.3 * 4.0 / 2, 0.0], rtol=1e-6)
    np.testing.assert_allclose(rules.low, np.float32([0.1, 0.0, 0.0, -np.inf]))
    np.testing.assert_allclose(rules.high, np.float32([2.0, np.inf, 4.0, np.inf]))
