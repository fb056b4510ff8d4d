"""What to paste into a bug report: versions, devices, memory, caches, extras."""

import importlib.util
import os
from pathlib import Path

import jax

from undertow.experiments import cache
from undertow.experiments.fitting import environment

EXTRAS = ("pynapple", "ray", "dandi", "onnxruntime", "tensorboard")


def examine() -> dict[str, str]:
    """Facts by name."""
    facts = {name: str(value) for name, value in environment().items() if name not in ("command", "started")}
    facts["devices"] = ", ".join(str(device) for device in jax.devices())
    facts["cores"] = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    facts["memory"] = _memory()
    facts["compiled programs"] = _cache(cache.folder())
    facts["extras"] = ", ".join(name for name in EXTRAS if importlib.util.find_spec(name)) or "none"
    return facts


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"


def _cache(folder: Path) -> str:
    if not folder.is_dir():
        return f"none yet ({folder})"
    files = [file for file in folder.iterdir() if file.is_file()]
    return f"{len(files)} files, {sum(file.stat().st_size for file in files) / 2**20:.0f} MiB in {folder}"
