"""The benchmark's scores against their invariants, brute force and scikit-learn's grid search; the errors a person reads."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from undertow.evaluation.cycle_consistency import cross_decoding, cycle_consistency
from undertow.evaluation.few_shot import few_shot_co_smoothing
from undertow.evaluation.nlb import co_bps, fp_bps, score
from undertow.evaluation.nlb_behaviour import tp_corr, vel_r2
from undertow.evaluation.nlb_psth import later, psth_r2
from undertow.evaluation.nlb_published import MARKS, PUBLISHED, published
from undertow.evaluation.nlb_results import results
from undertow.vocabulary import UndertowError

SEEDS = st.integers(0, 2**32 - 1)


def spikes_and_rates(seed, shape=(5, 7, 4)):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2, 0.2, shape) + 0.01
    counts = generator.poisson(rates).astype(float)
    counts[0, 0] = 1
    return counts, rates


@given(SEEDS)
def test_the_null_model_scores_nothing(seed):
    counts, _ = spikes_and_rates(seed)
    counts[1, 2:] = np.nan
    null = np.broadcast_to(np.nanmean(counts, axis=(0, 1)), counts.shape)
    assert co_bps(null, counts) == pytest.approx(0, abs=1e-12)


@given(SEEDS, st.floats(0.2, 5))
def test_a_common_factor_changes_bits_per_spike_as_the_formula_says(seed, factor):
    counts, rates = spikes_and_rates(seed)
    expected = (math.log(factor) - (factor - 1) * rates.sum() / counts.sum()) / math.log(2)
    assert co_bps(factor * rates, counts) - co_bps(rates, counts) == pytest.approx(expected, abs=1e-9)


@given(SEEDS)
def test_the_order_of_neurons_does_not_matter(seed):
    counts, rates = spikes_and_rates(seed)
    order = np.random.default_rng(seed).permutation(4)
    assert co_bps(rates[..., order], counts[..., order]) == pytest.approx(co_bps(rates, counts), abs=1e-12)


@given(SEEDS)
def test_spikes_that_are_not_known_contribute_nothing(seed):
    counts, rates = spikes_and_rates(seed)
    hidden = counts.copy()
    hidden[3:] = np.nan
    wild = rates.copy()
    wild[3:] = np.nan
    assert co_bps(wild, hidden) == pytest.approx(co_bps(rates[:3], counts[:3]), abs=1e-12)


@given(SEEDS)
def test_bits_per_spike_is_the_difference_of_negative_log_likelihoods(seed):
    counts, rates = spikes_and_rates(seed)
    rates[0, 0, 0] = 0

    def nll(rate):
        rate = np.where(rate == 0, 1e-9, rate)
        return (rate - counts * np.log(rate) + gammaln(counts + 1)).sum()

    null = np.broadcast_to(counts.mean(axis=(0, 1)), counts.shape)
    expected = (nll(null) - nll(rates)) / counts.sum() / math.log(2)
    assert co_bps(rates, counts) == pytest.approx(expected, abs=1e-9)
    parts = (rates[..., :3], rates[..., 3:], counts[..., :3], counts[..., 3:])
    assert fp_bps(*parts) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 2))
def test_velocity_is_decoded_as_by_the_grid_search_of_scikit_learn(seed, decoders):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2, 0.05, (18, 9, 5))
    behaviour = rates @ generator.standard_normal((5, 2)) * 100 + generator.standard_normal((18, 9, 2))
    behaviour[2, 5:] = np.nan
    behaviour[15, :2] = np.nan
    mask = np.ones((18, 1), bool) if decoders == 1 else np.arange(18)[:, None] % 2 == np.arange(2)
    train = np.arange(18) < 12
    expected = []
    for chosen in mask.T:
        x, y, new_x, new_y = (
            values[chosen & split].reshape(-1, values.shape[-1])
            for split in (train, ~train)
            for values in (rates, behaviour)
        )
        known, evaluated = ~np.isnan(y[:, 0]), ~np.isnan(new_y[:, 0])
        search = GridSearchCV(Ridge(), {"alpha": np.logspace(-4, 0, 9)}).fit(x[known], y[known])
        expected.append(search.score(new_x[evaluated], new_y[evaluated]))
    found = vel_r2(
        rates[train], behaviour[train], rates[~train], behaviour[~train], masks=(mask[train], mask[~train])
    )
    assert found == pytest.approx(np.mean(expected), abs=1e-7)


def psth_case(seed):
    generator = np.random.default_rng(seed)
    psth = generator.gamma(2, 0.2, (3, 8, 4))
    psth[:, :, 3] = 0  # a silent neuron, whose R2 is 0
    psth[1, :3] = np.nan
    psth[2, :4] = np.nan
    rates = generator.gamma(2, 0.2, (6, 8, 4))
    trials = [np.array([], dtype=int), np.array([0, 2, 5]), np.array([1, 3])]
    return psth, rates, trials, np.array([0, 3, 2, 0, 0, 1])


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_psth_r2_is_that_of_plain_loops(seed):
    psth, rates, trials, jitter = psth_case(seed)
    true, predicted = [], []
    for condition, members in enumerate(trials):
        for time in range(8):
            if len(members) and not np.isnan(psth[condition, time, 0]):
                true.append(psth[condition, time])
                predicted.append(np.mean([rates[trial, time - jitter[trial]] for trial in members], axis=0))
    assert psth_r2(psth, rates, trials, jitter=jitter) == pytest.approx(r2_score(true, predicted), abs=1e-10)


def test_rates_move_later_by_their_jitter_and_earlier_by_a_negative_one():
    values = np.arange(4.0)[:, None]
    np.testing.assert_array_equal(later(values, 1)[:, 0], [np.nan, 0, 1, 2])
    np.testing.assert_array_equal(later(values, -3)[:, 0], [3, np.nan, np.nan, np.nan])


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_neural_speed_is_correlated_with_time_within_conditions(seed):
    generator = np.random.default_rng(seed)
    rates = generator.gamma(2, 0.2, (12, 9, 5))
    counts = generator.poisson(rates[..., :2]).astype(float)
    starts = generator.integers(0, 6, 12)
    for trial, start in enumerate(starts):
        counts[trial, :start] = np.nan
    behaviour = np.c_[np.arange(12) % 2, np.zeros(12), np.zeros(12), np.full(12, 800.0), generator.random(12)]
    behaviour[3] = np.nan
    speeds = np.array(
        [
            np.mean(np.sqrt(np.sum((trial[s + 1 :] - trial[s:-1]) ** 2, axis=1)))
            for trial, s in zip(rates, starts, strict=True)
        ]
    )
    groups = [np.flatnonzero(behaviour[:, 0] == value) for value in (0, 1)]
    expected = np.mean([pearsonr(speeds[group], behaviour[group, -1])[0] for group in groups])
    assert tp_corr(counts, rates, behaviour) == pytest.approx(expected, abs=1e-10)


def case(seed=0):
    """Target and submission of a small data set with everything the scores need."""
    generator = np.random.default_rng(seed)
    latents = generator.standard_normal((16, 20, 3))
    rates = np.exp(latents @ generator.standard_normal((3, 9)) * 0.3 - 1.5)
    counts = generator.poisson(rates).astype(np.float32)
    behaviour = latents @ generator.standard_normal((3, 2))
    train, bins = slice(0, 10), slice(0, 15)
    trials = [np.array([0, 2, 4]), np.array([1, 3, 5])]
    target = {
        "eval_spikes_heldout": counts[10:, bins, 6:],
        "train_behavior": behaviour[train, bins],
        "eval_behavior": behaviour[10:, bins],
        "eval_spikes_heldin_forward": counts[10:, 15:, :6],
        "eval_spikes_heldout_forward": counts[10:, 15:, 6:],
        "psth": np.stack([rates[10:, bins][rows].mean(axis=0) for rows in trials]),
        "eval_cond_idx": trials,
    }
    submission = {
        "train_rates_heldin": rates[train, bins, :6],
        "train_rates_heldout": rates[train, bins, 6:],
        "eval_rates_heldin": rates[10:, bins, :6],
        "eval_rates_heldout": rates[10:, bins, 6:],
        "eval_rates_heldin_forward": rates[10:, 15:, :6],
        "eval_rates_heldout_forward": rates[10:, 15:, 6:],
    }
    return target, submission


def test_a_submission_gets_all_scores_and_stays_as_it_was():
    target, submission = case()
    scores = score(target, submission)
    assert list(scores) == ["co-bps", "vel R2", "psth R2", "fp-bps"]
    assert scores["psth R2"] == pytest.approx(1, abs=1e-12)
    assert scores["vel R2"] > 0.8
    submission["eval_rates_heldout"][0, 0, 0] = 0
    before = copy.deepcopy((target, submission))
    assert score(target, submission)["co-bps"] != scores["co-bps"]
    for entries, earlier in zip((target, submission), before, strict=True):
        for name in entries:
            np.testing.assert_array_equal(np.array(entries[name]), np.array(earlier[name]))


def test_scores_that_nothing_is_known_of_are_left_out():
    target, submission = case()
    for name in ("psth", "eval_cond_idx", "eval_spikes_heldin_forward", "eval_spikes_heldout_forward"):
        del target[name]
    assert list(score(target, submission)) == ["co-bps", "vel R2"]


def test_trials_described_by_columns_get_the_correlation_with_time():
    target, submission = case()
    columns = np.c_[np.arange(6) % 2, np.zeros((6, 3)), np.arange(6) + 300.0]
    target["train_behavior"], target["eval_behavior"] = columns, columns
    del submission["train_rates_heldin"], submission["train_rates_heldout"]
    assert list(score(target, submission))[:2] == ["co-bps", "tp corr"]


def changed(name, value):
    target, submission = case()
    submission[name] = value(submission[name])
    return target, submission


def with_one(value):
    def change(rates):
        rates[2, 3, 1] = value
        return rates

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("eval_rates_heldout", with_one(-1.0), r"1 negative rates .* \(2, 3, 1\)"),
        ("eval_rates_heldout", with_one(np.nan), r"1 NaN rates .* \(2, 3, 1\)"),
        ("eval_rates_heldout_forward", with_one(np.inf), r"heldout_forward' has 1 infinite rates"),
        ("eval_rates_heldin", with_one(np.nan), "evaluated trials is NaN in 1 bins"),
        ("train_rates_heldin", with_one(np.nan), "training trials is NaN in 1 bins"),
        (
            "eval_rates_heldout",
            lambda rates: rates[1:],
            r"\(5, 15, 3\), but the target asks for \(6, 15, 3\)",
        ),
        (
            "eval_rates_heldin",
            lambda rates: rates[..., 1:],
            r"\(6, 15, 5\), but the target asks for \(6, 15, 6\)",
        ),
        ("train_rates_heldout", lambda rates: rates[0], r"\(15, 3\), but the target asks for \(10, 15, 3\)"),
        ("eval_rates_heldin_forward", lambda rates: rates[:, 1:], r"\(6, 4, 6\), but the target"),
        ("eval_rates_heldout", lambda rates: rates / 0.005, r"close to 1 / bin width \(200 at 5 ms\).*Hz"),
        ("eval_rates_heldout", lambda rates: rates / 0.02, r"close to 1 / bin width \(50 at 20 ms\).*Hz"),
        ("eval_rates_heldout", lambda rates: rates * 0.02, r"0\.0\d+ times the counts .* neuron; submit"),
    ],
)
def test_wrong_rates_are_refused_with_a_sentence(name, change, words):
    with pytest.raises(UndertowError, match=words):
        score(*changed(name, change))


def test_the_factor_is_told_for_the_bin_width_that_is_known():
    with pytest.raises(UndertowError, match=r"\(50 at 20 ms\)"):
        score(*changed("eval_rates_heldout", lambda rates: rates / 0.02), bin_width=0.02)
    with pytest.raises(UndertowError, match="median neuron; submit"):
        score(*changed("eval_rates_heldout", lambda rates: rates / 0.02), bin_width=0.005)


@pytest.mark.parametrize("name", ["eval_rates_heldout", "train_rates_heldin", "eval_rates_heldin_forward"])
def test_a_missing_entry_is_named(name):
    target, submission = case()
    del submission[name]
    with pytest.raises(UndertowError, match=f"submission has no '{name}' .*found"):
        score(target, submission)


def test_a_target_without_its_counts_is_refused():
    target, submission = case()
    del target["eval_spikes_heldout"]
    with pytest.raises(UndertowError, match="target has no 'eval_spikes_heldout'"):
        score(target, submission)


def test_train_and_eval_rates_have_the_same_neurons():
    target, submission = case()
    for name in ("psth", "eval_spikes_heldin_forward", "eval_spikes_heldout_forward"):
        del target[name]
    submission["train_rates_heldin"] = submission["train_rates_heldin"][..., :4]
    with pytest.raises(UndertowError, match="has 4 neurons and 'eval_rates_heldin' 6"):
        score(target, submission)


def test_arrays_that_do_not_fit_together_are_refused():
    psth, rates, trials, jitter = psth_case(0)
    with pytest.raises(UndertowError, match="Rates of condition 1 are NaN"):
        psth_r2(psth, rates, trials, jitter=jitter + 2)
    with pytest.raises(UndertowError, match="names the trial 9"):
        psth_r2(psth, rates, [*trials[:2], np.array([9])])
    with pytest.raises(UndertowError, match=r"shape \(3, 8, 3\)"):
        psth_r2(psth[..., :3], rates, trials)
    with pytest.raises(UndertowError, match="No condition"):
        psth_r2(psth[:1], rates, trials[:1])
    mask = np.zeros((6, 1), bool)
    with pytest.raises(UndertowError, match="Decoder 1 of 1 has 6 training and 0 evaluated"):
        vel_r2(rates, rates[..., :2], rates, rates[..., :2], masks=(~mask, mask))
    with pytest.raises(UndertowError, match="A behaviour channel of the training"):
        vel_r2(rates, np.where(np.arange(2) == 1, np.nan, rates[..., :2]), rates, rates[..., :2])
    with pytest.raises(UndertowError, match="None of the 6 conditions"):
        tp_corr(rates, rates, np.arange(30.0).reshape(6, 5))
    with pytest.raises(UndertowError, match="neural speed of trial 2"):
        broken = rates.copy()
        broken[2] = np.nan
        tp_corr(rates, broken, np.ones((6, 5)))


def test_a_read_out_from_few_trials_learns_what_many_teach_and_is_misled_by_idle_factors():
    generator = np.random.default_rng(3)
    factors = np.cos(generator.uniform(0, 7, (60, 1, 3)) + np.arange(25)[:, None] * [0.1, 0.2, 0.3])
    counts = generator.poisson(np.exp(factors @ generator.standard_normal((3, 6)) * 0.6 - 1)).astype(float)
    idle = np.concatenate([factors, generator.standard_normal((60, 25, 20))], axis=-1)

    def scored(features, shots):
        return few_shot_co_smoothing(
            features[:40], counts[:40], features[40:], counts[40:], shots=shots, draws=3
        )

    few, many = scored(factors, 3), scored(factors, 40)
    assert 0 < few.mean < many.mean
    assert len(few.draws) == 3
    assert few.deviation > many.deviation == pytest.approx(0, abs=1e-12)
    assert scored(idle, 3).mean < few.mean - 0.02
    assert abs(scored(idle, 40).mean - many.mean) < 0.05
    np.testing.assert_array_equal(scored(factors, 3).draws, few.draws)


def test_few_shots_need_trials_and_finite_factors():
    ones = np.ones((4, 3, 2))
    with pytest.raises(UndertowError, match="5 trials can't be drawn from 4"):
        few_shot_co_smoothing(ones, ones, ones, ones, shots=5)
    with pytest.raises(UndertowError, match="6 values of the training factors are not finite"):
        few_shot_co_smoothing(
            np.where(np.arange(4)[:, None, None] == 1, np.nan, ones), ones, ones, ones, shots=2
        )
    with pytest.raises(UndertowError, match=r"evaluated factors have the shape \(4, 2, 2\)"):
        few_shot_co_smoothing(ones, ones, ones[:, 1:], ones, shots=2)


def test_latents_that_move_no_rate_cannot_be_decoded_back():
    generator = np.random.default_rng(4)
    latents = generator.standard_normal((30, 20, 4))
    readout = generator.standard_normal((4, 8)) * 0.4
    readout[3] = 0
    rates = np.exp(latents @ readout)
    found = cycle_consistency(latents[:20], rates[:20], latents[20:], rates[20:])
    np.testing.assert_allclose(found.per_column[:3], 1, atol=1e-3)
    assert found.per_column[3] < 0.05
    mixed = latents[..., :3] @ generator.standard_normal((3, 3))
    assert cross_decoding(latents[:20], mixed[:20], latents[20:], mixed[20:]).mean == pytest.approx(
        1, abs=1e-6
    )
    with pytest.raises(UndertowError, match="rates are negative"):
        cycle_consistency(latents, latents, latents, latents)


def test_results_have_the_published_structure():
    found = results(
        {
            "mc_maze_small": {"co-bps": 0.1},
            "mc_rtt_20": {"co-bps": 0.2, "vel R2": 0.6},
            "mc_maze_large": {"co-bps": 0.3},
            "mc_maze_small_20": {"co-bps": 0.4},
            "mc_maze": {"co-bps": 0.5},
        }
    )
    assert found == [
        {"mc_maze_split": {"co-bps": 0.5}},
        {"mc_rtt_20_split": {"co-bps": 0.2, "vel R2": 0.6}},
        {"mc_maze_scaling_split": {"[500] co-bps": 0.3, "[100] co-bps": 0.1}},
        {"mc_maze_scaling_20_split": {"[100] co-bps": 0.4}},
    ]
    with pytest.raises(UndertowError, match="no group 'mc_maze_5'"):
        results({"mc_maze_5": {}})


def test_every_published_row_says_where_it_is_from():
    assert all(row.mark in MARKS and row.source and row.scores for row in PUBLISHED)
    rows = published("mc_maze", 0.005)
    assert rows[0].model.startswith("GRAFT")
    assert rows[0].scores["co-bps"] == 0.3866
    assert {row.phase for row in published("mc_maze_large", 0.005, phase="val")} == {"val"}
    assert published("mc_rtt", 0.02)[0].scores["fp-bps"] == 0.110
    with pytest.raises(UndertowError, match="'tset'"):
        published("mc_rtt", 0.02, phase="tset")
