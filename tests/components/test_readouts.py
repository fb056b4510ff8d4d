"""Read-outs: the linear map, and a flow that can be inverted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.readouts import FlowReadout
from undertow.vocabulary import UndertowError


def test_a_flow_can_be_inverted_and_begins_as_a_linear_map():
    start = jnp.full((9, 1), -0.5)
    readout = FlowReadout(3, start, steps=4, units=16, key=jax.random.key(0))
    latents = jax.random.normal(jax.random.key(1), (20, 3))
    linear = latents @ readout.placement.kernel[..., 0] - 0.5
    assert np.abs(readout(latents)[..., 0] - linear).max() < 0.3
    moved = eqx.tree_at(lambda r: r.kernels[1], readout, 10 * readout.kernels[1])
    assert np.abs(moved(latents)[..., 0] - linear).max() > 0.3
    np.testing.assert_allclose(moved.invert(moved(latents)), latents, atol=1e-3)


def test_a_flow_has_no_room_for_more_latents_than_neurons():
    with pytest.raises(UndertowError, match="5 latents in the space of 4 neurons"):
        FlowReadout(5, jnp.zeros((4, 1)), steps=1, units=2, key=jax.random.key(0))
