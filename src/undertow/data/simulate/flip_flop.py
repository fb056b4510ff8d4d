"""A flip-flop of several bits: bistable units that known pulses set to -1 or 1, in a rotated space.

    dm_i/dt = m_i - m_i^3 + u_i      x = Q m, Q a random rotation

A unit stays at -1 or 1 and is unstable at 0, so that the 3^bits combinations are all the fixed points: nodes where no
unit is at 0, saddles elsewhere. A pulse has the height +-`PULSE` and lasts `LENGTH` units of time, enough to carry a
unit across. This is the memory task of Sussillo & Barak 2013 as an equation instead of a trained network.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from undertow.data.simulate import spikes
from undertow.data.simulate.law import Law, rotation
from undertow.vocabulary import UndertowError

PULSE, LENGTH = 4.0, 0.75
PULSED = 0.4  # the chance that a bit gets a pulse within two lengths of one
MOST_BITS = 6


def law(*, bits: int = 3, seed: int = 0) -> Law:
    """The flip-flop with so many bits, in a space rotated as the seed says."""
    spikes.check_sizes(bits=bits)
    if bits > MOST_BITS:
        raise UndertowError(
            f"A flip-flop of {bits} bits has 3^{bits} fixed points; choose at most {MOST_BITS} bits."
        )
    turned = rotation(bits, seed)

    def velocity(state: np.ndarray) -> np.ndarray:
        units = state @ turned
        return (units - units * units * units) @ turned.T

    def jacobian(state: np.ndarray) -> np.ndarray:
        units = state @ turned
        return (turned * (1 - 3 * units * units)[..., None, :]) @ turned.T

    def push(state: np.ndarray, inputs: np.ndarray) -> np.ndarray:  # noqa: ARG001 - the same at every state
        return inputs @ turned.T

    def start(count: int, generator: np.random.Generator) -> np.ndarray:
        units = generator.choice([-1.0, 1.0], (count, bits))
        return (units + 0.1 * generator.standard_normal((count, bits))) @ turned.T

    def drive(shape: tuple[int, int], bin_time: float, generator: np.random.Generator) -> np.ndarray:
        return pulses((*shape, bits), max(1, round(LENGTH / bin_time)), generator)

    points = np.array(list(product((-1.0, 0.0, 1.0), repeat=bits))) @ turned.T
    return Law(velocity, jacobian, points, 1.0, start, push=push, drive=drive)


def pulses(shape: tuple[int, int, int], length: int, generator: np.random.Generator) -> np.ndarray:
    """Pulses (trial, time, bit) of `length` bins, at most one of each bit in every two lengths."""
    trials, bins, bits = shape
    slots = -(-bins // (2 * length))
    signs = generator.choice([-1.0, 0.0, 1.0], (trials, slots, bits), p=[PULSED / 2, 1 - PULSED, PULSED / 2])
    onsets = generator.integers(0, length, (trials, slots, 1, bits), endpoint=True)
    places = np.arange(2 * length)[:, None]
    is_on = (places >= onsets) & (places < onsets + length)
    return (PULSE * signs[:, :, None] * is_on).reshape(trials, -1, bits)[:, :bins]
