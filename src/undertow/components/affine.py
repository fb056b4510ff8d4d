"""An affine map of tokens whose gradient of the kernel is one product over all bins of all trials.

Under `jax.vmap` over trials, automatic differentiation contracts that gradient over two axes, trials and bins, and XLA writes
transposed copies of the factors for it. `affine` receives the trials as an axis (`jax.custom_batching`) and lays them end to end,
so that forward and backward are plain products of matrices.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def affine(
    kernel: Float[Array, "input output"], bias: Float[Array, " output"], tokens: Float[Array, "*axes input"]
) -> Float[Array, "*axes output"]:
    """`tokens @ kernel + bias`. It is differentiated in reverse under `jax.vmap` over trials only."""
    return _mapped(kernel, bias, tokens)


def _plain(kernel, bias, tokens):
    outputs = tokens @ kernel
    return outputs + jnp.broadcast_to(bias, outputs.shape)


_mapped = jax.custom_batching.custom_vmap(_plain)


@_mapped.def_vmap
def _over_trials(size, is_batched, kernel, bias, tokens):  # noqa: ARG001 - the signature of such a rule
    """Trials end to end where they share the map; where they don't (a population's members) a product for each."""
    if is_batched[0] or is_batched[1]:
        axes = tuple(0 if batched else None for batched in is_batched)
        return jax.vmap(_plain, in_axes=axes)(kernel, bias, tokens), True
    outputs = _plain(kernel, bias, tokens.reshape(-1, tokens.shape[-1]))
    return outputs.reshape(*tokens.shape[:-1], outputs.shape[-1]), True
