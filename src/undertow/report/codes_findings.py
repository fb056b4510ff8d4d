"""What is suspicious about codes and about what is made of them, in plain words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from undertow.report.codes import Codes
from undertow.report.codes_section import STATISTICS
from undertow.report.codes_words import plain
from undertow.report.material import Finding

_LITTLE_READ = 0.1  # R2 of the best-read behaviour
_DEAD_SHARE = 0.05  # a dimension whose standard deviation is below this share of the largest one's
_FAR = 3.0  # floors from recorded trials
_FOLLOWS = 0.7  # Spearman's correlation of what is read again with the step of a walk
_LEAKS = 0.5  # standard deviations that another behaviour moves for one of the walked one's
_OUTSIDE = 0.25  # of a walk's codes


def find(codes: Codes) -> Iterator[Finding]:
    """The findings about codes, gravest first."""
    for question in (_generated, _read, _dead, _walk, _outside):
        yield from question(codes)


def _generated(codes: Codes) -> Iterator[Finding]:
    if codes.generated is None:
        return
    far = {name: one.ratio for name, one in codes.generated.statistics.items() if one.ratio > _FAR}
    if far:
        worst = sorted(far, key=lambda name: -far[name])[:3]
        listed = "; ".join(
            f"{STATISTICS.get(name, (plain(name),))[0]}: {far[name]:.1f} times the floor" for name in worst
        )
        verb = "is" if len(far) == 1 else "are"
        yield Finding(
            "Generated trials differ from recorded ones",
            f"{len(far)} of {len(codes.generated.statistics)} statistics {verb} more than {_FAR:g} times as far from the "
            f"recording as its halves are from each other. The farthest: {listed}.",
            "Train longer or give the code more dimensions; until then take no conclusions from generated activity.",
        )


def _read(codes: Codes) -> Iterator[Finding]:
    if codes.r2 and max(codes.r2.values()) < _LITTLE_READ:
        name = max(codes.r2, key=codes.r2.get)
        yield Finding(
            "The codes tell little of behaviour",
            f"The best-read behaviour is {plain(name)}, with an R² of {codes.r2[name]:.2f} on trials left out.",
            "Train longer, check the alignment of activity and behaviour, or give the code more dimensions; a walk along a "
            "behaviour that can't be read means nothing.",
        )


def _dead(codes: Codes) -> Iterator[Finding]:
    dead = np.flatnonzero(codes.spread <= _DEAD_SHARE * codes.spread.max(initial=0))
    if dead.size:
        listed = ", ".join(str(place + 1) for place in dead[:8])
        yield Finding(
            f"Unused code dimensions: {listed}",
            f"{dead.size} of {codes.dimension} dimensions of the code are the same in (nearly) all trials.",
            "The data need fewer: a smaller code is easier to read, or lower the weight of the KL.",
        )


def _walk(codes: Codes) -> Iterator[Finding]:
    walk = codes.walk
    if walk is None:
        return
    behaviour = plain(walk.behaviour)
    if not walk.monotonicity >= _FOLLOWS:
        yield Finding(
            f"The walk along {behaviour} is not followed",
            "What is read again from the generated activity goes with what was asked at a correlation of "
            f"{walk.monotonicity:.2f}.",
            "The model's activity does not follow its code: train longer, and compare trials made of shuffled codes.",
        )
        return
    moved = {plain(name): size for name, size in walk.others.items() if size > _LEAKS}
    if moved:
        listed = ", ".join(f"{name} ({size:.2f} sd)" for name, size in moved.items())
        yield Finding(
            f"Other behaviours move along with {behaviour}",
            f"While {behaviour} moves by one standard deviation, so do: {listed}.",
            "What changes along this walk is not due to one behaviour alone; more training trials or a larger code help.",
        )


def _outside(codes: Codes) -> Iterator[Finding]:
    if codes.walk is not None and codes.walk.outside > _OUTSIDE:
        yield Finding(
            "The walk leaves the data",
            f"{codes.walk.outside:.0%} of its codes are far beyond all training codes, seen from their mean.",
            "Activity made of these codes is a guess: ask for a smaller range of values.",
        )
