"""Codes in use: trials to codes, activity from codes, walks along behaviour, for a small GNOCCHI, for LFADS and for
components.
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undertow as ut
from undertow.data import batches
from undertow.data.surroundings import surrounded, without_surroundings
from undertow.experiments import coding, drawing_spikes, generating
from undertow.experiments.recipe import from_document
from undertow.models.base import DataSummary
from undertow.training.hyperparameters import CorruptionConfig
from undertow.vocabulary import UndertowError, check_trials

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*far outside the data"
)  # most models here have hardly learned
DOCUMENTS = {
    "gnocchi": {
        "model": "gnocchi",
        "gnocchi": {
            "code": 4,
            "width": 8,
            "depth": 2,
            "encoder_width": 8,
            "encoder_blocks": 1,
            "steps": 4,
            "smoothing": 1.5,
            "dropout_rate": 0.0,
        },
        "training": {"epochs": 3},
    },
    "lfads": {
        "model": "lfads",
        "lfads": {"inferred_inputs": 0, "initial_condition": 4, "generator": 8, "encoder": 4, "factors": 3},
        "training": {"epochs": 1},
    },
    "pca": {"model": "pca", "pca": {"code": 6, "smoothing": 1.5}},
}


@pytest.fixture(scope="module")
def reaching():
    trials = ut.simulate.SYSTEMS["reaching"](
        trials=120, neurons=12, bins=26, bin_width=0.04, hold_out_angles="45:90", mean_rate=20.0, seed=3
    )
    counts = trials.counts.values.copy()
    counts[5, 20:] = np.nan  # a short trial
    counts[6, 4:8, 2] = np.nan
    trials = trials.assign(counts=(trials.counts.dims, counts))
    edges = trials.true_rates.values[:, [0, 0, 0, -1, -1, -1]] * trials.bin_width
    beside = np.random.default_rng(4).poisson(edges).astype(np.float32)
    return surrounded(trials, beside[:, :3], beside[:, 3:], np.where(np.arange(120) == 5, 20, 26))


@pytest.fixture(scope="module", params=DOCUMENTS)
def fitted(request, reaching, tmp_path_factory):
    out = tmp_path_factory.mktemp("codes") / request.param
    return ut.fit(from_document(DOCUMENTS[request.param]), reaching, out=out, quiet=True)


@pytest.fixture(scope="module")
def components(reaching, tmp_path_factory):
    return ut.fit(
        from_document(DOCUMENTS["pca"]), reaching, out=tmp_path_factory.mktemp("codes") / "run", quiet=True
    )


@pytest.fixture(scope="module")
def gnocchi(reaching, tmp_path_factory):
    return ut.fit(
        from_document(DOCUMENTS["gnocchi"]),
        reaching,
        out=tmp_path_factory.mktemp("codes") / "run",
        quiet=True,
    )


def test_codes_have_the_columns_of_their_trials_and_hang_on_nothing_held_out(fitted, reaching):
    codes = fitted.encode(reaching)
    assert codes.dims == ("trial", "code_dimension")
    assert codes.shape == (120, coding.coded(fitted).dimension)
    np.testing.assert_array_equal(codes.reach_angle, reaching.reach_angle)
    assert np.isfinite(codes.values).all()
    part = fitted.encode(reaching.isel(trial=[7, 3]))
    np.testing.assert_allclose(part.values, codes.values[[7, 3]], rtol=1e-4, atol=1e-5)


def test_what_is_made_is_trials_like_any_other(fitted, reaching, tmp_path):
    drawn = check_trials(fitted.sample(5, seed=1))
    assert drawn.sizes["trial"] == 5
    assert (drawn.true_rates.values > 0).all()
    assert (drawn.split.values == "test").all()
    ut.save(drawn, tmp_path / "drawn.nc")
    again = ut.open_trials(tmp_path / "drawn.nc")
    np.testing.assert_array_equal(again.counts, drawn.counts)
    np.testing.assert_array_equal(again.code, drawn.code)
    np.testing.assert_array_equal(fitted.sample(5, seed=1).counts, drawn.counts)
    assert (fitted.sample(5, seed=2).counts.values != drawn.counts.values).any()
    made = check_trials(fitted.reconstruct(reaching.isel(trial=slice(4, 8))))
    assert np.isnan(made.counts.values[1, 20:]).all()  # as short as the trial it was made of
    assert np.isfinite(made.counts.values[[0, 2, 3]]).all()


def test_a_walk_moves_what_it_shall_and_keeps_the_rest(fitted, reaching):
    made = fitted.traverse(
        reaching, "reach distance", keep=["curvature"], values=[8.0, 9.0, 10.0], sources=[0, 9]
    )
    np.testing.assert_array_equal(made.source, [0, 0, 0, 9, 9, 9])
    np.testing.assert_array_equal(made.step, [0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(made.read_reach_distance, [8, 9, 10, 8, 9, 10], rtol=1e-5)
    kept = made.read_curvature.values.reshape(2, 3)
    np.testing.assert_allclose(kept, kept[:, :1] * np.ones((1, 3)), atol=1e-5)
    around = fitted.traverse(reaching, "reach_angle", keep=[], steps=4, sources=1)
    turned = np.angle(np.exp(1j * (around.read_reach_angle.values - around.asked.values)))
    np.testing.assert_allclose(turned, 0, atol=1e-5)


def test_activity_of_asked_behaviour(fitted, reaching):
    angles = np.linspace(0.8, 1.5, 6)
    made = fitted.generate(reaching, {"reach_angle": angles, "reach_distance": 9.0})
    np.testing.assert_allclose(made.read_reach_angle, angles, atol=1e-4)
    np.testing.assert_allclose(made.read_reach_distance, 9, rtol=1e-4)
    assert set(reaching.split.values[made.source.values]) == {"train"}


def test_between_two_trials(fitted, reaching):
    made = fitted.interpolate(reaching, 0, 9, steps=3)
    ends = fitted.encode(reaching.isel(trial=[0, 9])).values
    np.testing.assert_allclose(made.code.values[[0, 2]], ends, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.code.values[1], ends.mean(0), rtol=1e-4, atol=1e-5)


def test_components_walk_as_the_truth_does(components, reaching):
    """The activity of a walk, encoded again, says what was asked for, and the others stay."""
    made = components.traverse(reaching, "reach_distance", keep=["reach_angle"], sources=20, steps=5)
    again = generating.read_again(components, reaching, made, "reach_distance")
    assert again.names == ("reach_distance", "reach_angle")
    moved = again.decoded.mean(1)
    assert (np.diff(moved[:, 0]) > 0).all()
    asked = made.asked.values[:5]
    assert np.ptp(moved[:, 0]) == pytest.approx(np.ptp(asked), rel=0.4)
    assert np.ptp(moved[:, 1]) / again.spread[1] < 0.5 * np.ptp(moved[:, 0]) / again.spread[0]


def test_own_noise_gives_a_trial_back_and_fresh_noise_does_not(gnocchi, reaching):
    """Its activity is smoothed over what was recorded before and after it, too."""
    whole = reaching.isel(trial=[0, 1, 2])
    shown = batches.arrays(whole)

    def smoothed(counts, around):
        activity = gnocchi.model.for_surroundings(around).activity
        return activity.rates(activity.of(counts, jnp.isfinite(counts)), 1e-4)

    smooth = jax.vmap(smoothed)(jnp.asarray(shown.counts), jnp.asarray(shown.around))
    expected = np.asarray(smooth) / whole.attrs["bin_width"]
    own = gnocchi.reconstruct(whole, own_noise=True, steps=20)
    fresh = gnocchi.reconstruct(whole, steps=20)
    error = lambda made: np.abs(made.true_rates.values - expected).mean() / expected.std()  # noqa: E731
    assert error(own) < 0.02
    assert error(fresh) > 0.2


def test_a_code_knows_what_was_recorded_around_its_trial(gnocchi, reaching):
    """Also an estimate does; what is not recorded there is as if it had never been."""
    some = reaching.isel(trial=slice(0, 8))
    unknown = some.assign(counts_around=np.nan * some.counts_around)
    alone = without_surroundings(some)
    codes, *others = (gnocchi.encode(trials).values for trials in (some, unknown, alone))
    np.testing.assert_allclose(others[0], others[1], rtol=1e-4, atol=1e-5)
    assert np.abs(codes - others[0]).max() > 1e-3
    rates, *others = (gnocchi.infer(trials).rates.values for trials in (some, unknown, alone))
    np.testing.assert_allclose(others[0], others[1], rtol=1e-4, atol=1e-5)
    assert np.nanmax(np.abs(rates - others[0])) > 1e-3
    assert "time_around" not in gnocchi.infer(some).coords


def test_more_steps_and_other_samplers_need_no_other_fit(gnocchi):
    many_of = {"seed": 4, "temperature": 1.0}
    few, many = (gnocchi.sample(3, steps=steps, **many_of).true_rates.values for steps in (4, 12))
    assert (few != many).any()
    for choices in (
        {"sampler": "heun"},
        {"sampler": "ddim", "eta": 0.5},
        {"guidance": 2.0},
        {"sampler": "ddpm"},
    ):
        other = gnocchi.sample(3, steps=12, **many_of, **choices).true_rates.values
        assert np.isfinite(other).all()
        assert other.shape == many.shape


@pytest.mark.parametrize("sampler", ["dpm", "ddpm"])
def test_the_temperature_is_a_factor_of_all_noise(gnocchi, sampler):
    codes = np.ones((2, 4), np.float32)

    def made(temperature, seed):
        colder = coding.with_choices(gnocchi, {"temperature": temperature, "sampler": sampler})
        return coding.rates_of(colder, codes, bins=26, seed=seed)

    assert (made(0.0, 0) == made(0.0, 1)).all()
    assert (made(0.0, 0)[0] == made(0.0, 0)[1]).all()
    apart = [np.abs(made(temperature, 0) - made(0.0, 0)).mean() for temperature in (0.3, 1.0)]
    assert 0 < apart[0] < 0.6 * apart[1]


def test_noise_after_coordinated_dropout_is_warned_of(gnocchi):
    hides = gnocchi.recipe._replace(corruption=CorruptionConfig(coordinated_dropout=0.25))
    dropped = dataclasses.replace(gnocchi, recipe=hides)
    with pytest.warns(UserWarning, match=r"coordinated dropout \(0.25\).*temperature=0"):
        dropped.sample(3, temperature=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped.sample(3)
        gnocchi.sample(3, temperature=1.0)


def test_activity_of_the_same_shape_is_traced_once(gnocchi):
    codes, traced = np.zeros((3, 4), np.float32), coding._over_trials._cache_size()
    coding.rates_of(gnocchi, codes, bins=23, seed=0)
    assert coding._over_trials._cache_size() == traced + 1
    for seed in (1, 2):
        coding.rates_of(gnocchi, codes + seed, bins=23, seed=seed)
    assert coding._over_trials._cache_size() == traced + 1


def test_trials_of_other_lengths(gnocchi):
    for bins in (1, 7, 40):
        drawn = gnocchi.sample(2, bins=bins)
        assert drawn.sizes["time"] == bins
        assert np.isfinite(drawn.true_rates.values).all()


def test_two_phases_switch_networks(gnocchi):
    """Before the switch activity knows nothing of the code; with all steps untold it never does; with none it always does."""
    model, calls = gnocchi.model, []
    answer = type(model)._answer

    class Spy(type(model)):
        def _answer(self, noised, angle, told, dropout, *, key):
            jax.debug.callback(
                lambda is_told, at: calls.append((float(at), bool(is_told))), told.is_told, angle
            )
            return answer(self, noised, angle, told, dropout, key=key)

    def spy_on(model):
        spied = object.__new__(Spy)
        for name, value in vars(model).items():
            object.__setattr__(spied, name, value)
        return spied

    def told_at(**choices):
        calls.clear()
        config = type(model.config)(
            **model.config.model_dump() | {"sampler": "ddim", "steps": 10, "temperature": 1.0, **choices}
        )
        spied = spy_on(model.with_config(config))
        noise = jax.random.normal(jax.random.key(0), (26, 12))
        spied._generated(jnp.ones(4), jnp.zeros((26, 0)), jnp.ones(26, bool), noise, key=jax.random.key(1))
        jax.effects_barrier()
        return [is_told for _, is_told in sorted(set(calls), reverse=True)]

    assert told_at(two_phase=0.0) == [True] * 10
    half = told_at(two_phase=0.5)
    assert half == sorted(half)  # untold at the noisiest levels, told at the rest
    assert half.count(False) == 5
    assert told_at(two_phase=1.0).count(True) == 0


def test_a_memory_of_spikes_is_fitted_once_and_kept(components, reaching):
    drawn = components.sample(4, spikes="history", trials=reaching)
    path = components.folder / drawing_spikes.FILE
    assert path.exists()
    before = path.read_bytes()
    again = components.sample(4, spikes="history")
    np.testing.assert_array_equal(again.counts, drawn.counts)
    assert path.read_bytes() == before
    np.testing.assert_array_equal(again.true_rates, components.sample(4).true_rates)
    walk = components.traverse(reaching, "curvature", keep=[], sources=1, steps=2, spikes="history")
    assert np.isfinite(walk.counts.values).all()


def test_wrong_questions_are_answered_in_a_sentence(components, gnocchi, reaching, tmp_path):
    with pytest.raises(UndertowError, match=r"'wrist' was not recorded.*reach_angle"):
        components.traverse(reaching, "wrist")
    with pytest.raises(UndertowError, match="has no choice 'steps' of sampling"):
        components.sample(2, steps=3)
    with pytest.raises(UndertowError, match="follows from the code alone"):
        components.reconstruct(reaching, own_noise=True)
    with pytest.raises(UndertowError, match="0 trials can't be sampled"):
        gnocchi.sample(0)
    with pytest.raises(UndertowError, match="0 bins"):
        gnocchi.sample(1, bins=0)
    with pytest.raises(UndertowError, match="too few to move one and keep"):
        gnocchi.traverse(reaching, "curvature", keep=["reach_angle", "start_x", "start_y"])
    with pytest.raises(UndertowError, match="No behaviour was asked for"):
        gnocchi.generate(reaching, {})
    with pytest.raises(UndertowError, match="not all among 120 trials"):
        gnocchi.traverse(reaching, "curvature", sources=[500])
    with pytest.raises(UndertowError, match="no way 'bursts' to draw spikes"):
        gnocchi.sample(1, spikes="bursts")
    with pytest.raises(UndertowError, match="no way from trial 0 to trial 500"):
        gnocchi.interpolate(reaching, 0, 500)
    with pytest.raises(UndertowError, match="None of these trials is a training trial"):
        gnocchi.traverse(reaching.isel(trial=reaching.split.values == "test"), "curvature")
    coded = ut.fit(
        ut.Smoothing(widths=(0.05,), alphas=(1.0,), folds=2), reaching, out=tmp_path / "run", quiet=True
    )
    with pytest.raises(UndertowError, match="has no codes"):
        coded.encode(reaching)


def test_a_plain_diffusion_draws_trials_and_has_nothing_to_encode(gnocchi, reaching):
    config, mean = type(gnocchi.model.config)(**gnocchi.model.config.model_dump() | {"code": 0}), jnp.ones(12)
    model = config.build(DataSummary(12, 0, mean, mean, bins=26), key=jax.random.key(0))
    plain = dataclasses.replace(gnocchi, model=model)
    drawn = plain.sample(3)
    assert "code" not in drawn
    assert np.ptp(drawn.true_rates.values, axis=0).min() > 0
    with pytest.raises(UndertowError, match="can only draw trials from nothing"):
        plain.encode(reaching)


def test_a_walk_far_outside_the_data_warns_with_the_distance(components, reaching):
    with pytest.warns(UserWarning, match=r"lie far outside the data: up to \d+\.\d standard deviations"):
        components.traverse(reaching, "reach_distance", keep=[], values=[500.0], sources=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        components.traverse(reaching, "reach_distance", keep=[], values=[9.0], sources=1, shortest=True)
