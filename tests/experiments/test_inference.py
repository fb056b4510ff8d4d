"""Inference on other trials than those of training: other lengths, fewer or reordered neurons, chunks, files."""

import numpy as np
import pytest
from tiny_trials import make_trials

import undertow as ut
from undertow.experiments import inference
from undertow.vocabulary import UndertowError


@pytest.fixture(scope="module")
def estimate(fitted, trials):
    return fitted.infer(trials, samples=3)


def close(first, second):
    for name in first.data_vars:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_estimate_is_the_mean_over_samples_in_hertz(fitted, trials, estimate):
    """Against the model called by hand, trial by trial and sample by sample."""
    import jax
    import jax.numpy as jnp

    trial = 2
    counts = np.where(trials.held_out.values, np.nan, trials.counts[trial].values)
    key = jax.random.fold_in(jax.random.key(fitted.recipe.seed), trial)
    samples = [
        fitted.model.estimate(
            jnp.asarray(counts), jnp.asarray(trials.inputs[trial].values), key=jax.random.fold_in(key, number)
        )
        for number in range(3)
    ]
    rates = np.stack([sample["rates"] for sample in samples]) / 0.02
    np.testing.assert_allclose(estimate.rates[trial], rates.mean(0), rtol=1e-4)
    np.testing.assert_allclose(estimate.rates_sd[trial], rates.std(0, ddof=1), rtol=1e-2, atol=1e-3)
    factors = np.stack([sample["factors"] for sample in samples])
    np.testing.assert_allclose(estimate.factors[trial], factors.mean(0), rtol=1e-3, atol=1e-5)


def test_the_estimate_lies_on_the_trials_coordinates(trials, estimate):
    assert estimate.rates.dims == ("trial", "time", "neuron")
    for name in ("time", "neuron", "split", "condition", "held_out"):
        np.testing.assert_array_equal(estimate[name], trials[name])
    assert estimate.attrs["bin_width"] == 0.02
    assert estimate.attrs["samples"] == 3


def test_bins_after_a_trials_end_are_not_estimated(trials, estimate):
    is_after = np.isnan(trials.counts.values).all(2)
    assert is_after.any()
    for name in ("rates", "rates_sd", "factors"):
        np.testing.assert_array_equal(
            np.isnan(estimate[name]).all("neuron" if "rates" in name else "factor"), is_after
        )


def test_a_single_sample_has_no_deviation(fitted, trials):
    assert set(fitted.infer(trials, samples=1).data_vars) == {"rates", "factors"}


@pytest.mark.parametrize("bins", [3, 20])
def test_fewer_and_more_bins(fitted, bins):
    other = make_trials(trials=3, bins=bins, seed=5)
    estimate = fitted.infer(other, samples=2)
    assert estimate.rates.shape == (3, bins, 4)
    assert np.isfinite(estimate.rates[0]).all()


def test_permuted_neurons_change_nothing(fitted, trials, estimate):
    shuffled = fitted.infer(trials.isel(neuron=[2, 0, 3, 1]), samples=3)
    np.testing.assert_array_equal(shuffled.neuron, trials.neuron)
    close(shuffled, estimate)


def test_missing_neurons_count_as_not_observed(fitted, trials):
    fewer = fitted.infer(trials.isel(neuron=[0, 3]), samples=2)
    blanked = trials.copy(deep=True)
    blanked.counts[:, :, 1:3] = np.nan
    np.testing.assert_array_equal(fewer.neuron, ["a", "b", "c", "d"])
    close(fewer, fitted.infer(blanked, samples=2))
    assert fewer.held_out.dtype == bool


def test_the_models_held_out_neurons_are_never_shown(fitted, trials):
    told = trials.assign_coords(held_out=("neuron", np.zeros(4, bool)))
    other = told.copy(deep=True)
    other.counts[:, :, 2] += 5
    close(fitted.infer(told, samples=2), fitted.infer(other, samples=2))


@pytest.mark.parametrize("entries", [1, 100, 400])
def test_chunks_change_nothing(fitted, trials, estimate, monkeypatch, entries):
    monkeypatch.setattr(inference, "CHUNK_ENTRIES", entries)
    chunked = fitted.infer(trials, samples=3)
    close(chunked, estimate)
    assert chunked.sizes == estimate.sizes


def test_a_file_holds_what_memory_would(fitted, trials, estimate, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "CHUNK_ENTRIES", 150)
    stored = fitted.infer(trials, samples=3, out=tmp_path / "estimate.nc")
    close(stored.load(), estimate)
    assert set(stored.data_vars) == set(estimate.data_vars)
    assert set(stored.coords) == set(estimate.coords)
    stored.close()
    assert [path.name for path in tmp_path.iterdir()] == ["estimate.nc"]
    close(ut.open_estimate(tmp_path / "estimate.nc"), estimate)


def test_the_trials_are_not_modified(fitted, trials):
    before = trials.copy(deep=True)
    fitted.infer(trials.isel(neuron=[1, 0]), samples=1)
    assert trials.identical(before)


def test_trials_in_which_nothing_was_observed(fitted, trials):
    blank = trials.copy(deep=True)
    blank.counts[3] = np.nan
    estimate = fitted.infer(blank, samples=2)
    assert np.isnan(estimate.rates[3]).all()
    assert np.isfinite(estimate.rates[2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign_coords(neuron=["a", "b", "c", "e"]), "1 of 4 neurons .*the first is 'e'"),
        (lambda t: t.drop_vars("inputs"), "have 0 known inputs, but the model was fitted with 1"),
        (
            lambda t: t.assign_coords(time=t.time * 2).assign_attrs(bin_width=0.04),
            r"bins of 0\.04 s, but the model was fitted to bins of 0\.02 s",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(fitted, trials, tmp_path, change, message):
    with pytest.raises(UndertowError, match=message) as raised:
        fitted.infer(change(trials), out=tmp_path / "estimate.nc")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_without_samples_posterior_means_pass_on(fitted, trials):
    """Against the model called by hand without a key; nothing is drawn, so that seeds change nothing."""
    import jax.numpy as jnp

    estimate = fitted.infer(trials, samples=0)
    counts = np.where(trials.held_out.values, np.nan, trials.counts[2].values)
    expected = fitted.model.estimate(jnp.asarray(counts), jnp.asarray(trials.inputs[2].values), key=None)
    np.testing.assert_allclose(estimate.rates[2], expected["rates"] / 0.02, rtol=1e-5)
    assert set(estimate.data_vars) == {"rates", "factors"}
    assert estimate.attrs["samples"] == 0
    assert estimate.identical(fitted.infer(trials, samples=0, seed=99))


def test_samples_are_not_negative(fitted, trials):
    with pytest.raises(UndertowError, match="from -2 posterior samples"):
        fitted.infer(trials, samples=-2)
