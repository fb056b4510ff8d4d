"""Linear maps, unit columns and the read-out against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from undertow.components.linear import Linear, fan_in_normal, unit_columns
from undertow.components.readouts import Readout


def test_linear_is_a_product_and_a_bias():
    linear = Linear(3, 2, key=jax.random.key(0))
    inputs = np.arange(12.0, dtype=np.float32).reshape(2, 2, 3)
    np.testing.assert_allclose(linear(jnp.asarray(inputs)), inputs @ linear.kernel + 0, rtol=1e-5)
    np.testing.assert_array_equal(linear.bias, 0)


def test_the_scale_at_the_start():
    np.testing.assert_allclose(
        fan_in_normal(250, (250, 400), key=jax.random.key(0)).std(), 250**-0.5, rtol=0.02
    )
    assert fan_in_normal(0, (0, 6), key=jax.random.key(0)).shape == (0, 6)


def test_unit_columns_have_length_one_and_keep_their_direction():
    kernel = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    columns = np.asarray(unit_columns(jnp.asarray(kernel)))
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose(columns, kernel / np.linalg.norm(kernel, axis=0), rtol=1e-6)


def test_the_readout_starts_at_its_bias_and_keeps_neurons_apart():
    start = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)), jnp.float32)
    readout = Readout(3, start, key=jax.random.key(0))
    np.testing.assert_allclose(readout(jnp.zeros((5, 3))), np.broadcast_to(start, (5, 4, 2)))
    factors = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    expected = np.einsum("tf,fnp->tnp", factors, readout.kernel) + np.asarray(start)
    np.testing.assert_allclose(readout(jnp.asarray(factors)), expected, rtol=1e-5, atol=1e-6)
