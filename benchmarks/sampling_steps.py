"""How long GNOCCHI takes to sample, and what few steps cost.

    python benchmarks/sampling_steps.py RUN [--trials 2000] [--bins 140] [--neurons 182] [--of 128]

RUN is the GNOCCHI of `benchmarks/generated_spikes.py FOLDER --models gnocchi`, FOLDER/lorenz-gnocchi. First, seconds for `trials`
trials of `bins` bins, of a model of its configuration for `neurons` neurons whose weights are as they begin (they make no
difference to the time): at temperature 1 in 32 steps, and at temperature 0. A published autoregressive sampler takes 10.3 s for
2,000 trials of 140 bins and 182 neurons, a diffusion in 1,000 steps 330 s, both on a GPU.

Then quality, of the run itself: `of` trials at temperature 1 from codes of its prior, in 16, 32 and 64 steps of each sampler
from the same noise: how far the activity is from that of 1,000 steps of DDIM (root mean square, in its standard deviations),
and its standard deviation over that of recorded activity, smoothed alike (a mean over neurons).
"""

import argparse
import dataclasses
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import undertow as ut
from undertow.evaluation.smoothing import smooth
from undertow.experiments import cache, coding
from undertow.models.base import DataSummary

STEPS, MANY = (16, 32, 64), 1000
SAMPLERS = ("dpm", "heun", "ddim")


def main() -> None:
    """Print seconds, then a line for each sampler and number of steps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--bins", type=int, default=140)
    parser.add_argument("--neurons", type=int, default=182)
    parser.add_argument("--of", type=int, default=128)
    arguments = parser.parse_args()
    cache.switch_on()
    fitted = ut.open(arguments.run)
    _show_times(fitted, arguments)
    _show_quality(fitted, arguments.of)


def _show_times(fitted, arguments) -> None:
    neurons, bins = arguments.neurons, arguments.bins
    ones = jnp.ones(neurons)
    summary = DataSummary(neurons, 0, ones, ones, bins=bins)
    model = fitted.model.config.build(summary, key=jax.random.key(0))
    session = dataclasses.replace(
        fitted.session, neurons=tuple(f"{number}" for number in range(neurons)), bins=bins
    )
    other = dataclasses.replace(fitted, model=model, session=session)
    codes = np.random.default_rng(0).normal(size=(arguments.trials, model.config.code)).astype(np.float32)
    for temperature in (1.0, 0.0):
        made = coding.with_choices(other, {"temperature": temperature, "steps": 32})
        seconds = []
        for _ in range(2):  # the first compiles
            start = time.perf_counter()
            coding.rates_of(made, codes, bins=bins, seed=0)
            seconds.append(time.perf_counter() - start)
        how = "32 steps" if temperature else "1 step"
        print(
            f"{arguments.trials} trials of {bins} bins x {neurons} neurons, temperature {temperature:g} ({how}): "
            f"{seconds[1]:.1f} s, {seconds[0]:.1f} s with compilation, on {jax.devices()[0].device_kind}",
            flush=True,
        )


def _show_quality(fitted, number: int) -> None:
    trials = ut.simulate.SYSTEMS["lorenz"](seed=7)
    width, counts = fitted.model.config.smoothing, trials.counts.values
    recorded = (smooth(counts, width) if width else counts) / fitted.session.bin_width
    deviation = recorded.std((0, 1))

    def made(**choices):
        sampled = fitted.sample(number, temperature=1.0, **choices)
        return sampled.true_rates.values

    exact = made(sampler="ddim", matched=False, steps=MANY)
    spread = exact.std((0, 1))

    def show(name, steps, found):
        away = np.sqrt(((found - exact) ** 2).mean((0, 1))) / spread
        print(
            f"{name:<5} {steps:>5} steps: {away.mean():.3f} from DDIM in {MANY}; deviation "
            f"{(found.std((0, 1)) / deviation).mean():.3f} of the recorded",
            flush=True,
        )

    show("ddim", MANY, exact)
    for sampler in SAMPLERS:
        for steps in STEPS:
            show(sampler, steps, made(sampler=sampler, steps=steps))


if __name__ == "__main__":
    main()
