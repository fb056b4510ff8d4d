"""What is suspicious about a fit, in plain words, each with what to do about it.

`find` asks every question of one table and returns the answers that worry; an empty list means that nothing
did. The limits are deliberately coarse: a finding should be worth a person's minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from undertow.report import codes_findings, excerpt, history, population_findings, score_words
from undertow.report.codes import Codes
from undertow.report.material import Finding
from undertow.report.population import Population

NOTHING = (
    "Nothing suspicious: no overfitting, no unused parts, no skipped steps, and no score below the yardstick in a fair "
    "comparison. Have a look at the single trials below all the same."
)
_DEAD_SHARE = 0.01  # a factor whose standard deviation is below this share of the largest one's
_INPUT_SHARE = 0.05  # an input whose mean carries less than this share of the posterior's total variance
_COLLAPSED_NATS = 0.1  # a KL term below this many nats a trial
_SOME_TRIALS = 200  # enough to see whether rates move
_FLAT_RATE = 0.02  # a neuron whose rate varies by less than this share of its mean
_WORSE_BY = 0.05  # validation may lose this share of what it gained after the first twentieth of the epochs
_STILL_GAINING = 0.04  # the last tenth of the epochs may bring this share of the gain since the first quarter


@dataclass(frozen=True)
class Evidence:
    """All that a question may look at; `population` is None for an ordinary fit, `codes` for a model without any."""

    trials: xr.Dataset
    estimate: xr.Dataset
    scores: dict
    lines: history.History
    population: Population | None
    codes: Codes | None


def find(
    *,
    trials: xr.Dataset,
    estimate: xr.Dataset,
    scores: dict,
    lines: history.History,
    population: Population | None = None,
    codes: Codes | None = None,
) -> list[Finding]:
    """The findings for a fit, gravest first; empty when nothing is suspicious.

    Args:
        trials: the trials that were fitted.
        estimate: the model's estimate for the same trials.
        scores: as in `scores.json`, with "splits".
        lines: the training history, one dictionary an epoch; may be empty.
        population: the search, or None for an ordinary fit.
        codes: of trials, or None for a model without codes.
    """
    evidence = Evidence(trials, estimate, scores, lines, population, codes)
    return [finding for question in _QUESTIONS for finding in question(evidence)]


def _not_finite(evidence: Evidence) -> Iterator[Finding]:
    rates = evidence.estimate.rates.values
    number = int((~np.isfinite(rates) & excerpt.inside(evidence.trials)[:, :, None]).sum())
    if number:
        yield Finding(
            "Some rates are not numbers",
            f"{number:,} of {rates.size:,} inferred rates are NaN or infinite.",
            "Do not use this estimate: lower the learning rate or clip gradients harder, then fit again.",
        )


def _about_the_search(evidence: Evidence) -> Iterator[Finding]:
    if evidence.population is not None:
        yield from population_findings.find(evidence.population)


def _about_codes(evidence: Evidence) -> Iterator[Finding]:
    if evidence.codes is not None:
        yield from codes_findings.find(evidence.codes)


def _below_smoothing(evidence: Evidence) -> Iterator[Finding]:
    split = score_words.main_split(evidence.scores)
    pairs = [row for row in score_words.pairs(evidence.scores, split) if row.key in score_words.EXPLAINED]
    fair = [row for row in pairs if row.key != score_words.FLATTERING and row.better]
    worse = [row for row in fair or pairs if row.better == "yardstick"]
    if worse:
        listed = "; ".join(f"{row.label}: {row.model:.3f} against {row.yardstick:.3f}" for row in worse)
        yield Finding(
            "Simple smoothing does better",
            f"On {score_words.SPLIT_WORDS.get(split, split)} the model is below Gaussian smoothing in {listed}."
            + ("" if fair else " Smoothing counts each spike in its own rate, which flatters it here."),
            "Don't rely on these rates yet: train longer, search over hyperparameters, or check the bin "
            "width and the alignment."
            + ("" if fair else " Held-out neurons (--hold-out 0.25) make the comparison a fair one."),
        )


def of_training(lines: history.History, *, is_evolved: bool = False) -> list[Finding]:
    """The findings that follow from the training history alone.

    A population that `is_evolved` cools down in its last epochs, and is asked by itself whether it settled.
    """
    questions = [question for question in _OF_TRAINING if not (is_evolved and question is _still_improving)]
    return [finding for question in questions for finding in question(lines)]


def _skipped_steps(lines: history.History) -> Iterator[Finding]:
    skipped, epochs = history.skipped_updates(lines)
    if skipped:
        yield Finding(
            "Training steps were skipped",
            f"{_number_of(skipped, 'update')} in {_number_of(epochs, 'epoch')} gave a loss or gradient "
            "that is not a number, and were left out.",
            "A few do no harm; with many, lower the learning rate or the gradient clipping, and look "
            "for extreme counts.",
        )


def _overfitting(lines: history.History) -> Iterator[Finding]:
    train, valid = (history.series(lines, f"{split}/reconstruction") for split in history.SPLITS)
    if min(train[1].size, valid[1].size) < 10:
        return
    course = _median_of_five(valid[1])
    best = int(course.argmin())
    gained, lost = course[len(course) // 20] - course[best], course[-1] - course[best]
    noise = 3 * float(np.median(np.abs(np.diff(valid[1]))))
    before, after = np.interp([valid[0][best], valid[0][-1]], train[0], _median_of_five(train[1]))
    if lost > max(_WORSE_BY * gained, noise) and after < before:
        yield Finding(
            "Overfitting",
            f"After epoch {valid[0][best]:g} the reconstruction of validation trials got worse "
            f"({course[best]:.4f} to {course[-1]:.4f}) "
            "while that of training trials went on improving.",
            "The selected epoch may still be good; more dropout, more coordinated dropout, a larger KL "
            "weight or more trials help.",
        )


def _training_gap(evidence: Evidence) -> Iterator[Finding]:
    train, valid = (
        score_words.value(evidence.scores, split, "model", "bits_per_spike") for split in history.SPLITS
    )
    if train is not None and valid is not None and train > 0.02 and valid < 0.5 * train:
        yield Finding(
            "Training trials are explained much better than new ones",
            f"Bits per spike: {train:.3f} on training trials, {valid:.3f} on validation trials.",
            "The model has learned single spikes by heart: use coordinated dropout, a smaller model or "
            "more trials.",
        )


def _collapsed_kl(evidence: Evidence) -> Iterator[Finding]:
    entries = float(np.isfinite(evidence.trials.counts.values).sum() / max(evidence.trials.sizes["trial"], 1))
    for term in history.terms(evidence.lines):
        _, values = history.series(evidence.lines, f"train/{term}")
        if not term.startswith("kl") or not values.size:
            continue
        nats = float(np.median(values[-5:])) * entries
        if nats < _COLLAPSED_NATS:
            name = term.removeprefix("kl").strip("_").replace("_", " ") or "latent variables"
            yield Finding(
                f"KL collapse: the {name} carr{'y' if name.endswith('s') else 'ies'} no information",
                f"The term '{term}' ended at {nats:.2g} nats a trial: the posterior equals the prior in "
                "every trial.",
                "Give it a smaller KL weight or a longer ramp; if the data need no such variable, leave "
                "it out.",
            )


def _unused_inputs(evidence: Evidence) -> Iterator[Finding]:
    if "inferred_inputs" not in evidence.estimate:
        return
    within = excerpt.inside(evidence.trials)
    mean = evidence.estimate.inferred_inputs.values[within].astype(float)
    spread = mean.var(axis=0)
    if "inferred_inputs_sd" in evidence.estimate:
        total = spread + (evidence.estimate.inferred_inputs_sd.values[within].astype(float) ** 2).mean(axis=0)
    else:
        total = np.full_like(spread, max(spread.max(initial=0), 1e-3))
    unused = np.flatnonzero(spread <= _INPUT_SHARE * total)
    if unused.size:
        yield Finding(
            f"Unused inputs: {_listed(unused)}",
            f"{unused.size} of {spread.size} inferred inputs hardly differ from their prior in any trial.",
            "Good news if nothing unexpected happened in the trials; otherwise lower the KL weight of "
            "the inputs.",
        )


def _dead_factors(evidence: Evidence) -> Iterator[Finding]:
    if "factors" not in evidence.estimate:
        return
    spread = evidence.estimate.factors.values[excerpt.inside(evidence.trials)].astype(float).std(axis=0)
    dead = np.flatnonzero(spread <= _DEAD_SHARE * spread.max(initial=0))
    if dead.size:
        yield Finding(
            f"Dead factors: {_listed(dead)}",
            f"{dead.size} of {spread.size} factors hardly move (below {_DEAD_SHARE:.0%} of the largest "
            "one's standard deviation).",
            "The data need fewer factors: a smaller number is easier to read and trains faster.",
        )


def _flat_rates(evidence: Evidence) -> Iterator[Finding]:
    some = excerpt.evenly(np.arange(evidence.trials.sizes["trial"]), _SOME_TRIALS)
    rates = evidence.estimate.rates.values[some][excerpt.inside(evidence.trials.isel(trial=some))].astype(
        float
    )
    if not np.isfinite(rates).all():
        return
    flat = rates.std(axis=0) < _FLAT_RATE * np.abs(rates.mean(axis=0))
    if flat.mean() > 0.5:
        yield Finding(
            "The rates hardly move",
            f"{int(flat.sum())} of {flat.size} neurons have inferred rates that vary by less than "
            f"{_FLAT_RATE:.0%} of their mean.",
            "The model has found no structure: train longer, raise the learning rate, lower the "
            "penalties, or check the alignment.",
        )


def _unfinished_ramps(lines: history.History) -> Iterator[Finding]:
    unfinished = [name for name, end in history.ramp_ends(lines).items() if end is None]
    if unfinished:
        yield Finding(
            "Training ended during a ramp",
            f"The weight of {' and '.join(unfinished)} had not reached its full value at the last epoch.",
            "Train for more epochs or shorten the ramp; until then the objective is not the one asked for.",
        )


def _about_training(evidence: Evidence) -> Iterator[Finding]:
    is_evolved = evidence.population is not None and evidence.population.is_evolved
    yield from of_training(evidence.lines, is_evolved=is_evolved)


def _still_improving(lines: history.History) -> Iterator[Finding]:
    epochs, values = history.selection_curve(lines)
    if values.size < 10:
        return
    early, late = len(values) // 4, len(values) - max(2, len(values) // 10)
    gained = values[early] - values.min()
    recent = values[:late].min() - values.min()
    if gained > 0 and recent > _STILL_GAINING * gained:
        yield Finding(
            "Still improving at the end",
            f"The last {epochs[-1] - epochs[late] + 1:g} epochs brought {recent / gained:.0%} of what was "
            f"gained since epoch {epochs[early]:g}.",
            "Train longer: give more epochs (--set training.epochs=...) and another folder to write to.",
        )


def _median_of_five(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)


def _number_of(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("s" if number != 1 else "")


def _listed(places: np.ndarray) -> str:
    """Places counted from 1, the first eight of them."""
    listed = ", ".join(str(place + 1) for place in places[:8])
    return listed + (f" and {places.size - 8} more" if places.size > 8 else "")


_OF_TRAINING: tuple[Callable[[history.History], Iterator[Finding]], ...] = (
    _overfitting,
    _skipped_steps,
    _unfinished_ramps,
    _still_improving,
)
_QUESTIONS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    _not_finite,
    _about_the_search,
    _below_smoothing,
    _training_gap,
    _collapsed_kl,
    _about_codes,
    _flat_rates,
    _about_training,
    _dead_factors,
    _unused_inputs,
)
