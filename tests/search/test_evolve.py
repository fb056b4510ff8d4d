"""Each rule of population-based training, against plain Python, SciPy, or a state made up by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from search_material import member_of, plain, population

from undertow.models.base import Range
from undertow.search.evolve import SMALLEST_SHARE, evolve, has_settled, inherit, judged, perturb, tournament
from undertow.search.space import rules_of
from undertow.training.hyperparameters import by_key

KEYS = ["optimiser.learning_rate", "tiny.noise", "corruption.coordinated_dropout"]
SPACE = {
    "optimiser.learning_rate": Range(low=1e-3, high=1.0, prior="log_uniform", step=0.3),
    "tiny.noise": Range(low=0.0, high=0.6, step=0.3),
    "corruption.coordinated_dropout": Range(low=0.001, high=0.7, step=0.3),
}
SOUND = math.inf


def parents_of(scores, is_lost, keys):
    costs = np.where(is_lost, np.inf, scores).astype(np.float32)
    many = jax.jit(jax.vmap(lambda key: tournament(jnp.asarray(costs), jnp.asarray(is_lost), key=key)))
    return np.asarray(many(jax.random.split(jax.random.key(1), keys)))


def test_rivals_meet_in_pairs_and_the_lower_cost_wins():
    """No member's weights can go to two others, the best always stays, and every loser's parent is better."""
    scores = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0])
    for parents in parents_of(scores, np.zeros(6, bool), 200):
        losers = [member for member in range(6) if parents[member] != member]
        pairs = [{member, int(parents[member])} for member in losers]
        assert len(losers) == 3, "six members without ties are three pairs with one loser each"
        assert len(set().union(*pairs)) == 6
        assert all(scores[parents[member]] < scores[member] for member in losers)


def test_every_pairing_is_equally_likely():
    """Four members in two pairs: three pairings, counted over many keys."""
    scores = np.arange(4.0)
    outcomes = [tuple(parents) for parents in parents_of(scores, np.zeros(4, bool), 3000)]
    expected = {(0, 0, 2, 2), (0, 1, 0, 1), (0, 1, 1, 0)}
    assert set(outcomes) == expected
    counts = [outcomes.count(outcome) for outcome in expected]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_an_odd_one_out_meets_nobody_and_anybody_may_be_it():
    scores = np.arange(5.0)
    parents = parents_of(scores, np.zeros(5, bool), 500)
    assert ((parents != np.arange(5)).sum(1) == 2).all()
    worst_stayed = (parents[:, 4] == 4).mean()
    assert 0.12 < worst_stayed < 0.28, "the worst survives only as the odd one, once in five"
    np.testing.assert_array_equal(parents_of(np.ones(1), np.zeros(1, bool), 3), 0)


def test_ties_keep_themselves():
    parents = parents_of(np.full(8, 2.5), np.zeros(8, bool), 50)
    np.testing.assert_array_equal(parents, np.tile(np.arange(8), (50, 1)))


@given(
    lost=st.lists(st.booleans(), min_size=7, max_size=7).filter(lambda lost: not all(lost)),
    key=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_a_member_that_broke_down_goes_on_as_a_healthy_one(lost, key):
    """However good its score was, and whoever its rival; it hands its weights to nobody."""
    is_lost = jnp.asarray(lost)
    scores = jnp.where(is_lost, jnp.inf, jnp.arange(7.0))
    parents = np.asarray(tournament(scores, is_lost, key=jax.random.key(key)))
    assert not np.asarray(lost)[parents].any()


def test_every_healthy_one_may_replace_a_member_that_broke_down():
    is_lost = np.array([False, False, False, True])
    counts = np.bincount(parents_of(np.array([1.0, 2.0, 3.0, 0.0]), is_lost, 900)[:, 3], minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3]).pvalue > 1e-3


def test_if_all_broke_down_nothing_changes():
    np.testing.assert_array_equal(
        parents_of(np.arange(5.0), np.ones(5, bool), 20), np.tile(np.arange(5), (20, 1))
    )


def test_who_has_broken_down():
    """A score that is no number, infinite or above the limit, or an epoch without a finite step; the score then is infinite."""
    states = population(6, scores=[1.0, 2.0, 3.0, 4.0, 5.0, 0.5])
    last = jnp.asarray([1.0, jnp.nan, jnp.inf, 50.0, 5.0, 0.5])
    states = states._replace(
        selection=states.selection._replace(last=last),
        failed_epochs=jnp.asarray([0, 0, 0, 0, 0, 2], jnp.int32),
    )
    scores, is_lost = judged(states, 40.0)
    np.testing.assert_array_equal(is_lost, [False, True, True, True, False, True])
    np.testing.assert_array_equal(scores, np.float32([1, np.inf, np.inf, np.inf, 5, np.inf]))


def test_the_heir_is_its_parent_in_everything_but_the_key():
    """Weights, best weights, Adam's moments, plateau, selection, counters and numbers: every array, by name."""
    states = population(5)
    parents = [0, 0, 2, 4, 4]
    heirs = inherit(states, jnp.asarray(parents, jnp.int32))
    names = set()
    for member, parent in enumerate(parents):
        heir, before, of_parent = (
            member_of(heirs, member),
            member_of(states, member),
            member_of(states, parent),
        )
        for name in heir:
            expected = before if name == ".key" else of_parent
            np.testing.assert_array_equal(heir[name], expected[name], err_msg=name)
        names |= set(heir)
    for part in (
        ".model",
        ".best_model",
        ".optimiser",
        ".plateau",
        ".selection",
        ".epoch",
        ".hyperparameters",
    ):
        assert any(name.startswith(part) for name in names), part
    assert any(".mu" in name for name in names) and any(".nu" in name for name in names)
    assert len({member_of(heirs, member)[".key"].tobytes() for member in range(5)}) == 5


def test_winners_go_on_unchanged_and_copies_with_their_parents_numbers_perturbed():
    """`evolve` as a whole: one parent for each member, and only what the search moves differs from that parent."""
    states = population(7, scores=[3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 0.5])
    after, turn = evolve(states, rules_of(SPACE, KEYS), KEYS, "tiny", SOUND, key=jax.random.key(3))
    parents = np.asarray(turn.parents)
    assert not np.asarray(turn.is_lost).any()
    copies = [member for member in range(7) if parents[member] != member]
    assert len(copies) == 3
    moving = {".hyperparameters.learning_rate", ".hyperparameters.corruption.coordinated_dropout"}
    moving |= {".hyperparameters.model['noise']"}
    for member in range(7):
        now, of_parent = member_of(after, member), member_of(states, parents[member])
        changed = {name for name in now if name != ".key" and not np.array_equal(now[name], of_parent[name])}
        assert changed == (moving if member in copies else set())


def test_without_numbers_that_move_the_tournament_still_happens():
    states = population(4)
    after, turn = evolve(states, rules_of({}, []), [], "tiny", SOUND, key=jax.random.key(0))
    assert (np.asarray(turn.parents) != np.arange(4)).sum() == 2
    np.testing.assert_array_equal(
        after.hyperparameters.learning_rate, np.asarray(states.hyperparameters.learning_rate)[turn.parents]
    )


RANGES = st.tuples(
    st.floats(1e-6, 1.0), st.floats(1.05, 1e4), st.floats(0.01, 1.5), st.booleans(), st.booleans()
).map(
    lambda drawn: Range(
        low=0.0 if drawn[3] else drawn[0], high=drawn[0] * drawn[1], step=drawn[2], is_bounded=drawn[4]
    )
)


@given(where=RANGES, share=st.floats(0, 1), seed=st.integers(0, 1000))
@settings(max_examples=80, deadline=None)
def test_a_perturbation_stays_in_bounds_and_moves_by_no_more_than_its_step(where, share, seed):
    start = np.float32(where.low + share * (where.high - where.low))
    values = jnp.full((1, 50), start, jnp.float32)
    after = np.asarray(perturb(values, rules_of({"x": where}, ["x"]), key=jax.random.key(seed)))[0]
    if where.is_bounded:
        assert (after >= np.float32(where.low)).all() and (after <= np.float32(where.high)).all()
    assert (after >= 0).all()
    slack = 1 + 1e-5
    if where.low == 0:
        assert np.abs(after - start).max() <= where.step * where.high / 2 * slack + 1e-6 * start
    else:
        assert (after <= start * (1 + where.step) * slack).all()
        assert (after * (1 + where.step) * slack >= start).all()


@pytest.mark.parametrize(
    ("where", "moved"),
    [
        (Range(low=1e-6, high=1e6, step=0.3), lambda after, start: np.log(after / start)),
        (Range(low=0.0, high=2.0, step=0.3), lambda after, start: after - start),
    ],
)
def test_up_and_down_are_equally_likely_and_equally_far(where, moved):
    """Far from the bounds: the size is uniform from the smallest to the largest (SciPy), its sign a fair coin."""
    values = jnp.ones((1, 20_000), jnp.float32)
    after = np.asarray(perturb(values, rules_of({"x": where}, ["x"]), key=jax.random.key(0)), np.float64)[0]
    move = moved(after, 1.0)
    largest = math.log(1.3) if where.low > 0 else 0.3
    smallest = math.log(1 + SMALLEST_SHARE * 0.3) if where.low > 0 else SMALLEST_SHARE * 0.3
    assert np.abs(move).min() >= smallest * 0.99
    assert np.abs(move).max() <= largest * 1.0001
    for sizes in (move[move > 0], -move[move < 0]):
        assert stats.kstest(sizes, stats.uniform(smallest, largest - smallest).cdf).pvalue > 1e-3
    assert stats.binomtest(int((move > 0).sum()), len(move)).pvalue > 1e-3


def test_a_number_that_may_be_zero_reaches_zero_and_leaves_it():
    rules = rules_of({"x": Range(low=0.0, high=0.6, step=0.3)}, ["x"])
    from_zero = np.asarray(perturb(jnp.zeros((1, 100), jnp.float32), rules, key=jax.random.key(0)))
    assert (from_zero > 0).all()
    near = np.asarray(perturb(jnp.full((1, 4000), 1e-3, jnp.float32), rules, key=jax.random.key(1)))
    assert near.min() < 1e-4


def test_numbers_given_by_a_list_and_multiplied_zeros_stay():
    rules = rules_of({"x": (0.1, 0.2), "y": Range(low=1e-3, high=1.0, is_bounded=False)}, ["x", "y"])
    values = jnp.asarray([[0.1, 0.2, 0.1], [0.0, 0.0, 0.0]], jnp.float32)
    np.testing.assert_array_equal(perturb(values, rules, key=jax.random.key(0)), values)


def wandered(where, start, *, times=10_000):
    """Values after so many perturbations without selection."""
    rules = rules_of({"x": where}, ["x"])
    again = lambda number, values: perturb(values, rules, key=jax.random.fold_in(jax.random.key(5), number))  # noqa: E731
    return np.asarray(jax.jit(lambda values: jax.lax.fori_loop(0, times, again, values))(start[None]))[0]


def test_without_selection_an_unbounded_number_does_not_drift():
    """The mean over members of the log, in units of its standard error under the closed form of the walk's variance."""
    members, times, step = 1000, 10_000, 0.02
    end = wandered(
        Range(low=1e-3, high=1.0, step=step, is_bounded=False),
        jnp.full(members, 0.05, jnp.float32),
        times=times,
    )
    log_end = np.log(end.astype(np.float64) / 0.05)
    largest, smallest = math.log(1 + step), math.log(1 + SMALLEST_SHARE * step)
    variance = times * (largest**2 + largest * smallest + smallest**2) / 3
    assert abs(log_end.mean()) < 4 * math.sqrt(variance / members)
    assert 0.8 < log_end.var() / variance < 1.2


@pytest.mark.parametrize("low", [1e-3, 0.0])
def test_without_selection_a_bounded_number_visits_its_range_evenly(low):
    """Even in the log where it is multiplied, even in itself where it may be zero (Kolmogorov-Smirnov, fixed key)."""
    where = Range(low=low, high=0.6, step=0.3)
    end = wandered(where, jnp.full(1000, 0.55, jnp.float32)).astype(np.float64)
    expected = stats.loguniform(low, 0.6) if low > 0 else stats.uniform(0, 0.6)
    assert stats.kstest(end, expected.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("best", "expected"),
    [
        ([1.0, 1.0, 1.0, 1.0], False),  # no score is older than the patience
        ([1.0, 1.0, 1.0, 1.0, 1.0], True),  # gained 0
        ([1.0, 1.0, 1.0, 1.0, 0.9996], True),  # gained 4e-4 of a mean size of 0.9999
        ([1.0, 1.0, 1.0, 1.0, 0.9994], False),  # gained 6e-4
        ([1.0, 0.5, 0.5, 0.5, 0.5], False),  # the gain lies within the last four
        ([1.0, 0.5, 0.5, 0.5, 0.5, 0.5], True),  # and now before them
        ([0.5, 0.7, 0.7, 0.7, 0.7], True),  # worse than four generations ago
        ([0.5, 0.7, 0.6, 0.6, 0.6, 0.6], True),  # better than then, but not than the best before
        ([-2.0, -2.0, -2.0, -2.0, -2.0009], True),  # costs below zero: 9e-4 of 2
        ([-2.0, -2.0, -2.0, -2.0, -2.0011], False),
    ],
)
def test_settling_by_hand(best, expected):
    """(best of four generations ago - best since) / mean |best| <= 5e-4."""
    assert has_settled(best, patience=4, tolerance=5e-4) is expected


def test_values_by_key_are_those_that_move():
    """The three numbers of `SPACE` are perturbed independently of one another."""
    states = population(64, scores=np.arange(64.0))
    after, turn = evolve(states, rules_of(SPACE, KEYS), KEYS, "tiny", SOUND, key=jax.random.key(8))
    copies = np.asarray(turn.parents) != np.arange(64)
    before, now = by_key(states.hyperparameters, "tiny"), by_key(after.hyperparameters, "tiny")
    ups = [plain(now[key])[copies] > plain(before[key])[np.asarray(turn.parents)][copies] for key in KEYS]
    assert len({tuple(up) for up in ups}) == 3
    assert all(0.2 < up.mean() < 0.8 for up in ups)
