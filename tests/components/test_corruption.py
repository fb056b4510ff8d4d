"""Corruption: what is kept passes no gradient, expectations stay, what is missing touches nothing, spikes are conserved."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from undertow.components.corruption import (
    Corruption,
    CorruptionRates,
    coordinated_dropout,
    dropout_mask,
    hashed_dropout,
    keep_mask,
    move_spikes,
)
from undertow.components.masking import Masking
from undertow.components.observations import OBSERVATIONS
from undertow.models.base import reconstruction

TIME, NEURONS = 9, 6
HELD_OUT = np.array([False, True, False, False, False, True])
FORWARD = np.arange(TIME) >= 7
CONCEALED = HELD_OUT[None, :] | FORWARD[:, None]
shares = st.floats(0.05, 0.9)
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=25, deadline=None)


NONE = CorruptionRates(
    *(0.0,) * 6, mask_token=1.0, mask_random=1.0, span_probability=1.0, concealed_weight=1.0
)


def rates(coordinated_dropout=0.0, pass_rate=0.0, sample_validation=0.0, **others):
    numbers = NONE._replace(
        coordinated_dropout=coordinated_dropout,
        pass_rate=pass_rate,
        sample_validation=sample_validation,
        **others,
    )
    return CorruptionRates(*map(jnp.float32, numbers))


def corruption(*, masking=None, moves_spikes=False):
    return Corruption(jnp.asarray(HELD_OUT), jnp.asarray(FORWARD), masking, moves_spikes=moves_spikes)


def masking(*kinds, **choices):
    return Masking(region=jnp.asarray([0, 0, 0, 1, 1, 1]), regions=2, kinds=kinds, **choices)


def counts(seed=0):
    drawn = 1.0 + np.random.default_rng(seed).poisson(2.0, (TIME, NEURONS)).astype(np.float32)
    drawn[2, 3] = drawn[7:, 4] = np.nan
    return drawn


@partial(jax.jit, static_argnames="moves_spikes")
def _corrupted(trial_counts, numbers, trial, key, *, moves_spikes):
    return corruption(moves_spikes=moves_spikes).corrupt(trial_counts, numbers, trial, key=key)


def corrupted(trial_counts, numbers, *, trial=0, seed=0, moves_spikes=False):
    key = jax.random.key(seed)
    return _corrupted(jnp.asarray(trial_counts), numbers, jnp.int32(trial), key, moves_spikes=moves_spikes)


@jax.jit
def _validated(trial_counts, numbers, trial):
    return corruption().validate(trial_counts, numbers, trial)


def validated(trial_counts, numbers, *, trial=0):
    return _validated(jnp.asarray(trial_counts), numbers, jnp.int32(trial))


@jax.jit
def gradient(log_rates, one):
    return jax.grad(lambda values: reconstruction(OBSERVATIONS["poisson"](NEURONS), values[..., None], one))(
        log_rates
    )


@quick
@given(rate=shares, seed=seeds)
def test_kept_entries_pass_no_gradient_and_are_scaled(rate, seed):
    original, one = counts(), corrupted(counts(), rates(rate), seed=seed)
    slope = np.asarray(gradient(jnp.zeros((TIME, NEURONS)), one))
    seen, is_visible = np.asarray(one.seen), np.isfinite(original) & ~CONCEALED
    is_kept = is_visible & (seen > 0)  # every count is at least one
    np.testing.assert_array_equal(slope[is_kept], 0)
    np.testing.assert_allclose(seen[is_kept], original[is_kept] / np.float32(1 - rate), rtol=1e-5)
    is_dropped = is_visible & ~is_kept
    np.testing.assert_allclose(slope[is_dropped], (1 - original[is_dropped]) / rate, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(one.weight)[is_dropped], np.float32(1) / np.float32(rate))


@quick
@given(rate=shares, seed=seeds, sample_validation=st.sampled_from([0.0, 0.3]))
def test_concealed_entries_are_never_seen_and_always_counted(rate, seed, sample_validation):
    original = counts()
    for one in (
        corrupted(original, rates(rate, sample_validation=sample_validation), seed=seed, trial=seed),
        validated(original, rates(rate, sample_validation=sample_validation), trial=seed),
    ):
        assert np.isnan(np.asarray(one.seen)[CONCEALED]).all()
        np.testing.assert_array_equal(np.asarray(one.target), original)
    weight = np.asarray(corrupted(original, rates(rate), seed=seed).weight)
    np.testing.assert_array_equal(weight[CONCEALED & np.isfinite(original)], 1)
    counted = np.asarray(
        corrupted(original, rates(rate, sample_validation=0.3), seed=seed, trial=seed).weight
    )
    assert (counted[CONCEALED & np.isfinite(original)] > 0).all()


@quick
@given(rate=shares, sample_validation=st.sampled_from([0.0, 0.4]), seed=seeds, other=st.floats(0, 90))
def test_the_value_of_a_missing_entry_changes_nothing(rate, sample_validation, seed, other):
    """NaN marks it; what could stand in its place reaches neither loss nor gradient."""
    one = corrupted(counts(), rates(rate, sample_validation=sample_validation), seed=seed)
    is_missing = np.isnan(counts())
    assert np.isnan(np.asarray(one.seen)[is_missing]).all()
    np.testing.assert_array_equal(np.asarray(one.weight)[is_missing], 0)
    replaced = one._replace(target=jnp.where(is_missing, jnp.float32(other), one.target))
    log_rates = jnp.full((TIME, NEURONS), 0.3)
    np.testing.assert_array_equal(gradient(log_rates, one), gradient(log_rates, replaced))
    np.testing.assert_array_equal(np.asarray(gradient(log_rates, one))[is_missing], 0)


@pytest.mark.parametrize(("rate", "pass_rate"), [(0.3, 0.0), (0.7, 0.0), (0.3, 0.4), (0.0, 0.0)])
@pytest.mark.parametrize("sample_validation", [0.0, 0.25])
def test_weights_and_what_is_seen_stay_the_same_on_average(rate, pass_rate, sample_validation):
    numbers, repeats = rates(rate, pass_rate, sample_validation), 4000
    original = jnp.asarray(counts())

    @jax.jit
    def average(keys):
        one = jax.vmap(lambda key, trial: corruption().corrupt(original, numbers, trial, key=key))(
            keys, jnp.arange(repeats)
        )
        return one.weight.mean(0), jnp.nanmean(one.seen, axis=0)

    weight, seen = average(jax.random.split(jax.random.key(1), repeats))
    is_visible = np.isfinite(counts()) & ~CONCEALED
    np.testing.assert_allclose(np.asarray(weight)[is_visible].mean(), 1, atol=0.02)
    np.testing.assert_allclose(np.asarray(weight)[is_visible], 1, atol=0.15)
    np.testing.assert_allclose(np.asarray(seen)[is_visible], counts()[is_visible], rtol=0.1)


@quick
@given(rate=shares, seed=seeds)
def test_passed_entries_are_kept_and_counted(rate, seed):
    visible = jnp.ones((50, 40))
    seen, weight = jax.jit(coordinated_dropout)(
        visible, jnp.float32(rate), jnp.float32(0.5), key=jax.random.key(seed)
    )
    is_kept, counts_in_loss = np.asarray(seen) > 0, np.asarray(weight) > 0
    assert counts_in_loss[~is_kept].all()
    share = counts_in_loss[is_kept].mean()
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / is_kept.sum())
    np.testing.assert_allclose(np.asarray(weight)[counts_in_loss], 1 / (rate + 0.5 * (1 - rate)), rtol=1e-5)


@quick
@given(share=shares, trial=st.integers(0, 10_000), seed=seeds, dropped=st.sampled_from([0.0, 0.3]))
def test_sample_validation_is_the_same_in_every_epoch_and_never_leaks(share, trial, seed, dropped):
    numbers = rates(dropped, sample_validation=share)
    first, later = (corrupted(counts(), numbers, trial=trial, seed=s) for s in (seed, seed + 1))
    one = validated(counts(), numbers, trial=trial)
    is_validated = np.asarray(one.weight) > 0
    for training in (first, later):
        np.testing.assert_array_equal(np.asarray(training.weight)[is_validated], 0)
        np.testing.assert_array_equal(np.asarray(training.seen)[is_validated], 0)
    np.testing.assert_array_equal(np.asarray(one.seen)[is_validated], 0)
    assert not is_validated[CONCEALED | np.isnan(counts())].any()
    other = np.where(is_validated, counts() + 5, counts())
    for training, changed in (
        (first, corrupted(other, numbers, trial=trial, seed=seed)),
        (one, validated(other, numbers, trial=trial)),
    ):
        np.testing.assert_array_equal(training.seen, changed.seen)
    if dropped == 0:
        is_trained = ~is_validated & ~CONCEALED & np.isfinite(counts())
        assert (np.asarray(first.weight)[is_trained] > 0).all()
        np.testing.assert_allclose(
            np.asarray(first.seen)[is_trained], counts()[is_trained] / np.float32(1 - share), rtol=1e-4
        )


def test_sample_validation_leaves_out_its_share_and_differs_between_trials():
    numbers = rates(sample_validation=0.3)
    weights = jax.vmap(lambda trial: corruption().validate(jnp.asarray(counts()), numbers, trial).weight)(
        jnp.arange(500)
    )
    chosen = np.asarray(weights)[:, ~CONCEALED & np.isfinite(counts())] > 0
    np.testing.assert_allclose(chosen.mean(), 0.3, atol=0.02)
    assert len(np.unique(chosen, axis=0)) > 490


def test_validation_counts_what_coordinated_dropout_hides_by_a_fixed_choice():
    one, again = (validated(counts(), rates(0.5), trial=3) for _ in range(2))
    np.testing.assert_array_equal(one.weight, again.weight)
    is_visible = ~CONCEALED & np.isfinite(counts())
    is_hidden = is_visible & (np.asarray(one.weight) > 0)
    assert 0 < is_hidden.sum() < is_visible.sum()
    np.testing.assert_array_equal(np.asarray(one.seen)[is_hidden], 0)
    np.testing.assert_allclose(
        np.asarray(one.seen)[is_visible & ~is_hidden], 2 * counts()[is_visible & ~is_hidden]
    )
    np.testing.assert_array_equal(np.asarray(one.weight)[CONCEALED & np.isfinite(counts())], 1)
    assert (np.asarray(validated(counts(), rates(0.5), trial=4).weight) != np.asarray(one.weight)).any()


def test_validation_without_any_corruption_counts_all_that_was_observed():
    one = validated(counts(), rates(0.0))
    np.testing.assert_array_equal(one.weight, np.isfinite(counts()))
    np.testing.assert_array_equal(np.asarray(one.seen)[~CONCEALED], counts()[~CONCEALED])
    np.testing.assert_array_equal(corruption().conceal(jnp.asarray(counts())), one.seen)


@partial(jax.jit, static_argnames="repeats")
def _many(chosen, original, numbers, key, *, repeats):
    return jax.vmap(lambda one, trial: chosen.corrupt(original, numbers, trial, key=one))(
        jax.random.split(key, repeats), jnp.arange(repeats)
    )


def many(chosen, numbers, repeats=4000):
    """The one trial corrupted many times, as many trials: (repeat, time, neuron)."""
    one = _many(chosen, jnp.asarray(counts()), numbers, jax.random.key(2), repeats=repeats)
    return jax.tree.map(np.asarray, one)


@pytest.mark.parametrize(
    ("kinds", "numbers"),
    [
        (("bins",), {"mask_rate": 0.3}),
        (("entries", "regions"), {"mask_rate": 0.3}),
        (("entries",), {"mask_rate": 0.3, "coordinated_dropout": 0.4}),
        (("within_region", "neurons"), {"mask_rate": 0.4, "coordinated_dropout": 0.3, "pass_rate": 0.2}),
        (("entries",), {"mask_rate": 0.3, "coordinated_dropout": 0.3, "sample_validation": 0.25}),
        (("bins",), {"mask_rate": 0.0, "coordinated_dropout": 0.5}),
    ],
)
def test_masks_and_dropout_together_leave_the_expected_loss_as_it_is(kinds, numbers):
    one = many(corruption(masking=masking(*kinds, longest_span=3)), rates(**numbers))
    is_visible = np.isfinite(counts()) & ~CONCEALED
    weight = one.weight[:, is_visible]
    np.testing.assert_allclose(weight.mean(0), 1, atol=5 * weight.std() / np.sqrt(len(weight)))
    shared = numbers.get("sample_validation", 0.0)
    concealed = one.weight[:, CONCEALED & np.isfinite(counts())]
    np.testing.assert_allclose(concealed, 1 / (1 - np.float32(shared)), rtol=1e-5)
    np.testing.assert_array_equal(one.weight[:, np.isnan(counts())], 0)
    assert np.isnan(one.seen[:, CONCEALED]).all()


def test_only_what_masks_hide_counts_and_what_is_seen_stays_as_it_is():
    one = many(corruption(masking=masking("entries")), rates(mask_rate=0.3), repeats=200)
    is_visible = np.broadcast_to(np.isfinite(counts()) & ~CONCEALED, one.seen.shape)
    is_counted = is_visible & (one.weight > 0)
    np.testing.assert_array_equal(one.seen[is_counted], 0)
    original = np.broadcast_to(counts(), one.seen.shape)
    np.testing.assert_array_equal(one.seen[is_visible & ~is_counted], original[is_visible & ~is_counted])
    np.testing.assert_allclose(one.weight[is_counted], 1 / 0.3, rtol=1e-5)
    np.testing.assert_array_equal(one.target, original)


def test_concealed_entries_weigh_what_the_recipe_says():
    for concealed_weight in (0.0, 2.5):
        numbers = rates(0.3, concealed_weight=concealed_weight)
        weight = np.asarray(corrupted(counts(), numbers).weight)
        np.testing.assert_array_equal(weight[CONCEALED & np.isfinite(counts())], concealed_weight)
        assert (np.asarray(validated(counts(), numbers).weight)[CONCEALED & np.isfinite(counts())] == 1).all()


@jax.jit
def _masked_validation(chosen, original, numbers, trial, choice):
    return chosen.validate(original, numbers, trial, choice)


def masked_validation(numbers, *, trial=3, choice=None, token="zero", kinds=("entries",)):
    chosen = corruption(masking=masking(*kinds, token=token, longest_span=2))
    choice = None if choice is None else jnp.int32(choice)
    return jax.tree.map(
        np.asarray,
        _masked_validation(chosen, jnp.asarray(counts()), numbers, jnp.int32(trial), choice),
    )


@pytest.mark.parametrize("token", ["zero", "unobserved"])
def test_validation_masks_by_the_token_alone_and_always_the_same(token):
    """Training may leave counts as they are or put random ones in their place; a score on these would be by luck."""
    numbers = rates(mask_rate=0.5, mask_token=0.0, mask_random=0.5)
    one, again = (masked_validation(numbers, token=token) for _ in range(2))
    np.testing.assert_array_equal(one.weight, again.weight)
    np.testing.assert_array_equal(one.seen, again.seen)
    is_visible = np.isfinite(counts()) & ~CONCEALED
    is_hidden = is_visible & (one.weight > 0)
    assert 0 < is_hidden.sum() < is_visible.sum()
    np.testing.assert_array_equal(one.seen[is_hidden], 0 if token == "zero" else np.nan)
    np.testing.assert_array_equal(one.seen[is_visible & ~is_hidden], counts()[is_visible & ~is_hidden])
    np.testing.assert_allclose(one.weight[is_hidden], 2)
    np.testing.assert_array_equal(one.weight[CONCEALED & np.isfinite(counts())], 1)


def test_validation_has_as_many_choices_of_masks_as_numbers():
    numbers = rates(mask_rate=0.5)
    choices = [masked_validation(numbers, choice=choice).weight > 0 for choice in (None, 0, 1, 2)]
    assert len({choice.tobytes() for choice in choices}) == 4
    again = masked_validation(numbers, choice=1).weight > 0
    np.testing.assert_array_equal(again, choices[2])
    other = masked_validation(numbers, choice=1, trial=4).weight > 0
    assert (other != choices[2]).any()


def test_sample_validation_takes_the_place_of_masks_in_validation():
    one = masked_validation(rates(mask_rate=0.5, sample_validation=0.4))
    is_validated = one.weight > 0
    training = _many(
        corruption(masking=masking("entries")),
        jnp.asarray(counts()),
        rates(mask_rate=0.5, sample_validation=0.4),
        jax.random.key(0),
        repeats=4,
    )
    assert not (np.asarray(training.weight)[3] > 0)[is_validated].any()
    is_shown = np.isfinite(counts()) & ~CONCEALED & ~is_validated
    np.testing.assert_allclose(one.seen[is_shown], counts()[is_shown] / np.float32(0.6), rtol=1e-5)


def test_spans_rise_with_the_updates_where_there_are_masks():
    numbers = rates(mask_rate=0.3, span_probability=0.8)
    with_masks = corruption(masking=masking("bins", longest_span=3, span_start=5, span_ramp=2))
    shares = [float(with_masks.at(numbers, jnp.int32(update)).span_probability) for update in (0, 5, 6, 99)]
    np.testing.assert_allclose(shares, [0, 0.4, 0.8, 0.8])
    assert with_masks.at(numbers, jnp.int32(0))._replace(span_probability=numbers.span_probability) == numbers
    assert corruption().at(numbers, jnp.int32(0)) == numbers


def moved(original, *, jitter=0.0, shift=0.0, seed=0):
    return np.asarray(
        _moved(jnp.asarray(original), jnp.float32(jitter), jnp.float32(shift), jax.random.key(seed))
    )


@jax.jit
def _moved(original, jitter, shift, key):
    return move_spikes(original, jitter, shift, key=key)


@quick
@given(jitter=st.integers(0, 2 * TIME), seed=seeds)
def test_jitter_conserves_spikes_in_every_stretch(jitter, seed):
    original = counts()
    after = moved(original, jitter=jitter, seed=seed)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(original))
    np.testing.assert_array_equal(np.nansum(after, 0), np.nansum(original, 0))
    np.testing.assert_array_equal(
        np.nansum(after[:2, 3]), np.nansum(original[:2, 3])
    )  # nothing crosses the gap


@quick
@given(jitter=st.integers(1, 3), place=st.integers(0, TIME - 1), seed=seeds)
def test_jitter_moves_no_further_than_it_says(jitter, place, seed):
    original = np.zeros((TIME, NEURONS), np.float32)
    original[place] = 5
    after = moved(original, jitter=jitter, seed=seed)
    for neuron in range(NEURONS):
        (landed,) = np.flatnonzero(after[:, neuron])
        assert abs(landed - place) <= jitter
        assert after[landed, neuron] == 5


def test_jitter_is_uniform_inside_the_trial():
    original = jnp.zeros((21, 4000)).at[10].set(1.0)
    after = np.asarray(_moved(original, jnp.float32(2), jnp.float32(0), jax.random.key(0)))
    np.testing.assert_allclose(after.mean(1)[8:13], 0.2, atol=0.03)
    assert after[[7, 13]].sum() == 0


@quick
@given(shift=st.floats(0.3, 3.0), seed=seeds)
def test_shift_moves_a_neuron_as_a_whole_and_repeats_the_edge(shift, seed):
    original = np.random.default_rng(seed).poisson(3.0, (TIME, NEURONS)).astype(np.float32)
    after, reach = moved(original, shift=shift, seed=seed), int(np.round(2 * shift))
    for neuron in range(NEURONS):
        candidates = [
            original[np.clip(np.arange(TIME) - offset, 0, TIME - 1), neuron]
            for offset in range(-reach, reach + 1)
        ]
        assert any((after[:, neuron] == candidate).all() for candidate in candidates)


@quick
@given(shift=st.floats(0.5, 3.0), seed=seeds)
def test_shift_takes_nothing_from_missing_entries(shift, seed):
    original = np.full((TIME, NEURONS), np.nan, np.float32)
    original[:4], original[6:] = 3, 8
    after = moved(original, shift=shift, jitter=0, seed=seed)
    np.testing.assert_array_equal(after, original)


def test_nothing_moves_at_rate_zero():
    np.testing.assert_array_equal(moved(counts()), counts())


def test_seen_and_target_move_together():
    numbers = rates(jitter=2, shift=1)
    one = corrupted(counts(), numbers, moves_spikes=True, seed=4)
    assert not np.array_equal(one.target, counts(), equal_nan=True)
    np.testing.assert_array_equal(np.asarray(one.seen)[~CONCEALED], np.asarray(one.target)[~CONCEALED])


@pytest.mark.parametrize("rate", [0.0, 1e-4, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("shape", [(400, 501), (200_001,)])
def test_keep_mask_keeps_its_share(rate, shape):
    kept = np.asarray(keep_mask(jnp.float32(rate), shape, key=jax.random.key(0)))
    assert kept.shape == shape
    assert abs(kept.mean() - (1 - rate)) <= 5 * np.sqrt(rate * (1 - rate) / kept.size) + 1 / 65536
    if 0 < rate < 1:
        pairs = np.corrcoef(kept.ravel()[:-1], kept.ravel()[1:])[0, 1]
        assert abs(pairs) < 5 / np.sqrt(kept.size)


def test_dropout_keeps_the_mean():
    mask = np.asarray(dropout_mask(jnp.float32(0.4), (500, 400), key=jax.random.key(0)))
    assert set(np.unique(mask)) == {0.0, np.float32(1 / (1 - np.float32(0.4)))}
    np.testing.assert_allclose(mask.mean(), 1, atol=0.01)
    np.testing.assert_array_equal(dropout_mask(jnp.float32(0.0), (5, 4), key=jax.random.key(0)), 1)


HASHED_SHAPE = (3, 200, 150)


@jax.jit
def hashed(rate, key):
    return hashed_dropout(rate, HASHED_SHAPE, key=key)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2, 0.5, 0.9])
def test_hashed_dropout_keeps_its_share_and_the_mean(rate):
    factors = np.asarray(hashed(jnp.float32(rate), jax.random.key(0)))
    assert factors.shape == HASHED_SHAPE
    is_kept = factors > 0
    assert set(np.unique(factors)) <= {np.float32(0), np.float32(1) / (np.float32(1) - np.float32(rate))}
    sigma = np.sqrt(rate * (1 - rate) / factors.size)
    assert abs(is_kept.mean() - (1 - rate)) <= 4 * sigma
    for axis in range(3):  # no head, row or column of its own
        others = tuple(one for one in range(3) if one != axis)
        size = factors.size / HASHED_SHAPE[axis]
        spread = np.sqrt(rate * (1 - rate) / size)
        assert (np.abs(is_kept.mean(others) - (1 - rate)) <= 5 * spread).all()


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1] * np.sqrt(first.size)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_hashed_dropout_draws_neighbours_and_keys_independently(rate):
    """Correlations in units of what chance allows: below four."""
    keys = [*jax.random.split(jax.random.key(0), 6), jax.random.key(0), jax.random.key(1)]
    masks = [np.asarray(hashed(jnp.float32(rate), key)) > 0 for key in keys]
    for mask in masks[:3]:
        for distance in (1, 2, 3, 7, 64):
            assert abs(correlation(mask[:, :, distance:], mask[:, :, :-distance])) < 4
            assert abs(correlation(mask[:, distance:], mask[:, :-distance])) < 4
        assert abs(correlation(mask[1:], mask[:-1])) < 4
    for first in range(len(keys)):
        for second in range(first):
            assert abs(correlation(masks[first], masks[second])) < 4
            assert abs(correlation(masks[first][:, :, 1:], masks[second][:, :, :-1])) < 4


def test_hashed_dropout_of_the_same_key_is_the_same_and_is_fused_alike():
    plain = hashed_dropout(jnp.float32(0.3), HASHED_SHAPE, key=jax.random.key(4))
    np.testing.assert_array_equal(plain, hashed(jnp.float32(0.3), jax.random.key(4)))
    one_more = jax.vmap(lambda key: hashed_dropout(jnp.float32(0.3), HASHED_SHAPE, key=key))(
        jax.random.key(4)[None]
    )
    np.testing.assert_array_equal(plain, one_more[0])
