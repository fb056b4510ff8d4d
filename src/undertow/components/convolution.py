"""Convolutions over the bins of a trial as products of matrices, and the norm between them, both blind to padding.

Activity is (time, channel). A convolution lays each bin beside its neighbours and multiplies: the weight gradient over all bins
of all trials is then one product (`affine.py`), where that of a convolution proper is slow on CPUs. Bins that are not `is_there`
(padding behind a trial) are zero before and after every convolution and are left out of every norm, so that an answer does not
depend on the padding.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.affine import affine
from undertow.components.linear import fan_in_normal

SMALLEST_VARIANCE = 1e-5
LARGEST_GROUPS = 32


class Convolution(eqx.Module):
    """y_t = sum_k x_{t + k - taps // 2} W_k + b, for an odd number of taps; starts at N(0, gain^2 / (taps input)), zero
    if asked.
    """

    kernel: Float[Array, "tap_input output"]
    bias: Float[Array, " output"]
    taps: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, taps: int, *, gain: float = 1.0, key: Key[Array, ""]):
        fan_in = inputs * taps
        self.kernel = gain * fan_in_normal(fan_in, (fan_in, outputs), key=key)
        self.bias = jnp.zeros(outputs)
        self.taps = taps

    def __call__(self, activity: Float[Array, "time input"]) -> Float[Array, "time output"]:
        """As many bins as there were; beyond the ends are zeros."""
        return affine(self.kernel, self.bias, beside(activity, self.taps))


class GroupNorm(eqx.Module):
    """Groups of channels shifted and scaled, over all bins together, to mean 0 and variance 1 (Wu and He 2018), without weights.

    The scale and shift that follow are learned, or told by what the network is conditioned on.
    """

    groups: int = eqx.field(static=True)

    def __init__(self, channels: int):
        self.groups = next(
            number for number in range(min(LARGEST_GROUPS, channels), 0, -1) if channels % number == 0
        )

    def __call__(
        self, activity: Float[Array, "time channel"], is_there: Bool[Array, " time"]
    ) -> Float[Array, "time channel"]:
        """Normalised over the bins that are there."""
        time, channels = activity.shape
        grouped = activity.reshape(time, self.groups, -1)
        counted = is_there[:, None, None]
        entries = jnp.maximum(is_there.sum(), 1).astype(activity.dtype) * (channels // self.groups)

        def mean(values):
            return jnp.where(counted, values, 0.0).sum((0, 2), keepdims=True) / entries

        centred = grouped - mean(grouped)
        normal = centred * jax.lax.rsqrt(mean(centred**2) + SMALLEST_VARIANCE)
        return normal.reshape(time, channels)


def beside(activity: Float[Array, "time input"], taps: int) -> Float[Array, "time tap_input"]:
    """Each bin with its neighbours at its side, from taps // 2 before to as many after."""
    if taps == 1:
        return activity
    time, reach = activity.shape[0], taps // 2
    padded = jnp.pad(activity, ((reach, reach), (0, 0)))
    return jnp.concatenate([padded[tap : tap + time] for tap in range(taps)], axis=1)


def halved(activity: Float[Array, "time channel"]) -> Float[Array, "half two_channels"]:
    """Two bins to one, side by side."""
    return activity.reshape(activity.shape[0] // 2, -1)


def doubled(activity: Float[Array, "half two_channels"]) -> Float[Array, "time channel"]:
    """One bin to two: the inverse of `halved`."""
    return activity.reshape(2 * activity.shape[0], -1)


def kept(
    activity: Float[Array, "time channel"], is_there: Bool[Array, " time"]
) -> Float[Array, "time channel"]:
    """Zeros where there is no bin."""
    return jnp.where(is_there[:, None], activity, 0.0)
