"""Files of `torch.save`: tensors of every kind come out as they were, and nothing in a file is ever executed."""

import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import pytest

from torch_zip import Call, Tensor, save
from undertow.data.readers.torch_file import Inert, read
from undertow.vocabulary import UndertowError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", ["f4", "f8", "f2", "i8", "i4", "u1", "b1"])
def test_numbers_of_every_kind_come_out_as_they_were(kind, order, tmp_path):
    values = RNG.integers(0, 2, (3, 4)) if kind == "b1" else RNG.uniform(0, 100, (3, 4))
    stored = values.astype(kind)
    found = read(save(tmp_path / "a.pt", {"w": stored}, order=order))["w"]
    assert found.dtype == np.dtype(kind)
    np.testing.assert_array_equal(found, stored)


def test_bfloat16_comes_out_as_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.15625, 3e38], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("u2").view("i2")
    path = save(tmp_path / "a.pt", [Tensor(upper, 0, (4,), (1,), "BFloat16Storage")])
    found = read(path)[0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values, rtol=2**-8)


def test_views_have_their_offset_and_strides(tmp_path):
    numbers = np.arange(24, dtype=np.float32)
    whole = numbers.reshape(4, 6)
    tensors = [
        Tensor(numbers, 0, (6, 4), (1, 6)),
        Tensor(numbers, 7, (2, 3), (6, 2)),
        Tensor(numbers, 5, (), ()),
        Tensor(numbers, 24, (0, 4), (4, 1)),
    ]
    transposed, strided, one, nothing = read(save(tmp_path / "a.pt", tensors))
    np.testing.assert_array_equal(transposed, whole.T)
    np.testing.assert_array_equal(strided, whole[1:3, 1::2])
    assert one.shape == () and one == 5.0 and nothing.shape == (0, 4)


def test_plain_values_come_through_and_numpy_numbers_become_plain(tmp_path):
    kind = Call("numpy", "dtype", ("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    latin = struct.pack("<d", 2.5).decode("latin1")
    scalar = Call("numpy._core.multiarray", "scalar", (kind, Call("_codecs", "encode", (latin, "latin1"))))
    content = {
        "a": [1, 2.5, None, True],
        "b": ("x", {"y": -3}),
        "c": scalar,
        "d": Call("torch", "Size", ([2, 3],)),
    }
    assert read(save(tmp_path / "a.pt", content)) == {
        "a": [1, 2.5, None, True],
        "b": ("x", {"y": -3}),
        "c": 2.5,
        "d": (2, 3),
    }


def test_objects_stay_inert_with_all_that_the_pickle_says_of_them(tmp_path):
    stack = Call("lfads_torch.modules", "Stack", (1,), {"rate": 0.3})
    found = read(save(tmp_path / "a.pt", {"stack": stack}))["stack"]
    assert isinstance(found, Inert) and found.name == "lfads_torch.modules.Stack"
    assert found.arguments == (1,) and found.state == {"rate": 0.3} and "Stack" in repr(found)


class _Reducing:
    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def _archive(path, pickled):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    return path


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_in_a_pickle_is_executed_or_imported(protocol, tmp_path, monkeypatch):
    calls = []
    trap = types.ModuleType("trap")
    trap.spring = lambda *arguments: calls.append(arguments)
    trap.spring.__module__, trap.spring.__qualname__, trap.spring.__name__ = "trap", "spring", "spring"
    monkeypatch.setitem(sys.modules, "trap", trap)
    marker = tmp_path / "executed"
    evil = [
        _Reducing(trap.spring, (1,)),
        _Reducing(eval, (f"__import__('pathlib').Path({str(marker)!r}).touch()",)),
        _Reducing(getattr, (trap.spring, "__globals__")),
    ]
    assert pickle.loads(pickle.dumps(evil, protocol=protocol)) and calls and marker.exists()  # it would have
    filled = _Reducing(trap.spring, (), {"state": 1}, iter([1, 2]), iter([("key", "value")]))
    pickled = pickle.dumps({"evil": [*evil, filled], "epoch": 3}, protocol=protocol)
    calls.clear()
    marker.unlink()
    monkeypatch.delitem(sys.modules, "trap")
    found = read(_archive(tmp_path / "evil.ckpt", pickled))
    assert found["epoch"] == 3 and all(isinstance(one, Inert) for one in found["evil"])
    assert not calls and not marker.exists() and "trap" not in sys.modules


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04exit\x85R.",
        b"(S'exit'\nios\nsystem\n.",
        b"(cos\nsystem\nS'exit'\no.",
        b"\x80\x02cos\nsystem\n)\x81}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x04\x8c\x08builtins\x8c\x0dgetattr.x.y.z\x93.",
    ],
    ids=["global", "stack global", "inst", "obj", "newobj and build", "dotted"],
)
def test_every_way_of_a_pickle_to_a_name_ends_at_an_inert(pickled, tmp_path):
    found = read(_archive(tmp_path / "a.ckpt", pickled))
    assert isinstance(found, Inert) or issubclass(found, Inert)


def test_functions_of_the_reader_itself_do_no_harm_when_a_pickle_misuses_them(tmp_path):
    for content in (
        Call("torch._utils", "_rebuild_tensor_v2", ("x", 0, (2,), (1,), False, None)),
        Call("_codecs", "encode", (3, "latin1")),
        Call("collections", "OrderedDict", (3,)),
        [Tensor(np.zeros(4, "f4"), 2, (3,), (1,))],
        [Tensor(np.zeros(4, "f4"), 0, (2, 2), (-1, 1))],
        [Tensor(np.zeros(4, "f4"), 0, (1 << 30, 1 << 30), (0, 0))],
    ):
        with pytest.raises(UndertowError, match="can't be read"):
            read(save(tmp_path / "a.ckpt", content))


def test_other_files_are_refused_with_what_to_do(tmp_path):
    def refused(content, words):
        path = tmp_path / "a.ckpt"
        path.write_bytes(content)
        with pytest.raises(UndertowError, match=words):
            read(path)

    with pytest.raises(UndertowError, match="There is no file"):
        read(tmp_path / "missing.ckpt")
    refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", r"before version 1\.6.*torch\.save\(torch\.load")
    refused(b"model", "no checkpoint.*b'model'")
    whole = save(tmp_path / "whole.ckpt", {"w": RNG.normal(size=(3, 4)).astype("f4")}).read_bytes()
    refused(whole[: len(whole) // 2], "cut short or damaged.*bytes are there.*copy it again")
    refused(
        whole.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v2"[::-1])[:-9],
        "cut short or damaged|can't be read",
    )
    with pytest.raises(UndertowError, match=r"zip archive of another kind \(it holds word\)"):
        with zipfile.ZipFile(tmp_path / "doc.ckpt", "w") as archive:
            archive.writestr("word/document.xml", "")
        read(tmp_path / "doc.ckpt")
    with pytest.raises(UndertowError, match="TorchScript"):
        with zipfile.ZipFile(tmp_path / "script.ckpt", "w") as archive:
            archive.writestr("script/data.pkl", b"N.")
            archive.writestr("script/constants.pkl", b"N.")
        read(tmp_path / "script.ckpt")
    packed = save(tmp_path / "packed.ckpt", [np.zeros(4, "f4")], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UndertowError, match="compressed"):
        read(packed)
