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
    keep_mask,
    move_spikes,
)
from undertow.components.observations import OBSERVATIONS
from undertow.models.base import reconstruction

TIME, NEURONS = 9, 6
HELD_OUT = np.array([False, True, False, False, False, True])
FORWARD = np.arange(TIME) >= 7
CONCEALED = HELD_OUT[None, :] | FORWARD[:, None]
shares = st.floats(0.05, 0.9)
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=25, deadline=None)


def rates(coordinated_dropout=0.0, pass_rate=0.0, sample_validation=0.0, jitter=0.0, shift=0.0):
    return CorruptionRates(
        *map(jnp.float32, (coordinated_dropout, pass_rate, sample_validation, jitter, shift))
    )


def corruption(*, moves_spikes=False):
    return Corruption(jnp.asarray(HELD_OUT), jnp.asarray(FORWARD), moves_spikes=moves_spikes)


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
