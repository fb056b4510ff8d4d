"""Pytrees on disk: arrays in a safetensors file under their path's name, written to a temporary name and then renamed.

A file is complete or it is not there, whenever the process is killed. Nothing is pickled: a file is read back into a pytree of
the same structure, which the configuration beside it rebuilds.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from undertow.files import write_bytes
from undertow.vocabulary import UndertowError


def write(path: Path, tree, *, facts: dict[str, str]) -> None:
    """Store the arrays of `tree` and a few named strings in one file.

    Raises:
        UndertowError: if the folder cannot be written or the disk is full; the file before stays as it was.
    """
    named = {_name(key_path): _plain(leaf) for key_path, leaf in _array_leaves(tree)}
    write_bytes(path, save(named, metadata=facts))


def read(path: Path, like):
    """The pytree `like` (of arrays, or of their shapes) with its arrays taken from the file, and the strings stored with it.

    Raises:
        UndertowError: if the file is no such file, or holds other arrays than `like`.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            stored, facts = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UndertowError(f"Could not read the weights in {path}: {error}; fit the run again.") from error
    expected = {_name(key_path): leaf for key_path, leaf in _array_leaves(like)}
    for name in [*expected.keys() - stored.keys(), *stored.keys() - expected.keys()]:
        raise UndertowError(
            f"{path} does not fit this model: '{name}' is {'missing' if name in expected else 'unknown'}; it belongs to another "
            "configuration or an older version."
        )
    for name, leaf in expected.items():
        if stored[name].shape != _shape(leaf):
            raise UndertowError(
                f"{path} does not fit this model: '{name}' has shape {stored[name].shape}, the model wants {_shape(leaf)}; it "
                "belongs to another configuration or an older version."
            )
    return jax.tree_util.tree_map_with_path(
        lambda key_path, leaf: _like(stored[_name(key_path)], leaf) if _is_array(leaf) else leaf, like
    ), facts


def arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file by name, whoever wrote it.

    Raises:
        UndertowError: if the file is no such file.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UndertowError(
            f"'{path}' can't be read as safetensors ({error}); copy it again or check the path."
        ) from error


def _array_leaves(tree):
    return [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if _is_array(leaf)]


def _is_array(leaf) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, jax.ShapeDtypeStruct))


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _shape(leaf) -> tuple[int, ...]:
    return jax.eval_shape(jax.random.key_data, leaf).shape if _is_key(leaf) else leaf.shape


def _plain(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf, order="C")


def _like(stored: np.ndarray, leaf):
    return jax.random.wrap_key_data(jnp.asarray(stored)) if _is_key(leaf) else jnp.asarray(stored)


def _name(key_path) -> str:
    return jax.tree_util.keystr(key_path, simple=True, separator=".")
