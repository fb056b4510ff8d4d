"""Trials with fewer entries: what a recording would hold if only some neurons were observed in each bin.

Multiplexed recording (Zhu et al. 2021, arXiv 2111.00070): an interface that can read `keep` of its channels at a time moves
from channel to channel, so that every neuron is seen now and then. The entries that are not observed become NaN; the true rates
of a simulation stay.

    sparse = subsample(trials, keep=5, pattern="random", seed=0)
    sparse = subsample(trials, keep=5, pattern="fixed")          # the same channels always: what multiplexing is held against
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral

import numpy as np
import xarray as xr

from undertow.data.surroundings import without_surroundings
from undertow.vocabulary import SPLITS, UndertowError, check_trials, closest


def subsample(
    trials: xr.Dataset,
    *,
    keep: int,
    pattern: str = "random",
    block: int = 5,
    splits: tuple[str, ...] = SPLITS,
    seed: int = 0,
) -> xr.Dataset:
    """The trials with `keep` neurons observed in each bin, the other entries NaN.

    What else there is stays: behaviour, inputs, true rates, and held-out neurons, which are thinned out like all others; only
    counts around the trials (`counts_around`) are left out. The attribute `notes` says what was done. The same seed keeps the
    same entries.

    Args:
        trials: follow the schema of trials.
        keep: neurons observed in a bin, at most; entries that are NaN already stay so.
        pattern: "random": drawn anew in every bin; "round-robin": the next `keep` neurons in each bin, from one to the
            next and around; "blocks": drawn anew every `block` bins; "fixed": the same neurons in all bins and trials.
        block: bins of a block.
        splits: the splits that are thinned out; trials of the others stay as they are.
        seed: of the draws, and of where each trial's round begins.

    Raises:
        UndertowError: more neurons to keep than there are, an unknown pattern or split, or no observed entry left.
    """
    trial_count, bins, neurons = check_trials(trials).counts.shape
    _check(keep, neurons, pattern, block, splits)
    generator = np.random.default_rng(seed)
    kept = PATTERNS[pattern]((trial_count, bins, neurons), int(keep), int(block), generator)
    kept |= ~np.isin(trials.split.values.astype(str), splits)[:, None, None]
    share = float((kept & np.isfinite(trials.counts.values)).mean())
    if not share:
        raise UndertowError(
            f"Of the {keep} neurons kept in each bin none was recorded (pattern '{pattern}', seed {seed}); keep more, "
            "or choose another seed."
        )
    thinned = without_surroundings(trials).assign(
        counts=trials.counts.where(xr.DataArray(kept, dims=trials.counts.dims))
    )
    of = "each bin" if set(splits) == set(SPLITS) else f"each bin of the trials of {' and '.join(splits)}"
    note = f"Of {of} {keep} of {neurons} neurons were kept (pattern {pattern}, seed {seed}): {share:.1%} of the entries."
    return thinned.assign_attrs(notes="\n".join([*_notes(trials), note]))


def _random(shape: tuple[int, int, int], keep: int, _: int, generator: np.random.Generator) -> np.ndarray:
    chance = generator.random(shape, dtype=np.float32)
    order = np.argsort(chance, axis=2)[:, :, :keep]
    kept = np.zeros(shape, bool)
    np.put_along_axis(kept, order, values=True, axis=2)
    return kept


def _round_robin(
    shape: tuple[int, int, int], keep: int, _: int, generator: np.random.Generator
) -> np.ndarray:
    trials, bins, neurons = shape
    begin = generator.integers(neurons, size=trials)[:, None, None]
    place = np.arange(neurons)[None, None] - begin - keep * np.arange(bins)[None, :, None]
    return place % neurons < keep


def _blocks(shape: tuple[int, int, int], keep: int, block: int, generator: np.random.Generator) -> np.ndarray:
    trials, bins, neurons = shape
    drawn = _random((trials, -(-bins // block), neurons), keep, block, generator)
    return np.repeat(drawn, block, axis=1)[:, :bins]


def _fixed(shape: tuple[int, int, int], keep: int, _: int, generator: np.random.Generator) -> np.ndarray:
    kept = np.zeros(shape, bool)
    kept[:, :, generator.permutation(shape[2])[:keep]] = True
    return kept


PATTERNS: Mapping[str, Callable[[tuple[int, int, int], int, int, np.random.Generator], np.ndarray]] = {
    "random": _random,
    "round-robin": _round_robin,
    "blocks": _blocks,
    "fixed": _fixed,
}


def _check(keep: object, neurons: int, pattern: str, block: object, splits: tuple[str, ...]) -> None:
    if pattern not in PATTERNS:
        raise UndertowError(f"There is no pattern '{pattern}'; {closest(pattern, PATTERNS)}")
    if not isinstance(keep, Integral) or isinstance(keep, bool) or not 1 <= keep <= neurons:
        raise UndertowError(
            f"{keep!r} of {neurons} neurons can't be kept in each bin; choose 1 to {neurons}."
        )
    if not isinstance(block, Integral) or isinstance(block, bool) or block < 1:
        raise UndertowError(f"A block of {block!r} bins can't be; choose a whole number of 1 or more.")
    if not splits:
        raise UndertowError(f"No split is named whose trials shall be thinned out; choose from {SPLITS}.")
    for name in splits:
        if name not in SPLITS:
            raise UndertowError(f"There is no split '{name}'; {closest(name, SPLITS)}")


def _notes(trials: xr.Dataset) -> list[str]:
    notes = trials.attrs.get("notes", "")
    return [note for note in (notes.split("\n") if isinstance(notes, str) else notes) if note]
