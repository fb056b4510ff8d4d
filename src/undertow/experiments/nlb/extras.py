"""Two scores that the benchmark lacks, from a run's estimate: few-shot co-smoothing and cycle consistency."""

import numpy as np
import xarray as xr

from undertow.evaluation.cycle_consistency import cycle_consistency
from undertow.evaluation.few_shot import few_shot_co_smoothing
from undertow.experiments.nlb.submission import PHASES

SHOTS = 20
"""Trials from which the read-out to held-out neurons is learned; fewer where there are fewer."""

SMALLEST_RATE = 1e-4  # Hz


def extras(estimate: xr.Dataset, trials: xr.Dataset, held_out: np.ndarray, phase: str) -> dict[str, float]:
    """The two scores on the evaluated trials of a phase.

    Args:
        estimate: of all `trials`. Models without factors are judged by the log rates of their held-in neurons.
        trials: as prepared.
        held_out: (evaluated trial, time, held-out neuron) counts, the targets; NaN = not scored.
        phase: "val" or "test".

    Returns:
        "few-shot co-bps" (bits per spike), and "cycle R2" (variance-weighted) where the model has factors.
    """
    is_held_out, forward = trials.held_out.values, trials.forward.values
    rates, counts = (data[:, ~forward] for data in (estimate.rates.values, trials.counts.values))
    has_factors = "factors" in estimate
    latents = (
        estimate.factors.values[:, ~forward]
        if has_factors
        else np.log(np.maximum(rates[:, :, ~is_held_out], SMALLEST_RATE))
    )
    training, evaluated = (np.isin(trials.split.values.astype(str), splits) for splits in PHASES[phase])
    shots = min(SHOTS, int(training.sum()))
    few = few_shot_co_smoothing(
        latents[training], counts[training][:, :, is_held_out], latents[evaluated], held_out, shots=shots
    )
    scores = {"few-shot co-bps": few.mean}
    if has_factors:
        cycle = cycle_consistency(latents[training], rates[training], latents[evaluated], rates[evaluated])
        scores["cycle R2"] = cycle.variance_weighted
    return scores
