"""Published scores of the Neural Latents Benchmark, to print beside one's own, each with its source and how far it was checked.

Nobody should rank models by small differences between these rows: they come from different protocols, and the labels of the test
trials have been public for some years.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from undertow.vocabulary import UndertowError

MARKS = {
    "verified": "read in the named source",
    "third party": "read in somebody else's transcription of the source",
    "recalled": "from memory, the last digit may be wrong; not for quotation",
}


@dataclass(frozen=True)
class Published:
    """Scores of one model on one data set.

    Attributes:
        data_set: e.g. "mc_maze".
        bin_width: seconds.
        phase: "test" or "val": which trials were evaluated.
        model: name, with its kind where it is an ensemble.
        scores: under the benchmark's names.
        source: where the numbers come from.
        mark: a key of `MARKS`.
    """

    data_set: str
    bin_width: float
    phase: str
    model: str
    scores: Mapping[str, float]
    source: str
    mark: str


def published(data_set: str, bin_width: float, *, phase: str | None = None) -> tuple[Published, ...]:
    """The rows of one data set and bin width (seconds), best co-smoothing first; "val" or "test" alone where `phase` says so.

    Raises:
        UndertowError: a phase that is not one of them.
    """
    if phase not in (None, "val", "test"):
        raise UndertowError(f"The phase is '{phase}', but must be 'val' or 'test'.")
    rows = [
        row
        for row in PUBLISHED
        if (row.data_set, row.bin_width) == (data_set, bin_width) and phase in (None, row.phase)
    ]
    return tuple(sorted(rows, key=lambda row: -row.scores.get("co-bps", float("-inf"))))


_PAPER = "Pei et al. 2021, arXiv 2109.04463 v1, transcribed"
_LEADERBOARD = "benchmark's leaderboard (EvalAI), record of October 2026, transcribed"
_FLOW = "table of the LangevinFlow paper"
_REFERENCE = "tests and tutorial of the reference implementation"
_GRAFT = "GRAFT, arXiv 2606.11066, abstract"


def _table(data_set: str, bin_width: float, source: str, mark: str, *, names: tuple[str, ...], rows: Mapping):
    """Rows of one source on one data set; None where a score is not known."""
    return tuple(
        Published(
            *(data_set, bin_width, "test", model),
            {name: value for name, value in zip(names, values, strict=False) if value is not None},
            *(source, mark),
        )
        for model, values in rows.items()
    )


_VELOCITY = ("co-bps", "vel R2", "psth R2", "fp-bps")
_SPEED = ("co-bps", "tp corr", "psth R2", "fp-bps")
_NO_PSTH = ("co-bps", "vel R2", "fp-bps")

PUBLISHED: tuple[Published, ...] = (
    *_table("mc_maze", 0.005, _PAPER, "third party", names=_VELOCITY, rows={
        "smoothing": (0.211,), "GPFA": (0.187,), "SLDS": (0.219,), "NDT": (0.329,), "AutoLFADS": (0.346,),
    }),
    *_table("mc_rtt", 0.005, _PAPER, "third party", names=_NO_PSTH, rows={
        "smoothing": (0.147,), "GPFA": (0.155,), "SLDS": (0.165,), "NDT": (0.160,), "AutoLFADS": (0.192,),
    }),
    *_table("area2_bump", 0.005, _PAPER, "third party", names=_VELOCITY, rows={
        "smoothing": (0.154,), "GPFA": (0.168,), "SLDS": (0.187,), "NDT": (0.267,), "AutoLFADS": (0.259,),
    }),
    *_table("dmfc_rsg", 0.005, _PAPER, "third party", names=_SPEED, rows={
        "smoothing": (0.120,), "GPFA": (0.118,), "SLDS": (0.120,), "NDT": (0.162,), "AutoLFADS": (0.181,),
    }),
    *_table("mc_maze", 0.005, _LEADERBOARD, "third party", names=_VELOCITY, rows={
        "GRAFT (ensemble)": (0.3866,), "STNDT (ensemble)": (0.3862, 0.910), "STNDT": (0.369,), "S5-based entry": (0.3823,),
        "DLFM": (0.3779,), "SSLFADS": (0.3748,), "AESMTE3 (ensemble)": (0.3676,), "Noema SSM (ensemble)": (0.3672,),
        "iLQR-VAE": (0.356, 0.884, 0.606), "NDT-L": (0.3536,), "AutoLFADS (Kubeflow)": (0.3510,), "AutoLFADS": (0.3364,),
        "MINT": (0.330,), "NDT": (0.3229,),
    }),
    *_table("mc_maze", 0.005, "STNDT-lite, scored by its author on the public labels", "third party", names=_VELOCITY, rows={
        "STNDT-lite (ensemble of 10)": (0.3830, 0.9053, 0.6390),
    }),
    *_table("mc_maze", 0.02, _LEADERBOARD, "third party", names=_VELOCITY, rows={
        "LangevinFlow": (0.3650,), "NDT": (0.3597,), "sequential Monte Carlo entry": (0.3589,), "AutoLFADS": (0.3554,),
    }),
    *_table("mc_maze", 0.02, _FLOW, "recalled", names=_VELOCITY, rows={
        "smoothing": (0.211, 0.624, 0.185), "GPFA": (0.246, 0.661, 0.557), "SLDS": (0.212, 0.794, 0.471, -0.151),
        "NDT": (0.360, 0.890, 0.617, 0.244), "AutoLFADS": (0.355, 0.891, 0.600, 0.245),
        "MINT": (0.330, 0.9005, 0.747, 0.208), "LangevinFlow": (0.364, 0.894, 0.680, 0.257),
    }),
    *_table("mc_rtt", 0.02, _FLOW, "recalled", names=_NO_PSTH, rows={
        "smoothing": (0.147, 0.414), "GPFA": (0.177, 0.526), "SLDS": (0.165, 0.521, 0.062), "NDT": (0.164, 0.610, 0.120),
        "AutoLFADS": (0.187, 0.617, 0.121), "MINT": (0.201, 0.655, 0.110), "LangevinFlow": (0.201, 0.665, 0.139),
    }),
    *_table("area2_bump", 0.02, _FLOW, "recalled", names=_VELOCITY, rows={
        "smoothing": (0.154, 0.574, 0.208), "GPFA": (0.179, 0.609, 0.600), "SLDS": (0.182, 0.697, 0.520, 0.013),
        "NDT": (0.262, 0.862, 0.608, 0.146), "AutoLFADS": (0.257, 0.849, 0.632, 0.151),
        "MINT": (0.274, 0.880, 0.905, 0.148), "LangevinFlow": (0.288, 0.881, 0.764, 0.165),
    }),
    *_table("dmfc_rsg", 0.02, _FLOW, "recalled", names=_SPEED, rows={
        "smoothing": (0.120, -0.514, 0.299), "GPFA": (0.118, -0.376, 0.214), "SLDS": (0.124, -0.541, 0.337, -0.042),
        "NDT": (0.172, -0.562, 0.438, 0.140), "AutoLFADS": (0.183, -0.825, 0.636, 0.184),
        "MINT": (0.182, -0.693, 0.701, 0.165), "LangevinFlow": (0.190, -0.698, 0.595, 0.172),
    }),
    *_table("mc_maze_large", 0.005, _GRAFT, "third party", names=_VELOCITY, rows={"GRAFT (recalibrated)": (0.3749,)}),
    *_table("mc_maze_medium", 0.005, _GRAFT, "third party", names=_VELOCITY, rows={"GRAFT (recalibrated)": (0.3112,)}),
    *_table("mc_maze_small", 0.005, _GRAFT, "third party", names=_VELOCITY, rows={"GRAFT (recalibrated)": (0.3152,)}),
    Published(
        *("mc_maze_large", 0.005, "val", "smoothing (50 ms, ridge)"),
        {"co-bps": 0.1528, "vel R2": 0.5224, "psth R2": 0.3871},
        *(_REFERENCE, "verified"),
    ),
    Published(
        *("mc_maze_large", 0.005, "val", "smoothing (40 ms, Poisson regression)"),
        {"co-bps": 0.2251, "vel R2": 0.5419},
        *(_REFERENCE, "verified"),
    ),
    Published(
        *("mc_maze", 0.02, "val", "lfads-torch (one seed, 100 epochs)"),
        {"co-bps": 0.3606},
        *("a user's record of it", "third party"),
    ),
)  # fmt: skip
"""All rows; `published` chooses among them."""
