"""From counts to the continuous activity that a diffusion model works on, and back to rates.

    a_tn = f(sum_j w_{t-j} k_jn / sum_j w_{t-j})      Gaussian weights w over the bins j that were observed; f the square root
    if asked
    x_tn = (a_tn - m_n) / s_n                         mean and standard deviation over the training trials
    r_tn = f^-1(m_n + s_n x_tn), never below 0        the inverse, in expected counts a bin

Weights of bins that were not observed are left out and the rest filled up to one, so that a trial's edges do not sink and a
missing entry is bridged by its neighbours; an entry without any observed neighbour is at its mean, x = 0. Where counts just
before and after the trial are known (`around`), they enter like its own: activity is then that of the recording smoothed before
it was cut, as even at a trial's edges as inside. A neuron that is nowhere observed in the trial stays unobserved. Smoothing the
square root of counts makes rates, squared, a little lower than they were (Jensen): the square root is taken of the smoothed
counts instead, where the inverse is exact.
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Transform = Literal["identity", "sqrt"]

REACH = 3.0
"""Standard deviations at which the kernel ends."""
SMALLEST_SCALE = 1e-3
LEAST_WEIGHT = 1e-6


class Activity(eqx.Module):
    """The transform of this module's head. Mean and scale stay as they were measured; `around` belongs to one trial."""

    mean: Float[Array, " neuron"]
    scale: Float[Array, " neuron"]
    kernel_weights: tuple[float, ...] = eqx.field(static=True)
    transform: Transform = eqx.field(static=True)
    is_real: bool = eqx.field(static=True)
    around: Float[Array, "around neuron"] | None = None

    def of(
        self, counts: Float[Array, "time neuron"], is_observed: Bool[Array, "time neuron"]
    ) -> Float[Array, "time neuron"]:
        """x of counts; what was not observed may hold anything."""
        smooth, weight = smoothed(counts, is_observed, self.kernel_weights, self.around)
        activity = jnp.sqrt(jnp.maximum(smooth, 0.0)) if self.transform == "sqrt" else smooth
        mean, scale = self._standard()
        return jnp.where(weight > LEAST_WEIGHT, (activity - mean) / scale, 0.0)

    def unsmoothed(
        self, counts: Float[Array, "time neuron"], is_observed: Bool[Array, "time neuron"]
    ) -> Float[Array, "time neuron"]:
        """x of counts as they are, whose mean is that of their rates; of square roots x itself, for they have another mean."""
        if self.transform == "sqrt":
            return self.of(counts, is_observed)
        mean, scale = self._standard()
        return jnp.where(is_observed, (counts - mean) / scale, 0.0)

    def evenness(self) -> float:
        """The share of the variance of independent counts that smoothing leaves."""
        return 1.0 if self.transform == "sqrt" else sum(weight**2 for weight in self.kernel_weights)

    def rates(
        self, standardised: Float[Array, "time neuron"], smallest: float
    ) -> Float[Array, "time neuron"]:
        """Expected counts a bin of x: `smallest` or more, and of real-valued activity whatever it is."""
        mean, scale = self._standard()
        activity = mean + scale * standardised
        if self.transform == "sqrt":
            activity = jnp.maximum(activity, 0.0) ** 2
        return activity if self.is_real else jnp.maximum(activity, smallest)

    def _standard(self) -> tuple[Array, Array]:
        return jax.lax.stop_gradient((self.mean[None], self.scale[None]))


def kernel(width: float) -> tuple[float, ...]:
    """Gaussian weights of a standard deviation of `width` bins; of width 0 one weight of 1."""
    reach = int(np.ceil(REACH * width))
    bins = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (bins / width) ** 2) if reach else np.ones(1)
    return tuple(float(weight) for weight in weights / weights.sum())


def smoothed(
    counts: Float[Array, "time neuron"],
    is_observed: Bool[Array, "time neuron"],
    weights: tuple[float, ...],
    around: Float[Array, "around neuron"] | None = None,
) -> tuple[Float[Array, "time neuron"], Float[Array, "time neuron"]]:
    """Means of observed counts, and the weight of what was observed around each entry.

    `around` (margin + time + margin, neuron) are counts before and after the trial, NaN where there are none.
    """
    reach = len(weights) // 2
    padding = ((reach, reach), (0, 0))
    time = counts.shape[0]
    values = jnp.pad(jnp.where(is_observed, counts, 0.0), padding)
    is_present = jnp.pad(is_observed, padding)
    if around is not None and reach:
        more = reach - (around.shape[0] - time) // 2
        outside = jnp.pad(around, ((more, more), (0, 0)), constant_values=jnp.nan) if more > 0 else around
        outside = outside[-more : outside.shape[0] + more] if more < 0 else outside
        is_used = jnp.isfinite(outside) & ~is_present & is_observed.any(axis=0)[None]
        values, is_present = jnp.where(is_used, outside, values), is_present | is_used
    presence = is_present.astype(values.dtype)
    shifts = [(weight, slice(shift, shift + time)) for shift, weight in enumerate(weights)]
    total = sum(weight * presence[part] for weight, part in shifts)
    return sum(weight * values[part] for weight, part in shifts) / jnp.maximum(total, LEAST_WEIGHT), total


def measured(
    counts: np.ndarray, width: float, transform: Transform, around: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (neuron) of the activity of counts (trial, time, neuron), where something was observed.

    `around` (trial, margin + time + margin, neuron) are the counts before and after the trials.
    """
    weights = kernel(width)
    sums, squares, entries = (np.zeros(counts.shape[2]) for _ in range(3))
    smooth_all = jax.jit(lambda trial, beside: smoothed(trial, jnp.isfinite(trial), weights, beside))
    for number, trial in enumerate(counts):
        beside = None if around is None else around[number]
        smooth, weight = (np.asarray(part, np.float64) for part in smooth_all(trial, beside))
        activity = np.where(
            weight > LEAST_WEIGHT, np.sqrt(np.maximum(smooth, 0)) if transform == "sqrt" else smooth, 0.0
        )
        sums, squares = sums + activity.sum(0), squares + (activity**2).sum(0)
        entries += (weight > LEAST_WEIGHT).sum(0)
    mean = sums / np.maximum(entries, 1)
    variance = squares / np.maximum(entries, 1) - mean**2
    is_known = entries > 0
    if not is_known.all():
        mean, variance = (np.where(is_known, part, part[is_known].mean()) for part in (mean, variance))
    return mean, np.sqrt(np.maximum(variance, SMALLEST_SCALE**2))
