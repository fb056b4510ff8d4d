"""An environment with the benchmark's reference implementation, nlb_tools, made to run under a pandas of today.

nlb_tools pins pandas to 1.3 and older, so it is installed without its requirements, and a copy of it in a temporary folder is
changed in the few lines that newer versions of pandas refuse (`CHANGES`). Nothing that it computes is changed.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

REQUIREMENTS = ("pandas<3", "numpy", "scipy", "scikit-learn", "h5py", "pynwb")
SIDE = Path(__file__).with_name("nlb_reference_side.py")
CHANGES = (
    # pandas may return a view that can't be written to
    ("arr = self.data[signal_type].to_numpy()", "arr = self.data[signal_type].to_numpy().copy()"),
    # the versions it was written for sort joined clocks
    (
        "data = pd.concat(data_list, axis=1)\n        data.index.name",
        "data = pd.concat(data_list, axis=1).sort_index()\n        data.index.name",
    ),
    # the frequency of an index that was concatenated can't be set any more; nothing reads it
    ('self.data.index.freq = f"{target_bin}ms"', "pass"),
)


class Reference:
    """Runs jobs of `nlb_reference_side.py`; `python` has nlb_tools, or None: an environment is made in `folder`."""

    def __init__(self, folder: Path, python: str | None):
        self.folder = folder
        self.python = python or str(_made(folder / "environment"))
        found = subprocess.run(
            [self.python, "-c", "import importlib.util as i; print(i.find_spec('nlb_tools').origin)"],
            capture_output=True,
            text=True,
            check=True,
        )
        shutil.copytree(Path(found.stdout.strip()).parent, folder / "tools" / "nlb_tools")
        loader = folder / "tools" / "nlb_tools" / "nwb_interface.py"
        source = loader.read_text()
        for before, after in CHANGES:
            if before not in source:
                raise SystemExit(f"This version of nlb_tools has no line '{before}'; 0.0.4 is known to work.")
            source = source.replace(before, after)
        loader.write_text(source)

    def run(self, jobs: list[dict]) -> dict[str, float]:
        """Run `jobs` in one process; its seconds and the peak of its memory, as `measured`."""
        path = self.folder / "jobs.json"
        path.write_text(json.dumps({"tools": str(self.folder / "tools"), "jobs": jobs}))
        return measured([self.python, str(SIDE), str(path)])


def measured(command: list[str]) -> dict[str, float]:
    """Run a command to its end: its seconds, and the peak resident memory in MiB of it or the largest process it started."""
    begun = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {"seconds": time.perf_counter() - begun, "peak": used.ru_maxrss / unit}


def _made(folder: Path) -> Path:
    """The Python of a fresh environment with nlb_tools."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *REQUIREMENTS], check=True)
    subprocess.run([*install, "--no-deps", "nlb_tools"], check=True)
    return python
