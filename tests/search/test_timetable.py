"""When a search does what, against sums by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import choices

from undertow.search.settings import HIDDEN, Search
from undertow.search.timetable import Timetable, cooling, for_members, timetable


def test_a_population_burns_in_through_the_ramps_and_cools_down():
    """The published timetable: 80 epochs of ramps, then generations of 25; 25 more for the cool-down."""
    chosen = choices(objective={"kl_ramp": 80, "penalty_ramp": 80}, optimiser={"schedule": "constant"})
    table = timetable(Search(), chosen)
    assert (table.first, table.other, table.last, table.generations, table.cool_down) == (105, 25, 25, 50, 25)
    assert table.epochs == 105 + 49 * 25 + 25


@pytest.mark.parametrize(
    ("given", "schedule", "expected"),
    [
        ({"burn_in": 0, "epochs": 3, "generations": 4, "cool_down": 2}, "constant", [3, 3, 3, 3, 2]),
        ({"burn_in": 7, "epochs": 3, "generations": 1, "cool_down": 0}, "constant", [10]),
        ({"burn_in": "auto", "epochs": 3, "generations": 2, "cool_down": 5}, "cosine", [5, 3]),
    ],
)
def test_generation_by_generation(given, schedule, expected):
    table = timetable(Search(**given), choices(optimiser={"schedule": schedule}))
    lengths = [table.length_of(generation) for generation in range(table.generations)]
    assert [*lengths, *([table.cool_down] if table.cool_down else [])] == expected
    assert table.epochs == sum(expected)


@pytest.mark.parametrize("algorithm", ["random", "single"])
@given(epochs=st.integers(1, 60), stride=st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_random_search_and_single_fits_train_exactly_as_long_as_the_recipe_says(algorithm, epochs, stride):
    table = timetable(Search(algorithm=algorithm, epochs=stride), choices(training={"epochs": epochs}))
    assert (
        sum(table.length_of(generation) for generation in range(table.generations)) == epochs == table.epochs
    )


@given(st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_the_cool_down_is_half_a_cosine(epochs):
    levels = np.cumprod(cooling(epochs))
    expected = [0.5 * (1 + math.cos(math.pi * (epoch + 1) / (epochs + 1))) for epoch in range(epochs)]
    np.testing.assert_allclose(levels, expected, rtol=1e-9)
    assert all(0 < ratio < 1 for ratio in cooling(epochs))


def test_what_the_recipe_leaves_open_takes_what_suits_a_search():
    search = Search(epochs=3, generations=4, cool_down=2)
    members = for_members(search, choices())
    assert members.optimiser.schedule == "constant"
    assert members.training.validation_dropout == HIDDEN
    assert members.training.epochs == timetable(search, members).epochs == 2 + 3 * 4 + 2
    assert members.training.batch_size == choices().training.batch_size


def test_what_the_recipe_says_stays():
    explicit = choices(optimiser={"schedule": "cosine"}, training={"validation_dropout": 0.0})
    members = for_members(Search(epochs=3, generations=4, cool_down=2), explicit)
    assert (members.optimiser.schedule, members.training.validation_dropout) == ("cosine", 0.0)
    assert members.training.epochs == 2 + 3 * 4, "a cosine needs no cool-down"
    assert for_members(Search(algorithm="random"), choices()).training.epochs == choices().training.epochs
    assert for_members(Search(algorithm="random"), choices()).optimiser == choices().optimiser


def test_a_single_fit_is_left_alone():
    assert for_members(Search(algorithm="single"), choices()) == choices()


def test_a_search_of_one_generation_has_no_last_one():
    assert Timetable(first=4, other=3, last=2, generations=1, cool_down=0).epochs == 4
