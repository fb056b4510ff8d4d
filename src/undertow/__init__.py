"""undertow: from recordings of many neurons to the dynamics underneath them.

The public names, loaded when they are first used, so that importing undertow costs nothing.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "load": "undertow.data.loading",
    "load_sessions": "undertow.data.loading",
    "sessions": "undertow.data.sessions",
    "trials": "undertow.data.trials",
    "trials_from_spike_times": "undertow.data.trials",
    "split": "undertow.data.splits",
    "hold_out": "undertow.data.splits",
    "select": "undertow.data.splits",
    "subsample": "undertow.data.subsample",
    "chop": "undertow.data.windows",
    "merge": "undertow.data.windows",
    "describe": "undertow.data.describe",
    "save": "undertow.data.store",
    "open_trials": "undertow.data.store",
    "open_sessions": "undertow.data.store",
    "open_estimate": "undertow.data.store",
    "simulate": "undertow.data.simulate",
    "Autoencoder": "undertow.models.autoencoder",
    "Gnocchi": "undertow.models.gnocchi",
    "LFADS": "undertow.models.lfads",
    "NDT": "undertow.models.transformer",
    "Smoothing": "undertow.baselines",
    "GPFA": "undertow.baselines",
    "SLDS": "undertow.baselines",
    "PCA": "undertow.baselines",
    "PSTH": "undertow.baselines",
    "Training": "undertow.training.loop",
    "Optimiser": "undertow.training.optimiser",
    "Objective": "undertow.training.objective",
    "Corruption": "undertow.training.hyperparameters",
    "Inference": "undertow.experiments.recipe",
    "Search": "undertow.search.settings",
    "Range": "undertow.models.base",
    "Recipe": "undertow.experiments.recipe",
    "Start": "undertow.training.opening",
    "fit": "undertow.experiments.fitting",
    "adapt": "undertow.experiments.fitting",
    "search": "undertow.experiments.searching",
    "latent_dimensions": "undertow.experiments.dimensions",
    "open": "undertow.experiments.opening_runs",
    "import_lfads_torch": "undertow.experiments.lfads_torch.importing",
    "export": "undertow.experiments.export",
    "analyze": "undertow.experiments.analysing",
    "evaluate": "undertow.evaluation.scores",
    "yardstick": "undertow.evaluation.yardstick",
    "write_report": "undertow.experiments.pipeline",
    "UndertowError": "undertow.vocabulary",
}
_NAMES_THERE = {"open": "open_run", "Corruption": "CorruptionConfig", "simulate": None}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"undertow has no '{name}'")
    return public(name)


def public(name: str) -> Any:
    """What a public name stands for, from the module where it lives."""
    home = import_module(_HOMES[name])
    there = _NAMES_THERE.get(name, name)
    return home if there is None else getattr(home, there)


def __dir__() -> list[str]:
    return __all__
