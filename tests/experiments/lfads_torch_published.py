"""lfads-torch's LFADS from its published module structure: names and shapes of its state dictionary, and its forward pass.

Written in NumPy (float64), one trial at a time, bin by bin, from the description of the modules (encoder, decoder, recurrent
cells, read-in and read-out) alone: what undertow makes of a checkpoint is held against it.
"""

from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """The sizes that a configuration of lfads-torch names, those of the data first."""

    encod_data_dim: int = 5
    recon_data_dim: int = 5
    encod_seq_len: int = 11
    recon_seq_len: int = 11
    ext_input_dim: int = 0
    ic_enc_seq_len: int = 0
    ic_enc_dim: int = 6
    ci_enc_dim: int = 4
    ci_lag: int = 1
    con_dim: int = 7
    co_dim: int = 2
    ic_dim: int = 3
    gen_dim: int = 8
    fac_dim: int = 4
    cell_clip: float = 5.0
    held_in: int = 0  # neurons before a read-in; 0 for none
    parameters: int = 1  # of the reconstruction

    @property
    def has_controller(self) -> bool:
        """Whether lfads-torch makes one."""
        return min(self.ci_enc_dim, self.con_dim, self.co_dim) > 0


def state_dictionary(sizes, *, seed=0, scale=1.0, variational=True):
    """Random weights under the published names and shapes."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        fan = shape[-1] if len(shape) > 1 else 4
        return (scale * rng.normal(size=shape) / np.sqrt(max(fan, 1))).astype(np.float32)

    def cell(name, inputs, size):
        return {
            f"{name}.weight_ih": draw(3 * size, inputs),
            f"{name}.weight_hh": draw(3 * size, size),
            f"{name}.bias_ih": draw(3 * size),
            f"{name}.bias_hh": np.zeros(3 * size, np.float32),
        }

    def linear(name, inputs, outputs):
        return {f"{name}.weight": draw(outputs, inputs), f"{name}.bias": draw(outputs)}

    def encoder(name, size):
        inside = f"encoder.{name}_enc"
        return {
            f"{inside}_h0": np.clip(draw(2, 1, size), -sizes.cell_clip, sizes.cell_clip),
            **cell(f"{inside}.fwd_gru.cell", sizes.encod_data_dim, size),
            **cell(f"{inside}.bwd_gru.cell", sizes.encod_data_dim, size),
        }

    state = linear("readin.0", sizes.held_in, sizes.encod_data_dim) if sizes.held_in else {}
    state |= encoder("ic", sizes.ic_enc_dim)
    state |= linear("encoder.ic_linear", 2 * sizes.ic_enc_dim, 2 * sizes.ic_dim)
    if sizes.has_controller:
        state |= encoder("ci", sizes.ci_enc_dim)
        state |= cell("decoder.rnn.cell.con_cell", 2 * sizes.ci_enc_dim + sizes.fac_dim, sizes.con_dim)
        state |= linear("decoder.rnn.cell.co_linear", sizes.con_dim, 2 * sizes.co_dim)
    state |= {"decoder.con_h0": draw(1, sizes.con_dim)}
    state |= linear("decoder.ic_to_g0", sizes.ic_dim, sizes.gen_dim)
    state |= cell("decoder.rnn.cell.gen_cell", sizes.ext_input_dim + sizes.co_dim, sizes.gen_dim)
    state |= {"decoder.rnn.cell.fac_linear.weight": draw(sizes.fac_dim, sizes.gen_dim)}
    state |= linear("readout.0", sizes.fac_dim, sizes.recon_data_dim * sizes.parameters)
    if variational:
        state |= {
            "ic_prior.mean": draw(sizes.ic_dim),
            "ic_prior.logvar": np.full(sizes.ic_dim, np.log(0.1), "f4"),
        }
        state |= {"co_prior.logtaus": draw(sizes.co_dim), "co_prior.lognvars": draw(sizes.co_dim)}
    return state


class Output(NamedTuple):
    """What a pass gives: (time, ...), `parameters` as (time, neuron, parameter)."""

    parameters: np.ndarray
    factors: np.ndarray
    gen_states: np.ndarray
    ic: tuple[np.ndarray, np.ndarray]
    co: tuple[np.ndarray, np.ndarray]


def forward(state, sizes, data, ext_input, *, ic=None, co=None):
    """One trial (encod_seq_len, neuron); `ic` and `co` are samples in place of the posteriors' means."""
    weights = {name: np.asarray(array, np.float64) for name, array in state.items()}
    seen = _linear(weights, "readin.0", data) if sizes.held_in else data
    segment = sizes.ic_enc_seq_len
    first, rest = (seen[:segment], seen[segment:]) if segment else (seen, seen)
    onward, back = _both_ways(weights, "ic", first, sizes.cell_clip)
    statistics = _linear(weights, "encoder.ic_linear", np.concatenate([onward[-1], back[0]]))
    ic_mean, ic_sd = statistics[: sizes.ic_dim], np.sqrt(np.exp(statistics[sizes.ic_dim :]) + 1e-4)
    read = _controller_reads(weights, sizes, rest) if sizes.has_controller else None
    known = np.zeros((sizes.recon_seq_len, sizes.ext_input_dim))
    known[: len(ext_input)] = ext_input
    generator = _linear(weights, "decoder.ic_to_g0", ic_mean if ic is None else ic)
    rows = weights["decoder.rnn.cell.fac_linear.weight"]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    factor, controller = rows @ generator, weights["decoder.con_h0"][0]
    factors, states, means, deviations = [], [], [], []
    for time in range(sizes.recon_seq_len):
        pushed = known[time]
        if sizes.has_controller:
            controller = _gru(
                weights,
                "decoder.rnn.cell.con_cell",
                np.concatenate([read[time], factor]),
                controller,
                sizes.cell_clip,
            )
            told = _linear(weights, "decoder.rnn.cell.co_linear", controller)
            means.append(told[: sizes.co_dim])
            deviations.append(np.exp(0.5 * told[sizes.co_dim :]))
            pushed = np.concatenate([means[-1] if co is None else co[time], pushed])
        generator = _gru(weights, "decoder.rnn.cell.gen_cell", pushed, generator, sizes.cell_clip)
        factor = rows @ generator
        factors.append(factor)
        states.append(generator)
    flat = _linear(weights, "readout.0", np.array(factors))
    parameters = np.stack(np.split(flat, sizes.parameters, axis=-1), axis=-1)
    posterior = np.array(means), np.array(deviations)
    return Output(parameters, np.array(factors), np.array(states), (ic_mean, ic_sd), posterior)


def _controller_reads(weights, sizes, data):
    """(recon_seq_len, 2 ci_enc_dim): lagged within what the encoder read, zeros in all other bins."""
    onward, back = _both_ways(weights, "ci", data, sizes.cell_clip)
    length, lag, width = len(data), sizes.ci_lag, sizes.ci_enc_dim
    read = np.zeros((sizes.recon_seq_len, 2 * width))
    begin = sizes.ic_enc_seq_len
    read[begin + lag : begin + length, :width] = onward[: length - lag]
    read[begin : begin + length - lag, width:] = back[lag:]
    return read


def _both_ways(weights, name, data, clip):
    starts = weights[f"encoder.{name}_enc_h0"][:, 0]
    onward, back = [starts[0]], [starts[1]]
    for now, later in zip(data, data[::-1], strict=True):
        onward.append(_gru(weights, f"encoder.{name}_enc.fwd_gru.cell", now, onward[-1], clip))
        back.append(_gru(weights, f"encoder.{name}_enc.bwd_gru.cell", later, back[-1], clip))
    return np.array(onward[1:]), np.array(back[1:])[::-1]


def _gru(weights, name, value, state, clip):
    from_input = weights[f"{name}.weight_ih"] @ value + weights[f"{name}.bias_ih"]
    size, recurrent, bias = len(state), weights[f"{name}.weight_hh"], weights[f"{name}.bias_hh"]
    gates = from_input[: 2 * size] + recurrent[: 2 * size] @ state + bias[: 2 * size]
    update, reset = 1 / (1 + np.exp(-gates[:size])), 1 / (1 + np.exp(-gates[size:]))
    candidate = np.tanh(from_input[2 * size :] + recurrent[2 * size :] @ (reset * state) + bias[2 * size :])
    return np.clip(update * state + (1 - update) * candidate, -clip, clip)


def _linear(weights, name, value):
    return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
