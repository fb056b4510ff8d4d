"""Trials as codes and activity from codes, for any fitted model that has them (`Model.coded`): encode, reconstruct, sample.

Everything generated comes as trials of the house: `counts` drawn from the rates, `true_rates` (Hz) the rates themselves, `code`,
and columns that say where each trial came from. So it can be described, scored, saved and fitted like a recording.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from undertow.data import batches
from undertow.data.trials import trials as as_trials
from undertow.experiments.drawing_spikes import drawn_counts, history_of
from undertow.experiments.inference import for_session
from undertow.models.base import Coded, Model
from undertow.vocabulary import UndertowError, check_trials, closest

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted

CHUNK_ENTRIES = 2_000_000
"""Entries (time x neuron) of the trials that are generated at a time."""
LARGEST_CHUNK = 256
SAMPLING = ("steps", "sampler", "spacing", "eta", "matched", "guidance", "temperature", "two_phase")
"""Choices of a model that may change after the fit."""


def has_codes(fitted: Fitted) -> bool:
    """Whether trials can be encoded."""
    answer = fitted.model.coded()
    return not isinstance(answer, str) and answer.encode is not None


def coded(fitted: Fitted, *, needs_code: bool = True) -> Coded:
    """What the fitted model says of codes.

    Raises:
        UndertowError: a model without codes, or, if that is needed, one of codes without a dimension.
    """
    section, answer = fitted.recipe.model.section, fitted.model.coded()
    if not isinstance(answer, str) and needs_code and answer.encode is None:
        answer = f"it was fitted without, and can only draw trials from nothing; set {section}.code=8 and fit again"
    if isinstance(answer, str):
        raise UndertowError(f"The {section} in '{fitted.folder}' has no codes: {answer}.")
    return answer


def with_choices(fitted: Fitted, choices: Mapping[str, Any]) -> Fitted:
    """The same model with other choices of how to sample: steps, sampler, guidance, two_phase, ...

    Raises:
        UndertowError: a choice that the model does not have, or that is not one of sampling.
    """
    if not choices:
        return fitted
    config = fitted.recipe.model
    allowed = [name for name in SAMPLING if name in type(config).model_fields]
    for name in choices:
        if name not in allowed:
            raise UndertowError(
                f"'{config.section}' has no choice '{name}' of sampling; {closest(name, allowed)}"
            )
    changed = type(config)(**config.model_dump() | dict(choices))
    return dataclasses.replace(fitted, model=fitted.model.with_config(changed))


def encode(fitted: Fitted, trials: xr.Dataset) -> xr.DataArray:
    """The code of every trial, (trial, code_dimension), with the trials' columns."""
    coded(fitted)
    trials = for_session(check_trials(trials), fitted.session)
    seen = np.where(
        trials.held_out.values[None, None] | trials.forward.values[None, :, None],
        np.float32(np.nan),
        trials.counts.values,
    )
    given = batches.arrays(trials)
    run = _compiled(fitted.model, _encode)
    codes = _in_chunks(run, _with(given.around, seen, given.inputs), _chunk_of(trials))
    columns = {name: column for name, column in trials.coords.items() if column.dims == ("trial",)}
    return xr.DataArray(codes, dims=("trial", "code_dimension"), coords=columns, name="code")


def starts_of(fitted: Fitted, trials: xr.Dataset, codes: np.ndarray) -> np.ndarray:
    """The noise (trial, time, neuron) from which each trial's own activity is made again.

    Raises:
        UndertowError: a model whose activity follows from the code alone.
    """
    if coded(fitted).start_of is None:
        raise UndertowError(
            f"Activity of '{fitted.recipe.model.section}' follows from the code alone, so no noise belongs to a "
            f"trial; leave own_noise out."
        )
    trials = for_session(check_trials(trials), fitted.session)
    given = batches.arrays(trials)
    run = _compiled(fitted.model, _start)
    shown = given.counts, given.inputs, codes.astype(np.float32)
    return _in_chunks(run, _with(given.around, *shown), _chunk_of(trials))


def rates_of(
    fitted: Fitted,
    codes: np.ndarray,
    *,
    bins: int,
    seed: int,
    starts: np.ndarray | None = None,
    inputs: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Rates in Hz, (trial, time, neuron), of codes (trial, code_dimension).

    Args:
        fitted: the model.
        codes: of the trials to be made.
        bins: of each.
        seed: of the noise to begin from and of fresh noise.
        starts: noise to begin from, (trial, time, neuron); nothing fresh is then drawn.
        inputs: known inputs, zero if not given.
        lengths: bins of each trial, where they differ; bins beyond are NaN.

    Warns:
        UserWarning: noise is asked for of a model that was fitted with coordinated dropout.

    Raises:
        UndertowError: codes of another dimension, or values that are not finite.
    """
    coded_as = coded(fitted, needs_code=False)
    codes = np.asarray(codes, np.float32)
    if codes.ndim != 2 or codes.shape[1] != coded_as.dimension:
        raise UndertowError(
            f"The codes have the shape {codes.shape}, but this {fitted.recipe.model.section} makes activity of codes "
            f"(trial, {coded_as.dimension}); pass what encode gives."
        )
    _warn_of_noise(fitted, coded_as)
    count, neurons = len(codes), len(fitted.session.neurons)
    known = np.zeros((count, bins, fitted.session.inputs), np.float32) if inputs is None else inputs
    lengths = np.full(count, bins) if lengths is None else np.asarray(lengths)
    is_there = np.arange(bins)[None] < lengths[:, None]
    if starts is None:
        keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(np.arange(count))
        run, drawn_from = _compiled(fitted.model, _drawn, neurons), np.asarray(jax.random.key_data(keys))
    else:
        run, drawn_from = _compiled(fitted.model, _made_from), starts.astype(np.float32)
    given = (codes, known.astype(np.float32), is_there, drawn_from)
    size = int(np.clip(CHUNK_ENTRIES // (bins * neurons), 1, LARGEST_CHUNK))
    rates = _in_chunks(run, given, size) / fitted.session.bin_width
    rates[~is_there] = np.nan
    return rates


def _warn_of_noise(fitted: Fitted, coded_as: Coded) -> None:
    hidden = fitted.recipe.corruption.coordinated_dropout
    if coded_as.has_noise and hidden > 0:
        warnings.warn(
            f"This {fitted.recipe.model.section} was fitted with coordinated dropout ({hidden:g}) and knows noise of hidden "
            "entries alone: what it makes with noise misleads. Set temperature=0, or fit with corruption.coordinated_dropout=0.",
            stacklevel=3,
        )


def as_recording(
    fitted: Fitted,
    rates: np.ndarray,
    codes: np.ndarray,
    columns: Mapping[str, np.ndarray],
    *,
    seed: int,
    start: float = 0.0,
    spikes: str = "poisson",
    trials: xr.Dataset | None = None,
) -> xr.Dataset:
    """Trials with counts drawn from rates (Hz); the rates themselves are `true_rates`.

    `spikes` says how: "poisson", or "history" (`components/spike_history.py`), for whose fit `trials` are those of the run.
    """
    expected = rates * fitted.session.bin_width
    history = history_of(fitted, spikes, trials)
    counts = drawn_counts(fitted.recipe.model.observation, expected, seed, history)
    made = as_trials(
        counts,
        bin_width=fitted.session.bin_width,
        start=start,
        neuron=fitted.session.neurons,
        split="test",
        true_rates=rates.astype(np.float32),
        session=f"{fitted.session.name}, generated",
        **columns,
    )
    if not codes.shape[1]:
        return made
    return made.assign(code=(("trial", "code_dimension"), np.asarray(codes, np.float32)))


def _compiled(model: Model, function, *fixed):
    """`function(*fixed, model, *arrays of one trial)` over trials, traced once for each shape and choice of the rest."""
    arrays, static = eqx.partition(model, eqx.is_array)
    return partial(_over_trials, function, fixed, static, arrays)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _over_trials(function, fixed, static, arrays, *given):
    def one(*of_trial):
        return function(*fixed, eqx.combine(arrays, static), *of_trial)

    return jax.vmap(one)(*given)


def _with(around: np.ndarray | None, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays of trials with what lies around these behind them, where that is known."""
    return arrays if around is None else (*arrays, around)


def _encode(model: Model, seen, inputs, *around):
    return _amid(model, *around).coded().encode(seen, inputs)


def _start(model: Model, seen, inputs, code, *around):
    return _amid(model, *around).coded().start_of(seen, inputs, code)


def _amid(model: Model, *around) -> Model:
    return model.for_surroundings(*around) if around else model


def _made_from(model: Model, code, inputs, is_there, start):
    return model.coded().generate(code, inputs, is_there, start, key=None)


def _drawn(neurons: int, model: Model, code, inputs, is_there, key_data):
    start_key, sample_key = jax.random.split(jax.random.wrap_key_data(key_data))
    start = jax.random.normal(start_key, (inputs.shape[0], neurons))
    return model.coded().generate(code, inputs, is_there, start, key=sample_key)


def _chunk_of(trials: xr.Dataset) -> int:
    entries = trials.sizes["time"] * trials.sizes["neuron"]
    return int(np.clip(CHUNK_ENTRIES // entries, 1, min(LARGEST_CHUNK, trials.sizes["trial"])))


def _in_chunks(run, given: tuple[np.ndarray, ...], size: int) -> np.ndarray:
    """The outcome for all trials, by pieces of one shape; the last is filled up."""
    count = len(given[0])
    if not count:
        raise UndertowError("There is no trial among those asked for; ask for 1 or more.")
    size = min(size, count)
    pieces = []
    for begin in range(0, count, size):
        piece = [part[begin : begin + size] for part in given]
        filled = [np.pad(part, [(0, size - len(part))] + [(0, 0)] * (part.ndim - 1)) for part in piece]
        outcome = np.asarray(run(*map(jnp.asarray, filled)))[: len(piece[0])]
        pieces.append(outcome)
    return np.concatenate(pieces)
