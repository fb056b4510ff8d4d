"""One battery for every baseline: what they owe, as every model does, on a small recording."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undertow as ut
from undertow.baselines import BASELINES
from undertow.baselines.gpfa import GPFA
from undertow.baselines.pca import PCA
from undertow.baselines.psth import PSTH
from undertow.baselines.slds import SLDS
from undertow.baselines.smoothing import Smoothing
from undertow.components.corruption import Corrupted
from undertow.evaluation.likelihood import bits_per_spike
from undertow.experiments import pipeline
from undertow.experiments.progress import Listener
from undertow.experiments.recipe import Recipe
from undertow.training.loop import summarise
from undertow.vocabulary import UndertowError

ROWS = {
    "smoothing": Smoothing(widths=(0.03, 0.06), alphas=(0.1, 1.0), folds=2),
    "gpfa": GPFA(candidates=(1, 2), iterations=12, alphas=(0.01, 0.1), folds=2),
    "slds": SLDS(states=2, factors=2, iterations=8, alphas=(0.01, 0.1), folds=2),
    "psth": PSTH(widths=(0.03, 0.06), folds=2),
    "pca": PCA(code=3),
}


def test_every_baseline_of_the_table_is_tried():
    assert {name: type(config) for name, config in ROWS.items()} == BASELINES


@pytest.fixture(scope="module", params=ROWS.values(), ids=ROWS.keys())
def fitted(request, population, tmp_path_factory):
    return ut.fit(request.param, population, out=tmp_path_factory.mktemp("run") / "it", quiet=True)


@pytest.fixture(scope="module")
def estimate(fitted, population):
    return fitted.infer(population)


def test_rates_are_positive_numbers_for_every_neuron_and_bin(estimate, population):
    inside = np.isfinite(population.counts.values).any(axis=2) | population.forward.values
    assert np.isfinite(estimate.rates.values).all(axis=2)[0].all()
    assert (estimate.rates.values[inside & np.isfinite(estimate.rates.values).all(axis=2)] > 0).all()


def test_it_beats_constant_rates_on_validation_trials(fitted, estimate, population):
    chosen = (population.split.values == "valid")[:, None, None] & population.held_out.values
    counts = np.where(chosen & ~population.forward.values[None, :, None], population.counts.values, np.nan)
    assert bits_per_spike(estimate.rates.values, counts, bin_width=0.02) > 0.1


def test_a_run_reads_back_to_the_same_bits(fitted, estimate, population):
    again = ut.open(fitted.folder)
    assert again.recipe == fitted.recipe
    assert again.infer(population).identical(estimate)


def test_it_repeats_and_a_finished_run_is_taken_up(fitted, estimate, population, tmp_path):
    other = ut.fit(ROWS[fitted.recipe.model.section], population, out=tmp_path / "other", quiet=True)
    assert other.infer(population).identical(estimate)
    written = (fitted.folder / "model.safetensors").stat().st_mtime_ns
    ut.fit(ROWS[fitted.recipe.model.section], population, out=fitted.folder, quiet=True)
    assert (fitted.folder / "model.safetensors").stat().st_mtime_ns == written


def test_what_is_not_seen_does_not_matter(fitted, estimate, population):
    other = population.copy(deep=True)
    other.counts[:, :, population.held_out.values] += 5
    other.counts[:, population.forward.values] = np.nan
    np.testing.assert_array_equal(fitted.infer(other).rates.values, estimate.rates.values)


def test_padding_does_not_matter(fitted, population):
    def estimate(seen):
        inputs = jnp.zeros((len(seen), 1))
        return fitted.model.estimate(jnp.asarray(seen), inputs, key=jax.random.key(0))["rates"]

    seen = population.counts.values[0].copy()
    seen[:, population.held_out.values] = np.nan
    seen = seen[:20]
    padded = np.concatenate([seen, np.full((10, seen.shape[1]), np.nan, np.float32)])
    np.testing.assert_allclose(jax.jit(estimate)(padded)[:20], jax.jit(estimate)(seen), rtol=2e-3)


def test_a_trial_of_which_nothing_is_seen_has_rates(fitted, population):
    other = population.copy(deep=True)
    other.counts[0] = np.nan
    assert np.isfinite(fitted.infer(other).rates.values[0, population.forward.values]).all()


def test_validation_and_test_trials_take_no_part_in_fitting(fitted, estimate, population, tmp_path):
    other = population.copy(deep=True)
    other.counts[(population.split.values != "train")] = 1.0
    again = ut.fit(ROWS[fitted.recipe.model.section], other, out=tmp_path / "other", quiet=True)
    train = population.split.values == "train"
    np.testing.assert_array_equal(again.infer(other).rates.values[train], estimate.rates.values[train])


def test_the_reconstruction_is_the_likelihood_of_the_estimate(fitted, population):
    counts = jnp.asarray(population.counts.values[0])
    inputs = jnp.zeros((len(counts), 1))
    corrupted = Corrupted(counts, counts, jnp.ones_like(counts))
    terms = fitted.model.terms(corrupted, inputs, {}, key=jax.random.key(0))
    rates = fitted.model.estimate(counts, inputs, key=jax.random.key(0))["rates"]
    expected = -jax.scipy.stats.poisson.logpmf(counts, rates).sum()
    np.testing.assert_allclose(terms["reconstruction"], expected, rtol=1e-4)
    assert fitted.model.penalties() == {}


def test_one_sample_is_enough(fitted, estimate):
    assert fitted.samples == 1
    assert estimate.attrs["samples"] == 1
    assert "rates_sd" not in estimate


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS.keys())
def test_before_it_is_fitted_it_has_finite_rates(config, population):
    from undertow.data.batches import training_arrays

    train, _ = training_arrays(population)
    summary = summarise(train)._replace(bins=train.counts.shape[1], conditions=2, bin_width=0.02)
    model = config.build(summary, key=jax.random.key(0))
    inputs = jnp.zeros((train.counts.shape[1], 1))
    rates = model.estimate(jnp.asarray(train.counts[0]), inputs, key=jax.random.key(0))["rates"]
    assert np.isfinite(rates).all()
    assert config.settings() == {}


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS.keys())
def test_a_search_is_refused_in_one_sentence(config, population, tmp_path):
    with pytest.raises(UndertowError, match=f"undertow fit {config.section}"):
        ut.search(config, population, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_the_report_leaves_the_picture_of_learning_out(population, tmp_path):
    recipe = Recipe(ROWS["psth"])
    scores = pipeline.run(recipe, population, tmp_path / "run", source=None, listener=Listener(is_quiet=True))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert scores["model"] == "psth"
    assert "What was recorded" in page
    assert "How it learned" not in page


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS.keys())
def test_it_fits_where_nothing_is_held_out(config, population, tmp_path):
    whole = population.assign_coords(
        held_out=("neuron", np.zeros(population.sizes["neuron"], bool)),
        forward=("time", np.zeros(population.sizes["time"], bool)),
    )
    fitted = ut.fit(config, whole, out=tmp_path / "run", quiet=True)
    assert "held-out" not in fitted.outcome["selected_on"]
    inside = np.isfinite(whole.counts.values).any(axis=2)
    assert (fitted.infer(whole).rates.values[inside] > 0).all()


@pytest.mark.parametrize("config", [GPFA(factors=9), SLDS(factors=10)], ids=["gpfa", "slds"])
def test_too_many_factors_are_refused(config, population, tmp_path):
    with pytest.raises(UndertowError, match="of 9 neurons that are seen"):
        ut.fit(config, population, out=tmp_path / "run", quiet=True)


def test_counts_that_are_no_counts_are_refused(population, tmp_path):
    other = population.copy(deep=True)
    other.counts[0, 0, 0] = 0.5
    with pytest.raises(UndertowError, match=r"holds 0\.5"):
        ut.fit(ROWS["smoothing"], other, out=tmp_path / "run", quiet=True)


@pytest.mark.parametrize("config", ROWS.values(), ids=ROWS.keys())
def test_it_fits_to_few_neurons_at_a_time(config, population, tmp_path):
    """A third of the neurons in each bin, one neuron never in training, a bin and a trial without any observation."""
    sparse = ut.subsample(population, keep=4, seed=0)
    is_train = sparse.split.values == "train"
    sparse.counts[is_train, :, 0] = np.nan
    sparse.counts[4], sparse.counts[5, 7] = np.nan, np.nan
    fitted = ut.fit(config, sparse, out=tmp_path / "run", quiet=True)
    estimate = fitted.infer(sparse)
    inside = np.isfinite(sparse.counts.values).any(axis=2) | sparse.forward.values
    inside[5, 7] = True
    assert np.isfinite(estimate.rates.values[inside]).all()
    assert (estimate.rates.values[inside] > 0).all()
    scores = ut.evaluate(estimate, sparse, splits=["valid"])["valid"]["model"]
    assert np.isfinite(scores["rate_r2"])
