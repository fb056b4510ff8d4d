"""What the report draws of an analysis: a few trajectories, the fixed points and a slice of the flow, along principal axes."""

import numpy as np

from undertow.analysis.fixed_points import FixedPoints
from undertow.analysis.flow_field import flow_slice
from undertow.analysis.region import region_of
from undertow.experiments.analysis_subject import Subject
from undertow.experiments.analysis_truth import Truth
from undertow.models.base import LatentDynamics
from undertow.report import averages, excerpt

MOST_PATHS, MOST_POINTS = 40, 5000
DIGITS = 5


def drawn(
    dynamics: LatentDynamics,
    subject: Subject,
    points: FixedPoints,
    truth: Truth | None,
    inputs: np.ndarray | None,
) -> dict:
    """Names of the axes, trajectories, fixed points, true fixed points, and the flow (None where there is but one latent)."""
    region = region_of(subject.states, dynamics.latents)
    directions = averages.main_directions(region.states)
    chosen = _chosen(subject)
    true = np.zeros((0, dynamics.latents))
    if truth is not None and truth.comparison is not None:
        true = truth.back(truth.side.states[truth.comparison.expected])
    return {
        "axes": [
            f"latent PC {place} (a.u., {share:.0%})" for place, share in enumerate(directions.explained, 1)
        ],
        "trajectories": [
            _rounded(path[np.isfinite(path).all(axis=1)])
            for path in directions.project(subject.latents[chosen])
        ],
        "fixed_points": _rounded(directions.project(points.states)),
        "true_fixed_points": _rounded(directions.project(true)),
        "flow": _flow(dynamics, region.states, directions, region.spread, inputs),
    }


def _chosen(subject: Subject) -> np.ndarray:
    """Trials of the split that the report draws, few enough."""
    bins = subject.trials.sizes["time"]
    return excerpt.shown_trials(subject.trials, int(np.clip(MOST_POINTS // bins, 1, MOST_PATHS)))


def _flow(
    dynamics: LatentDynamics,
    states: np.ndarray,
    directions: averages.Directions,
    spread: float,
    inputs: np.ndarray | None,
) -> dict | None:
    """The flow in the plane of the first two axes, in the coordinates of the trajectories; speeds in spreads a bin."""
    if dynamics.latents < 2:
        return None
    flow = flow_slice(dynamics, states, directions.axes[:2], inputs=inputs)
    moved = (flow.mean - directions.centre) @ directions.axes[:2].T
    return {
        "grid": _rounded(flow.grid + moved),
        "velocities": _rounded(flow.velocities),
        "speed": _rounded(flow.speed / spread),
    }


def _rounded(values: np.ndarray) -> list:
    """As many digits as an eye can see, so that the file stays small."""
    return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])(values).tolist()
