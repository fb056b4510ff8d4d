"""Each finding appears where its cause was planted, and nowhere else."""

import numpy as np
import pytest
from report_material import make_estimate, make_history, make_scores, make_trials

from undertow.report import findings


def titles(**changes):
    trials = make_trials(inputs=True)
    material = {
        "trials": trials,
        "estimate": make_estimate(trials, inputs=1),
        "scores": make_scores(),
        "lines": make_history(),
    }
    material.update({name: change(material[name]) for name, change in changes.items()})
    return [finding.title for finding in findings.find(**material)]


def changed_line(**values):
    return lambda lines: [{**line, **values} for line in lines]


def with_values(name, function):
    def change(estimate):
        copy = estimate.copy(deep=True)
        copy[name].values[:] = function(copy[name].values)
        return copy

    return change


def without_training_gap(scores):
    return {
        **scores,
        "splits": {"valid": {"model": {"bits_per_spike": 0.05}}, "train": {"model": {"bits_per_spike": 0.3}}},
    }


def silenced(values):
    values[..., 3] = 0
    return values


PLANTED = {
    "Overfitting": {"lines": lambda _: make_history(overfitting=True)},
    "Dead factors: 4": {"estimate": with_values("factors", silenced)},
    "Unused inputs: 1": {"estimate": with_values("inferred_inputs", lambda values: 0.01 * values)},
    "KL collapse: the initial condition carries no information": {
        "lines": changed_line(**{"train/kl_initial_condition": 1e-6})
    },
    "KL collapse: the inputs carry no information": {"lines": changed_line(**{"train/kl_inputs": 0.0})},
    "Simple smoothing does better": {"scores": lambda _: make_scores(model=0.1)},
    "Training steps were skipped": {"lines": lambda _: make_history(skipped=2)},
    "Still improving at the end": {"lines": lambda _: make_history(epochs=120)},
    "Training ended during a ramp": {"lines": changed_line(**{"ramp/kl": 0.5})},
    "Some rates are not numbers": {
        "estimate": with_values("rates", lambda values: np.where(values > 80, np.inf, values))
    },
    "The rates hardly move": {"estimate": with_values("rates", lambda values: np.full_like(values, 8))},
    "Training trials are explained much better than new ones": {"scores": without_training_gap},
}


def test_a_good_fit_is_not_suspicious():
    assert titles() == []


@pytest.mark.parametrize("title", PLANTED)
def test_a_planted_cause_is_found_and_nothing_else(title):
    assert titles(**PLANTED[title]) == [title]


def test_every_finding_says_with_values_what_was_seen_and_what_to_do():
    trials = make_trials()
    found = findings.find(
        trials=trials,
        estimate=make_estimate(trials),
        scores=make_scores(model=0.1),
        lines=make_history(skipped=1),
    )
    assert len(found) == 2
    assert "0.100 against 0.120" in found[0].evidence
    assert "1 update in 1 epoch " in found[1].evidence
    assert all(finding.advice.endswith(".") for finding in found)


def only(**scores):
    """Scores of validation trials, (model, yardstick) each."""
    model, yardstick = ({name: pair[side] for name, pair in scores.items()} for side in (0, 1))
    return {"splits": {"valid": {"model": model, "yardstick": yardstick}}}


def test_smoothing_is_flattered_where_it_sees_what_it_is_scored_on():
    flattered = {"bits_per_spike": (0.6, 0.7)}
    assert titles(scores=lambda _: only(**flattered, rate_r2=(0.9, 0.8))) == []
    assert titles(scores=lambda _: only(**flattered, co_smoothing=(0.2, 0.3))) == [
        "Simple smoothing does better"
    ]
    assert titles(scores=lambda _: only(**flattered)) == ["Simple smoothing does better"]


def test_bare_material_raises_no_alarm():
    trials = make_trials(conditions=0)
    estimate = make_estimate(trials, factors=0, sd=False)
    assert findings.find(trials=trials, estimate=estimate, scores={}, lines=[]) == []
    assert (
        findings.find(trials=trials, estimate=estimate, scores={}, lines=[{"epoch": 0, "train/total": 1.0}])
        == []
    )


def test_rates_after_the_end_of_a_short_trial_are_not_judged():
    trials = make_trials(ragged=True)
    estimate = make_estimate(trials)
    estimate.rates.values[np.isnan(trials.counts.values)] = np.nan
    assert findings.find(trials=trials, estimate=estimate, scores={}, lines=[]) == []
