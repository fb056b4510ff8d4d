"""Synthetic material for the report: a Lorenz system seen through spikes, an estimate of it, and an invented
history.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

BIN_WIDTH = 0.02


def lorenz_states(*, trials, bins, starts, seed):
    """(trial, bins, 3): Lorenz trajectories by Euler steps, one of `starts` starting points a trial, scaled
    to about 1.
    """
    random = np.random.default_rng(seed)
    start = random.normal([0, 0, 25], [6, 6, 4], (starts, 3))[np.arange(trials) % starts]
    state = start + random.normal(0, 0.3, start.shape)
    course = []
    for step in range(300 + 4 * bins):
        x, y, z = state.T
        state = state + 0.006 * np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], axis=1)
        if step >= 300 and step % 4 == 0:
            course.append(state)
    return (np.stack(course, axis=1) - [0, 0, 25]) / [8, 9, 9]


def make_trials(
    *, trials=60, bins=50, neurons=29, conditions=3, ragged=False, held_out=0, forward=0, inputs=False, seed=0
):
    random = np.random.default_rng(seed)
    states = lorenz_states(trials=trials, bins=bins, starts=conditions or 12, seed=seed)
    loadings = (random.random((3, neurons)) + 1) * random.choice([-1, 1], (3, neurons)) * 0.6
    true_rates = np.minimum(7 * np.exp(states @ loadings), 90)
    counts = random.poisson(true_rates * BIN_WIDTH).astype(np.float32)
    if ragged:
        for trial, length in enumerate(random.integers(bins // 2, bins + 1, trials)):
            counts[trial, length:] = np.nan
    split = np.array(["valid" if trial % 5 == 0 else "train" for trial in range(trials)])
    coordinates = {
        "time": (np.arange(bins) + 0.5) * BIN_WIDTH - 0.2,
        "neuron": np.arange(neurons) + 100,
        "split": ("trial", split),
        "held_out": ("neuron", np.arange(neurons) >= neurons - held_out),
        "forward": ("time", np.arange(bins) >= bins - forward),
    }
    if conditions:
        coordinates["condition"] = (
            "trial",
            np.array([f"target {trial % conditions + 1}" for trial in range(trials)]),
        )
    variables = {
        "counts": (("trial", "time", "neuron"), counts),
        "true_rates": (("trial", "time", "neuron"), true_rates.astype(np.float32)),
        "true_latents": (("trial", "time", "latent"), states.astype(np.float32)),
    }
    if inputs:
        variables["true_inputs"] = (("trial", "time", "input"), _pulses(trials, bins, random))
    attributes = {"bin_width": BIN_WIDTH, "session": "lorenz-2024", "schema": "undertow-trials-1"}
    return xr.Dataset(variables, coordinates, attributes)


def _pulses(trials, bins, random):
    pulses = np.zeros((trials, bins, 1), np.float32)
    pulses[np.arange(trials), random.integers(bins // 4, 3 * bins // 4, trials), 0] = 20
    return pulses


def make_estimate(trials, *, factors=20, inputs=0, sd=True, noise=0.12, seed=1):
    random = np.random.default_rng(seed)
    states = trials.true_latents.values
    axes = ("trial", "time", "neuron")
    wobble = np.exp(noise * random.normal(size=(states.shape[0], 1, trials.sizes["neuron"])))
    rates = (trials.true_rates.values * wobble).astype(np.float32)
    variables = {"rates": (axes, rates)}
    if sd:
        variables["rates_sd"] = (axes, (0.15 * rates + 0.3).astype(np.float32))
    if factors:
        read = random.normal(size=(3, factors)) / np.sqrt(factors)
        values = states @ read + 0.01 * random.normal(size=(*states.shape[:2], factors))
        variables["factors"] = (("trial", "time", "factor"), values.astype(np.float32))
    if inputs:
        shape = (*states.shape[:2], inputs)
        values = 0.05 * random.normal(size=shape)
        if "true_inputs" in trials:
            kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
            seen = np.apply_along_axis(np.convolve, 1, trials.true_inputs.values[..., 0], kernel, "same") / 20
            values[..., 0] += 1.2 * seen
        variables["inferred_inputs"] = (("trial", "time", "inferred_input"), values.astype(np.float32))
        variables["inferred_inputs_sd"] = (
            ("trial", "time", "inferred_input"),
            np.full(shape, 0.25, np.float32),
        )
    coordinates = {name: trials[name] for name in ("time", "neuron", "split")}
    return xr.Dataset(variables, coordinates, {"schema": "undertow-estimate-1"})


def make_yardstick(trials):
    from undertow.report.averages import smoothed_rates

    rates = smoothed_rates(trials.counts.values, trials.attrs["bin_width"])
    return xr.Dataset({"rates": (("trial", "time", "neuron"), np.nan_to_num(rates).astype(np.float32))})


def make_history(*, epochs=300, overfitting=False, skipped=0, plunge=60.0, seed=0):
    random = np.random.default_rng(seed)
    lines = []
    for epoch in range(epochs):
        fall = 0.30 + 0.12 * np.exp(-epoch / plunge) + 0.8 * np.exp(-epoch / 3)
        rise = 0.0004 * max(0, epoch - epochs // 2) if overfitting else 0.0
        noise = random.normal(0, 0.0008, 3)
        ramp = min(1.0, epoch / 80)
        kl = 0.016 * (1 - np.exp(-epoch / 20)) + 0.004
        lines.append(
            {
                "epoch": epoch,
                "updates": 40 * (epoch + 1),
                "seconds": 1.1 * epoch,
                "train/reconstruction": fall + noise[0] - 0.4 * rise,
                "train/kl_initial_condition": kl,
                "train/kl_inputs": 0.5 * kl,
                "train/recurrent_penalty": 0.2 + 0.0004 * epoch,
                "train/total": fall + noise[0] + ramp * 1.5 * kl - 0.4 * rise,
                "valid/reconstruction": fall + 0.006 + noise[1] + rise,
                "valid/kl_initial_condition": 1.03 * kl,
                "valid/kl_inputs": 0.52 * kl,
                "valid/total": fall + 0.006 + noise[1] + ramp * 1.54 * kl + rise,
                "selection": fall + 0.006 + noise[2] + rise,
                "selection_smoothed": fall + 0.006 + rise,
                "learning_rate": 4e-3 * 0.95 ** (epoch // 20),
                "ramp/kl": ramp,
                "ramp/penalty": min(1.0, epoch / 50),
                "gradient_norm": 3 * np.exp(-epoch / 40) + 0.4 + abs(noise[0]) * 40,
                "skipped": skipped if epoch >= 7 else 0,
            }
        )
    return lines


def make_scores(*, model=0.31, yardstick=0.12):
    def both(value, other):
        keys = ("bits_per_spike", "co_smoothing", "rate_r2", "latent_r2_inferred_to_true", "psth_r2")
        return {"model": dict.fromkeys(keys, value), "yardstick": dict.fromkeys(keys[:3], other)}

    return {
        "model": "lfads",
        "selected_on": "validation reconstruction of held-in neurons, smoothed over epochs.",
        "splits": {"valid": both(model, yardstick), "train": both(model + 0.02, yardstick)},
    }


def make_material(*, trials=None, estimate=None, **changes):
    trials = make_trials() if trials is None else trials
    material = {
        "trials": trials,
        "estimate": make_estimate(trials) if estimate is None else estimate,
        "yardstick": make_yardstick(trials),
        "scores": make_scores(),
        "history": make_history(),
        "recipe": {
            "model": "lfads",
            "lfads": {"factors": 20, "prior": {"kind": "gaussian", "sd": 0.1}},
            "seed": 0,
        },
        "provenance": {
            "undertow": "0.1.0",
            "python": "3.11.9",
            "device": "cpu",
            "seed": 0,
            "command": "undertow fit lfads",
        },
    }
    return {**material, **changes}


NUMBERS = {
    "optimiser.learning_rate": {"low": 1e-5, "high": 5e-3, "is_added": False, "is_bounded": True},
    "lfads.dropout_rate": {"low": 0.0, "high": 0.6, "is_added": True, "is_bounded": True},
    "objective.weights.kl_inputs": {"low": 1e-3, "high": 1.0, "is_added": False, "is_bounded": False},
}


def make_population(
    *, members=8, generations=6, algorithm="population", sizes=(), lost=(), values=None, seed=0, **changes
):
    """What `page.write` is told of an invented search: falling scores, random copies within groups, the winner's ancestors.

    `lost` are pairs of member and generation, `sizes` the values of lfads.generator, each a group of its own, and `values`
    replaces selected values.
    """
    random = np.random.default_rng(seed)
    groups = np.arange(members) % max(len(sizes), 1)
    scores = (
        0.4 + 0.1 * np.exp(-np.arange(generations))[:, None] + 0.01 * random.random((generations, members))
    )
    parents = np.tile(np.arange(members), (generations, 1))
    if algorithm == "population":
        for generation in range(generations - 1):
            rival = random.integers(0, members, members)
            loses = (scores[generation, rival] < scores[generation]) & (groups[rival] == groups)
            parents[generation, loses] = rival[loses]
    lines = []
    for generation in range(generations):
        broken = [member for member, when in lost if when == generation]
        moving = {
            key: list(where["low"] + random.uniform(0.1, 0.7, members) * (where["high"] - where["low"]))
            for key, where in NUMBERS.items()
        }
        fixed = {"lfads.generator": [sizes[group] for group in groups]} if sizes else {}
        costs = [None if member in broken else float(scores[generation, member]) for member in range(members)]
        lines.append(
            {
                "generation": generation,
                "scores": costs,
                "groups": groups.tolist(),
                "parents": parents[generation].tolist(),
                "lost": broken,
                "values": {**moving, **fixed},
                "epoch": 30 + 25 * generation,
                "seconds": 60.0 * generation,
            }
        )
    winner = int(np.nanargmin(np.array(lines[-1]["scores"], float)))
    lineage = [winner]
    for generation in reversed(range(generations - 1)):
        lineage.insert(0, int(parents[generation, lineage[0]]))
    selected = {
        "member": winner,
        "generation": generations - 1,
        "epoch": lines[-1]["epoch"] - 3,
        "score": lines[-1]["scores"][winner] - 1e-4,
        "values": {**{key: lines[-1]["values"][key][winner] for key in NUMBERS}, **(values or {})},
    }
    return {
        "generations": lines,
        "lineage": lineage,
        "ranges": {**NUMBERS, **({"lfads.generator": None} if sizes else {})},
        "algorithm": algorithm,
        "selected": selected,
        "selected_on": "the likelihood of the held-out neurons of the validation trials",
        "ensemble": 1,
        "settled": True,
        "warning": None,
        **changes,
    }
