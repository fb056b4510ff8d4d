"""The file: a Lightning checkpoint, a bare state dictionary, or one stored as .safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from undertow.data.readers import torch_file
from undertow.training import checkpoint as pytrees
from undertow.vocabulary import UndertowError

MARK = "encoder.ic_linear.weight"
"""A name that every LFADS of lfads-torch has."""
_LISTED = 5


class Checkpoint(NamedTuple):
    """What is in the file.

    Attributes:
        path: of the file.
        weights: float32 arrays by their names in lfads-torch, without what a wrapper puts before them.
        hyperparameters: those that are plain numbers, words or nothing.
        progress: "epoch" and "global_step" of training, where the file says so.
    """

    path: Path
    weights: dict[str, np.ndarray]
    hyperparameters: dict[str, Any]
    progress: dict[str, int]

    def weight(self, name: str) -> np.ndarray:
        """One of the weights.

        Raises:
            UndertowError: there is none of this name.
        """
        if name not in self.weights:
            raise UndertowError(
                f"'{self.path}' has no weights '{name}', which every LFADS of lfads-torch with these parts has; it belongs to "
                "another model or another version, and can't be taken over."
            )
        return self.weights[name]


def read(path: str | Path) -> Checkpoint:
    """The checkpoint at `path`; nothing in it is executed.

    Raises:
        UndertowError: no such file, of no known kind, or of a model that is no LFADS of lfads-torch.
    """
    path = Path(path)
    content = _content(path)
    state = content.get("state_dict", content)
    tensors = _tensors(state) if isinstance(state, Mapping) else {}
    beginnings = [name.removesuffix(MARK) for name in tensors if name.endswith(MARK)]
    if len(beginnings) != 1:
        names = ", ".join(list(tensors)[:_LISTED]) or "no tensors at all"
        raise UndertowError(
            f"'{path}' holds no LFADS of lfads-torch: it lacks '{MARK}' and has {names}; give the .ckpt file that its training "
            "wrote."
        )
    start = beginnings[0]
    weights = {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
    stored = content.get("hyper_parameters")
    plain = {
        name: value
        for name, value in (stored.items() if isinstance(stored, Mapping) else ())
        if isinstance(value, (bool, int, float, str))
    }
    progress = {
        name: content[name] for name in ("epoch", "global_step") if isinstance(content.get(name), int)
    }
    return Checkpoint(path, weights, plain | _dropped(stored), progress)


def _content(path: Path) -> Mapping[str, Any]:
    content = pytrees.arrays(path) if path.suffix == ".safetensors" else torch_file.read(path)
    if not isinstance(content, Mapping):
        raise UndertowError(
            f"'{path}' holds a {type(content).__name__} and no checkpoint; give the .ckpt file that training wrote."
        )
    return content


def _tensors(state: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """Tensors of numbers by name, in float32."""
    return {
        str(name): value.astype(np.float32)
        for name, value in state.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    }


def _dropped(hyperparameters: Any) -> dict[str, float]:
    """The rate of coordinated dropout, which an augmentation keeps for itself."""
    stack = hyperparameters.get("train_aug_stack") if isinstance(hyperparameters, Mapping) else None
    inside = _attributes(stack).get("batch_transforms")
    for augmentation in inside if isinstance(inside, list) else ():
        rate = _attributes(augmentation).get("cd_rate")
        if isinstance(rate, float):
            return {"cd_rate": rate}
    return {}


def _attributes(thing: Any) -> Mapping[str, Any]:
    state = thing.state if isinstance(thing, torch_file.Inert) else None
    return state if isinstance(state, Mapping) else {}
