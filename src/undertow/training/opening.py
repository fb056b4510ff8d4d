"""How training begins: from chance, from a fitted run, or from what was computed beforehand; and which parts move.

An `Opening` holds leaves by their names in the model ("read_in.kernel"), with a mask of the entries that are known. `opened` puts
them in the place of what chance would give; under `jax.vmap` over a population every member begins with them.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field, model_validator

from undertow.components.configuration import Configuration
from undertow.models.base import Model, ModelConfig, lies_below, name_of_leaf
from undertow.vocabulary import UndertowError, closest


class Start(Configuration):
    """Where training begins, and which parts of the model move."""

    section: ClassVar[str] = "start"

    run: str = Field(
        "", description="Folder of the fitted run whose weights training begins with; empty for chance"
    )
    train: tuple[str, ...] = Field(
        (), description="Parts of the model that train, the others rest; empty for all"
    )
    new_session: bool = Field(
        default=False,
        description="Other neurons than the run's: only what all sessions share is taken from it, and only read-in and read-out "
        "train where nothing else is said",
    )
    read_in: Literal["auto", "conditions", "chance"] = Field(
        "auto",
        description="Read-in and read-out of several sessions: from averages over the conditions that they share (principal "
        "component regression), or from chance; 'auto' takes the first where there are such conditions",
    )

    @model_validator(mode="after")
    def _has_run(self) -> "Start":
        if self.new_session and not self.run:
            raise UndertowError(
                "A new session needs a fitted run to join; name its folder with --from RUN (start.run)."
            )
        return self

    def trained(self, model: ModelConfig) -> tuple[str, ...]:
        """The beginnings of the names of the leaves that move; none for all.

        Raises:
            UndertowError: a part that the model does not have.
        """
        names = self.train or (("read_in", "readout") if self.new_session else ())
        for name in names:
            if name not in model.parts:
                raise UndertowError(
                    f"'{model.section}' has no part '{name}' to train; {closest(name, model.parts)}"
                )
        return tuple(beginning for name in names for beginning in model.parts[name])


class Known(NamedTuple):
    """A leaf's values, and where they are known: two arrays of the leaf's shape."""

    values: np.ndarray
    is_known: np.ndarray


Opening = Mapping[str, Known]


def opened(model: Model, opening: Opening | None) -> Model:
    """The model with what is known in the place of its own leaves; errors as `check_opening`."""
    if not opening:
        return model
    check_opening(model, opening)

    def place(path, leaf):
        known = opening.get(name_of_leaf(path))
        if known is None:
            return leaf
        return jnp.where(known.is_known, jnp.asarray(known.values, leaf.dtype), leaf)

    return jax.tree_util.tree_map_with_path(place, model)


def check_opening(model: Model, opening: Opening) -> None:
    """Find what does not fit a model, which may have shapes in place of arrays.

    Raises:
        UndertowError: a leaf that the model has not, or has with another shape: it belongs to other choices.
    """
    shapes = {name: leaf.shape for name, leaf in named_leaves(model).items()}
    for name, known in opening.items():
        if shapes.get(name) != known.values.shape:
            found = f"has the shape {shapes[name]}" if name in shapes else "does not exist"
            raise UndertowError(
                f"The weights to begin with don't fit this model: '{name}' has the shape {known.values.shape} there and {found} "
                "here; keep the model's choices of that run."
            )


def named_leaves(model: Model) -> dict[str, jax.Array | jax.ShapeDtypeStruct]:
    """The arrays of a model by name, or their shapes."""
    return {
        name_of_leaf(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(model)
        if eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
    }


def moving(model: Model, trained: tuple[str, ...]) -> tuple[Model, Model]:
    """The leaves that training moves, and the rest; all arrays of numbers move if `trained` is empty."""

    def moves(path, leaf) -> bool:
        name = name_of_leaf(path)
        return eqx.is_inexact_array(leaf) and (
            not trained or any(lies_below(name, beginning) for beginning in trained)
        )

    return eqx.partition(model, jax.tree_util.tree_map_with_path(moves, model))
