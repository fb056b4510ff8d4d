"""Members trained by Ray's workers: the same bits as in this process, whoever dies; and what a person is told."""

import json
import logging
import os
import signal
import socket
import threading
import warnings
from functools import partial

import pytest
from search_material import beginning, run, setup_of
from tiny_model import same_bits

from undertow.search.executor import InProcess, Work
from undertow.search.records import GENERATIONS, METRICS
from undertow.search.settings import Search
from undertow.vocabulary import UndertowError

ray = pytest.importorskip("ray")
ray_workers = pytest.importorskip("undertow.search.ray_workers")
cluster = pytest.importorskip("undertow.search.ray_workers.cluster")
crew_module = pytest.importorskip("undertow.search.ray_workers.crew")

RayWorkers = ray_workers.RayWorkers
SETUP = setup_of(Search(members=5, epochs=3, generations=3, cool_down=2, space={"tiny.width": (2, 3)}))


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def connected():
    """A cluster of this machine, that the executors find this process connected to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"os\.fork", category=RuntimeWarning)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=cluster.SMALLEST_STORE,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def hired(connected):
    """Two workers, and the list of what is said of them."""
    said = []
    workers = RayWorkers(work(), workers=2, say=said.append)
    yield workers, said
    workers.close()


@pytest.fixture
def crew(hired):
    """The two workers, of which nothing has been said yet."""
    hired[1].clear()
    return hired


@pytest.fixture
def modest(connected, monkeypatch):
    """Hires workers that leave the CPUs to those of other tests."""

    def requests_for(nodes, members, workers):
        requests = cluster.requests_for(nodes, members, workers)
        return [request._replace(resources={"num_cpus": 0.0}) for request in requests]

    monkeypatch.setattr(crew_module, "requests_for", requests_for)
    return partial(RayWorkers, work())


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in_process")
    return run(SETUP, folder), folder


def work() -> Work:
    groups, _ = beginning(SETUP)
    return Work(groups, SETUP.corruption, SETUP.data, at_once=1)


def lines(path):
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def check_same(outcome, folder, expected):
    there, there_folder = expected
    assert same_bits(outcome.state, there.state)
    assert lines(folder / METRICS) == lines(there_folder / METRICS)
    assert lines(folder / GENERATIONS) == lines(there_folder / GENERATIONS)


def test_a_search_is_the_same_to_the_bit(crew, in_process, tmp_path):
    workers, said = crew
    outcome = run(SETUP, tmp_path, executor_for=lambda _: workers)
    check_same(outcome, tmp_path, in_process)
    assert outcome.traces == (1, 1)
    assert len({place.process for place in workers.places} | {os.getpid()}) == 3
    assert workers.describe() == "5 members shared among 2 workers of Ray on 1 machine."
    assert said == []


def test_a_worker_killed_in_the_middle_of_a_generation_changes_nothing(crew, in_process, tmp_path):
    workers, said = crew
    victim = workers.places[0].process
    heard = []

    def listen(progress):
        heard.append(progress)
        if len(heard) == 3:  # a stop first, so that the death comes while its part is being trained
            os.kill(victim, signal.SIGSTOP)
            threading.Timer(0.5, os.kill, (victim, signal.SIGKILL)).start()

    outcome = run(SETUP, tmp_path, executor_for=lambda _: workers, listen=listen)
    check_same(outcome, tmp_path, in_process)
    assert len(said) == 1
    assert "a fresh one" in said[0]
    assert "members 0, " in said[0] or "members 1, " in said[0]
    assert len(workers.places) == 2
    assert victim not in {place.process for place in workers.places}


def test_where_a_machine_is_lost_another_worker_takes_over(modest, in_process, tmp_path, monkeypatch):
    monkeypatch.setattr(crew_module, "is_alive", lambda node: False)
    said = []
    workers = modest(workers=2, say=said.append)
    victim, heir = workers.places
    os.kill(victim.process, signal.SIGKILL)
    outcome = run(SETUP, tmp_path, executor_for=lambda _: workers)
    check_same(outcome, tmp_path, in_process)
    assert len(said) == 1
    assert "another one" in said[0]
    assert workers.places == [heir]
    os.kill(heir.process, signal.SIGKILL)
    with pytest.raises(UndertowError, match="The last worker of Ray died"):
        list(workers.advance(beginning(SETUP)[1].groups, [1.0]))
    workers.close()


def test_a_part_of_which_everybody_dies_ends_the_search(modest, monkeypatch):
    monkeypatch.setattr(crew_module, "MOST_DEATHS", 2)
    workers = modest(workers=1, say=lambda _: os.kill(workers.places[0].process, signal.SIGKILL))
    os.kill(workers.places[0].process, signal.SIGKILL)
    with pytest.raises(UndertowError, match=r"^2 workers of Ray died in one generation .* members \d, \d"):
        list(workers.advance(beginning(SETUP)[1].groups, [1.0]))
    workers.close()


def test_an_error_of_training_is_told_and_not_tried_again(crew):
    workers, said = crew
    first, second = beginning(SETUP)[1].groups
    with pytest.raises(UndertowError, match=r"\(ValueError: zip\(\) argument 2 is shorter"):
        list(workers.advance((first._replace(best_model=None), second), [1.0]))
    assert said == []


@pytest.mark.parametrize("is_first_here", [True, False])
def test_a_search_goes_on_elsewhere(crew, in_process, tmp_path, is_first_here):
    workers, _ = crew
    with_ray = lambda _: workers  # noqa: E731
    first, second = (InProcess, with_ray) if is_first_here else (with_ray, InProcess)

    def listen(progress):
        if progress.generation == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(SETUP, tmp_path, executor_for=first, listen=listen)
    outcome = run(SETUP, tmp_path, executor_for=second)
    check_same(outcome, tmp_path, in_process)


def test_strides_are_as_long_as_epochs_allow(crew, monkeypatch):
    workers, _ = crew
    states = beginning(SETUP)[1].groups
    monkeypatch.setattr(crew_module, "MOST_EPOCHS", 2)
    strides = list(workers.advance(states, [1.0] * 4))
    assert [len(stride.metrics) for stride in strides] == [1, 2, 1]
    assert [len(stride.seconds) for stride in strides] == [1, 2, 1]
    monkeypatch.setattr(crew_module, "LONGEST_SECONDS", 0.0)
    assert [len(stride.metrics) for stride in workers.advance(strides[-1].states, [1.0] * 2)] == [1, 1]


@pytest.mark.parametrize("address", ["nonsense", "head:99999", "nowhere.invalid:6379", "closed port"])
def test_an_address_that_does_not_answer(address, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    asked = f"127.0.0.1:{port}" if address == "closed port" else address
    with pytest.raises(UndertowError, match=f"No Ray cluster answers at '{asked}'"):
        RayWorkers(work(), asked, say=pytest.fail)


def node(name, *, alive=True, **resources):
    return {"NodeID": name, "NodeManagerHostname": f"host-{name}", "Alive": alive, "Resources": resources}


MACHINES = [node("a", CPU=8.0), node("b", CPU=6.0), node("gone", alive=False, CPU=8.0), node("none")]
GPUS = [node("a", CPU=8.0, GPU=2.0), node("b", CPU=8.0), node("c", CPU=1.0, GPU=1.0)]


@pytest.mark.parametrize(
    ("nodes", "members", "workers", "expected"),
    [
        (MACHINES, 20, None, [("a", {"num_cpus": 8}), ("b", {"num_cpus": 6})]),
        (MACHINES, 1, None, [("a", {"num_cpus": 8})]),
        (MACHINES, 20, 3, [("a", {"num_cpus": 4}), ("b", {"num_cpus": 6}), ("a", {"num_cpus": 4})]),
        (MACHINES[:1], 2, 5, [("a", {"num_cpus": 4})] * 2),
        ([node("a", CPU=2.0)], 20, 3, [("a", {"num_cpus": 0.6666})] * 3),
        (GPUS, 20, None, [(name, {"num_gpus": 1, "num_cpus": 0}) for name in "aac"]),
        (GPUS, 20, 2, [("a", {"num_gpus": 1, "num_cpus": 0})] * 2),
        (GPUS, 1, None, [("a", {"num_gpus": 1, "num_cpus": 0})]),
        ([node("none")], 20, None, []),
    ],
)
def test_whom_to_hire(nodes, members, workers, expected):
    requests = cluster.requests_for(nodes, members, workers)
    assert [(request.node, request.resources) for request in requests] == expected
    assert all(request.host == f"host-{request.node}" for request in requests)


def test_no_workers_at_all():
    with pytest.raises(UndertowError, match="0 workers can't train anything"):
        cluster.requests_for(MACHINES, 20, 0)


def test_a_cluster_without_anybody_is_said(connected, monkeypatch):
    monkeypatch.setattr(ray, "nodes", partial(list, [node("none")]))
    with pytest.raises(UndertowError, match="No worker of Ray could be started"):
        RayWorkers(work(), say=pytest.fail)
    assert ray.is_initialized()


def test_a_worker_that_cannot_come_is_left_out(modest, monkeypatch):
    (request,) = crew_module.requests_for(ray.nodes(), 5, 1)
    impossible = request._replace(resources={"num_cpus": 64.0})
    monkeypatch.setattr(crew_module, "requests_for", lambda *_: [impossible, request])
    said = []
    workers = modest(say=said.append)
    assert len(workers.places) == 1
    assert len(said) == 1
    assert said[0].startswith(f"A worker of Ray did not start on {request.host} (")
    assert "infeasible" in said[0]
    workers.close()


def test_workers_of_a_busy_cluster_do_not_come(hired, monkeypatch):
    monkeypatch.setattr(cluster, "START_SECONDS", 0.5)
    said = []
    with pytest.raises(UndertowError, match="No worker of Ray could be started"):
        RayWorkers(work(), say=said.append)
    assert len(said) == 1
    assert "no answer within 0.5 s; what it asks for may be in use" in said[0]
