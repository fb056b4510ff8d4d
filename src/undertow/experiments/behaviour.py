"""Decoders of behaviour for streams: evaluation's ridge regression on rates as a stream estimates them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from undertow.evaluation.decoding import decode
from undertow.evaluation.r2 import r2
from undertow.experiments import replay
from undertow.experiments.inference import for_session
from undertow.streaming.decoder import LinearDecoder
from undertow.vocabulary import UndertowError, check_trials

if TYPE_CHECKING:
    from undertow.experiments.fitted import Fitted


def fit_decoder(
    fitted: Fitted, trials: xr.Dataset, *, lags: int | Sequence[int], window: int | None, delay: int
) -> LinearDecoder:
    """See `Fitted.decoder`."""
    every_lag = (int(lags),) if isinstance(lags, (int, np.integer)) else tuple(int(lag) for lag in lags)
    if not every_lag or min(every_lag) < 0:
        raise UndertowError(
            f"The decoder's lags are {list(every_lag)}, but a stream knows no later bins; give lags of 0 or more."
        )
    training = _training(for_session(check_trials(trials), fitted.session))
    rates = _streamed_rates(fitted, training, window, delay)
    truth = training.behaviour.values
    decoder = decode(rates, truth, rates[:1], truth[:1], lags=every_lag).decoder
    channels = tuple(str(name) for name in training.behaviour_channel.values)
    return LinearDecoder(every_lag, decoder.weights, decoder.intercept, channels)


def validation_r2(estimate: xr.Dataset, trials: xr.Dataset) -> float | None:
    """R2 of an estimate's behaviour on the validation trials among `trials`, the mean over channels; None without any."""
    chosen = np.flatnonzero(trials.split.values.astype(str) == "valid")
    if not chosen.size:
        return None
    return r2(estimate.behaviour.values[chosen], trials.behaviour.values[chosen]).mean


def _training(trials: xr.Dataset) -> xr.Dataset:
    if "behaviour" not in trials:
        raise UndertowError(
            "These trials hold no behaviour to decode; convert the recording again with --behaviour NAME."
        )
    training = trials.isel(trial=np.flatnonzero(trials.split.values.astype(str) == "train"))
    if not training.sizes["trial"]:
        raise UndertowError(
            "Of these trials none has the split 'train', but a decoder is fitted to training trials; give those of the fit."
        )
    return training


def _streamed_rates(fitted: Fitted, trials: xr.Dataset, window: int | None, delay: int) -> np.ndarray:
    """(trial, time, neuron) in Hz; the posterior means of a causal model are what its stream gives, and quicker together."""
    if window is not None:
        stream = fitted.stream(window=window, delay=delay)
        return replay.replay(stream, trials, fitted.session).estimate.rates.values
    fitted.stream(delay=delay)  # refuses what cannot stream, before anything is inferred
    return fitted.infer(trials, samples=0).rates.values
