"""Compiled programs kept on disk, so that the second run of the same shapes starts at once."""

import os
from pathlib import Path

import jax


def folder() -> Path:
    """Where compiled programs are kept: $UNDERTOW_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "undertow"
    return Path(os.environ.get("UNDERTOW_CACHE") or default) / "compiled"


def switch_on() -> None:
    """Use the cache in this process. The command line does; the library leaves JAX's configuration alone."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
