"""The true system behind simulated trials, in the coordinates of their `true_latents` and with time in bins.

    true = true_system(trials)          # None where the trials were recorded, or their system is not known as a law
    true.velocity(states), true.jacobian(true.fixed_points)

Trials carry what is needed as attributes, which survive files and selections: `system`, `system_settings` (JSON of the
arguments of its law), `latent_centre` and `latent_scale` (true_latents = (state - centre) / scale), `time_per_bin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from undertow.data.simulate import (
    arneodo,
    flip_flop,
    halvorsen,
    limit_cycle,
    linear,
    lorenz63,
    ring,
    rossler,
)
from undertow.data.simulate.law import Law

LAWS: Mapping[str, Callable[..., Law]] = {
    "arneodo": arneodo.law,
    "rossler": rossler.law,
    "lorenz63": lorenz63.law,
    "halvorsen": halvorsen.law,
    "limit-cycle": limit_cycle.law,
    "ring": ring.law,
    "flip-flop": flip_flop.law,
    "linear": linear.law,
    "lorenz": lorenz63.law,
}


class TrueSystem(NamedTuple):
    """A simulated system in the coordinates of `true_latents`, time in bins, where no input pushes.

    Attributes:
        name: the system's, as in `SYSTEMS`.
        velocity: states (..., latent) to their velocities (..., latent), per bin.
        jacobian: states (..., latent) to the derivatives of the velocity (..., latent, latent), per bin.
        fixed_points: (point, latent), all that are known; of a ring, some of the circle.
    """

    name: str
    velocity: Callable[[np.ndarray], np.ndarray]
    jacobian: Callable[[np.ndarray], np.ndarray]
    fixed_points: np.ndarray


def true_system(trials: xr.Dataset) -> TrueSystem | None:
    """The system that made the trials, or None where they don't say it."""
    name = trials.attrs.get("system")
    if name not in LAWS:
        return None
    law = LAWS[name](**json.loads(trials.attrs["system_settings"]))
    centre, scale = (np.asarray(trials.attrs[key], float) for key in ("latent_centre", "latent_scale"))
    time = float(trials.attrs["time_per_bin"])
    return TrueSystem(
        name=name,
        velocity=lambda states: time * law.velocity(states * scale + centre) / scale,
        jacobian=lambda states: time * law.jacobian(states * scale + centre) * (scale / scale[:, None]),
        fixed_points=(law.fixed_points - centre) / scale,
    )


def attributes(
    system: str, settings: Mapping[str, Any], centre: np.ndarray, scale: np.ndarray, time_per_bin: float
) -> dict[str, Any]:
    """What trials must carry so that `true_system` finds their law again."""
    return {
        "system": system,
        "system_settings": json.dumps(dict(settings), default=lambda number: number.tolist()),
        "latent_centre": np.asarray(centre, float),
        "latent_scale": np.asarray(scale, float),
        "time_per_bin": float(time_per_bin),
    }
