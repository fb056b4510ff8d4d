"""Schedules against their published figures, and what samplers visit."""

import numpy as np
import pytest

from undertow.components.noise_levels import angles, visited
from undertow.vocabulary import UndertowError


def retained(kind, *, zero_terminal=False):
    """abar of every level."""
    return np.cos(angles(kind, 1000, zero_terminal=zero_terminal)) ** 2


def test_published_last_levels():
    """DDPM keeps 4.0e-5 of the signal's variance, InfoDiffusion 6.6e-3, the cosine 2.4e-9."""
    assert retained("linear")[-1] == pytest.approx(4.04e-5, rel=0.01)
    assert retained("linear_low")[-1] == pytest.approx(6.6e-3, rel=0.01)
    assert retained("cosine")[-1] == pytest.approx(2.4e-9, rel=0.05)


@pytest.mark.parametrize("kind", ["linear", "linear_low", "cosine", "edm"])
def test_levels_rise_and_a_zero_terminal_ends_in_pure_noise_and_keeps_the_first(kind):
    plain, moved = (angles(kind, 1000, zero_terminal=zero) for zero in (False, True))
    assert (np.diff(plain) > 0).all() and (np.diff(moved) > 0).all()
    assert moved[-1] == np.pi / 2 and plain[-1] < np.pi / 2
    assert moved[0] == pytest.approx(plain[0], rel=1e-6)


def test_edm_is_log_normal():
    ratio = np.log(np.tan(angles("edm", 10_000, zero_terminal=False)))
    assert ratio.mean() == pytest.approx(-0.5, abs=1e-3) and ratio.std() == pytest.approx(1.2, abs=5e-3)


@pytest.mark.parametrize("spacing", ["trailing", "karras", "angle"])
@pytest.mark.parametrize("steps", [1, 2, 20, 50, 1000])
def test_a_sampler_goes_from_the_noisiest_level_to_none_in_so_many_steps(spacing, steps):
    for schedule in (angles("cosine", 1000, zero_terminal=True), angles("linear", 1000, zero_terminal=False)):
        found = visited(schedule, steps, spacing)
        assert found.shape == (steps + 1,) and (np.diff(found) < 0).all()
        assert found[0] == pytest.approx(schedule[-1], abs=1e-6) and found[-1] == 0


def test_trailing_takes_every_so_manieth_level():
    schedule = angles("linear", 1000, zero_terminal=False)
    np.testing.assert_allclose(visited(schedule, 4, "trailing")[:-1], schedule[[999, 749, 499, 249]])


def test_no_levels_and_no_steps_are_refused():
    with pytest.raises(UndertowError, match="0 levels"):
        angles("cosine", 0, zero_terminal=True)
    with pytest.raises(UndertowError, match="0 steps"):
        visited(angles("cosine", 10, zero_terminal=True), 0, "angle")
