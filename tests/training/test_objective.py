"""Ramps and weights against the formula, and names that do not exist."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.training.objective import Objective, covered, ramps, weigh
from undertow.vocabulary import UndertowError

epochs = st.integers(0, 300)
lengths = st.integers(0, 120)


@settings(max_examples=50, deadline=None)
@given(epoch=epochs, begin=lengths, kl=lengths, penalty=lengths)
def test_ramps_follow_the_formula(epoch, begin, kl, penalty):
    risen = ramps(Objective(ramp_start=begin, kl_ramp=kl, penalty_ramp=penalty), jnp.int32(epoch))
    for value, increase in ((risen.kl, kl), (risen.penalty, penalty)):
        expected = min(max((epoch + 1 - begin) / (increase + 1), 0), 1)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(begin=lengths, kl=lengths, penalty=lengths)
def test_ramps_end_says_when_both_are_full_for_the_first_time(begin, kl, penalty):
    objective = Objective(ramp_start=begin, kl_ramp=kl, penalty_ramp=penalty)
    assert min(ramps(objective, jnp.int32(objective.ramps_end))) == 1
    if objective.ramps_end > 0:
        assert min(ramps(objective, jnp.int32(objective.ramps_end - 1))) < 1


def test_the_total_is_the_weighed_sum():
    terms = {"reconstruction": 3.0, "kl_inputs": 5.0, "kl_initial_condition": 7.0}
    weights = {"kl_inputs": 2.0, "kl_initial_condition": 0.5, "generator_penalty": 10.0}
    terms, penalties, weights = (
        {name: jnp.float32(value) for name, value in part.items()}
        for part in (terms, {"generator_penalty": 0.25}, weights)
    )
    risen = ramps(Objective(kl_ramp=3, penalty_ramp=1), jnp.int32(0))  # a quarter and a half
    total = weigh(terms, penalties, weights, risen)
    np.testing.assert_allclose(total, 3 + 0.25 * (2 * 5 + 0.5 * 7) + 0.5 * 10 * 0.25)


def test_own_weights_take_the_place_of_defaults():
    defaults = {"kl_inputs": 1.0, "kl_code": 1.0}
    assert Objective(weights={"kl_code": 0.2}).weights_for(defaults) == {"kl_inputs": 1.0, "kl_code": 0.2}
    assert defaults == {"kl_inputs": 1.0, "kl_code": 1.0}


def test_a_weight_of_no_term_names_the_closest():
    with pytest.raises(UndertowError, match="did you mean 'kl_inputs'"):
        Objective(weights={"kl_input": 1.0}).weights_for({"kl_inputs": 1.0, "generator_penalty": 0.1})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_are_finite(value):
    with pytest.raises(UndertowError, match=r"objective\.weights"):
        Objective(weights={"kl_inputs": value})


def test_the_loss_reaches_further_as_epochs_pass():
    objective = Objective(incremental_epochs=40, incremental_bins=3, kl_ramp=0, penalty_ramp=0)
    reach = [
        int((covered(objective, jnp.int32(epoch), 10) > 0).sum()) for epoch in (0, 13, 14, 27, 39, 40, 99)
    ]
    assert reach == [3, 3, 6, 9, 9, 10, 10]
    for epoch in (0, 20, 60):
        weight = np.asarray(covered(objective, jnp.int32(epoch), 10))
        assert weight.mean() == pytest.approx(1)
        assert (np.diff(weight) <= 0).all()
    assert objective.ramps_end == 40
    assert (np.asarray(covered(Objective(), jnp.int32(0), 10)) == 1).all()
