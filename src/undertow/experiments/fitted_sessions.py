"""A model fitted to several sessions at once: one folder, and for each session a `Fitted` like any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import xarray as xr

from undertow.data import store
from undertow.experiments import run_folder
from undertow.experiments.fitted import Fitted
from undertow.experiments.recipe import Recipe
from undertow.experiments.run_folder import Session
from undertow.models.base import Model
from undertow.vocabulary import UndertowError, closest


@dataclass(frozen=True)
class FittedSessions:
    """A model that several sessions share, each with a read-in and a read-out of its own.

    Attributes:
        folder: the run's folder.
        recipe: what the run was told.
        model: the selected weights; its neurons are those of the first session, then those of the second, and so on.
        sessions: the recordings that it was fitted to.
        outcome: as in `Fitted`.
        others: further models of an ensemble and their recipes.
    """

    folder: Path
    recipe: Recipe
    model: Model
    sessions: tuple[Session, ...]
    outcome: dict[str, Any]
    others: tuple[tuple[Recipe, Model], ...] = ()

    @property
    def names(self) -> list[str]:
        """The sessions' names."""
        return [session.name for session in self.sessions]

    def at(self, name: str) -> Fitted:
        """The model of one session, for everything that a fit can do: infer, stream, export, analyse.

        Raises:
            UndertowError: a session that it was not fitted to.
        """
        if name not in self.names:
            raise UndertowError(
                f"The run in '{self.folder}' holds no session '{name}'; {closest(name, self.names)}"
            )
        place = self.names.index(name)
        sizes = [len(session.neurons) for session in self.sessions]
        first = sum(sizes[:place])
        neurons = jnp.arange(first, first + sizes[place], dtype=jnp.int32)
        model, others = (
            self.model.for_neurons(neurons),
            tuple((recipe, other.for_neurons(neurons)) for recipe, other in self.others),
        )
        return Fitted(self.folder, self.recipe, model, self.sessions[place], self.outcome, others)

    def infer(
        self, trials: xr.Dataset | Mapping[str, xr.Dataset], **options: Any
    ) -> xr.Dataset | dict[str, xr.Dataset]:
        """The estimate of one session's trials (by their attribute `session`), or of several by name; options as `Fitted.infer`.

        Raises:
            UndertowError: a session that it was not fitted to, and whatever `Fitted.infer` refuses.
        """
        if isinstance(trials, xr.Dataset):
            return self.at(str(trials.attrs.get("session"))).infer(trials, **options)
        if options.get("out") is None:
            return {name: self.at(name).infer(of_session, **options) for name, of_session in trials.items()}
        out, parts = options.pop("out"), {}
        for name, of_session in trials.items():
            parts[name] = self.at(name).estimating(of_session, **options)
        store.write_session_chunks(out, parts)
        return store.open_estimate(out, lazy=True)

    def save(self) -> None:
        """Write the weights and what they need to be read again."""
        stored = run_folder.Stored(self.recipe, self.model, self.sessions, self.outcome, self.others)
        run_folder.save(self.folder, stored)
