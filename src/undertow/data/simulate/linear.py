"""A stable linear system that turns: planes with known eigenvalues, in a rotated space.

    dx/dt = Q A Q^T x      A has the blocks ((-d_k, -w_k), (w_k, -d_k)), w_k = 2 pi f_k, Q a random rotation

Its eigenvalues are -d_k +- i w_k, its fixed point is 0. Trials begin at random places and run down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from undertow.data.simulate.law import Law, around, rotation
from undertow.vocabulary import UndertowError


def law(
    *, frequencies: Sequence[float] = (1.0, 0.4), decays: Sequence[float] = (0.3, 0.15), seed: int = 0
) -> Law:
    """The system from the frequency (turns / unit of time) and the decay (1 / unit of time) of each plane."""
    _check_planes(frequencies, decays)
    turned = rotation(2 * len(frequencies), seed)
    flow = turned @ _planes(frequencies, decays) @ turned.T

    def velocity(state: np.ndarray) -> np.ndarray:
        return state @ flow.T

    def jacobian(state: np.ndarray) -> np.ndarray:
        return np.broadcast_to(flow, (*state.shape[:-1], *flow.shape))

    period = 1 / np.abs(frequencies).max()
    return Law(velocity, jacobian, np.zeros((1, len(flow))), period, around((0.0,) * len(flow), 1.0))


def _planes(frequencies: Sequence[float], decays: Sequence[float]) -> np.ndarray:
    """The block-diagonal A, (latent, latent)."""
    flow = np.zeros((2 * len(frequencies),) * 2)
    for plane, (frequency, decay) in enumerate(zip(frequencies, decays, strict=True)):
        turn = 2 * np.pi * frequency
        flow[2 * plane : 2 * plane + 2, 2 * plane : 2 * plane + 2] = [[-decay, -turn], [turn, -decay]]
    return flow


def _check_planes(frequencies: Sequence[float], decays: Sequence[float]) -> None:
    if np.ndim(frequencies) != 1 or np.shape(frequencies) != np.shape(decays) or not np.any(frequencies):
        raise UndertowError(
            f"The linear system has frequencies={frequencies!r} and decays={decays!r}; give two lists with one number "
            "for each plane, and a frequency that is not 0."
        )
    if min(decays) <= 0:
        raise UndertowError(
            f"The linear system has decays={decays!r}, with which it runs away; make them positive."
        )
