"""Attention and its layer against loops over bins and heads, and one bin at a time against all at once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_attention import attended, layered, mixed, normalised, turned

from undertow.components.attention import (
    FARTHEST,
    Attention,
    Layer,
    LayerNorm,
    LayerSizes,
    Moment,
    Spatial,
    allowed_pairs,
    rotated,
    sinusoids,
    turned_on,
    turns,
)
from undertow.components.corruption import hashed_dropout

TIME, WIDTH, HEADS, HIDDEN = 7, 6, 2, 5
SIZES = LayerSizes(WIDTH, HIDDEN, HEADS, 0)
SEEN = np.arange(TIME) < 5
WINDOWS = [(-1, -1), (2, 1), (-1, 0), (0, 0), (3, -1)]
POSITIONS = ["none", "rotary", "relative"]


def shaken(module, seed=0):
    """The module with random numbers in every leaf, so that no bias or scale is where it began."""
    leaves, shape = jax.tree.flatten(module)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(
        shape, [jnp.asarray(rng.normal(0, 0.7, leaf.shape), jnp.float32) for leaf in leaves]
    )


def attention(positions, *, width=WIDTH, heads=HEADS):
    return shaken(Attention(width, heads, positions, scale=1.0, key=jax.random.key(0)))


def layer(positions="none", norm="before", *, sizes=SIZES):
    return shaken(Layer(sizes, positions, norm, scale=1.0, key=jax.random.key(0)), seed=1)


def tokens(time=TIME, width=WIDTH, seed=2):
    return np.random.default_rng(seed).normal(size=(time, width)).astype(np.float32)


@eqx.filter_jit
def run(module, *arrays, rate=None):
    return module(*map(jnp.asarray, arrays), rate, key=jax.random.key(5))


@pytest.mark.parametrize("positions", POSITIONS)
def test_attention_is_its_formula(positions):
    module = attention(positions)
    for backward, forward in WINDOWS:
        allowed = np.asarray(allowed_pairs(jnp.asarray(SEEN), backward, forward))
        np.testing.assert_allclose(
            run(module, tokens(), allowed), attended(module, tokens(), allowed), rtol=2e-5, atol=2e-5
        )


def test_distances_beyond_the_farthest_share_its_bias():
    time = FARTHEST + 4
    module = attention("relative", width=2, heads=1)
    allowed = np.ones((time, time), bool)
    np.testing.assert_allclose(
        run(module, tokens(time, 2), allowed),
        attended(module, tokens(time, 2), allowed),
        rtol=2e-5,
        atol=2e-5,
    )


def test_dropout_of_attention_acts_on_its_weights():
    module, allowed, rate = attention("none"), np.tri(TIME, dtype=bool), jnp.float32(0.4)
    dropped = np.asarray(hashed_dropout(rate, (HEADS, TIME, TIME), key=jax.random.key(5)))
    assert 0 < (dropped == 0).sum() < dropped.size
    np.testing.assert_allclose(
        run(module, tokens(), allowed, rate=rate),
        attended(module, tokens(), allowed, dropped),
        rtol=2e-5,
        atol=2e-5,
    )


def test_bins_that_are_not_allowed_have_no_say():
    module, allowed = attention("rotary"), np.eye(TIME, dtype=bool)
    allowed[:, :2] = True
    other = tokens()
    other[3] = 9.0
    before, after = run(module, tokens(), allowed), run(module, other, allowed)
    is_same = (before == after).all(axis=1)
    np.testing.assert_array_equal(is_same, np.arange(TIME) != 3)


@pytest.mark.parametrize(("backward", "forward"), WINDOWS)
@pytest.mark.parametrize("seen", [SEEN, np.ones(TIME, bool), np.zeros(TIME, bool)])
def test_a_bin_sees_its_window_but_not_ahead_into_what_nobody_saw(backward, forward, seen):
    allowed = np.asarray(allowed_pairs(jnp.asarray(seen), backward, forward))
    for now in range(TIME):
        for other in range(TIME):
            is_near = (backward < 0 or now - backward <= other) and (forward < 0 or other <= now + forward)
            assert allowed[now, other] == (is_near and (other <= now or seen[other]))


def test_rotations_turn_pairs_and_leave_distances_alone():
    """Bins far out, odd sizes, and both heads; the product of a turned query and a turned key knows their distance only."""
    query, key = (tokens(2 * TIME, 5, seed=seed).reshape(2, TIME, 5) for seed in (0, 1))
    bins = jnp.arange(TIME)
    expected = [[turned(values, place) for place, values in enumerate(head)] for head in query]
    np.testing.assert_allclose(rotated(jnp.asarray(query), bins), expected, rtol=1e-5, atol=1e-5)
    scores = [
        rotated(jnp.asarray(query), bins + far) @ rotated(jnp.asarray(key), bins + far).transpose(0, 2, 1)
        for far in (0, 40)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=2e-5)
    same = jnp.broadcast_to(jnp.asarray(query)[:, :1], query.shape)
    score = np.asarray(rotated(same, bins) @ rotated(same, bins).transpose(0, 2, 1))
    for distance in range(TIME):
        along = np.diagonal(score, distance, axis1=1, axis2=2)
        np.testing.assert_allclose(along, np.broadcast_to(along[:, :1], along.shape), rtol=1e-4, atol=1e-5)
    assert not np.allclose(score[:, 0, 0], score[:, 0, 1])
    np.testing.assert_array_equal(rotated(jnp.ones((1, TIME, 1)), bins), 1)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_sinusoids_are_their_formula(width):
    half = -(-width // 2)
    angles = np.arange(3, 60)[:, None] / 10_000.0 ** (np.arange(half) / half)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width]
    np.testing.assert_allclose(sinusoids(jnp.arange(3, 60), width), expected, atol=1e-5)


def test_layer_norm_is_its_formula():
    norm = shaken(LayerNorm(WIDTH))
    values = 30 + 5 * tokens()
    np.testing.assert_allclose(norm(jnp.asarray(values)), normalised(norm, values), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(LayerNorm(4)(jnp.full((2, 4), 3.0)), 0)


def test_the_spatial_stream_is_its_formula_and_ignores_what_nobody_saw():
    spatial = Spatial(TIME + 3, 4, key=jax.random.key(0))
    seen, other = jnp.asarray(SEEN), tokens()
    np.testing.assert_allclose(
        spatial(jnp.asarray(tokens()), seen), mixed(spatial, tokens(), SEEN), rtol=1e-5, atol=1e-5
    )
    other[~SEEN] = 50.0
    np.testing.assert_array_equal(
        spatial(jnp.asarray(tokens()), seen)[SEEN], spatial(jnp.asarray(other), seen)[SEEN]
    )


@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize("spatial_bins", [0, TIME + 2])
def test_a_layer_is_its_formula(norm, spatial_bins):
    module = layer("rotary", norm, sizes=SIZES._replace(spatial_bins=spatial_bins))
    allowed = np.asarray(allowed_pairs(jnp.asarray(SEEN), 3, 2))
    np.testing.assert_allclose(
        run(module, tokens(), allowed, SEEN), layered(module, tokens(), allowed, SEEN), rtol=1e-4, atol=1e-4
    )


def test_dropout_of_a_layer_acts_on_both_outputs_and_the_hidden_units():
    """With one branch silenced what a layer adds is the other's; dropped entries add nothing."""
    long, rate = tokens(60, 40), 0.3
    built = layer(sizes=LayerSizes(40, 30, HEADS, 0))
    allowed, seen = np.ones((60, 60), bool), np.ones(60, bool)
    silent = {
        "attention": eqx.tree_at(
            lambda of: (of.narrow.kernel, of.narrow.bias), built, (jnp.zeros((30, 40)), jnp.zeros(40))
        ),
        "network": eqx.tree_at(
            lambda of: (of.attention.output.kernel, of.attention.output.bias),
            built,
            (jnp.zeros((40, 40)), jnp.zeros(40)),
        ),
    }
    for module in silent.values():
        added = np.asarray(run(module, long, allowed, seen, rate=jnp.float32(rate))) - long
        assert abs((added == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / added.size)
        np.testing.assert_array_equal(
            run(module, long, allowed, seen, rate=jnp.float32(0.0)), run(module, long, allowed, seen)
        )
    whole = np.asarray(run(silent["network"], long, allowed, seen)) - long
    added = np.asarray(run(silent["network"], long, allowed, seen, rate=jnp.float32(rate))) - long
    is_kept = added != 0
    assert not np.allclose(added[is_kept] * (1 - rate), whole[is_kept], rtol=0.05)  # the hidden units', too


def test_a_layer_begins_as_published():
    scale, sizes = 0.4, LayerSizes(64, 100, 4, 0)
    built = Layer(sizes, "relative", "before", scale=scale, key=jax.random.key(1))
    bounds = {
        "attention.query_key_value": (6 / (4 * 64)) ** 0.5,
        "attention.output": scale / 8,
        "widen": scale / 8,
        "narrow": scale / 10,
    }
    parts = [built.attention.query_key_value, built.attention.output, built.widen, built.narrow]
    for part, bound in zip(parts, bounds.values(), strict=True):
        assert 0.97 * bound < np.abs(part.kernel).max() <= bound
        np.testing.assert_allclose(np.std(part.kernel), bound / np.sqrt(3), rtol=0.05)
        np.testing.assert_array_equal(part.bias, 0)
    np.testing.assert_array_equal(built.attention.distance_bias, np.zeros((4, 2 * FARTHEST + 1)))
    kernels = [np.asarray(part.kernel).ravel()[:1000] for part in parts]
    correlations = np.corrcoef(kernels) - np.eye(4)
    assert np.abs(correlations).max() < 4 / np.sqrt(1000)


@eqx.filter_jit
def advanced(module, bins, values):
    """All bins one after the other, with a ring of so many."""
    step = turns(WIDTH // HEADS)

    def one(state, token):
        cache, now = state
        cache, after = module.advance(cache, token, now)
        return (cache, Moment(now.bin + 1, turned_on(now.turn, step))), after

    start = module.attention.empty(bins), Moment(jnp.int32(0), turns(WIDTH // HEADS, 0))
    return jax.lax.scan(one, start, values)[1]


@pytest.mark.parametrize(
    ("positions", "norm"), [("none", "after"), ("rotary", "before"), ("relative", "before")]
)
@pytest.mark.parametrize("bins", [TIME, 3])
def test_one_bin_at_a_time_equals_all_at_once(positions, norm, bins):
    """Also where the ring holds less than the trial: then each bin looks back so far."""
    module, everything = layer(positions, norm), np.ones(TIME, bool)
    allowed = allowed_pairs(jnp.asarray(everything), bins - 1, 0)
    offline = run(module, tokens(), allowed, everything)
    np.testing.assert_allclose(advanced(module, bins, jnp.asarray(tokens())), offline, rtol=1e-4, atol=1e-5)


def test_turns_stay_of_length_one_and_keep_their_distances_for_ever():
    size, bins = 8, 100_000
    step = turns(size)
    course = jax.jit(
        lambda start: jax.lax.scan(lambda turn, _: (turned_on(turn, step), turn), start, length=bins)[1]
    )(turns(size, 0))
    cosine, sine = np.asarray(course, np.float64).transpose(1, 0, 2)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-6)
    angles = 10_000.0 ** (-np.arange(size // 2) / (size // 2))
    for distance in (1, 50):
        between = cosine[:-distance] * cosine[distance:] + sine[:-distance] * sine[distance:]
        np.testing.assert_allclose(
            between, np.broadcast_to(np.cos(distance * angles), between.shape), atol=2e-5
        )
