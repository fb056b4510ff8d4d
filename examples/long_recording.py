"""A long continuous recording: cut it into overlapping windows, fit them, and merge the estimates into one.

    python examples/long_recording.py

One trial of 80 s becomes windows of 1 s that overlap by 0.2 s. Validation windows are neighbours, because windows that overlap
share bins. The merged estimate lies on the time axis of the recording.
"""

import tempfile

import numpy as np
import xarray as xr

import undertow as ut


def main(epochs: int = 100) -> xr.Dataset:
    """Chop, fit, infer and merge; the estimate of the whole recording."""
    recording = continuous_recording(seconds=80.0)
    windows = ut.chop(recording, length=1.0, overlap=0.2)
    windows = ut.split(windows, valid=0.2, by="blocked", seed=0)
    with tempfile.TemporaryDirectory() as folder:
        fitted = ut.fit(
            ut.LFADS(factors=4, generator=32, inferred_inputs=1, controller=16, input_encoder=16),
            windows,
            out=folder,
            training=ut.Training(epochs=epochs, batch_size=16),
            objective=ut.Objective(kl_ramp=5, penalty_ramp=5),
        )
        return ut.merge(fitted.infer(windows, samples=20), recording)


def continuous_recording(seconds: float, neurons: int = 20, bin_width: float = 0.02) -> xr.Dataset:
    """One long trial of neurons that follow two slow rhythms."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds / bin_width)) * bin_width
    rhythms = np.stack([np.sin(2 * np.pi * 1.1 * time), np.cos(2 * np.pi * 0.7 * time)], axis=1)
    rates = 8.0 * np.exp(rhythms @ rng.normal(0.0, 0.7, (2, neurons)))
    counts = rng.poisson(rates * bin_width)
    return ut.trials(counts[None], bin_width=bin_width, true_rates=rates[None], start_time=[0.0])


if __name__ == "__main__":
    estimate = main()
    truth = continuous_recording(seconds=80.0).true_rates
    correlation = np.corrcoef(estimate.rates.values.ravel(), truth.values.ravel())[0, 1]
    print(f"{estimate.sizes['time']} bins in one piece; correlation with the true rates {correlation:.2f}")
