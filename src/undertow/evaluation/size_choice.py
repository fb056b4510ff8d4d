"""Which of several latent sizes to take: the smallest that scores as well as the best, if the rates show all of its latents.

Scores of the rates alone never say that a latent space is too large: they rise to a plateau and stay there. Two rules do.

1. *Cycle consistency*: only sizes within `MARGIN` of the largest cycle consistency come into question; the others have latents
   that no rate shows (Versteeg et al. 2023).
2. *One standard error* (Breiman et al. 1984): of those the smallest whose score lies within one standard error of the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from undertow.vocabulary import UndertowError

MARGIN = 0.05
NEARLY = 0.95  # of the recommended size's score: a smaller size that reaches it is named


class SizeCurve(NamedTuple):
    """What was measured at each size.

    Attributes:
        sizes: (size,) numbers of latents, rising.
        scores: (size,) how well the rates fit; higher is better.
        consistency: (size,) cycle consistency.
        errors: (size, size) the standard error of the difference between two sizes' scores.
    """

    sizes: Sequence[int]
    scores: np.ndarray
    consistency: np.ndarray
    errors: np.ndarray


class SizeChoice(NamedTuple):
    """Positions on the curve.

    Attributes:
        place: of the size to take; None where no size does better than constant rates, whose score is 0.
        best: of the best score among consistent sizes.
        is_consistent: (size,) bool, whether a size comes into question.
        is_within: (size,) bool, whether it also lies within one standard error of the best.
    """

    place: int | None
    best: int
    is_consistent: np.ndarray
    is_within: np.ndarray


def choose(curve: SizeCurve) -> SizeChoice:
    """The size that the two rules leave.

    Raises:
        UndertowError: a score that is not finite.
    """
    for size, score in zip(curve.sizes, curve.scores, strict=True):
        if not np.isfinite(score):
            raise UndertowError(
                f"The score of size {size} is {score}, so it can't be compared; leave it out."
            )
    is_consistent = curve.consistency >= curve.consistency.max() - MARGIN
    best = int(np.argmax(np.where(is_consistent, curve.scores, -np.inf)))
    is_within = is_consistent & (curve.scores[best] - curve.scores <= curve.errors[best])
    is_within[best] = True
    place = int(np.argmax(is_within)) if curve.scores[best] > 0 else None
    return SizeChoice(place, best, is_consistent, is_within)


def reason(curve: SizeCurve, choice: SizeChoice, words: str) -> str:
    """Why that size, in a few sentences with the numbers; `words` name the score."""
    consistency = curve.consistency
    if choice.place is None:
        return (
            f"No size does better than constant rates (the best {words} is {curve.scores[choice.best]:.4f}), so nothing can be "
            "recommended: train longer, or give more trials."
        )
    sentence = (
        f"{_score_reason(curve, choice, words)}, and its cycle consistency, {consistency[choice.place]:.3f}, lies within "
        f"{MARGIN:g} of the largest, {consistency.max():.3f}."
    )
    sentence += _almost(curve, choice)
    if choice.is_consistent.all():
        return sentence
    left_out = consistency[~choice.is_consistent]
    names = [str(size) for size, is_in in zip(curve.sizes, choice.is_consistent, strict=True) if not is_in]
    span = f"{left_out.min():.3f}" + (f" to {left_out.max():.3f}" if left_out.size > 1 else "")
    return (
        f"{sentence} {_listed(names)} did not come into question, with scores up to "
        f"{curve.scores[~choice.is_consistent].max():.4f}: their cycle consistency is {span}, so the rates do not show all of "
        "their latents."
    )


def _score_reason(curve: SizeCurve, choice: SizeChoice, words: str) -> str:
    place, best = choice.place, choice.best
    opening = f"The {words} with {curve.sizes[place]}, {curve.scores[place]:.4f},"
    if place != best:
        return (
            f"{opening} lies within one standard error ({curve.errors[best][place]:.4f}) of the best, "
            f"{curve.scores[best]:.4f} with {curve.sizes[best]}"
        )
    smaller = np.flatnonzero(choice.is_consistent[:place])
    if not smaller.size:
        return f"{opening} is the best"
    near = smaller[np.argmax(curve.scores[smaller])]
    return (
        f"{opening} is better than that of every smaller size by more than one standard error ({curve.sizes[near]} comes "
        f"nearest: {curve.scores[near]:.4f}, standard error of the difference {curve.errors[best][near]:.4f})"
    )


def _almost(curve: SizeCurve, choice: SizeChoice) -> str:
    """The smallest size that scores nearly as well, if it is smaller than the one to take."""
    share = curve.scores / curve.scores[choice.place]
    place = int(np.argmax(choice.is_consistent & (share >= NEARLY)))
    if place >= choice.place:
        return ""
    return (
        f" But {curve.sizes[place]} latents reach {share[place]:.0%} of its score: to look inside the dynamics, train that size "
        "longer before you take the larger one."
    )


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
