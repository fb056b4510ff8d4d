"""From rates to counts: Poisson, or with a memory of the spikes before, fitted to a run's own training trials once and
kept there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from undertow.components.observations import OBSERVATIONS
from undertow.components.spike_history import MOST_ENTRIES, SpikeHistory, fit
from undertow.training import checkpoint
from undertow.vocabulary import UndertowError, closest

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

Spikes = Literal["poisson", "history"]

FILE = "spike_history.safetensors"
TRIALS_AT_A_TIME = 256
LARGEST_COUNT = 1e9


def history_of(fitted: Fitted, spikes: str, trials: xr.Dataset | None) -> SpikeHistory | None:
    """What draws counts with a memory: read from the run's folder, or fitted to training trials and written there; None for
    Poisson.

    Args:
        fitted: the run.
        spikes: "poisson" or "history".
        trials: those of the fit; found where the run found them if not given.

    Raises:
        UndertowError: another word, a model of activity that is no counts, or trials that are not there.
    """
    if spikes not in get_args(Spikes):
        raise UndertowError(f"There is no way '{spikes}' to draw spikes; {closest(spikes, get_args(Spikes))}")
    if spikes == "poisson":
        return None
    if OBSERVATIONS[fitted.recipe.model.observation](1).support != "counts":
        raise UndertowError(
            f"The observation '{fitted.recipe.model.observation}' has no spikes that could remember each other; leave "
            "spikes=history out."
        )
    path = fitted.folder / FILE
    if path.exists():
        return checkpoint.read(path, SpikeHistory.none(len(fitted.session.neurons)))[0]
    from undertow.experiments import pipeline  # which itself opens runs

    trials = pipeline.trials_of(fitted) if trials is None else trials
    train = np.flatnonzero(trials.split.values == "train")
    if not len(train):
        raise UndertowError(
            "None of these trials is a training trial, so no memory of spikes can be fitted; pass those of the fit."
        )
    most = max(1, MOST_ENTRIES // trials.sizes["time"])
    chosen = trials.isel(
        trial=train[np.linspace(0, len(train) - 1, min(most, len(train))).round().astype(int)]
    )
    rates = fitted.infer(chosen).rates.values * fitted.session.bin_width
    found = fit(rates, chosen.counts.values)
    checkpoint.write(path, found, facts={"fitted_to": f"{chosen.sizes['trial']} training trials"})
    return found


def drawn_counts(
    observation: str, expected: np.ndarray, seed: int, history: SpikeHistory | None = None
) -> np.ndarray:
    """Counts of expected counts a bin (trial, time, neuron); of real-valued activity the activity itself. NaN stays."""
    if OBSERVATIONS[observation](1).support != "counts":
        return expected.astype(np.float32)
    filled = np.nan_to_num(expected)
    if filled.size and filled.max() > LARGEST_COUNT:
        raise UndertowError(
            f"The rates that were made reach {filled.max():.3g} spikes a bin, so no spikes can be drawn from them; train longer, "
            "or leave own_noise out."
        )
    if history is None:
        drawn = np.random.default_rng(seed).poisson(filled).astype(np.float32)
    else:
        draw = jax.jit(jax.vmap(lambda rates, key: history.sample(rates, key=key)))
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2), len(filled))
        size = min(TRIALS_AT_A_TIME, len(filled))
        pieces = []
        for begin in range(0, len(filled), size):
            chosen = np.minimum(np.arange(begin, begin + size), len(filled) - 1)
            piece = np.asarray(draw(jnp.asarray(filled[chosen], jnp.float32), keys[chosen]))
            pieces.append(piece[: len(filled) - begin])
        drawn = np.concatenate(pieces)
    return np.where(np.isfinite(expected), drawn, np.float32(np.nan))
