"""From the sources on a command line to trials, of one session or of several by name, and how they are spoken of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from undertow.data.loading import load_each
from undertow.data.sessions import sessions
from undertow.data.splits import hold_out, split
from undertow.data.windows import chop
from undertow.experiments.commands.asked import Common, Cut


def read_each(sources: Sequence[Path], cut: Cut, *, lazy: bool = False) -> dict[str, xr.Dataset]:
    """Trials of all sessions in several sources by name, as they are, chopped into windows if asked.

    `lazy` leaves files of trials on disk until their numbers are needed.
    """
    are_stored = all(source.suffix.lower() == ".nc" for source in sources)
    options = {**_options(cut), **({"lazy": True} if lazy and are_stored else {})}
    return {name: _chopped(trials, cut) for name, trials in load_each(sources, **options).items()}


def assigned_sessions(sources: Sequence[Path], cut: Cut, common: Common) -> dict[str, xr.Dataset]:
    """Trials of all sessions in several sources by name, with the same bins, split and with neurons held out as asked."""
    return {
        name: _assigned(trials, cut, common) for name, trials in sessions(read_each(sources, cut)).items()
    }


def _assigned(trials: xr.Dataset, cut: Cut, common: Common) -> xr.Dataset:
    """The trials, split and with neurons held out as asked; a split that they bring with them stays."""
    seed = common.seed or 0
    if (trials.split.values.astype(str) == "train").all() and (cut.valid or cut.test):
        trials = split(trials, valid=cut.valid, test=cut.test, by=cut.split_by, seed=seed)
    if cut.hold_out or cut.forward:
        trials = hold_out(trials, neurons=cut.hold_out, forward=cut.forward, seed=seed)
    return trials


def one_or_all(several: dict[str, xr.Dataset]) -> xr.Dataset | dict[str, xr.Dataset]:
    """The trials of one session as they are, several by name."""
    return several if len(several) > 1 else next(iter(several.values()))


def notes_of(several: Mapping[str, xr.Dataset]) -> list[str]:
    """The notes of all sessions, with the session's name where there are several."""
    return [
        note if len(several) == 1 else f"{name}: {note}"
        for name, trials in several.items()
        for note in _notes(trials)
    ]


def size_of(trials: xr.Dataset | Mapping[str, xr.Dataset]) -> str:
    """How much there is, as the object of a sentence: "600 trials of 29 neurons, up to 100 bins of 10 ms,"."""
    if isinstance(trials, xr.Dataset):
        sizes = trials.sizes
        bins = f"{sizes['time']} bins of {trials.attrs['bin_width'] * 1e3:g} ms"
        return f"{sizes['trial']} trials of {sizes['neuron']} neurons, up to {bins},"
    each = ", ".join(
        f"'{name}' {one.sizes['trial']} of {one.sizes['neuron']}" for name, one in trials.items()
    )
    longest = max(trials.values(), key=lambda one: one.sizes["time"])
    bins = f"{longest.sizes['time']} bins of {longest.attrs['bin_width'] * 1e3:g} ms"
    return f"{len(trials)} sessions (trials of neurons: {each}), up to {bins},"


def _options(cut: Cut) -> dict[str, Any]:
    """What `load` is told."""
    asked = ("bin_width", "align", "window", "table", "variable", "condition", "neurons")
    imaged = ("sampling", "events", "rois", "frame_times", "decay_time", "delay")
    options = {name: getattr(cut, name) for name in (*asked, *imaged) if getattr(cut, name) is not None}
    if cut.margin and not cut.chop:  # of windows, `chop` sees to it
        options["margin"] = cut.margin
    behaviour = getattr(cut, "behaviour", ())
    if behaviour:
        options["behaviour"] = behaviour[0] if len(behaviour) == 1 else list(behaviour)
    return options


def _chopped(trials: xr.Dataset, cut: Cut) -> xr.Dataset:
    if not cut.chop:
        return trials
    return chop(trials, length=cut.chop, overlap=cut.overlap, margin=float(cut.margin))


def _notes(trials: xr.Dataset) -> list[str]:
    notes = trials.attrs.get("notes", [])
    return [notes] if isinstance(notes, str) and notes else list(notes)
