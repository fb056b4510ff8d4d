"""Scores in plain words: what each one means, and the rows of the table that sets the model beside the
yardstick.

For every score here a higher value is better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAIN_SPLITS = ("valid", "test", "train")
SPLIT_WORDS = {"train": "training trials", "valid": "validation trials", "test": "test trials"}

# key of a score: its name, and what it means
EXPLAINED: dict[str, tuple[str, str]] = {
    "bits_per_spike": (
        "Bits per spike",
        "How much better the rates predict each spike than the neuron's mean rate does. 0 is no better; "
        "single trials of "
        "cortex often give 0.05 to 0.4. Smoothing counts each spike in its own rate, which flatters it.",
    ),
    "co_smoothing": (
        "Co-smoothing (bits per spike)",
        "The same for neurons that the model never saw in these trials, predicted from the others. It "
        "can't be reached by "
        "copying spikes, so trust it first.",
    ),
    "forward_prediction": (
        "Forward prediction (bits per spike)",
        "The same for the last bins of each trial, which the model never saw: how well its dynamics run "
        "on by themselves.",
    ),
    "rate_r2": (
        "R² of rates with the truth",
        "Simulations only: share of the true rates' variance that the inferred rates explain, averaged "
        "over neurons. 1 is perfect.",
    ),
    "latent_r2_inferred_to_true": (
        "R² of the true latents, from the inferred",
        "Simulations only: how much of the true latent state can be read from the factors by a linear "
        "map. 1 is perfect.",
    ),
    "latent_r2_true_to_inferred": (
        "R² of the inferred latents, from the true",
        "Simulations only: how much of the factors is explained by the true state. Low when the model "
        "invents extra dimensions.",
    ),
    "psth_r2": (
        "R² with condition averages",
        "How well rates averaged over each condition's trials match the averaged spikes. High only says "
        "that averages are right.",
    ),
    "decoding_r2": (
        "R² of behaviour decoded from rates",
        "How well behaviour is read from the rates by ridge regression fitted on training trials. "
        "Behaviour was never shown to the model.",
    ),
    "pulse_within_2_bins": (
        "Input pulses found",
        "Simulations only: share of trials in which the inferred input peaks within two bins of the "
        "true pulse.",
    ),
}

FLATTERING = "bits_per_spike"  # of neurons that are seen: smoothing counts each spike in its own rate

# the end of a key: how the score differs from the one without it
_VARIANTS = {
    "_over_training_mean": (
        "over the training mean",
        "The same, where each neuron's mean rate in training trials is what has to be beaten.",
    ),
    "_mean": ("mean over dimensions", "The same, with every latent dimension counting equally."),
    "_of_training": ("of training trials", "The same, against averages over training trials only."),
}

# what a fit was selected on: the same in words
SELECTED_ON = {
    "all": "the likelihood of validation trials, all neurons",
    "held_in": "the likelihood of validation trials, neurons the model sees",
    "held_out": "the likelihood of validation trials, held-out neurons",
    "sample_validation": "the likelihood of entries of validation trials that were hidden from the model",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: the score's `label` and `meaning`, and its value for model and yardstick (None:
    not computed).
    """

    key: str
    label: str
    meaning: str
    model: float | None
    yardstick: float | None

    @property
    def better(self) -> str:
        """Who scored higher: 'model', 'yardstick', or '' where they can't be compared."""
        if self.model is None or self.yardstick is None or self.model == self.yardstick:
            return ""
        return "model" if self.model > self.yardstick else "yardstick"


def main_split(scores: dict) -> str:
    """The split by which a fit is judged: validation trials where they were scored, else test, else training
    trials.
    """
    splits = scores.get("splits", {})
    return next((split for split in (*MAIN_SPLITS, *splits) if splits.get(split)), "")


def pairs(scores: dict, split: str) -> list[Row]:
    """The table's rows for one split: known scores in the order of `EXPLAINED`, then any others."""
    scored = scores.get("splits", {}).get(split, {})
    keys = {**(scored.get("model") or {}), **(scored.get("yardstick") or {})}
    ordered = [key for key in EXPLAINED if key in keys] + [key for key in keys if key not in EXPLAINED]
    rows = [_row(scores, split, key) for key in ordered]
    return [row for row in rows if row.model is not None or row.yardstick is not None]


def value(scores: dict, split: str, whose: str, key: str) -> float | None:
    """One score as a finite number, or None; `whose` is 'model' or 'yardstick'."""
    found = (scores.get("splits", {}).get(split, {}).get(whose) or {}).get(key)
    try:
        number = float(found)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def written(number: float | None) -> str:
    """A score as the table shows it."""
    return "–" if number is None else f"{number:.3f}".replace("-", "−")


def _row(scores: dict, split: str, key: str) -> Row:
    label, meaning = EXPLAINED.get(key) or _variant(key)
    return Row(
        key, label, meaning, value(scores, split, "model", key), value(scores, split, "yardstick", key)
    )


def _variant(key: str) -> tuple[str, str]:
    """The words for a score that is not in `EXPLAINED`: those of the score it varies, else its key."""
    for suffix, (words, meaning) in _VARIANTS.items():
        original = key.removesuffix(suffix)
        if original != key and original in EXPLAINED:
            return f"{EXPLAINED[original][0]}, {words}", meaning
    return key.replace("_", " ").capitalize(), ""
