"""Files that `torch.save` wrote, without torch and without trust: tensors become arrays, everything else stays inert.

    read("last.ckpt")["state_dict"]["readout.0.weight"]       # an array

Such a file is a zip of one pickle, which names tensors, and of their storages as plain bytes. A pickle is a program that may call
whatever it names, so the unpickler here finds nothing but its own few functions: they build tensors and plain containers. Every
other name (a class of lfads-torch, of Hydra, of NumPy, `os.system`) becomes an `Inert` that remembers what it would have been
called with; it is never imported and never called. Numbers, strings, lists, tuples, sets and dictionaries come through.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from undertow.vocabulary import UndertowError

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch before 1.6, pickled
_ZIP = b"PK\x03\x04"
_BFLOAT16 = "bfloat16"
_KINDS = {  # by the name of the storage's class and by that of the number itself
    ("FloatStorage", "float32"): "f4",
    ("DoubleStorage", "float64"): "f8",
    ("HalfStorage", "float16"): "f2",
    ("BFloat16Storage", "bfloat16"): _BFLOAT16,
    ("LongStorage", "int64"): "i8",
    ("IntStorage", "int32"): "i4",
    ("ShortStorage", "int16"): "i2",
    ("CharStorage", "int8"): "i1",
    ("ByteStorage", "uint8"): "u1",
    ("BoolStorage", "bool"): "?",
}
_KIND_OF = {name: kind for names, kind in _KINDS.items() for name in names}
_SCALARS = ("f8", "f4", "f2", "i8", "i4", "b1")
_PLAIN = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,
    "builtins.frozenset": frozenset,
    "__builtin__.frozenset": frozenset,
    "torch.Size": tuple,
}


class Inert:
    """What a pickle asked for and did not get: `name` says what, the rest what it would have done with it."""

    name = ""

    def __new__(cls, *arguments: Any, **named: Any) -> Inert:
        """Remember; whatever is asked for takes any arguments."""
        made = super().__new__(cls)
        made.arguments, made.named, made.state, made.entries = arguments, named, None, []
        return made

    def __init__(self, *arguments: Any, **named: Any):
        """Nothing more."""

    def __setstate__(self, state: Any) -> None:
        """Remember the state that the pickle gives it."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Remember an entry of what would have been a dictionary."""
        self.entries.append((key, value))

    def append(self, value: Any) -> None:
        """Remember an entry of what would have been a list."""
        self.entries.append(value)

    add = append

    def __repr__(self) -> str:
        """Its name."""
        return f"<not read: {self.name}>"


class _Storage(NamedTuple):
    """The bytes of one or more tensors: under which key they lie, and what they are, where the file says so here."""

    key: str
    kind: str | None


def read(path: str | Path) -> Any:
    """What `torch.save` was given, with arrays in place of tensors (bfloat16 as float32) and `Inert`s in place of objects.

    Raises:
        UndertowError: no such file, not one of torch's, its format before 1.6, TorchScript, or a damaged file.
    """
    path = Path(path)
    _check_kind(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _Unpickler(archive, path).load()
    except UndertowError:
        raise
    except (OSError, zipfile.BadZipFile) as error:
        raise UndertowError(f"'{path}' can't be read ({error}); copy it again.") from error
    except Exception as error:  # a damaged or hostile pickle may break anywhere
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UndertowError(
            f"'{path}' is a file of torch's whose contents can't be read ({reason}); save its state dictionary again with "
            "torch.save(state_dict, ...), or as .safetensors."
        ) from error


def _check_kind(path: Path) -> None:
    if not path.is_file():
        raise UndertowError(f"There is no file '{path}'; give the path of a checkpoint.")
    with path.open("rb") as file:
        start = file.read(len(_LEGACY))
    if start == _LEGACY:
        raise UndertowError(
            f"'{path}' is in torch's format from before version 1.6, which isn't read here; convert it where torch is installed: "
            f"torch.save(torch.load('{path.name}', map_location='cpu'), 'converted.ckpt')."
        )
    if not zipfile.is_zipfile(path) and start.startswith(_ZIP):
        raise UndertowError(
            f"'{path}' is cut short or damaged: it begins like a checkpoint, but the list of its parts at the end is missing "
            f"({path.stat().st_size:,} bytes are there); copy it again."
        )
    if not zipfile.is_zipfile(path):
        raise UndertowError(
            f"'{path}' is no checkpoint: torch writes zip archives, and this is none (it begins with {start[:8]!r}); give a "
            ".ckpt or .pt file, or a state dictionary as .safetensors."
        )


class _Unpickler(pickle.Unpickler):
    """The pickle of an archive, with nothing in reach but the functions below."""

    def __init__(self, archive: zipfile.ZipFile, path: Path):
        names = [name for name in archive.namelist() if name.endswith("data.pkl") and name.count("/") <= 1]
        folders = {name.partition("/")[0] for name in archive.namelist()}
        if len(names) != 1 or f"{names[0].removesuffix('data.pkl')}constants.pkl" in archive.namelist():
            kind = (
                "TorchScript"
                if names
                else f"another kind (it holds {', '.join(sorted(folders)[:5]) or 'nothing'})"
            )
            raise UndertowError(
                f"'{path}' is a zip archive of {kind}, not what torch.save writes; give the checkpoint that training wrote."
            )
        self._archive, self._folder = archive, names[0].removesuffix("data.pkl")
        order = f"{self._folder}byteorder"
        self._order = ">" if order in archive.namelist() and archive.read(order) == b"big" else "<"
        self._read: dict[tuple[str, str], np.ndarray] = {}
        super().__init__(io.BytesIO(archive.read(names[0])), encoding="utf-8")
        self._found: dict[str, Callable[..., Any]] = {
            **_PLAIN,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._tensor_of_kind,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy._core.multiarray.scalar": self._scalar,
            "_codecs.encode": self._bytes,
        }

    def find_class(self, module: str, name: str) -> Any:
        """One of the few functions here, or a class of nothing with that name; nothing is imported."""
        asked = f"{module}.{name}"
        if asked not in self._found:
            self._found[asked] = type("Inert", (Inert,), {"name": asked})
        return self._found[asked]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ("storage", its class, its key, the device, how many numbers)."""
        if not isinstance(pid, tuple) or len(pid) < 3 or pid[0] != "storage":
            raise ValueError(f"an unknown reference {pid!r:.80}")
        return _Storage(str(pid[2]), _kind(pid[1]))

    def _tensor(self, storage: _Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> Any:
        return self._strided(storage, storage.kind, offset, size, stride)

    def _tensor_of_kind(
        self,
        storage: _Storage,
        offset: int,
        size: tuple,
        stride: tuple,
        gradient: Any,  # noqa: ARG002 - the place of an argument
        hooks: Any,  # noqa: ARG002
        kind: Any,
        *_: Any,
    ) -> Any:
        return self._strided(storage, _kind(kind), offset, size, stride)

    def _parameter(self, data: Any, *_: Any) -> Any:
        return data

    def _bytes(self, text: str, encoding: str = "latin1") -> bytes:  # noqa: ARG002 - pickles of bytes name no other
        return text.encode("latin1")

    def _scalar(self, kind: Any, content: bytes) -> Any:
        """A NumPy number as a plain one."""
        code = kind.arguments[0] if isinstance(kind, Inert) and kind.arguments else None
        if code not in _SCALARS:
            return Inert(kind, content)
        return np.frombuffer(content, f"<{code}", count=1)[0].item()

    def _strided(self, storage: _Storage, kind: str | None, offset: int, size: tuple, stride: tuple) -> Any:
        """The entries of a storage that lie at `offset`, `stride` apart along each axis of `size`."""
        if kind is None:
            return Inert(storage, offset, size, stride)
        numbers = self._numbers(storage.key, kind)
        shape, steps = tuple(map(int, size)), tuple(map(int, stride))
        last = offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
        is_empty = 0 in shape
        if min((offset, *shape, *steps)) < 0 or (not is_empty and last >= len(numbers)):
            raise ValueError(
                f"a tensor of shape {shape} reaches beyond the {len(numbers)} numbers that are stored for it"
            )
        if prod(shape) > len(numbers):
            raise ValueError(
                f"a tensor of shape {shape} repeats the {len(numbers)} numbers that are stored for it"
            )
        if is_empty:
            return np.zeros(shape, numbers.dtype)
        step_bytes = tuple(step * numbers.itemsize for step in steps)
        return np.lib.stride_tricks.as_strided(numbers[offset:], shape, step_bytes, writeable=False).copy()

    def _numbers(self, key: str, kind: str) -> np.ndarray:
        """A storage, read once."""
        if (key, kind) not in self._read:
            entry = self._archive.getinfo(f"{self._folder}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError("its tensors are compressed, which torch.save never does")
            content = self._archive.read(entry)
            if kind == _BFLOAT16:
                upper = np.frombuffer(content, f"{self._order}u2").astype(np.uint32)
                numbers = (upper << 16).view(np.float32)
            else:
                numbers = np.frombuffer(content, np.dtype(kind).newbyteorder(self._order)).astype(kind)
            self._read[key, kind] = numbers
        return self._read[key, kind]


def _kind(named: Any) -> str | None:
    """What numbers a class of storages or a kind of numbers stands for, as NumPy calls it; None where NumPy has none."""
    name = (
        named.name
        if isinstance(named, Inert) or (isinstance(named, type) and issubclass(named, Inert))
        else ""
    )
    module, _, short = name.rpartition(".")
    return _KIND_OF.get(short) if module.partition(".")[0] == "torch" else None
