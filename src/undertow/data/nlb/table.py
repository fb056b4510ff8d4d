"""Everything in which the seven data sets of the Neural Latents Benchmark differ, as one table.

Sources: the benchmark's data pages and the published parameters of its evaluation (Pei et al. 2021). Times are in
milliseconds, as the benchmark states them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from undertow.vocabulary import UndertowError, closest

FORWARD = 200
"""Milliseconds after the window that are to be forecast."""

BIN_WIDTHS = (0.005, 0.02)
"""Seconds; the benchmark scores both."""

SIMULATED = "simulated in the layout of the Neural Latents Benchmark"
"""How generated files describe themselves; published scores do not compare with theirs."""

PHASES = {"val": ("train", "valid"), "test": ("train", "valid", "test")}
"""Validation phase: fit on train, score valid. Test phase: fit on train and valid, score test."""


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        name: as in files and on the command line, e.g. "mc_maze_small".
        title: for people.
        dandiset: number on DANDI.
        version: the published version that the benchmark used.
        folder: of the files in the dandiset.
        train_file: held-in and held-out units, behaviour, trial table.
        test_file: held-in units of the test trials alone.
        units: held-in and held-out neurons.
        trials: train, validation and test trials that are used.
        align: the trial column of the event that the window lies around.
        window: ms around it, half-open.
        overlap: whether windows of neighbouring trials may share bins, in input and in target tensors.
        behaviour: the series to decode, with its channels; None where trials are described by columns.
        lag: ms by which behaviour follows the window.
        conditions: trial columns whose combinations are the conditions of the PSTH; none where there are none.
        psth_width: ms, standard deviation of the PSTH's Gaussian.
        decoders: a boolean trial column with a decoder for each of its values, or None for one decoder.
        is_timed: whether neural speed is compared with the produced time (tp corr) in place of decoding, only bins from the Set
            cue to Go are scored, and the windows of training trials are jittered.
        columns: trial columns of the train file beside id, start_time, stop_time and split.
        test_columns: those of the test file.
        merged_as: the prefix under which the scores of the scaling sets are merged, or "".
        smoothing: published width (ms) and penalty of the smoothing baseline.
        gpfa: published number of latent dimensions.
        slds: published numbers of discrete states and of latent dimensions.
    """

    name: str
    title: str
    dandiset: str
    version: str
    folder: str
    train_file: str
    test_file: str
    units: tuple[int, int]
    trials: tuple[int, int, int]
    align: str
    window: tuple[int, int]
    overlap: bool
    behaviour: str | None
    lag: int
    conditions: tuple[str, ...]
    psth_width: int
    decoders: str | None
    is_timed: bool
    columns: tuple[str, ...]
    test_columns: tuple[str, ...]
    merged_as: str
    smoothing: tuple[float, float]
    gpfa: int
    slds: tuple[int, int]

    def group(self, bin_width: float) -> str:
        """The name of the HDF5 group: the data set's name at 5 ms, with "_20" at 20 ms."""
        return self.name if round(bin_width * 1e3) == 5 else f"{self.name}_{round(bin_width * 1e3)}"


_MAZE = DataSet(
    name="mc_maze",
    title="MC_Maze",
    dandiset="000128",
    version="0.220113.0400",
    folder="sub-Jenkins",
    train_file="sub-Jenkins_ses-full_desc-train_behavior+ecephys.nwb",
    test_file="sub-Jenkins_ses-full_desc-test_ecephys.nwb",
    units=(137, 45),
    trials=(1721, 574, 574),
    align="move_onset_time",
    window=(-250, 450),
    overlap=False,
    behaviour="hand_vel",
    lag=100,
    conditions=("trial_type", "trial_version"),
    psth_width=70,
    decoders=None,
    is_timed=False,
    columns=(
        *(
            "trial_type",
            "trial_version",
            "maze_id",
            "success",
            "target_on_time",
            "go_cue_time",
            "move_onset_time",
        ),
        *("rt", "delay", "num_targets", "target_pos", "num_barriers", "barrier_pos", "active_target"),
    ),
    test_columns=("move_onset_time",),
    merged_as="",
    smoothing=(50, 0.01),
    gpfa=52,
    slds=(6, 38),
)


def _scaling(size: str, dandiset: str, version: str, **numbers) -> DataSet:
    """One of the three smaller sessions of the maze task."""
    files = {
        "train_file": _MAZE.train_file.replace("full", size),
        "test_file": _MAZE.test_file.replace("full", size),
    }
    return replace(
        _MAZE,
        name=f"mc_maze_{size}",
        title=f"MC_Maze_{size.title()}",
        dandiset=dandiset,
        version=version,
        lag=120,
        psth_width=50,
        **files,
        **numbers,
    )


_RTT = DataSet(
    name="mc_rtt",
    title="MC_RTT",
    dandiset="000129",
    version="0.241017.1444",
    folder="sub-Indy",
    train_file="sub-Indy_desc-train_behavior+ecephys.nwb",
    test_file="sub-Indy_desc-test_ecephys.nwb",
    units=(98, 32),
    trials=(810, 270, 272),
    align="start_time",
    window=(0, 600),
    overlap=True,
    behaviour="finger_vel",
    lag=140,
    conditions=(),
    psth_width=0,
    decoders=None,
    is_timed=False,
    columns=(),
    test_columns=(),
    merged_as="",
    smoothing=(30, 0.1),
    gpfa=36,
    slds=(8, 20),
)
_BUMP = DataSet(
    name="area2_bump",
    title="Area2_Bump",
    dandiset="000127",
    version="0.220113.0359",
    folder="sub-Han",
    train_file="sub-Han_desc-train_behavior+ecephys.nwb",
    test_file="sub-Han_desc-test_ecephys.nwb",
    units=(49, 16),
    trials=(272, 92, 98),
    align="move_onset_time",
    window=(-100, 500),
    overlap=True,
    behaviour="hand_vel",
    lag=-20,
    conditions=("cond_dir", "ctr_hold_bump"),
    psth_width=40,
    decoders="ctr_hold_bump",
    is_timed=False,
    columns=(
        *("bump_dir", "bump_time", "cond_dir", "ctr_hold", "ctr_hold_bump", "go_cue_time", "move_onset_time"),
        *("result", "target_dir", "target_on_time"),
    ),
    test_columns=("move_onset_time",),
    merged_as="",
    smoothing=(30, 0.01),
    gpfa=22,
    slds=(4, 15),
)
_DMFC = DataSet(
    name="dmfc_rsg",
    title="DMFC_RSG",
    dandiset="000130",
    version="0.220113.0407",
    folder="sub-Haydn",
    train_file="sub-Haydn_desc-train_ecephys.nwb",
    test_file="sub-Haydn_desc-test_ecephys.nwb",
    units=(40, 14),
    trials=(754, 252, 283),
    align="go_time",
    window=(-1500, 0),
    overlap=True,
    behaviour=None,
    lag=0,
    conditions=("is_eye", "theta", "is_short", "ts"),
    psth_width=70,
    decoders=None,
    is_timed=True,
    columns=(
        *(
            "bad_time",
            "fix_on_time",
            "fix_time",
            "fix_time_dur",
            "go_time",
            "is_eye",
            "is_outlier",
            "is_short",
            "iti",
        ),
        *("ready_time", "reward_dur", "reward_time", "set_time", "target_acq_time", "target_on_time"),
        *("target_time_dur", "theta", "tp", "ts"),
    ),
    test_columns=("go_time",),
    merged_as="",
    smoothing=(60, 0.001),
    gpfa=32,
    slds=(10, 30),
)

DATA_SETS = {
    row.name: row
    for row in (
        _MAZE,
        _scaling(
            *("large", "000138", "0.220113.0407"),
            units=(122, 40), trials=(375, 125, 100), merged_as="[500] ", smoothing=(40, 0.1), gpfa=44, slds=(4, 28),
        ),
        _scaling(
            *("medium", "000139", "0.220113.0408"),
            units=(114, 38), trials=(188, 62, 100), merged_as="[250] ", smoothing=(60, 0.1), gpfa=28, slds=(3, 20),
        ),
        _scaling(
            *("small", "000140", "0.220113.0408"),
            units=(107, 35), trials=(75, 25, 100), merged_as="[100] ", smoothing=(60, 0.1), gpfa=18, slds=(5, 15),
        ),
        _RTT,
        _BUMP,
        _DMFC,
    )
}  # fmt: skip
"""By name."""


def data_set(name: str) -> DataSet:
    """The data set of this name.

    Raises:
        UndertowError: there is none.
    """
    key = name.lower().replace("-", "_")
    if key not in DATA_SETS:
        raise UndertowError(f"The benchmark has no data set '{name}'; {closest(key, DATA_SETS)}")
    return DATA_SETS[key]
