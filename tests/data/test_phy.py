"""A Phy folder written here, with every way in which labels can be given or files be missing."""

import numpy as np
import pytest

from undertow.data.readers import phy
from undertow.vocabulary import UndertowError

SAMPLES = np.array([300, 600, 900, 1200, 30000, 45000, 60000], np.uint64)
CLUSTERS = np.array([2, 0, 2, 5, 0, 7, 2], np.int32)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "spike_times.npy", SAMPLES[:, None])
    np.save(tmp_path / "spike_clusters.npy", CLUSTERS)
    (tmp_path / "params.py").write_text(
        "dat_path = 'raw.bin'\nsample_rate = 30000.  # Hz\nhp_filtered = False\n"
    )
    sorter = "cluster_id\tKSLabel\n0\tgood\n2\tmua\n5\tgood\n7\tgood\n"
    (tmp_path / "cluster_KSLabel.tsv").write_text(sorter)
    return tmp_path


def test_the_sorters_label_counts_where_nobody_judged(folder):
    found = phy.read(folder)
    assert found.units.index.tolist() == [0, 5, 7]
    np.testing.assert_allclose(found.spike_times[0], [0.02, 1.0])
    np.testing.assert_allclose(found.spike_times[1], [0.04])
    np.testing.assert_allclose(found.observed, [[0.0, 2.0]])
    assert found.notes == (
        "3 of 4 units were kept (3 good by cluster_KSLabel.tsv, 1 mua by cluster_KSLabel.tsv).",
    )


def test_a_persons_label_overrules_the_sorters(folder):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tnoise\n2\tgood\n7\tunsorted\n")
    found = phy.read(folder)
    assert found.units.index.tolist() == [2, 5, 7]
    assert found.units.label_source.tolist() == [
        "cluster_group.tsv",
        "cluster_KSLabel.tsv",
        "cluster_KSLabel.tsv",
    ]
    assert (
        "1 noise by cluster_group.tsv" in found.notes[0] and "2 good by cluster_KSLabel.tsv" in found.notes[0]
    )
    np.testing.assert_allclose(found.spike_times[0], [0.01, 0.03, 2.0])


def test_cluster_info_gives_labels_and_columns(folder):
    (folder / "cluster_info.tsv").write_text(
        "cluster_id\tch\tgroup\n0\t12\tgood\n2\t3\tmua\n5\t9\t\n7\t1\tnoise\n"
    )
    found = phy.read(folder)
    assert found.units.index.tolist() == [0, 5]
    assert found.units.ch.tolist() == [12, 9]
    assert found.units.label_source.tolist() == ["cluster_info.tsv", "cluster_KSLabel.tsv"]


def test_other_labels_and_all_units(folder):
    assert phy.read(folder, labels=("mua",)).units.index.tolist() == [2]
    assert phy.read(folder, labels="mua").units.index.tolist() == [2]
    assert phy.read(folder, labels=()).units.index.tolist() == [0, 2, 5, 7]
    with pytest.raises(UndertowError, match=r"labelled great; 3 good by cluster_KSLabel\.tsv"):
        phy.read(folder, labels=("great",))


def test_without_label_files_all_units_are_unsorted(folder):
    (folder / "cluster_KSLabel.tsv").unlink()
    with pytest.raises(UndertowError, match="4 unsorted by nobody"):
        phy.read(folder)
    assert len(phy.read(folder, labels=("unsorted",)).spike_times) == 4


def test_templates_stand_in_for_clusters(folder):
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    assert phy.read(folder).units.index.tolist() == [0, 5, 7]


def test_parameters_are_never_run(folder):
    (folder / "params.py").write_text("import sys; sys.exit('run')\nsample_rate = 15000\n")
    np.testing.assert_allclose(phy.read(folder).spike_times[0], [0.04, 2.0])


@pytest.mark.parametrize("text", ["", "sample_rate = 30 * 1000", "sample_rate = -1", "sample_rate = 'fast'"])
def test_a_sample_rate_that_is_none_is_said(folder, text):
    (folder / "params.py").write_text(text)
    with pytest.raises(UndertowError, match="sample_rate"):
        phy.read(folder)


@pytest.mark.parametrize("name", ["spike_times.npy", "spike_clusters.npy", "params.py"])
def test_missing_files_are_said(folder, name):
    (folder / name).unlink()
    with pytest.raises(UndertowError, match=f"has no {name}"):
        phy.read(folder)


def test_damaged_files_are_said(folder):
    content = (folder / "spike_times.npy").read_bytes()
    (folder / "spike_times.npy").write_bytes(content[:-8])
    with pytest.raises(UndertowError, match="can't be read"):
        phy.read(folder)
    np.save(folder / "spike_times.npy", SAMPLES[:3])
    with pytest.raises(UndertowError, match="3 spike times, but 7 entries"):
        phy.read(folder)


def test_label_files_without_ids_are_said(folder):
    (folder / "cluster_group.tsv").write_text("unit\tgroup\n0\tgood\n")
    with pytest.raises(UndertowError, match="no column 'cluster_id'"):
        phy.read(folder)
