"""What an encoder receives in place of an entry that was not observed: missing samples, lost channels, held-out neurons.

"zero" is the published rule (Zhu et al. 2021, arXiv 2111.00070): a silent neuron and an unrecorded one look the same, and the
fewer neurons are observed the smaller is what the encoder reads. "mean" puts a number for each neuron there, which starts at its
mean count and is learned. "mask" leaves zero and tells the encoder, through as many channels as it has features, which entries
were not observed: a learned map of the mask. What coordinated dropout sets to zero counts as observed, as in the published code:
nothing is dropped at inference, where the encoder shall read what it has learned to read.

To add a rule: a function and a line in `RULES`, and its name in `MissingKind`.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from undertow.components.linear import fan_in_normal

MissingKind = Literal["zero", "mean", "mask"]


class Missing(eqx.Module):
    """A rule of this module's head; every leaf has the neurons as its first axis. Both parts are None for zeros."""

    value: Float[Array, " neuron"] | None = None
    mask: Float[Array, "neuron channel"] | None = None

    @property
    def channels(self) -> int:
        """How many `beside` adds."""
        return 0 if self.mask is None else self.mask.shape[1]

    def replaced(self, seen: Float[Array, "time neuron"]) -> Float[Array, "time neuron"]:
        """The counts, with the rule's number for what was not observed; NaN stays where the rule has none."""
        return seen if self.value is None else jnp.where(jnp.isfinite(seen), seen, self.value[None])

    def beside(
        self, features: Float[Array, "time feature"], seen: Float[Array, "time neuron"]
    ) -> Float[Array, "time input"]:
        """The features that were made of the counts, and beside them the channels of the mask."""
        if self.mask is None:
            return features
        is_missing = (~jnp.isfinite(seen)).astype(features.dtype)
        return jnp.concatenate([features, is_missing @ self.mask], axis=-1)


def zero_where_missing(counts: Float[Array, "time neuron"]) -> Float[Array, "time neuron"]:
    """The counts with zeros for NaN: what an encoder reads that has no read-in (a read-in passes over what is missing)."""
    return jnp.where(jnp.isfinite(counts), counts, 0.0)


def _zero(mean: Array, width: int, *, key: Key[Array, ""]) -> Missing:  # noqa: ARG001 - every rule answers the same call
    return Missing()


def _mean(mean: Array, width: int, *, key: Key[Array, ""]) -> Missing:  # noqa: ARG001
    return Missing(value=mean)


def _mask(mean: Array, width: int, *, key: Key[Array, ""]) -> Missing:
    return Missing(mask=fan_in_normal(mean.shape[0], (mean.shape[0], width), key=key))


RULES: Mapping[str, Callable[..., Missing]] = {"zero": _zero, "mean": _mean, "mask": _mask}
"""Each from the neurons' mean counts (neuron) and the number of features that the mask's channels stand beside."""
