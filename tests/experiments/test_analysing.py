"""Looking inside a fitted model: one that holds the true law gives its points back; what is written, drawn and refused."""

import json
import types
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from tiny_model import Tiny, TinyModel
from tiny_trials import make_trials

import undertow as ut
from undertow.cli import main
from undertow.data.simulate import SYSTEMS
from undertow.data.simulate.truth import true_system
from undertow.experiments import analysis_record
from undertow.experiments.fitted import Fitted
from undertow.experiments.recipe import Recipe
from undertow.experiments.run_folder import Session
from undertow.models import MODELS
from undertow.models.base import LatentDynamics
from undertow.training.loop import Training
from undertow.vocabulary import UndertowError

TURN, SHRINK = 0.3, 0.95  # radians and factor a bin
MIXING = np.array([[1.0, 0.4, -0.2], [-0.3, 0.8, 0.5], [0.1, -0.6, 1.2]])
OFFSET = np.array([0.5, -1.0, 2.0])
BIN_WIDTH = 0.01


class Moving(Tiny):
    section: ClassVar[str] = "moving"

    def build(self, data, *, key):
        model = super().build(data, key=key)
        return MovingModel(model.down, model.up, model.bias, model.observation)


class MovingModel(TinyModel):
    """The smallest model, whose latents are said to spiral into where the input alone would hold them."""

    def estimate(self, seen, inputs, *, key):
        found = super().estimate(seen, inputs, key=key)
        return {**found, "latents": found["factors"] - found["factors"].mean(0, keepdims=True)}

    def dynamics(self):
        turn = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
        matrix = (SHRINK * turn).astype(np.float32)
        return LatentDynamics(lambda state, inputs: matrix @ state + 0.1 * inputs, 2, 1)


@pytest.fixture(scope="module", autouse=True)
def _moving_in_the_table(_tiny_in_the_table):
    MODELS["moving"] = Moving
    yield
    del MODELS["moving"]


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A run with a report, as the command line leaves it, and the file of its trials."""
    folder = tmp_path_factory.mktemp("moving")
    ut.save(make_trials(), folder / "trials.nc")
    settings = ["training.epochs=2", "objective.kl_ramp=0", "objective.penalty_ramp=0", "inference.samples=2"]
    run = ["fit", "moving", str(folder / "trials.nc"), "--out", str(folder / "run"), "--quiet"]
    main([*run, "--set", *settings])
    return folder / "run", folder / "trials.nc"


def lorenz_step(centre, scale, time):
    """The Lorenz system over one bin (two steps of Runge and Kutta), in coordinates mixed from the true latents."""
    centre, scale, mixing, offset = (
        jnp.asarray(value, jnp.float32) for value in (centre, scale, MIXING, OFFSET)
    )

    def velocity(state):
        x, y, z = state
        return time * jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 2.667 * z])

    def step(state, inputs):
        inner = jnp.linalg.solve(mixing.T, state - offset) * scale + centre
        for _ in range(2):
            first = velocity(inner)
            second = velocity(inner + 0.25 * first)
            third = velocity(inner + 0.25 * second)
            inner = inner + (first + 2 * second + 2 * third + velocity(inner + 0.5 * third)) / 12
        return (inner - centre) / scale @ mixing + offset

    return step


@pytest.fixture(scope="module")
def lorenz(tmp_path_factory):
    """Trials of the Lorenz system, a run that holds its law in mixed coordinates, and the estimate that goes with it."""
    trials = SYSTEMS["lorenz63"](trials=60, bins=70, neurons=10, seed=1)
    held = (trials.attrs[name] for name in ("latent_centre", "latent_scale", "time_per_bin"))
    law = LatentDynamics(lorenz_step(*held), 3, 0)
    model = types.SimpleNamespace(dynamics=lambda: law)
    folder = tmp_path_factory.mktemp("lorenz")
    fitted = Fitted(folder, Recipe(Tiny(), Training()), model, Session.of(trials), {})
    estimate = xr.Dataset(
        {
            "rates": trials.true_rates,
            "latents": (("trial", "time", "latent"), trials.true_latents.values @ MIXING + OFFSET),
        }
    )
    return fitted, trials, estimate


@pytest.fixture(scope="module")
def analysis(lorenz):
    fitted, trials, estimate = lorenz
    return ut.analyze(fitted, trials, estimate=estimate, starts=128)


def test_the_true_law_gives_its_own_fixed_points_back(analysis, lorenz):
    system = true_system(lorenz[1])
    expected = analysis.truth.comparison.expected
    assert len(expected) >= 2
    mixed = system.fixed_points[expected] @ MIXING + OFFSET
    gaps = np.linalg.norm(mixed[:, None] - analysis.points.states[None], axis=2)
    assert gaps.min(axis=1).max() < 1e-2
    assert set(analysis.linear.kinds) <= {"saddle focus", "saddle"}


def test_the_document_tells_the_truth_beside_it(analysis, lorenz):
    truth = analysis.document["truth"]
    assert truth["system"] == "lorenz63"
    assert truth["outside"] + len(truth["fixed_points"]) == 3
    system = true_system(lorenz[1])
    for point in truth["fixed_points"]:
        assert point["has_same_kind"]
        assert point["offset"] < 0.01
        assert point["relative_error"] < 0.02
        exact = np.linalg.eigvals(system.jacobian(np.array(point["state"]))) / BIN_WIDTH
        told = np.array(point["growth"]) @ [1, 1j]
        np.testing.assert_allclose(np.sort(told.real), np.sort(exact.real), rtol=1e-6, atol=1e-6)
    assert truth["strays"] == []
    assert truth["latent_r2"]["split"] == "valid"
    assert min(truth["latent_r2"]["inferred_to_true"], truth["latent_r2"]["true_to_inferred"]) > 0.9999
    assert truth["dissimilarity"] < 0.02
    assert analysis.document["cycle_consistency"]["variance_weighted"] > 0.99


def test_exponents_are_those_of_the_system(analysis, lorenz):
    """0.906, 0 and -14.57 in the system's own time (Sprott 2003)."""
    time = lorenz[1].attrs["time_per_bin"] / BIN_WIDTH
    largest, middle, smallest = analysis.lyapunov / time
    assert largest == pytest.approx(0.906, abs=0.1)
    assert middle == pytest.approx(0.0, abs=0.1)
    assert smallest == pytest.approx(-14.57, abs=0.2)


def test_what_is_drawn_lies_where_it_is(analysis, lorenz):
    drawn, points = analysis.document["drawn"], analysis.points
    states = lorenz[2].latents.values.reshape(-1, 3)
    found = np.array(drawn["fixed_points"])
    between = np.linalg.norm(points.states[:, None] - points.states[None], axis=2)
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found[None], axis=2), between, rtol=1e-3, atol=1e-3
    )
    from_mean = np.linalg.norm(points.states - states.mean(0), axis=1)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), from_mean, rtol=1e-3)
    for place in np.array(drawn["true_fixed_points"]):
        assert np.linalg.norm(found - place, axis=1).min() < 0.02
    grid, speed = np.array(drawn["flow"]["grid"]), np.array(drawn["flow"]["speed"])
    assert grid.shape == (*speed.shape, 2)
    low, high = grid.min(axis=(0, 1)), grid.max(axis=(0, 1))
    paths = np.concatenate([np.array(path)[:, :2] for path in drawn["trajectories"]])
    assert (paths > low).all()
    assert (paths < high).all()


def test_the_file_is_read_back_and_the_table_told(analysis, lorenz):
    held = analysis_record.read(lorenz[0].folder)
    assert held["fixed_points"] == analysis.document["fixed_points"]
    assert (
        json.loads((lorenz[0].folder / analysis_record.NAME).read_text())["schema"] == analysis_record.SCHEMA
    )
    table = str(analysis)
    for words in (
        "fixed points lie within 1.2 spreads",
        "saddle focus",
        "found as",
        "Lyapunov exponents",
        "rad.",
    ):
        assert words in table
    assert analysis_record.table(held) == table
    (lorenz[0].folder / analysis_record.NAME).write_text("{")
    assert analysis_record.read(lorenz[0].folder) is None


def test_a_model_that_only_runs_away_says_so(lorenz):
    fitted, trials, estimate = lorenz
    away = LatentDynamics(lambda state, inputs: state**2 + 100, 3, 0)
    fitted = Fitted(
        fitted.folder, fitted.recipe, types.SimpleNamespace(dynamics=lambda: away), fitted.session, {}
    )
    found = ut.analyze(fitted, trials, estimate=estimate, starts=16)
    assert len(found.points.states) == 0
    assert found.lyapunov is None
    table = str(found)
    assert table.startswith("No fixed points lie within 1.2 spreads of the trajectories (16 starts")
    assert "ran to infinity" in table
    assert "not found" in table


def test_the_command_finds_the_point_and_draws_it(moving, capsys):
    run, trials = moving
    before = (run / "scores.json").read_text()
    assert 'id="dynamics"' not in (run / "report.html").read_text(encoding="utf-8")
    main(["analyze", str(run), "--trials", str(trials), "--starts", "32"])
    captured = capsys.readouterr()
    assert "1 fixed point lies within" in captured.out
    assert "stable focus" in captured.out
    assert f"{1e3 * 0.02 / -np.log(SHRINK):.3g} ms" in captured.out
    assert f"{TURN / 0.02 / (2 * np.pi):.3g} Hz" in captured.out
    assert captured.err.startswith("Looking for fixed points near the latents of 15 trials")
    document = analysis_record.read(run)
    (point,) = document["fixed_points"]
    np.testing.assert_allclose(point["state"], 0, atol=1e-5)
    eigenvalue = np.array(point["eigenvalues"][0]) @ [1, 1j]
    assert abs(eigenvalue) == pytest.approx(SHRINK, abs=1e-4)
    assert abs(np.angle(eigenvalue)) == pytest.approx(TURN, abs=1e-4)
    assert document["truth"] is None
    assert 'id="data-eigenvalues"' in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "scores.json").read_text() == before


def test_the_report_keeps_the_section(moving, capsys):
    run, _ = moving
    ut.analyze(run, starts=16)
    main(["report", str(run), "--quiet"])
    assert 'id="dynamics"' in (run / "report.html").read_text(encoding="utf-8")


def test_mean_inputs_move_the_point(moving):
    run, path = moving
    trials = ut.open_trials(path)
    found = ut.analyze(run, path, inputs="mean", starts=32)
    mean = np.nanmean(trials.inputs.values)
    turn = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
    expected = np.linalg.solve(np.eye(2) - SHRINK * turn, [0.1 * mean, 0.1 * mean])
    np.testing.assert_allclose(found.points.states[0], expected, rtol=1e-3, atol=1e-5)
    assert found.document["inputs"] == "mean"


def test_other_trials_are_analysed_but_leave_the_report_alone(moving, tmp_path, capsys):
    run, path = moving
    ut.save(ut.open_trials(path).isel(trial=slice(9)), tmp_path / "few.nc")
    before = (run / "report.html").read_bytes()
    main(["analyze", str(run), "--trials", str(tmp_path / "few.nc"), "--starts", "16", "--quiet"])
    captured = capsys.readouterr()
    assert f"'undertow report {run}' shows it" in captured.out
    assert captured.err == ""
    assert analysis_record.read(run)["trials"] == 9
    assert (run / "report.html").read_bytes() == before


def test_what_cannot_be_analysed_is_refused(moving, lorenz, tmp_path):
    run, path = moving
    own = ut.open_trials(path)
    strangers = make_trials(neuron=("a", "b", "x", "y"))
    untrained = own.assign_coords(split=("trial", np.full(15, "valid")))
    lawless = types.SimpleNamespace(dynamics=lambda: TinyModel.dynamics(None))
    without = Fitted(lorenz[0].folder, lorenz[0].recipe, lawless, lorenz[0].session, {})
    cases = [
        (
            lambda: ut.analyze(without, lorenz[1]),
            r"\(tiny\) has no dynamics to look at: its latents follow no law",
        ),
        (lambda: ut.analyze(run, strangers), "2 of 4 neurons that the model was not fitted to"),
        (lambda: ut.analyze(run, untrained), "none has the split 'train'"),
        (lambda: ut.analyze(run, own, inputs="means"), "did you mean 'mean'"),
        (lambda: ut.analyze(run, own, starts=0), "'fixed_points.starts' is 0"),
        (lambda: ut.analyze(tmp_path), "holds no run"),
        (
            lambda: ut.analyze(run, own, estimate=ut.open(run).infer(own.isel(trial=slice(3)))),
            "not one of these",
        ),
    ]
    for refused, words in cases:
        with pytest.raises(UndertowError, match=words):
            refused()
    assert list(tmp_path.iterdir()) == []
