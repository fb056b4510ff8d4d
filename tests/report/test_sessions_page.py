"""The page over several sessions: which session stands apart, by how much, and why it may."""

import pytest

from undertow.report import sessions_findings, sessions_page

SIZES = {name: {"trial": 100, "time": 50, "neuron": 20} for name in ("monday", "tuesday", "friday")}


def scores(model, smoothing, train=None):
    """Of three sessions, as in scores.json."""
    sessions = {
        name: {
            "model": "lfads",
            "selected_on": "all",
            "splits": {
                "valid": {
                    "model": {"rate_r2": one, "bits_per_spike": one},
                    "yardstick": {"rate_r2": other, "bits_per_spike": other},
                },
                "train": {"model": {"bits_per_spike": (train or model)[name]}, "yardstick": {}},
            },
        }
        for (name, one), other in zip(model.items(), smoothing, strict=True)
    }
    splits = {"valid": {"model": {"rate_r2": 0.5}, "yardstick": {"rate_r2": 0.4}}}
    return {"model": "lfads", "selected_on": "all", "splits": splits, "sessions": sessions}


EVEN = {"monday": 0.7, "tuesday": 0.72, "friday": 0.71}


def found(model=EVEN, smoothing=(0.4, 0.4, 0.4), sizes=SIZES, lines=(), **more):
    return sessions_findings.find(scores(model, smoothing, **more), sizes, list(lines))


def test_even_sessions_have_no_findings():
    assert found() == []


def test_a_session_far_below_the_others_is_told_with_its_distances():
    (one,) = found({**EVEN, "friday": 0.5}, (0.4, 0.4, 0.45))
    assert one.title == "friday stands apart"
    assert "is 0.500, that of the other sessions 0.710 (median), 0.210 more" in one.evidence
    assert "Smoothing of this session alone has 0.450, which is 0.050 lower" in one.evidence
    assert "same event" in one.advice


def test_few_trials_are_told_and_explain():
    sizes = {**SIZES, "friday": {**SIZES["friday"], "trial": 12}}
    apart, few = found({**EVEN, "friday": 0.5}, sizes=sizes)
    assert "12 trials where the others have 100 (median)" in apart.advice
    assert few.title == "Few trials: friday"


def test_smoothing_that_does_better_is_told_with_both_scores():
    (one,) = found(smoothing=(0.4, 0.8, 0.4))
    assert one.title == "Smoothing does better in tuesday" and "tuesday: 0.720 against 0.800" in one.evidence
    (every,) = found(smoothing=(0.8, 0.8, 0.8))
    assert every.title == "Smoothing does better in all 3 sessions"


def test_trials_learned_by_heart_in_one_session():
    (one,) = found(train={**EVEN, "monday": 1.9})
    assert one.title == "Training trials are explained much better than new ones in monday"
    assert "1.900 on training, 0.700 on validation trials" in one.evidence


@pytest.mark.parametrize("is_evolved", [False, True])
def test_what_the_history_says_is_asked_too(is_evolved):
    lines = [
        {
            "epoch": epoch,
            "train/reconstruction": 1.0,
            "valid/reconstruction": 1.0,
            "skipped": 2 * (epoch >= 3),
        }
        for epoch in range(5)
    ]
    told = sessions_findings.find(scores(EVEN, (0.4, 0.4, 0.4)), SIZES, lines, is_evolved=is_evolved)
    assert [finding.title for finding in told] == ["Training steps were skipped"]


def test_the_page_has_a_row_for_each_session_and_says_when_nothing_is_suspicious(tmp_path):
    facts = {"pages": {name: f"reports/{name}.html" for name in SIZES}, "sizes": SIZES}
    sessions_page.write(
        tmp_path / "report.html",
        scores=scores(EVEN, (0.4, 0.4, None)),
        facts=facts,
        lines=[],
        recipe={"model": "lfads"},
        provenance={"seed": 0},
    )
    text = (tmp_path / "report.html").read_text()
    assert 'href="reports/friday.html"' in text and "no session far below the others" in text
    assert "Bits per spike" in text
