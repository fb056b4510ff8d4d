"""The switching linear dynamical system against enumeration, dense algebra and SciPy; and states that are known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from undertow.baselines import slds_inference, slds_learning
from undertow.baselines.slds import SLDS
from undertow.baselines.slds_inference import Parameters
from undertow.models.base import FitData

STATES, FACTORS, NEURONS, TIME = 2, 2, 6, 7


def drawn_parameters(seed=0):
    rng = np.random.default_rng(seed)
    turns = np.array([[0.8, 0.2], [0.3, 0.7]])
    roots = np.tril(0.1 * rng.normal(size=(STATES, FACTORS, FACTORS))) + 0.4 * np.eye(FACTORS)
    parts = (
        np.log([0.6, 0.4]),
        np.log(turns),
        rng.normal(size=FACTORS),
        np.array([[0.9, 0.0], [0.2, 0.7]]),
        0.8 * np.eye(FACTORS) + 0.2 * rng.normal(size=(STATES, FACTORS, FACTORS)),
        0.3 * rng.normal(size=(STATES, FACTORS)),
        roots,
        rng.normal(size=(NEURONS, FACTORS)),
        rng.normal(size=NEURONS),
    )
    return Parameters(*(jnp.asarray(part, jnp.float32) for part in parts))


@pytest.fixture(scope="module")
def case():
    counts = np.random.default_rng(1).poisson(1.0, (TIME, NEURONS)).astype(np.float32)
    counts[2:4, 1] = np.nan
    states = np.random.default_rng(2).dirichlet([1, 1], TIME).astype(np.float32)
    return drawn_parameters(), slds_learning.trial_of(jnp.asarray(counts)), jnp.asarray(states)


def log_density(parameters, trial, states, x):
    """What q(x) is the peak of, in float64 from the formulas."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), parameters)

    def gaussian(value, mean, root):
        solved = np.linalg.solve(root, value - mean)
        return (
            -0.5 * solved @ solved
            - np.log(np.abs(np.diagonal(root))).sum()
            - len(value) / 2 * np.log(2 * np.pi)
        )

    total = gaussian(x[0], p.first_mean, p.first_root)
    for t, k in itertools.product(range(1, TIME), range(STATES)):
        ahead = p.dynamics[k] @ x[t - 1] + p.drift[k]
        total += float(states[t, k]) * gaussian(x[t], ahead, p.noise_root[k])
    rates = np.log1p(np.exp(x @ p.loadings.T + p.offset))
    return total + (np.asarray(trial.is_observed) * (np.asarray(trial.counts) * np.log(rates) - rates)).sum()


def test_messages_agree_with_the_sum_over_all_paths():
    parameters = drawn_parameters()
    scores = np.random.default_rng(3).normal(size=(4, STATES)).astype(np.float32)
    start, turns = np.exp(parameters.log_start), np.exp(parameters.log_transitions)
    weights = {}
    for path in itertools.product(range(STATES), repeat=4):
        weight = start[path[0]] * np.exp(sum(scores[t, k] for t, k in enumerate(path)))
        for before, after in itertools.pairwise(path):
            weight *= turns[before, after]
        weights[path] = float(weight)
    total = sum(weights.values())
    states, pairs, evidence = slds_inference.messages(parameters, jnp.asarray(scores))
    np.testing.assert_allclose(evidence, np.log(total), rtol=1e-5)
    for t, k in itertools.product(range(4), range(STATES)):
        expected = sum(weight for path, weight in weights.items() if path[t] == k) / total
        np.testing.assert_allclose(states[t, k], expected, rtol=1e-4)
    expected = np.zeros((STATES, STATES))
    for path, weight in weights.items():
        for turn in itertools.pairwise(path):
            expected[turn] += weight / total
    np.testing.assert_allclose(pairs, expected, rtol=1e-4)


def test_the_peak_is_what_scipy_finds_and_the_covariance_the_inverse_curvature(case):
    parameters, trial, states = case
    start = jnp.zeros((TIME, FACTORS))
    posterior = slds_inference.posterior(parameters, trial, start, states, rounds=1, steps=25)
    best = minimize(
        lambda flat: -log_density(parameters, trial, states, flat.reshape(TIME, FACTORS)),
        np.zeros(TIME * FACTORS),
        tol=1e-9,
    )
    np.testing.assert_allclose(posterior.mean, best.x.reshape(TIME, FACTORS), atol=2e-3)
    peak, curvature, step = np.asarray(posterior.mean, float).ravel(), np.zeros((TIME * FACTORS,) * 2), 1e-3
    for i, j in itertools.product(range(TIME * FACTORS), repeat=2):
        corners = {}
        for a, b in itertools.product((-1, 1), repeat=2):
            moved = peak.copy()
            moved[i] += a * step
            moved[j] += b * step
            corners[a, b] = log_density(parameters, trial, states, moved.reshape(TIME, FACTORS))
        curvature[i, j] = -(corners[1, 1] - corners[1, -1] - corners[-1, 1] + corners[-1, -1]) / (4 * step**2)
    covariance = np.linalg.inv(curvature).reshape(TIME, FACTORS, TIME, FACTORS)
    for t in range(TIME):
        np.testing.assert_allclose(posterior.covariance[t], covariance[t, :, t], atol=2e-3)
        if t:
            np.testing.assert_allclose(posterior.with_last[t], covariance[t, :, t - 1], atol=2e-3)


def test_the_bound_is_below_the_evidence_by_importance_sampling_and_not_far():
    parameters = drawn_parameters(4)
    counts = np.random.default_rng(5).poisson(1.0, (3, NEURONS)).astype(np.float32)
    trial = slds_learning.trial_of(jnp.asarray(counts))
    uniform = jnp.full((3, STATES), 0.5)
    bound = slds_inference.posterior(
        parameters, trial, jnp.zeros((3, FACTORS)), uniform, rounds=20, steps=5
    ).bound
    p = jax.tree.map(lambda leaf: np.asarray(leaf, float), parameters)
    rng, draws = np.random.default_rng(6), 200_000
    z = (rng.random(draws) > np.exp(p.log_start[0])).astype(int)
    x = p.first_mean + rng.normal(size=(draws, FACTORS)) @ p.first_root.T
    logs = np.zeros(draws)
    constant = np.asarray(jax.scipy.special.gammaln(counts + 1), float).sum(axis=1)
    for t in range(3):
        if t:
            z = (rng.random(draws) > np.exp(p.log_transitions[z, 0])).astype(int)
            noise = np.einsum("rij,rj->ri", p.noise_root[z], rng.normal(size=(draws, FACTORS)))
            x = np.einsum("rij,rj->ri", p.dynamics[z], x) + p.drift[z] + noise
        rates = np.log1p(np.exp(x @ p.loadings.T + p.offset))
        logs += (counts[t] * np.log(rates) - rates).sum(axis=1) - constant[t]
    evidence = np.log(np.mean(np.exp(logs - logs.max()))) + logs.max()
    assert evidence - 0.5 < float(bound) < evidence + 0.02


def switching(seed=7, trials=20, bins=80, neurons=25):
    """Counts of a system that turns left or right around the origin, and its states."""
    rng = np.random.default_rng(seed)
    turn = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in (0.35, -0.15)]
    loadings, offset = 1.2 * rng.normal(size=(neurons, 2)), rng.normal(size=neurons) + 1
    states, x = np.zeros((trials, bins), int), np.zeros((trials, bins, 2))
    centre = np.array([[1.5, 0.0], [-1.5, 0.0]])
    states[:, 0], x[:, 0] = rng.integers(2, size=trials), rng.normal(size=(trials, 2))
    for t in range(1, bins):
        states[:, t] = np.where(rng.random(trials) < 0.04, 1 - states[:, t - 1], states[:, t - 1])
        for r, k in enumerate(states[:, t]):
            x[r, t] = centre[k] + 0.97 * turn[k] @ (x[r, t - 1] - centre[k]) + 0.1 * rng.normal(size=2)
    counts = rng.poisson(np.log1p(np.exp(x @ loadings.T + offset))).astype(np.float32)
    return counts, states


def test_the_bound_rises_and_the_states_are_found():
    counts, states = switching()
    data = FitData(
        counts, np.zeros(25, bool), np.zeros(80, bool), 0.02, np.full(len(counts), -1, np.int32), 0
    )
    parameters, bounds = SLDS(states=2, factors=2, iterations=25).learned(data, seed=0, say=lambda _: None)
    assert (np.diff(bounds[1:]) > -2e-3 * abs(bounds[-1])).all()
    assert bounds[-1] > bounds[0]
    trials = jax.vmap(slds_learning.trial_of)(jnp.asarray(counts))

    def found(trial):
        start = jnp.zeros((80, 2)), jnp.full((80, 2), 0.5)
        return slds_inference.posterior(parameters, trial, *start, rounds=5, steps=2).states

    members = np.asarray(jax.jit(jax.vmap(found))(trials)).argmax(axis=2)
    agreement = (members == states).mean()
    assert max(agreement, 1 - agreement) > 0.9


def test_forecasts_follow_the_dynamics(case):
    parameters, trial, states = case
    posterior = slds_inference.posterior(
        parameters, trial, jnp.zeros((TIME, FACTORS)), states, rounds=3, steps=3
    )
    is_inside = jnp.arange(TIME) < 5
    ahead = slds_inference.foretold(parameters, posterior, is_inside)
    np.testing.assert_array_equal(ahead[:5], posterior.mean[:5])
    last = np.asarray(ahead[4])
    for t in (5, 6):
        weights = np.asarray(posterior.states[t])
        last = sum(
            weights[k] * (np.asarray(parameters.dynamics[k]) @ last + np.asarray(parameters.drift[k]))
            for k in range(STATES)
        )
        np.testing.assert_allclose(ahead[t], last, rtol=1e-4, atol=1e-5)
