"""A small writer of what `torch.save` writes, so that tests need no torch: opcodes of a pickle, and storages beside it."""

import struct
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

STORAGES = {
    "f4": "Float",
    "f8": "Double",
    "f2": "Half",
    "i8": "Long",
    "i4": "Int",
    "b1": "Bool",
    "u1": "Byte",
}


class Call(NamedTuple):
    """An object that the pickle makes by calling `module.name`, and the state that it gives it."""

    module: str
    name: str
    arguments: tuple = ()
    state: Any = None


class Tensor(NamedTuple):
    """A view of a storage: the numbers, where it begins, its shape and its strides; `storage` where NumPy has no such numbers."""

    numbers: np.ndarray
    offset: int
    shape: tuple
    strides: tuple
    storage: str = ""


def save(path, content, *, order="little", compression=zipfile.ZIP_STORED):
    """Write `content` (plain values, arrays, `Tensor`s, `Call`s) as torch does; the path."""
    storages: dict[str, bytes] = {}
    pickled = b"\x80\x02" + b"".join(_opcodes(content, storages, order)) + b"."
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", order)
        for key, content_bytes in storages.items():
            archive.writestr(f"archive/data/{key}", content_bytes)
        archive.writestr("archive/version", "3\n")
    return path


ATOMS = {
    type(None): lambda _: b"N",
    bool: lambda value: b"\x88" if value else b"\x89",
    int: lambda value: b"J" + struct.pack("<i", value),
    float: lambda value: b"G" + struct.pack(">d", value),
    str: lambda value: b"X" + struct.pack("<I", len(value.encode())) + value.encode(),
}


def _opcodes(value, storages, order):
    def inside(values):
        for one in values:
            yield from _opcodes(one, storages, order)

    if type(value) in ATOMS:
        yield ATOMS[type(value)](value)
    elif isinstance(value, Call):
        yield f"c{value.module}\n{value.name}\n".encode()
        yield from inside([value.arguments])
        yield b"R"
        if value.state is not None:
            yield from inside([value.state])
            yield b"b"
    elif isinstance(value, np.ndarray):
        strides = tuple(stride // value.itemsize for stride in np.array(value, order="C").strides)
        yield from inside([Tensor(value.reshape(-1), 0, value.shape, strides)])
    elif isinstance(value, Tensor):
        yield from _tensor(value, storages, order)
    elif isinstance(value, tuple):
        yield from (b"(", *inside(value), b"t")
    elif isinstance(value, list):
        yield from (b"](", *inside(value), b"e")
    else:
        yield b"ccollections\nOrderedDict\n)R(" if isinstance(value, OrderedDict) else b"}("
        yield from inside(part for pair in value.items() for part in pair)
        yield b"u"


def _tensor(tensor, storages, order):
    numbers, key = tensor.numbers, str(len(storages))
    swapped = numbers.astype(numbers.dtype.newbyteorder(">")) if order == "big" else numbers
    storages[key] = swapped.tobytes()
    name = tensor.storage or f"{STORAGES[numbers.dtype.str[1:]]}Storage"
    reference = [b"(", *_opcodes("storage", storages, order), f"ctorch\n{name}\n".encode()]
    for part in (key, "cpu", numbers.size):
        reference += _opcodes(part, storages, order)
    yield from (b"ctorch._utils\n_rebuild_tensor_v2\n(", *reference, b"tQ")
    for part in (tensor.offset, tensor.shape, tensor.strides, False, OrderedDict()):
        yield from _opcodes(part, storages, order)
    yield b"tR"
