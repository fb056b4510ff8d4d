"""Killed with SIGKILL again and again, a search goes on to the bits of an uninterrupted one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import numpy as safetensors
from search_material import run, setup_of

from undertow.search.records import GENERATIONS, METRICS, STATE
from undertow.search.settings import Search
from undertow.training import journal

SEARCH = Search(members=4, epochs=3, generations=4, burn_in=1, cool_down=3, patience=9)

CHILD = """
import os, signal, sys, threading
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from search_material import run, setup_of
from test_search_resume import SEARCH
from undertow.experiments import cache
from undertow.search import records

cache.switch_on()
moment, write, count = sys.argv[2], records.checkpoint.write, [0]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def listen(progress):
    count[0] += 1
    if moment == "within a generation" and count[0] == 6:
        die()
    if moment == "at a random time" and count[0] == 1:
        threading.Timer(int.from_bytes(os.urandom(2)) / 2**16 * 0.3, die).start()

def dying(path, state, **options):
    if int(state.generation) == 3 and int(state.groups[0].epoch[0]) == int(state.ends) - 3:
        die()
    write(path, state, **options)

if moment == "before a generation's state":
    records.checkpoint.write = dying
else:
    records.CHECKPOINT_SECONDS, records.CHECKPOINT_SHARE = 0.0, 1e9
run(setup_of(SEARCH), Path(sys.argv[1]), listen=listen)
"""


def killed(folder, moment):
    """A child that goes on in `folder` and is killed; what it left."""
    rooms = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "training")]
    arguments = [sys.executable, "-c", CHILD, str(folder), moment, *rooms]
    child = subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=120, env=os.environ
    )
    allowed = {-signal.SIGKILL} | ({0} if moment == "at a random time" else set())
    assert child.returncode in allowed, child.stderr
    return journal.read(folder / METRICS), journal.read(folder / GENERATIONS)


def written(folder):
    """Everything a search leaves, but the clock: the state's arrays and the journals' lines."""
    arrays = safetensors.load_file(folder / STATE)
    lines = [
        {name: value for name, value in line.items() if name != "seconds"}
        for path in (METRICS, GENERATIONS)
        for line in journal.read(folder / path)
    ]
    return arrays, lines


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    run(setup_of(SEARCH), folder)
    return written(folder)


def same(ours, theirs):
    """Equality in which NaN equals itself, to the last bit."""
    assert {name: value.tobytes() for name, value in ours[0].items()} == {
        name: value.tobytes() for name, value in theirs[0].items()
    }
    assert repr(ours[1]) == repr(theirs[1])


def test_killed_again_and_again_it_ends_with_the_same_bits(tmp_path, straight):
    """Within a generation; after a generation's line, before its state; at a random time; with half-written lines left."""
    metrics, generations = killed(tmp_path, "within a generation")
    assert (len(metrics), len(generations)) == (6 * 4, 1)
    metrics, generations = killed(tmp_path, "before a generation's state")
    assert len(generations) == 3, "the line of generation 2 is there, the state that follows it is not"
    assert int(written(tmp_path)[0]["generation"]) == 2
    killed(tmp_path, "at a random time")
    for path in (METRICS, GENERATIONS):
        with open(tmp_path / path, "a", encoding="utf-8") as file:
            file.write('{"epoch": 3, "mem')
    run(setup_of(SEARCH), tmp_path)
    same(written(tmp_path), straight)


def test_a_search_that_has_ended_is_not_gone_on_with(tmp_path, straight):
    run(setup_of(SEARCH), tmp_path)
    same(written(tmp_path), straight)
    heard = []
    run(setup_of(SEARCH), tmp_path, listen=heard.append)
    assert heard == []
    same(written(tmp_path), straight)
