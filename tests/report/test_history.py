"""Training histories as curves."""

import numpy as np
from report_material import make_history

from undertow.report import history


def test_terms_are_found_by_their_prefix_known_ones_first():
    lines = [
        {"epoch": 0, "train/b": 1.0, "ramp/kl": 0.0, "valid/a": 2.0},
        {"epoch": 1, "valid/b": 3.0, "odd": 1},
    ]
    assert history.terms(lines) == ("b", "a")
    assert history.terms([{"train/odd": 1, "train/total": 1, "train/reconstruction": 1}]) == (
        "reconstruction",
        "total",
        "odd",
    )


def test_series_skip_what_is_missing_or_not_a_number():
    lines = [
        {"epoch": 0, "x": 1.0},
        {"epoch": 1},
        {"epoch": 5, "x": None},
        {"epoch": 6, "x": float("nan")},
        {"epoch": 7, "x": 2},
    ]
    epochs, values = history.series(lines, "x")
    assert epochs.tolist() == [0, 7]
    assert values.tolist() == [1, 2]


def test_ramps_end_where_they_first_reach_one():
    assert history.ramp_ends(make_history(epochs=100)) == {"kl": 80.0, "penalty": 50.0}
    assert history.ramp_ends(make_history(epochs=60)) == {"kl": None, "penalty": 50.0}
    assert history.ramp_ends([{"epoch": 0, "ramp/kl": 1.0}]) == {}


def test_the_selected_epoch_has_the_lowest_score_that_was_recorded():
    lines = [
        {"epoch": epoch, "selection": value, "valid/total": -value} for epoch, value in enumerate([3, 1, 2])
    ]
    assert history.selected_epoch(lines) == 1
    assert (
        history.selected_epoch([{key: line[key] for key in ("epoch", "valid/total")} for line in lines]) == 0
    )
    assert history.selected_epoch([]) is None


def test_the_trainers_own_choice_comes_first():
    lines = [
        {"epoch": epoch, "selection": 5 - epoch, "best_epoch": best} for epoch, best in enumerate([-1, 1, 1])
    ]
    assert history.selected_epoch(lines) == 1
    assert history.selected_epoch(lines[:1]) is None


def test_skipped_updates_are_counted_from_the_start():
    lines = [{"epoch": epoch, "skipped": skipped} for epoch, skipped in enumerate([0, 2, 2, 5, 5])]
    assert history.skipped_updates(lines) == (5, 2)
    assert history.skipped_updates([{"epoch": 0}]) == (0, 0)


def test_an_unknown_term_is_named_after_its_key():
    assert history.label("kl_code_prior") == ("Kl code prior", "")
    assert np.array_equal(history.series([], "x")[0], [])
