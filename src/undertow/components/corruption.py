"""Corruption: what the encoder sees of a trial, and how much each entry counts in the loss. One shape for every model.

`Corruption.corrupt(counts, rates, key)` gives a `Corrupted`: `seen` (what the encoder receives; NaN = not observed), `target`
(what the rates are to explain) and `weight` (how much each entry of the loss counts; 0 = no gradient). In the order of events:

1. *Spike jitter and temporal shift* move counts in time, in `seen` and `target` together.
2. *Held-out neurons and forward bins* are never seen; they always count in the loss.
3. *Sample validation*: a fixed random share of each trial's entries is neither seen nor counted in training; it is what the
   selection score is computed on (Keshtkaran and Pandarinath 2019). The choice depends on the trial, not on the epoch.
4. *Coordinated dropout*: a fresh random share `rate` of the seen entries is set to zero, the others are divided by
   1 - rate; only the dropped entries pass gradient, so that no entry can be copied to its own rate. `pass_rate` lets a share of
   the kept ones pass too. Each passing entry weighs 1 / P(it passes), which leaves the expected loss, and with it the meaning of
   the KL weights, the same at every rate (the published code leaves the sum smaller instead).
5. *Masks* hide whole bins, neurons, entries or regions and count only those (`masking.py`), in place of coordinated dropout or
   with it: what either of them hides counts.
6. *Missing entries* (NaN) are neither seen nor counted, whatever happens before.

At inference `conceal` applies step 2 alone.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from undertow.components.masking import Mask, Masking, MaskRates


class CorruptionRates(NamedTuple):
    """How much of what; every entry is an array, so that a population can move it."""

    coordinated_dropout: Array
    pass_rate: Array
    sample_validation: Array
    jitter: Array
    shift: Array
    mask_rate: Array
    mask_token: Array
    mask_random: Array
    span_probability: Array
    concealed_weight: Array

    @property
    def masks(self) -> MaskRates:
        """Those of the masks."""
        return MaskRates(*(getattr(self, name) for name in MaskRates._fields))


class Corrupted(NamedTuple):
    """A trial as training sees it; the three axes are those of the counts."""

    seen: Float[Array, "time neuron"]
    target: Float[Array, "time neuron"]
    weight: Float[Array, "time neuron"]


class Corruption(eqx.Module):
    """What is concealed in every trial of a session: held-out neurons and forward bins; and how training corrupts the rest.

    `moves_spikes` switches the jitter and shift on, `masking` the masks: they cost time also at rate zero.
    """

    held_out: Bool[Array, " neuron"]
    forward: Bool[Array, " time"]
    masking: Masking | None = None
    moves_spikes: bool = eqx.field(static=True, kw_only=True)

    def for_neurons(self, neurons: Int[Array, " column"] | None) -> "Corruption":
        """The same for a trial whose columns are these of all neurons; -1 is an empty column, None is all in their order."""
        if neurons is None:
            return self
        rows = jnp.where(neurons < 0, self.held_out.shape[0], neurons)

        def gathered(flags: Array) -> Array:
            return jnp.take(flags, rows, mode="fill", fill_value=0)

        masking = self.masking
        if masking is not None:
            masking = dataclasses.replace(masking, region=gathered(masking.region))
        return dataclasses.replace(self, held_out=gathered(self.held_out), masking=masking)

    def at(self, rates: CorruptionRates, update: Array) -> CorruptionRates:
        """The rates at one update of training: spans of masks appear along a ramp."""
        if self.masking is None:
            return rates
        return rates._replace(span_probability=rates.span_probability * self.masking.ramp(update))

    def conceal(self, counts: Float[Array, "time neuron"]) -> Float[Array, "time neuron"]:
        """The counts without held-out neurons and forward bins."""
        return jnp.where(self._is_concealed(), jnp.nan, counts)

    def corrupt(
        self,
        counts: Float[Array, "time neuron"],
        rates: CorruptionRates,
        trial: Int[Array, ""],
        *,
        key: Key[Array, ""],
    ) -> Corrupted:
        """Corrupt one trial for one training step. `trial` is its number: the sample-validation choice is drawn from it."""
        move_key, dropout_key = jax.random.split(key)
        target = move_spikes(counts, rates.jitter, rates.shift, key=move_key) if self.moves_spikes else counts
        is_validated = self.validation_entries(trial, rates.sample_validation, counts.shape)
        seen, weight = self._hide(self.conceal(target), rates, key=dropout_key)
        weight = jnp.where(self._is_concealed(), rates.concealed_weight, weight)
        seen = jnp.where(is_validated & ~jnp.isnan(seen), 0.0, seen / (1 - rates.sample_validation))
        is_counted = jnp.isfinite(target) & ~is_validated
        return Corrupted(seen, target, jnp.where(is_counted, weight / (1 - rates.sample_validation), 0.0))

    def validate(
        self,
        counts: Float[Array, "time neuron"],
        rates: CorruptionRates,
        trial: Int[Array, ""],
        choice: Int[Array, ""] | None = None,
    ) -> Corrupted:
        """The trial as validation sees it: what the score counts is hidden, by the same choice in every epoch.

        With sample validation the entries that training never showed count, and nothing is dropped. Without it coordinated
        dropout or masks hide a fixed choice of entries, and these count with the concealed ones: a score on entries that the
        encoder sees would reward a model for copying them. At rate 0 every observed entry counts. `choice` numbers further
        choices, for a score that averages several. Masks put the token in every place.
        """
        is_validated = self.validation_entries(trial, rates.sample_validation, counts.shape)
        uses_samples = rates.sample_validation > 0
        key = jax.random.fold_in(jax.random.key(6), trial)
        key = key if choice is None else jax.random.fold_in(key, choice)
        fixed = rates._replace(
            coordinated_dropout=jnp.where(uses_samples, 0.0, rates.coordinated_dropout),
            mask_rate=jnp.where(uses_samples, 0.0, rates.mask_rate),
            mask_token=jnp.ones_like(rates.mask_token),
            pass_rate=jnp.zeros_like(rates.pass_rate),
        )
        visible, weight = self._hide(self.conceal(counts), fixed, key=key)
        seen = jnp.where(is_validated & ~jnp.isnan(visible), 0.0, visible / (1 - rates.sample_validation))
        weight = jnp.where(
            uses_samples,
            is_validated.astype(jnp.float32) / jnp.maximum(rates.sample_validation, 1e-6),
            weight,
        )
        return Corrupted(seen, counts, jnp.where(jnp.isfinite(counts), weight, 0.0))

    def _hide(
        self, visible: Float[Array, "time neuron"], rates: CorruptionRates, *, key: Key[Array, ""]
    ) -> tuple[Float[Array, "time neuron"], Float[Array, "time neuron"]]:
        """What is left to see after masks and coordinated dropout, and the loss weights."""
        seen, weight = coordinated_dropout(visible, rates.coordinated_dropout, rates.pass_rate, key=key)
        if self.masking is None:
            return seen, weight
        draw_key, replace_key = jax.random.split(jax.random.fold_in(key, 1))
        mask = self.masking.draw(visible, rates.masks, key=draw_key)
        seen = self.masking.replace(seen, mask, rates.masks, key=replace_key)
        return seen, _joint_weight(visible, weight, mask, rates)

    def validation_entries(
        self, trial: Int[Array, ""], rate: Array, shape: tuple[int, int]
    ) -> Bool[Array, "time neuron"]:
        """The entries of this trial that training never sees nor counts; the same in every epoch."""
        key = jax.random.fold_in(jax.random.key(5), trial)
        return ~keep_mask(rate, shape, key=key) & (rate > 0) & ~self._is_concealed()

    def _is_concealed(self) -> Bool[Array, "time neuron"]:
        return self.held_out[None, :] | self.forward[:, None]


def coordinated_dropout(
    visible: Float[Array, "time neuron"], rate: Array, pass_rate: Array, *, key: Key[Array, ""]
) -> tuple[Float[Array, "time neuron"], Float[Array, "time neuron"]]:
    """What is left to see, scaled by 1 / (1 - rate), and the loss weights: positive only for dropped or passed entries.

    Entries that are not visible (NaN) stay so and weigh 1. At rate 0 nothing is dropped and every entry weighs 1.
    """
    drop_key, pass_key = jax.random.split(key)
    is_kept = keep_mask(rate, visible.shape, key=drop_key)
    passes = ~is_kept | ~keep_mask(pass_rate, visible.shape, key=pass_key)
    probability = rate + (1 - rate) * pass_rate
    weight = jnp.where(passes, 1 / jnp.where(rate > 0, probability, 1.0), 0.0)
    weight = jnp.where(jnp.isnan(visible) | (rate <= 0), 1.0, weight)
    seen = jnp.where(is_kept | jnp.isnan(visible), visible / (1 - rate), 0.0)
    return seen, weight


def _joint_weight(
    visible: Float[Array, "time neuron"],
    weight: Float[Array, "time neuron"],
    mask: Mask,
    rates: CorruptionRates,
) -> Float[Array, "time neuron"]:
    """1 / P(an entry counts) for what coordinated dropout passes or the mask counts; entries that are not visible weigh 1."""
    is_dropping, is_masking = rates.coordinated_dropout > 0, rates.mask_rate > 0
    passing = rates.coordinated_dropout + (1 - rates.coordinated_dropout) * rates.pass_rate
    missed = jnp.where(is_dropping, 1 - passing, 1.0) * jnp.where(is_masking, 1 - mask.probability, 1.0)
    counts = (is_dropping & (weight > 0)) | (is_masking & mask.counted)
    joint = jnp.where(counts, 1 / jnp.maximum(1 - missed, 1e-6), 0.0)
    return jnp.where(jnp.isnan(visible) | ~is_masking, weight, joint)


def keep_mask(rate: Array, shape: tuple[int, ...], *, key: Key[Array, ""]) -> Bool[Array, "..."]:
    """True with probability 1 - rate, to a resolution of 1/65536: two entries from each random word."""
    entries = 1
    for size in shape:
        entries *= size
    words = jax.random.bits(key, ((entries + 1) // 2,))
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:entries].reshape(shape)
    return halves.astype(jnp.float32) >= jnp.round(rate * 65536.0)


def dropout_mask(rate: Array, shape: tuple[int, ...], *, key: Key[Array, ""]) -> Float[Array, "..."]:
    """Ordinary dropout as a factor: 0 with probability `rate`, else 1 / (1 - rate)."""
    return jnp.where(keep_mask(rate, shape, key=key), 1 / (1 - rate), 0.0)


def hashed_dropout(rate: Array, shape: tuple[int, ...], *, key: Key[Array, ""]) -> Float[Array, "..."]:
    """Ordinary dropout as a factor, like `dropout_mask`, but each entry's chance is a hash of its place and of the key.

    A few integer operations an entry take the place of Threefry's sixty, and are fused into whatever uses them: for masks as
    large as attention's weights. The hash is the finaliser "lowbias32" of C. Wellons' search.
    """
    entries = 1
    for size in shape:
        entries *= size
    first, second = jax.random.bits(key, (2,))
    mixed = jax.lax.iota(jnp.uint32, entries).reshape(shape) * jnp.uint32(0x9E3779B9) + first
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, None)):
        mixed = mixed ^ (mixed >> jnp.uint32(shift))
        mixed = mixed if factor is None else mixed * jnp.uint32(factor) + second
    return jnp.where((mixed >> jnp.uint32(8)).astype(jnp.float32) >= rate * 2.0**24, 1 / (1 - rate), 0.0)


def move_spikes(
    counts: Float[Array, "time neuron"], jitter: Array, shift: Array, *, key: Key[Array, ""]
) -> Float[Array, "time neuron"]:
    """Move every entry's counts by up to `jitter` bins, after shifting the neuron as a whole.

    The shift of a neuron is N(0, shift^2) bins, rounded and cut at two standard deviations; the bins that it uncovers repeat
    the edge. The counts of one entry move together. Missing entries stay where they are and nothing crosses them: counts that
    would are reflected, as at the trial's ends.
    """
    shift_key, jitter_key = jax.random.split(key)
    time, neurons = counts.shape
    bins = jnp.arange(time)[:, None]
    offsets = jnp.round(jnp.clip(shift * jax.random.normal(shift_key, (1, neurons)), -2 * shift, 2 * shift))
    is_missing = jnp.isnan(counts)
    first, last = _stretch(is_missing)
    source = jnp.clip(bins - offsets.astype(jnp.int32), first, last)
    shifted = jnp.take_along_axis(jnp.where(is_missing, 0.0, counts), source, axis=0)
    steps = jnp.floor(jax.random.uniform(jitter_key, counts.shape) * (2 * jitter + 1)) - jitter
    landed = first + jnp.abs(bins + steps.astype(jnp.int32) - first)
    landed = jnp.clip(last - jnp.abs(last - landed), first, last)
    moved = (
        jnp.zeros_like(shifted)
        .at[landed, jnp.broadcast_to(jnp.arange(neurons)[None], counts.shape)]
        .add(shifted)
    )
    return jnp.where(is_missing, jnp.nan, moved)


def _stretch(
    is_missing: Bool[Array, "time neuron"],
) -> tuple[Int[Array, "time neuron"], Int[Array, "time neuron"]]:
    """The first and the last bin of the stretch without missing entries that each entry lies in; a missing entry's own bin."""
    time = is_missing.shape[0]
    bins = jnp.broadcast_to(jnp.arange(time)[:, None], is_missing.shape)
    first = jax.lax.cummax(jnp.where(is_missing, bins + 1, 0))
    last = jax.lax.cummin(jnp.where(is_missing, bins - 1, time - 1), reverse=True)
    return jnp.where(is_missing, bins, first), jnp.where(is_missing, bins, last)
