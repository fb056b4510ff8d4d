"""The loop: epoch after epoch until the end, an early stop or a failure, with a state on disk from which it goes on exactly."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from pydantic import Field

from undertow.components.configuration import Configuration
from undertow.components.corruption import Corruption
from undertow.data.batches import EMPTY, TrialArrays
from undertow.models.base import DataSummary, ModelConfig, lies_below
from undertow.training import checkpoint, journal
from undertow.training.epoch import Counted, Epoch, build
from undertow.training.hyperparameters import CorruptionConfig, hyperparameters, masked_as
from undertow.training.objective import Objective
from undertow.training.opening import Opening, Start, check_opening, named_leaves, opened
from undertow.training.optimiser import Optimiser
from undertow.training.state import TrainState, start
from undertow.training.step import Plan
from undertow.vocabulary import UndertowError

FAILED_EPOCHS = 3
STATE = Path("state") / "state.safetensors"
CHECKPOINT_SECONDS = 10.0

SelectOn = Literal["auto", "all", "held_in", "held_out", "sample_validation"]

SELECTED_ON = {
    "all": "the likelihood of all neurons of the validation trials",
    "held_in": "the likelihood of the held-in neurons of the validation trials",
    "held_out": "the likelihood of the held-out neurons of the validation trials",
    "sample_validation": "the likelihood of the entries of the validation trials that sample validation never showed",
}
HIDDEN = ", where coordinated dropout or masks hid them from the encoders"
NOT_SELECTED = "nothing, because the run ended before its ramps: the last weights were kept"


class Training(Configuration):
    """How long and on what to train; all durations in epochs."""

    section: ClassVar[str] = "training"

    epochs: int = Field(300, ge=1, description="At most so many passes over the training trials")
    batch_size: int = Field(64, ge=1, description="Trials an update; fewer if there are fewer")
    patience: int = Field(
        300, ge=1, description="Stop when the selection score has not improved for so long, ramps excluded"
    )
    select_on: SelectOn = Field(
        "auto",
        description="Entries of the validation trials that decide which epoch is kept: 'auto' takes sample validation if it is "
        "on, else held-out neurons if there are any, else all",
    )
    validation_dropout: Literal["auto"] | Annotated[float, Field(ge=0, lt=1)] = Field(
        "auto",
        description="Share of entries that validation hides, and scores where it selects on all or held-in neurons; 'auto' is "
        "the rate of masks or coordinated dropout (in a search 0.3 for every member), 0 hides none",
    )
    validation_masks: int = Field(
        1,
        ge=1,
        description="Choices of what validation hides that the selection score averages, the same in every epoch",
    )


class Choices(NamedTuple):
    """Everything that a recipe says about training."""

    model: ModelConfig
    training: Training
    optimiser: Optimiser
    objective: Objective
    corruption: CorruptionConfig
    start: Start = Start()

    @property
    def trained(self) -> tuple[str, ...]:
        """The beginnings of the names of the leaves that move; none for all."""
        return self.start.trained(self.model)


class Progress(NamedTuple):
    """What a listener hears after each epoch."""

    epoch: int
    epochs: int
    seconds: float
    metrics: journal.Line


class Result(NamedTuple):
    """What a run ends with: its last state, what it was selected on, and how often its epoch was traced."""

    state: TrainState
    selected_on: str
    traces: int


def fit(
    choices: Choices,
    data: tuple[TrialArrays, TrialArrays],
    corruption: Corruption,
    folder: Path,
    *,
    seed: int,
    listen: Callable[[Progress], None],
    opening: Opening | None = None,
) -> Result:
    """Train to the end, going on from `folder`/state if there is one.

    Args:
        choices: the configurations.
        data: training and validation trials.
        corruption: what is concealed in every trial.
        folder: the run's folder; `state/` and `metrics.jsonl` are kept there.
        seed: of weights, shuffles and corruption.
        listen: called after each epoch.
        opening: weights to begin with, in place of chance.

    Raises:
        UndertowError: if counts lie outside the observation's support, or the run cannot recover from non-finite steps.
    """
    train, valid = (jax.tree.map(jnp.asarray, arrays) for arrays in data)
    epoch = epoch_of(choices, corruption, data[0])
    state, seconds = resume(folder, beginning(choices, data[0], seed=seed, opening=opening))
    changing, static = eqx.partition(state, eqx.is_array)
    compiled = jax.jit(
        lambda changing, train, valid: _arrays_of(epoch(eqx.combine(changing, static), train, valid)),
        donate_argnums=0,
    )
    journal.rewind(folder / "metrics.jsonl", int(state.epoch))
    last_saved, begun = time.monotonic(), time.monotonic() - seconds
    number = int(state.epoch)
    while not is_done(choices, state):
        changing, metrics = compiled(changing, train, valid)
        state = eqx.combine(changing, static)
        seconds = time.monotonic() - begun
        line = {
            "epoch": number,
            "seconds": round(seconds, 3),
            **{name: float(value) for name, value in metrics.items()},
        }
        number += 1
        journal.append(folder / "metrics.jsonl", line)
        _stop_if_lost(state, line, choices.model, choices.training.epochs)
        if time.monotonic() - last_saved > CHECKPOINT_SECONDS or is_done(choices, state):
            save(folder, state, seconds)
            last_saved = time.monotonic()
        listen(Progress(number, choices.training.epochs, seconds, line))
    has_selected = bool(jnp.isfinite(state.selection.best))
    return Result(state, selected_on(choices, corruption) if has_selected else NOT_SELECTED, epoch.traces)


def check(
    choices: Choices, corruption: Corruption, train: TrialArrays, opening: Opening | None = None
) -> None:
    """Find contradictions in the choices, and between them and the trials, before anything is written.

    Raises:
        UndertowError: a weight of no term of the model, selection on entries that do not exist, a model that such trials leave no
            room for, parts to train that it does not have, or weights to begin with that do not fit it.
    """
    choices.objective.weights_for(choices.model.term_weights())
    _selection(choices, corruption)
    summary = summarise(train)
    model = eqx.filter_eval_shape(lambda key: choices.model.build(summary, key=key), jax.random.key(0))
    check_opening(model, opening or {})
    if choices.trained and not any(
        lies_below(name, beginning) for name in named_leaves(model) for beginning in choices.trained
    ):
        raise UndertowError(
            f"Of this {choices.model.section} only {', '.join(choices.start.train) or 'read-in and read-out'} would train "
            "(--train), but it has no weights there; name other parts."
        )


def epoch_of(choices: Choices, corruption: Corruption, train: TrialArrays) -> Epoch:
    """The function of one epoch over these training trials, selecting as the choices say."""
    select_on = _selection(choices, corruption)
    return build(plan_of(choices, corruption, train), _counted(select_on, choices, corruption))


def plan_of(choices: Choices, corruption: Corruption, train: TrialArrays) -> Plan:
    """The sizes of an epoch over these training trials."""
    trials = len(train.counts)
    batch_size = min(choices.training.batch_size, trials)
    return Plan(
        objective=choices.objective,
        optimiser=choices.optimiser,
        corruption=_with_masks(choices, corruption),
        entries=float(np.isfinite(train.counts).sum() / trials),
        batch_size=batch_size,
        updates=trials // batch_size,
        epochs=choices.training.epochs,
        validation_dropout=None
        if choices.training.validation_dropout == "auto"
        else choices.training.validation_dropout,
        validation_masks=choices.training.validation_masks,
        trained=choices.trained,
    )


def _with_masks(choices: Choices, corruption: Corruption) -> Corruption:
    """The corruption with the kinds of masks that the choices name."""
    if corruption.masking is None:
        return corruption
    return dataclasses.replace(corruption, masking=masked_as(choices.corruption, corruption.masking))


def beginning(
    choices: Choices, train: TrialArrays, *, seed: int, opening: Opening | None = None
) -> TrainState:
    """The state before the first epoch: one compiled program, for many small ones would take longer to load."""
    summary = summarise(train, choices.model)
    begin = eqx.filter_jit(
        lambda key, mean, variance, opening: begin_from(choices, summary, key, mean, variance, opening)
    )
    return begin(jax.random.key(seed), summary.mean, summary.variance, opening)


def begin_from(
    choices: Choices,
    summary: DataSummary,
    key,
    mean: Array,
    variance: Array,
    opening: Opening | None = None,
) -> TrainState:
    """The state before the first epoch, as a pure function of the key and of the neurons' means and variances."""
    model_key, run_key = jax.random.split(key)
    model = choices.model.build(summary._replace(mean=mean, variance=variance), key=model_key)
    numbers = hyperparameters(choices.model, choices.optimiser, choices.objective, choices.corruption)
    return start(opened(model, opening), numbers, choices.optimiser, choices.trained, key=run_key)


def summarise(train: TrialArrays, config: ModelConfig | None = None) -> DataSummary:
    """The shape of the data and each neuron's mean and variance; a neuron never observed takes the mean of the others.

    With the choices of a model also what they measure themselves.
    """
    observed = np.isfinite(train.counts)
    counts = np.where(observed, train.counts, 0).astype(np.float64)
    entries, sums, squares = (
        by_neuron(of_columns.sum(1), train.neurons) for of_columns in (observed, counts, counts**2)
    )
    is_known = entries > 0
    mean = sums / np.maximum(entries, 1)
    variance = squares / np.maximum(entries, 1) - mean**2
    mean, variance = (np.where(is_known, values, values[is_known].mean()) for values in (mean, variance))
    seen = 0 if train.neurons is None else round(float((train.neurons != EMPTY).sum(1).mean()))
    return DataSummary(
        len(mean),
        train.inputs.shape[2],
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(variance, jnp.float32),
        bins=train.counts.shape[1],
        seen=seen,
        measured=()
        if config is None
        else config.measure(
            np.asarray(train.counts), None if train.around is None else np.asarray(train.around)
        ),
    )


def by_neuron(of_columns: np.ndarray, neurons: np.ndarray | None, number: int = 0) -> np.ndarray:
    """Numbers (trial, column) summed over trials for each of the model's neurons; `neurons` as in `TrialArrays`."""
    if neurons is None:
        return of_columns.sum(0, dtype=np.float64)
    is_there = neurons != EMPTY
    return np.bincount(neurons[is_there], weights=of_columns[is_there], minlength=number)


def is_begun(folder: Path) -> bool:
    """Whether the folder holds a state to go on from."""
    return (folder / STATE).exists()


def resume(folder: Path, state: TrainState) -> tuple[TrainState, float]:
    """The stored state of the run in `folder` and the seconds it has taken, or `state` and 0 if there is none."""
    if not is_begun(folder):
        return state, 0.0
    state, facts = checkpoint.read(folder / STATE, state)
    return state, float(facts["seconds"])


def save(folder: Path, state: TrainState, seconds: float) -> None:
    """Keep `state` so that a kill at any moment leaves either this one or the one before."""
    checkpoint.write(folder / STATE, state, facts={"seconds": f"{seconds:.3f}"})


def is_done(choices: Choices, state: TrainState) -> bool:
    """All epochs done, or no improvement for the patience; never before the ramps have ended."""
    epoch, ramps_end = int(state.epoch), choices.objective.ramps_end
    waited = epoch - 1 - max(int(state.selection.best_epoch), ramps_end)
    return epoch >= choices.training.epochs or waited >= choices.training.patience


def _arrays_of(outcome):
    state, metrics = outcome
    return eqx.filter(state, eqx.is_array), metrics


def _selection(choices: Choices, corruption: Corruption) -> str:
    has_held_out = bool(corruption.held_out.any())
    select_on = choices.training.select_on
    if select_on == "auto":
        select_on = "held_out" if has_held_out else "all"
        select_on = "sample_validation" if choices.corruption.sample_validation > 0 else select_on
    if select_on == "held_out" and not has_held_out:
        raise UndertowError(
            "The recipe selects on held-out neurons (training.select_on = 'held_out'), but no neuron of these trials is held "
            "out; hold some out with undertow.hold_out(trials, neurons=0.25) or `undertow convert --hold-out 0.25`."
        )
    if select_on == "sample_validation" and choices.corruption.sample_validation == 0:
        raise UndertowError(
            "The recipe selects on sample validation, but corruption.sample_validation is 0; set it to 0.2, for instance."
        )
    return select_on


def _counted(select_on: str, choices: Choices, corruption: Corruption) -> Counted | None:
    is_what_validation_counts = select_on == "all" and choices.corruption.sample_validation == 0
    if select_on == "sample_validation" or is_what_validation_counts:
        return None
    held_out = corruption.held_out
    neurons = {"all": jnp.ones_like(held_out), "held_in": ~held_out, "held_out": held_out}
    return Counted(
        neurons[select_on], jnp.ones_like(corruption.forward), with_dropout=select_on != "held_out"
    )


def selected_on(choices: Choices, corruption: Corruption) -> str:
    """What decides which weights are kept, in words."""
    select_on = _selection(choices, corruption)
    has_dropout = hidden_share(choices) > 0 and choices.corruption.sample_validation == 0
    return SELECTED_ON[select_on] + (HIDDEN if has_dropout and select_on in ("all", "held_in") else "")


def rewards_copying(choices: Choices, corruption: Corruption) -> bool:
    """Whether the selection score counts entries that the encoder sees, so that a model can copy them to its rates."""
    hides = hidden_share(choices) > 0 or choices.corruption.sample_validation > 0
    return not hides and _selection(choices, corruption) in ("all", "held_in")


def hidden_share(choices: Choices) -> float:
    """The share of entries that validation hides by masks or coordinated dropout."""
    share, corruption = choices.training.validation_dropout, choices.corruption
    return max(corruption.coordinated_dropout, corruption.mask_rate) if share == "auto" else share


def _stop_if_lost(state: TrainState, line: journal.Line, model: ModelConfig, epochs: int) -> None:
    failed = min(FAILED_EPOCHS, epochs)
    if int(state.failed_epochs) < failed:
        return
    bad = [name for name, value in line.items() if name.startswith("train/") and not math.isfinite(value)]
    named = (
        f"the term '{bad[0].removeprefix('train/')}' is not finite" if bad else "the gradient is not finite"
    )
    else_wrong = model.when_not_finite()
    raise UndertowError(
        f"Training cannot go on: in the last {failed} epochs, up to epoch {line['epoch']}, no step was finite ({named}); lower "
        f"optimiser.learning_rate (now {line['learning_rate']:.2g}) and look at the data with `undertow describe`"
        f"{'; ' + else_wrong if else_wrong else ''}."
    )
