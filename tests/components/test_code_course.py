"""The parts of GNOCCHI's denoiser that stand beside its network: the code's course, and a filter of each neuron by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.code_course import CodeCourse
from undertow.components.level_filter import LevelFilter

TIME, NEURONS, FEATURES = 12, 5, 6


@pytest.fixture(scope="module")
def course():
    return CodeCourse(3, 4, 8, NEURONS, key=jax.random.key(0))


def test_a_course_is_of_the_code_and_the_bin_and_of_nothing_where_no_code_is_told(course):
    code, places = jax.random.normal(jax.random.key(1), (3,)), jax.random.normal(jax.random.key(2), (TIME, 4))
    units, mean = course(code, jnp.array(True), places)
    assert units.shape == (TIME, 8)
    assert mean.shape == (TIME, NEURONS)
    assert np.ptp(mean, axis=0).min() > 0
    assert not np.allclose(mean, course(2 * code, jnp.array(True), places)[1])
    assert not any(np.any(part) for part in course(code, jnp.array(False), places))


def test_a_filter_mixes_bins_that_are_there_and_never_neurons():
    filtered = LevelFilter(NEURONS, FEATURES, key=jax.random.key(0))
    activity = jax.random.normal(jax.random.key(1), (TIME, NEURONS))
    features, is_there = jnp.ones(FEATURES), jnp.arange(TIME) < 9
    assert not np.any(filtered(activity, features, is_there))  # its gains start at zero
    gains = filtered.gains
    kernel = jax.random.normal(jax.random.key(2), gains.kernel.shape)
    object.__setattr__(gains, "kernel", kernel)
    answer = filtered(activity, features, is_there)
    other = filtered(activity.at[:, 2].add(1.0), features, is_there)
    changed = np.abs(other - answer).max(0) > 1e-6
    assert changed.tolist() == [False, False, True, False, False]
    beyond = filtered(activity.at[9:].set(jnp.nan), features, is_there)
    np.testing.assert_array_equal(beyond[:9], answer[:9])
    assert np.abs(filtered(activity.at[3].add(1.0), features, is_there) - answer)[:9].min() > 0
