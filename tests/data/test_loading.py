"""The front door: every kind finds its reader, and every wrong request gets one sentence."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from undertow.data.loading import load
from undertow.data.recording import Recording
from undertow.data.store import save
from undertow.data.trials import trials
from undertow.vocabulary import UndertowError

RNG = np.random.default_rng(5)


@pytest.fixture
def phy_folder(tmp_path):
    folder = tmp_path / "sorted"
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.arange(0, 30000, 300))
    np.save(folder / "spike_clusters.npy", np.arange(100) % 2)
    (folder / "params.py").write_text("sample_rate = 3000\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tmua\n")
    (folder / "events.csv").write_text("start_time,stop_time,side\n1.0,2.0,l\n4.0,4.5,r\n")
    return folder


def test_a_phy_folder_with_a_table_of_events(phy_folder):
    cut_trials = load(phy_folder, bin_width=0.1, table="events.csv")
    assert cut_trials.side.values.tolist() == ["l", "r"]
    np.testing.assert_array_equal(np.isfinite(cut_trials.counts[:, :, 0]).sum("time"), [10, 5])
    both = load(str(phy_folder), bin_width=0.1, table=phy_folder / "events.csv", labels=("good", "mua"))
    assert both.sizes["neuron"] == 2 and both.attrs["session"] == "sorted"


def test_a_phy_folder_without_events_is_one_trial(phy_folder):
    cut_trials = load(phy_folder, bin_width=0.5)
    assert cut_trials.sizes["trial"] == 1
    assert cut_trials.counts.sum() == 48  # spikes 0.2 s apart in 19 whole bins of 0.5 s
    assert "1 of 2 units were kept" in cut_trials.attrs["notes"]


def test_the_folder_of_a_run_is_no_recording(tmp_path):
    (tmp_path / "recipe.toml").write_text('model = "lfads"')
    with pytest.raises(UndertowError, match=r"folder of a run and no recording; undertow.open\('"):
        load(tmp_path)


def test_stored_trials_are_opened(tmp_path):
    before = trials(RNG.poisson(1, (3, 4, 2)).astype(float), bin_width=0.1)
    save(before, tmp_path / "a.nc")
    xr.testing.assert_identical(load(tmp_path / "a.nc"), before)
    with load(tmp_path / "a.nc", lazy=True) as lazy:
        xr.testing.assert_identical(lazy.load(), before)
    with pytest.raises(UndertowError, match="in bins already, so 'bin_width' can't be applied"):
        load(tmp_path / "a.nc", bin_width=0.1)


def test_arrays_lists_and_trials_from_python():
    counts = RNG.poisson(1, (3, 4, 2)).astype(float)
    built = load(counts, bin_width=0.1, condition=["a", "b", "c"])
    xr.testing.assert_identical(built, trials(counts, bin_width=0.1, condition=["a", "b", "c"]))
    ragged = load([np.ones((4, 2)), np.ones((3, 2))], bin_width=0.1)
    assert np.isnan(ragged.counts[1, 3]).all() and ragged.sizes["trial"] == 2
    assert load(built) is built


def test_spike_times_of_units_from_python():
    spikes = [np.array([0.5, 0.1, 1.25]), [], [0.3, 2.0]]
    rows = pd.DataFrame({"start_time": [0.0, 1.0], "stop_time": [1.0, 2.0]})
    cut_trials = load(spikes, bin_width=0.5, table=rows)
    np.testing.assert_array_equal(cut_trials.counts, [[[1, 0, 1], [1, 0, 0]], [[1, 0, 0], [0, 0, 0]]])


def test_a_recording_is_cut():
    recording = Recording([np.array([0.1, 0.9])], pd.DataFrame(index=[3]), observed=np.array([[0.0, 1.0]]))
    assert load(recording, bin_width=0.5).counts.values.ravel().tolist() == [1, 1]
    with pytest.raises(UndertowError, match=r"needs? a bin width"):
        load(recording)
    with pytest.raises(UndertowError, match="did you mean 'window'"):
        load(recording, bin_width=0.5, windw=(0, 1))


def test_numpy_files_reach_their_reader(tmp_path):
    counts = RNG.poisson(1, (5, 6, 3)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", counts=counts)
    found = load(tmp_path / "a.npz", bin_width=0.02)
    np.testing.assert_array_equal(found.counts, counts)
    with pytest.raises(UndertowError, match="align can't be applied"):
        load(tmp_path / "a.npz", bin_width=0.02, align="go_time")


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nowhere.nwb", {}, "There is no file or folder"),
        (np.zeros((2, 3, 4)), {}, "needs the width of its bins"),
        (np.zeros((2, 3, 4)), {"bin_width": 0.1, "align": "go"}, "'align' can't be applied"),
        (3.5, {}, "A float can't be made into trials"),
    ],
)
def test_wrong_requests_are_said(source, options, message):
    with pytest.raises(UndertowError, match=message):
        load(source, **options)


def test_unknown_kinds_and_options_are_said(tmp_path, phy_folder):
    (tmp_path / "a.xyz").write_text("?")
    with pytest.raises(UndertowError, match=r"unknown kind '\.xyz'; known are NWB \(\.nwb\), MATLAB"):
        load(tmp_path / "a.xyz")
    with pytest.raises(UndertowError, match="none that Phy or Kilosort wrote"):
        load(tmp_path)
    with pytest.raises(UndertowError, match="takes no option 'label'; did you mean 'labels'"):
        load(phy_folder, bin_width=0.1, label="good")
    with pytest.raises(UndertowError, match="which need a bin width"):
        load(phy_folder)


def test_tables_that_are_none_are_said(tmp_path, phy_folder):
    with pytest.raises(UndertowError, match="There is no table"):
        load(phy_folder, bin_width=0.1, table="nothing.csv")
    (phy_folder / "odd.tsv").write_text("begin\tend\n1\t2\n")
    with pytest.raises(UndertowError, match="columns begin, end, but needs 'start_time'"):
        load(phy_folder, bin_width=0.1, table="odd.tsv")
    (phy_folder / "empty.csv").write_text("")
    with pytest.raises(UndertowError, match="can't be read as a table"):
        load(phy_folder, bin_width=0.1, table="empty.csv")
