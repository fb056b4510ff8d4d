"""Codes whose relation to their factors is known: aligned, turned, collapsed."""

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.stats import spearmanr

from undertow.evaluation.disentanglement import (
    concentration,
    dci,
    dci_of_rotations,
    ica,
    mutual_information,
    mutual_information_gap,
    pca,
)
from undertow.evaluation.linear_readout import directions, linear_r2, readings
from undertow.evaluation.traversals import leakage, monotonicity
from undertow.vocabulary import UndertowError

TURN = hadamard(4) / 2  # every code has a quarter of each factor


@pytest.fixture(scope="module")
def factors():
    draws = np.random.default_rng(0).uniform(-1, 1, (400, 4))
    return {name: draws[:, index] for index, name in enumerate("abcd")}


@pytest.fixture(scope="module")
def codes(factors):
    clean = np.stack(list(factors.values()), axis=1)
    return clean + 0.03 * np.random.default_rng(1).standard_normal(clean.shape)


@pytest.fixture(scope="module")
def turned(codes, factors):
    return dci_of_rotations(codes @ TURN, factors, trees=10)


def test_aligned_codes_are_disentangled_complete_and_informative(codes, factors):
    found = dci(codes, factors, trees=10)
    assert found.disentanglement > 0.95 and found.completeness > 0.95 and found.informativeness > 0.95
    assert found.factors == ("a", "b", "c", "d")
    np.testing.assert_allclose(found.importance.sum(axis=0), 1)
    np.testing.assert_array_equal(found.importance.argmax(axis=0), range(4))
    assert mutual_information_gap(codes, factors) > 0.5


def test_a_rotation_hides_them_from_the_axes_but_not_from_a_line(codes, factors, turned):
    assert turned["raw"].disentanglement < 0.5 and turned["raw"].informativeness > 0.8
    assert mutual_information_gap(codes @ TURN, factors) < 0.3
    plain, rotated = linear_r2(codes, factors), linear_r2(codes @ TURN, factors)
    assert min(plain.values()) > 0.98
    np.testing.assert_allclose(list(plain.values()), list(rotated.values()), atol=1e-3)


def test_independent_components_bring_them_back(turned):
    assert turned["ica"].disentanglement > 0.9 > turned["raw"].disentanglement + 0.3


def test_of_normal_factors_no_axes_are_the_right_ones():
    draws = np.random.default_rng(2).standard_normal((400, 4))
    found = dci_of_rotations(draws @ TURN, dict(zip("abcd", draws.T, strict=True)), trees=10)
    assert found["ica"].disentanglement < 0.8


@pytest.mark.parametrize("make", [np.zeros, lambda shape: 1e-3 * np.random.default_rng(5).random(shape)])
def test_codes_that_know_nothing_score_about_nothing(factors, make):
    empty = make((400, 4))
    for found in dci_of_rotations(empty, factors, trees=10).values():
        assert found.disentanglement < 0.1 and found.completeness < 0.1
        assert -0.3 < found.informativeness < 0.05
    assert abs(mutual_information_gap(empty, factors)) < 0.02
    assert max(np.abs(list(linear_r2(empty, factors).values()))) < 0.05


def test_an_angle_is_one_factor_without_a_seam():
    generator = np.random.default_rng(0)
    angle, speed = generator.uniform(-np.pi, np.pi, 400), generator.uniform(20, 40, 400)
    codes = np.stack([np.cos(angle), np.sin(angle), speed], axis=1)
    factors = {"angle": angle, "speed": speed}
    as_angle = dci(codes, factors, angles=["angle"], trees=10)
    assert as_angle.importance.shape == (3, 2)
    assert as_angle.disentanglement > 0.95 and as_angle.informativeness > 0.98
    assert as_angle.completeness == pytest.approx((2 - np.log(2) / np.log(3)) / 2, abs=0.03)
    assert linear_r2(codes, factors, angles=["angle"])["angle"] > 0.999
    assert linear_r2(codes, factors)["angle"] < 0.8
    assert directions(codes, factors, angles=["angle"]).names == ("angle_cos", "angle_sin", "speed")


def test_readings_of_trials_left_out_are_in_the_factors_own_units():
    generator = np.random.default_rng(0)
    angle, speed = generator.uniform(-np.pi, np.pi, 400), generator.uniform(20, 40, 400)
    codes = np.stack([np.cos(angle), np.sin(angle), speed + generator.normal(size=400)], axis=1)
    factors, is_fitted = {"angle": angle, "speed": speed}, np.arange(400) % 4 > 0
    read = readings(codes, factors, angles=["angle"], is_fitted=is_fitted)
    np.testing.assert_array_equal(np.isnan(read["speed"].values), is_fitted)
    away = np.angle(np.exp(1j * (read["angle"].values - angle)))[~is_fitted]
    np.testing.assert_allclose(away, 0, atol=0.05)
    design = np.stack([codes[:, 2], np.ones(400)], axis=1)
    line = design @ np.linalg.lstsq(design[is_fitted], speed[is_fitted], rcond=None)[0]
    np.testing.assert_allclose(read["speed"].values[~is_fitted], line[~is_fitted], atol=0.2)
    error = ((read["speed"].values - speed)[~is_fitted] ** 2).sum()
    spread = ((speed - speed[~is_fitted].mean())[~is_fitted] ** 2).sum()
    assert read["speed"].r2 == pytest.approx(1 - error / spread)
    assert np.isfinite(readings(codes, factors, angles=["angle"])["angle"].values).all()


def test_concentration_of_known_rows():
    assert concentration(np.eye(3)) == pytest.approx(1)
    assert concentration(np.ones((3, 4))) == pytest.approx(0)
    assert concentration(np.zeros((3, 4))) == 0
    rows = np.array([[0.5, 0.5, 0, 0], [3.0, 0, 0, 0]])
    assert concentration(rows) == pytest.approx((1 * 0.5 + 3 * 1) / 4)


def test_mutual_information_of_known_tables():
    one = np.repeat([0, 1, 2, 3], 25)
    assert mutual_information(one, one) == pytest.approx(np.log(4))
    assert mutual_information(one, one // 2) == pytest.approx(np.log(2))
    assert mutual_information(one, np.tile(np.arange(5), 20)) == pytest.approx(0, abs=1e-12)


def test_rotations_lose_only_what_is_not_there(codes):
    flat = np.column_stack([codes, codes[:, 0] * 2])
    for rotated in (pca(flat), ica(flat)):
        assert rotated.shape == (400, 4)
        np.testing.assert_allclose(rotated.T @ rotated / 400, np.eye(4), atol=1e-6)


def test_angles_between_directions(codes, factors):
    mixed = {"one": factors["a"], "both": factors["a"] + factors["b"], "other": factors["c"]}
    found = directions(codes, mixed)
    expected = [[0, 45, 90], [45, 0, 90], [90, 90, 0]]
    np.testing.assert_allclose(found.degrees, expected, atol=3)
    np.testing.assert_allclose(directions(codes @ TURN, mixed).degrees, found.degrees, atol=1e-4)


def test_leakage_is_the_share_that_moves_along():
    generator = np.random.default_rng(0)
    step = np.linspace(-1, 1, 9)[:, None, None]
    own = generator.standard_normal((1, 40, 3))
    decoded = own + step * np.array([3.0, 0.6, 0.0])
    walk = leakage(decoded, target=0, spread=np.array([1.5, 1.0, 2.0]))
    np.testing.assert_allclose(walk.of_average, [1, 0.3, 0], atol=1e-9)
    np.testing.assert_allclose(walk.of_trials, [1, 0.3, 0], atol=1e-9)
    assert walk.mean == pytest.approx(0.15) and walk.moved == pytest.approx(4)
    signs = generator.choice([-1, 1], (1, 40))[..., None]
    opposite = leakage(
        own + step * np.array([3.0, 0.6, 0]) * signs ** np.array([0, 1, 1]), target=0, spread=np.ones(3)
    )
    assert opposite.of_trials[1] == pytest.approx(0.2) and opposite.of_average[1] < 0.1
    assert np.isnan(leakage(np.ones((4, 5, 2)), target=0, spread=np.ones(2)).mean)


def test_monotonicity_is_spearmans():
    generator = np.random.default_rng(1)
    decoded = np.arange(12)[:, None] + 4 * generator.standard_normal((12, 30))
    expected = np.mean([spearmanr(np.arange(12), column).statistic for column in decoded.T])
    assert monotonicity(decoded) == pytest.approx(expected)
    assert monotonicity(np.exp(np.arange(12))[:, None]) == pytest.approx(1)
    assert monotonicity(np.ones((5, 3))) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c, f: dci(c[:, 0], f), r"shape \(400,\)"),
        (lambda c, f: dci(c, {"a": f["a"][:-1]}), r"'a' has the shape \(399,\), but there are 400"),
        (lambda c, f: dci(c, {"still": np.ones(400)}), "'still' is 1 in every trial"),
        (
            lambda c, f: linear_r2(np.where(c > 0.9, np.nan, c), f),
            "of 400 trials have codes that are no finite",
        ),
        (lambda c, f: linear_r2(c, f, angles=["aa"]), "'aa' is no factor; did you mean 'a'"),
        (lambda c, f: linear_r2(c, {}), "No factor was given"),
        (lambda c, f: linear_r2(c, {"a": np.where(f["a"] > 0.5, np.nan, f["a"])}), "'a' is not known in"),
        (lambda c, f: leakage(c[None, None], target=0, spread=np.ones(4)), "at least 2 steps"),
        (
            lambda c, f: leakage(np.ones((3, 2, 2)), target=2, spread=np.ones(2)),
            "behaviour 2, but there are 2",
        ),
        (lambda c, f: leakage(np.ones((3, 2, 1)), target=0, spread=np.zeros(1)), "must be positive"),
        (lambda c, f: monotonicity(c[0]), "at least 2 steps"),
    ],
)
def test_what_can_not_be_scored_is_refused(codes, factors, call, words):
    with pytest.raises(UndertowError, match=words):
        call(codes, factors)
