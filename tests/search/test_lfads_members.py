"""LFADS as a population: its hand-written gradients under the member axis, and an epoch of members one by one and together."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import choices, corruption, trial_arrays

from undertow.models.base import Range
from undertow.models.lfads import LFADS
from undertow.search.members import over_members
from undertow.search.population import begin, groups_of
from undertow.search.settings import Search
from undertow.search.timetable import Timetable
from undertow.training.loop import plan_of
from undertow.training.step import loss

TRAIN = trial_arrays(5)
SIZES = dict.fromkeys(("generator", "encoder", "input_encoder", "controller"), 3)
SPACE = {
    "optimiser.learning_rate": Range(low=1e-3, high=1e-2),
    "lfads.dropout_rate": Range(low=0.1, high=0.4),
    "corruption.coordinated_dropout": Range(low=0.2, high=0.6),
}


def gradients(backward, at_once):
    """Of the loss of one batch for each of two members, each with its own weights, dropout and coordinated dropout."""
    config = LFADS(factors=2, initial_condition=2, inferred_inputs=1, backward=backward, **SIZES)
    chosen = choices(config, corruption={"coordinated_dropout": 0.3})
    search = Search(members=2, default_space=False, space=SPACE)
    groups = groups_of(search, chosen, SPACE, seed=3)
    states = begin(groups, SPACE, TRAIN, Timetable(1, 1, 1, 1, 0), seed=3).groups[0]
    plan = plan_of(chosen, corruption(), TRAIN)
    batch = jax.tree.map(jnp.asarray, TRAIN)
    changing, static = eqx.partition(states, eqx.is_array)

    def one(changing):
        state = eqx.combine(changing, static)
        of_model = eqx.filter_value_and_grad(loss, has_aux=True)
        (value, _), slopes = of_model(
            state.model, plan, state.hyperparameters, batch, jnp.int32(4), key=state.key
        )
        return value, slopes

    return jax.jit(lambda changing: over_members(one, changing, at_once=at_once))(changing)


@pytest.fixture(scope="module")
def one_after_another():
    return gradients("by_hand", 1)


@pytest.mark.parametrize(("backward", "at_once"), [("by_hand", 2), ("automatic", 1)])
def test_gradients_by_hand_under_the_member_axis(one_after_another, backward, at_once):
    """Side by side they are those of one after another, and these are the ones that JAX derives by itself."""
    ours, theirs = one_after_another, gradients(backward, at_once)
    named = jax.tree_util.tree_leaves_with_path(ours)
    assert sum(float(np.abs(other).max()) > 0 for other in jax.tree.leaves(theirs)) > 20
    for (path, own), other in zip(named, jax.tree.leaves(theirs), strict=True):
        scale = np.abs(other).max()
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(own, other, atol=2e-5 * scale + 1e-6, rtol=0, err_msg=name)
        assert own.shape[0] == 2
        assert scale == 0 or not np.array_equal(own[0], own[1]), f"the members have their own {name}"
