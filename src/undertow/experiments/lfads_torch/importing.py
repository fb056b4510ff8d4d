"""From a checkpoint to a run folder that every other command accepts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from undertow.data.batches import known_inputs
from undertow.experiments import recipe as recipes
from undertow.experiments.fitted import Fitted
from undertow.experiments.fitting import environment
from undertow.experiments.lfads_torch import checkpoint as checkpoints
from undertow.experiments.lfads_torch.checkpoint import Checkpoint
from undertow.experiments.lfads_torch.choices import choose
from undertow.experiments.lfads_torch.layout import Layout, layout
from undertow.experiments.lfads_torch.weights import model_of, neurons_of
from undertow.experiments.material import fingerprint
from undertow.experiments.progress import Listener
from undertow.experiments.run_folder import Session
from undertow.files import write_bytes
from undertow.vocabulary import UndertowError, check_trials


def import_lfads_torch(
    checkpoint: str | Path,
    trials: xr.Dataset | None = None,
    *,
    out: str | Path,
    bin_width: float | None = None,
    session: int | None = None,
    settings: Sequence[str] = (),
    quiet: bool = False,
) -> Fitted:
    """The LFADS in a checkpoint of lfads-torch as a finished run, whose estimates are those that lfads-torch would make.

    Args:
        checkpoint: a Lightning checkpoint or a state dictionary (.ckpt, .pt, .safetensors). Nothing in it is executed.
        trials: those that it was trained on, or any of the same neurons in the same order; from them come the neurons' ids and
            the width of bins. Neurons beyond those that the encoders see become held-out, if the trials hold out none.
        out: the run's folder.
        bin_width: seconds, where there are no trials.
        session: which of several sessions in the checkpoint, counted from 0 in the order of their files' names.
        settings: in place of what the checkpoint says, such as 'lfads.lag=1'.
        quiet: say nothing.

    Returns:
        The fitted model. `fitted.infer(trials)` averages posterior samples as lfads-torch does; `samples=0` passes their means.

    Raises:
        UndertowError: no checkpoint, one of another model or of a variant that undertow can't reproduce (names what), trials with
            other neurons or inputs, or a folder that holds a run.
    """
    listener = Listener(is_quiet=quiet)
    return imported(
        checkpoint,
        trials,
        Path(out),
        bin_width=bin_width,
        session=session,
        settings=settings,
        say=listener.say,
    )[0]


def imported(
    path: str | Path,
    trials: xr.Dataset | None,
    folder: Path,
    *,
    bin_width: float | None,
    session: int | None,
    settings: Sequence[str],
    say: Callable[[str], None],
) -> tuple[Fitted, xr.Dataset | None]:
    """As `import_lfads_torch`; besides, the trials with what the checkpoint holds out and forecasts."""
    if (folder / "recipe.toml").exists():
        raise UndertowError(
            f"The folder '{folder}' holds a run already; choose another with --out, or remove it."
        )
    if trials is not None and not isinstance(trials, xr.Dataset):
        raise UndertowError(
            f"A checkpoint is taken over with the trials of one session, but these are a {type(trials).__name__}; choose a "
            "session of the checkpoint with session=0, 1, ... and give its trials alone."
        )
    checkpoint = checkpoints.read(path)
    found = layout(checkpoint, session)
    recipe, told = choose(
        checkpoint, found, tuple(settings), None if trials is None else check_trials(trials)
    )
    expected = None if trials is None else trials.sizes["neuron"]
    neurons = neurons_of(checkpoint, found, recipe.model.observation, expected)
    for sentence in (_summary(checkpoint, found, neurons), *told):
        say(sentence)
    if trials is not None:
        trials = fitting_trials(checkpoint, found, neurons, trials, say=say)
    known = _session(checkpoint, found, neurons, bin_width) if trials is None else Session.of(trials)
    model = model_of(checkpoint, found, recipe.model, neurons)
    fitted = Fitted(folder, recipe, model, known, _outcome(checkpoint))
    _write(fitted, checkpoint, trials)
    return fitted, trials


def fitting_trials(
    checkpoint: Checkpoint, found: Layout, neurons: int, trials: xr.Dataset, *, say: Callable[[str], None]
) -> xr.Dataset:
    """The trials with what the checkpoint holds out and forecasts, where they do not say so themselves.

    Raises:
        UndertowError: other numbers of neurons or inputs, or other neurons held out.
    """
    count, inputs = trials.sizes["neuron"], known_inputs(trials)
    if count != neurons:
        raise UndertowError(
            f"The checkpoint '{checkpoint.path}' gives rates of {neurons} neurons, {found.held_in} of which its encoders see, "
            f"but these trials have {count}; give the trials that it was trained on, and set lfads.observation if not poisson."
        )
    if inputs != found.inputs:
        raise UndertowError(
            f"The generator in '{checkpoint.path}' receives {found.inputs} known inputs, but these trials have {inputs}; give "
            "the same inputs."
        )
    is_held_out = np.arange(neurons) >= found.held_in
    if not trials.held_out.values.any() and is_held_out.any():
        trials = trials.assign_coords(held_out=("neuron", is_held_out))
        say(f"The encoders see the first {found.held_in} of {neurons} neurons; the others are held out.")
    if not np.array_equal(trials.held_out.values, is_held_out):
        raise UndertowError(
            f"The encoders in '{checkpoint.path}' see the first {found.held_in} of {neurons} neurons, but these trials hold out "
            f"{int(trials.held_out.sum())} others; order their neurons as in training, the held-out ones last."
        )
    return _with_forward(checkpoint, trials, say=say)


def _with_forward(checkpoint: Checkpoint, trials: xr.Dataset, *, say: Callable[[str], None]) -> xr.Dataset:
    """Bins beyond those of training's encoders are to be forecast, where the trials are as long as training's."""
    seen, all_bins = (checkpoint.hyperparameters.get(name) for name in ("encod_seq_len", "recon_seq_len"))
    bins = trials.sizes["time"]
    if trials.forward.values.any() or None in (seen, all_bins) or seen >= all_bins or bins != all_bins:
        return trials
    say(f"The encoders see the first {seen} of {bins} bins; the others are to be forecast.")
    return trials.assign_coords(forward=("time", np.arange(bins) >= seen))


def _session(checkpoint: Checkpoint, found: Layout, neurons: int, bin_width: float | None) -> Session:
    if bin_width is None:
        raise UndertowError(
            f"'{checkpoint.path}' does not say how long a bin is; give the trials that it was trained on, or --bin-width (s)."
        )
    if not bin_width > 0:
        raise UndertowError(f"A bin of {bin_width:g} s can't be; give --bin-width in seconds, e.g. 0.02.")
    return Session(
        name=checkpoint.path.stem,
        bin_width=float(bin_width),
        neurons=list(range(neurons)),
        held_out=[neuron >= found.held_in for neuron in range(neurons)],
        inputs=found.inputs,
        bins=int(checkpoint.hyperparameters.get("recon_seq_len", 0)),
    )


def _summary(checkpoint: Checkpoint, found: Layout, neurons: int) -> str:
    sizes = found.sizes
    inferred = sizes["inferred_inputs"]
    parts = [
        f"{neurons} neurons"
        + (f", of which the encoders see {found.held_in}" if found.held_in < neurons else ""),
        f"a generator of {sizes['generator']}",
        f"{sizes['factors']} factors",
        f"{inferred} inferred inputs" if inferred else "no controller",
        *([f"{found.inputs} known inputs"] if found.inputs else []),
        *([f"a read-in to {sizes['read_in']}"] if sizes["read_in"] else []),
    ]
    epoch = checkpoint.progress.get("epoch")
    when = "" if epoch is None else f" after epoch {epoch}"
    return f"Read the LFADS of '{checkpoint.path}'{when}: {', '.join(parts)}."


def _outcome(checkpoint: Checkpoint) -> dict[str, Any]:
    epoch = checkpoint.progress.get("epoch", 0)
    return {
        "selected_on": "what made lfads-torch keep this checkpoint",
        "selected_epoch": epoch,
        "epochs": epoch,
        "updates": checkpoint.progress.get("global_step", 0),
        "seconds": 0.0,
        "skipped_steps": 0,
    }


def _write(fitted: Fitted, checkpoint: Checkpoint, trials: xr.Dataset | None) -> None:
    """The folder, as a fit leaves it; without trials it does not know to which it belongs."""
    provenance = {
        "seed": fitted.recipe.seed,
        "trials_fingerprint": None if trials is None else fingerprint(trials),
        "imported_from": f"lfads-torch, {checkpoint.path.resolve()}",
        **environment(),
    }
    write_bytes(fitted.folder / "provenance.json", json.dumps(provenance, indent=1).encode())
    write_bytes(fitted.folder / "recipe.toml", recipes.to_toml(fitted.recipe).encode())
    fitted.save()
