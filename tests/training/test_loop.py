"""A run from beginning to end: traces, early stopping, failure, interruption and resumption to the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import Tiny, choices, corruption, same_bits, trial_arrays

from undertow.training import journal, loop
from undertow.vocabulary import UndertowError

TRAIN, VALID = trial_arrays(), trial_arrays(7, seed=1, first=12)


def fit(folder, chosen=None, *, listen=lambda _: None, data=(TRAIN, VALID), seed=4):
    return loop.fit(chosen or choices(), data, corruption(), folder, seed=seed, listen=listen)


def test_a_run_is_traced_once_and_writes_a_line_an_epoch(tmp_path):
    heard = []
    result = fit(tmp_path, listen=heard.append)
    assert result.traces == 1
    assert result.selected_on == loop.SELECTED_ON["held_out"]
    lines = journal.read(tmp_path / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == list(range(6))
    assert [progress.epoch for progress in heard] == list(range(1, 7))
    assert int(result.state.update) == 12


def test_a_run_that_ends_before_its_ramps_keeps_its_last_weights_and_says_so(tmp_path):
    result = fit(tmp_path, choices(training={"epochs": 2}, objective={"kl_ramp": 5}))
    assert same_bits(result.state.best_model, result.state.model)
    assert result.selected_on == loop.NOT_SELECTED


@pytest.mark.parametrize("ramp", [2, 9])
def test_early_stopping_waits_for_the_ramps_and_the_patience(tmp_path, ramp):
    """A learning rate of next to nothing under a growing weight decay never improves the score."""
    optimiser = {"learning_rate": 0.5, "schedule": "constant", "smallest_learning_rate": 0}
    chosen = choices(
        training={"epochs": 60, "patience": 4},
        objective={"kl_ramp": ramp, "penalty_ramp": 0},
        optimiser=optimiser,
    )
    result = fit(tmp_path, chosen)
    epochs, best = int(result.state.epoch), int(result.state.selection.best_epoch)
    assert best >= ramp
    assert epochs - 1 == max(best, ramp) + 4
    assert epochs < 60


def test_the_rest_of_the_schedule_is_not_shortened_by_the_ramp():
    state = loop.beginning(choices(), TRAIN, seed=0)
    patient = choices(training={"epochs": 100, "patience": 3}, objective={"kl_ramp": 50})
    for epoch in range(50 + 3):
        assert not loop.is_done(patient, state._replace(epoch=np.int32(epoch)))
    assert loop.is_done(patient, state._replace(epoch=np.int32(50 + 4)))


def test_a_run_that_cannot_recover_names_the_term(tmp_path):
    broken = choices(Tiny(noise=1e30), training={"epochs": 50})
    with pytest.raises(UndertowError, match=r"the term '\w+' is not finite.*learning_rate") as raised:
        fit(tmp_path, broken)
    assert "\n" not in str(raised.value)
    lines = journal.read(tmp_path / "metrics.jsonl")
    assert len(lines) == loop.FAILED_EPOCHS
    assert lines[-1]["skipped"] == 2 * loop.FAILED_EPOCHS


def test_a_trial_that_spoils_some_steps_does_not_stop_the_run(tmp_path):
    spoiled = TRAIN._replace(inputs=TRAIN.inputs.copy())
    spoiled.inputs[3, 0, 0] = np.inf
    result = fit(tmp_path, choices(training={"epochs": 8}), data=(spoiled, VALID))
    assert 0 < int(result.state.skipped) < 16
    assert int(result.state.epoch) == 8
    assert all(np.isfinite(line["train/total"]) for line in journal.read(tmp_path / "metrics.jsonl"))


@pytest.mark.parametrize("stop_at", [1, 4])
@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_interrupted_and_resumed_gives_the_same_bits(tmp_path, monkeypatch, stop_at, seconds):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", seconds)

    def stop(progress):
        if progress.epoch == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", listen=stop)
    assert (tmp_path / "stopped" / "state" / "state.safetensors").exists() == (seconds == 0)
    heard = []
    resumed = fit(tmp_path / "stopped", listen=heard.append)
    assert heard[0].epoch == (stop_at + 1 if seconds == 0 else 1)
    straight = fit(tmp_path / "straight")
    assert same_bits(resumed.state, straight.state)
    assert resumed.traces == 1
    first, second = (_without_times(tmp_path / name / "metrics.jsonl") for name in ("stopped", "straight"))
    assert first == second


def _without_times(path):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in journal.read(path)]


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = fit(tmp_path)
    heard = []
    again = fit(tmp_path, listen=heard.append)
    assert not heard
    assert same_bits(first.state, again.state)


CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tiny_model import Tiny, choices, corruption, trial_arrays
from undertow.training import loop

loop.CHECKPOINT_SECONDS = 0.0
def die(progress):
    if progress.epoch == 3:
        print("saved", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
data = trial_arrays(), trial_arrays(7, seed=1, first=12)
loop.fit(choices(), data, corruption(), Path(sys.argv[1]), seed=4, listen=die)
"""


def test_killed_and_resumed_gives_the_same_bits(tmp_path):
    arguments = [sys.executable, "-c", CHILD, str(tmp_path / "killed"), str(Path(__file__).parent)]
    child = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=120, env=os.environ
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    heard = []
    resumed = fit(tmp_path / "killed", listen=heard.append)
    assert heard[0].epoch == 4
    assert same_bits(resumed.state, fit(tmp_path / "straight").state)


def test_another_seed_is_another_run(tmp_path):
    assert not same_bits(fit(tmp_path / "a", seed=1).state.model, fit(tmp_path / "b", seed=2).state.model)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"training": {"select_on": "sample_validation"}}, "corruption.sample_validation is 0"),
        ({"objective": {"weights": {"kl_cod": 1.0}}}, "did you mean 'kl_code'"),
    ],
)
def test_contradictions_are_found_before_anything_is_written(sections, message):
    with pytest.raises(UndertowError, match=message):
        loop.check(choices(**sections), corruption(), TRAIN)


def test_selecting_on_held_out_neurons_needs_some():
    with pytest.raises(UndertowError, match="no neuron of these trials is held out"):
        loop.check(choices(training={"select_on": "held_out"}), corruption(held_out=np.zeros(4, bool)), TRAIN)


def test_the_summary_is_that_of_the_observed_entries():
    summary = loop.summarise(TRAIN._replace(counts=np.where(np.arange(4) == 2, np.nan, TRAIN.counts)))
    known = [0, 1, 3]
    np.testing.assert_allclose(
        summary.mean[np.array(known)], np.nanmean(TRAIN.counts, (0, 1))[known], rtol=1e-5
    )
    np.testing.assert_allclose(
        summary.variance[np.array(known)], np.nanvar(TRAIN.counts, (0, 1))[known], rtol=1e-4
    )
    np.testing.assert_allclose(summary.mean[2], summary.mean[np.array(known)].mean(), rtol=1e-5)
    assert (summary.neurons, summary.inputs) == (4, 1)
