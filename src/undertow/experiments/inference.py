"""From a fitted model and trials to an estimate: posterior averages, chunk by chunk, in bounded memory."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from undertow.components.corruption import Corruption
from undertow.data import batches, store
from undertow.data.surroundings import without_surroundings
from undertow.experiments.conditions import numbers_of
from undertow.models.base import Model
from undertow.vocabulary import ESTIMATE_SCHEMA, ESTIMATE_VARIABLES, UndertowError, check_trials

if TYPE_CHECKING:
    from undertow.experiments.run_folder import Session

CHUNK_ENTRIES = 2_000_000  # counts in a chunk of trials
CHUNK_BINS = 16_384  # bins in a chunk: each takes a few kilobytes of states, however few neurons there are
WITH_DEVIATION = ("rates", "factors", "inferred_inputs", "initial_condition")


def infer(
    models: Sequence[Model],
    session: "Session",
    trials: xr.Dataset,
    *,
    samples: int,
    seed: int,
    out: str | Path | None = None,
) -> xr.Dataset:
    """The estimate of `trials`: means over posterior samples, and standard deviations `_sd` where there are several.

    Rates are averaged after the exponential, in Hz, for every neuron the model knows; bins after a trial's end are NaN. The rates
    of several models are averaged, and `rates_sd` holds their differences too; everything else is the first one's, for no two
    models mean the same by a factor. With 0 samples nothing is drawn: posterior means pass on in their place, as in a stream.
    """
    coordinates, chunks = in_chunks(models, session, trials, samples=samples, seed=seed)
    if out is not None:
        store.write_chunks(out, coordinates, chunks)
        return store.open_estimate(out, lazy=True)
    return xr.concat(list(chunks), "trial").assign_coords(coordinates.coords).assign_attrs(coordinates.attrs)


def in_chunks(
    models: Sequence[Model], session: "Session", trials: xr.Dataset, *, samples: int, seed: int
) -> tuple[xr.Dataset, Iterator[xr.Dataset]]:
    """The estimate of `trials` as its coordinates, and pieces along `trial` that are made as they are asked for."""
    if samples < 0:
        raise UndertowError(
            f"The estimate is asked for from {samples} posterior samples; take 1 or more, or 0 for the posterior's means."
        )
    trials = for_session(check_trials(trials), session)
    is_told = any(model.needs_conditions for model in models)
    numbers = numbers_of(trials, session.conditions) if is_told else None
    chunks = _chunks(models, trials, numbers, samples=samples, seed=seed)
    own = without_surroundings(trials).coords
    return xr.Dataset(coords=own, attrs=attributes(trials, samples, len(models))), chunks


def for_session(trials: xr.Dataset, session: "Session") -> xr.Dataset:
    """The trials with the neurons in the model's order; neurons that they lack are there as not observed.

    Raises:
        UndertowError: neurons that the model does not know, another bin width, other inputs.
    """
    bin_width = trials.attrs["bin_width"]
    if abs(bin_width - session.bin_width) > 1e-6 * session.bin_width:
        raise UndertowError(
            f"These trials have bins of {bin_width:g} s, but the model was fitted to bins of {session.bin_width:g} s; "
            f"convert the recording again with --bin-width {session.bin_width:g}."
        )
    inputs = batches.known_inputs(trials)
    if inputs != session.inputs:
        raise UndertowError(
            f"These trials have {inputs} known inputs, but the model was fitted with {session.inputs}; give the same inputs."
        )
    ids = trials.neuron.values.tolist()
    if ids == session.neurons:
        return _with_flags(trials, session)
    unknown = [name for name in ids if name not in set(session.neurons)]
    if unknown:
        raise UndertowError(
            f"These trials have {len(unknown)} of {len(ids)} neurons that the model was not fitted to (the first is "
            f"{unknown[0]!r}; session '{trials.attrs.get('session')}', the model's is '{session.name}'); fit a model to this "
            "session."
        )
    return _with_flags(trials.reindex(neuron=session.neurons), session)


def _with_flags(trials: xr.Dataset, session: "Session") -> xr.Dataset:
    return trials.assign_coords(held_out=("neuron", np.asarray(session.held_out, bool)))


def attributes(trials: xr.Dataset, samples: int, models: int) -> dict:
    """What an estimate remembers of how it was made."""
    kept = {name: trials.attrs[name] for name in ("bin_width", "session") if name in trials.attrs}
    return {**kept, "schema": ESTIMATE_SCHEMA, "samples": samples, "models": models}


def _chunks(
    models: Sequence[Model], trials: xr.Dataset, numbers: np.ndarray | None, *, samples: int, seed: int
) -> Iterator[xr.Dataset]:
    """Estimates of consecutive trials; the last chunk is filled up so that there is one compiled shape.

    Where the models need the trials' conditions, `numbers` (trial) is a further input, constant over a trial.
    """
    count, bins = trials.sizes["trial"], trials.sizes["time"]
    size = min(CHUNK_ENTRIES // (bins * trials.sizes["neuron"]), CHUNK_BINS // bins)
    size = int(np.clip(size, 1, count))
    corruption = Corruption(
        jnp.asarray(trials.held_out.values), jnp.asarray(trials.forward.values), moves_spikes=False
    )
    parts = [eqx.partition((model, corruption), eqx.is_array) for model in models]
    posteriors = [(jax.jit(partial(_posterior, static, samples)), arrays) for arrays, static in parts]
    key = jax.random.key(seed)
    for begin in range(0, count, size):
        chunk = batches.arrays(trials, slice(begin, begin + size))
        kept = len(chunk.counts)
        if numbers is not None:
            chunk = chunk._replace(inputs=_with_column(chunk.inputs, numbers[begin : begin + kept]))
        padded = jax.tree.map(partial(_filled, size=size), chunk)
        # Threads of BLAS wait for each other where others compute too: a Cholesky factor took a hundred times as long.
        with threadpool_limits(limits=1, user_api="blas"):
            outcomes = jax.block_until_ready(
                [posterior(arrays, padded, key) for posterior, arrays in posteriors]
            )
        means, deviations = _pooled(outcomes)
        yield _dataset(
            {name: np.array(value[:kept]) for name, value in means.items()},
            {name: np.array(value[:kept]) for name, value in deviations.items()},
            trials.isel(trial=slice(begin, begin + kept)),
            chunk.counts,
        )


def _pooled(outcomes: list) -> tuple[dict, dict]:
    """Means and deviations of the first model, with rates averaged over all; deviations within and between models add up."""
    means, deviations = (dict(part) for part in outcomes[0])
    if len(outcomes) == 1:
        return means, deviations
    rates = np.stack([of_model["rates"] for of_model, _ in outcomes])
    within = [np.square(of_model["rates"]) for _, of_model in outcomes if "rates" in of_model]
    means["rates"] = rates.mean(0)
    deviations["rates"] = np.sqrt(rates.var(0) + (np.mean(within, axis=0) if within else 0.0))
    return means, deviations


def _with_column(inputs: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The inputs (trial, time, input) with one more: each trial's number in all its bins."""
    column = np.broadcast_to(numbers[:, None, None], (*inputs.shape[:2], 1)).astype(np.float32)
    return np.concatenate([inputs, column], axis=2)


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """The array with zeros behind it along the trials, up to `size`."""
    return np.pad(array, [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1))


def _posterior(static, samples: int, arrays, chunk: batches.TrialArrays, key):
    """Means and standard deviations over posterior samples of every trial in a chunk (Welford's running sums)."""
    model, corruption = eqx.combine(arrays, static)

    def one(counts, inputs, around, trial_key):
        own = model if around is None else model.for_surroundings(around)
        return own.estimate(corruption.conceal(counts), inputs, key=trial_key)

    shown = chunk.counts, chunk.inputs, chunk.around

    def sample(number):
        def key_of(trial):
            return jax.random.fold_in(jax.random.fold_in(key, trial), number)

        return jax.vmap(one)(*shown, jax.vmap(key_of)(chunk.number))

    if samples == 0:
        return jax.vmap(partial(one, trial_key=None))(*shown), {}

    def add(number, sums):
        means, squares = sums
        new = sample(number)
        moved = {name: means[name] + (new[name] - means[name]) / (number + 1.0) for name in means}
        grown = {
            name: squares[name] + (new[name] - means[name]) * (new[name] - moved[name]) for name in squares
        }
        return moved, grown

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(sample, 0))
    squares = {name: zeros[name] for name in WITH_DEVIATION if name in zeros and samples > 1}
    means, squares = jax.lax.fori_loop(0, samples, add, (zeros, squares))
    return means, {name: jnp.sqrt(value / max(samples - 1, 1)) for name, value in squares.items()}


def _dataset(
    means: dict[str, np.ndarray], deviations: dict[str, np.ndarray], trials: xr.Dataset, counts: np.ndarray
) -> xr.Dataset:
    """The house's units and axes: rates in Hz, NaN after a trial's end."""
    named = {**means, **{f"{name}_sd": value for name, value in deviations.items()}}
    is_observed = np.isfinite(counts).any(axis=2) | trials.forward.values[None]
    is_after = np.maximum.accumulate(is_observed[:, ::-1], axis=1)[:, ::-1] == 0
    variables = {}
    for name, value in named.items():
        axes = ESTIMATE_VARIABLES[name.removesuffix("_sd")]
        value = value / trials.attrs["bin_width"] if name in ("rates", "rates_sd") else value
        if axes[1] == "time":
            value[is_after] = np.nan
        variables[name] = (axes, value.astype(np.float32, copy=False))
    return xr.Dataset(
        variables, coords={name: trials[name] for name in ("time", "neuron", "forward", "held_out")}
    )
