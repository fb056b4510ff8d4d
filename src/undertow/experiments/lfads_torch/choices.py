"""The recipe of a checkpoint: sizes from its shapes, the rest from its hyperparameters, or as published where it says nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from undertow.experiments import recipe as recipes
from undertow.experiments.lfads_torch.checkpoint import Checkpoint
from undertow.experiments.lfads_torch.layout import Layout
from undertow.experiments.recipe import Recipe
from undertow.vocabulary import UndertowError

SHOWN = {  # what changes estimates and no shape tells: our key, theirs, as published
    "lag": ("ci_lag", 1),
    "state_limit": ("cell_clip", 5.0),
    "initial_segment": ("ic_enc_seq_len", 0),
}
TRAINING = {  # what matters only if training goes on: theirs, our section and key
    "lr_init": ("optimiser", "learning_rate"),
    "lr_adam_epsilon": ("optimiser", "epsilon"),
    "lr_adam_beta1": ("optimiser", "beta1"),
    "lr_adam_beta2": ("optimiser", "beta2"),
    "weight_decay": ("optimiser", "weight_decay"),
    "cd_rate": ("corruption", "coordinated_dropout"),
    "kl_start_epoch": ("objective", "ramp_start"),
    "kl_increase_epoch": ("objective", "kl_ramp"),
    "l2_increase_epoch": ("objective", "penalty_ramp"),
}
KL = {"kl_ic_scale": "kl_initial_condition", "kl_co_scale": "kl_inputs"}
PENALTIES = {"l2_gen_scale": "generator_penalty", "l2_con_scale": "controller_penalty"}
SMALLEST_VARIANCE = 1e-4
PUBLISHED = "Not in the checkpoint, so as published"


class Chosen(NamedTuple):
    """A recipe, and sentences about where what it says comes from."""

    recipe: Recipe
    told: tuple[str, ...]


def choose(
    checkpoint: Checkpoint, found: Layout, settings: tuple[str, ...], trials: xr.Dataset | None
) -> Chosen:
    """The recipe of this checkpoint, with settings such as 'lfads.lag=1' in place of what it would be.

    Raises:
        UndertowError: settings that contradict the shapes; a variance or a prior whose samples would differ from ours.
    """
    _check_sampling(checkpoint, found)
    said = checkpoint.hyperparameters
    document = {"model": "lfads", **_training(said), "lfads": _model(checkpoint, found)}
    document.setdefault("objective", {})["weights"] = _weights(said, trials)
    recipe = recipes.from_document(recipes.with_settings(document, settings))
    for name, size in found.sizes.items():
        if getattr(recipe.model, name) != size:
            raise UndertowError(
                f"The setting lfads.{name}={getattr(recipe.model, name)} contradicts the weights in '{checkpoint.path}', which "
                f"have {size}; leave it out."
            )
    if recipe.model.initial_segment and found.inputs:
        raise UndertowError(
            f"'{checkpoint.path}' has {found.inputs} known inputs and an initial segment of {recipe.model.initial_segment} bins, "
            "by which lfads-torch shifts the inputs; such a model can't be taken over."
        )
    return Chosen(recipe, _told(checkpoint, recipe, settings))


def _model(checkpoint: Checkpoint, found: Layout) -> dict[str, Any]:
    said = checkpoint.hyperparameters

    def has(name: str) -> bool:
        return name in checkpoint.weights

    is_variational = has("ic_prior.mean")
    prior = "autoregressive" if has("co_prior.logtaus") else "gaussian" if has("co_prior.mean") else "none"
    observation = "zero_inflated_gamma" if has(f"recon.{found.session}.scale") else "poisson"
    return {
        **found.sizes,
        **{key: said.get(theirs, published) for key, (theirs, published) in SHOWN.items()},
        **({"dropout_rate": said["dropout_rate"]} if "dropout_rate" in said else {}),
        "controller_reads": "own_bins",
        "limit_start": False,
        "variational": is_variational,
        "initial_condition_prior": "gaussian" if is_variational else "none",
        "input_prior": prior,
        "observation": observation,
        "known_inputs_to": "generator",
    }


def _training(said: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for theirs, (section, key) in TRAINING.items():
        if theirs in said:
            document.setdefault(section, {})[key] = said[theirs]
    return document


def _weights(said: dict[str, Any], trials: xr.Dataset | None) -> dict[str, float]:
    """Weights of our terms. A KL weight there belongs to the mean over entries, here to their sum."""
    weights = {ours: float(said[theirs]) for theirs, ours in PENALTIES.items() if theirs in said}
    entries = 1.0 if said.get("recon_reduce_mean") is False else _entries(trials)
    if entries is not None:
        weights |= {ours: float(said[theirs]) * entries for theirs, ours in KL.items() if theirs in said}
    return weights


def _entries(trials: xr.Dataset | None) -> float | None:
    """The mean number of observed entries of a training trial."""
    if trials is None:
        return None
    counts = trials.counts.values[trials.split.values.astype(str) == "train"]
    return float(np.isfinite(counts).sum() / len(counts)) if len(counts) else None


def _check_sampling(checkpoint: Checkpoint, found: Layout) -> None:
    smallest = checkpoint.hyperparameters.get("ic_post_var_min", SMALLEST_VARIANCE)
    if abs(smallest - SMALLEST_VARIANCE) > 1e-9:
        raise UndertowError(
            f"'{checkpoint.path}' was trained with ic_post_var_min={smallest:g}, but here the variance of initial conditions is "
            f"at least {SMALLEST_VARIANCE:g}, so that samples would differ; it can't be taken over."
        )
    students = ["ic_prior", *(["co_prior"] if found.sizes["inferred_inputs"] else [])]
    for name in students:
        if f"{name}.logscale" in checkpoint.weights:
            raise UndertowError(
                f"The '{name}' in '{checkpoint.path}' is a Student-t distribution, and then lfads-torch draws from a Student-t "
                "posterior, where undertow draws from a Gaussian one; it can't be taken over."
            )


def _told(checkpoint: Checkpoint, recipe: Recipe, settings: tuple[str, ...]) -> tuple[str, ...]:
    """Where each choice that no shape tells comes from."""
    given = {setting.partition("=")[0].strip() for setting in settings}
    own = {key for key, (theirs, _) in SHOWN.items() if theirs in checkpoint.hyperparameters}
    if any(name.startswith("recon.") for name in checkpoint.weights):
        own.add("observation")
    origins: dict[str, list[str]] = {}
    for key in (*SHOWN, "observation"):
        origin = "As set" if f"lfads.{key}" in given else "From the checkpoint" if key in own else PUBLISHED
        origins.setdefault(origin, []).append(f"lfads.{key}={getattr(recipe.model, key)}")
    hint = "; if it was trained otherwise, repeat with --set KEY=VALUE"
    return tuple(
        f"{origin}: {', '.join(keys)}{hint if origin == PUBLISHED else ''}."
        for origin, keys in origins.items()
    )
