"""Checkpoints of lfads-torch: the same estimates as its published modules give, and what can't be taken over is refused."""

import json
from collections import OrderedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lfads_torch_published import Sizes, forward, state_dictionary
from safetensors.numpy import save_file

import undertow as ut
from torch_zip import Call, save
from undertow.cli import main
from undertow.components.corruption import Corrupted
from undertow.vocabulary import UndertowError

WIDTH = 0.02
CASES = {
    "controller": (Sizes(), {}),
    "lag 0": (Sizes(ci_lag=0), {}),
    "lag 3, known inputs": (Sizes(ci_lag=3, ext_input_dim=2), {}),
    "co-smoothing and forecast": (Sizes(recon_data_dim=8, recon_seq_len=15, ext_input_dim=1), {}),
    "long lag into the forecast": (Sizes(recon_data_dim=6, recon_seq_len=14, ci_lag=4), {}),
    "no controller": (Sizes(ci_enc_dim=0, con_dim=0, co_dim=0, ext_input_dim=2), {}),
    "no controller, no inputs": (Sizes(ci_enc_dim=0, co_dim=0, recon_seq_len=13), {}),
    "read-in": (Sizes(encod_data_dim=4, held_in=6, recon_data_dim=9), {}),
    "initial segment": (Sizes(ic_enc_seq_len=3, ci_lag=2, recon_seq_len=13), {}),
    "states at their bounds": (Sizes(cell_clip=0.3, recon_seq_len=13), {"scale": 4.0}),
    "not variational": (Sizes(), {"variational": False}),
}


def _trials(sizes, *, count=4, seed=1, values=None):
    rng = np.random.default_rng(seed)
    neurons, seen = sizes.recon_data_dim, sizes.held_in or sizes.encod_data_dim
    counts = (
        rng.poisson(1.5, (count, sizes.recon_seq_len, neurons)) if values is None else values(rng, neurons)
    )
    inputs = {"inputs": rng.normal(size=(count, sizes.recon_seq_len, sizes.ext_input_dim))}
    return ut.trials(
        counts.astype(np.float32),
        bin_width=WIDTH,
        split=["train"] * (count - 1) + ["valid"],
        held_out=np.arange(neurons) >= seen,
        forward=np.arange(sizes.recon_seq_len) >= sizes.encod_seq_len,
        **(inputs if sizes.ext_input_dim else {}),
    )


def _hyperparameters(sizes, **more):
    """As Lightning keeps them: plain numbers beside objects of classes that are not there."""
    stack = Call(
        "lfads_torch.modules.augmentations",
        "AugmentationStack",
        (),
        {
            "batch_transforms": [
                Call("lfads_torch.modules.augmentations", "CoordinatedDropout", (), {"cd_rate": 0.4})
            ]
        },
    )
    return {
        "ci_lag": sizes.ci_lag,
        "cell_clip": sizes.cell_clip,
        "ic_enc_seq_len": sizes.ic_enc_seq_len,
        "encod_seq_len": sizes.encod_seq_len,
        "recon_seq_len": sizes.recon_seq_len,
        "kl_ic_scale": 1e-4,
        "recon_reduce_mean": True,
        "train_aug_stack": stack,
        **more,
    }


@pytest.fixture
def checkpoint(tmp_path):
    def write(sizes, state, **hyperparameters):
        content = {
            "epoch": 12,
            "global_step": 345,
            "state_dict": OrderedDict(state),
            "hyper_parameters": _hyperparameters(sizes, **hyperparameters),
            "callbacks": {"x": Call("pytorch_lightning.callbacks", "ModelCheckpoint", (1,), {"best": None})},
        }
        return save(tmp_path / "last.ckpt", content)

    return write


def _taken(checkpoint, sizes, state, tmp_path, trials=None, **options):
    return ut.import_lfads_torch(
        checkpoint(sizes, state), trials, out=tmp_path / "run", quiet=True, **options
    )


def _passes(state, sizes, trials, **samples):
    """The published pass over every trial."""
    seen = sizes.held_in or sizes.encod_data_dim
    passes = []
    for trial in range(trials.sizes["trial"]):
        data = trials.counts.values[trial, : sizes.encod_seq_len, :seen].astype(np.float64)
        known = trials.inputs.values[trial] if sizes.ext_input_dim else np.zeros((sizes.recon_seq_len, 0))
        chosen = {name: values[trial] for name, values in samples.items()}
        passes.append(forward(state, sizes, data, known, **chosen))
    return passes


@pytest.mark.parametrize(("sizes", "options"), CASES.values(), ids=CASES.keys())
def test_the_estimates_are_those_of_the_published_modules(sizes, options, checkpoint, tmp_path):
    state, trials = state_dictionary(sizes, **options), _trials(sizes)
    fitted = _taken(checkpoint, sizes, state, tmp_path, trials)
    estimate = fitted.infer(trials, samples=0)
    for trial, published in enumerate(_passes(state, sizes, trials)):
        rates = estimate.rates.values[trial] * WIDTH
        np.testing.assert_allclose(rates, np.exp(published.parameters[..., 0]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(estimate.factors.values[trial], published.factors, atol=1e-5)
        np.testing.assert_allclose(estimate.latents.values[trial], published.gen_states, atol=1e-5)
        np.testing.assert_allclose(estimate.initial_condition.values[trial], published.ic[0], atol=1e-5)
        if sizes.has_controller:
            np.testing.assert_allclose(estimate.inferred_inputs.values[trial], published.co[0], atol=1e-5)


def test_samples_pass_on_as_published_and_scatter_as_its_posteriors_say(checkpoint, tmp_path):
    sizes = Sizes(recon_data_dim=7, recon_seq_len=13)
    state, trials = state_dictionary(sizes), _trials(sizes, count=3)
    fitted = _taken(checkpoint, sizes, state, tmp_path, trials)
    seen = np.where(trials.held_out.values | trials.forward.values[:, None], np.nan, trials.counts.values)
    inputs, noises = jnp.zeros((3, 13, 0)), []
    sample = jax.jit(jax.vmap(lambda counts, known, key: fitted.model.estimate(counts, known, key=key)))
    for seed in range(40):
        drawn = sample(jnp.asarray(seen, "float32"), inputs, jax.random.split(jax.random.key(seed), 3))
        samples = {"ic": np.asarray(drawn["initial_condition"]), "co": np.asarray(drawn["inferred_inputs"])}
        for trial, published in enumerate(_passes(state, sizes, trials, **samples)):
            rates = drawn["rates"][trial]
            np.testing.assert_allclose(rates, np.exp(published.parameters[..., 0]), rtol=1e-5, atol=1e-5)
            for (mean, deviation), values in zip((published.ic, published.co), samples.values(), strict=True):
                noises.append(((values[trial] - mean) / deviation).ravel())
    noise = np.concatenate(noises)
    assert abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.03 and np.abs(noise).max() > 3


def _gamma(parameters):
    return np.exp(parameters[..., 0] - parameters[..., 1])


def _gaussian(parameters):
    return parameters[..., 0]


@pytest.mark.parametrize(
    ("observation", "parameters", "mean"),
    [("gaussian", 2, _gaussian), ("gaussian", 1, _gaussian), ("gamma", 2, _gamma)],
    ids=["gaussian", "squared error", "gamma"],
)
def test_other_reconstructions_have_their_means(observation, parameters, mean, checkpoint, tmp_path):
    sizes = Sizes(parameters=parameters, recon_data_dim=6)
    state, trials = state_dictionary(sizes), _trials(sizes)
    setting = f"lfads.observation={observation}"
    fitted = _taken(checkpoint, sizes, state, tmp_path, trials, settings=[setting])
    estimate = fitted.infer(trials, samples=0)
    for trial, published in enumerate(_passes(state, sizes, trials)):
        np.testing.assert_allclose(
            estimate.rates.values[trial] * WIDTH, mean(published.parameters), rtol=1e-5, atol=1e-5
        )


def test_the_zero_inflated_gamma_is_found_by_its_scales(checkpoint, tmp_path):
    sizes = Sizes(parameters=3)
    scales = np.random.default_rng(3).uniform(10.0, 30.0, (2, 5)).astype(np.float32)
    state, trials = {**state_dictionary(sizes), "recon.0.scale": scales}, _trials(sizes)
    estimate = _taken(checkpoint, sizes, state, tmp_path, trials).infer(trials, samples=0)
    for trial, published in enumerate(_passes(state, sizes, trials)):
        shape, rate, q = np.moveaxis(1 / (1 + np.exp(-published.parameters)), -1, 0)
        mean = q * (shape * scales[0] / (rate * scales[1]) + 0.1)
        np.testing.assert_allclose(estimate.rates.values[trial] * WIDTH, mean, rtol=1e-5, atol=1e-5)


def test_one_session_of_several_is_taken_with_its_own_read_in_and_read_out(checkpoint, tmp_path):
    sizes = Sizes(encod_data_dim=4, held_in=6, recon_data_dim=6)
    state = state_dictionary(sizes)
    others = {
        name.replace(".0.", f".{session}."): array + session
        for session in (1, 2)
        for name, array in state.items()
        if name.startswith("read")
    }
    trials = _trials(sizes)
    with pytest.raises(UndertowError, match=r"3 sessions.*--session"):
        _taken(checkpoint, sizes, state | others, tmp_path, trials)
    with pytest.raises(UndertowError, match=r"no session 4.*0, 1, 2"):
        _taken(checkpoint, sizes, state | others, tmp_path, trials, session=4)
    estimate = _taken(checkpoint, sizes, state | others, tmp_path, trials, session=2).infer(trials, samples=0)
    second = state | {name: array + 2 for name, array in state.items() if name.startswith("read")}
    published = _passes(second, sizes, trials)
    expected = np.exp(np.stack([one.parameters[..., 0] for one in published]))
    np.testing.assert_allclose(estimate.rates.values * WIDTH, expected, rtol=1e-5, atol=1e-5)


def test_a_bare_state_dictionary_also_as_safetensors_and_below_a_wrapper(tmp_path):
    sizes = Sizes(recon_data_dim=6)
    state, trials = state_dictionary(sizes), _trials(sizes)
    save(tmp_path / "bare.pt", OrderedDict(state))
    save(tmp_path / "wrapped.pt", {"state_dict": {f"module.{name}": array for name, array in state.items()}})
    save_file(state, tmp_path / "state.safetensors")
    rates = []
    for name in ("bare.pt", "wrapped.pt", "state.safetensors"):
        fitted = ut.import_lfads_torch(tmp_path / name, trials, out=tmp_path / f"{name}-run", quiet=True)
        rates.append(fitted.infer(trials, samples=0).rates.values)
    assert np.array_equal(rates[0], rates[1]) and np.array_equal(rates[0], rates[2])


def test_what_no_shape_tells_comes_from_the_checkpoint_or_is_said_to_be_as_published(
    checkpoint, tmp_path, capsys
):
    sizes = Sizes(ci_lag=2, cell_clip=4.0)
    state, trials = state_dictionary(sizes), _trials(sizes)
    trials = trials.assign(counts=trials.counts.where(np.arange(5) < 4))
    fitted = ut.import_lfads_torch(checkpoint(sizes, state), trials, out=tmp_path / "a")
    model = fitted.recipe.model
    assert (model.lag, model.state_limit, model.initial_segment) == (2, 4.0, 0)
    assert (model.generator, model.factors, model.controller, model.input_encoder) == (8, 4, 7, 4)
    assert fitted.recipe.corruption.coordinated_dropout == 0.4
    weight = fitted.recipe.objective.weights["kl_initial_condition"]
    assert weight == pytest.approx(1e-4 * 11 * 4)  # bins and neurons that were observed
    assert fitted.outcome["epochs"] == 12 and fitted.outcome["updates"] == 345
    said = capsys.readouterr().err
    assert "From the checkpoint: lfads.lag=2" in said and "as published: lfads.observation=poisson" in said
    bare = save(tmp_path / "bare.pt", state)
    with_lag = ut.import_lfads_torch(bare, trials, out=tmp_path / "b", settings=["lfads.lag=3"])
    assert with_lag.recipe.model.lag == 3 and with_lag.recipe.model.state_limit == 5.0
    said = capsys.readouterr().err
    assert "As set: lfads.lag=3." in said and "lfads.state_limit=5.0" in said


def test_trials_that_say_nothing_take_what_is_held_out_and_forecast_from_the_checkpoint(
    checkpoint, tmp_path, capsys
):
    sizes = Sizes(recon_data_dim=8, recon_seq_len=15)
    state, trials = state_dictionary(sizes), _trials(sizes)
    plain = trials.assign_coords(held_out=("neuron", np.zeros(8, bool)), forward=("time", np.zeros(15, bool)))
    fitted = ut.import_lfads_torch(checkpoint(sizes, state), plain, out=tmp_path / "run")
    assert fitted.session.held_out == [False] * 5 + [True] * 3
    said = capsys.readouterr().err
    assert "first 5 of 8 neurons" in said and "first 11 of 15 bins" in said


def _without(name):
    return lambda state: {key: array for key, array in state.items() if key != name}


def _with(name, array):
    return lambda state: {**state, name: array}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without("encoder.ic_linear.weight"), "no LFADS of lfads-torch.*ic_linear"),
        (_without("decoder.rnn.cell.fac_linear.weight"), "no weights 'decoder.rnn.cell.fac_linear.weight'"),
        (_without("readout.0.weight"), "no weights 'readout.0.weight'"),
        (_without("decoder.rnn.cell.gen_cell.weight_ih"), "no GRU"),
        (
            _with("encoder.ic_enc_h0", np.full((2, 1, 6), 9.0, "f4")),
            r"begins at 9, beyond the bound 5.*state_limit",
        ),
        (_with("recon.0.scale", np.full((2, 5), -1.0, "f4")), "zero_inflated_gamma|scales"),
        (_with("ic_prior.logscale", np.zeros(3, "f4")), "Student-t"),
        (_with("decoder.rnn.cell.extra", np.zeros(3, "f4")), "decoder.rnn.cell.extra.*no place"),
        (_with("encoder.ic_enc.fwd_gru.cell.weight_hh", np.zeros((17, 6), "f4")), "contradict"),
        (_with("decoder.ic_to_g0.bias", np.zeros(9, "f4")), "to_generator.bias.*can't be taken over"),
        (_with("decoder.ic_to_g0.weight", np.array(1.0, "f4")), "to_generator.kernel"),
        (_with("readout.0.weight", np.array(1.0, "f4")), r"readout.0.weight.*shape \(\).*matrix"),
    ],
)
def test_other_models_are_refused_by_name(change, words, checkpoint, tmp_path):
    sizes = Sizes()
    with pytest.raises(UndertowError, match=words):
        _taken(checkpoint, sizes, change(state_dictionary(sizes)), tmp_path, _trials(sizes))
    assert not (tmp_path / "run").exists()


def test_trials_settings_and_folders_that_do_not_fit_are_refused(checkpoint, tmp_path):
    sizes = Sizes(recon_data_dim=7)
    state = state_dictionary(sizes)
    path = checkpoint(sizes, state)

    def taken(trials, **options):
        ut.import_lfads_torch(path, trials, out=tmp_path / "run", quiet=True, **options)

    trials = _trials(sizes)
    with pytest.raises(UndertowError, match=r"7 neurons.*have 6"):
        taken(_trials(Sizes(recon_data_dim=6)))
    with pytest.raises(UndertowError, match="0 known inputs, but these trials have 2"):
        taken(_trials(Sizes(recon_data_dim=7, ext_input_dim=2)))
    with pytest.raises(UndertowError, match=r"first 5 of 7.*held-out ones last"):
        taken(trials.assign_coords(held_out=("neuron", np.arange(7) < 2)))
    with pytest.raises(UndertowError, match=r"lfads.factors=9 contradicts"):
        taken(trials, settings=["lfads.factors=9"])
    with pytest.raises(UndertowError, match="no reconstruction like"):
        taken(trials, settings=["lfads.observation=negative_binomial"])
    with pytest.raises(UndertowError, match="3 for each neuron"):
        taken(trials, settings=["lfads.observation=zero_inflated_gamma"])
    with pytest.raises(UndertowError, match="--bin-width"):
        taken(None)
    with pytest.raises(UndertowError, match=r"one session.*a dict"):
        taken({"a": trials, "b": trials})
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text("")
    with pytest.raises(UndertowError, match="holds a run already"):
        taken(trials)
    (tmp_path / "run" / "recipe.toml").unlink()
    with pytest.raises(UndertowError, match=r"ic_post_var_min=0.01"):
        ut.import_lfads_torch(checkpoint(sizes, state, ic_post_var_min=0.01), trials, out=tmp_path / "run")


def test_the_command_takes_over_and_every_other_command_goes_on_from_there(checkpoint, tmp_path, capsys):
    sizes = Sizes(recon_data_dim=7, recon_seq_len=13)
    state, trials = state_dictionary(sizes), _trials(sizes, count=12)
    path, source, run = checkpoint(sizes, state), tmp_path / "trials.nc", tmp_path / "run"
    ut.save(trials, source)
    main(["import-lfads-torch", str(path), str(source), "--out", str(run), "--set", "inference.samples=4"])
    shown = capsys.readouterr()
    assert "what made lfads-torch keep" in shown.out and "7 neurons, of which the encoders see 5" in shown.err
    assert {"recipe.toml", "provenance.json", "config.json", "model.safetensors", "report.html"} <= {
        entry.name for entry in run.iterdir()
    }
    assert "lfads-torch" in json.loads((run / "provenance.json").read_text())["imported_from"]
    main(
        [
            "stream",
            str(run),
            "--replay",
            str(source),
            "--trials",
            "1",
            "--window",
            "6",
            "--no-wait",
            "--quiet",
        ]
    )
    main(["infer", str(run), str(source), "--out", str(tmp_path / "estimate.nc"), "--samples", "0"])
    rates = ut.open_estimate(tmp_path / "estimate.nc").rates.values
    expected = np.stack([np.exp(one.parameters[..., 0]) for one in _passes(state, sizes, trials)])
    np.testing.assert_allclose(rates * WIDTH, expected, rtol=1e-5, atol=1e-5)


def test_without_trials_the_run_waits_for_some(checkpoint, tmp_path, capsys):
    sizes = Sizes()
    state, trials, run = state_dictionary(sizes), _trials(sizes, count=12), tmp_path / "run"
    main(["import-lfads-torch", str(checkpoint(sizes, state)), "--bin-width", "0.02", "--out", str(run)])
    assert "undertow infer" in capsys.readouterr().out
    source = tmp_path / "trials.nc"
    ut.save(trials, source)
    main(["report", str(run), "--trials", str(source), "--quiet"])
    assert (run / "report.html").exists()


def test_training_goes_on_from_a_checkpoint_with_finite_terms(checkpoint, tmp_path):
    """The model is whole: its objective is there, not only its estimates."""
    sizes = Sizes(recon_data_dim=7)
    trials = _trials(sizes)
    model = _taken(checkpoint, sizes, state_dictionary(sizes), tmp_path, trials).model
    counts = jnp.asarray(trials.counts.values[0])
    terms = eqx.filter_jit(model.terms)(
        Corrupted(counts, counts, jnp.ones_like(counts)),
        jnp.zeros((11, 0)),
        {"dropout_rate": jnp.float32(0.1)},
        key=jax.random.key(0),
    )
    assert {"reconstruction", "kl_initial_condition", "kl_inputs"} == set(terms)
    assert all(np.isfinite(value) for value in terms.values())
    assert "controller_reads=all" in model.streaming()


def test_the_way_of_lfads_torch_is_not_causal():
    with pytest.raises(UndertowError, match=r"own_bins.*causal"):
        ut.LFADS(controller_reads="own_bins", causal=True)
