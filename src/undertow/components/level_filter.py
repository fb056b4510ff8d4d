"""What a denoiser can say of each neuron by itself: a filter over time for every neuron, told the level of noise.

    y_tn = sum_j g_jn(level) sum_s K_j(t - s) x_sn / sum_s K_j(t - s)          s over the bins that are there

K_j are Gaussians of standard deviations 0 (the bin itself), 1, 2, 4 and 8 bins, and the gains g an affine map of the level's
features. For neurons that are independent and stationary the best answer has this form (Wiener's filter): the noise that each
neuron has of its own is as many-dimensional as the population, and need not pass through a network of fewer channels, which is
left with what neurons share and with what the code says. Gains start at zero. Our choice; published denoisers have channels
enough.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from undertow.components.linear import Linear

WIDTHS = (1.0, 2.0, 4.0, 8.0)
SMALLEST_WEIGHT = 1e-6


class LevelFilter(eqx.Module):
    """The filters of this module's head."""

    gains: Linear
    neurons: int = eqx.field(static=True)

    def __init__(self, neurons: int, features: int, *, key: Key[Array, ""]):
        gains = Linear(features, (len(WIDTHS) + 1) * neurons, key=key)
        self.gains = eqx.tree_at(lambda linear: linear.kernel, gains, jnp.zeros_like(gains.kernel))
        self.neurons = neurons

    def __call__(
        self,
        noised: Float[Array, "time neuron"],
        features: Float[Array, " feature"],
        is_there: Bool[Array, " time"],
    ) -> Float[Array, "time neuron"]:
        """Every neuron filtered; what stands in bins that are not there has no part."""
        own, *gains = self.gains(features).reshape(len(WIDTHS) + 1, 1, self.neurons)
        bins = jnp.arange(noised.shape[0])
        apart = (bins[:, None] - bins[None]).astype(noised.dtype)
        clean = jnp.where(is_there[:, None], noised, 0.0)
        answer = own * clean
        for width, gain in zip(WIDTHS, gains, strict=True):
            kernel = jnp.exp(-0.5 * (apart / width) ** 2) * is_there[None].astype(noised.dtype)
            kernel = kernel / jnp.maximum(kernel.sum(axis=1, keepdims=True), SMALLEST_WEIGHT)
            answer = answer + gain * (kernel @ clean)
        return answer
