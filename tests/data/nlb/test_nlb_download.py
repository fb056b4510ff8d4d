"""Downloading without the package, without a network, and with an archive that is played here."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from undertow.data.nlb.download import download
from undertow.vocabulary import UndertowError

BY_HAND = (
    r"get 'sub-Indy_desc-train_behavior\+ecephys\.nwb' and 'sub-Indy_desc-test_ecephys\.nwb' of DANDI:000129, "
    r"version 0\.241017\.1444 \(folder sub-Indy\), yourself and put them into '.*sub-Indy'"
)


class Archive:
    """The client's part that is used, as a context."""

    asked = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    @classmethod
    def for_dandi_instance(cls, _):
        return cls()

    def get_dandiset(self, number, version):
        type(self).asked += ((number, version),)
        return SimpleNamespace(
            get_asset_by_path=lambda name: SimpleNamespace(download=lambda path: path.write_text(name))
        )


class NoNetwork(Archive):
    """As the archive, but out of reach."""

    def get_dandiset(self, number, version):
        raise OSError("no route to host\nand more")


def play(monkeypatch, archive):
    module = ModuleType("dandi.dandiapi")
    module.DandiAPIClient = archive
    monkeypatch.setitem(sys.modules, "dandi", ModuleType("dandi"))
    monkeypatch.setitem(sys.modules, "dandi.dandiapi", module)


def test_without_the_package_the_files_are_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dandi", None)
    monkeypatch.setitem(sys.modules, "dandi.dandiapi", None)
    with pytest.raises(UndertowError, match=r"install undertow\[dandi\], or " + BY_HAND):
        download("mc_rtt", tmp_path)


def test_without_a_network_the_files_are_named(monkeypatch, tmp_path):
    play(monkeypatch, NoNetwork)
    with pytest.raises(
        UndertowError, match=r"can't be downloaded .* \(no route to host\); try again, or " + BY_HAND
    ) as caught:
        download("mc_rtt", tmp_path)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "sub-Indy").glob("*")) == [] if (tmp_path / "sub-Indy").exists() else True


def test_only_missing_files_are_fetched_in_the_pinned_version(monkeypatch, tmp_path):
    class Counting(Archive):
        asked = ()

    play(monkeypatch, Counting)
    train = tmp_path / "sub-Indy" / "sub-Indy_desc-train_behavior+ecephys.nwb"
    train.parent.mkdir()
    train.write_text("here")
    paths = download("mc_rtt", tmp_path)
    assert train.read_text() == "here" and paths[0] == train
    assert paths[1].read_text() == "sub-Indy/sub-Indy_desc-test_ecephys.nwb"
    assert Counting.asked == (("000129", "0.241017.1444"),)
    assert download("mc_rtt", tmp_path) == paths and len(Counting.asked) == 1
