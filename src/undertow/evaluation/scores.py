"""All scores of an estimate, by name, beside those of the yardstick.

`evaluate` is the front door; `SCORES` is the table of what is computed, each entry a function from one `Case`
(an estimate of the trials of one split) to named numbers, or to none where the trials lack what it needs.

* `bits_per_spike`: neurons and bins that an encoder sees; `co_smoothing`: held-out neurons;
  `forward_prediction`: bins to be forecast. The null model is the mean over the evaluated counts; with
  `_over_training_mean` it is the mean in training.
* `rate_r2`: against true rates, the mean over neurons; not of imaging, whose events are in no unit of spikes.
* `latent_r2_inferred_to_true`, `latent_r2_true_to_inferred`: linear maps between factors and true latents,
  fitted on training trials, weighted by variance; `_mean` counts every dimension the same.
* `psth_r2`: condition averages against those of the counts of all trials, both smoothed by 50 ms;
  `psth_r2_of_training`: against those of training trials only.
* `decoding_r2`: behaviour from the expected counts per bin of all neurons (as the benchmark does), decoder
  fitted on training trials, the mean over channels.
* `pulse_within_2_bins`: the fraction of trials in which the inferred input peaks within two bins of the true
  pulse.

Everything but forward prediction leaves out the bins to be forecast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from undertow.evaluation import decoding, likelihood, psth, truth
from undertow.vocabulary import SPLITS, UndertowError, closest

TRAINING = "train"


@dataclass(frozen=True)
class Case:
    """An estimate of the trials of one split, with all it may be compared with.

    Attributes:
        estimate: of all trials; `vocabulary` names its variables.
        trials: the trials themselves.
        split: which of them are evaluated.
        lags: bins by which rates precede behaviour in decoding.
    """

    estimate: xr.Dataset
    trials: xr.Dataset
    split: str
    lags: int | Sequence[int] = 0

    @property
    def bin_width(self) -> float:
        """Seconds."""
        return float(self.trials.attrs["bin_width"])

    @property
    def forward(self) -> np.ndarray:
        """(time,) bool."""
        return self.trials.forward.values

    @property
    def has_training(self) -> bool:
        """Whether any trial is a training trial."""
        return bool((self.trials.split == TRAINING).any())

    def values(self, name: str, split: str | None = None) -> np.ndarray:
        """A variable of trials or estimate in the evaluated or another split, (trial, time, column)."""
        holder = self.trials if name in self.trials else self.estimate
        return holder[name].values[self.members(split)]

    def seen(self, name: str, split: str | None = None) -> np.ndarray:
        """As `values`, without the bins to be forecast."""
        values = self.values(name, split)
        return values[:, ~self.forward] if self.forward.any() else values

    def members(self, split: str | None = None) -> slice | np.ndarray:
        """The trials of a split: a slice where they are neighbours, else their indices."""
        indices = np.flatnonzero(self.trials.split.values == (split or self.split))
        neighbours = len(indices) and indices[-1] - indices[0] + 1 == len(indices)
        return slice(indices[0], indices[-1] + 1) if neighbours else indices


def evaluate(
    estimate: xr.Dataset,
    trials: xr.Dataset,
    *,
    yardstick: xr.Dataset | None = None,
    splits: Sequence[str] | None = None,
    lags: int | Sequence[int] = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """Every score that can be computed, as plain floats.

    Args:
        estimate: of all `trials`, with `rates` in Hz.
        trials: the trials that were estimated.
        yardstick: an estimate of the same trials to print beside it, see `undertow.evaluation.yardstick`.
        splits: which to score; by default those that the trials have.
        lags: bins by which rates precede behaviour in decoding.

    Returns:
        For each split, "model" and (where one was given) "yardstick", each a mapping of names to numbers.

    Raises:
        UndertowError: an estimate without rates or of other trials, or a split without trials.
    """
    present = [split for split in SPLITS if (trials.split == split).any()]
    for split in splits or ():
        if split not in present:
            raise UndertowError(f"No trial belongs to the split '{split}'; {closest(split, present)}")
    estimates = {"model": estimate} | ({} if yardstick is None else {"yardstick": yardstick})
    for who, candidate in estimates.items():
        _check(who, candidate, trials)
    return {
        split: {who: scores(Case(candidate, trials, split, lags)) for who, candidate in estimates.items()}
        for split in splits or present
    }


def scores(case: Case) -> dict[str, float]:
    """The numbers of every entry of `SCORES` that are defined in this case."""
    numbers = {name: float(number) for score in SCORES for name, number in score(case).items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _likelihoods(case: Case) -> dict[str, float]:
    """Bits per spike of what was seen, of held-out neurons and of bins to be forecast."""
    rates, counts, held_out = case.values("rates"), case.values("counts"), case.trials.held_out.values
    shown = {"forward": case.forward, "bin_width": case.bin_width}
    measures: dict[str, Callable[..., float]] = {
        "bits_per_spike": lambda null: likelihood.co_smoothing(
            rates, counts, held_out=~held_out, null_rates=null, **shown
        ),
    }
    if held_out.any():
        measures["co_smoothing"] = lambda null: likelihood.co_smoothing(
            rates, counts, held_out=held_out, null_rates=null, **shown
        )
    if case.forward.any():
        measures["forward_prediction"] = lambda null: likelihood.forward_prediction(
            rates, counts, null_rates=null, **shown
        )
    numbers = {name: measure(None) for name, measure in measures.items()}
    if case.has_training:
        null = likelihood.mean_counts(case.values("counts", TRAINING)) / case.bin_width
        numbers |= {f"{name}_over_training_mean": measure(null) for name, measure in measures.items()}
    return numbers


def _rates(case: Case) -> dict[str, float]:
    if "true_rates" not in case.trials or "event_unit" in case.trials.attrs:
        return {}
    return {"rate_r2": truth.rate_r2(case.seen("rates"), case.seen("true_rates")).mean}


def _latents(case: Case) -> dict[str, float]:
    if "true_latents" not in case.trials or "factors" not in case.estimate or not case.has_training:
        return {}
    training = case.seen("factors", TRAINING), case.seen("true_latents", TRAINING)
    both = truth.latent_r2(case.seen("factors"), case.seen("true_latents"), fitted_on=training)
    return {
        "latent_r2_inferred_to_true": both.inferred_to_true.variance_weighted,
        "latent_r2_inferred_to_true_mean": both.inferred_to_true.mean,
        "latent_r2_true_to_inferred": both.true_to_inferred.variance_weighted,
        "latent_r2_true_to_inferred_mean": both.true_to_inferred.mean,
    }


def _psths(case: Case) -> dict[str, float]:
    if "condition" not in case.trials.coords:
        return {}
    labels, repeats = np.unique(case.trials.condition.values, return_counts=True)
    if len(labels) < 2 or np.median(repeats) < 2:
        return {}
    named = {"psth_r2": slice(None)} | (
        {"psth_r2_of_training": case.members(TRAINING)} if case.has_training else {}
    )
    return {name: _psth_against(case, reference) for name, reference in named.items()}


def _psth_against(case: Case, reference: slice | np.ndarray) -> float:
    condition = case.trials.condition.values
    shared = np.isin(condition[case.members()], condition[reference])
    if not shared.any():
        return math.nan
    return psth.psth_r2(
        case.seen("rates"),
        condition[case.members()],
        counts=case.trials.counts.values[reference][:, ~case.forward],
        counts_condition=condition[reference],
        bin_width=case.bin_width,
        rates_smoothing=psth.SMOOTHING,
    ).mean


def _decoding(case: Case) -> dict[str, float]:
    if "behaviour" not in case.trials or not case.has_training:
        return {}
    training, evaluated = (
        (case.seen("rates", split) * case.bin_width, case.seen("behaviour", split))
        for split in (TRAINING, case.split)
    )
    if not all(np.isfinite(behaviour).any() for _, behaviour in (training, evaluated)):
        return {}
    return {"decoding_r2": decoding.decode(*training, *evaluated, lags=case.lags).r2.mean}


def _pulses(case: Case) -> dict[str, float]:
    if "true_inputs" not in case.trials or "inferred_inputs" not in case.estimate:
        return {}
    true = case.seen("true_inputs")
    has_one_pulse = (np.nan_to_num(true) != 0).any(axis=2).sum(axis=1) == 1
    if not has_one_pulse.all():
        return {}
    return {
        "pulse_within_2_bins": truth.fraction_within(truth.pulse_offsets(case.seen("inferred_inputs"), true))
    }


SCORES: tuple[Callable[[Case], dict[str, float]], ...] = (
    _likelihoods,
    _rates,
    _latents,
    _psths,
    _decoding,
    _pulses,
)


def _check(who: str, estimate: xr.Dataset, trials: xr.Dataset) -> None:
    if "rates" not in estimate:
        raise UndertowError(
            f"The estimate of the {who} has no 'rates' (found {list(estimate.data_vars)}); infer them first."
        )
    if estimate.rates.shape != trials.counts.shape:
        raise UndertowError(
            f"The rates of the {who} have the shape {estimate.rates.shape}, but the counts "
            f"{trials.counts.shape}; evaluate the estimate on the trials that it was inferred from."
        )
    if "neuron" in estimate.coords and not np.array_equal(estimate.neuron.values, trials.neuron.values):
        raise UndertowError(
            f"The neurons of the {who} are not those of the trials; evaluate the estimate on the trials "
            "that it was inferred from."
        )
