"""Embeddings against the same written entry by entry; missing counts, widths and the heads that must divide them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.embeddings import EMBEDDINGS, LARGEST_COUNT, Identity, LinearEmbedding, PerCount

NEURONS = 5


def counts(bins=7):
    drawn = np.random.default_rng(0).poisson(3.0, (bins, NEURONS)).astype(np.float32)
    drawn[1, 2], drawn[3, 4], drawn[:, 1] = np.nan, 80.0, np.nan
    return drawn


def made(kind, width=0, heads=2, neurons=NEURONS):
    return EMBEDDINGS[kind](neurons, width, heads, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("kind", "neurons", "width", "heads", "expected"),
    [
        ("identity", 5, 0, 2, 6),
        ("identity", 6, 0, 2, 6),
        ("identity", 5, 0, 1, 5),
        ("linear", 5, 0, 2, 6),
        ("linear", 5, 8, 2, 8),
        ("linear", 5, 0, 5, 5),
        ("per_count", 5, 0, 2, 10),
        ("per_count", 5, 4, 2, 20),
    ],
)
def test_widths_are_what_they_say_and_heads_divide_them(kind, neurons, width, heads, expected):
    embedding, said = made(kind, width, heads, neurons)
    tokens = embedding(jnp.ones((3, neurons)))
    assert tokens.shape == (3, said) == (3, expected)
    assert said % heads == 0


def test_identity_is_the_counts_with_zeros():
    tokens = np.asarray(Identity(8)(jnp.asarray(counts())))
    np.testing.assert_array_equal(tokens[:, :NEURONS], np.nan_to_num(counts()))
    np.testing.assert_array_equal(tokens[:, NEURONS:], 0)


def test_linear_is_a_sum_over_neurons_and_tells_silent_from_missing():
    rng = np.random.default_rng(1)
    kernel, unobserved = rng.normal(size=(2, NEURONS, 4)).astype(np.float32)
    tokens = LinearEmbedding(jnp.asarray(kernel), jnp.asarray(unobserved))(jnp.asarray(counts()))
    expected = [
        sum(
            unobserved[neuron] if np.isnan(count) else count * kernel[neuron]
            for neuron, count in enumerate(row)
        )
        for row in counts()
    ]
    np.testing.assert_allclose(tokens, expected, rtol=1e-5, atol=1e-4)
    started, _ = made("linear")
    np.testing.assert_array_equal(started.unobserved, 0)
    np.testing.assert_allclose(np.std(made("linear", 400, neurons=50)[0].kernel), 50**-0.5, rtol=0.02)


def test_per_count_is_a_table_that_all_neurons_share():
    rows = LARGEST_COUNT + 2
    kernel = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    tokens = PerCount(jnp.asarray(kernel))(jnp.asarray(counts()))
    expected = [
        np.concatenate(
            [kernel[-1] if np.isnan(count) else kernel[min(int(count), rows - 2)] for count in row]
        )
        for row in counts()
    ]
    np.testing.assert_allclose(tokens, expected, rtol=1e-6, atol=1e-6)
    scaled = PerCount(jnp.asarray(kernel))(jnp.asarray([[1.3, 1.6, -2.0]], jnp.float32))
    np.testing.assert_allclose(scaled, kernel[[1, 2, 0]].reshape(1, -1), rtol=1e-6)
    assert made("per_count")[0].kernel.shape == (rows, 2)


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_no_bins_give_no_tokens(kind):
    """A stream begins with none."""
    embedding, width = made(kind)
    assert embedding(jnp.zeros((0, NEURONS))).shape == (0, width)


@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_gradients_are_finite_where_counts_are_missing(kind):
    embedding, _ = made(kind)
    slopes = jax.grad(lambda module: jnp.sum(jnp.sin(module(jnp.asarray(counts())))))(embedding)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert all((np.asarray(leaf) != 0).any() for leaf in jax.tree.leaves(slopes))
