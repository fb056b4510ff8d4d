"""Masks: the shares that they hide, the expected weight of what they count, and what is put in its place."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.masking import KINDS, Masking, MaskRates, _Trial

TIME, NEURONS, DRAWS = 10, 6, 6000
REGION = np.array([0, 0, 1, 1, 1, 2])
LATE, NEURON = 8, 4
"""The trial ends before its bin `LATE`, and neuron `NEURON` is not seen."""
ALIKE = ["entries", "bins", "neurons"]


def visible():
    counts = 1.0 + np.random.default_rng(0).poisson(3.0, (TIME, NEURONS)).astype(np.float32)
    counts[LATE:] = counts[:, NEURON] = counts[3, 0] = np.nan
    return counts


IS_VISIBLE = np.isfinite(visible())


def rates(mask_rate=0.3, mask_token=1.0, mask_random=1.0, span_probability=1.0):
    return MaskRates(*map(jnp.float32, (mask_rate, mask_token, mask_random, span_probability)))


def masking(*kinds, **choices):
    return Masking(region=jnp.asarray(REGION, jnp.int32), regions=3, kinds=kinds, **choices)


@partial(jax.jit, static_argnames="draws")
def _drawn(chosen, numbers, counts, key, *, draws):
    return jax.vmap(lambda one: chosen.draw(counts, numbers, key=one))(jax.random.split(key, draws))


def drawn(chosen, numbers, *, counts=None, seed=0, draws=DRAWS):
    """Many masks of the one trial: (draw, time, neuron)."""
    counts = jnp.asarray(visible() if counts is None else counts)
    return jax.tree.map(np.asarray, _drawn(chosen, numbers, counts, jax.random.key(seed), draws=draws))


def near(share, expected, draws=DRAWS, sigmas=4.8):
    """Within what chance allows, for the most extreme of a few hundred entries."""
    return (np.abs(share - expected) <= sigmas * np.sqrt(expected * (1 - expected) / draws)).all()


@pytest.mark.parametrize("kind", ALIKE)
def test_every_entry_is_hidden_and_counted_with_the_rate(kind):
    for rate in (0.1, 0.25, 0.6):
        mask = drawn(masking(kind), rates(rate))
        assert near(mask.hidden.mean(0)[IS_VISIBLE], rate)
        np.testing.assert_array_equal(mask.hidden, mask.counted)
        np.testing.assert_allclose(mask.probability, rate, rtol=1e-6)


def test_what_is_hidden_together():
    """Single bins, whole bins and whole neurons: which entries agree, and which are on their own."""
    expected = {"entries": (False, False), "bins": (True, False), "neurons": (False, True)}
    for kind, (across_neurons, across_bins) in expected.items():
        hidden = drawn(masking(kind), rates(0.5)).hidden[:, :3]
        pairs = {"neurons": (hidden[:, 0, 1], hidden[:, 0, 5]), "bins": (hidden[:, 0, 1], hidden[:, 2, 1])}
        for (first, second), is_same in zip(pairs.values(), (across_neurons, across_bins), strict=True):
            assert near((first == second).mean(), 1.0 if is_same else 0.5)


@pytest.mark.parametrize("kind", ["entries", "bins"])
def test_spans_of_every_width_hide_the_same_share_also_at_the_edges(kind):
    longest, rate, counts = 5, jnp.float32(0.3), jnp.ones((TIME, NEURONS))
    chosen = masking(kind, longest_span=longest)

    @jax.jit
    def of_width(width, key):
        trial = _Trial(counts, rate, width, chosen)
        return jax.vmap(lambda one: KINDS[kind](trial, key=one).hidden)(jax.random.split(key, DRAWS))

    for width in range(1, longest + 1):
        hidden = np.asarray(of_width(jnp.int32(width), jax.random.key(width)))
        assert near(hidden.mean(0), 0.3)
        runs = [run for trial in hidden[:300, :, 0] for run in inner_runs(trial)]
        assert min(runs) == width
        ends = hidden[:, 0, 0] & hidden[:, width, 0]  # spans lie apart where they began apart
        assert near(ends.mean(), 0.3**2)


def inner_runs(hidden):
    """Lengths of the stretches of hidden bins that touch neither end."""
    padded = np.diff(np.r_[0, hidden.astype(int), 0])
    starts, ends = np.flatnonzero(padded > 0), np.flatnonzero(padded < 0)
    return [end - start for start, end in zip(starts, ends, strict=True) if start > 0 and end < len(hidden)]


def test_a_share_of_the_trials_has_spans():
    """The chance that the bin after a hidden one is hidden, too: the rate without spans, and more with them."""
    chosen, together = masking("bins", longest_span=4), []
    for probability in (0.0, 0.5, 1.0):
        hidden = drawn(chosen, rates(0.3, span_probability=probability)).hidden[:, :LATE, 1]
        assert near(hidden.mean(0), 0.3)
        together.append((hidden[:, 1:] & hidden[:, :-1]).mean())
    assert near(together[0], 0.09, draws=DRAWS * (LATE - 1))
    # A span of width w covers neighbours unless none began in the w + 1 bins that reach either one of them.
    expected = np.mean([1 - 2 * 0.7 + 0.7 ** ((width + 1) / width) for width in range(1, 5)])
    np.testing.assert_allclose(together[1:], [(0.09 + expected) / 2, expected], atol=0.01)


def test_spans_appear_along_their_ramp():
    chosen = masking("bins", span_start=10, span_ramp=4)
    risen = [float(chosen.ramp(jnp.int32(update))) for update in (0, 9, 10, 11, 12, 13, 14, 1000)]
    np.testing.assert_allclose(risen, [0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    at_once = masking("bins", span_start=3)
    assert [float(at_once.ramp(jnp.int32(update))) for update in (2, 3)] == [0, 1]


def test_one_region_is_hidden_at_a_time():
    mask = drawn(masking("regions"), rates(0.2))
    for region in range(3):
        of_region = mask.hidden[:, 0, region == REGION]
        seen = of_region[:, : 2 if region == 1 else None]  # the third neuron of region 1 is not visible
        assert (seen == seen[:, :1]).all()
        assert near(seen[:, 0].mean(), 1 / 3)
    np.testing.assert_array_equal(mask.hidden, mask.counted)
    np.testing.assert_allclose(mask.probability, 1 / 3, rtol=1e-6)
    assert (mask.hidden[:, 0][:, [0, 2, 5]].sum(1) == 1).all()


def test_within_a_region_the_others_are_hidden_and_not_counted():
    rate = 0.4
    mask = drawn(masking("within_region"), rates(rate))
    hidden, counted = mask.hidden[:, 0], mask.counted[:, 0]
    others_hidden = np.stack([hidden[:, (one != REGION) & IS_VISIBLE[0]].all(1) for one in range(3)], axis=1)
    assert others_hidden.any(1).all()
    assert (others_hidden[:, REGION] | ~counted).all()  # what counts lies where all else is hidden
    assert (hidden | ~counted).all()
    assert near(counted.mean(0)[IS_VISIBLE[0]], rate / 3)
    assert near(hidden.mean(0)[IS_VISIBLE[0]], 2 / 3 + rate / 3)
    np.testing.assert_allclose(mask.probability, rate / 3, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_a_causal_mask_hides_everything_from_a_bin_on(rate):
    mask = drawn(masking("causal"), rates(rate))
    course = mask.hidden[:, :LATE, 1]
    assert (course[:, 1:] >= course[:, :-1]).all()
    np.testing.assert_array_equal(mask.hidden[:, :LATE, 1], mask.hidden[:, :LATE, 2])
    np.testing.assert_array_equal(mask.hidden, mask.counted)
    chance = 5 * 0.58 * rate / np.sqrt(DRAWS)  # of an even choice between 0 and twice the rate
    rounding = 1 / (16 * rate * LATE**2)  # of an even choice of a time to that of a bin
    np.testing.assert_allclose(course.mean(), rate, atol=chance + rounding)
    first = np.where(course.any(1), course.argmax(1), LATE)
    assert first.min() >= np.floor(LATE * (1 - 2 * rate))  # of the short trial's own bins


def test_a_causal_mask_hides_its_rate_also_beyond_one_half():
    mask = drawn(masking("causal"), rates(0.8))
    np.testing.assert_allclose(mask.hidden[:, :LATE, 1].mean(), 0.8, atol=0.03)
    np.testing.assert_allclose((mask.counted[:, :LATE, 1] / mask.probability[:, None]).mean(), 1, atol=0.04)


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS if kind != "causal"), ("entries", "regions")])
def test_the_expected_weight_of_what_counts_is_one(kinds):
    for rate in (0.15, 0.5):
        mask = drawn(masking(*kinds, longest_span=3), rates(rate))
        weight = (mask.counted / mask.probability[:, None, None]).mean(0)
        smallest = min(rate if kind in ALIKE else rate / 3 for kind in kinds)
        np.testing.assert_allclose(weight[IS_VISIBLE], 1, atol=5 / np.sqrt(smallest * DRAWS))
        np.testing.assert_allclose(weight[IS_VISIBLE].mean(), 1, atol=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_outside_the_visible_is_hidden_and_the_same_key_gives_the_same(kind):
    chosen = masking(kind, longest_span=2)
    mask, again = (drawn(chosen, rates(0.5), draws=300) for _ in range(2))
    other = drawn(chosen, rates(0.5), draws=300, seed=1)
    assert mask.hidden.any()
    assert not mask.hidden[:, ~IS_VISIBLE].any()
    assert not mask.counted[:, ~IS_VISIBLE].any()
    np.testing.assert_array_equal(mask.hidden, again.hidden)
    np.testing.assert_array_equal(mask.counted, again.counted)
    assert (mask.hidden != other.hidden).any()
    nothing = drawn(chosen, rates(0.5), counts=np.full((TIME, NEURONS), np.nan, np.float32), draws=300)
    assert not nothing.hidden.any()


@pytest.mark.parametrize("kind", KINDS)
def test_at_rate_zero_nothing_is_hidden(kind):
    """Validation that hides nothing, and sample validation, set the rate to zero and rely on it."""
    mask = drawn(masking(kind, longest_span=3), rates(0.0), draws=300)
    assert not mask.hidden.any()
    assert not mask.counted.any()


def test_of_several_kinds_each_trial_draws_one():
    hidden = drawn(masking("bins", "neurons", longest_span=1), rates(0.5)).hidden[:, :, [1, 2, 3, 5]]
    hidden = hidden[:, [0, 1, 2, 4, 5]]
    by_bins, by_neurons = ((hidden == hidden.take([0], axis)).all((1, 2)) for axis in (2, 1))
    assert (by_bins | by_neurons).all()
    draws = DRAWS
    # All hidden or none, by the other kind: 2 / 2^5 of the bins' and 2 / 2^4 of the neurons' masks look like both.
    np.testing.assert_allclose(by_bins.mean(), 0.5 + 0.5 * 2 / 2**4, atol=5 * 0.5 / np.sqrt(draws))


@jax.jit
def _replaced(chosen, counts, mask, numbers, key):
    return chosen.replace(counts, mask, numbers, key=key)


def replaced(numbers, token="zero", kind="entries"):
    """A large trial of counts from 3 to 9, its mask, and what is seen of it."""
    counts = jnp.asarray(np.random.default_rng(0).integers(3, 10, (400, NEURONS)).astype(np.float32))
    counts = counts.at[7, 1].set(jnp.nan)
    chosen = masking(kind, token=token)
    mask = chosen.draw(counts, numbers, key=jax.random.key(0))
    seen = _replaced(chosen, counts, mask, numbers, jax.random.key(1))
    return np.asarray(counts), np.asarray(mask.hidden), np.asarray(mask.counted), np.asarray(seen)


@pytest.mark.parametrize("token", ["zero", "unobserved"])
def test_what_is_hidden_becomes_the_token_a_random_count_or_stays(token):
    counts, hidden, _, seen = replaced(rates(0.6, mask_token=0.5, mask_random=0.6), token)
    np.testing.assert_array_equal(seen[~hidden], counts[~hidden])
    after, before = seen[hidden], counts[hidden]
    is_token = np.isnan(after) if token == "unobserved" else after == 0
    top = 10
    by_chance = 0.5 * 0.6 / top  # a random count is also a zero, or the count that was there
    assert near(is_token.mean(), 0.5 + (by_chance if token == "zero" else 0.0), draws=hidden.sum())
    assert near((after == before).mean(), 0.5 * 0.4 + by_chance, draws=hidden.sum())
    drawn_counts = after[~is_token & (after != before)]
    assert set(np.unique(drawn_counts)) <= set(range(top))
    low = drawn_counts[(drawn_counts > 0) & (drawn_counts < 3)]
    assert near(len(low) / hidden.sum(), 0.5 * 0.6 * 2 / top, draws=hidden.sum())


def test_all_tokens_all_random_and_all_unchanged():
    counts, hidden, _, seen = replaced(rates(0.5, mask_token=1.0, mask_random=0.0))
    np.testing.assert_array_equal(seen[hidden], 0)
    counts, hidden, _, seen = replaced(rates(0.5, mask_token=0.0, mask_random=1.0))
    assert near((seen[hidden] == counts[hidden]).mean(), 0.1, draws=hidden.sum())
    counts, hidden, _, seen = replaced(rates(0.5, mask_token=0.0, mask_random=0.0), "unobserved")
    np.testing.assert_array_equal(seen, counts)


def test_what_is_hidden_but_not_counted_is_always_the_token():
    for token, value in (("zero", 0.0), ("unobserved", np.nan)):
        _, hidden, counted, seen = replaced(
            rates(0.5, mask_token=0.0, mask_random=0.0), token, "within_region"
        )
        assert (hidden & ~counted).any()
        np.testing.assert_array_equal(seen[hidden & ~counted], value)
