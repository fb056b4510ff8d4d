"""The exported step says what the model says: over 200 bins, without undertow, and each wrong wish in one sentence."""

import json
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import undertow as ut
from undertow.cli import main
from undertow.experiments.fitted import Fitted
from undertow.experiments.recipe import Recipe
from undertow.experiments.run_folder import Session
from undertow.models.base import DataSummary, Streaming
from undertow.models.lfads import LFADS
from undertow.models.transformer import NDT
from undertow.streaming import export
from undertow.streaming.bins import StreamFacts
from undertow.vocabulary import UndertowError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NEURONS, BINS, BIN_WIDTH = 6, 200, 0.02
HELD_OUT = np.array([False, False, True, False, False, False])
SMALL = {
    "factors": 3,
    "generator": 10,
    "initial_condition": 4,
    "encoder": 6,
    "input_encoder": 5,
    "controller": 7,
    "inferred_inputs": 2,
    "causal": True,
}
ATTENTION = {"layers": 2, "heads": 2, "width": 8, "feed_forward": 12, "causal": True}
MODELS = {
    "lfads": LFADS(**SMALL),
    "lfads with a lag and known inputs": LFADS(**{**SMALL, "lag": 3, "known_inputs_to": "both"}),
    "lfads with an opening": LFADS(**SMALL, initial_segment=5, log_counts=True, read_in=4, missing="mask"),
    "lfads without inputs": LFADS(
        **{**SMALL, "inferred_inputs": 0}, initial_segment=4, lag=0, missing="mean"
    ),
    "lfads of calcium": LFADS(**SMALL, observation="zero_inflated_gamma"),
    "ndt": NDT(**ATTENTION),
    "ndt in a window": NDT(**ATTENTION, context_backward=7, positions="relative", norm="after"),
    "ndt of counts": NDT(**ATTENTION, embedding="per_count", positions="sinusoidal", factors=3),
    "ndt with learned positions": NDT(**ATTENTION, positions="learned", context_backward=9),
}
WITH_INPUTS = ("lfads with a lag and known inputs", "lfads with an opening", "ndt in a window")


class Case(NamedTuple):
    """A model, its recording, and where its step is."""

    model: object
    facts: StreamFacts
    path: object
    exported: export.Exported


def facts_of(inputs=0):
    return StreamFacts(list("abcdef"), HELD_OUT.tolist(), inputs, BIN_WIDTH, "counts")


def build(config, inputs=0):
    mean = np.linspace(0.5, 2.0, NEURONS).astype(np.float32)
    summary = DataSummary(NEURONS, inputs, jnp.asarray(mean), jnp.asarray(mean), BINS, 0, BIN_WIDTH)
    return config.build(summary, key=jax.random.key(1))


@pytest.fixture(scope="module", params=MODELS)
def case(request, tmp_path_factory):
    inputs = 2 if request.param in WITH_INPUTS else 0
    model, facts = build(MODELS[request.param], inputs), facts_of(inputs)
    path = tmp_path_factory.mktemp("steps") / "step.onnx"
    return Case(model, facts, path, export.write(model, facts, path))


@pytest.fixture(scope="module")
def lfads(tmp_path_factory):
    """A run that was never trained."""
    recipe = Recipe(MODELS["lfads"])
    session = Session("recording", BIN_WIDTH, list("abcdef"), HELD_OUT.tolist(), 0, BINS)
    folder = tmp_path_factory.mktemp("runs") / "causal"
    folder.mkdir()
    fitted = Fitted(folder, recipe, build(recipe.model), session, {"selected_on": "nothing"})
    fitted.save()
    return fitted


def bins_of(seed, inputs):
    """Counts (time, neuron) with a tenth not observed, one neuron lost for good, one bin lost; known inputs (time, input)."""
    random = np.random.default_rng(seed)
    counts = random.poisson(1.5, (BINS, NEURONS)).astype(np.float32)
    counts[random.random(counts.shape) < 0.1] = np.nan
    counts[50:, 1] = counts[120] = np.nan
    counts[-1, 0] = 1.0
    return counts, random.normal(size=(BINS, inputs)).astype(np.float32)


def loaded(path):
    """The class of the script beside a step, as somebody without undertow would import it."""
    space = {"__name__": "step", "__file__": str(path.with_suffix(".py"))}
    exec(compile(path.with_suffix(".py").read_text(), "step.py", "exec"), space)
    return space["Step"](path)


def run(step, counts, inputs):
    known = inputs if inputs.shape[1] else [None] * len(counts)
    estimates = [step.predict(*values) for values in zip(counts, known, strict=True)]
    return {name: np.stack([estimate[name] for estimate in estimates]) for name in estimates[0]}


def test_the_step_gives_the_offline_estimate_over_200_bins_and_after_reset(case):
    step, opening = loaded(case.path), case.model.streaming().opening
    offline = jax.jit(lambda counts, inputs: case.model.estimate(counts, inputs, key=None))
    for seed in (0, 1):
        counts, inputs = bins_of(seed, case.facts.inputs)
        expected = dict(offline(np.where(HELD_OUT, np.float32(np.nan), counts), inputs))
        expected["rates"] = expected["rates"] / BIN_WIDTH
        step.reset()
        found = run(step, counts, inputs)
        assert set(found) == set(expected) - {"initial_condition"}
        for name, values in found.items():
            early = max(opening - 1, 0)
            assert np.isnan(values[:early]).all()
            np.testing.assert_allclose(values[early:], expected[name][early:], rtol=1e-4, atol=1e-4)


def test_held_out_neurons_are_not_looked_at(case):
    counts, inputs = bins_of(2, case.facts.inputs)
    step = loaded(case.path)
    first = run(step, counts[:20], inputs[:20])
    counts[:, HELD_OUT] = 7.0
    step.reset()
    again = run(step, counts[:20], inputs[:20])
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)


def test_the_file_says_what_it_holds(case):
    content = onnx.load(case.path)
    onnx.checker.check_model(content, full_check=True)
    assert [(part.domain, part.version) for part in content.opset_import] == [("", 18)]
    told = {fact.key: fact.value for fact in content.metadata_props}
    assert json.loads(told["neurons"]) == case.facts.neurons
    assert float(told["bin_width"]) == BIN_WIDTH
    longest = case.model.streaming().longest
    assert told.get("longest") == (None if longest is None else str(longest))
    given = [value.name for value in content.graph.input]
    yielded = [value.name for value in content.graph.output]
    states = [name for name in given if name.startswith("state.")]
    assert [name for name in yielded if name.startswith("next_")] == [f"next_{name}" for name in states]
    assert given == [*states, "counts", *(["inputs"] if case.facts.inputs else [])]
    assert yielded[0] == "rates"
    assert set(states) <= {tensor.name for tensor in content.graph.initializer}
    assert 0 < case.exported.difference < 1e-5


def test_the_script_runs_from_the_command_line_with_numpy_and_onnxruntime_alone(lfads, tmp_path):
    exported = ut.export(lfads, tmp_path / "one step.onnx")
    np.save(tmp_path / "counts.npy", bins_of(0, 0)[0])
    watched = (
        "import runpy, sys; sys.argv = ['step', 'counts.npy']; runpy.run_path('one step.py', run_name='__main__'); "
        "sys.exit(bool({'undertow', 'jax', 'onnx'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", watched], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("200 bins, median 0.")
    assert ended.stderr == ""
    assert len(exported.script.read_text().splitlines()) < 70


def test_a_trial_ends_where_the_model_can_follow_no_further(tmp_path):
    model = build(MODELS["ndt"])
    assert model.streaming().longest == BINS
    export.write(model, facts_of(), tmp_path / "step.onnx")
    step = loaded(tmp_path / "step.onnx")
    for counts in bins_of(0, 0)[0]:
        step.predict(counts)
    with pytest.raises(ValueError, match=r"at most 200 bins; call reset\(\)"):
        step.predict(np.zeros(NEURONS))
    step.reset()
    assert np.isfinite(step.predict(np.zeros(NEURONS))["rates"]).all()


def test_the_command_writes_step_and_script_and_writes_them_again(lfads, tmp_path, capsys):
    for _ in range(2):
        main(["export", str(lfads.folder), "--onnx", str(tmp_path / "step.onnx")])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert "step.onnx" in printed[0]
    assert printed[1].endswith("step.py counts.npy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step.onnx", "step.py"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("step.bin", "'.*step.bin', but must end in .onnx"),
        ("nowhere/step.onnx", "There is no folder '.*nowhere'"),
    ],
)
def test_a_path_that_cannot_be(lfads, tmp_path, path, sentence):
    with pytest.raises(UndertowError, match=sentence):
        ut.export(lfads, tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_another_script_is_not_lost(lfads, tmp_path):
    (tmp_path / "analysis.py").write_text("import numpy\n")
    with pytest.raises(UndertowError, match=r"analysis.py' is no script .* another name"):
        ut.export(lfads, tmp_path / "analysis.onnx")
    assert (tmp_path / "analysis.py").read_text() == "import numpy\n"
    assert not (tmp_path / "analysis.onnx").exists()


@pytest.mark.parametrize(
    "config", [LFADS(**{**SMALL, "causal": False}), NDT(**{**ATTENTION, "causal": False})]
)
def test_a_model_that_is_not_causal_says_what_would_have_to_change(config, tmp_path):
    with pytest.raises(UndertowError, match=r"one bin at a time: set (lfads|ndt).causal=true and fit again"):
        export.write(build(config), facts_of(), tmp_path / "step.onnx")


def test_an_ensemble_is_refused(lfads, tmp_path):
    ensemble = Fitted(
        lfads.folder, lfads.recipe, lfads.model, lfads.session, {}, ((lfads.recipe, lfads.model),)
    )
    with pytest.raises(UndertowError, match="ensemble of 2 models"):
        ut.export(ensemble, tmp_path / "step.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_what_installs_it(lfads, tmp_path, monkeypatch, missing):
    found = export.importlib.util.find_spec
    monkeypatch.setattr(
        export.importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    with pytest.raises(UndertowError, match=rf"needs {missing}, .*pip install 'undertow\[onnx\]'"):
        ut.export(lfads, tmp_path / "step.onnx")


class Odd(NamedTuple):
    """A causal model whose step is any function of the counts."""

    function: object

    def streaming(self):
        return Streaming(
            lambda first, known: (jnp.zeros(()), {"rates": first}),
            lambda state, counts, known: (state + 1.0, {"rates": self.function(jnp.nan_to_num(counts))}),
        )


def test_a_step_that_is_not_known_or_comes_out_wrong_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(UndertowError, match="'sort', which the export to ONNX does not know"):
        export.write(Odd(jnp.sort), facts_of(), tmp_path / "step.onnx")
    monkeypatch.setitem(export_table(), "exp", export_table()["tanh"])
    with pytest.raises(UndertowError, match=r"differs by \d.* so it was not written"):
        export.write(Odd(jnp.exp), facts_of(), tmp_path / "step.onnx")
    assert list(tmp_path.iterdir()) == []


def export_table():
    from undertow.streaming.onnx_translation import TABLE

    return TABLE
