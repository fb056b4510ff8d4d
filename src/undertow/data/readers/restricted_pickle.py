"""Arrays of objects that NumPy saved with pickle, read without running anything: the one door of pickle.

A pickle is a program that may call whatever it names. Here it may name only what stands in `_ALLOWED`: NumPy's arrays, scalars
and types, plain containers, dates and paths that are not opened. Anything else is refused before it is called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from undertow.vocabulary import UndertowError

_NUMPY = ("numpy", "numpy.core", "numpy._core")
_ALLOWED = {
    *((f"{root}.multiarray", name) for root in _NUMPY for name in ("_reconstruct", "scalar")),
    *((f"{root}.numeric", "_frombuffer") for root in _NUMPY),
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *(("numpy.dtypes", type(np.dtype(kind)).__name__) for kind in "?bBhHiIlLqQefdFDSUO"),
    *(("builtins", name) for name in ("set", "frozenset", "complex", "bytearray", "slice")),
    *(("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(("pathlib", f"{kind}Path") for kind in ("Pure", "PurePosix", "PureWindows", "Posix", "Windows")),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}
_STANDING_FOR = {
    ("pathlib", f"{system}Path"): ("pathlib", f"Pure{system}Path") for system in ("Posix", "Windows")
}


class _Refused(Exception):
    """What the pickle wanted to call, in its message."""


class _Unpickler(pickle.Unpickler):
    """Finds what is allowed, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of that name, if it is allowed."""
        module = "builtins" if module == "__builtin__" else module  # as Python 2 and its protocols say
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return super().find_class(*_STANDING_FOR.get((module, name), (module, name)))


def load(path: str | Path) -> np.ndarray:
    """The array in a .npy file, of objects or not.

    Raises:
        UndertowError: a file that is missing, damaged, or that names anything but arrays and plain values.
    """
    try:
        with Path(path).open("rb") as file:
            if _holds_objects(file):
                return np.asarray(_Unpickler(file).load())
        return np.load(path, allow_pickle=False)
    except _Refused as error:
        raise UndertowError(
            f"'{path}' asks to call {error}, which data never do, so it was not read; save it again with Suite2p."
        ) from error
    except FileNotFoundError as error:
        raise UndertowError(f"There is no file '{path}'; check the folder.") from error
    except Exception as error:
        raise UndertowError(f"'{path}' can't be read ({error}); save or copy it again.") from error


def _holds_objects(file: Any) -> bool:
    """Whether what follows the header, at which the file then stands, is a pickle."""
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0}.get(version, np.lib.format.read_array_header_2_0)
    return header(file)[2].hasobject
