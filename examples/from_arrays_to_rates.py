"""From an array of counts to single-trial rates: the shortest way.

    python examples/from_arrays_to_rates.py

Simulates a small Lorenz experiment, keeps nothing of it but the counts and the true rates, and compares what LFADS and plain
smoothing make of the counts. Your own array takes the place of `counts`.
"""

import tempfile

import undertow as ut


def main(epochs: int = 120) -> dict[str, float]:
    """Fit, infer and score; the R2 of the rates on validation trials, by whom."""
    simulated = ut.simulate.SYSTEMS["lorenz"](trials=320, conditions=16, neurons=40, base_rate=12.0, seed=1)
    counts, true_rates = simulated.counts.values, simulated.true_rates.values

    trials = ut.trials(counts, bin_width=0.02, true_rates=true_rates)  # (trial, time, neuron)
    trials = ut.split(trials, valid=0.2, seed=0)
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
    return {"LFADS": scores["model"]["rate_r2"], "smoothing": scores["yardstick"]["rate_r2"]}


if __name__ == "__main__":
    for who, value in main().items():
        print(f"{who}: R2 with the true rates {value:.2f}")
