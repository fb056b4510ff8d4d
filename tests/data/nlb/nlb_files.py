"""Tiny files in the layout of the benchmark, written with pynwb."""

from datetime import UTC, datetime

from pynwb import NWBHDF5IO, NWBFile, TimeSeries


def write_file(path, trials, units, *, series=None, skip=()):
    """Write a file and return its path.

    `trials` holds columns by name; `units` holds (id, spike times, held out, observed intervals); `series` is a name, a
    (sample, 2) array and the keyword arguments of its clock; `skip` names columns of the units that are left out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = NWBFile(
        session_description="tiny", identifier="one", session_start_time=datetime(2020, 1, 1, tzinfo=UTC)
    )
    further = [name for name in trials if name not in ("start_time", "stop_time")]
    for name in further:
        file.add_trial_column(name=name, description=name)
    for k in range(len(trials["start_time"])):
        file.add_trial(**{name: column[k] for name, column in trials.items()})
    if "heldout" not in skip:
        file.add_unit_column(name="heldout", description="whether to be predicted")
    for number, spikes, is_held_out, observed in units:
        columns = {"heldout": is_held_out, "obs_intervals": observed}
        kept = {name: value for name, value in columns.items() if name not in skip}
        file.add_unit(id=number, spike_times=spikes, **kept)
    if series:
        name, values, clock = series
        module = file.create_processing_module(name="behavior", description="what it did")
        module.add(
            TimeSeries(
                name=name, data=values, unit="m/s", conversion=0.001, comments="columns=[y,x]", **clock
            )
        )
    with NWBHDF5IO(str(path), "w") as door:
        door.write(file)
    return path
