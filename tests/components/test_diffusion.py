"""Samplers on a Gaussian whose scores are known exactly, inversion, and the questions a denoiser may be asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from undertow.components.diffusion import Clean, Sampler, cleaned, error_weight, invert, question, sample
from undertow.components.noise_levels import angles, at_angle, visited

MEAN, DRAWS = 1.0, 3000
TARGETS = ("noise", "data", "velocity")


def exact(deviation, target="velocity", mean=MEAN):
    """The best answer for data of N(mean, deviation^2)."""

    def network(noised, angle):
        level = at_angle(angle)
        variance = level.alpha**2 * deviation**2 + level.sigma**2
        away = (noised - level.alpha * mean) / variance
        noise, data = level.sigma * away, mean + level.alpha * deviation**2 * away
        return question(target, data, noise, level)

    return cleaned(target, network)


def start():
    """Noise of mean 0 and deviation 1, exactly."""
    noise = jax.random.normal(jax.random.key(0), (DRAWS,))
    return (noise - noise.mean()) / noise.std()


@pytest.mark.parametrize("deviation", [0.4, 0.7, 1.0])
@pytest.mark.parametrize("kind", ["ddpm", "ddim", "heun", "dpm"])
def test_every_sampler_recovers_mean_and_deviation_at_any_number_of_steps(kind, deviation):
    """Within 2 %; the fresh noise of DDPM adds its own chance, 2 / sqrt(draws) at most."""
    schedule = angles("cosine", 1000, zero_terminal=True)
    for steps in (20, 50, 1000):
        visits = jnp.asarray(visited(schedule, steps, "angle"), jnp.float32)
        found = sample(Sampler(kind), exact(deviation), start(), visits, key=jax.random.key(1))
        allowed = 0.02 + (2 / DRAWS**0.5 if kind == "ddpm" else 0.0)
        assert float(found.mean()) == pytest.approx(MEAN, abs=allowed)
        assert float(found.std()) == pytest.approx(deviation, rel=allowed)


def test_without_matching_ddim_loses_the_spread_that_theory_says():
    """Of standardised data each step of angle d keeps cos(d)."""
    visits = jnp.asarray(visited(angles("cosine", 1000, zero_terminal=True), 20, "angle"), jnp.float32)
    found = sample(Sampler("ddim", matched=False), exact(1.0, mean=0.0), start(), visits)
    assert float(found.std()) == pytest.approx(np.cos(np.pi / 40) ** 20, rel=1e-3)


def test_a_schedule_that_keeps_signal_at_its_end_shrinks_the_mean():
    """InfoDiffusion's last level keeps a = 0.081: from pure noise a mean of 1 comes back as 1 - s a / sqrt(a^2 s^2 + 1 - a^2)."""
    schedule, deviation = angles("linear_low", 1000, zero_terminal=False), 0.35
    visits = jnp.asarray(visited(schedule, 1000, "trailing"), jnp.float32)
    found = sample(Sampler("ddim", matched=False), exact(deviation), start(), visits)
    kept = np.cos(schedule[-1])
    expected = 1 - deviation * kept / np.sqrt(kept**2 * deviation**2 + 1 - kept**2)
    assert expected == pytest.approx(0.972, abs=1e-3)
    assert float(found.mean()) == pytest.approx(expected, abs=2e-3)


def test_strided_ddim_of_the_noise_alone_is_right_at_every_stride():
    """A data set of one point: the exact noise leads there in one step, or in any number."""
    schedule = angles("linear", 1000, zero_terminal=False)
    point = exact(1e-4, mean=0.7)
    for steps in (1, 7, 100):
        visits = jnp.asarray(visited(schedule, steps, "trailing"), jnp.float32)
        found = sample(Sampler("ddim", matched=False), point, start(), visits)
        np.testing.assert_allclose(found, 0.7, atol=2e-3)


@pytest.mark.parametrize("steps", [20, 100])
def test_inversion_and_back_returns_the_data(steps):
    visits = jnp.asarray(visited(angles("cosine", 1000, zero_terminal=True), steps, "angle"), jnp.float32)
    data = MEAN + 0.5 * jax.random.normal(jax.random.key(3), (200,))
    noise = invert(exact(0.5), data, visits)
    back = sample(Sampler("ddim", matched=False), exact(0.5), noise, visits)
    np.testing.assert_allclose(back, data, atol=1e-3)
    assert float(noise.std()) == pytest.approx(1.0, rel=0.25)  # first-order steps there, too


@pytest.mark.parametrize("target", TARGETS)
def test_data_and_noise_come_back_from_every_question(target):
    data, noise = jax.random.normal(jax.random.key(0), (2, 5))
    level = at_angle(jnp.float32(0.8))
    noised = level.noised(data, noise)
    found = Clean.of(target, question(target, data, noise, level), noised, level)
    np.testing.assert_allclose(found.data, data, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.noise, noise, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("weighting", ["even", "min_snr"])
def test_min_snr_weighs_the_same_error_the_same_whatever_is_asked(weighting):
    """The weights of noise, data and velocity, each times its own error, are equal for one and the same mistake."""
    level = at_angle(jnp.float32(0.5))
    data, noise = jax.random.normal(jax.random.key(0), (2, 5))
    noised = level.noised(data, noise)
    wrong = data + 0.1
    wrong_noise = (noised - level.alpha * wrong) / level.sigma
    errors = {
        target: float(
            error_weight(target, weighting, level)
            * jnp.mean(
                (question(target, wrong, wrong_noise, level) - question(target, data, noise, level)) ** 2
            )
        )
        for target in TARGETS
    }
    if weighting == "min_snr":
        assert errors["noise"] == pytest.approx(errors["data"], rel=1e-4)
        assert errors["velocity"] == pytest.approx(errors["data"], rel=1e-4)
    else:
        assert errors["noise"] != pytest.approx(errors["data"], rel=0.1)
