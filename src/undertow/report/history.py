"""A training history as curves: which terms there are, when ramps ended, and which epoch was selected.

A history is the list of lines of `metrics.jsonl`, one dictionary an epoch. Keys with a slash are a term of a
split ("train/reconstruction") or a ramp ("ramp/kl"); nothing but "epoch" has to be there. Terms are in nats
per observed entry.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

History = Sequence[dict]

SPLITS = ("train", "valid")
_ENTRY = "nats per observed entry"
TERM_LABELS = {
    "reconstruction": ("Reconstruction", _ENTRY),
    "total": ("Total objective", _ENTRY),
    "kl_initial_condition": ("KL, initial condition", _ENTRY),
    "kl_inputs": ("KL, inferred inputs", _ENTRY),
    "recurrent_penalty": ("Recurrent penalty", "unweighted"),
    "generator_penalty": ("Penalty, generator", "unweighted"),
    "controller_penalty": ("Penalty, controller", "unweighted"),
    "learning_rate": ("Learning rate", "per update"),
    "gradient_norm": ("Gradient norm", "before clipping"),
    "selection": ("Selection score", "lower is better"),
}
_ORDER = {term: place for place, term in enumerate(TERM_LABELS)}
_SELECTION_KEYS = ("selection_smoothed", "selection", "valid/reconstruction", "valid/total")


def series(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs and values at which `key` was recorded and finite; both empty if never."""
    pairs = [(line.get("epoch", place), line.get(key)) for place, line in enumerate(history)]
    kept = [(epoch, value) for epoch, value in pairs if _is_number(value)]
    epochs, values = zip(*kept, strict=True) if kept else ((), ())
    return np.asarray(epochs, float), np.asarray(values, float)


def terms(history: History) -> tuple[str, ...]:
    """Names of the objective's terms without their split: known ones in the order of the table, then others."""
    found = {}
    for line in history:
        for key in line:
            split, _, term = key.partition("/")
            if term and split in SPLITS:
                found[term] = None
    return tuple(sorted(found, key=lambda term: _ORDER.get(term, len(_ORDER))))


def ramp_ends(history: History) -> dict[str, float | None]:
    """For each ramp that began below 1, the epoch at which it reached 1, or None if it never did."""
    names = dict.fromkeys(key for line in history for key in line if key.startswith("ramp/"))
    ends = {}
    for key in names:
        epochs, values = series(history, key)
        if values.size and values[0] < 1:
            reached = np.flatnonzero(values >= 1)
            ends[key.removeprefix("ramp/")] = float(epochs[reached[0]]) if reached.size else None
    return ends


def selection_curve(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values of what was selected on (lower is better): the smoothed score, else the raw one, else
    validation.
    """
    for key in _SELECTION_KEYS:
        epochs, values = series(history, key)
        if values.size:
            return epochs, values
    return np.empty(0), np.empty(0)


def selected_epoch(history: History) -> float | None:
    """The epoch whose weights were kept: the last "best_epoch" (-1: none yet), else that of the best score."""
    _, best = series(history, "best_epoch")
    if best.size:
        return float(best[-1]) if best[-1] >= 0 else None
    epochs, values = selection_curve(history)
    return float(epochs[values.argmin()]) if values.size else None


def skipped_updates(history: History) -> tuple[int, int]:
    """How many updates were skipped in all, and in how many epochs; "skipped" counts from the start of the
    run.
    """
    _, counted = series(history, "skipped")
    risen = np.diff(counted, prepend=0.0) > 0
    return int(counted.max(initial=0)), int(risen.sum())


def label(term: str) -> tuple[str, str]:
    """A term's name and unit as a person reads them."""
    return TERM_LABELS.get(term, (term.replace("_", " ").capitalize(), ""))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and bool(np.isfinite(value))
