"""What the shapes of a state dictionary of lfads-torch tell.

One model may know several sessions: they share everything but `readin.{session}` and `readout.{session}`. Here one of them is
taken; a model of many sessions would take them all.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from undertow.experiments.lfads_torch.checkpoint import Checkpoint
from undertow.vocabulary import UndertowError

CELL = "decoder.rnn.cell"


class Layout(NamedTuple):
    """Sizes.

    Attributes:
        session: which of the checkpoint's sessions, from 0.
        held_in: neurons that the encoders see, the first ones.
        outputs: numbers that the read-out gives in a bin: parameters of all neurons.
        inputs: known inputs.
        sizes: of our LFADS, by the names of its configuration.
    """

    session: int
    held_in: int
    outputs: int
    inputs: int
    sizes: dict[str, int]


def layout(checkpoint: Checkpoint, session: int | None = None) -> Layout:
    """The sizes of the model, with the read-in and read-out of one session.

    Raises:
        UndertowError: several sessions and none chosen, or one that is not there; a generator that is no GRU.
    """
    chosen = _session(checkpoint, session)
    _check_generator(checkpoint)

    def shape(name: str) -> tuple[int, int]:
        found = checkpoint.weight(name).shape
        if len(found) != 2:
            raise UndertowError(
                f"'{name}' in '{checkpoint.path}' has the shape {found}, but is a matrix in lfads-torch; the file is damaged or "
                "belongs to another model."
            )
        return found

    encoder = shape("encoder.ic_enc.fwd_gru.cell.weight_ih")[1]
    has_read_in = f"readin.{chosen}.weight" in checkpoint.weights
    has_controller = f"{CELL}.con_cell.weight_hh" in checkpoint.weights
    inferred = shape(f"{CELL}.co_linear.weight")[0] // 2 if has_controller else 0
    sizes = {
        "factors": shape(f"{CELL}.fac_linear.weight")[0],
        "generator": shape(f"{CELL}.gen_cell.weight_hh")[1],
        "initial_condition": shape("encoder.ic_linear.weight")[0] // 2,
        "encoder": shape("encoder.ic_enc.fwd_gru.cell.weight_hh")[1],
        "inferred_inputs": inferred,
        "read_in": encoder if has_read_in else 0,
    }
    if has_controller:
        sizes["input_encoder"] = shape("encoder.ci_enc.fwd_gru.cell.weight_hh")[1]
        sizes["controller"] = shape(f"{CELL}.con_cell.weight_hh")[1]
    return Layout(
        session=chosen,
        held_in=shape(f"readin.{chosen}.weight")[1] if has_read_in else encoder,
        outputs=shape(f"readout.{chosen}.weight")[0],
        inputs=shape(f"{CELL}.gen_cell.weight_ih")[1] - inferred,
        sizes=sizes,
    )


def _session(checkpoint: Checkpoint, asked: int | None) -> int:
    found = sorted(
        int(match[1])
        for match in (re.fullmatch(r"readout\.(\d+)\.weight", name) for name in checkpoint.weights)
        if match
    )
    if not found:
        checkpoint.weight("readout.0.weight")
    if asked is None and len(found) > 1:
        raise UndertowError(
            f"'{checkpoint.path}' has read-outs of {len(found)} sessions, in the order of their files' names; choose one with "
            "--session 0, 1, ... and give its trials."
        )
    if asked is not None and asked not in found:
        raise UndertowError(
            f"'{checkpoint.path}' has no session {asked}; it has {', '.join(map(str, found))}, in the order of its files' names."
        )
    return found[0] if asked is None else asked


def _check_generator(checkpoint: Checkpoint) -> None:
    if f"{CELL}.gen_cell.weight_ih" in checkpoint.weights:
        return
    parts = sorted(name for name in checkpoint.weights if name.startswith(f"{CELL}.gen_cell."))
    raise UndertowError(
        f"The generator in '{checkpoint.path}' is no GRU (it has {', '.join(parts[:3]) or 'no weights'}), and only GRUs can be "
        "taken over; fit such a model here with lfads.dynamics=residual or ode."
    )
