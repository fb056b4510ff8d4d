"""The table of scores and the first paragraph."""

import numpy as np
from report_material import make_scores, make_trials

from undertow.report import score_words, summary


def test_validation_scores_are_the_main_ones():
    assert score_words.main_split(make_scores()) == "valid"
    assert (
        score_words.main_split({"splits": {"train": {"model": {"a": 1}}, "test": {"model": {"a": 1}}}})
        == "test"
    )
    assert score_words.main_split({}) == ""


def test_known_scores_come_first_and_unknown_ones_keep_their_name():
    scored = {
        "model": {"odd_score": 1, "rate_r2": 0.5, "bits_per_spike": float("nan")},
        "yardstick": {"bits_per_spike": 0.1},
    }
    rows = score_words.pairs({"splits": {"valid": scored}}, "valid")
    assert [row.key for row in rows] == ["bits_per_spike", "rate_r2", "odd_score"]
    assert [row.model for row in rows] == [None, 0.5, 1.0]
    assert rows[2].label == "Odd score"
    assert [row.better for row in rows] == ["", "", ""]


def test_variants_are_named_after_the_score_they_vary():
    scored = {"model": {"psth_r2_of_training": 0.5, "co_smoothing_over_training_mean": 0.1, "odd_mean": 1}}
    rows = score_words.pairs({"splits": {"valid": scored}}, "valid")
    assert [row.label for row in rows] == [
        "R² with condition averages, of training trials",
        "Co-smoothing (bits per spike), over the training mean",
        "Odd mean",
    ]


def test_the_better_one_is_named():
    scored = {"model": {"rate_r2": 0.5, "psth_r2": 0.1}, "yardstick": {"rate_r2": 0.4, "psth_r2": 0.2}}
    rows = score_words.pairs({"splits": {"train": scored}}, "train")
    assert [row.better for row in rows] == ["model", "yardstick"]


def test_negative_scores_are_written_with_a_minus_sign():
    assert score_words.written(-0.1234) == "−0.123"
    assert score_words.written(None) == "–"


def test_the_paragraph_counts_trials_and_compares_with_smoothing():
    trials = make_trials(trials=1500, bins=10, neurons=3)
    text = summary.paragraph(trials, make_scores())
    assert text.startswith(
        "1,200 training trials and 300 validation trials of 3 neurons, 0.2 s long in bins of 20 ms"
    )
    rate = trials.counts.values.mean(dtype=float) / 0.02
    assert f"{rate:.1f} spikes per second" in text
    assert (
        "LFADS explains 0.310 bits per spike for neurons it never saw on validation trials, against 0.120"
        in text
    )


def test_facts_name_what_is_silent_and_missing():
    trials = make_trials(held_out=4, forward=5)
    trials.counts.values[:, :, 0] = 0
    trials.counts.values[::2, :, 1] = np.nan
    facts = dict(summary.facts(trials))
    assert facts["Neurons"] == "29, 1 of them silent"
    assert (facts["Held-out neurons"], facts["Bins to be forecast"]) == ("4", "5")
    assert facts["Not observed"] == f"{0.5 / 29:.1%} of all entries"
    assert facts["Time"] == "−0.2 s to 0.8 s in 50 bins of 20 ms"
    assert facts["Spikes"] == f"{np.nansum(trials.counts.values):,.0f}"


def test_channels_are_named_where_they_have_names():
    trials = make_trials(trials=4, bins=6, neurons=3)
    trials["behaviour"] = (("trial", "time", "behaviour_channel"), np.zeros((4, 6, 2)))
    trials["inputs"] = (("trial", "time", "input"), np.zeros((4, 6, 1)))
    trials = trials.assign_coords(behaviour_channel=("behaviour_channel", ["vx", "vy"]))
    facts = dict(summary.facts(trials))
    assert facts["Channels of behaviour"] == "2: vx, vy"
    assert facts["Channels of inputs"] == "1"
