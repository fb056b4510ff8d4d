"""Diffusion: what a denoiser is asked for, how its error is weighed, and the samplers that go from noise to data.

A denoiser answers `denoise(x, angle)`: for a noised sample x and the angle of its level (`noise_levels.py`) it gives one of

    noise      eps                                      velocity   alpha eps - sigma x_0 (Salimans and Ho 2022, arXiv 2202.00512)
    data       x_0

and `Clean.of` turns any of them into both x_0 and eps. The samplers are functions of (denoise, start, angles, key); `angles`
(step + 1) is what `noise_levels.visited` gives. With x_s the next and x_t the present sample:

* `ddim`: x_s = alpha_s x_0 + sigma_s eps, plus fresh noise for eta > 0 (Song et al. 2021, arXiv 2010.02502, eq. 12 and 16);
* `ddpm`: the same with eta = 1, which is ancestral sampling with the posterior's variance, right for any stride;
* `heun`: the same step with eps averaged over its two ends (Karras et al. 2022, algorithm 1): two evaluations a step but for
  the last;
* `dpm`: DPM-Solver++ of second order, multistep (Lu et al. 2022, arXiv 2211.01095, algorithm 2).

Both first-order samplers lose variance with few steps (cos(pi / 40)^20 = 0.94 of the deviation in 20 even ones, for standardised
data), since the x_0 in hand is a mean and the spread around it is left out. `matched` puts that back. The spread's mean over the
entries follows from how long the noise's answer is: with q = mean eps^2, V = (sigma_t / alpha_t)^2 (1 - q) (Bao et al. 2022,
arXiv
2201.06503). `ddpm` adds it to the fresh noise (their eq. 8); `ddim` lengthens eps until x_s has the second moment that is due,
alpha_s^2 E x_0^2 + sigma_s^2: our own rule, exact for Gaussian data at any stride.

`invert` runs DDIM backwards, from data to noise. Each of its steps is implicit, and repeating it makes the way there and back
exact.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.noise_levels import Level, at_angle, signal_to_noise

Target = Literal["noise", "data", "velocity"]
Weighting = Literal["even", "min_snr"]
SamplerKind = Literal["ddpm", "ddim", "heun", "dpm"]
Denoise = Callable[[Array, Array], Array]

SMALLEST = 1e-6
LEAST_SIGNAL = 1e-3
"""An alpha below which a level is pure noise."""


class Clean(NamedTuple):
    """What a denoiser's answer says: the data and the noise in a noised sample."""

    data: Array
    noise: Array

    @classmethod
    def of(cls, target: Target, answer: Array, noised: Array, level: Level) -> "Clean":
        """From the answer to the question that it was asked; at pure noise an answer "noise" says nothing of the data."""
        alpha, sigma = level
        if target == "velocity":
            return cls(alpha * noised - sigma * answer, sigma * noised + alpha * answer)
        if target == "data":
            return cls(answer, (noised - alpha * answer) / jnp.maximum(sigma, SMALLEST))
        return cls((noised - sigma * answer) / jnp.maximum(alpha, SMALLEST), answer)


def question(target: Target, clean: Array, noise: Array, level: Level) -> Array:
    """What the denoiser shall answer."""
    return {
        "noise": noise,
        "data": clean,
        "velocity": level.alpha * noise - level.sigma * clean,
    }[target]


def error_weight(target: Target, weighting: Weighting, level: Level, gamma: float = 5.0) -> Array:
    """The weight of the squared error at a level of signal-to-noise S.

    "even" weighs the answer's own error by 1. "min_snr" caps what low noise counts (Hang et al. 2023, arXiv 2303.09556): in terms
    of the error of x_0 the weight is min(S, gamma), that is min(S, gamma) / S of the noise's and min(S, gamma) / (S + 1) of the
    velocity's.
    """
    if weighting == "even":
        return jnp.ones_like(level.alpha)
    ratio = signal_to_noise(level)
    capped = jnp.minimum(ratio, gamma)
    return {
        "data": capped,
        "noise": jnp.where(ratio > 0, capped / jnp.maximum(ratio, SMALLEST), 1.0),
        "velocity": capped / (ratio + 1),
    }[target]


def cleaned(target: Target, network: Denoise) -> Callable[[Array, Array], Clean]:
    """A function of a noised sample and its angle that gives data and noise."""
    return lambda noised, angle: Clean.of(target, network(noised, angle), noised, at_angle(angle))


class Sampler(NamedTuple):
    """Which sampler, and its numbers.

    `eta` is the share of fresh noise in DDIM, `matched` as in this module's head; `temperature` a factor of all fresh noise.
    """

    kind: SamplerKind = "dpm"
    eta: float = 0.0
    matched: bool = True
    temperature: float = 1.0


def sample(
    sampler: Sampler,
    clean: Callable[[Array, Array], Clean],
    start: Float[Array, "..."],
    angles: Float[Array, " visit"],
    *,
    key: Key[Array, ""] | None = None,
) -> Float[Array, "..."]:
    """From pure noise `start` to data, through the levels of `angles`. Without a key no fresh noise is drawn."""
    step = _STEPS[sampler.kind]
    if sampler.kind == "ddpm":
        sampler = sampler._replace(eta=1.0)
    if sampler.temperature < 1:  # there the variance shall be less
        sampler = sampler._replace(matched=False)
    is_random = key is not None and sampler.eta > 0 and sampler.kind in ("ddpm", "ddim")

    def advance(carried, between):
        (state, before), (now, after, number) = carried, between
        noise = jax.random.normal(jax.random.fold_in(key, number), start.shape) if is_random else None
        noise = noise if noise is None else sampler.temperature * noise
        rule = sampler if is_random else sampler._replace(eta=0.0)
        state, before = step(clean, state, before, at_angle(now), at_angle(after), (rule, noise))
        return (state, before), None

    steps = angles.shape[0] - 1
    first = start, Memory(jnp.zeros_like(start), jnp.zeros(()))
    (end, _), _ = jax.lax.scan(advance, first, (angles[:-1], angles[1:], jnp.arange(steps)))
    return end


def invert(
    clean: Callable[[Array, Array], Clean],
    data: Float[Array, "..."],
    angles: Float[Array, " visit"],
    *,
    rounds: int = 8,
) -> Float[Array, "..."]:
    """The noise from which DDIM without fresh noise makes this `data`, through the same `angles`.

    Each step solves x_s = ddim(x_t) for x_t by fixed-point rounds; with none it is the usual inversion, which takes x_0 and eps
    at x_s.
    """

    def retreat(state, between):
        now, before = between
        here, there = at_angle(now), at_angle(before)
        is_noisy = there.sigma > there.alpha  # there x_0 is what x_t says least of, elsewhere eps

        def again(_, guess):
            found = clean(guess, before)
            noise = (state - here.alpha * found.data) / jnp.maximum(here.sigma, SMALLEST)
            data = (state - here.sigma * found.noise) / jnp.maximum(here.alpha, SMALLEST)
            return jnp.where(is_noisy, there.noised(found.data, noise), there.noised(data, found.noise))

        guess = there.noised(*clean(state, jnp.maximum(now, 0.5 * before)))
        return jax.lax.fori_loop(0, rounds, again, guess), None

    reverse = angles[::-1]
    return jax.lax.scan(retreat, data, (reverse[:-1], reverse[1:]))[0]


class Memory(NamedTuple):
    """What a multistep sampler keeps of the step before: its x_0 and its half log signal-to-noise step (0 at the first)."""

    data: Array
    stride: Array


def _ddim(clean, state, memory, now, after, chance):
    rule, noise = chance
    found = clean(state, now.angle)
    spread = rule.eta * _posterior_deviation(now, after)
    kept = jnp.sqrt(jnp.maximum(after.sigma**2 - spread**2, 0.0))
    length, left_out = _second_moment(found.noise, now)
    if rule.matched and noise is None:
        kept = _lengthened(after, now, length, left_out)
    moved = after.alpha * found.data + kept * found.noise
    if noise is None:
        return moved, memory
    carried = after.alpha - kept * now.alpha / jnp.maximum(now.sigma, SMALLEST)
    variance = spread**2 + (carried**2 * left_out if rule.matched else 0.0)
    return moved + jnp.sqrt(variance) * noise, memory


def _second_moment(noise: Array, now: Level) -> tuple[Array, Array]:
    """q, and the variance V of the data around x_0; no more than one, which standardised data have, and 0 at pure noise."""
    length = jnp.clip(jnp.mean(noise**2), SMALLEST, 1.0)
    has_signal = now.alpha > LEAST_SIGNAL
    ratio = now.sigma / jnp.where(has_signal, now.alpha, 1.0)
    return length, jnp.where(has_signal, jnp.minimum(ratio**2 * (1 - length), 1.0), 0.0)


def _lengthened(after: Level, now: Level, length: Array, left_out: Array) -> Array:
    """The factor of eps that gives x_s its second moment: the root k of q k^2 + 2 alpha_s c k = sigma_s^2 + alpha_s^2 V.

    c = E[x_0 eps] = sigma_t (1 - q) / alpha_t = V alpha_t / sigma_t, since E[x_t eps] = sigma_t.
    """
    shared = after.alpha * left_out * now.alpha / jnp.maximum(now.sigma, SMALLEST)
    due = after.sigma**2 + after.alpha**2 * left_out
    return (jnp.sqrt(shared**2 + length * due) - shared) / length


def _posterior_deviation(now: Level, after: Level) -> Array:
    """The standard deviation of q(x_s | x_t, x_0)."""
    stride = now.alpha / jnp.maximum(after.alpha, SMALLEST)
    return after.sigma / jnp.maximum(now.sigma, SMALLEST) * jnp.sqrt(jnp.maximum(1 - stride**2, 0.0))


def _heun(clean, state, memory, now, after, chance):  # noqa: ARG001 - every step answers the same call
    found = clean(state, now.angle)
    straight = after.noised(*found)

    def corrected():
        ahead = clean(straight, after.angle)
        mean = 0.5 * (found.noise + ahead.noise)
        ratio = after.alpha / jnp.maximum(now.alpha, SMALLEST)
        return ratio * state + (after.sigma - ratio * now.sigma) * mean

    is_plain = (after.sigma < SMALLEST) | (
        now.alpha < LEAST_SIGNAL
    )  # the last step, and the first from pure noise
    return jax.lax.cond(is_plain, lambda: straight, corrected), memory


def _dpm(clean, state, memory, now, after, chance):  # noqa: ARG001
    data = clean(state, now.angle).data
    shrink = now.alpha * after.sigma / jnp.maximum(after.alpha * now.sigma, SMALLEST)  # exp(-h)
    stride = -jnp.log(jnp.maximum(shrink, SMALLEST))
    is_inner = (memory.stride > 0) & (after.sigma > SMALLEST)
    half = 0.5 * stride / jnp.maximum(memory.stride, SMALLEST)
    mixed = jnp.where(is_inner, (1 + half) * data - half * memory.data, data)
    moved = after.sigma / now.sigma * state + after.alpha * (1 - shrink) * mixed
    is_finite_stride = now.alpha > LEAST_SIGNAL
    return moved, Memory(data, jnp.where(is_finite_stride, stride, 0.0))


_STEPS = {"ddpm": _ddim, "ddim": _ddim, "heun": _heun, "dpm": _dpm}
