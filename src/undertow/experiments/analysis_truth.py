"""The system that made simulated trials beside the model that was fitted to them: latents, fixed points, manner of moving.

Latents are only known up to an affine map, so one is fitted from inferred to true latents of the training trials.
"""

from typing import NamedTuple

import numpy as np

from undertow.analysis.alignment import Alignment, align
from undertow.analysis.fixed_points import FixedPoints, FixedPointSearch
from undertow.analysis.linearisation import Linearisation
from undertow.analysis.similarity import dynamical_similarity
from undertow.analysis.truth import Comparison, TrueSide, compare, true_side
from undertow.data.simulate.truth import true_system
from undertow.evaluation.truth import LatentR2, latent_r2
from undertow.experiments.analysis_subject import Subject
from undertow.report.excerpt import evenly
from undertow.vocabulary import UndertowError

DELAYS, MOST_TRIALS = 20, 200  # of the dynamical similarity


class Truth(NamedTuple):
    """What is known of the true system.

    Attributes:
        name: the system's.
        r2: of linear maps between inferred and true latents, on the trials of `split`.
        split: which trials were scored.
        alignment: the affine map from inferred to true latents.
        back: that from true to inferred ones.
        dissimilarity: of dynamics (DSA), radians; None where trials are too short.
        side: the true fixed points; None where the system's law is not known.
        comparison: those in the data's region beside the nearest found ones; None as well.
    """

    name: str
    r2: LatentR2
    split: str
    alignment: Alignment
    back: Alignment
    dissimilarity: float | None
    side: TrueSide | None
    comparison: Comparison | None


def truth_beside(
    subject: Subject,
    points: FixedPoints,
    linear: Linearisation,
    search: FixedPointSearch,
    notes: list[str],
) -> Truth | None:
    """The true system beside the model; None where the trials hold no true latents. What can't be had is said in `notes`."""
    if "true_latents" not in subject.trials:
        return None
    true, system = subject.trials.true_latents.values, true_system(subject.trials)
    inferred_rows, true_rows = _rows(subject.latents[subject.fitting]), _rows(true[subject.fitting])
    alignment = align(inferred_rows, true_rows)
    side = comparison = None
    if system is not None:
        jacobians = system.jacobian(system.fixed_points)
        side = true_side(system.fixed_points, jacobians, _rows(true), bin_width=linear.bin_width)
        states = (inferred_rows, true_rows)
        comparison = compare(points, linear, alignment, side, states=states, near=search.near)
    return Truth(
        name=str(subject.trials.attrs.get("system", subject.trials.attrs.get("session", "simulated"))),
        r2=_latent_r2(subject, true),
        split=subject.scored_split,
        alignment=alignment,
        back=align(true_rows, inferred_rows),
        dissimilarity=_dissimilarity(subject.latents, true, notes),
        side=side,
        comparison=comparison,
    )


def _latent_r2(subject: Subject, true: np.ndarray) -> LatentR2:
    inferred, fitting, scored = subject.latents, subject.fitting, subject.scored
    return latent_r2(inferred[scored], true[scored], fitted_on=(inferred[fitting], true[fitting]))


def _dissimilarity(inferred: np.ndarray, true: np.ndarray, notes: list[str]) -> float | None:
    """The angle between both systems' dynamics; a few hundred trials tell as much as all."""
    whole = np.flatnonzero(np.isfinite(inferred).all(axis=(1, 2)))
    chosen = evenly(whole, MOST_TRIALS)
    delays = min(DELAYS, inferred.shape[1] // 2)
    try:
        return dynamical_similarity(inferred[chosen], true[chosen], delays=delays)
    except UndertowError as error:
        notes.append(str(error))
        return None


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1])
