"""Every leaf of our LFADS from the state dictionary of lfads-torch.

Theirs on the left; W is stored (output, input) there and (input, output) here.

=====================================  ====================================================================================
weight_ih, weight_hh of a GRU          rows of the gates z | r | n; here r | u | a, and the update gate u is z
bias_ih + bias_hh                      `bias`; bias_hh stays 0 there, and both are added outside the reset
gen_cell.weight_ih                     its first columns are those of the controller's outputs, then of known inputs
con_cell.weight_ih                     forward encoder, backward encoder, factors: the same order
fac_linear                             rows of length one at every pass: `unit_columns`
readout                                all neurons' first parameter, then their second ...; here (factor, neuron, parameter)
=====================================  ====================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from undertow.experiments.lfads_torch.checkpoint import Checkpoint
from undertow.experiments.lfads_torch.layout import CELL, Layout
from undertow.models.base import DataSummary, Model, ModelConfig
from undertow.vocabulary import UndertowError

Arrays = dict[str, np.ndarray]
_READ_FIRST = [
    f"{part}.encoder.{way}.input_kernel"
    for part in ("start", "controller")
    for way in ("forward", "backward")
]


class Output(NamedTuple):
    """How a reconstruction of lfads-torch becomes one of our observations.

    `arrange` takes its parameters (..., neuron, parameter) to ours, which must be linear in them.
    """

    parameters: int
    arrange: Callable[[np.ndarray], np.ndarray]


OUTPUTS = {
    "poisson": Output(1, lambda parameters: parameters),
    "gaussian": Output(2, lambda parameters: parameters),
    # log alpha, log beta there; log mean = log alpha - log beta, log shape = log alpha here
    "gamma": Output(2, lambda p: np.stack([p[..., 0] - p[..., 1], p[..., 0]], axis=-1)),
    # alpha, beta, q there; q, shape, rate here
    "zero_inflated_gamma": Output(3, lambda parameters: parameters[..., [2, 0, 1]]),
}


def neurons_of(checkpoint: Checkpoint, found: Layout, observation: str, expected: int | None) -> int:
    """How many neurons the read-out is for; `expected` are those of the trials, where there are some.

    Raises:
        UndertowError: an observation that lfads-torch does not have, or numbers that do not fit it.
    """
    if observation not in OUTPUTS:
        raise UndertowError(
            f"lfads-torch has no reconstruction like lfads.observation={observation}; take one of {', '.join(OUTPUTS)}."
        )
    if observation == "gaussian" and expected == found.outputs:
        return expected  # trained on the squared error
    neurons, left = divmod(found.outputs, OUTPUTS[observation].parameters)
    if left or neurons < found.held_in:
        raise UndertowError(
            f"The read-out in '{checkpoint.path}' gives {found.outputs} numbers a bin, {OUTPUTS[observation].parameters} for "
            f"each neuron if lfads.observation={observation}, but its encoders see {found.held_in} neurons; set the observation "
            "that it was trained with."
        )
    return neurons


def model_of(checkpoint: Checkpoint, found: Layout, config: ModelConfig, neurons: int) -> Model:
    """Our LFADS with these weights.

    Raises:
        UndertowError: weights that are missing, that have another shape than the others ask for, or that have no place here.
    """
    try:
        named = _taken(checkpoint, found, config, neurons)
    except (ValueError, IndexError) as error:
        raise UndertowError(
            f"The shapes of the weights in '{checkpoint.path}' contradict each other ({error}); it can't be taken over."
        ) from error
    ones = np.ones(neurons, np.float32)
    summary = DataSummary(neurons, found.inputs, ones, ones)
    frame = eqx.filter_eval_shape(lambda: config.build(summary, key=jax.random.key(0)))

    def fill(path, leaf):
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        array = named.get(name)
        if array is None or array.shape != leaf.shape:
            shape = "no weights" if array is None else f"the shape {array.shape}"
            raise UndertowError(
                f"In '{checkpoint.path}' there is {shape} for '{name}', where the other weights ask for {leaf.shape}; it belongs "
                "to another model or another version, and can't be taken over."
            )
        return jnp.asarray(array, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, frame)


def _taken(checkpoint: Checkpoint, found: Layout, config: ModelConfig, neurons: int) -> Arrays:
    """Our leaves by their path."""
    left = _Taker(checkpoint)
    inferred = config.inferred_inputs
    generator = left.gru(f"{CELL}.gen_cell")
    by_controller, by_inputs = np.split(generator.pop("input_kernel"), [inferred])
    named = {
        **_below("start.encoder", left.encoder("ic", config.state_limit)),
        **_below("start.to_posterior", _posterior(left, config)),
        **_below("start.prior", _prior(left, "ic_prior")),
        **_below("to_generator", left.linear("decoder.ic_to_g0")),
        **_below("generator", {**generator, "input_kernel": by_inputs}),
        "factors_kernel": left.take(f"{CELL}.fac_linear.weight").T,
        **_below("readout", _read_out(left, found, config.observation, neurons)),
        **_below("read_in", _read_in(left, found, neurons)),
    }
    if inferred:
        controller = _controller(left, config.state_limit)
        named |= _below("controller", {**controller, "input_kernel": by_controller})
    else:
        left.ignore("co_prior", "decoder.con_h0")
    if not found.sizes["read_in"]:
        named |= {name: _with_held_out(named[name], neurons) for name in _READ_FIRST if name in named}
    if config.observation == "zero_inflated_gamma":
        named |= _below("observation", _scales(left, found))
    left.check_empty(found.session)
    return named


def _controller(left: _Taker, limit: float) -> Arrays:
    return {
        **_below("encoder", left.encoder("ci", limit)),
        **_below("cell", left.gru(f"{CELL}.con_cell")),
        "start": left.take("decoder.con_h0")[0],
        **_below("posterior", left.linear(f"{CELL}.co_linear")),
        **_below("prior", _prior(left, "co_prior")),
    }


def _posterior(left: _Taker, config: ModelConfig) -> Arrays:
    """Mean and log-variance; without a posterior the means alone."""
    statistics = left.linear("encoder.ic_linear")
    if config.variational:
        return statistics
    return {name: array[..., : config.initial_condition] for name, array in statistics.items()}


def _prior(left: _Taker, name: str) -> Arrays:
    """The parameters of a prior; a Gaussian's variance is no parameter here."""
    left.ignore(f"{name}.logvar")
    names = {"mean": "mean", "log_tau": "logtaus", "log_variance": "lognvars"}
    return {
        ours: left.take(f"{name}.{theirs}") for ours, theirs in names.items() if left.has(f"{name}.{theirs}")
    }


def _read_in(left: _Taker, found: Layout, neurons: int) -> Arrays:
    if not found.sizes["read_in"]:
        return {}
    linear = left.linear(f"readin.{found.session}")
    kernel = _with_held_out(linear["kernel"], neurons)
    return {**linear, "kernel": kernel, "centre": np.zeros(neurons, kernel.dtype)}


def _with_held_out(kernel: np.ndarray, neurons: int) -> np.ndarray:
    """A kernel (held-in neuron, ...) with zeros for the held-out ones behind them, which encoders see as zeros."""
    return np.pad(kernel, [(0, neurons - kernel.shape[0]), (0, 0)])


def _read_out(left: _Taker, found: Layout, observation: str, neurons: int) -> Arrays:
    """Parameters by neuron; beside means that were trained on the squared error a log-variance of 0."""
    linear = left.linear(f"readout.{found.session}")
    if observation == "gaussian" and found.outputs == neurons:
        return {name: np.stack([array, np.zeros_like(array)], axis=-1) for name, array in linear.items()}
    arrange = OUTPUTS[observation].arrange
    return {
        name: arrange(np.swapaxes(array.reshape(*array.shape[:-1], -1, neurons), -1, -2))
        for name, array in linear.items()
    }


def _scales(left: _Taker, found: Layout) -> Arrays:
    """The scales of shape and rate, of which we keep the logarithms."""
    scale = left.take(f"recon.{found.session}.scale")
    if not (scale > 0).all():
        raise UndertowError(
            f"'{left.checkpoint.path}' has scales of the zero-inflated Gamma distribution down to {scale.min():g}, and undertow "
            "keeps their logarithms, so they must be above 0; this checkpoint can't be taken over."
        )
    return {"log_shape_scale": np.log(scale[0]), "log_rate_scale": np.log(scale[1])}


def _below(place: str, named: Arrays) -> Arrays:
    return {f"{place}.{name}": array for name, array in named.items()}


class _Taker:
    """A checkpoint whose weights are taken one after the other, so that what is left over is known."""

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint, self._left = checkpoint, set(checkpoint.weights)

    def has(self, name: str) -> bool:
        return name in self.checkpoint.weights

    def take(self, name: str) -> np.ndarray:
        self._left.discard(name)
        return self.checkpoint.weight(name)

    def ignore(self, *beginnings: str) -> None:
        self._left = {name for name in self._left if not name.startswith(beginnings)}

    def linear(self, name: str) -> Arrays:
        return {"kernel": self.take(f"{name}.weight").T, "bias": self.take(f"{name}.bias")}

    def gru(self, name: str) -> Arrays:
        bias = self.take(f"{name}.bias_ih") + self.take(f"{name}.bias_hh")
        recurrent = self._gates(f"{name}.weight_hh")
        size = recurrent.shape[0]
        return {
            "input_kernel": self._gates(f"{name}.weight_ih"),
            "bias": _reordered(bias),
            "gates_kernel": recurrent[:, : 2 * size],
            "candidate_kernel": recurrent[:, 2 * size :],
        }

    def encoder(self, name: str, limit: float) -> Arrays:
        starts = self.take(f"encoder.{name}_enc_h0").reshape(2, -1)
        if np.abs(starts).max() > limit:
            raise UndertowError(
                f"In '{self.checkpoint.path}' an encoder begins at {np.abs(starts).max():g}, beyond the bound {limit:g} of its "
                "states, which undertow's encoders don't; it can't be taken over, unless the bound was another "
                "(--set lfads.state_limit=...)."
            )
        return {
            **_below("forward", self.gru(f"encoder.{name}_enc.fwd_gru.cell")),
            **_below("backward", self.gru(f"encoder.{name}_enc.bwd_gru.cell")),
            "forward_start": starts[0],
            "backward_start": starts[1],
        }

    def check_empty(self, session: int) -> None:
        """Nothing that this session's estimates need may be left."""
        left = sorted(name for name in self._left if not _is_beside(name, session))
        if left:
            raise UndertowError(
                f"'{self.checkpoint.path}' has the weights '{left[0]}' and {len(left) - 1} more for which the LFADS of undertow "
                "has no place; it belongs to a variant that can't be taken over."
            )

    def _gates(self, name: str) -> np.ndarray:
        weight = self.take(name)
        return _reordered(weight).T


def _is_beside(name: str, session: int) -> bool:
    """Whether weights belong to other sessions, or only watch training."""
    of_session = re.match(r"(?:readin|readout|recon)\.(\d+)\.", name)
    return name.startswith("valid_recon_smth") or (of_session is not None and int(of_session[1]) != session)


def _reordered(rows: np.ndarray) -> np.ndarray:
    """Rows z | r | n in our order r | z | n."""
    update, reset, candidate = np.split(rows, 3)
    return np.concatenate([reset, update, candidate])
