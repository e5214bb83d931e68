"""A topic that the worker may not write, or that is missing: it stays up, says which, and goes on once it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.redis import LocalRedis
from tests.conftest import serving
from tests.fixtures.guarded import SEE, WRITE, Guarded
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from worker.errors import ExitCode

each_client = pytest.mark.parametrize("client", ["kafka-python", "confluent"])


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    made = Guarded()
    with serving(made.broker):
        yield made


def produce_and_await(deployment: Deployment, worker: RunningWorker, start: int) -> None:
    """Produce 100 more reviews, and wait until all are committed, each once."""
    deployment.produce(*(Message(b"love it", f"r{number}".encode()) for number in range(start, start + 100)))
    worker.until(lambda: deployment.lag() == 0, "all committed")
    ids = sorted(f"r{number}" for number in range(start + 100))
    assert sorted(record.id for record in deployment.read(deployment.output)) == ids


def until_named(worker: RunningWorker, topic: str) -> None:
    worker.until(lambda: topic in worker.reasons.get("kafka", ""), f"{topic} named on /readyz")
    assert worker.child.returncode is None


@each_client
@pytest.mark.parametrize("topic", ["output", "dead"])
def test_a_forbidden_topic_is_found_at_start_and_later(
    topic: str, client: str, guarded: Guarded, redis_server: LocalRedis, tmp_path: Path
) -> None:
    with Deployment(guarded.broker, redis_server.url, tmp_path) as deployment:
        name = getattr(deployment, topic)
        guarded.allow(name, SEE)
        worker = deployment.worker(kafka_client=client, request_timeout_s="5", **guarded.login)
        until_named(worker, name)
        guarded.allow(name, SEE, WRITE)
        worker.ready()
        produce_and_await(deployment, worker, 0)
        guarded.allow(name, SEE)
        deployment.produce(Message(b"\xff", b"bad"), Message(b"good", b"r100"))
        until_named(worker, name)
        assert deployment.lag() > 0
        guarded.allow(name, SEE, WRITE)
        worker.ready()
        worker.until(lambda: deployment.lag() == 0, "all committed")
        assert len(deployment.read(deployment.output)) == 101
        assert len(deployment.read(deployment.dead)) == 1
        assert worker.stop() == ExitCode.OK


@each_client
def test_a_missing_topic_is_found_at_start(client: str, deployment: Deployment) -> None:
    late = f"{deployment.output}-late"
    worker = deployment.worker(kafka_client=client, output_topic=late)
    until_named(worker, late)
    deployment.kafka.create_topics({late: 3})
    deployment.output = late
    worker.ready()
    produce_and_await(deployment, worker, 0)
    assert worker.stop() == ExitCode.OK
