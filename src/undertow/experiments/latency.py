"""How fast a stream was: from the seconds of its calls to latency.json in the run's folder, and to a table."""

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from undertow.files import write_bytes
from undertow.vocabulary import UndertowError

NAME = "latency.json"
SCHEMA = "undertow-latency-1"
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "worst": 1.0}
COLUMNS = 60


def summary(seconds: np.ndarray, bin_width: float, **facts: Any) -> dict[str, Any]:
    """What latency.json holds, times in milliseconds: quantiles, missed deadlines (calls longer than a bin), a histogram.

    A quantile is a latency that occurred: the smallest that this share of the bins did not exceed.

    Raises:
        UndertowError: if nothing was replayed.
    """
    if not seconds.size:
        raise UndertowError(
            "No bin of these trials was observed, so there is nothing to replay; give others."
        )
    milliseconds = 1e3 * seconds
    edges = np.geomspace(0.999 * milliseconds.min(), 1.001 * milliseconds.max(), COLUMNS + 1)
    return {
        "schema": SCHEMA,
        "bins": int(seconds.size),
        **{
            name: float(np.quantile(milliseconds, share, method="inverted_cdf"))
            for name, share in QUANTILES.items()
        },
        "bin_width": 1e3 * bin_width,
        "missed": int((seconds > bin_width).sum()),
        "histogram": {"edges": edges.tolist(), "bins": np.histogram(milliseconds, edges)[0].tolist()},
        "device": f"{jax.devices()[0].device_kind} ({platform.machine()})",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }


def write(folder: Path, latency: dict[str, Any]) -> None:
    """latency.json in a run's folder."""
    write_bytes(folder / NAME, json.dumps(latency, indent=1).encode())


def read(folder: Path) -> dict[str, Any] | None:
    """What `write` wrote; None where nothing was replayed yet, or by another version."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        latency = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return latency if latency.get("schema") == SCHEMA else None


def table(latency: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    share = latency["missed"] / latency["bins"]
    rows = {
        "bins": f"{latency['bins']:,}",
        **{name: f"{latency[name]:.3f} ms" for name in QUANTILES},
        "bin width": f"{latency['bin_width']:g} ms",
        "missed deadlines": f"{latency['missed']:,} ({share:.2%})",
    }
    if latency.get("lag"):
        rows["lag by construction"] = f"{latency['lag']:g} ms"
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value:>16}" for name, value in rows.items())
