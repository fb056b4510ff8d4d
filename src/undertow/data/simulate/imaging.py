"""The Lorenz system behind a two-photon microscope: rates, spikes, fluorescence, frames, deconvolved events, trials.

A session is simulated as a microscope would record it (RADICaL; Zhu et al. 2022)::

    ln rate_n(t) = ln(base_rate) + sum_d C_nd z_d(t)      the read-out of `lorenz`; z turns `frequency` times a second
    spikes ~ Poisson(rate dt), dt = 1 ms
    c(t) = exp(-dt / decay_time) c(t - dt) + gain spikes(t)
    F(k) = baseline + c(t_k) + noise,  t_k = k / frame_rate + line offset of the region

All regions lie at random heights of the frame. The fluorescence is deconvolved (`data.deconvolution`, whose decay time is the
true one), events are scaled, and the session is cut into trials like any other recording (`data.imaging`).
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy import signal

from undertow.data import imaging as microscope
from undertow.data.alignment import cut
from undertow.data.deconvolution import deconvolve
from undertow.data.recording import Events, Recording
from undertow.data.simulate import integration, lorenz, lorenz63, spikes, truth
from undertow.data.simulate.simulation import settings_of, signature_of
from undertow.vocabulary import UndertowError

SAMPLE = 0.001  # seconds
PERIOD = 0.7585  # of z in the system's own time: the strongest peak of its spectrum
BETWEEN = 0.35  # seconds at least from a trial to the next, in which the next path begins


class Design(NamedTuple):
    """What is recorded.

    Attributes:
        trials: how many, spread evenly over the conditions.
        conditions: how many paths of the system.
        neurons: regions of interest, one neuron each.
        duration: seconds of a trial.
        frequency: Hz at which z oscillates.
        base_rate: Hz, the rate of every neuron where all latents are zero.
        sampling: "subframe" or "frame", see `undertow.data.imaging`.
        bin_width: seconds; 0.01 if not given, with sampling="frame" one frame.
        valid: the fraction of validation trials, taken within every condition.
        seed: paths, read-out, spikes, noise and split follow from it.
    """

    trials: int = 480
    conditions: int = 16
    neurons: int = 100
    duration: float = 0.9
    frequency: float = 5.0
    base_rate: float = 5.0
    sampling: str = "subframe"
    bin_width: float | None = None
    valid: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Refuse sizes and numbers that make no session; the sampling is looked after where events are laid into bins."""
        spikes.check_sizes(trials=self.trials, conditions=self.conditions, neurons=self.neurons)
        spikes.check_positive(duration=self.duration, bin_width=self.bin_width, frequency=self.frequency)
        spikes.check_positive(base_rate=self.base_rate)
        spikes.check_seed(self.seed)


class Microscope(NamedTuple):
    """What turns spikes into fluorescence, and fluorescence into events.

    Attributes:
        frame_rate: Hz.
        decay_time: seconds of the indicator's decay.
        gain: fluorescence of one spike.
        baseline: fluorescence without spikes.
        noise: standard deviation of a sample's noise.
        smallest: event that deconvolution may find, in standard deviations of the noise.
        delay: seconds before its time at which a sample is laid; half a frame if not given, for it sums up a whole one.
    """

    frame_rate: float = 30.0
    decay_time: float = 0.4
    gain: float = 1.0
    baseline: float = 1.0
    noise: float = 0.3
    smallest: float = 1.0
    delay: float | None = None

    def check(self) -> None:
        """Refuse numbers that make no microscope."""
        spikes.check_positive(frame_rate=self.frame_rate, decay_time=self.decay_time, gain=self.gain)
        spikes.check_positive(noise=self.noise)
        spikes.check_not_negative(baseline=self.baseline, smallest=self.smallest)

    def events(self, fluorescence: np.ndarray, offsets: np.ndarray, sampling: str) -> Events:
        """The deconvolved events of (frame, neuron), each neuron `offsets` seconds after its frame's beginning."""
        found = deconvolve(
            fluorescence, frame_rate=self.frame_rate, decay_time=self.decay_time, smallest=self.smallest
        )
        return microscope.events(
            np.arange(len(fluorescence)) / self.frame_rate,
            microscope.scaled(found.events),
            offsets,
            sampling=sampling,
            delay=0.5 / self.frame_rate if self.delay is None else self.delay,
            unit=microscope.SCALED,
        )


class Session(NamedTuple):
    """What lies behind a session: one path a condition, and which of them is shown when.

    Attributes:
        latents: (condition, sample, latent), of which trials show the end.
        source: (sample of the session,) index into all samples of `latents`, condition after condition.
        starts: (trial,) sample of the session at which each trial begins.
        centre: (latent,) the mean of the system's own states.
        scale: (latent,) what they were divided by.
    """

    latents: np.ndarray
    source: np.ndarray
    starts: np.ndarray
    centre: np.ndarray
    scale: np.ndarray


def imaging(**settings: Any) -> xr.Dataset:
    """Trials of regions of interest, with their true rates and latents.

    Args:
        **settings: of `Design` and of `Microscope`, by name.

    Returns:
        Trials whose counts are events, with `condition`, `split`, `true_rates` (Hz: spikes) and `true_latents` (the mean of z
        over a bin).
    """
    bound = signature_of(Design, Microscope, defaults={}).bind(**settings)
    bound.apply_defaults()
    design = Design(**settings_of(Design, bound.arguments))
    optics = Microscope(**settings_of(Microscope, bound.arguments))
    design.check()
    optics.check()
    width = design.bin_width or (1 / optics.frame_rate if design.sampling == "frame" else 0.01)
    bins = int(design.duration / width + 1e-6)
    if bins < 1:
        raise UndertowError(
            f"A trial of {design.duration} s holds no bin of {width:.4g} s; give longer trials or narrower bins."
        )
    return _trials(design, optics, width, bins)


imaging.__signature__ = signature_of(Design, Microscope, defaults={})


def _trials(design: Design, optics: Microscope, width: float, bins: int) -> xr.Dataset:
    """The session, cut like any other recording, and its truth in the same bins."""
    starts, readout, draws, splits = map(np.random.default_rng, np.random.SeedSequence(design.seed).spawn(4))
    order = splits.permutation(spikes.conditions_of_trials(design.trials, design.conditions))
    session = _session(order, design, 1 / optics.frame_rate, starts)
    rates = lorenz.sample_rates(session.latents, lorenz.loadings(design.neurons, readout), design.base_rate)
    offsets = np.sort(draws.random(design.neurons)) / optics.frame_rate
    fluorescence = _fluorescence(rates, session.source, offsets, optics, draws)
    recording = Recording(
        [],
        pd.DataFrame({"line_offset": offsets}),
        session="imaging",
        tables={"trials": _table(session.starts, bins * width, order, design.valid, splits)},
        events=optics.events(fluorescence, offsets, design.sampling),
    )
    recorded = cut(recording, bin_width=width, align="start_time", window=(0.0, bins * width))
    lead = session.latents.shape[1] - round(design.duration / SAMPLE)
    edges = lead + np.arange(bins + 1) * (width / SAMPLE)
    of_law = truth.attributes(
        "lorenz63", {}, session.centre, session.scale, design.frequency * PERIOD * width
    )
    return recorded.assign(
        true_rates=(("trial", "time", "neuron"), _bin_means(rates, edges)[order]),
        true_latents=(("trial", "time", "latent"), _bin_means(session.latents, edges)[order]),
    ).assign_attrs(of_law)


def _session(order: np.ndarray, design: Design, frame: float, generator: np.random.Generator) -> Session:
    """Trials of the conditions in `order` one after the other, each at a random phase of the frame (seconds)."""
    shown, conditions = round(design.duration / SAMPLE), design.conditions
    samples = shown + round((BETWEEN + frame) / SAMPLE)
    law = lorenz63.law()
    start = integration.starts(law, conditions, generator)
    still = np.empty((conditions, samples, 0))
    states = integration.path(law, start, still, bin_time=SAMPLE * design.frequency * PERIOD, steps=2)
    centre, scale = lorenz.normalisation(states)
    skipped = generator.integers(0, round(frame / SAMPLE), len(order))
    source = np.concatenate(
        [which * samples + np.arange(late, samples) for which, late in zip(order, skipped, strict=True)]
    )
    starts = np.cumsum(samples - skipped) - shown
    return Session((states - centre) / scale, source, starts, centre, scale)


def _fluorescence(
    rates: np.ndarray,
    source: np.ndarray,
    offsets: np.ndarray,
    optics: Microscope,
    generator: np.random.Generator,
) -> np.ndarray:
    """(frame, neuron), each neuron at its own time in every frame that the session completes."""
    frames = int(len(source) * SAMPLE * optics.frame_rate)
    seen = np.empty((frames, len(offsets)), np.float32)
    fall = np.exp(-SAMPLE / optics.decay_time)
    for neuron, offset in enumerate(offsets):
        expected = rates[:, :, neuron].reshape(-1)[source] * SAMPLE
        calcium = signal.lfilter([1.0], [1.0, -fall], generator.poisson(expected))
        moments = ((np.arange(frames) / optics.frame_rate + offset) / SAMPLE).astype(int)
        seen[:, neuron] = optics.baseline + optics.gain * calcium[np.minimum(moments, len(source) - 1)]
    return seen + optics.noise * generator.standard_normal(seen.shape, dtype=np.float32)


def _table(
    starts: np.ndarray, duration: float, order: np.ndarray, valid: float, generator: np.random.Generator
) -> pd.DataFrame:
    """The trial table of the session."""
    return pd.DataFrame(
        {
            "start_time": starts * SAMPLE,
            "stop_time": starts * SAMPLE + duration,
            "condition": order,
            "split": spikes.split_within(order, valid, generator),
        }
    )


def _bin_means(paths: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means of (condition, sample, column) between edges that need not lie on samples: (condition, bin, column) float32."""
    sums = np.concatenate([np.zeros_like(paths[:, :1]), np.cumsum(paths, axis=1)], axis=1)
    lower = np.minimum(edges.astype(int), sums.shape[1] - 2)
    share = (edges - lower)[None, :, None]
    at_edges = (1 - share) * sums[:, lower] + share * sums[:, lower + 1]
    return (np.diff(at_edges, axis=1) / np.diff(edges)[None, :, None]).astype(np.float32)
