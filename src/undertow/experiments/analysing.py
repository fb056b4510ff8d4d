"""A look inside a fitted model: its fixed points, what happens near them, and the truth beside them where it is known.

`analyze` gathers what `analysis/` and `evaluation/` compute into `analysis.json` (`analysis_record.py`); the report draws it.
The law is looked at apart from any data: under inputs that stay as they are, zero unless told otherwise.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from undertow.analysis.fixed_points import FixedPoints, FixedPointSearch, find_fixed_points
from undertow.analysis.linearisation import Linearisation, linearise
from undertow.analysis.lyapunov import lyapunov_spectrum
from undertow.data import store
from undertow.data.loading import load
from undertow.evaluation.cycle_consistency import cycle_consistency
from undertow.experiments import analysis_record, pipeline, scoring
from undertow.experiments.analysis_drawing import drawn
from undertow.experiments.analysis_subject import Subject, is_own, subject_of
from undertow.experiments.analysis_truth import Truth, truth_beside
from undertow.experiments.dimension_scores import LEAST_SHARE
from undertow.experiments.fitted import Fitted
from undertow.experiments.inference import for_session
from undertow.experiments.opening_runs import open_session
from undertow.models.base import LatentDynamics
from undertow.vocabulary import UndertowError, closest

Pushing = Literal["zero", "mean"]
INPUTS = {"zero": "all inputs zero", "mean": "all inputs at their mean over trials and bins"}
TRAJECTORIES, LONG, WORK = 8, 250, 8e9
"""Of the Lyapunov exponents: the most trajectories; bins of each before there is another; latents cubed, over all bins."""
FEWEST_BINS, MOST_BINS = 200, 16_000


class Analysis(NamedTuple):
    """What was found inside a model.

    Attributes:
        points: fixed points, the nearest to the data first; none is an answer, too.
        linear: the dynamics close to each of them.
        lyapunov: (latent,) exponents in 1/s, or None where the law alone runs to infinity.
        truth: the true system beside it, or None where none is known.
        document: all of it as analysis.json holds it.
    """

    points: FixedPoints
    linear: Linearisation
    lyapunov: np.ndarray | None
    truth: Truth | None
    document: dict

    def __str__(self) -> str:
        return analysis_record.table(self.document)


def analyze(
    run: str | Path | Fitted,
    trials: str | Path | xr.Dataset | None = None,
    *,
    estimate: xr.Dataset | None = None,
    inputs: Pushing = "zero",
    starts: int = 1024,
    seed: int = 0,
) -> Analysis:
    """Fixed points, eigenvalues and Lyapunov exponents of a fitted model's dynamics, and the truth beside them where it is known.

    Written into the run's folder as `analysis.json`; `ut.write_report` or `undertow report` then shows it. Linear maps (cycle
    consistency, alignment with the truth) are fitted to training trials and scored on validation trials.

    Args:
        run: a finished run's folder, or the fitted model.
        trials: of the same neurons, or their file; those of the fit if not given. Their latents say where to look.
        estimate: of these trials; by default the run's own, or inferred from the posterior's means.
        inputs: what pushes all the while: "zero" for nothing, "mean" for the mean of known and inferred inputs.
        starts: states along the trajectories from which the search begins.
        seed: of the starts.

    Raises:
        UndertowError: a folder that holds no run, a model whose latents follow no law, trials of other neurons, or no
            training trials.
    """
    if inputs not in INPUTS:
        raise UndertowError(f"The inputs can't be '{inputs}'; {closest(inputs, INPUTS)}")
    fitted = run if isinstance(run, Fitted) else open_session(run)
    dynamics = dynamics_of(fitted)
    search = FixedPointSearch(starts=starts)
    given = Path(trials) if isinstance(trials, str) else trials
    subject = subject_of(fitted, _trials(fitted, given), estimate)
    # Threads of BLAS wait for each other where others compute too: QR of small matrices took a hundred times as long.
    with threadpool_limits(limits=1, user_api="blas"):
        found = _looked_at(fitted, dynamics, subject, inputs, search, seed)
    analysis_record.write(fitted.folder, found.document)
    return found


def _looked_at(
    fitted: Fitted,
    dynamics: LatentDynamics,
    subject: Subject,
    inputs: Pushing,
    search: FixedPointSearch,
    seed: int,
) -> Analysis:
    bin_width, notes = fitted.session.bin_width, []
    values = None if inputs == "zero" else _mean_inputs(subject, dynamics)
    points = _nearest_first(
        find_fixed_points(dynamics, subject.states, inputs=values, search=search, seed=seed)
    )
    linear = linearise(dynamics, points.states, inputs=values, bin_width=bin_width)
    lyapunov = _if_possible(lambda: _exponents(dynamics, subject, values, bin_width, seed), notes)
    truth = truth_beside(subject, points, linear, search, notes)
    facts = {
        "schema": analysis_record.SCHEMA,
        **_facts(fitted, subject),
        **analysis_record.law(search, points, linear, lyapunov),
        "inputs": inputs,
        "inputs_words": INPUTS[inputs] if dynamics.inputs else "no inputs",
        "cycle_consistency": _cycle(subject),
        "truth": None if truth is None else analysis_record.truth(truth),
        "notes": notes,
        "drawn": drawn(dynamics, subject, points, truth, values),
    }
    return Analysis(points, linear, lyapunov, truth, analysis_record.finite(facts))


def has_report(fitted: Fitted, trials: xr.Dataset) -> bool:
    """Whether `redraw` can draw the run's report again: it has one, and these are its trials."""
    needed = (fitted.folder / name for name in ("report.html", "scores.json", "estimate.nc"))
    return all(path.is_file() for path in needed) and is_own(fitted, trials)


def redraw(fitted: Fitted, trials: xr.Dataset) -> Path:
    """report.html once more, with the section on dynamics.

    Estimate and scores stay as they are, so that test trials are not looked at again.
    """
    scores = json.loads((fitted.folder / "scores.json").read_text(encoding="utf-8"))
    estimate = store.open_estimate(fitted.folder / "estimate.nc")
    trials = for_session(trials, fitted.session)
    return scoring.write_report(fitted, trials, estimate, scoring.reference_for(trials), scores)


def dynamics_of(fitted: Fitted) -> LatentDynamics:
    """The law of the run's model.

    Raises:
        UndertowError: it has none.
    """
    dynamics = fitted.model.dynamics()
    if isinstance(dynamics, str):
        raise UndertowError(
            f"The run in '{fitted.folder}' ({fitted.recipe.model.section}) has no dynamics to look at: {dynamics}."
        )
    return dynamics


def _trials(fitted: Fitted, given: Path | xr.Dataset | None) -> xr.Dataset:
    if given is None:
        return pipeline.trials_of(fitted)
    return load(given) if isinstance(given, Path) else given


def _mean_inputs(subject: Subject, dynamics: LatentDynamics) -> np.ndarray:
    """(input,) the means of the known inputs that the law takes, then of the inferred ones."""
    parts = [dataset[name].values for dataset, name in _inputs_there(subject) if name in dataset]
    means = [np.nanmean(part, axis=(0, 1), dtype=np.float64) for part in parts]
    every = np.concatenate([np.zeros(0), *means])
    return every[every.size - dynamics.inputs :].astype(np.float32)


def _inputs_there(subject: Subject) -> list[tuple[xr.Dataset, str]]:
    return [(subject.trials, "inputs"), (subject.estimate, "inferred_inputs")]


def _nearest_first(points: FixedPoints) -> FixedPoints:
    order = np.argsort(points.distances, kind="stable")
    return FixedPoints(*(part[order] for part in points))


def _exponents(
    dynamics: LatentDynamics, subject: Subject, inputs: np.ndarray | None, bin_width: float, seed: int
) -> np.ndarray:
    states = subject.states[np.isfinite(subject.states).all(axis=1)]
    bins = int(np.clip(WORK / dynamics.latents**3, FEWEST_BINS, MOST_BINS))
    count = int(np.clip(bins // LONG, 1, min(TRAJECTORIES, len(states))))
    chosen = np.random.default_rng(seed).choice(len(states), count, replace=False)
    return lyapunov_spectrum(dynamics, states[chosen], bins=bins // count, bin_width=bin_width, inputs=inputs)


def _if_possible(compute: Callable[[], np.ndarray], notes: list[str]) -> np.ndarray | None:
    """What it computes; None where it refuses, with the reason among the notes."""
    try:
        return compute()
    except UndertowError as error:
        notes.append(str(error))
        return None


def _cycle(subject: Subject) -> dict:
    rates = subject.estimate.rates.values
    sides = [
        values[chosen] for chosen in (subject.fitting, subject.scored) for values in (subject.latents, rates)
    ]
    r2 = cycle_consistency(*sides, least_share=LEAST_SHARE)
    return {
        "split": subject.scored_split,
        "mean": r2.mean,
        "variance_weighted": r2.variance_weighted,
    }


def _facts(fitted: Fitted, subject: Subject) -> dict:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": fitted.recipe.model.section,
        "session": str(subject.trials.attrs.get("session", "")),
        "bin_width": fitted.session.bin_width,
        "trials": subject.trials.sizes["trial"],
        "latents": subject.latents.shape[-1],
    }
