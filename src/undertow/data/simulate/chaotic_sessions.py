"""Sessions that watch one chaotic network, each through some of its units: the multi-session simulation of LFADS.

The network, its starts and its pulses are those of `chaotic_rnn`, and every session repeats the same conditions. A session
observes a random subset of the units, which may share units with those of others, and draws its own spikes::

    several = chaotic_rnn_sessions(sessions=6, observed=20)      # a dictionary of name to trials

Published (Sussillo et al. 2016): 100 units of which 20 are observed, 150 conditions of 40 trials each, ten principal components.
More sessions leave those before them as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.simulate import spikes
from undertow.data.simulate.chaotic_rnn import Courses, simulated
from undertow.data.trials import trials as as_trials
from undertow.vocabulary import UndertowError


def chaotic_rnn_sessions(  # noqa: PLR0913 - what of the published experiment may be moved, all by name
    *,
    sessions: int = 6,
    neurons: int = 100,
    observed: int | Sequence[int] = 20,
    conditions: int = 150,
    repeats: int | Sequence[int] = 10,
    bins: int | Sequence[int] = 100,
    gain: float | Sequence[float] = 1.0,
    latents: int = 10,
    g: float = 1.5,
    bin_width: float = 0.01,
    tau: float = 0.025,
    max_rate: float = 30.0,
    pulses: bool = False,
    valid: float = 0.2,
    seed: int = 5,
) -> dict[str, xr.Dataset]:
    """Trials of several sessions with one chaotic network, by the session's name: "session-1", "session-2", ...

    `observed`, `repeats`, `bins` and `gain` are one value for all sessions or a list with one for each.

    Args:
        sessions: how many.
        neurons: units of the network.
        observed: units that a session observes.
        conditions: how many starts of the network (and times of the pulse), the same in all sessions.
        repeats: trials of each condition.
        bins: bins of a trial.
        gain: times the rates of a session, as if its electrodes stood closer to the cells or farther from them.
        latents: principal components of the network's states that are the true latents, the same in all sessions.
        g: gain of the recurrent weights.
        bin_width: seconds.
        tau: seconds, the time constant of a unit.
        max_rate: Hz, the highest rate of every unit, before the session's gain.
        pulses: give the network one input pulse in each condition.
        valid: the fraction of validation trials, taken within every condition.
        seed: the network, the observed units, spikes and splits follow from it.

    Returns:
        Trials with `condition`, `split`, `true_rates` (Hz), `true_latents` and, with pulses, `true_inputs` and `pulse_time` as in
        `chaotic_rnn`. Neurons' ids are the session's own; the column `unit` says which unit of the network each is.
    """
    spikes.check_sizes(sessions=sessions, neurons=neurons, conditions=conditions, latents=latents)
    spikes.check_positive(bin_width=bin_width, tau=tau, max_rate=max_rate)
    each = {
        name: _for_each(name, value, sessions)
        for name, value in {"observed": observed, "repeats": repeats, "bins": bins, "gain": gain}.items()
    }
    for settings in _rows(each):
        spikes.check_sizes(**{name: settings[name] for name in ("observed", "repeats", "bins")})
        spikes.check_positive(gain=settings["gain"])
    most = max(latents, *each["observed"])
    if most > neurons:
        raise UndertowError(f"{most} of {neurons} units can't be observed; choose at most {neurons}.")
    longest = max(each["bins"])
    starts, inputs, watchers = np.random.SeedSequence(seed).spawn(3)
    courses = simulated(
        (np.random.default_rng(starts), np.random.default_rng(inputs)),
        (conditions, longest, neurons),
        seed=seed,
        g=g,
        bin_width=bin_width,
        tau=tau,
        pulses=pulses,
    )
    truth = _truth(courses, max_rate=max_rate, latents=latents, pulses=pulses)
    names = [f"session-{number}" for number in range(1, sessions + 1)]
    return {
        name: _session(name, truth, generator, bin_width=bin_width, valid=valid, **settings)
        for name, generator, settings in zip(names, watchers.spawn(sessions), _rows(each), strict=True)
    }


def _truth(courses: Courses, *, max_rate: float, latents: int, pulses: bool) -> dict[str, np.ndarray]:
    """What every session sees a part of."""
    shared = {"rates": max_rate * courses.activity, "latents": _components(courses.states, latents)}
    pulse = {"inputs": courses.inputs[..., None], "pulse_time": courses.pulse_time}
    return shared | (pulse if pulses else {})


def _session(
    name: str,
    truth: dict[str, np.ndarray],
    seeds: np.random.SeedSequence,
    *,
    observed: int,
    repeats: int,
    bins: int,
    gain: float,
    bin_width: float,
    valid: float,
) -> xr.Dataset:
    """Trials of one session: some units, their spikes, a split."""
    units, draws, splits = map(np.random.default_rng, seeds.spawn(3))
    conditions, _, neurons = truth["rates"].shape
    unit = np.sort(units.permutation(neurons)[:observed])
    rates = gain * truth["rates"][:, :bins, unit]
    condition = spikes.conditions_of_trials(conditions * repeats, conditions)
    pulse = {}
    if "inputs" in truth:
        pulse = {
            "true_inputs": truth["inputs"][condition, :bins],
            "pulse_time": truth["pulse_time"][condition],
        }
    return as_trials(
        spikes.poisson_counts(rates * bin_width, condition, draws),
        bin_width=bin_width,
        split=spikes.split_within(condition, valid, splits),
        true_rates=rates.astype(np.float32)[condition],
        true_latents=truth["latents"][condition, :bins].astype(np.float32),
        session=name,
        neuron_columns={"unit": unit},
        condition=condition,
        **pulse,
    )


def _components(states: np.ndarray, count: int) -> np.ndarray:
    """The leading principal components of states (condition, time, unit), (condition, time, component)."""
    centred = states - states.mean(axis=(0, 1))
    _, directions = np.linalg.eigh(np.einsum("cti,ctj->ij", centred, centred))
    leading = directions[:, ::-1][:, :count]
    largest = np.take_along_axis(leading, np.abs(leading).argmax(axis=0)[None], axis=0)
    return centred @ (leading * np.sign(largest))


def _for_each(name: str, value: Any, sessions: int) -> list[Any]:
    """One value for each session."""
    values = list(value) if isinstance(value, (list, tuple)) else [value] * sessions
    if len(values) != sessions:
        raise UndertowError(
            f"'{name}' lists {len(values)} values for {sessions} sessions; give one number for all, or one for each."
        )
    return values


def _rows(each: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The settings of each session."""
    return [dict(zip(each, values, strict=True)) for values in zip(*each.values(), strict=True)]
