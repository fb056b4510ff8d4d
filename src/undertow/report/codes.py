"""What a report is told of the codes of trials: where trials lie, what is read from them, a walk, and generated trials.

`experiments/codes_record.py` fills these in; nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from undertow.evaluation.generation import Comparison


@dataclass(frozen=True)
class Read:
    """A behaviour (trial,) as it was `recorded` and as a line reads it from the code, NaN where that line was fitted; R2 of
    the trials that were read.
    """

    name: str
    is_angle: bool
    recorded: np.ndarray
    read: np.ndarray
    r2: float


@dataclass(frozen=True)
class Paths:
    """Behaviour over time along a walk, (step, time, channel) each, the average over trials; NaN where nothing is known.

    `recorded` is the behaviour of recorded trials near each step, `of_recorded` what the decoder reads from their activity, and
    `of_generated` what it reads from the activity of the walk. `r2` is the decoder's, on the trials of `of_recorded`; `read_from`
    says which they are. `plane` holds the places of two channels that are a position, where there are two.
    """

    channels: tuple[str, ...]
    recorded: np.ndarray
    of_recorded: np.ndarray
    of_generated: np.ndarray
    r2: float
    read_from: str
    plane: tuple[int, int] | None


@dataclass(frozen=True)
class Walk:
    """Activity while one behaviour is moved through the values `asked` (step,) and others are to stay.

    Attributes:
        behaviour: what moves.
        is_angle: whether it is an angle, in radians.
        asked: (step,) its values.
        time: (time,) seconds.
        source: number of the trial that is shown step by step.
        counts: (step, time, neuron) spikes drawn for this trial, neurons by the step at which they fire most.
        rates: (step, time, neuron) Hz, the rates that they were drawn from.
        neurons: (neuron,) names, in the same order.
        changed: names of the neurons that change most along the walk.
        recorded: (step, time, changed neuron) Hz, smoothed counts of recorded trials near each step, their average.
        generated: (step, time, changed neuron) Hz, the average over the trials of the walk.
        near: (step,) how many recorded trials are near each step.
        read: (step, trial) the behaviour, read again from the generated spikes; an angle is unrolled.
        others: behaviours that were to stay, each with how far it moves while the walked one moves by one of its standard
            deviations, in its own.
        monotonicity: Spearman's correlation of what is read again with the step; 1 if it always rises.
        outside: the share of the walk's codes that are far beyond all training codes, seen from their mean.
        paths: behaviour over time, None where none was recorded.
    """

    behaviour: str
    is_angle: bool
    asked: np.ndarray
    time: np.ndarray
    source: int
    counts: np.ndarray
    rates: np.ndarray
    neurons: np.ndarray
    changed: tuple[str, ...]
    recorded: np.ndarray
    generated: np.ndarray
    near: np.ndarray
    read: np.ndarray
    others: Mapping[str, float]
    monotonicity: float
    outside: float
    paths: Paths | None


@dataclass(frozen=True)
class Generated:
    """Trials drawn from the model beside recorded ones.

    Attributes:
        time: (time,) seconds.
        neurons: (neuron,) names, by the time of their peak in recorded trials.
        recorded: (shown trial, time, neuron) counts.
        generated: (shown trial, time, neuron) counts.
        averages: (2, time, neuron) Hz, smoothed and averaged over all trials: recorded, generated.
        rates: (2, neuron) Hz, mean rates.
        deviations: (2, neuron) Hz, standard deviations over trials of a trial's mean rate.
        correlations: (2, pair) of the counts of two neurons; at most a few thousand pairs.
        statistics: by name, as `evaluation.generation.compare` gives them; empty where they can't be had.
        note: why not, or "".
        sizes: how many recorded and generated trials were compared.
    """

    time: np.ndarray
    neurons: np.ndarray
    recorded: np.ndarray
    generated: np.ndarray
    averages: np.ndarray
    rates: np.ndarray
    deviations: np.ndarray
    correlations: np.ndarray
    statistics: Mapping[str, Comparison]
    note: str
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Codes:
    """The codes of trials.

    Attributes:
        dimension: numbers in a code.
        plane: (trial, 2) where each trial lies in the plane that is drawn, in standard deviations.
        axes: titles of the plane's directions.
        spread: (dimension,) standard deviations of the code over training trials.
        is_left_out: (trial,) bool, whether the readings' trials were kept from all fits (validation trials); all False where
            there are too few, and readings come from five folds.
        behaviours: those that are drawn, the best-read first.
        r2: of every behaviour.
        walk: None where no behaviour can be moved.
        generated: beside recorded trials; None where no spikes can be drawn.
    """

    dimension: int
    plane: np.ndarray
    axes: tuple[str, str]
    spread: np.ndarray
    is_left_out: np.ndarray
    behaviours: tuple[Read, ...]
    r2: Mapping[str, float]
    walk: Walk | None
    generated: Generated | None
