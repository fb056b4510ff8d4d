"""Which scores an estimate gets, that they are those of the parts, and that they can be written as JSON."""

import json

import numpy as np
import pytest
import xarray as xr

from undertow.data.simulate import SYSTEMS
from undertow.evaluation import likelihood
from undertow.evaluation.scores import evaluate
from undertow.evaluation.yardstick import yardstick
from undertow.vocabulary import UndertowError

LIKELIHOODS = {"bits_per_spike", "co_smoothing", "forward_prediction"}


@pytest.fixture(scope="module")
def trials():
    """A chaotic network with pulses; neurons held out, bins to forecast, and two of its units as behaviour."""
    simulated = SYSTEMS["chaotic-rnn"](neurons=20, conditions=12, repeats=10, bins=40, pulses=True)
    behaviour = simulated.true_latents.values[:, :, :2].copy()
    behaviour[0, :4] = np.nan
    return simulated.assign(behaviour=(("trial", "time", "behaviour_channel"), behaviour)).assign_coords(
        held_out=("neuron", np.arange(20) % 4 == 0), forward=("time", np.arange(40) >= 35)
    )


@pytest.fixture(scope="module")
def estimate(trials):
    """The truth itself."""
    truth = {
        "rates": trials.true_rates,
        "factors": (("trial", "time", "factor"), 2 * trials.true_latents.values),
    }
    inferred_inputs = (("trial", "time", "inferred_input"), -trials.true_inputs.values)
    return xr.Dataset({**truth, "inferred_inputs": inferred_inputs}, coords=trials.coords)


def test_the_truth_gets_every_score_and_beats_the_yardstick(trials, estimate):
    result = evaluate(estimate, trials, yardstick=yardstick(trials))
    assert list(result) == ["train", "valid"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    model, smoothing = result["valid"]["model"], result["valid"]["yardstick"]
    assert model["rate_r2"] == pytest.approx(1)
    assert model["latent_r2_inferred_to_true"] == pytest.approx(1, abs=1e-5)
    assert model["latent_r2_true_to_inferred_mean"] == pytest.approx(1, abs=1e-5)
    assert model["pulse_within_2_bins"] == 1
    assert set(smoothing) == {name for name in model if not name.startswith(("latent", "pulse"))}
    assert {name for name in model if name in LIKELIHOODS} == LIKELIHOODS
    for name in ("co_smoothing", "forward_prediction", "psth_r2", "rate_r2", "decoding_r2"):
        assert model[name] > smoothing[name]


def test_likelihoods_are_those_of_the_entries_they_name(trials, estimate):
    scores = evaluate(estimate, trials, splits=["valid"])["valid"]["model"]
    part = trials.split.values == "valid"
    rates, counts = estimate.rates.values[part] * 0.01, trials.counts.values[part]
    held_out, forward = trials.held_out.values, trials.forward.values
    entries = {
        "bits_per_spike": np.ix_(range(len(rates)), ~forward, ~held_out),
        "co_smoothing": np.ix_(range(len(rates)), ~forward, held_out),
        "forward_prediction": np.ix_(range(len(rates)), forward, held_out | True),
    }
    for name, which in entries.items():
        assert scores[name] == pytest.approx(likelihood.bits_per_spike(rates[which], counts[which]), abs=1e-6)
        neurons = which[2].ravel()
        null = trials.counts.values[~part].mean(axis=(0, 1), dtype=np.float64)[neurons]
        expected = likelihood.bits_per_spike(rates[which], counts[which], null_rates=null)
        assert scores[f"{name}_over_training_mean"] == pytest.approx(expected, abs=1e-6)


def test_a_recording_without_truth_gets_only_what_can_be_known(trials, estimate):
    plain = trials.drop_vars(
        ["true_rates", "true_latents", "true_inputs", "behaviour", "condition", "pulse_time"]
    )
    plain = plain.assign_coords(held_out=("neuron", np.zeros(20, bool)), forward=("time", np.zeros(40, bool)))
    scores = evaluate(estimate, plain, splits=["valid"])["valid"]["model"]
    assert set(scores) == {"bits_per_spike", "bits_per_spike_over_training_mean"}


def test_undefined_numbers_are_left_out(trials, estimate):
    silent = trials.assign(counts=trials.counts * (trials.split == "train").astype(np.float32))
    scores = evaluate(estimate, silent, splits=["valid"])["valid"]["model"]
    assert not LIKELIHOODS & set(scores)
    assert "rate_r2" in scores


def test_lags_reach_the_decoder(trials, estimate):
    late = trials.behaviour.values.copy()
    late[:, 5:], late[:, :5] = trials.behaviour.values[:, :-5], np.nan
    shifted = trials.assign(behaviour=(trials.behaviour.dims, late))
    reached = [
        evaluate(estimate, shifted, splits=["valid"], lags=lags)["valid"]["model"]["decoding_r2"]
        for lags in (0, 5)
    ]
    assert reached[1] > max(0.8, reached[0])


def test_an_estimate_of_something_else_is_refused(trials, estimate):
    with pytest.raises(UndertowError, match="model has no 'rates'"):
        evaluate(estimate.drop_vars("rates"), trials)
    with pytest.raises(UndertowError, match=r"yardstick have the shape \(119, 40, 20\)"):
        evaluate(estimate, trials, yardstick=estimate.isel(trial=slice(1, None)))
    with pytest.raises(UndertowError, match="neurons of the model are not those"):
        evaluate(estimate.assign_coords(neuron=np.arange(20) + 1), trials)
    with pytest.raises(UndertowError, match="'validation'; did you mean 'valid'"):
        evaluate(estimate, trials, splits=["validation"])
