"""Several workers of one group: real processes that share partitions, are killed, and start again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from deploy.process import wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker, completed
from tests.fixtures.shared_kafka import SharedKafka
from worker.errors import ExitCode


def messages(start: int, count: int) -> list[Message]:
    return [Message(b"love it", f"r{number}".encode()) for number in range(start, start + count)]


def assert_once(deployment: Deployment, count: int) -> None:
    """Every message is in Redis, and on the output topic exactly once."""
    ids = {f"r{number}" for number in range(count)}
    assert deployment.stored_ids() == ids
    assert sorted(record.id for record in deployment.read(deployment.output)) == sorted(ids)


def children(worker: RunningWorker) -> list[int]:
    """Return the process ids of a supervisor's children, in the order of their slots."""
    started = {event["slot"]: event["child_pid"] for event in worker.said("process_started")}
    return [started[slot] for slot in sorted(started)]


@pytest.mark.parametrize("folders", ["one", "two"])
def test_workers_of_one_host_name_do_not_fence_one_another(
    folders: str, deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second starts while the first runs: their transactional ids must differ, also in containers of one name."""
    workers = [deployment.worker().ready()]
    if folders == "two":
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    workers.append(deployment.worker().ready())
    deployment.produce(*messages(0, 600))
    workers[0].until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 600)
    assert [event for worker in workers for event in worker.said("transaction_failed")] == []
    assert [worker.total("starstream_partitions_assigned") for worker in workers] == [3, 3]
    assert [worker.stop() for worker in workers] == [ExitCode.OK, ExitCode.OK]


def test_a_child_that_is_killed_is_started_again_and_all_end_with_a_killed_supervisor(deployment: Deployment) -> None:
    worker = deployment.worker("--processes", "2").ready()
    before = children(worker)
    deployment.produce(*messages(0, 300))
    os.kill(before[1], signal.SIGKILL)
    worker.until(lambda: len(worker.said("process_started")) == 3, "a new child")
    deployment.produce(*messages(300, 300))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 600)
    worker.ready()
    after = children(worker)
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert not psutil.pid_exists(before[1])
    running = [psutil.Process(pid) for pid in after]
    os.kill(worker.child.pid, signal.SIGKILL)
    _, left = psutil.wait_procs(running, timeout=PATIENCE_S)
    assert left == []


class OnePartition(Deployment):
    partitions = (1, 3, 1)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_surplus_process_stands_by_and_takes_over(
    client: str, kafka: SharedKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    with OnePartition(kafka, redis_server.url, tmp_path) as deployment:
        worker = deployment.worker("--processes", "2", kafka_client=client).ready()
        idle: list[int] = []

        def noted() -> bool:
            notes = json.loads(worker.get("/readyz")[1])["notes"]
            idle[:] = [int(part[0]) for part, text in notes.items() if text == "no partitions: standing by"]
            return len(idle) == 1

        worker.until(noted, "one process stands by")
        deployment.produce(*messages(0, 100))
        worker.until(lambda: deployment.lag() == 0, "all committed")
        os.kill(children(worker)[1 - idle[0]], signal.SIGTERM)  # it leaves the group, and is started again
        deployment.produce(*messages(100, 100))
        worker.until(lambda: deployment.lag() == 0, "all committed")
        assert_once(deployment, 200)
        worker.until(lambda: len(worker.said("standing_by")) == 2, "the new process stands by")


def sigterm_is_pending(pid: int) -> bool:
    """Whether a process that is stopped has been sent SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return bool(int(status.partition("ShdPnd:")[2].split()[0], 16) >> (signal.SIGTERM - 1) & 1)


def test_a_second_signal_kills_the_children_at_once(deployment: Deployment) -> None:
    worker = deployment.worker("--processes", "2", "--drain-deadline-s=600", "--max-poll-interval-s=900").ready()
    pids = children(worker)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # they will not drain
    # A process that is not stopped yet would handle SIGTERM first: it has the lower number.
    wait_until(lambda: {psutil.Process(pid).status() for pid in pids} == {psutil.STATUS_STOPPED}, PATIENCE_S, "stopped")
    os.kill(worker.child.pid, signal.SIGTERM)
    wait_until(lambda: all(sigterm_is_pending(pid) for pid in pids), PATIENCE_S, "the first signal passed on")
    assert worker.child.returncode is None
    os.kill(worker.child.pid, signal.SIGTERM)
    assert worker.ends() == ExitCode.INTERRUPTED
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), PATIENCE_S, "the children's end")


def test_another_worker_finishes_what_a_killed_one_left(deployment: Deployment) -> None:
    first = deployment.worker().ready()
    deployment.produce(*messages(0, 3000))
    first.until(lambda: first.total("starstream_reviews_settled_total") > 0, "some reviews are committed")
    first.child.kill()
    second = deployment.worker()
    second.until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 3000)


def test_a_worker_of_kip_848_that_is_killed_leaves_its_partitions_to_the_other(deployment: Deployment) -> None:
    deployment.settings |= {"kafka_client": "confluent", "kafka_group_protocol": "consumer"}
    first, second = [deployment.worker().ready() for _ in range(2)]
    members = json.loads(completed("status", "--json", **deployment.settings).stdout)["group"]["members"]
    assert len(members) == 2
    deployment.produce(*messages(0, 300))
    os.kill(first.child.pid, signal.SIGKILL)
    deployment.produce(*messages(300, 300))
    second.until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 600)
    assert second.total("starstream_partitions_assigned") == 6


def test_a_static_worker_of_kip_848_that_is_killed_waits_for_the_end_of_its_own_session(deployment: Deployment) -> None:
    """The brokers refuse its instance id until then, and librdkafka reports that as fatal."""
    deployment.settings |= {"kafka_client": "confluent", "kafka_group_protocol": "consumer", "instance_id": "one"}
    first = deployment.worker().ready()
    deployment.produce(*messages(0, 300))
    second = deployment.worker()
    second.until(lambda: "is held by an earlier member" in str(second.reasons), "it says what it waits for")
    os.kill(first.child.pid, signal.SIGKILL)
    deployment.produce(*messages(300, 300))
    second.until(lambda: deployment.lag() == 0, "all committed")
    second.ready()
    assert_once(deployment, 600)


def test_a_live_group_moves_from_kafka_python_to_kip_848_worker_by_worker(deployment: Deployment) -> None:
    """The brokers convert the group when the first member of the new protocol joins."""
    old = [deployment.worker().ready() for _ in range(2)]
    deployment.produce(*messages(0, 300))
    new = []
    for number, leaving in enumerate(old):
        new.append(kip_848(deployment).ready())
        deployment.produce(*messages(300 + 300 * number, 300))
        assert leaving.stop() == ExitCode.OK
    deployment.produce(*messages(900, 300))
    new[0].until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 1200)
    new[0].until(lambda: sum(w.total("starstream_partitions_assigned") for w in new) == 6, "all partitions are theirs")
    assert [worker.stop() for worker in new] == [ExitCode.OK] * 2


def test_a_group_of_librdkafka_moves_to_kip_848_once_it_is_empty(deployment: Deployment) -> None:
    """Its sticky assignor keeps notes in the assignments, and brokers do not convert a group with such."""
    old = [deployment.worker(kafka_client="confluent").ready() for _ in range(2)]
    deployment.produce(*messages(0, 300))
    refused = kip_848(deployment)
    assert refused.ends() == ExitCode.KAFKA
    assert "deploy/README.md" in refused.child.log_tail()
    assert [worker.stop() for worker in old] == [ExitCode.OK] * 2
    deployment.produce(*messages(300, 300))
    new = kip_848(deployment).ready()
    new.until(lambda: deployment.lag() == 0, "all committed")
    assert_once(deployment, 600)


def kip_848(deployment: Deployment) -> RunningWorker:
    return deployment.worker(kafka_client="confluent", kafka_group_protocol="consumer")
