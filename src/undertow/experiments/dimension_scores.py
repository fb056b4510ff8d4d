"""What a fit of one latent size reached on the validation trials, and the curve that the fits of all sizes make.

The score is the first that the trials allow: R2 with the true rates (simulations), co-smoothing (held-out neurons), or bits
per spike of entries that are hidden from the encoder as coordinated dropout hides them in training: what it sees it could copy.
What is known of true latents is shown, but has no say.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from undertow.data.splits import select
from undertow.evaluation import trial_scores, truth
from undertow.evaluation.cycle_consistency import cycle_consistency
from undertow.evaluation.likelihood import mean_counts
from undertow.evaluation.size_choice import SizeCurve
from undertow.evaluation.trial_scores import TrialScores
from undertow.experiments.fitted import Fitted

LEAST_SHARE = 0.01  # of the log rates' variance: fainter traces of a latent do not count
HIDDEN = 0.3  # share of entries hidden to score a model that was trained without coordinated dropout


class SizeFit(NamedTuple):
    """What one fit reached on validation trials; `latent_r2` (from the true latents to the inferred) is None without a truth,
    `consistency` 0 where latents stand still."""

    size: int
    seed: int
    fitted: Fitted
    trial_scores: TrialScores
    consistency: float
    latent_r2: float | None


def measure(fitted: Fitted, trials: xr.Dataset, size: int, field: str) -> SizeFit:
    """The scores of one fit on the validation trials; maps are fitted on training trials, and test trials are not inferred.

    Args:
        fitted: of this size.
        trials: that it was fitted to.
        size: number of latents.
        field: the model's key of the size, which also names its latents in the estimate; else the factors are taken.
    """
    train, valid = _parts(fitted, trials, field)
    cycle = cycle_consistency(
        train.latents, train.rates, valid.latents, valid.rates, least_share=LEAST_SHARE
    ).variance_weighted
    latent_r2 = None
    if "true_latents" in trials:
        known = [part.told("true_latents") for part in (train, valid)]
        both = truth.latent_r2(valid.latents, known[1], fitted_on=(train.latents, known[0]))
        latent_r2 = both.true_to_inferred.variance_weighted
    of_trials = SCORES[score_of(trials)][1](fitted, train, valid)
    return SizeFit(size, fitted.recipe.seed, fitted, of_trials, float(np.nan_to_num(cycle)), latent_r2)


class _Part(NamedTuple):
    """The trials of one split, and their inferred rates and latents without the bins to be forecast."""

    trials: xr.Dataset
    rates: np.ndarray
    latents: np.ndarray

    @property
    def bin_width(self) -> float:
        return float(self.trials.attrs["bin_width"])

    def told(self, name: str) -> np.ndarray:
        return self.trials[name].values[:, ~self.trials.forward.values]


def _parts(fitted: Fitted, trials: xr.Dataset, field: str) -> tuple[_Part, _Part]:
    """Training and validation trials."""
    both = trials.isel(trial=np.flatnonzero(trials.split.values.astype(str) != "test"))
    estimate, is_told = fitted.infer(both), ~trials.forward.values
    rates = estimate.rates.values[:, is_told]
    latents = estimate[field if field in estimate else "factors"].values[:, is_told]
    is_valid = both.split.values.astype(str) == "valid"
    train, valid = (
        _Part(select(both, split), rates[chosen], latents[chosen])
        for split, chosen in (("train", ~is_valid), ("valid", is_valid))
    )
    return train, valid


def score_of(trials: xr.Dataset) -> str:
    """The name in `SCORES` of what sizes are compared by on these trials."""
    if "true_rates" in trials:
        return "rate_r2"
    return "co_smoothing" if trials.held_out.values.any() else "hidden_entries"


def _rate_r2(_fitted: Fitted, _train: _Part, valid: _Part) -> TrialScores:
    return trial_scores.rate_r2(valid.rates, valid.told("true_rates"))


def _co_smoothing(_fitted: Fitted, _train: _Part, valid: _Part) -> TrialScores:
    is_held_out = valid.trials.held_out.values
    rates, counts = valid.rates[..., is_held_out], valid.told("counts")[..., is_held_out]
    return trial_scores.bits_per_spike(rates, counts, bin_width=valid.bin_width)


def _hidden_entries(fitted: Fitted, train: _Part, valid: _Part) -> TrialScores:
    """Bits per spike over the training mean, of a share of each validation trial that is hidden: the same at every size."""
    rate = fitted.recipe.corruption.coordinated_dropout or HIDDEN
    counts = valid.trials.counts
    is_hidden = (np.random.default_rng(0).random(counts.shape) < rate) & counts.notnull().values
    shown = counts.copy(data=np.where(is_hidden, np.float32(0), counts.values / np.float32(1 - rate)))
    rates = fitted.infer(valid.trials.assign(counts=shown)).rates.values
    is_scored = is_hidden & ~valid.trials.forward.values[:, None]
    hidden = np.where(is_scored, counts.values, np.float32(np.nan))
    null = mean_counts(train.told("counts")) / valid.bin_width
    return trial_scores.bits_per_spike(rates, hidden, bin_width=valid.bin_width, null_rates=null)


SCORES: dict[str, tuple[str, Callable[[Fitted, _Part, _Part], TrialScores]]] = {
    "rate_r2": ("rate R²", _rate_r2),
    "co_smoothing": ("co-smoothing (bits per spike)", _co_smoothing),
    "hidden_entries": ("likelihood of hidden entries (bits per spike)", _hidden_entries),
}


def curve_of(groups: Sequence[Sequence[SizeFit]]) -> SizeCurve:
    """Averages over the fits of each size, one for each seed, and standard errors of differences over trials and seeds."""
    averages = [trial_scores.mean_of([one.trial_scores for one in group]) for group in groups]
    by_seed = np.array([[one.trial_scores.score for one in group] for group in groups])
    over_trials = np.array([[trial_scores.difference_error(a, b) for b in averages] for a in averages])
    over_seeds = np.zeros_like(over_trials)
    seeds = by_seed.shape[1]
    if seeds > 1:
        over_seeds = (by_seed[:, None] - by_seed[None]).std(axis=2, ddof=1) / np.sqrt(seeds)
    return SizeCurve(
        [group[0].size for group in groups],
        by_seed.mean(axis=1),
        np.array([np.mean([one.consistency for one in group]) for group in groups]),
        np.hypot(over_trials, over_seeds),
    )
