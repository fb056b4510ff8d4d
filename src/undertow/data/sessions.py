"""Several sessions: a mapping of name to trials, each with neurons of its own, brought to the same bins and known inputs.

    several = sessions([monday, tuesday])                        # named by their attribute `session`
    several = sessions({"day 1": monday, "day 2": tuesday})
    several = {name: split(trials, valid=0.2) for name, trials in several.items()}

One model can be fitted to what comes out: the sessions share the width of their bins, the time axis, the bins that are to be
forecast and the known inputs. Neurons, trials, conditions and behaviour are each session's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import numpy as np
import xarray as xr

from undertow.vocabulary import UndertowError, check_trials

_SAME_WIDTH = 1e-6  # relative
_NAMED = 6  # sessions named in an error


def sessions(several: Mapping[str, xr.Dataset] | Sequence[xr.Dataset] | xr.Dataset) -> dict[str, xr.Dataset]:
    """Several sessions with the same bins and known inputs, by name, in order.

    Shorter sessions end in bins that are not observed (NaN) and not to be forecast, so that all have the time axis of the
    longest. Known inputs meet by their names, the coordinate `input_channel`, where all sessions that have inputs name them: an
    input that a session lacks is zero there. Inputs without names must be as many in every session; a session without any
    has zeros.

    Args:
        several: trials by the name of their session, which becomes their attribute `session`; or trials one after the
            other, named by that attribute, a repeated name with a number behind it.

    Raises:
        UndertowError: no session, trials that are none, bins of different widths, trials that begin at different times, other
            bins to be forecast, or inputs that can't be matched.
    """
    named = _named(several)
    if not named:
        raise UndertowError("There is no session; give at least one.")
    for name, trials in named.items():
        _check(name, trials)
    _check_widths(named)
    padded = _in_the_same_bins(named)
    _check_forward(padded)
    return _with_the_same_inputs(padded)


def _named(several: Mapping[str, xr.Dataset] | Sequence[xr.Dataset] | xr.Dataset) -> dict[str, xr.Dataset]:
    if isinstance(several, xr.Dataset):
        several = [several]
    if not isinstance(several, Mapping):
        several = dict(zip(distinct(map(_own_name, several)), several, strict=True))
    return {str(name): trials.assign_attrs(session=str(name)) for name, trials in several.items()}


def _own_name(trials: xr.Dataset) -> str:
    return str(trials.attrs.get("session", "session"))


def distinct(names: Iterable[str]) -> list[str]:
    """The names in order, a repeated one with the first free number behind it: "monday", "monday-2"."""
    given: list[str] = []
    for name in names:
        free = (name if number == 1 else f"{name}-{number}" for number in count(1))
        given.append(next(candidate for candidate in free if candidate not in given))
    return given


def _check(name: str, trials: xr.Dataset) -> None:
    try:
        check_trials(trials)
    except UndertowError as error:
        raise UndertowError(f"Session '{name}': {error}") from error


def _check_widths(named: Mapping[str, xr.Dataset]) -> None:
    widths = {name: float(trials.attrs["bin_width"]) for name, trials in named.items()}
    first = next(iter(widths.values()))
    if any(abs(width - first) > _SAME_WIDTH * first for width in widths.values()):
        found = _listed(f"'{name}' {width:g} s" for name, width in widths.items())
        raise UndertowError(
            f"The sessions have bins of different widths ({found}); convert them with the same --bin-width."
        )


def _in_the_same_bins(named: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """All with the time axis of the longest, after a look at where they begin."""
    longest = max(named.values(), key=lambda trials: trials.sizes["time"])
    begin, width = float(longest.time[0]), float(longest.attrs["bin_width"])
    for name, trials in named.items():
        if abs(float(trials.time[0]) - begin) > width / 2:
            raise UndertowError(
                f"The first bin of session '{name}' lies at {float(trials.time[0]):g} s, that of "
                f"'{longest.attrs['session']}' at {begin:g} s; align both to the same event with the same window."
            )
    return {name: _padded(trials, longest.time.values) for name, trials in named.items()}


def _padded(trials: xr.Dataset, time: np.ndarray) -> xr.Dataset:
    if np.array_equal(trials.time.values, time):
        return trials
    attributes = trials.time.attrs
    moved = trials.assign_coords(time=("time", time[: trials.sizes["time"]], attributes))
    return moved.reindex(time=time, fill_value={"forward": False})


def _check_forward(padded: Mapping[str, xr.Dataset]) -> None:
    (first, reference), *others = padded.items()
    for name, trials in others:
        if not np.array_equal(trials.forward.values, reference.forward.values):
            raise UndertowError(
                f"The sessions '{first}' and '{name}' forecast different bins ({_bins(reference)} and {_bins(trials)}), but one "
                "model forecasts the same in all; call undertow.hold_out(trials, forward=...) on each of "
                "undertow.sessions(...) of the trials before."
            )


def _bins(trials: xr.Dataset) -> str:
    chosen = np.flatnonzero(trials.forward.values)
    return f"{chosen[0]} to {chosen[-1]}" if chosen.size else "none"


def _with_the_same_inputs(padded: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    given = {name: trials for name, trials in padded.items() if "inputs" in trials}
    if not given:
        return dict(padded)
    if all("input_channel" in trials.coords for trials in given.values()):
        return _by_name(padded, given)
    return _by_number(padded, given)


def _by_name(padded: Mapping[str, xr.Dataset], given: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Inputs in the order in which their names first appear."""
    channels = {name: trials.input_channel.values.astype(str).tolist() for name, trials in given.items()}
    for name, own in channels.items():
        if len(set(own)) < len(own):
            raise UndertowError(
                f"The known inputs of session '{name}' are named {own}; give each a name of its own."
            )
    order = list(dict.fromkeys(channel for own in channels.values() for channel in own))
    return {
        name: _with_channels(trials, channels[name], order)
        if name in given
        else _with_zeros(trials, len(order)).assign_coords(input_channel=("input", order))
        for name, trials in padded.items()
    }


def _with_channels(trials: xr.Dataset, own: list[str], order: list[str]) -> xr.Dataset:
    if own == order:
        return trials
    indexed = trials.drop_vars("input_channel").assign_coords(input=own)
    return (
        indexed.reindex(input=order, fill_value=0)
        .drop_vars("input")
        .assign_coords(input_channel=("input", order))
    )


def _by_number(padded: Mapping[str, xr.Dataset], given: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    numbers = {name: trials.sizes["input"] for name, trials in given.items()}
    if len(set(numbers.values())) > 1:
        found = _listed(f"'{name}' {number}" for name, number in numbers.items())
        raise UndertowError(
            f"The sessions have different numbers of known inputs ({found}), which can be matched by name alone; name them in "
            "every session with trials.assign_coords(input_channel=('input', [...]))."
        )
    number = next(iter(numbers.values()))
    return {name: trials if name in given else _with_zeros(trials, number) for name, trials in padded.items()}


def _with_zeros(trials: xr.Dataset, number: int) -> xr.Dataset:
    if trials.sizes.get("input", number) != number:
        raise UndertowError(
            f"Session '{trials.attrs['session']}' has no known inputs, but {trials.sizes['input']} true ones where the other "
            f"sessions know {number}; leave its 'true_inputs' out."
        )
    shape = (trials.sizes["trial"], trials.sizes["time"], number)
    return trials.assign(inputs=(("trial", "time", "input"), np.zeros(shape, np.float32)))


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
