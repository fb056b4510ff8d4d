"""What the files of each task hold beside the trial table: units, electrodes and continuous series; for the generator.

Sources: the benchmark's DANDI pages (Pei et al. 2021). Sizes at scale 1 are those of `table.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from undertow.data.nlb.table import DataSet

_LEAST_UNITS = (8, 3)


@dataclass(frozen=True)
class SeriesLayout:
    """One continuous series.

    Attributes:
        name: in the file.
        channels: their names, as in the comments "columns=[x,y]".
        unit: physical unit.
        source: which signal of the simulation it shows, see `simulated_behaviour.py`.
        scale: in `unit`, of one standard deviation of that signal.
    """

    name: str
    channels: tuple[str, ...]
    unit: str
    source: str
    scale: float


@dataclass(frozen=True)
class Layout:
    """What the files of one task hold.

    Attributes:
        areas: brain areas; unit ids begin with 1 in the first and 2 in the second where there are two.
        has_electrodes: whether units point to electrodes.
        has_timestamps: whether series state each sample's time, or a rate (1 kHz).
        series: the continuous series.
        intervals: number of long observed intervals of the train file.
        ignored: trials of split "none" as a share of the train file's other trials.
        least: train, validation and test trials below which `scale` does not go.
        types: largest number of the task's kinds of trial (mazes, directions, intervals).
    """

    areas: tuple[str, ...]
    has_electrodes: bool
    has_timestamps: bool
    series: tuple[SeriesLayout, ...]
    intervals: int
    ignored: float
    least: tuple[int, int, int]
    types: int


@dataclass(frozen=True)
class Sizes:
    """Numbers of a generated session: units and trials of each kind."""

    held_in: int
    held_out: int
    train: int
    valid: int
    ignored: int
    test: int

    @property
    def units(self) -> int:
        """All units."""
        return self.held_in + self.held_out

    @property
    def in_train_file(self) -> int:
        """Trials of the train file."""
        return self.train + self.valid + self.ignored


_XY = ("x", "y")
_XYZ = ("x", "y", "z")
_FORCES = ("fx", "fy", "fz", "mx", "my", "mz")
_JOINTS = (
    *("shoulder_adduction", "shoulder_rotation", "shoulder_flexion", "elbow_flexion", "radial_pronation"),
    *("wrist_flexion", "wrist_abduction"),
)
_MUSCLES = tuple(f"muscle_{number}" for number in range(1, 40))


def _maze(types: int) -> Layout:
    series = (
        SeriesLayout("cursor_pos", _XY, "mm", "cursor", 30.0),
        SeriesLayout("eye_pos", _XY, "mm", "gaze", 30.0),
        SeriesLayout("hand_pos", _XY, "mm", "position", 30.0),
        SeriesLayout("hand_vel", _XY, "mm/s", "velocity", 150.0),
    )
    return Layout(
        areas=("PMd", "M1"),
        has_electrodes=True,
        has_timestamps=True,
        series=series,
        intervals=4,
        ignored=0.04,
        least=(18, 6, 6),
        types=types,
    )


_RTT = Layout(
    areas=("M1",),
    has_electrodes=True,
    has_timestamps=True,
    series=(
        SeriesLayout("cursor_pos", _XY, "mm", "cursor", 20.0),
        SeriesLayout("finger_pos", _XYZ, "mm", "position", 20.0),
        SeriesLayout("finger_vel", _XY, "mm/s", "velocity", 80.0),
        SeriesLayout("target_pos", _XY, "mm", "target", 30.0),
    ),
    intervals=1,
    ignored=0.0,
    least=(24, 8, 8),
    types=0,
)
_BUMP = Layout(
    areas=("area 2",),
    has_electrodes=True,
    has_timestamps=False,
    series=(
        SeriesLayout("force", _FORCES, "N", "turning", 1.0),
        SeriesLayout("hand_pos", _XY, "cm", "position", 3.0),
        SeriesLayout("hand_vel", _XY, "cm/s", "velocity", 12.0),
        SeriesLayout("joint_ang", _JOINTS, "deg", "swing", 10.0),
        SeriesLayout("joint_vel", _JOINTS, "deg/s", "turning", 40.0),
        SeriesLayout("muscle_len", _MUSCLES, "m", "swing", 1 / 128),
        SeriesLayout("muscle_vel", _MUSCLES, "m/s", "turning", 1 / 16),
    ),
    intervals=4,
    ignored=462 / 364,
    least=(24, 8, 8),
    types=8,
)
_DMFC = Layout(
    areas=("DMFC",),
    has_electrodes=False,
    has_timestamps=True,
    series=(),
    intervals=3,
    ignored=154 / 1006,
    least=(48, 24, 24),
    types=5,
)

LAYOUTS = {
    "mc_maze": _maze(36),
    "mc_maze_large": _maze(9),
    "mc_maze_medium": _maze(9),
    "mc_maze_small": _maze(9),
    "mc_rtt": _RTT,
    "area2_bump": _BUMP,
    "dmfc_rsg": _DMFC,
}
"""By name of the data set."""


def sizes(data: DataSet, scale: float) -> Sizes:
    """Units and trials at a share `scale` of the published numbers, but enough for every condition to occur in each split."""
    layout = LAYOUTS[data.name]
    held_in, held_out = (
        max(least, round(scale * full)) for least, full in zip(_LEAST_UNITS, data.units, strict=True)
    )
    train, valid, test = (
        max(least, round(scale * full)) for least, full in zip(layout.least, data.trials, strict=True)
    )
    return Sizes(held_in, held_out, train, valid, round(layout.ignored * (train + valid)), test)
