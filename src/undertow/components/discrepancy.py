"""How far the codes of a batch are from draws of their prior: the maximum mean discrepancy.

    MMD^2 = E k(c, c') + E k(p, p') - 2 E k(c, p)

over pairs of codes c and of prior draws p (Gretton et al. 2012), for codes of dimension L by one of the kernels

    infovae    exp(-|x - y|^2 / L^2)                                                  as published (InfoDiffusion; Zhao et al.
    2019)
    imq        mean over s in {.1 .2 .5 1 2 5 10} of C / (C + |x - y|^2), C = 2 L s   our default
    median     exp(-|x - y|^2 / m), m the median of |x - y|^2 between all pairs

The published kernel is nearly constant from 32 dimensions on and can't tell a collapsed code from a matched one
(benchmarks/RESULTS.md). "imq" and "median" leave out pairs of a point with itself (unbiased; can be below 0), "infovae" keeps
them, as published.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

DiscrepancyKind = Literal["imq", "infovae", "median"]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SMALLEST = 1e-12


def discrepancy_row(
    kind: DiscrepancyKind,
    codes: Float[Array, "trial code_dimension"],
    draws: Float[Array, "trial code_dimension"],
    own: Int[Array, ""],
) -> Float[Array, ""]:
    """The part of one trial, `own`, in the discrepancy of a batch: its mean over trials is MMD^2."""
    count, dimension = codes.shape
    code, prior = codes[own], draws[own]
    unit = jax.lax.stop_gradient(_unit(kind, codes, draws))
    within, between, of_prior = (
        _KERNELS[kind](jnp.sum((points - point[None]) ** 2, axis=1), dimension, unit)
        for points, point in ((codes, code), (draws, code), (draws, prior))
    )
    is_other = jnp.arange(count) != own
    pairs = count if kind == "infovae" else max(count - 1, 1)
    counted = jnp.ones_like(within) if kind == "infovae" else is_other.astype(within.dtype)
    return (counted * (within + of_prior)).sum() / pairs - 2 * between.mean()


def discrepancy(
    kind: DiscrepancyKind,
    codes: Float[Array, "trial code_dimension"],
    draws: Float[Array, "trial code_dimension"],
) -> Float[Array, ""]:
    """MMD^2 of a batch."""
    rows = jax.vmap(lambda own: discrepancy_row(kind, codes, draws, own))(jnp.arange(codes.shape[0]))
    return rows.mean()


def _unit(kind: DiscrepancyKind, codes: Array, draws: Array) -> Array:
    """The median of the squared distances between all points, without gradient; 1 where the kernel has a width of its own."""
    if kind != "median":
        return jnp.ones(())
    points = jnp.concatenate([codes, draws])
    squares = jnp.sum((points[:, None] - points[None]) ** 2, axis=-1)
    return jnp.maximum(jnp.median(squares), SMALLEST)


def _infovae(squares: Array, dimension: int, unit: Array) -> Array:  # noqa: ARG001 - every kernel answers the same call
    return jnp.exp(-squares / dimension**2)


def _imq(squares: Array, dimension: int, unit: Array) -> Array:  # noqa: ARG001
    constants = 2 * dimension * jnp.asarray(SCALES)[:, None]
    return (constants / (constants + squares[None])).mean(axis=0)


def _median(squares: Array, dimension: int, unit: Array) -> Array:  # noqa: ARG001
    return jnp.exp(-squares / unit)


_KERNELS = {"infovae": _infovae, "imq": _imq, "median": _median}
