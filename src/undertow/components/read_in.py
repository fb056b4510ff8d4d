"""From the counts of however many neurons to a few features: the part of a model in which sessions differ first."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal
from undertow.components.missing import zero_where_missing


class ReadIn(eqx.Module):
    """features = (counts - centre) kernel + bias, where an entry that was not observed (NaN) adds nothing.

    An unobserved entry counts as one at its centre, so neither the neurons of other sessions nor those missing in a bin shift the
    features. The centre starts at each neuron's mean, the kernel at N(0, 1/fan_in) with `fan_in` the number of neurons that
    one trial has. (Multi-session LFADS: features = (counts - b) W; Pandarinath et al. 2018.)
    """

    kernel: Float[Array, "neuron feature"]
    centre: Float[Array, " neuron"]
    bias: Float[Array, " feature"]

    def __init__(self, centre: Float[Array, " neuron"], features: int, *, fan_in: int, key: Key[Array, ""]):
        self.kernel = fan_in_normal(fan_in, (centre.shape[0], features), key=key)
        self.centre = centre
        self.bias = jnp.zeros(features)

    def __call__(self, counts: Float[Array, "time neuron"]) -> Float[Array, "time feature"]:
        """Features of every bin; NaN in `counts` is not observed."""
        centred = counts - jnp.broadcast_to(self.centre, counts.shape)
        features = jnp.where(jnp.isfinite(counts), centred, 0.0) @ self.kernel
        return features + jnp.broadcast_to(self.bias, features.shape)


def read_in_of(
    width: int, centre: Float[Array, " neuron"], *, fan_in: int, key: Key[Array, ""]
) -> ReadIn | None:
    """A read-in of so many features; None for a width of 0, where encoders read the neurons themselves."""
    return ReadIn(centre, width, fan_in=fan_in, key=key) if width else None


def features_of(read_in: ReadIn | None, counts: Float[Array, "time neuron"]) -> Float[Array, "time feature"]:
    """What encoders read: the read-in's features, or without one the counts, zero where they were not observed."""
    return zero_where_missing(counts) if read_in is None else read_in(counts)
