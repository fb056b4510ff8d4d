"""Three layouts of HDF5 files with binned spikes, each as the parts of its splits.

`lfads_parts`, the input of lfads-torch. For each split (`train`, `valid`, perhaps `test`)::

    {split}_encod_data    (trial, time, neuron)   what an encoder sees
    {split}_recon_data    (trial, time, neuron)   the same, then held-out neurons and bins to be forecast
    {split}_ext_input     (trial, time, input)    known inputs
    {split}_truth         (trial, time, neuron)   with `conversion_factor`: truth / factor = expected counts a bin
    {split}_inds          (trial,)                place of the trial in the session
    {split}_behavior, {split}_cond_idx            as below

What lfads-torch adds to it in its output (`OUTPUTS`) are no trials: `hdf5_estimate` reads that. `readin_weight` and
`readout_bias`, where a model of many sessions begins there, are left out: undertow computes its own.

`autolfads_parts`, the input of AutoLFADS and of LFADS in TensorFlow before it, whose files often have no suffix::

    {split}_data          (trial, time, neuron)   what encoders see and what is reconstructed
    {split}_ext_input, {split}_truth, {split}_inds    as above; from MATLAB also as one row or one column, counted from 1
    condition_labels_{split}   (trial,)           the column `condition`
    input_{split}_truth   (trial, time, input)    true inputs of a simulation, unless there are others that are known
    dt                    seconds a bin, where there is one

`alignment_matrix_cxf`, `alignment_bias_c` and `P_sxn`, which belong to its read-ins of many sessions, are left out.

`benchmark_parts`, the tensors of the Neural Latents Benchmark, where eval is the benchmark's evaluation
data::

    {part}_spikes_heldin, {part}_spikes_heldout                  (trial, time, neuron), part = train, eval
    {part}_spikes_heldin_forward, {part}_spikes_heldout_forward  the bins after them
    {part}_behavior       (trial, time, channel), or (trial, value): columns `behavior_1`, ...
    {part}_cond_idx       one list of trials for each condition: the column `condition`
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from undertow.data.readers.hdf5_parts import Part, columns_of, conditions
from undertow.vocabulary import SPLITS, UndertowError

Arrays = Mapping[str, np.ndarray]
OUTPUTS = (
    *("output_params", "factors", "ic_mean", "ic_std", "co_means", "co_stds"),
    *("gen_states", "gen_init", "gen_inputs", "con_states"),
)
BEHAVIOURS = ("behavior", "behaviour")
CONDITIONS = "cond_idx"


@dataclass(frozen=True)
class Options:
    """What a layout needs to know: seconds of a bin, names of behaviour and condition, the split eval
    becomes.
    """

    bin_width: float
    behaviour: str | None
    condition: str | None
    evaluation: str


def lfads_parts(arrays: Arrays, options: Options) -> tuple[list[Part], int, int]:
    """The parts of a file of lfads-torch, and how many neurons and bins an encoder sees."""
    return _lfads_parts(arrays, "encod_data", options)


def autolfads_parts(arrays: Arrays, options: Options) -> tuple[list[Part], int, int]:
    """The parts of an input file of AutoLFADS or of LFADS in TensorFlow, and how many neurons and bins an encoder sees."""
    named = {_SPLIT_LAST.sub(r"\2_\1\3", name): _flat(array) for name, array in arrays.items()}
    labels = {name.replace("condition_labels", CONDITIONS): array for name, array in named.items()}
    return _lfads_parts(labels, "data", options)


_SPLIT_LAST = re.compile(r"^(\w+)_(train|valid)(_truth)?$")


def _flat(array: np.ndarray) -> np.ndarray:
    """One row or one column, as MATLAB writes one number a trial, without its needless axis."""
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _lfads_parts(arrays: Arrays, seen: str, options: Options) -> tuple[list[Part], int, int]:
    outputs = {f"{split}_{name}" for split in SPLITS for name in OUTPUTS}
    arrays = {name: array for name, array in arrays.items() if name not in outputs}
    present = [split for split in SPLITS if f"{split}_{seen}" in arrays]
    observed, held_in = _one_shape({f"{split}_{seen}": arrays[f"{split}_{seen}"] for split in present})
    return [_lfads_part(arrays, split, seen, options) for split in present], held_in, observed


def benchmark_parts(arrays: Arrays, options: Options) -> tuple[list[Part], int, int]:
    """The parts of a group of the benchmark, and how many neurons and bins an encoder sees."""
    splits = {"train": "train", "eval": options.evaluation}
    present = [part for part in splits if f"{part}_spikes_heldin" in arrays]
    observed, held_in = _one_shape(
        {f"{part}_spikes_heldin": arrays[f"{part}_spikes_heldin"] for part in present}
    )
    parts = [_part(arrays, part, splits[part], _benchmark_counts(arrays, part), options) for part in present]
    return parts, held_in, observed


def _one_shape(seen: Arrays) -> tuple[int, int]:
    """Bins and neurons that an encoder sees, the same in every split."""
    shapes = {array.shape[1:] for array in seen.values() if array.ndim == 3}
    if len(shapes) != 1 or any(array.ndim != 3 for array in seen.values()):
        listed = ", ".join(f"'{name}' {array.shape}" for name, array in seen.items())
        raise UndertowError(
            f"{listed} must have three axes, the last two of the same lengths; write the file anew."
        )
    return shapes.pop()


def _lfads_part(arrays: Arrays, split: str, name: str, options: Options) -> Part:
    seen = arrays[f"{split}_{name}"]
    counts = arrays.get(f"{split}_recon_data", seen)
    if counts.ndim != 3 or len(counts) != len(seen) or np.any(np.less(counts.shape, seen.shape)):
        raise UndertowError(
            f"'{split}_recon_data' has the shape {counts.shape}, but must hold the {seen.shape} of "
            f"'{split}_{name}' and may add neurons and later bins; write the file anew."
        )
    same = np.array_equal(counts[:, : seen.shape[1], : seen.shape[2]], seen, equal_nan=True)
    note = f"In '{split}' the encoder data differ from the reconstruction data, which were taken as counts."
    series = {
        ours: arrays[f"{split}_{stored}"]
        for ours, stored in _LFADS_SERIES.items()
        if f"{split}_{stored}" in arrays
    }
    widths = {series[ours].shape[-1] for ours in ("inputs", "true_inputs") if ours in series}
    if len(widths) > 1:  # they share one axis in trials
        del series["true_inputs"]
    if "true_rates" in series:
        series["true_rates"] = series["true_rates"] / (
            arrays.get("conversion_factor", 1.0) * options.bin_width
        )
    return _part(arrays, split, split, counts, options, series=series, notes=() if same else (note,))


_LFADS_SERIES = {"inputs": "ext_input", "true_rates": "truth", "true_inputs": "input_truth"}


def _benchmark_counts(arrays: Arrays, part: str) -> np.ndarray:
    """Held-in beside held-out neurons, forward after observed bins, NaN for what the file keeps back."""
    blocks = {
        (side, when): f"{part}_spikes_{side}{when}"
        for side in ("heldin", "heldout")
        for when in ("", "_forward")
    }
    present = {place: arrays[name] for place, name in blocks.items() if name in arrays}
    count, bins, held_in = present["heldin", ""].shape
    held_out = max([array.shape[2] for name, array in arrays.items() if "_spikes_heldout" in name], default=0)
    forward = max([array.shape[1] for (_, when), array in present.items() if when], default=0)
    counts = np.full((count, bins + forward, held_in + held_out), np.nan, dtype=np.float32)
    for (side, when), block in present.items():
        place = counts[:, bins:] if when else counts[:, :bins]
        place = place[:, :, :held_in] if side == "heldin" else place[:, :, held_in:]
        if block.shape != place.shape:
            raise UndertowError(
                f"'{blocks[side, when]}' has the shape {block.shape}, but beside the others it must have "
                f"{place.shape}; write the file anew."
            )
        place[:] = block
    return counts


def _part(
    arrays: Arrays,
    prefix: str,
    split: str,
    counts: np.ndarray,
    options: Options,
    *,
    series: Arrays | None = None,
    notes: tuple[str, ...] = (),
) -> Part:
    """A part with its behaviour, its condition and its columns."""
    names = BEHAVIOURS if options.behaviour is None else (options.behaviour,)
    found = [arrays[f"{prefix}_{name}"] for name in names if f"{prefix}_{name}" in arrays]
    fitting = [array for array in found if array.ndim == 3]
    labels = conditions(arrays.get(f"{prefix}_{options.condition or CONDITIONS}"), len(counts))
    columns = columns_of(arrays, f"{prefix}_", len(counts)) | labels
    columns.pop(CONDITIONS, None)
    return Part(
        split,
        counts,
        series={**(series or {}), **({"behaviour": fitting[0]} if fitting else {})},
        columns=columns,
        notes=notes,
    )
