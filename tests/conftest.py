"""The suite runs in JAX's strict modes, with shapes checked at run time and compiled programs kept between runs."""

import gc
import os
from itertools import count
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_NUMPY_DTYPE_PROMOTION", "strict")
os.environ.setdefault(
    "JAX_DISABLE_MOST_OPTIMIZATIONS", "1"
)  # compiling, not running, is what takes time here
os.environ.setdefault("MPLBACKEND", "agg")

MAPS, TESTS = Path("/proc/self/maps"), count()
HOOK = install_import_hook(
    ["undertow.components", "undertow.models", "undertow.baselines", "undertow.training", "undertow.search"],
    "beartype.beartype",
)


@pytest.fixture(scope="session", autouse=True)
def _compiled_programs():
    from undertow.experiments import cache

    cache.switch_on()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; tests that need one skip where there is none."""
    folder = Path(os.environ.get("UNDERTOW_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings in {folder}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _seldom_collected():
    """Tracing makes very many small objects: look through them more seldom."""
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def _few_memory_maps():
    """Let compiled programs go before the process runs into the kernel's limit of 65,530 memory maps (each holds dozens)."""
    yield
    if next(TESTS) % 10 or not MAPS.exists():  # it takes a tenth of a second to look
        return
    if MAPS.read_bytes().count(b"\n") > 20_000:
        import jax

        jax.clear_caches()
