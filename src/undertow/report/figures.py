"""All interactive figures under one name: each takes trials and an estimate (or a history) and returns a
Plotly figure.

`undertow.report.paper` has the same names for Matplotlib.
"""

from undertow.report.codes_figures import codes_figure, readings_figure
from undertow.report.dynamics_figures import dynamics_figure, dynamics_planes_figure, flow_figure
from undertow.report.eigenvalue_figure import eigenvalues_figure
from undertow.report.generated_figures import generated_figure, generated_neurons_figure
from undertow.report.inputs import inputs_figure
from undertow.report.latency_figure import latency_figure
from undertow.report.latent_space import factor_courses_figure, factor_planes_figure, factors_figure
from undertow.report.learning import learning_figure
from undertow.report.population_figures import search_scores_figure, search_values_figure
from undertow.report.rasters import raster_figure
from undertow.report.rates import psth_figure, rates_figure
from undertow.report.recorded import recorded_figure
from undertow.report.walk_figures import (
    walk_activity_figure,
    walk_averages_figure,
    walk_behaviour_figure,
)

__all__ = [
    "codes_figure",
    "dynamics_figure",
    "dynamics_planes_figure",
    "eigenvalues_figure",
    "factor_courses_figure",
    "factor_planes_figure",
    "factors_figure",
    "flow_figure",
    "generated_figure",
    "generated_neurons_figure",
    "inputs_figure",
    "latency_figure",
    "learning_figure",
    "psth_figure",
    "raster_figure",
    "rates_figure",
    "readings_figure",
    "recorded_figure",
    "search_scores_figure",
    "search_values_figure",
    "walk_activity_figure",
    "walk_averages_figure",
    "walk_behaviour_figure",
]
