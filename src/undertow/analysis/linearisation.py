"""What the dynamics do close to a state: eigenvalues of the step, and how fast and in which manner they grow, decay and turn.

Close to a fixed point z* the law is linear: z' - z* = J (z - z*), with J the Jacobian of the step. Each eigenvalue of J is a
factor a bin, and its logarithm over the bin width is a growth in 1/s: where a trajectory goes along that direction as
exp(growth t). Its real part says how fast it leaves (positive) or settles (negative), its imaginary part how fast it turns.

The kind of a fixed point is that of textbooks, told by the leading eigenvalues, which are those with the largest real part on
either side of zero: what can be seen of a network of 200 units is not the turning of its fastest decaying directions.

* stable / unstable: all directions decay / grow; saddle: some decay and some grow.
* focus: the leading direction turns (for a saddle: one of the two); node: it does not.
* centre: nothing grows or decays.

Directions along which nothing grows or decays, such as that of a line of fixed points, do not count beside others that do.
"""

from typing import NamedTuple

import numpy as np

from undertow.analysis.law import jacobians, law_of
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError

SMALLEST_FACTOR = 1e-7
"""Eigenvalues closer to zero are taken to be so large: float32 knows no better beside others of about 1."""
NEUTRAL = 1e-5
"""The share of the fastest growth below which a growth is none."""
NEUTRAL_CYCLE = 1e-3
"""A turning direction that grows by less than this share of its angular speed, 0.6 % a cycle, does not grow."""
TURNING = 1e-2
"""A direction that turns by less than this angle in a time constant does not turn: equal eigenvalues come apart by rounding."""


class Linearisation(NamedTuple):
    """The dynamics close to each of some states; eigenvalues are those of the step, largest modulus first.

    `jacobians` (point, latent, latent) of the step; `eigenvalues` (point, latent) complex, a bin; `growth` (point, latent)
    complex, 1/s; `time_constants` (point, latent) in s: in how long it grows or decays by e; `frequencies` (point, latent) in
    Hz, of either sign; `kinds` one a point; `bin_width` in s.
    """

    jacobians: np.ndarray
    eigenvalues: np.ndarray
    growth: np.ndarray
    time_constants: np.ndarray
    frequencies: np.ndarray
    kinds: list[str]
    bin_width: float


def linearise(
    dynamics: LatentDynamics, states: np.ndarray, *, inputs: np.ndarray | None = None, bin_width: float
) -> Linearisation:
    """The dynamics close to each of `states` (point, latent), under `inputs` (input,), zero by default.

    Raises:
        UndertowError: states or inputs do not fit the dynamics, or a Jacobian there is not finite.
    """
    states = np.asarray(states)
    if states.ndim != 2 or states.shape[1] != dynamics.latents:
        raise UndertowError(
            f"The states have the shape {states.shape}, but the dynamics have {dynamics.latents} latents; "
            f"give them as (point, {dynamics.latents})."
        )
    found = jacobians(law_of(dynamics, inputs), states)
    is_known = np.isfinite(found).all(axis=(1, 2))
    if not is_known.all():
        raise UndertowError(
            f"The dynamics have no finite Jacobian at {int((~is_known).sum())} of {len(states)} states; "
            "give states close to the data."
        )
    return of_jacobians(found, bin_width=bin_width)


def of_jacobians(jacobians: np.ndarray, *, bin_width: float) -> Linearisation:
    """The same from Jacobians of the step (point, latent, latent)."""
    eigenvalues = sorted_eigenvalues(jacobians)
    growth = growth_of(eigenvalues, bin_width)
    with np.errstate(divide="ignore"):
        time_constants = 1 / np.abs(growth.real)
    return Linearisation(
        jacobians=jacobians,
        eigenvalues=eigenvalues,
        growth=growth,
        time_constants=time_constants,
        frequencies=growth.imag / (2 * np.pi),
        kinds=[kind_of(each) for each in growth],
        bin_width=bin_width,
    )


def sorted_eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Eigenvalues (point, latent), complex, of matrices (point, latent, latent): largest modulus first."""
    eigenvalues = np.linalg.eigvals(np.asarray(matrices, np.float64)).astype(np.complex128)
    order = np.argsort(-np.abs(eigenvalues), axis=-1, kind="stable")
    return np.take_along_axis(eigenvalues, order, axis=-1)


def growth_of(eigenvalues: np.ndarray, bin_width: float) -> np.ndarray:
    """Complex growth in 1/s from eigenvalues of the step, which are factors a bin of `bin_width` seconds."""
    modulus = np.maximum(np.abs(eigenvalues), SMALLEST_FACTOR)
    return (np.log(modulus) + 1j * np.angle(eigenvalues)) / bin_width


def kind_of(growth: np.ndarray) -> str:
    """The kind of a fixed point from its complex growth (latent,): see the module."""
    growth = np.asarray(growth, np.complex128)
    is_neutral = np.abs(growth.real) <= np.maximum(
        NEUTRAL * np.abs(growth).max(initial=0), NEUTRAL_CYCLE * np.abs(growth.imag)
    )
    leaving = growth[~is_neutral & (growth.real > 0)]
    settling = growth[~is_neutral & (growth.real < 0)]
    if not len(leaving) and not len(settling):
        return "centre"
    turns = any(_turns(side[side.real.argmax()]) for side in (leaving, settling) if len(side))
    if len(leaving) and len(settling):
        return "saddle focus" if turns else "saddle"
    return f"{'unstable' if len(leaving) else 'stable'} {'focus' if turns else 'node'}"


def _turns(growth: complex) -> bool:
    return abs(growth.imag) > TURNING * abs(growth.real)
