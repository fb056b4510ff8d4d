"""How long until something happens: `undertow --help`, and `undertow fit` with and without compiled programs on disk.

    python benchmarks/start_up.py [--repeats 3]

A fresh cache folder is used. "Trains after" is the time from the start of the process to the end of its first epoch, less the
time of a later epoch: imports, reading the trials, and compiling or loading the program.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COMMAND = [sys.executable, "-m", "undertow"]


def main():
    """Print medians and ranges."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "UNDERTOW_CACHE": str(folder / "cache")}
    subprocess.run([*COMMAND, "simulate", "lorenz", str(folder / "trials.nc")], check=True, env=environment)
    helps = [_seconds([*COMMAND, "--help"], environment) for _ in range(repeats)]
    print(f"--help: {_words(helps)}")
    print(f"fit, first time: trains after {_until_trained(folder, 'first', environment):.1f} s")
    print(
        f"fit, again: trains after {_words([_until_trained(folder, f'again{k}', environment) for k in range(repeats)])}"
    )


def _seconds(command, environment):
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _until_trained(folder, name, environment):
    """Seconds to the end of the first epoch, less a later one."""
    journal = folder / name / "metrics.jsonl"
    begun = time.perf_counter()
    command = [*COMMAND, "fit", "lfads", str(folder / "trials.nc"), "--out", str(folder / name), "--quiet"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while not (journal.exists() and journal.read_text().count("\n") >= 1):
        time.sleep(0.01)
    first = time.perf_counter() - begun
    while journal.read_text().count("\n") < 4:
        time.sleep(0.05)
    process.kill()
    seconds = [json.loads(line)["seconds"] for line in journal.read_text().splitlines()[:4]]
    return first - float(np.median(np.diff(seconds)))


def _words(seconds):
    return f"{np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
