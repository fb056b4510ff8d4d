"""What a report shows of codes: where trials lie, what a line reads from them, a walk along a behaviour, generated trials.

The cost is bounded: so many trials are encoded, walked and drawn, however many there are. Test trials take no part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xarray as xr

from undertow.evaluation.code_steps import independent
from undertow.evaluation.linear_readout import Reading, directions, readings
from undertow.experiments import coding, generating
from undertow.experiments.codes_generated import generated_beside
from undertow.experiments.codes_walk import walk_along
from undertow.report.codes import Codes, Read
from undertow.vocabulary import SPLITS, UndertowError

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

Made = TypeVar("Made")
TEST = SPLITS[-1]
MOST_TRIALS = 500
MOST_PANELS = 8
ENOUGH_LEFT_OUT = 20
SMALLEST_SPREAD = 1e-9


def record(fitted: Fitted, trials: xr.Dataset) -> Codes | None:
    """Everything the report draws of codes; None for a model without codes, or without enough trials that are no test trials."""
    if not coding.has_codes(fitted):
        return None
    chosen = chosen_of(trials)
    shown = trials.isel(trial=chosen)
    is_training = shown.split.values.astype(str) == generating.SUBSETS
    if not is_training.any() or shown.sizes["trial"] < 2:
        return None
    codes = coding.encode(fitted, shown).values.astype(float)
    known = generating.behaviours_of(shown)
    angles = generating.angles_of(known)
    is_left_out = ~is_training if (~is_training).sum() >= ENOUGH_LEFT_OUT else np.zeros(len(codes), bool)
    found = _readings(codes, known, angles, is_left_out)
    known = {name: known[name] for name in found}
    drawn = _drawn(known, found, angles)
    plane, axes = plane_of(codes, known, angles & set(known))
    told = {name: found[name].r2 for name in drawn}
    walk = _where_possible(lambda: walk_along(fitted, shown, codes, told, angles))
    return Codes(
        dimension=codes.shape[1],
        plane=plane,
        axes=axes,
        spread=codes[is_training].std(axis=0),
        is_left_out=is_left_out,
        behaviours=tuple(
            Read(name, name in angles, known[name], found[name].values, found[name].r2) for name in drawn
        ),
        r2={name: reading.r2 for name, reading in found.items()},
        walk=None if walk is None else dataclasses.replace(walk, source=int(chosen[walk.source])),
        generated=_where_possible(lambda: generated_beside(fitted, shown)),
    )


def _where_possible(make: Callable[[], Made]) -> Made | None:
    """What is made, or None: a report shows what there is, of a model that has hardly learned, too."""
    try:
        return make()
    except UndertowError:
        return None


def chosen_of(trials: xr.Dataset) -> np.ndarray:
    """Numbers of training and validation trials, evenly spaced where there are many."""
    chosen = np.flatnonzero(trials.split.values.astype(str) != TEST)
    if len(chosen) <= MOST_TRIALS:
        return chosen
    return chosen[np.linspace(0, len(chosen) - 1, MOST_TRIALS).round().astype(int)]


def _readings(
    codes: np.ndarray, known: dict[str, np.ndarray], angles: set[str], is_left_out: np.ndarray
) -> dict[str, Reading]:
    """What a line reads of each behaviour, on trials that it was not fitted to; nothing where trials are too few."""
    found = {}
    for name, values in known.items():
        try:
            one = readings(
                codes,
                {name: values},
                angles=angles & {name},
                is_fitted=~is_left_out if is_left_out.any() else None,
            )
        except UndertowError:
            continue
        found |= {key: reading for key, reading in one.items() if np.isfinite(reading.r2)}
    return found


def _drawn(known: dict[str, np.ndarray], found: dict[str, Reading], angles: set[str]) -> list[str]:
    """Behaviours that no line makes of the others, the best-read first; angles are preferred to what follows from them."""
    if not known:
        return []
    first = [name for name in known if name in angles][:1] or [next(iter(known))]
    apart = independent(known, first, angles)
    return sorted(apart, key=lambda name: -found[name].r2)[:MOST_PANELS]


def plane_of(
    codes: np.ndarray, known: dict[str, np.ndarray], angles: set[str]
) -> tuple[np.ndarray, tuple[str, str]]:
    """Codes (trial, 2) in the plane that tells most of behaviour, of variance one, and what its axes are.

    The axes are the principal directions of all that a line reads from the codes; without behaviour, those of the codes.
    """
    centred = codes - codes.mean(axis=0)
    told = centred @ directions(codes, known, angles=angles).weights if known else centred
    values, share = _principal(told)
    titles = [f"direction {place + 1} ({part:.0%})" for place, part in enumerate(share)]
    if values.shape[1] == 1 and codes.shape[1] > 1:
        rest, _ = _principal(centred - values @ np.linalg.lstsq(values, centred, rcond=None)[0])
        values, titles = (
            np.concatenate([values, rest[:, :1]], axis=1),
            [*titles, "main direction of the rest"],
        )
    if values.shape[1] == 1:
        values, titles = np.pad(values, [(0, 0), (0, 1)]), [*titles, ""]
    return values[:, :2], (titles[0], titles[1])


def _principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of centred values, of variance one, and their shares; one where there is one."""
    left, size, _ = np.linalg.svd(values, full_matrices=False)
    number = max(1, min(2, int((size > SMALLEST_SPREAD * max(size[0], SMALLEST_SPREAD)).sum())))
    return left[:, :number] * np.sqrt(len(values)), size[:number] ** 2 / max((size**2).sum(), SMALLEST_SPREAD)
