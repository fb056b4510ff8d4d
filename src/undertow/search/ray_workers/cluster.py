"""Connecting to a Ray cluster, and hiring and dismissing its workers."""

import logging
import math
import os
import socket
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from undertow.search.parts import PartTrainer, Place, Settings
from undertow.vocabulary import UndertowError

START_SECONDS = 120.0
"""So long a worker may take to answer."""

ANSWER_SECONDS = 10.0
"""So long a cluster may take to accept a connection."""

LONGEST_REASON = 160

SMALLEST_STORE = 200 * 2**20
"""Bytes of the object store of a cluster started here, at least."""


class Request(NamedTuple):
    """What a worker is hired with: on which node, and what it takes of it."""

    node: str
    host: str
    resources: dict[str, float]


class Worker(NamedTuple):
    """A worker that has answered: its number, its actor, where it runs, and what it was hired with."""

    number: int
    actor: Any
    place: Place
    request: Request


def connect(address: str, store: int) -> bool:
    """Connect this process to a cluster, and say whether it was not connected before.

    Args:
        address: "local" (started here), "auto", or a cluster's address.
        store: bytes that the object store must hold, of a cluster started here.

    Raises:
        UndertowError: no cluster answers at `address`.
    """
    if ray.is_initialized():
        return False
    own = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = {"include_dashboard": False, "object_store_memory": max(SMALLEST_STORE, store)}
    elif address != "auto":
        _check_answers(address)
    try:
        with warnings.catch_warnings():
            # JAX warns of every fork; those of Ray's own processes become other programs at once.
            warnings.filterwarnings("ignore", message=r"os\.fork", category=RuntimeWarning)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, RayError, SystemExit) as error:
        reason = "nobody answered" if isinstance(error, SystemExit) else reason_of(error)
        raise UndertowError(
            f"Ray could not be reached at '{address}' ({reason}); start it with `ray start --head` and give the HOST:PORT that "
            "it names, set RAY_AUTH_MODE=token here if the cluster asks for a token, or use 'local'."
        ) from error
    return True


def leave(workers: Sequence[Worker], *, is_own: bool) -> None:
    """Dismiss the workers, and end the connection if it is this search's own."""
    if not ray.is_initialized():
        return
    for worker in workers:
        dismiss(worker)
    if is_own:
        ray.shutdown()


def requests_for(nodes: Sequence[dict], members: int, workers: int | None) -> list[Request]:
    """Whom to hire: one a GPU, or where there are none one a machine, or `workers` spread over the machines; at most `members`.

    Args:
        nodes: as `ray.nodes()` lists them.
        members: of the population.
        workers: at most so many.

    Raises:
        UndertowError: fewer than one worker.
    """
    if workers is not None and workers < 1:
        raise UndertowError(f"{workers} workers can't train anything; ask for 1 or more.")
    alive = [node for node in nodes if node["Alive"]]
    gpus = [node for node in alive for _ in range(_count(node, "GPU"))]
    machines = [node for node in alive if _count(node, "CPU")]
    if gpus:
        taken = gpus[: min(members, workers or len(gpus))]
        return [_request(node, num_gpus=1.0, num_cpus=0.0) for node in taken]
    most = min(members, workers or len(machines)) if machines else 0
    turns = [machines[turn % len(machines)] for turn in range(most)]
    return [_request(node, num_cpus=_share(_count(node, "CPU"), turns.count(node))) for node in turns]


def hire(requests: dict[int, Request], settings: Settings, say: Callable[[str], None]) -> list[Worker]:
    """Those of the workers asked for, by number, that answer in time; of the others `say` hears a sentence."""
    asked = {}
    for number, request in requests.items():
        actor = _actor(request, settings)
        asked[actor.place.remote()] = number, actor, request
    if asked:
        ray.wait(list(asked), num_returns=len(asked), timeout=START_SECONDS)
    hired = []
    for answer, (number, actor, request) in asked.items():
        try:
            hired.append(Worker(number, actor, ray.get(answer, timeout=0), request))
        except RayError as error:
            ray.kill(actor)
            is_late = isinstance(error, GetTimeoutError)
            late = f"no answer within {START_SECONDS:g} s; what it asks for may be in use"
            say(f"A worker of Ray did not start on {request.host} ({late if is_late else reason_of(error)}).")
    return hired


def dismiss(worker: Worker) -> None:
    """End a worker, dead or alive."""
    ray.kill(worker.actor)


def is_alive(node: str) -> bool:
    """Whether a node is still in the cluster."""
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


def reason_of(error: BaseException) -> str:
    """The line of an error that says most, or its beginning."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return textwrap.shorten(lines[-1].rstrip("."), LONGEST_REASON) if lines else type(error).__name__


def _check_answers(address: str) -> None:
    """Raise an `UndertowError` if nobody answers: Ray itself would wait for two minutes, and then end the process."""
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        if not place.hostname or not place.port:
            raise ValueError("it is not HOST:PORT")
        socket.create_connection((place.hostname, place.port), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UndertowError(
            f"No Ray cluster answers at '{address}' ({reason_of(error)}); give the HOST:PORT that `ray start --head` "
            "named, 'auto' on a machine of the cluster, or 'local'."
        ) from error


def _request(node: dict, **resources: float) -> Request:
    return Request(node["NodeID"], node["NodeManagerHostname"], resources)


def _count(node: dict, kind: str) -> int:
    return int(node["Resources"].get(kind, 0))


def _share(cpus: int, workers: int) -> float:
    """CPUs of each worker; Ray takes a whole number of them, or a fraction below 1."""
    return float(cpus // workers) if cpus >= workers else math.floor(1e4 * cpus / workers) / 1e4


def _actor(request: Request, settings: Settings) -> Any:
    """A worker on its way, which can import what this process can."""
    folders = dict.fromkeys(str(Path(entry).resolve()) for entry in sys.path if _is_brought(Path(entry)))
    environment = {"PYTHONPATH": os.pathsep.join([*folders, "${PYTHONPATH}"])}
    kind = ray.remote(PartTrainer).options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(request.node, soft=False),
        runtime_env={"env_vars": environment},
        **request.resources,
    )
    return kind.remote(settings)


def _is_brought(folder: Path) -> bool:
    """Whether modules are imported from this folder although it is none of the Python's own."""
    roots = {Path(root).resolve() for root in (sys.prefix, sys.base_prefix)}
    return folder.is_dir() and roots.isdisjoint({folder.resolve(), *folder.resolve().parents})
