"""Services that are unavailable: the worker reports it and waits, and nothing is lost or rated twice afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, free_port
from deploy.redis import LocalRedis
from tests.fixtures.markers import log_length, markers_lost
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from tests.fixtures.shared_kafka import SharedKafka
from worker.errors import ExitCode

_TRIES = 3


def messages(start: int, count: int) -> list[Message]:
    return [
        Message(b"love it" if number % 2 else b"bad", f"r{number}".encode()) for number in range(start, start + count)
    ]


@pytest.fixture
def own(kafka: SharedKafka, own_redis: LocalRedis, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on that Redis."""
    with Deployment(kafka, own_redis.url, tmp_path) as made:
        yield made


def assert_all(deployment: Deployment, count: int, *, once: bool = True) -> None:
    """Every message is in Redis and on the output topic, and there exactly once unless delivered at least once."""
    ids = {f"r{number}" for number in range(count)}
    assert deployment.stored_ids() == ids
    found = Counter(record.id for record in deployment.read(deployment.output))
    assert set(found) == ids
    assert not once or max(found.values()) == 1


def not_ready(worker: RunningWorker, part: str, words: str) -> None:
    worker.until(lambda: words in worker.reasons.get(part, ""), f"{part}: {words}")
    assert worker.get("/readyz")[0] == 503
    assert worker.get("/livez")[0] == 200


def test_redis_that_is_down_at_start_is_awaited(own: Deployment, own_redis: LocalRedis) -> None:
    own_redis.stop()
    worker = own.worker()
    not_ready(worker, "redis", "WORKER_REDIS_URL")
    own.produce(*messages(0, 50))
    assert len(worker.said("waiting")) == 1, "logged once, not at every attempt"
    own_redis.start()
    worker.ready()
    worker.until(lambda: own.lag() == 0, "all committed")
    assert_all(own, 50)
    assert worker.stop() == ExitCode.OK


@pytest.mark.parametrize("end", ["stop", "suspend"])
def test_nothing_is_lost_when_redis_stops_while_the_stream_runs(
    end: str, own: Deployment, own_redis: LocalRedis
) -> None:
    worker = own.worker(redis_timeout_s="1").ready()
    own.produce(*messages(0, 500))
    worker.until(lambda: worker.total("starstream_reviews_settled_total") > 0, "some reviews are committed")
    getattr(own_redis, end)()
    own.produce(*messages(500, 500))
    not_ready(worker, "redis", "redis: ")
    assert worker.total("starstream_partitions_paused") in {0, 6}
    before = own.lag()
    assert before > 0
    if end == "suspend":
        own_redis.resume()
    else:
        own_redis.start()
    worker.until(lambda: own.lag() == 0, "all committed")
    worker.ready()
    assert_all(own, 1000)
    assert worker.total("starstream_partitions_paused") == 0
    assert worker.total("starstream_sink_errors_total", sink="redis", kind="transient") >= 1
    assert worker.stop() == ExitCode.OK


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("why", ["Redis is away", "Redis is away at the start", "the breaker is open"])
def test_lag_is_the_groups_while_a_worker_holds(why: str, client: str, own: Deployment, own_redis: LocalRedis) -> None:
    """A worker that holds fetches nothing, so what it has fetched says nothing about what waits."""
    at_start = why.endswith("start")
    if at_start:
        own_redis.stop()
    worker = own.worker(kafka_client=client, redis_timeout_s="1", breaker_consecutive="20")
    if not at_start:
        worker.ready()
        own.produce(*messages(0, 50))
        worker.until(lambda: own.lag() == 0, "all committed")
        own_redis.stop() if why == "Redis is away" else own.produce(*[Message(b"\xff")] * 50)
    own.produce(*messages(50, 5000))
    worker.until(lambda: worker.total("starstream_consumer_lag_records") == own.lag() >= 5000, "the group's lag")
    worker.until(lambda: worker.total("starstream_consumer_behind_seconds") > 6 * 5, "five seconds behind, and more")
    if why != "the breaker is open":
        own_redis.start()
        worker.until(lambda: own.lag() == worker.total("starstream_consumer_lag_records") == 0, "no lag")
        worker.until(lambda: worker.total("starstream_consumer_behind_seconds") == 0, "not behind")


def test_nothing_is_lost_when_kafka_crashes_while_the_stream_runs(
    stoppable_kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    for _ in range(_TRIES):
        with (
            Deployment(stoppable_kafka, redis_server.url, tmp_path) as exactly_once,
            Deployment(stoppable_kafka, redis_server.url, tmp_path) as at_least_once,
        ):
            if crashes_and_loses_nothing(stoppable_kafka, exactly_once, at_least_once):
                return
    pytest.fail(f"the broker lost the markers of a transaction {_TRIES} times in a row")


def crashes_and_loses_nothing(broker: LocalKafka, exactly_once: Deployment, at_least_once: Deployment) -> bool:
    """Crash the broker; False when its own fault (lost markers, which an operator must repair) prevents the end."""
    since = log_length(broker)
    running = {
        deployment: deployment.worker(delivery=delivery, batch_reviews=100).ready()
        for deployment, delivery in ((exactly_once, "exactly_once"), (at_least_once, "at_least_once"))
    }
    for deployment, worker in running.items():
        deployment.produce(*messages(0, 2000))
        worker.until(partial(worker.total, "starstream_reviews_settled_total"), "some reviews are committed")
    broker.kill()
    for worker in running.values():
        # Either the brokers do not answer, or the loop is in a call of the client that takes no timeout.
        worker.until(lambda worker=worker: worker.get("/readyz")[0] == 503, "not ready")  # type: ignore[misc]
        assert {"kafka", "loop"} & set(worker.reasons)
        assert worker.get("/livez")[0] == 200
    broker.start()
    for deployment, worker in running.items():
        deployment.produce(*messages(2000, 500))
        try:
            worker.until(lambda deployment=deployment: deployment.lag() == 0, "all committed")  # type: ignore[misc]
        except AssertionError:
            if markers_lost(broker, since):
                return False
            raise
        worker.ready()
        assert_all(deployment, 2500, once=deployment is exactly_once)
        assert worker.stop() == ExitCode.OK
    return True


def test_kafka_that_is_down_at_start_is_awaited_without_leaks(deployment: Deployment) -> None:
    """A failed attempt must close its thread and sockets: a broker may be down for hours."""
    closed = f"{LOOPBACK}:{free_port()}"
    worker = deployment.worker(kafka_bootstrap_servers=closed, request_timeout_s="1")
    not_ready(worker, "kafka", closed)
    process = psutil.Process(worker.child.pid)
    sockets_and_threads = process.num_fds() + process.num_threads()
    worker.until(lambda: time.time() - process.create_time() > 10, "ten seconds of attempts")
    assert process.num_fds() + process.num_threads() <= sockets_and_threads + 14  # one attempt's; ten leave 50
    assert worker.stop() == ExitCode.OK
