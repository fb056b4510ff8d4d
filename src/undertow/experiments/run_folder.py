"""The files of a finished run: weights, and beside them everything that is needed to read them again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from undertow import files
from undertow.data.batches import known_inputs
from undertow.experiments.conditions import conditions_of
from undertow.experiments.recipe import Recipe, from_document
from undertow.models.base import DataSummary, Model
from undertow.training import checkpoint
from undertow.vocabulary import UndertowError

SCHEMA = "undertow-run-1"
WEIGHTS = "model.safetensors"
FACTS = "config.json"


@dataclass(frozen=True)
class Session:
    """What a model knows of the recording that it was fitted to."""

    name: str
    bin_width: float
    neurons: list
    held_out: list[bool]
    inputs: int
    bins: int = 0
    conditions: tuple[str, ...] | list[str] = ()

    @classmethod
    def of(cls, trials: xr.Dataset) -> "Session":
        """The session of these trials."""
        return cls(
            name=str(trials.attrs.get("session", "session")),
            bin_width=float(trials.attrs["bin_width"]),
            neurons=trials.neuron.values.tolist(),
            held_out=trials.held_out.values.tolist(),
            inputs=known_inputs(trials),
            bins=int(trials.sizes["time"]),
            conditions=conditions_of(trials),
        )


class Stored(NamedTuple):
    """What a run's folder holds: its recipe, the weights, the sessions that it was fitted to, and how the fit went.

    `others` are the further models of an ensemble with their recipes. The neurons of the model are those of the first session,
    then those of the second, and so on.
    """

    recipe: Recipe
    model: Model
    sessions: tuple[Session, ...]
    outcome: dict[str, Any]
    others: tuple[tuple[Recipe, Model], ...]


def save(folder: Path, stored: Stored) -> None:
    """Write the weights, and config.json at the end: a run that has it is finished."""
    checkpoint.write(folder / WEIGHTS, stored.model, facts={"schema": SCHEMA})
    for place, (_, model) in enumerate(stored.others):
        checkpoint.write(_place_of(folder, place), model, facts={"schema": SCHEMA})
    sessions = [asdict(session) for session in stored.sessions]
    facts = {
        "schema": SCHEMA,
        "recipe": stored.recipe.document(),
        **({"session": sessions[0]} if len(sessions) == 1 else {"sessions": sessions}),
        "outcome": stored.outcome,
        "others": [recipe.document() for recipe, _ in stored.others],
    }
    files.write_bytes(folder / FACTS, json.dumps(facts, indent=1).encode())


def read(folder: Path) -> Stored:
    """What `save` wrote.

    Raises:
        UndertowError: no such folder, an unfinished run, or files of another version.
    """
    if not (folder / FACTS).exists():
        state = (
            "is not finished; repeat the command that began it"
            if (folder / "recipe.toml").exists()
            else "holds no run; give the folder that a fit or a search wrote (its --out)"
        )
        if folder.is_file():
            raise UndertowError(
                f"'{folder}' is a file and no run; give the folder that a fit or a search wrote (its --out)."
            )
        raise UndertowError(
            f"The folder '{folder}' {state if folder.is_dir() else 'does not exist; check the path'}."
        )
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        known = facts["sessions"] if "sessions" in facts else [facts["session"]]
        sessions = tuple(Session(**one) for one in known)
        document, outcome = facts["recipe"], facts["outcome"]
        others = [from_document(other) for other in facts.get("others", [])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UndertowError(f"'{folder / FACTS}' can't be read ({error}); fit the run again.") from error
    recipe = from_document(document)
    model, _ = checkpoint.read(folder / WEIGHTS, _frame(recipe, sessions))
    members = tuple(
        (other, checkpoint.read(_place_of(folder, place), _frame(other, sessions))[0])
        for place, other in enumerate(others)
    )
    return Stored(recipe, model, sessions, outcome, members)


def _place_of(folder: Path, place: int) -> Path:
    """The weights of an ensemble's second and further models."""
    return folder / f"model-{place + 2}.safetensors"


def _frame(recipe: Recipe, sessions: tuple[Session, ...]) -> Model:
    """The model with shapes in place of arrays."""
    neurons = sum(len(session.neurons) for session in sessions)
    ones = np.ones(neurons, np.float32)
    summary = DataSummary(
        neurons,
        sessions[0].inputs,
        ones,
        ones,
        max(session.bins for session in sessions),
        len(sessions[0].conditions),
        sessions[0].bin_width,
    )
    return eqx.filter_eval_shape(lambda: recipe.model.build(summary, key=jax.random.key(0)))
