"""Held-out neurons and co-smoothing: predict neurons that the encoder never sees.

    python examples/held_out_neurons.py

A quarter of the neurons is hidden from the encoder, in training and afterwards. The fit is selected on them, and scored on them
beside a Poisson regression on smoothed counts. This is the score that copying cannot reach.
"""

import tempfile

import undertow as ut


def main(epochs: int = 120) -> dict[str, float]:
    """Fit with held-out neurons; co-smoothing (bits per spike) on validation trials, by whom."""
    trials = ut.simulate.SYSTEMS["lorenz"](trials=320, conditions=16, neurons=40, base_rate=12.0, seed=2)
    trials = ut.hold_out(trials, neurons=0.25, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        fitted = ut.fit(
            ut.LFADS(factors=6, generator=48, inferred_inputs=0),
            trials,
            out=folder,
            training=ut.Training(epochs=epochs, batch_size=32),
            objective=ut.Objective(kl_ramp=10, penalty_ramp=10),
        )
        estimate = fitted.infer(trials, samples=20)

    scores = ut.evaluate(estimate, trials, yardstick=ut.yardstick(trials), splits=["valid"])["valid"]
    return {"LFADS": scores["model"]["co_smoothing"], "regression": scores["yardstick"]["co_smoothing"]}


if __name__ == "__main__":
    for who, value in main().items():
        print(f"{who}: co-smoothing {value:.3f} bits per spike")
