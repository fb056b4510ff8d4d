"""Output files of lfads-torch, `lfads_output_*.h5`, as estimates: a copy of its input file, and beside it for each split

    {split}_output_params   (trial, time, neuron)   means a bin: `rates`, which are in Hz
    {split}_factors         (trial, time, factor)   `factors`
    {split}_gen_states      (trial, time, latent)   `latents`
    {split}_ic_mean, _ic_std       (trial, initial)         `initial_condition` and `initial_condition_sd`
    {split}_co_means, _co_stds     (trial, time, input)     `inferred_inputs` and `inferred_inputs_sd`

`gen_init`, `gen_inputs` and `con_states` have no place in an estimate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from undertow.data.readers import hdf5
from undertow.data.readers.hdf5_layouts import Options, lfads_parts
from undertow.data.readers.hdf5_parts import joined
from undertow.vocabulary import ESTIMATE_SCHEMA, ESTIMATE_VARIABLES, UndertowError

_NAMES = {
    "rates": "output_params",
    "factors": "factors",
    "latents": "gen_states",
    "initial_condition": "ic_mean",
    "initial_condition_sd": "ic_std",
    "inferred_inputs": "co_means",
    "inferred_inputs_sd": "co_stds",
}
_ROW = "row_of_file"


def read(path: str | Path, *, bin_width: float | None = None) -> xr.Dataset:
    """The estimate in an output file of lfads-torch, on the trials that `load` makes of the same file, in the same order.

    Raises:
        UndertowError: another file, no bin width, or shapes that disagree.
    """
    source = Path(path)
    group, arrays = hdf5.arrays_of(source)
    if "train_output_params" not in arrays or "train_encod_data" not in arrays:
        raise UndertowError(
            f"'{source}' holds no estimate of lfads-torch (train_output_params beside train_encod_data); give a file that its "
            "posterior sampling wrote, lfads_output_*.h5, or load it as trials."
        )
    width = hdf5.bin_width_of(bin_width, group, arrays, source)
    parts, held_in, observed = lfads_parts(arrays, Options(width, None, None, "test"))
    begin = 0
    for part in parts:
        part.columns[_ROW] = np.arange(begin, begin + len(part.counts))
        begin += len(part.counts)
    trials = joined(
        parts, bin_width=width, held_in=held_in, observed=observed, session=source.stem, order="inds"
    )
    splits, rows = [part.split for part in parts], trials[_ROW].values
    found = {}
    for name, stored in _NAMES.items():
        if f"train_{stored}" in arrays and arrays[f"train_{stored}"].shape[-1]:
            values = _joined(arrays, splits, stored, source)[rows].astype(np.float32)
            axes = ESTIMATE_VARIABLES[name.removesuffix("_sd")]
            found[name] = (axes, values / np.float32(width) if name == "rates" else values)
    attrs = {name: trials.attrs[name] for name in ("bin_width", "session")}
    return xr.Dataset(found, coords=trials.drop_vars(_ROW).coords, attrs={**attrs, "schema": ESTIMATE_SCHEMA})


def _joined(arrays: dict[str, np.ndarray], splits: list[str], stored: str, path: Path) -> np.ndarray:
    """One array of all splits; NaN for a split that was not estimated."""
    found = []
    for split in splits:
        expected = (len(arrays[f"{split}_encod_data"]), *arrays[f"train_{stored}"].shape[1:])
        found.append(arrays.get(f"{split}_{stored}", np.full(expected, np.nan, np.float32)))
        if found[-1].shape != expected:
            raise UndertowError(
                f"'{split}_{stored}' in '{path}' has the shape {found[-1].shape}, but must have {expected}; write the file anew."
            )
    return np.concatenate(found)
