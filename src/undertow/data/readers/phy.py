"""Sorted units from a folder of Phy or Kilosort: those that a person called good, else those that the sorter did.

Files used: `spike_times.npy` (samples), `spike_clusters.npy` (else `spike_templates.npy`), `sample_rate` in
`params.py` (read as text, never run), and for the labels `cluster_group.tsv`, `cluster_info.tsv` and, for
units that nobody judged, `cluster_KSLabel.tsv`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from undertow.data.recording import Recording
from undertow.vocabulary import UndertowError

_CLUSTER_FILES = ("spike_clusters.npy", "spike_templates.npy")
_LABELS = (  # file, column, whose word it is; the first that judges a unit is believed
    ("cluster_group.tsv", "group", "curated"),
    ("cluster_info.tsv", "group", "curated"),
    ("cluster_KSLabel.tsv", "KSLabel", "sorter"),
    ("cluster_info.tsv", "KSLabel", "sorter"),
)
_UNJUDGED = "unsorted"


def read(path: str | Path, *, labels: Sequence[str] = ("good",)) -> Recording:
    """The units with one of `labels` (all units for an empty sequence), on a clock that starts with the recording.

    Raises:
        UndertowError: a file that is missing or damaged, or no unit with one of these labels.
    """
    folder = Path(path)
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    samples, clusters = _spikes(folder)
    seconds = samples / _sample_rate(folder)
    ids, counts = np.unique(clusters, return_counts=True)
    units = _labelled(folder, ids)
    keep = units["label"].isin(labels).to_numpy() if labels else np.ones(ids.size, bool)
    if not keep.any():
        raise UndertowError(f"No unit in '{folder}' is labelled {' or '.join(labels)}; {_tally(units)}.")
    parts = np.split(seconds[np.argsort(clusters, kind="stable")], np.cumsum(counts)[:-1])
    return Recording(
        spike_times=[np.sort(part) for part, kept in zip(parts, keep, strict=True) if kept],
        units=units[keep],
        observed=np.array([[0.0, seconds.max()]]),
        session=folder.resolve().name,
        notes=(f"{np.count_nonzero(keep)} of {ids.size} units were kept ({_tally(units)}).",),
    )


def _spikes(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Sample and cluster of each spike."""
    name = next((name for name in _CLUSTER_FILES if (folder / name).is_file()), _CLUSTER_FILES[0])
    samples, clusters = _array(folder, "spike_times.npy"), _array(folder, name)
    if samples.size != clusters.size or samples.size == 0:
        raise UndertowError(
            f"'{folder}' has {samples.size} spike times, but {clusters.size} entries in {name}; "
            "both need the same number and at least one, so save the sorting again."
        )
    return samples.astype(np.float64), clusters.astype(np.int64)


def _array(folder: Path, name: str) -> np.ndarray:
    try:
        return np.load(folder / name, allow_pickle=False).reshape(-1)
    except FileNotFoundError as error:
        raise UndertowError(
            f"'{folder}' has no {name}; a Phy folder needs spike_times.npy, spike_clusters.npy and params.py."
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise UndertowError(f"'{folder / name}' can't be read ({error}); save the sorting again.") from error


def _sample_rate(folder: Path) -> float:
    """Samples a second, taken from the text of params.py, which is never run."""
    path = folder / "params.py"
    if not path.is_file():
        raise UndertowError(
            f"'{folder}' has no params.py; write one with a line such as sample_rate = 30000."
        )
    found = re.search(r"^\s*sample_rate\s*=\s*([^#\n]+)", path.read_text(errors="replace"), re.MULTILINE)
    text = found.group(1).strip() if found else "missing"
    try:
        rate = float(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError):
        rate = 0.0
    if not 0 < rate < np.inf:
        raise UndertowError(f"The sample_rate in '{path}' is {text}; write a positive number, e.g. 30000.")
    return rate


def _labelled(folder: Path, ids: np.ndarray) -> pd.DataFrame:
    """One row a unit: its label, the file the label is from, and the columns of cluster_info.tsv."""
    units = pd.DataFrame({"label": _UNJUDGED, "label_source": "nobody"}, index=pd.Index(ids, name="unit"))
    units = units.astype(object)
    for name, column, _ in reversed(_LABELS):
        judged = _column(folder / name, column).reindex(ids)
        is_judged = judged.notna() & ~judged.isin([_UNJUDGED, ""])
        units.loc[is_judged, "label"] = judged[is_judged]
        units.loc[is_judged, "label_source"] = name
    information = _table(folder / "cluster_info.tsv").reindex(ids)
    further = [name for name in information.columns if name not in {"group", "KSLabel", *units.columns}]
    return units.join(information[further])


def _column(path: Path, column: str) -> pd.Series:
    table = _table(path)
    return table[column].astype(object) if column in table.columns else pd.Series(dtype=object)


def _table(path: Path) -> pd.DataFrame:
    """A table of clusters indexed by their ids; empty if the file is not there."""
    if not path.is_file():
        return pd.DataFrame()
    try:
        table = pd.read_csv(path, sep="\t")
    except (OSError, ValueError) as error:
        raise UndertowError(f"'{path}' can't be read as a table ({error}); save it again in Phy.") from error
    key = next((name for name in ("cluster_id", "id") if name in table.columns), None)
    if key is None:
        raise UndertowError(f"'{path}' has no column 'cluster_id'; save it again in Phy.")
    return table.drop_duplicates(key).set_index(key)


def _tally(units: pd.DataFrame) -> str:
    tally = units.groupby(["label", "label_source"], sort=True).size()
    return ", ".join(f"{number} {label} by {source}" for (label, source), number in tally.items())
