"""The weights that training begins with, where they are not all from chance: a fitted run's, or those of condition averages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from undertow.components.observations import OBSERVATIONS
from undertow.data.batches import known_inputs
from undertow.data.condition_averages import Alignment, SessionStart, align_to, alignment
from undertow.experiments import alignment_file
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitted_sessions import FittedSessions
from undertow.experiments.inference import for_session
from undertow.experiments.opening_runs import open_run
from undertow.experiments.recipe import Recipe
from undertow.models.base import Model, axis_of_neurons, name_of_leaf
from undertow.training.opening import Known, Opening, Start
from undertow.vocabulary import UndertowError

Sessions = dict[str, xr.Dataset]
LOG_RATES = ("poisson", "negative_binomial")
"""Observations whose first parameter is the log of the expected count."""


class Beginning(NamedTuple):
    """The recordings with their neurons as the model takes them, the weights to begin with, and sentences about both.

    `alignment` is what the recordings share in their condition averages, where that is what the weights come from.
    """

    sessions: Sessions
    opening: Opening | None = None
    notes: tuple[str, ...] = ()
    alignment: Alignment | None = None


def beginning(recipe: Recipe, several: Sessions) -> Beginning:
    """Where training begins.

    Raises:
        UndertowError: a run that is not there, is of another model, or knows other neurons.
    """
    if recipe.start.run:
        return _joined(recipe, several) if recipe.start.new_session else _continued(recipe, several)
    if len(several) > 1 and recipe.start.read_in != "chance":
        return _from_conditions(recipe, several)
    return Beginning(several)


def recipe_of_run(start: Start, given: Recipe | None = None) -> Recipe:
    """The recipe of the run that training begins with, or the `given` one, which must ask for the same model."""
    recipe = open_run(Path(start.run)).recipe._replace(search=None)
    if given is not None and given.model.section != recipe.model.section:
        raise UndertowError(
            f"The run in '{start.run}' is of the model '{recipe.model.section}', not '{given.model.section}'; its weights can "
            "begin a fit of the same model alone."
        )
    return recipe if given is None else given


def _continued(recipe: Recipe, several: Sessions) -> Beginning:
    """All weights of a run, for trials of the neurons that it knows."""
    fitted = _source(recipe)
    if isinstance(fitted, FittedSessions) and len(several) == 1:
        (name,) = several
        if name not in fitted.names:
            raise UndertowError(
                f"The run in '{fitted.folder}' holds the sessions {', '.join(fitted.names)}, but these trials are of '{name}'; "
                "add --new-session to let it join."
            )
        fitted = fitted.at(name)
    if isinstance(fitted, Fitted):
        return Beginning(_in_order(fitted, several), _known(fitted.model))
    if sorted(fitted.names) != sorted(several):
        raise UndertowError(
            f"The run in '{fitted.folder}' holds the sessions {', '.join(fitted.names)}, but these are {', '.join(several)}; "
            "give the same, one of them, or other ones with --new-session."
        )
    ordered = {name: for_session(several[name], fitted.at(name).session) for name in fitted.names}
    return Beginning(ordered, _known(fitted.model))


def _in_order(fitted: Fitted, several: Sessions) -> Sessions:
    if len(several) > 1:
        raise UndertowError(
            f"The run in '{fitted.folder}' was fitted to one session, but these are {len(several)} ({', '.join(several)}); add "
            "--new-session to take what sessions can share from it."
        )
    return {name: for_session(trials, fitted.session) for name, trials in several.items()}


def _joined(recipe: Recipe, several: Sessions) -> Beginning:
    """What all sessions share of a run's weights, for recordings that it does not know."""
    fitted = _source(recipe)
    if fitted.recipe.model.for_sessions() != fitted.recipe.model:
        raise UndertowError(
            f"The run in '{fitted.folder}' has no read-in, so its encoder is bound to its own neurons; fit several sessions at "
            f"once, or one with a read-in ({fitted.recipe.model.section}.read_in=20), to let others join."
        )
    known = fitted.sessions[0] if isinstance(fitted, FittedSessions) else fitted.session
    for name, trials in several.items():
        if abs(trials.attrs["bin_width"] - known.bin_width) > 1e-6 * known.bin_width:
            raise UndertowError(
                f"Session '{name}' has bins of {trials.attrs['bin_width']:g} s, the run in '{fitted.folder}' of "
                f"{known.bin_width:g} s; convert it again with --bin-width {known.bin_width:g}."
            )
        if known_inputs(trials) != known.inputs:
            raise UndertowError(
                f"Session '{name}' has {known_inputs(trials)} known inputs, the run in '{fitted.folder}' {known.inputs}; "
                "give the same inputs."
            )
    opening, notes = _shared(fitted.model), ()
    shared = alignment_file.read(fitted.folder) if recipe.start.read_in != "chance" else None
    if shared is not None and recipe.model.shared_features:
        try:
            opening |= _read_ins([align_to(shared, trials) for trials in several.values()])
        except UndertowError as error:
            notes = (f"The read-in begins from chance: {error}",)
    return Beginning(several, opening, notes, shared)


def _from_conditions(recipe: Recipe, several: Sessions) -> Beginning:
    """Read-ins and read-outs by principal component regression, where sessions share conditions and the model can begin so."""
    is_asked, features = recipe.start.read_in == "conditions", recipe.model.shared_features
    if not features:
        if is_asked:
            raise UndertowError(
                f"The read-ins of this {recipe.model.section} can't begin from condition averages (start.read_in='conditions'); "
                "take 'chance'."
            )
        return Beginning(several)
    try:
        with threadpool_limits(
            limits=1, user_api="blas"
        ):  # threads of BLAS wait for each other where others compute too
            shared = alignment(several, components=features)
    except UndertowError as error:
        if is_asked:
            raise
        return Beginning(several, None, (f"Read-ins and read-outs begin from chance: {error}",))
    explained = (
        f"Read-ins begin from the averages over {len(shared.conditions)} common conditions: {features} components explain "
        f"{shared.explained.sum():.0%} of their variance."
    )
    opening = _read_ins(list(shared.starts.values()))
    if recipe.model.shared_readout:
        opening |= _readouts(list(shared.starts.values()), recipe.model.observation)
    return Beginning(several, opening, (explained,), shared)


def _read_ins(starts: Sequence[SessionStart]) -> dict[str, Known]:
    """The rows of all sessions, one below the other."""
    return {
        "read_in.kernel": _whole(np.concatenate([start.read_in for start in starts])),
        "read_in.centre": _whole(np.concatenate([start.mean for start in starts])),
    }


def _readouts(starts: Sequence[SessionStart], observation: str) -> dict[str, Known]:
    """The read-outs of all sessions side by side, to the observation's first parameter, where that is a log-rate."""
    if observation not in LOG_RATES:
        return {}
    kernel = np.concatenate([start.readout for start in starts], axis=1)
    parameters = OBSERVATIONS[observation](1).parameters
    values = np.zeros((*kernel.shape, parameters))
    values[..., 0], is_known = kernel, np.zeros(values.shape, bool)
    is_known[..., 0] = True
    return {"readout.kernel": Known(values.astype(np.float32), is_known)}


def _source(recipe: Recipe) -> Fitted | FittedSessions:
    fitted = open_run(Path(recipe.start.run))
    recipe_of_run(recipe.start, recipe)
    return fitted


def _known(model: Model) -> dict[str, Known]:
    """Every array of the model."""
    return {name: _whole(leaf) for name, leaf in _leaves(model).items()}


def _shared(model: Model) -> dict[str, Known]:
    """Every array that has no rows of neurons."""
    return {
        name_of_leaf(path): _whole(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if isinstance(leaf, jax.Array) and axis_of_neurons(model.neuron_axes, path) is None
    }


def _leaves(model: Model) -> Mapping[str, jax.Array]:
    return {
        name_of_leaf(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if isinstance(leaf, jax.Array)
    }


def _whole(leaf: jax.Array | np.ndarray) -> Known:
    values = np.asarray(leaf, np.float32 if np.asarray(leaf).dtype.kind == "f" else None)
    return Known(values, np.ones(values.shape, bool))
