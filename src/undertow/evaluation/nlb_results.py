"""Scores of the groups of a submission in the structure that the Neural Latents Benchmark publishes.

A list with one entry for each data set and bin width, `{"mc_rtt_split": {...}}`, `{"mc_rtt_20_split": {...}}`; the three scaling
sets share `mc_maze_scaling_split` with the number of training trials before each score, `"[500] co-bps"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from undertow.vocabulary import UndertowError

SCALING = {"mc_maze_large": "[500] ", "mc_maze_medium": "[250] ", "mc_maze_small": "[100] "}
"""Data sets that are published together, each with what stands before its scores."""

_ORDER = ("mc_maze", "mc_rtt", "area2_bump", "dmfc_rsg", *SCALING)
_SUFFIXES = ("", "_20")

Scores = Mapping[str, float]


def results(scores: Mapping[str, Scores]) -> list[dict[str, dict[str, float]]]:
    """The published structure of scores.

    Args:
        scores: by name of the group, the data set with "_20" for bins of 20 ms; each as `nlb.score` gives them.

    Raises:
        UndertowError: a group that the benchmark does not have.
    """
    known = [name + suffix for name in _ORDER for suffix in _SUFFIXES]
    strange = [name for name in scores if name not in known]
    if strange:
        raise UndertowError(
            f"The benchmark has no group '{strange[0]}'; known are {', '.join(known)}, where '_20' stands for bins of 20 ms."
        )
    listed = [
        {f"{name}_split": dict(scores[name])}
        for name in known
        if name in scores and name.removesuffix("_20") not in SCALING
    ]
    merged = {f"mc_maze_scaling{suffix}_split": _merged(scores, suffix) for suffix in _SUFFIXES}
    return listed + [{name: together} for name, together in merged.items() if together]


def _merged(scores: Mapping[str, Scores], suffix: str) -> dict[str, float]:
    """The scores of the scaling sets at one bin width."""
    return {
        before + key: value
        for name, before in SCALING.items()
        for key, value in scores.get(name + suffix, {}).items()
    }
