"""Two scores that the benchmark lacks, from a run's estimate: few-shot co-smoothing and cycle consistency."""

import numpy as np
import xarray as xr

from undertow.evaluation.cycle_consistency import cycle_consistency
from undertow.evaluation.few_shot import few_shot_co_smoothing
from undertow.experiments.nlb.submission import PHASES

SHOTS = 20
"""Trials from which the read-out to held-out neurons is learned; fewer where there are fewer."""


def extras(estimate: xr.Dataset, trials: xr.Dataset, held_out: np.ndarray, phase: str) -> dict[str, float]:
    """The two scores on the evaluated trials of a phase.

    Args:
        estimate: of all `trials`.
        trials: as prepared.
        held_out: (evaluated trial, time, held-out neuron) counts, the targets; NaN = not scored.
        phase: "val" or "test".

    Returns:
        "few-shot co-bps" (bits per spike) and "cycle R2" (variance-weighted); nothing for a model without factors.
    """
    if "factors" not in estimate:
        return {}
    is_held_out, forward = trials.held_out.values, trials.forward.values
    factors, rates = (estimate[name].values[:, ~forward] for name in ("factors", "rates"))
    counts = trials.counts.values[:, ~forward][:, :, is_held_out]
    training, evaluated = (np.isin(trials.split.values.astype(str), splits) for splits in PHASES[phase])
    few = few_shot_co_smoothing(
        factors[training],
        counts[training],
        factors[evaluated],
        held_out,
        shots=min(SHOTS, int(training.sum())),
    )
    cycle = cycle_consistency(factors[training], rates[training], factors[evaluated], rates[evaluated])
    return {"few-shot co-bps": few.mean, "cycle R2": cycle.variance_weighted}
