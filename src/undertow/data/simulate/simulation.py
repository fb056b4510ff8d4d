"""Trials of any law, seen by any population: the one function that all systems with a `Law` share.

Every trial begins at its own place, for chaotic systems on the attractor or, with `displaced`, around it; states are
sampled at the end of each bin by points per period. With the defaults of `arneodo`, `rossler` and `lorenz63` these are
the data of Sedler et al. 2022: 2000 trials of 70 bins, 10 neurons, 64 % to train, 16 % to validate, 20 % to test.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from undertow.data.simulate import integration, spikes, truth
from undertow.data.simulate.law import Law
from undertow.data.simulate.population import Population
from undertow.data.splits import split
from undertow.data.trials import trials as as_trials
from undertow.vocabulary import UndertowError

Trials = xr.Dataset | dict[str, xr.Dataset]  # of one session, or of several by name
FAR = 1.25  # times the largest range of the starts: farther out, a displaced trial has left the system
DISPLACEMENTS = 50  # tried for each trial
SMALLEST_SPREAD = 1e-6  # of a latent, beside its mean: what moves less stands still


class Design(NamedTuple):
    """How a system is recorded.

    Attributes:
        trials: how many.
        bins: bins of a trial.
        points_per_period: bins in a period of the system.
        bin_width: seconds that a bin is said to last.
        displaced: standard deviation of a random step off the place where a trial would begin, in those of the starts.
        valid: fraction of the trials for validation.
        test: fraction of the trials for the final test.
        seed: starts, inputs, read-out, counts and split follow from it.
    """

    trials: int = 2000
    bins: int = 70
    points_per_period: float = 35.0
    bin_width: float = 0.01
    displaced: float = 0.0
    valid: float = 0.16
    test: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Refuse sizes and widths that make no trials; `split` looks after the fractions."""
        spikes.check_sizes(trials=self.trials, bins=self.bins)
        spikes.check_positive(points_per_period=self.points_per_period, bin_width=self.bin_width)
        spikes.check_not_negative(displaced=self.displaced)
        spikes.check_seed(self.seed)


def simulation(name: str, law: Callable[..., Law], **defaults: Any) -> Callable[..., Trials]:
    """A function that returns trials of a law.

    Args:
        name: of the system, kept with its trials.
        law: parameters of the equation to a `Law`.
        defaults: of the settings of `Design` and `Population`, where the system has its own.

    Returns:
        A function of the law's parameters, of all settings of `Design` and `Population`, and of `sessions`, by name. Its
        trials have `split`, `true_rates` (Hz: the expected count of a bin over the bin width) and `true_latents` (the states,
        each dimension of mean 0 and variance 1); with inputs also `inputs` and `true_inputs`. With a number of `sessions` it
        returns a dictionary of so many, each with its own trials and neurons and with the same latents.
    """
    signature = signature_of(law, Design, Population, _several, defaults=defaults)

    def simulate(**settings: Any) -> Trials:
        bound = signature.bind(**settings)
        bound.apply_defaults()
        several = _several(bound.arguments.pop("sessions"))
        if several is None:
            return simulated(name, law, bound.arguments)
        return simulated_sessions(name, law, bound.arguments, several)

    simulate.__signature__ = signature
    simulate.__name__ = simulate.__qualname__ = name
    simulate.__doc__ = f"Trials of the system '{name}'; see `undertow.data.simulate.simulation`."
    return simulate


def _several(sessions: int | None = None) -> int | None:
    """The number of sessions, None for trials of one alone."""
    if sessions is not None:
        spikes.check_sizes(sessions=sessions)
    return sessions


def simulated(name: str, law: Callable[..., Law], settings: Mapping[str, Any]) -> xr.Dataset:
    """Trials of a law from the settings of the law, of `Design` and of `Population`, in one mapping."""
    parts = _parts(law, settings)
    trajectories = _trajectories(*parts[:2], np.random.SeedSequence(parts[1].seed))
    spread = _spread(trajectories.states, name, settings_of(law, settings))
    return _recorded(name, law, settings, trajectories, spread, readout_seed=parts[1].seed)


def simulated_sessions(
    name: str, law: Callable[..., Law], settings: Mapping[str, Any], sessions: int
) -> dict[str, xr.Dataset]:
    """Trials of several sessions by name, the latents of all scaled as those of the first; more leave the others as they were."""
    equation, design, _ = _parts(law, settings)
    several, spread = {}, None
    for number, seeds in enumerate(np.random.SeedSequence(design.seed).spawn(sessions), start=1):
        trajectories = _trajectories(equation, design, seeds)
        spread = spread or _spread(trajectories.states, name, settings_of(law, settings))
        own = _recorded(
            name, law, settings, trajectories, spread, readout_seed=int(seeds.generate_state(1)[0])
        )
        several[f"session-{number}"] = own.assign_attrs(session=f"session-{number}")
    return several


def _parts(law: Callable[..., Law], settings: Mapping[str, Any]) -> tuple[Law, Design, Population]:
    """The law, the design and the population that the settings ask for, checked."""
    design, population = (
        Design(**settings_of(Design, settings)),
        Population(**settings_of(Population, settings)),
    )
    design.check()
    population.check()
    spikes.check_finite(**settings_of(law, settings))
    return law(**settings_of(law, settings)), design, population


class _Trajectories(NamedTuple):
    """States (trial, time, latent) and inputs (trial, time, input), the time of a bin, and generators for what follows."""

    states: np.ndarray
    inputs: np.ndarray
    bin_time: float
    draws: np.random.Generator
    splits: np.random.Generator


def _trajectories(equation: Law, design: Design, seeds: np.random.SeedSequence) -> _Trajectories:
    starts, inputs, draws, splits = map(np.random.default_rng, seeds.spawn(4))
    bin_time = equation.period / design.points_per_period
    driven = _inputs(equation, design, bin_time, inputs)
    return _Trajectories(_states(equation, design, driven, bin_time, starts), driven, bin_time, draws, splits)


def _recorded(
    name: str,
    law: Callable[..., Law],
    settings: Mapping[str, Any],
    trajectories: _Trajectories,
    spread: tuple[np.ndarray, np.ndarray],
    *,
    readout_seed: int,
) -> xr.Dataset:
    """The trials that a population records of these trajectories."""
    _, design, population = _parts(law, settings)
    states, inputs, bin_time, draws, splits = trajectories
    centre, scale = spread
    latents = (states - centre) / scale
    expected = population.expected_counts(states, latents, readout_seed)
    known = inputs.astype(np.float32) if inputs.size else None
    recorded = as_trials(
        population.counts(expected, draws),
        bin_width=design.bin_width,
        true_rates=(expected / design.bin_width).astype(np.float32),
        true_latents=latents.astype(np.float32),
        inputs=known,
        true_inputs=known,
        session=name,
    ).assign_attrs(truth.attributes(name, settings_of(law, settings), centre, scale, bin_time))
    return split(recorded, valid=design.valid, test=design.test, seed=int(splits.integers(2**31)))


def signature_of(*parts: Callable[..., Any], defaults: Mapping[str, Any]) -> inspect.Signature:
    """All parameters of the parts by name, `seed` last, with these defaults in place of their own."""
    all_of_them = {
        name: known for part in parts for name, known in inspect.signature(part).parameters.items()
    }
    in_order = sorted(all_of_them.values(), key=lambda known: known.name == "seed")
    return inspect.Signature(
        [
            known.replace(kind=known.KEYWORD_ONLY, default=defaults.get(known.name, known.default))
            for known in in_order
        ],
        return_annotation=Trials,
    )


def settings_of(part: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a part takes."""
    return {name: settings[name] for name in inspect.signature(part).parameters}


def _inputs(equation: Law, design: Design, bin_time: float, generator: np.random.Generator) -> np.ndarray:
    """(trial, time, input), with no input for a system that takes none."""
    shape = (design.trials, design.bins)
    return np.empty((*shape, 0)) if equation.drive is None else equation.drive(shape, bin_time, generator)


def _states(
    equation: Law, design: Design, inputs: np.ndarray, bin_time: float, generator: np.random.Generator
) -> np.ndarray:
    """(trial, time, latent). A trial that its displacement sends far away is displaced anew; in the end it is infinite."""
    start = integration.starts(equation, design.trials, generator)
    steps = integration.steps_in_bin(design.points_per_period)

    def path(trials: np.ndarray, start: np.ndarray) -> np.ndarray:
        return integration.path(equation, start, inputs[trials], bin_time=bin_time, steps=steps)

    away = np.arange(design.trials)
    if not design.displaced:
        return path(away, start)
    low, high = start.min(axis=0), start.max(axis=0)
    middle, reach = (low + high) / 2, FAR * (high - low).max() / 2
    states = np.empty((*inputs.shape[:2], start.shape[1]))
    for _ in range(DISPLACEMENTS):
        step = design.displaced * start.std(axis=0) * generator.standard_normal((len(away), start.shape[1]))
        states[away] = path(away, start[away] + step)
        stays = (np.abs(states[away] - middle) <= reach).all(axis=(1, 2))  # false for NaN, too
        away = away[~stays]
        if not away.size:
            break
    states[away] = np.inf
    return states


def _spread(states: np.ndarray, name: str, parameters: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each dimension, (latent,) each; refused where there is none to speak of."""
    given = ", ".join(f"{key}={value}" for key, value in parameters.items())
    if not np.isfinite(states).all():
        raise UndertowError(
            f"The system '{name}' runs away with {given}; choose numbers closer to its defaults."
        )
    centre, scale = states.mean(axis=(0, 1)), states.std(axis=(0, 1))
    if (scale < SMALLEST_SPREAD * (1 + np.abs(centre))).any():
        raise UndertowError(
            f"The system '{name}' stands still with {given}; choose numbers closer to its defaults, or more trials."
        )
    return centre, scale
