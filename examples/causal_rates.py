"""A causal model: rates at each moment that depend on nothing later.

    python examples/causal_rates.py

Fits LFADS with forward encoders only, then changes every count of the second half of each trial. The rates of the first half must
not change at all.
"""

import tempfile

import numpy as np

import undertow as ut


def main(epochs: int = 10) -> dict[str, float]:
    """The largest change of a rate (Hz) before and after the moment at which the counts were changed."""
    trials = ut.simulate.SYSTEMS["lorenz"](trials=160, conditions=16, neurons=20, seed=3)
    with tempfile.TemporaryDirectory() as folder:
        fitted = ut.fit(
            ut.LFADS(causal=True, lag=0, factors=6, generator=32, inferred_inputs=2, controller=32),
            trials,
            out=folder,
            training=ut.Training(epochs=epochs, batch_size=32),
            objective=ut.Objective(kl_ramp=2, penalty_ramp=2),
        )
        changed = trials.copy(deep=True)
        half = trials.sizes["time"] // 2
        changed["counts"][:, half:] = 5.0
        difference = np.abs(fitted.infer(changed, samples=5).rates - fitted.infer(trials, samples=5).rates)
    return {"before": float(difference[:, :half].max()), "after": float(difference[:, half:].max())}


if __name__ == "__main__":
    for when, change in main().items():
        print(f"{when}: the largest change of a rate is {change:.3g} Hz")
