"""The discrepancy of codes: against a plain double loop, and whether it can tell collapsed codes from matched ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.discrepancy import discrepancy

BATCH, REPEATS = 64, 20


def mean_of(kind, make, dimension):
    def one(key):
        code_key, draw_key = jax.random.split(key)
        draws = jax.random.normal(draw_key, (BATCH, dimension))
        return discrepancy(kind, make(jax.random.normal(code_key, (BATCH, dimension))), draws)

    return float(jax.vmap(one)(jax.random.split(jax.random.key(0), REPEATS)).mean())


@pytest.mark.parametrize("dimension", [2, 8, 32, 256])
@pytest.mark.parametrize("kind", ["imq", "median"])
def test_it_is_about_zero_where_codes_match_and_far_from_it_where_they_collapsed(kind, dimension):
    matched = mean_of(kind, lambda codes: codes, dimension)
    assert abs(matched) < 0.01
    for wrong in (jnp.zeros_like, lambda codes: 0.5 * codes, lambda codes: codes * 0 + codes[:, :1]):
        assert mean_of(kind, wrong, dimension) > 0.03


@pytest.mark.parametrize(
    ("dimension", "matched", "collapsed"), [(2, 0.0130, 0.1954), (8, 0.0061, 0.0186), (32, 0.0017, 0.0019)]
)
def test_the_published_kernel_gives_the_figures_of_its_code_and_does_not_tell_them_apart_from_32_on(
    dimension, matched, collapsed
):
    found = [mean_of("infovae", make, dimension) for make in (lambda codes: codes, jnp.zeros_like)]
    np.testing.assert_allclose(found, [matched, collapsed], rtol=0.15)


def test_it_is_the_mean_over_pairs():
    codes, draws = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    scales = 6 * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])

    def kernel(x, y):
        return np.mean(scales / (scales + ((x - y) ** 2).sum()))

    def mean(left, right, *, is_same):
        return np.mean(
            [kernel(x, y) for i, x in enumerate(left) for j, y in enumerate(right) if not is_same or i != j]
        )

    expected = (
        mean(codes, codes, is_same=True)
        + mean(draws, draws, is_same=True)
        - 2 * mean(codes, draws, is_same=False)
    )
    assert float(discrepancy("imq", jnp.asarray(codes), jnp.asarray(draws))) == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )
