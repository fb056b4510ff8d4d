"""Masks: what training hides of a trial in order to learn from it, as transformers do. One kind a function, all of one shape.

`Masking.draw(visible, rates, key)` gives a `Mask`: `hidden` (what is replaced), `counted` (what of it the loss counts) and
`probability` (that an entry counts, so that the expected loss does not change with the rate). With the rate r and widths in bins:

=============== ============================================================ ============
kind            what is hidden                                               counted with
=============== ============================================================ ============
entries         single entries, or spans of one neuron's                     r
bins            all neurons in single bins, or in spans of them              r
neurons         whole neurons, for the whole trial                           r
causal          everything from a random bin on, r of the trial on average   r
regions         all neurons of one region, drawn for each trial              1 / regions
within_region   all other regions, and a share r of the neurons of one       r / regions
=============== ============================================================ ============

Where several kinds are named each trial draws one of them ("entries", "bins": Ye and Pandarinath 2021; the others: Zhang et al.
2024). A span of width w begins with probability 1 - (1 - r)^(1/w) in each bin, which hides a share r at every width; the
published code takes r / w, which hides up to a tenth less. With probability `span_probability` a trial's spans have a width
drawn evenly from 1 to `longest_span`, else 1.

What is hidden becomes the token (zero, or NaN = not observed) with probability `mask_token`; the rest becomes, with
probability `mask_random`, a whole number below the trial's largest count plus one; the remainder stays as it is.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

MaskKind = Literal["entries", "bins", "neurons", "causal", "regions", "within_region"]
Token = Literal["zero", "unobserved"]


class MaskRates(NamedTuple):
    """How much is hidden, and what stands in its place."""

    mask_rate: Array
    mask_token: Array
    mask_random: Array
    span_probability: Array


class Mask(NamedTuple):
    """See the module; `probability` is one number for the whole trial."""

    hidden: Bool[Array, "time neuron"]
    counted: Bool[Array, "time neuron"]
    probability: Float[Array, ""]


class Masking(eqx.Module):
    """The kinds of masks that a run draws from, and each neuron's region (a number from 0; all 0 where none are known)."""

    region: Int[Array, " neuron"]
    regions: int = eqx.field(static=True)
    kinds: tuple[MaskKind, ...] = eqx.field(static=True)
    token: Token = eqx.field(static=True, default="zero")
    longest_span: int = eqx.field(static=True, default=1)
    span_start: int = eqx.field(static=True, default=0)
    span_ramp: int = eqx.field(static=True, default=0)

    def ramp(self, update: Int[Array, ""]) -> Float[Array, ""]:
        """How far the share of spans has risen at this update, 0 to 1: evenly over `span_ramp` updates from `span_start` on."""
        passed = (update - self.span_start).astype(jnp.float32)
        return jnp.clip((passed + 1) / max(self.span_ramp, 1), 0.0, 1.0)

    def draw(self, visible: Float[Array, "time neuron"], rates: MaskRates, *, key: Key[Array, ""]) -> Mask:
        """A mask for a trial of which `visible` is seen (NaN elsewhere: neither hidden nor counted)."""
        kind_key, width_key, span_key, mask_key = jax.random.split(key, 4)
        width = jax.random.randint(width_key, (), 1, self.longest_span + 1)
        width = jnp.where(jax.random.uniform(span_key) < rates.span_probability, width, 1)
        trial = _Trial(visible, rates.mask_rate, width, self)
        masks = [KINDS[kind](trial, key=mask_key) for kind in self.kinds]
        chosen = jax.random.randint(kind_key, (), 0, len(masks))
        mask = jax.tree.map(lambda *each: jnp.stack(each)[chosen], *masks)
        is_visible = ~jnp.isnan(visible) & (rates.mask_rate > 0)
        return Mask(mask.hidden & is_visible, mask.counted & is_visible, mask.probability)

    def replace(
        self, visible: Float[Array, "time neuron"], mask: Mask, rates: MaskRates, *, key: Key[Array, ""]
    ) -> Float[Array, "time neuron"]:
        """What is seen of `visible`. Entries that are hidden but not counted always become the token."""
        token_key, random_key, value_key = jax.random.split(key, 3)
        is_token = jax.random.uniform(token_key, visible.shape) < rates.mask_token
        is_random = jax.random.uniform(random_key, visible.shape) < rates.mask_random
        top = jnp.nanmax(jnp.where(jnp.isnan(visible), 0.0, visible)) + 1
        value = jnp.floor(jax.random.uniform(value_key, visible.shape) * top)
        token = jnp.zeros_like(visible) if self.token == "zero" else jnp.full_like(visible, jnp.nan)
        other = jnp.where(is_random, value, visible)
        return jnp.where(mask.hidden, jnp.where(is_token | ~mask.counted, token, other), visible)


class _Trial(NamedTuple):
    """What a kind of mask looks at."""

    visible: Float[Array, "time neuron"]
    rate: Array
    width: Int[Array, ""]
    masking: Masking


def _entries(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    return _alike(_spans(trial, trial.visible.shape[1], key=key), trial.rate)


def _bins(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    return _alike(jnp.broadcast_to(_spans(trial, 1, key=key), trial.visible.shape), trial.rate)


def _neurons(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    is_hidden = jax.random.uniform(key, (1, trial.visible.shape[1])) < trial.rate
    return _alike(jnp.broadcast_to(is_hidden, trial.visible.shape), trial.rate)


def _causal(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    """From a bin on, so that the hidden share of the trial lies evenly around r, as widely as it can."""
    share_key, place_key = jax.random.split(key)
    is_there = (~jnp.isnan(trial.visible)).any(axis=1)
    bins = jnp.arange(is_there.shape[0])
    end = jnp.max(jnp.where(is_there, bins + 1, 0)).astype(jnp.float32)
    spread = jnp.minimum(trial.rate, 1 - trial.rate)
    share = trial.rate + spread * (2 * jax.random.uniform(share_key) - 1)
    is_hidden = (bins.astype(jnp.float32) + jax.random.uniform(place_key) >= end * (1 - share))[:, None]
    return _alike(jnp.broadcast_to(is_hidden, trial.visible.shape), trial.rate)


def _regions(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    is_hidden = trial.masking.region == jax.random.randint(key, (), 0, trial.masking.regions)
    probability = jnp.float32(1 / trial.masking.regions)
    return _alike(jnp.broadcast_to(is_hidden[None], trial.visible.shape), probability)


def _within_region(trial: _Trial, *, key: Key[Array, ""]) -> Mask:
    region_key, neuron_key = jax.random.split(key)
    is_inside = trial.masking.region == jax.random.randint(region_key, (), 0, trial.masking.regions)
    is_masked = is_inside & (jax.random.uniform(neuron_key, is_inside.shape) < trial.rate)
    hidden, counted = (
        jnp.broadcast_to(of_neuron[None], trial.visible.shape)
        for of_neuron in (is_masked | ~is_inside, is_masked)
    )
    return Mask(hidden, counted, trial.rate / trial.masking.regions)


def _alike(is_hidden: Bool[Array, "time neuron"], probability: Array) -> Mask:
    return Mask(is_hidden, is_hidden, probability)


def _spans(trial: _Trial, columns: int, *, key: Key[Array, ""]) -> Bool[Array, "time column"]:
    """Spans of the trial's width; some begin before its first bin, so that all bins are hidden equally often."""
    time, longest = trial.visible.shape[0], trial.masking.longest_span
    chance = 1 - (1 - trial.rate) ** (1 / trial.width.astype(jnp.float32))
    begins = jax.random.uniform(key, (time + longest - 1, columns)) < chance
    covered = [begins[longest - 1 - back :][:time] & (back < trial.width) for back in range(longest)]
    return jnp.any(jnp.stack(covered), axis=0)


KINDS: dict[str, Callable[..., Mask]] = {
    "entries": _entries,
    "bins": _bins,
    "neurons": _neurons,
    "causal": _causal,
    "regions": _regions,
    "within_region": _within_region,
}
