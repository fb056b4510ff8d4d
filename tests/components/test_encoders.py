"""Encoders: lags, held bins, both directions, against the cell run by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.encoders import Encoder

INPUTS, SIZE, TIME = 3, 4, 8
ALL_SEEN = jnp.ones(TIME, bool)


def encoder(*, is_causal=False, differentiate="by_hand"):
    return Encoder(
        INPUTS, SIZE, is_causal=is_causal, limit=5.0, differentiate=differentiate, key=jax.random.key(0)
    )


@pytest.fixture
def inputs():
    return jax.random.normal(jax.random.key(1), (TIME, INPUTS))


def alone(cell, inputs):
    state, states = jnp.zeros(SIZE), []
    for bin_inputs in inputs:
        state = cell.step(state, cell.project(bin_inputs))
        states.append(state)
    return np.stack(states)


def test_the_summary_is_the_last_state_of_each_direction(inputs):
    both = encoder()
    expected = np.concatenate([alone(both.forward, inputs)[-1], alone(both.backward, inputs[::-1])[-1]])
    np.testing.assert_allclose(both.summary(inputs, ALL_SEEN), expected, rtol=1e-5, atol=1e-6)
    assert both.output_size == 2 * SIZE


@pytest.mark.parametrize("lag", [0, 1, 3, TIME, TIME + 2])
def test_around_shifts_forward_back_and_backward_ahead(inputs, lag):
    both = encoder()
    forward, backward = alone(both.forward, inputs), alone(both.backward, inputs[::-1])[::-1]
    around = np.asarray(both.around(inputs, ALL_SEEN, lag))
    for time in range(TIME):
        before = forward[time - lag] if time >= lag else np.zeros(SIZE)
        ahead = backward[time + lag] if time + lag < TIME else np.zeros(SIZE)
        np.testing.assert_allclose(around[time], np.concatenate([before, ahead]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_a_causal_encoder_sees_up_to_its_lag_only(inputs, lag):
    causal = encoder(is_causal=True, differentiate="automatic")
    jacobian = jax.jacobian(lambda values: causal.around(values, ALL_SEEN, lag))(inputs)
    depends = np.abs(np.asarray(jacobian)).sum((1, 3)) > 0
    times = np.arange(TIME)
    np.testing.assert_array_equal(depends, times[None, :] <= times[:, None] - lag)
    assert causal.output_size == SIZE


def test_unseen_bins_change_nothing(inputs):
    both = encoder()
    is_seen = jnp.array([True, True, False, True, True, True, False, False])
    seen = inputs[np.asarray(is_seen)]
    np.testing.assert_allclose(
        both.summary(inputs, is_seen), both.summary(seen, jnp.ones(len(seen), bool)), rtol=1e-5, atol=1e-6
    )
    other = jnp.where(is_seen[:, None], inputs, 7.0)
    np.testing.assert_array_equal(both.summary(inputs, is_seen), both.summary(other, is_seen))
    np.testing.assert_array_equal(both.around(inputs, is_seen, 1), both.around(other, is_seen, 1))
    np.testing.assert_array_equal(both.around(inputs, is_seen, 0)[~np.asarray(is_seen)], 0)


def test_with_nothing_seen_the_start_is_the_summary(inputs):
    both = encoder()
    np.testing.assert_array_equal(both.summary(inputs, ~ALL_SEEN), 0)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_bin_by_bin_is_around(inputs, lag):
    causal = encoder(is_causal=True)
    state, found = causal.begin(lag), []
    for bin_inputs in inputs:
        state, encoded = causal.advance(state, bin_inputs)
        found.append(encoded)
    np.testing.assert_allclose(np.stack(found), causal.around(inputs, ALL_SEEN, lag), rtol=1e-5, atol=1e-6)
    assert (np.stack(found)[:lag] == 0).all()


@pytest.mark.parametrize(("is_causal", "size"), [(True, SIZE), (False, 2 * SIZE)])
def test_of_no_bins_the_start_is_the_summary(inputs, is_causal, size):
    summary = encoder(is_causal=is_causal).summary(inputs[:0], ALL_SEEN[:0])
    np.testing.assert_array_equal(summary, np.zeros(size))
