"""Inferred inputs: when was a chaotic network pushed?

    python examples/inferred_inputs.py

Each condition gives the network one short pulse at its own time. LFADS sees spikes only, and says when its own dynamics needed a
push. The score is the share of validation trials in which that is within two bins of the truth.
"""

import tempfile

import undertow as ut


def main(epochs: int = 60) -> float:
    """Simulate, fit and infer; the share of validation trials in which the pulse was found."""
    trials = ut.simulate.SYSTEMS["chaotic-rnn"](
        neurons=30, conditions=100, repeats=8, bins=40, bin_width=0.02, max_rate=60.0, pulses=True
    )
    with tempfile.TemporaryDirectory() as folder:
        fitted = ut.fit(
            ut.LFADS(factors=12, generator=64, inferred_inputs=1, controller=32, input_encoder=32),
            trials,
            out=folder,
            training=ut.Training(epochs=epochs, batch_size=32),
            objective=ut.Objective(kl_ramp=10, penalty_ramp=10),
        )
        estimate = fitted.infer(trials, samples=20)

    scores = ut.evaluate(estimate, trials, splits=["valid"])["valid"]["model"]
    return scores["pulse_within_2_bins"]


if __name__ == "__main__":
    print(f"The inferred input peaks within two bins of the pulse in {main():.0%} of the validation trials.")
