"""What each `undertow nlb` command does, from its arguments to its result; `cli/nlb.py` shows it."""

from pathlib import Path

import xarray as xr

from undertow.data import store
from undertow.data.nlb import download, generate, input_tensors, prepare, tensor_files
from undertow.data.nlb.table import BIN_WIDTHS, DataSet, data_set
from undertow.experiments import cache
from undertow.experiments.commands.asked import Common
from undertow.experiments.nlb import baselines, scoring, submission
from undertow.experiments.nlb.results import Scored, Table
from undertow.experiments.opening_runs import open_session
from undertow.experiments.progress import Listener
from undertow.vocabulary import SPLITS, UndertowError


def run_download(name: str, out: Path, _: Common) -> str:
    """Get the published files; a sentence about them."""
    paths = download.download(name, out)
    return f"{data_set(name).title} is in {out}: {', '.join(path.name for path in paths)}."


def run_generate(name: str, out: Path, scale: float, common: Common) -> str:
    """Write generated files and the targets of their test trials at every bin width; a sentence about them."""
    row = data_set(name)
    files = generate.generate(name, out, scale=scale, seed=common.seed or 0)
    path = out / f"{row.name}_test_target.h5"
    for bin_width in BIN_WIDTHS:
        generate.generate_targets(name, files, path, bin_width=bin_width)
    return (
        f"Wrote {files.train} and {files.test}, in the layout of {row.title} but simulated; the targets of the test trials are "
        f"{path}."
    )


def run_prepare(
    name: str, source: Path, out: Path | None, bin_width: float, tensors: str | None, _: Common
) -> str:
    """Write trials and the targets of the validation phase; a sentence about them."""
    row = data_set(name)
    _check_bin_width(bin_width)
    if tensors is not None and tensors not in submission.PHASES:
        raise UndertowError(f"The benchmark has no phase '{tensors}'; take --tensors val or --tensors test.")
    out = Path(f"{row.name}.nc") if out is None else out
    trials = prepare.prepare(name, source, bin_width=bin_width)
    store.save(trials, out)
    sentence, facts = _sizes(row, trials), {"phase": "val", "source": trials.attrs["nlb_source"]}
    del trials  # of a long session they are large, and the targets need room
    written = [out, out.with_name(f"{row.name}_val_target.h5")]
    target = prepare.target(name, source, phase="val", bin_width=bin_width)
    tensor_files.write_targets(written[1], {row.group(bin_width): target}, facts=facts)
    if tensors is not None:
        # the windows of DMFC_RSG are jittered otherwise in the test phase
        of_phase = prepare.prepare(name, source, bin_width=bin_width, phase=tensors)
        written += _write_tensors(of_phase, out.with_name(f"{row.name}_{tensors}"), tensors)
    return f"{sentence} Wrote {', '.join(map(str, written))}."


def _sizes(row: DataSet, trials: xr.Dataset) -> str:
    splits = trials.split.values.astype(str)
    sizes = {split: int((splits == split).sum()) for split in SPLITS}
    held_out, forward = int(trials.held_out.values.sum()), int(trials.forward.values.sum())
    return (
        f"{row.title}: {sizes['train']} training, {sizes['valid']} validation and {sizes['test']} test trials, "
        f"{trials.sizes['neuron'] - held_out} held-in and {held_out} held-out neurons, {trials.sizes['time'] - forward} + "
        f"{forward} bins of {trials.attrs['bin_width'] * 1e3:g} ms."
    )


def run_baselines(
    name: str,
    trials: Path | None,
    target: Path | None,
    out: Path,
    models: tuple[str, ...],
    beside: tuple[Path, ...],
    common: Common,
    *,
    with_extras: bool,
) -> Table:
    """Fit the baselines and score them beside other runs."""
    cache.switch_on()
    row = data_set(name)
    trials = Path(f"{row.name}.nc") if trials is None else trials
    if not trials.is_file():
        raise UndertowError(
            f"There is no file '{trials}' with the trials of {row.title}; make it with `undertow nlb prepare {row.name} --from "
            "FOLDER`, or say where it is with --trials."
        )
    target = trials.with_name(f"{row.name}_val_target.h5") if target is None else target
    listener = Listener(is_quiet=common.quiet)
    return baselines.compare(
        row,
        trials,
        target,
        out,
        models=models,
        beside=beside,
        with_extras=with_extras,
        seed=common.seed or 0,
        listener=listener,
    )


def run_submit(run: Path, out: Path, phase: str, trials: Path | None, _: Common) -> str:
    """Write a submission; a sentence about it."""
    cache.switch_on()
    group = submission.submit(open_session(run), out, phase=phase, trials=trials)
    return f"Wrote the {'test' if phase == 'test' else 'validation'} rates of '{run}' as the group '{group}' of {out}."


def run_score(path: Path, target: Path, _: Common) -> Scored:
    """Score a submission."""
    return scoring.score_files(path, target)


def _write_tensors(trials: xr.Dataset, beginning: Path, phase: str) -> list[Path]:
    """Flat files of input tensors as the reference has them."""
    paths = []
    for kind, arrays in (
        ("train", input_tensors.train_tensors(trials, phase)),
        ("eval", input_tensors.eval_tensors(trials, phase)),
    ):
        paths.append(beginning.with_name(f"{beginning.name}_{kind}_input.h5"))
        tensor_files.write_tensors(paths[-1], arrays)
    return paths


def _check_bin_width(bin_width: float) -> None:
    if not any(abs(bin_width - known) < 1e-9 for known in BIN_WIDTHS):
        raise UndertowError(
            f"The benchmark knows bins of 0.005 and 0.02 s, not of {bin_width:g} s; take one of them with --bin-width."
        )
