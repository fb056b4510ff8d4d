"""Points of a space of several dimensions, as Plotly draws them."""

import numpy as np

from undertow.report import style


def solid_axis(title: str) -> dict:
    """An axis of a picture in three dimensions."""
    return {
        "title": {"text": title},
        "backgroundcolor": "#f7f8f9",
        "gridcolor": style.GRID,
        "showbackground": True,
        "nticks": 5,
        "zeroline": False,
    }


def xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    """Coordinates of points (point, 3) by the names of the axes."""
    return {axis: points[:, place].astype(np.float32) for place, axis in enumerate("xyz")}


def xy(points: np.ndarray, pair: tuple[int, int]) -> dict[str, np.ndarray]:
    """Two of the coordinates of points (point, direction); the second is 0 where there is only one."""
    padded = np.pad(points, [(0, 0), (0, max(0, 2 - points.shape[1]))])
    return {axis: padded[:, place].astype(np.float32) for place, axis in zip(pair, "xy", strict=True)}
