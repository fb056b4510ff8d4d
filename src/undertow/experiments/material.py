"""What a fit or a search is given, made ready for training: one recording or several, and the weights it begins with."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import xarray as xr

from undertow.components.corruption import Corruption
from undertow.components.masking import Masking
from undertow.components.observations import OBSERVATIONS, SUPPORTS
from undertow.data.batches import TrialArrays, session_arrays, training_arrays
from undertow.data.sessions import sessions as checked_sessions
from undertow.experiments.recipe import Recipe
from undertow.experiments.starting import Beginning, beginning
from undertow.models.base import DirectConfig
from undertow.training.hyperparameters import CorruptionConfig, masked_as
from undertow.training.opening import Opening
from undertow.vocabulary import UndertowError, check_trials

Sessions = dict[str, xr.Dataset]


class Material(NamedTuple):
    """See the module.

    Attributes:
        recipe: with everything that the recordings decide written out: a read-in for several sessions.
        given: the recordings by name, as they were given; a single one has one entry.
        data: training and validation trials.
        corruption: what is concealed in them.
        beginning: the weights to begin with, and what a person should know of them.
    """

    recipe: Recipe
    given: Sessions
    data: tuple[TrialArrays, TrialArrays]
    corruption: Corruption
    beginning: Beginning

    @property
    def opening(self) -> Opening | None:
        """The weights to begin with; None for chance."""
        return self.beginning.opening

    @property
    def sessions(self) -> Sessions:
        """The recordings by name, with their neurons as the model takes them."""
        return self.beginning.sessions

    @property
    def trials(self) -> xr.Dataset:
        """The trials of a single session."""
        (trials,) = self.sessions.values()
        return trials

    @property
    def fingerprint(self) -> str:
        """A short name for exactly these data."""
        return fingerprint_of(self.given)


def material(recipe: Recipe, trials: xr.Dataset | Mapping[str, xr.Dataset]) -> Material:
    """The material of a recipe and its trials, one recording's or those of several by name.

    Raises:
        UndertowError: trials that the model cannot explain, sessions that cannot share a model, or a run to begin with that does
            not fit.
    """
    several = given_sessions(trials)
    if len(several) > 1 or recipe.start.new_session:
        recipe = recipe._replace(model=recipe.model.for_sessions())
    began = beginning(recipe, several)
    for name, of_session in began.sessions.items():
        check_support(recipe.model.observation, of_session, name if len(several) > 1 else "")
    arrays = session_arrays(began.sessions) if len(several) > 1 else training_arrays(*began.sessions.values())
    return Material(recipe, several, arrays, concealed(recipe, began.sessions), began)


def given_sessions(trials: xr.Dataset | Mapping[str, xr.Dataset]) -> Sessions:
    """The recordings by name: a single one under the name that it has."""
    if isinstance(trials, xr.Dataset):
        return {str(trials.attrs.get("session", "session")): check_trials(trials)}
    return checked_sessions(trials)


def refuse_direct(recipe: Recipe, several: Sessions) -> None:
    """Models that are fitted directly know one recording and begin from nothing."""
    if isinstance(recipe.model, DirectConfig) and (len(several) > 1 or recipe.start.run):
        raise UndertowError(
            f"'{recipe.model.section}' is fitted to one recording at once, without weights to begin with; fit it to each session "
            "by itself, or fit lfads, autoencoder or ndt to all."
        )


def fingerprint_of(several: Sessions) -> str:
    """A short name for exactly these data of one session or several."""
    names = [fingerprint(trials) for trials in several.values()]
    if len(names) == 1:
        return names[0]
    return hashlib.blake2b("".join([*several, *names]).encode(), digest_size=8).hexdigest()


def fingerprint(trials: xr.Dataset) -> str:
    """A short name for exactly these data: counts, inputs, splits and what is held out."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("counts", "inputs", "held_out", "forward", "counts_around"):
        if name in trials.variables:
            digest.update(np.ascontiguousarray(trials[name].values).tobytes())
    digest.update("".join(trials.split.values.astype(str)).encode())
    return digest.hexdigest()


def check_support(observation: str, trials: xr.Dataset, session: str = "") -> None:
    """Raise an `UndertowError` that names the first count which the observation model cannot explain."""
    words, is_inside = SUPPORTS[OBSERVATIONS[observation](1).support]
    for trial in range(trials.sizes["trial"]):
        counts = trials.counts[trial].values
        is_outside = np.isfinite(counts) & ~is_inside(np.where(np.isfinite(counts), counts, 1.0))
        if is_outside.any():
            time, neuron = np.argwhere(is_outside)[0]
            where = f"Trial {trial} of session '{session}'" if session else f"Trial {trial}"
            raise UndertowError(
                f"{where}, bin {time}, neuron {trials.neuron.values[neuron]} holds {counts[time, neuron]:g}, but the "
                f"observation '{observation}' explains {words} only; mend the counts or choose another observation with --set "
                f"MODEL.observation={'zero_inflated_gamma' if 'event_unit' in trials.attrs else '...'}"
            )


def concealed(recipe: Recipe, several: Sessions) -> Corruption:
    """What training conceals and corrupts in these trials: what the recipe asks for, or what its search moves."""
    moving = recipe.search.space if recipe.search is not None else {}
    kinds = tuple(dict.fromkeys((*recipe.corruption.masks, *moving.get("corruption.masks", ()))))

    def is_on(name: str) -> bool:
        return getattr(recipe.corruption, name) > 0 or f"corruption.{name}" in moving

    corruption = recipe.corruption.model_copy(update={"masks": kinds})
    first = next(iter(several.values()))
    return Corruption(
        jnp.asarray(np.concatenate([trials.held_out.values for trials in several.values()])),
        jnp.asarray(first.forward.values),
        masking_of(corruption, several) if is_on("mask_rate") else None,
        moves_spikes=is_on("jitter") or is_on("shift"),
    )


def masking_of(corruption: CorruptionConfig, several: Sessions) -> Masking:
    """The masks of these choices, with the regions of the trials' neurons where they need them.

    Raises:
        UndertowError: masks by region where the trials name no regions, or one only.
    """
    asks, column = [kind for kind in corruption.masks if "region" in kind], corruption.region
    neurons = sum(trials.sizes["neuron"] for trials in several.values())
    plain = Masking(jnp.zeros(neurons, jnp.int32), 1, corruption.masks)
    if not asks:
        return masked_as(corruption, plain)
    for trials in several.values():
        if column not in trials.coords or trials[column].dims != ("neuron",):
            known = [str(name) for name, of in trials.coords.items() if of.dims == ("neuron",)]
            raise UndertowError(
                f"The masks '{asks[0]}' need each neuron's region, but these trials have no unit column '{column}' "
                f"(corruption.region); they have {', '.join(known)}."
            )
    of_neurons = np.concatenate([trials[column].values.astype(str) for trials in several.values()])
    names, region = np.unique(of_neurons, return_inverse=True)
    if len(names) < 2:
        raise UndertowError(
            f"The masks '{asks[0]}' hide one region at a time, but all neurons lie in '{names[0]}'; take other corruption.masks."
        )
    return masked_as(corruption, Masking(jnp.asarray(region, jnp.int32), len(names), corruption.masks))
