"""What an analysis looks at: trials, their latents, and which of them fit and score linear maps."""

import json
from typing import NamedTuple

import numpy as np
import xarray as xr

from undertow.data import store
from undertow.experiments.fitted import Fitted
from undertow.experiments.inference import for_session
from undertow.experiments.material import fingerprint
from undertow.vocabulary import UndertowError


class Subject(NamedTuple):
    """Trials without the bins to be forecast, their estimate, and which of them fit and score linear maps, by index."""

    trials: xr.Dataset
    estimate: xr.Dataset
    fitting: np.ndarray
    scored: np.ndarray
    scored_split: str

    @property
    def latents(self) -> np.ndarray:
        """(trial, time, latent)."""
        return self.estimate.latents.values

    @property
    def states(self) -> np.ndarray:
        """(state, latent), NaN after a trial's end."""
        return self.latents.reshape(-1, self.latents.shape[-1])


def is_own(fitted: Fitted, trials: xr.Dataset) -> bool:
    """Whether these are the trials of the fit."""
    path = fitted.folder / "provenance.json"
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")).get(
        "trials_fingerprint"
    ) == fingerprint(trials)


def subject_of(fitted: Fitted, trials: xr.Dataset, estimate: xr.Dataset | None) -> Subject:
    """The trials in the model's order with their latents: those of `estimate`, the run's own, or inferred from posterior means.

    Raises:
        UndertowError: no training trials, trials of other neurons, or an estimate of others.
    """
    ordered = for_session(trials, fitted.session)
    split = ordered.split.values.astype(str)
    fitting = np.flatnonzero(split == "train")
    if not fitting.size:
        raise UndertowError(
            "Of these trials none has the split 'train', but linear maps are fitted to training trials; give those of the fit."
        )
    estimate = _estimate(fitted, trials) if estimate is None else estimate
    if "latents" not in estimate or estimate.rates.shape != ordered.counts.shape:
        raise UndertowError(
            f"The estimate (rates {estimate.rates.shape}, variables {list(estimate.data_vars)}) is not one of these trials with "
            f"latents {ordered.counts.shape}; leave it out, or infer it from them."
        )
    scored_split = "valid" if (split == "valid").any() else "train"
    bins = np.flatnonzero(~ordered.forward.values)
    return Subject(
        ordered.isel(time=bins),
        estimate.isel(time=bins).load(),
        fitting,
        np.flatnonzero(split == scored_split),
        scored_split,
    )


def _estimate(fitted: Fitted, trials: xr.Dataset) -> xr.Dataset:
    """The run's own where it is of these trials, else what the posterior's means say."""
    path = fitted.folder / "estimate.nc"
    if path.is_file() and is_own(fitted, trials):
        return store.open_estimate(path)
    return fitted.infer(trials, samples=0)
