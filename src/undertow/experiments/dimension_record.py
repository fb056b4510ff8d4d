"""What dimensions.json holds, and the same as a table for a terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from undertow.evaluation import size_choice
from undertow.evaluation.size_choice import SizeChoice, SizeCurve
from undertow.experiments.dimension_scores import SCORES, SizeFit, curve_of, score_of
from undertow.experiments.recipe import Recipe

SCHEMA = "undertow-dimensions-1"


def record(fits: Sequence[SizeFit], recipe: Recipe, trials: xr.Dataset) -> dict[str, Any]:
    """The fits of all sizes, what was chosen and why, as plain nested values.

    "score" is a key of `dimension_scores.SCORES`. Of each of "sizes", in rising order: "score" and "cycle_consistency" (means
    over seeds), "behind" (the best one's score less its own) with its standard "error", "latent_r2" (None where no truth is
    known), the two questions of `size_choice`, and its "fits", one a seed.
    """
    sizes = sorted({one.size for one in fits})
    groups = [[one for one in fits if one.size == size] for size in sizes]
    curve, score = curve_of(groups), score_of(trials)
    choice, words = size_choice.choose(curve), SCORES[score][0]
    return {
        "schema": SCHEMA,
        "session": str(trials.attrs.get("session", "a recording")),
        "model": recipe.model.section,
        "field": recipe.model.size,
        "score": score,
        "words": words,
        "margin": size_choice.MARGIN,
        "recommended": None if choice.place is None else sizes[choice.place],
        "best": sizes[choice.best],
        "why": size_choice.reason(curve, choice, words),
        "sizes": [_of_size(place, group, curve, choice) for place, group in enumerate(groups)],
        "recipe": recipe.document(),
    }


def _of_size(place: int, group: Sequence[SizeFit], curve: SizeCurve, choice: SizeChoice) -> dict[str, Any]:
    latent_r2 = None if group[0].latent_r2 is None else float(np.mean([one.latent_r2 for one in group]))
    return {
        "size": group[0].size,
        "score": float(curve.scores[place]),
        "behind": float(curve.scores[choice.best] - curve.scores[place]),
        "error": float(curve.errors[choice.best][place]),
        "cycle_consistency": float(curve.consistency[place]),
        "latent_r2": latent_r2,
        "is_consistent": bool(choice.is_consistent[place]),
        "is_within": bool(choice.is_within[place]),
        "fits": [_of_fit(one) for one in group],
    }


def _of_fit(one: SizeFit) -> dict[str, Any]:
    outcome = one.fitted.outcome
    return {
        "seed": one.seed,
        "folder": one.fitted.folder.name,
        "score": one.trial_scores.score,
        "cycle_consistency": one.consistency,
        "latent_r2": one.latent_r2,
        "epochs": outcome["epochs"],
        "seconds": round(outcome["seconds"], 1),
    }


def table(told: dict[str, Any]) -> str:
    """What came out as lines for a terminal, the recommended size marked."""
    known = ["latent_r2"] if told["sizes"][0]["latent_r2"] is not None else []
    heads = [
        "",
        told["field"],
        told["score"],
        f"behind {told['best']}",
        "std. error",
        "cycle consistency",
        *known,
    ]
    rows = [heads]
    for row in told["sizes"]:
        names = ["score", "behind", "error", "cycle_consistency", *known]
        mark = "->" if row["size"] == told["recommended"] else ""
        rows.append([mark, str(row["size"]), *(f"{row[name]:.4f}" for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    answer = "" if told["recommended"] is None else f"Recommended: {told['field']}={told['recommended']}. "
    return "\n".join([*lines, answer + told["why"]])
