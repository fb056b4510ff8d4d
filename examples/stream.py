"""A causal model inside a loop: one bin in, one estimate out, and how long each took.

    python examples/stream.py

Fits LFADS with forward encoders only and a linear decoder of the simulation's state, then hands it the validation trials bin by
bin, as a brain-computer interface would. What it says is what it would have said of the whole trials at once.
"""

import tempfile
import time

import numpy as np

import undertow as ut


def main(epochs: int = 10) -> dict[str, float]:
    """The largest relative difference to the offline rates, and the latency of a bin: median and 99th percentile (ms)."""
    trials = ut.simulate.SYSTEMS["lorenz"](trials=160, conditions=16, neurons=20, seed=3)
    trials = trials.assign(behaviour=trials.true_latents.rename(latent="behaviour_channel"))
    trials = trials.assign_coords(behaviour_channel=["x", "y", "z"])
    with tempfile.TemporaryDirectory() as folder:
        fitted = ut.fit(
            ut.LFADS(causal=True, lag=0, factors=6, generator=32, inferred_inputs=2, controller=32),
            trials,
            out=folder,
            training=ut.Training(epochs=epochs, batch_size=32),
            objective=ut.Objective(kl_ramp=2, penalty_ramp=2),
        )
        valid = trials.isel(trial=np.flatnonzero(trials.split.values == "valid"))
        offline = fitted.infer(valid, samples=0).rates.values
        streamed, seconds = np.empty_like(offline), []
        with fitted.stream(decoder=fitted.decoder(trials, lags=(0, 1, 2))) as stream:
            for trial, counts in enumerate(valid.counts.values):
                for place, of_bin in enumerate(counts):
                    begun = time.perf_counter()
                    estimate = stream.predict(of_bin)  # .rates, .factors, .behaviour, ...
                    seconds.append(time.perf_counter() - begun)
                    streamed[trial, place] = estimate.rates
                stream.on_done()
    difference = float(np.abs(streamed / offline - 1).max())
    median, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
    return {"difference": difference, "median": float(median), "p99": float(p99)}


if __name__ == "__main__":
    found = main()
    print(f"streamed and offline rates differ by up to {found['difference']:.1e} (relative)")
    print(f"a bin took {found['median']:.3f} ms in the median, {found['p99']:.3f} ms at the 99th percentile")
