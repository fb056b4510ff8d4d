"""The first paragraph of a report, and the facts about the recording, in plain words."""

from __future__ import annotations

import numpy as np
import xarray as xr

from undertow.report import score_words
from undertow.report.entry_words import ACTIVITY, words_of
from undertow.report.recorded import mean_rates

# a model's key: how it is written in a sentence
_MODEL_NAMES = {
    "lfads": "LFADS",
    "gnocchi": "GNOCCHI",
    "ndt": "The Neural Data Transformer",
    "transformer": "The Neural Data Transformer",
    "autoencoder": "The sequential autoencoder",
    "smoothing": "Gaussian smoothing",
    "gpfa": "GPFA",
    "slds": "The switching linear dynamical system",
    "psth": "The condition average",
}
_HEADLINES = (
    ("co_smoothing", "bits per spike for neurons it never saw"),
    ("rate_r2", "of the true rates' variance"),
    ("bits_per_spike", "bits per spike"),
)


def model_name(scores: dict) -> str:
    """The model's name as a sentence writes it."""
    key = str(scores.get("model", "the model"))
    return _MODEL_NAMES.get(key.lower(), key)


def paragraph(trials: xr.Dataset, scores: dict) -> str:
    """What was fitted to what, and how well, in two or three sentences."""
    numbers = _split_numbers(trials)
    counted = " and ".join(f"{number:,} {words}" for words, number in numbers.items())
    seconds, words = trials.sizes["time"] * trials.attrs["bin_width"], words_of(trials)
    opening = (
        f"{counted} of {trials.sizes['neuron']:,} neurons, {seconds:.3g} s long in bins of "
        f"{_milliseconds(trials)}, "
        f"{np.nanmean(mean_rates(trials)):.1f} {words.average} on average."
    )
    return " ".join(filter(None, (opening, _headline(scores))))


def facts(trials: xr.Dataset) -> list[tuple[str, str]]:
    """The recording as pairs of a name and a value: sizes, bins, splits, what was held out and what is
    missing.
    """
    sizes, silent = trials.sizes, int((mean_rates(trials) == 0).sum())
    start, stop = trials.time.values[[0, -1]] + np.array([-0.5, 0.5]) * trials.attrs["bin_width"]
    observed, words = np.isfinite(trials.counts.values), words_of(trials)
    missing, total = 1 - float(observed.mean()), trials.counts.values.sum(where=observed, dtype=float)
    pairs = [
        ("Trials", f"{sizes['trial']:,}"),
        (
            "Split",
            ", ".join(
                f"{number:,} {words.removesuffix(' trials')}"
                for words, number in _split_numbers(trials).items()
            ),
        ),
        ("Neurons", f"{sizes['neuron']:,}" + (f", {silent:,} of them silent" if silent else "")),
        ("Held-out neurons", f"{int(trials.held_out.values.sum()):,}"),
        (
            "Time",
            f"{start:.3g} s to {stop:.3g} s in {sizes['time']:,} bins of {_milliseconds(trials)}".replace(
                "-", "−"
            ),
        ),
        ("Bins to be forecast", f"{int(trials.forward.values.sum()):,}"),
        *([] if words is ACTIVITY else [(words.many.capitalize(), f"{total:,.0f}")]),
        ("Not observed", f"{missing:.1%} of all entries" if missing else "nothing is missing"),
    ]
    return pairs + _channels(trials)


def _channels(trials: xr.Dataset) -> list[tuple[str, str]]:
    """How many channels of behaviour and of known inputs there are, and the names of the first eight."""
    pairs = []
    for name, axis in (("behaviour", "behaviour_channel"), ("inputs", "input")):
        if name in trials:
            names = trials.coords.get(f"{axis.removesuffix('_channel')}_channel", xr.DataArray([])).values[:8]
            listed = ", ".join(str(channel) for channel in names)
            pairs.append(
                (f"Channels of {name}", f"{trials.sizes[axis]:,}" + (f": {listed}" if listed else ""))
            )
    return pairs


def _headline(scores: dict) -> str:
    split = score_words.main_split(scores)
    for key, words in _HEADLINES:
        model = score_words.value(scores, split, "model", key)
        if model is None:
            continue
        yardstick = score_words.value(scores, split, "yardstick", key)
        against = (
            ""
            if yardstick is None
            else f", against {score_words.written(yardstick)} for Gaussian smoothing with Poisson regression"
        )
        where = score_words.SPLIT_WORDS.get(split, f"{split} trials")
        return f"{model_name(scores)} explains {score_words.written(model)} {words} on {where}{against}."
    return ""


def _split_numbers(trials: xr.Dataset) -> dict[str, int]:
    split = trials.split.values.astype(str)
    return {
        words: int((split == name).sum())
        for name, words in score_words.SPLIT_WORDS.items()
        if (split == name).any()
    }


def _milliseconds(trials: xr.Dataset) -> str:
    return f"{1000 * trials.attrs['bin_width']:.4g} ms"
