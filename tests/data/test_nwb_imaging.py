"""NWB files of imaging written here: masks, rates and time stamps, cells, events and fluorescence."""

from datetime import UTC, datetime

import numpy as np
import pynwb
import pytest
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
)

from undertow.data.loading import load
from undertow.data.readers import nwb
from undertow.vocabulary import UndertowError

FRAMES, RATE, LINES = 300, 10.0, 20
CENTRES = (2.0, 10.0, 17.0)  # y
EVENTS = np.random.default_rng(0).gamma(2, 1, (FRAMES, 3)) * (
    np.random.default_rng(1).random((FRAMES, 3)) < 0.1
)


def fluorescence():
    calcium = np.zeros((FRAMES, 3))
    for frame in range(1, FRAMES):
        calcium[frame] = 0.8 * calcium[frame - 1] + EVENTS[frame]
    return calcium


def written(path, *, series, masks="pixel", accepted=None, clock=None, with_units=False):
    file = pynwb.NWBFile(
        session_description="under a microscope",
        identifier="x",
        session_start_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    device = file.create_device(name="microscope")
    channel = OpticalChannel(name="channel", description="green", emission_lambda=510.0)
    plane = file.create_imaging_plane(
        optical_channel=channel,
        description="plane",
        device=device,
        excitation_lambda=900.0,
        imaging_rate=RATE,
        indicator="GCaMP",
        location="V1",
        name="plane",
    )
    module = file.create_processing_module(name="ophys", description="imaging")
    segmentation = ImageSegmentation()
    module.add(segmentation)
    regions = segmentation.create_plane_segmentation(name="regions", description="all", imaging_plane=plane)
    for number, y in enumerate(CENTRES):
        regions.add_roi(**mask_of(masks, number, y))
    if accepted is not None:
        regions.add_column(name="iscell", description="judged", data=accepted)
    clock = clock or {"rate": RATE, "starting_time": 5.0}
    for name, values in series.items():
        holder = (DfOverF if name == "ratio" else Fluorescence)(name=f"{name}_holder")
        module.add(holder)
        chosen = regions.create_roi_table_region(description="all", region=[0, 1, 2])
        holder.create_roi_response_series(name=name, data=values, rois=chosen, unit="n.a.", **clock)
    file.add_trial(start_time=5.0, stop_time=15.0)
    file.add_trial(start_time=15.0, stop_time=25.0)
    if with_units:
        file.add_unit(spike_times=[6.0, 7.0])
    with pynwb.NWBHDF5IO(str(path), "w") as door:
        door.write(file)
    return path


def mask_of(kind, number, y):
    if kind == "pixel":
        return {"pixel_mask": [(number, int(y) - 1, 1.0), (number, int(y) + 1, 1.0), (0, LINES - 1, 0.0)]}
    mask = np.zeros((8, LINES))  # x, y
    mask[number, int(y)] = 1
    return {"image_mask": mask}


@pytest.mark.parametrize("masks", ["pixel", "image"])
def test_regions_at_the_lines_of_their_masks(tmp_path, masks):
    found = nwb.read(written(tmp_path / "a.nwb", series={"Deconvolved": EVENTS}, masks=masks))
    np.testing.assert_allclose(found.events.offsets, np.array(CENTRES) / LINES / RATE, rtol=1e-6)
    np.testing.assert_allclose(found.events.frame_times, 5 + np.arange(FRAMES) / RATE)
    along_x = nwb.read(tmp_path / "a.nwb", lines="x").events.offsets
    assert along_x[0] < along_x[1] < along_x[2] and along_x[2] != found.events.offsets[2]
    assert found.spike_times == [] and list(found.tables) == ["trials"] and found.series == {}


def test_trials_of_a_file(tmp_path):
    path = written(tmp_path / "a.nwb", series={"Deconvolved": EVENTS})
    cut = load(path, bin_width=0.05, align="start_time", window=(0.0, 10.0))
    assert cut.counts.shape == (2, 200, 3)
    assert np.isfinite(cut.counts).mean() == pytest.approx(0.5)
    assert (
        np.isfinite(cut.counts.values[:, ::2, 0]).all() and np.isfinite(cut.counts.values[:, 1::2, 1:]).all()
    )
    whole = load(path, sampling="frame", align="start_time", window=(0.0, 10.0))
    np.testing.assert_array_equal(whole.counts.values.reshape(-1, 3) > 0, EVENTS[:200] >= 0.1 * rms(EVENTS))


def rms(values):
    return np.sqrt((values**2).sum(0) / (values > 0).sum(0))


def test_cells_and_time_stamps(tmp_path):
    stamps = 5 + np.arange(FRAMES) * 0.11
    path = written(
        tmp_path / "a.nwb",
        series={"events": EVENTS},
        accepted=[[1, 0.9], [0, 0.1], [1, 0.6]],
        clock={"timestamps": stamps},
    )
    found = nwb.read(path)
    assert found.units.index.tolist() == [0, 2]
    np.testing.assert_allclose(found.events.frame_times, stamps)
    np.testing.assert_allclose(found.events.offsets, np.array(CENTRES)[[0, 2]] / LINES * 0.11, rtol=1e-6)
    assert any("2 of 3 regions" in note for note in found.notes)


@pytest.mark.parametrize("name", ["raw", "ratio"])
def test_fluorescence_is_deconvolved(tmp_path, name):
    neuropil = 10 + np.random.default_rng(2).normal(size=(FRAMES, 3))
    share = 0.7 if name == "raw" else 0.0
    series = {name: fluorescence() + share * neuropil, "Neuropil": neuropil, "Deconvolved": EVENTS}
    found = nwb.read(written(tmp_path / "a.nwb", series=series), events="deconvolve", decay_time=0.45)
    for unit in range(3):
        assert np.corrcoef(found.events.values[1:, unit], EVENTS[1:, unit])[0, 1] > 0.95


def test_a_file_of_units_and_regions_gives_units_unless_asked(tmp_path):
    path = written(tmp_path / "a.nwb", series={"Deconvolved": EVENTS}, with_units=True)
    assert nwb.read(path).events is None
    assert nwb.read(path, rois="Deconvolved").events.values.shape == (FRAMES, 3)


@pytest.mark.parametrize(
    ("series", "options", "words"),
    [
        ({"raw": EVENTS}, {}, "0 responses .* may be deconvolved events .it has 'raw'.*events='deconvolve'"),
        ({"eventsA": EVENTS, "eventsB": EVENTS}, {}, "2 responses .* name one with rois"),
        ({"events": EVENTS}, {"rois": "event"}, "did you mean 'events'"),
        ({"events": -EVENTS}, {}, "negative"),
        ({"events": EVENTS}, {"lines": "z"}, "'lines' is 'z'"),
        ({"events": EVENTS}, {"events": "store"}, "did you mean 'stored'"),
    ],
)
def test_files_that_leave_it_open(tmp_path, series, options, words):
    with pytest.raises(UndertowError, match=words):
        nwb.read(written(tmp_path / "a.nwb", series=series), **options)
