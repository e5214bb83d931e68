"""The alerts fire in the faults they were written for: real workers, a real Prometheus, faults caused on purpose.

The deployment's rules with their durations divided by 60, so 10 minutes of an outage are 10 seconds here. What the
undivided rules make of an outage is in deploy/prometheus/tests: recordings of real workers, and series made by hand.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.kafka import LocalKafka
from deploy.process import LOOPBACK, wait_until
from deploy.redis import LocalRedis
from tests import PATIENCE_S
from tests.conftest import serving
from tests.deploy.assets import tiles
from tests.fixtures.records import Message
from tests.fixtures.running import Deployment, RunningWorker
from tests.integration.prometheus import LocalPrometheus

WAITS = {"NoWorkerReady", "WorkerNotReady", "SinkErrors", "CheckpointsFailing", "NoProgress", "PartitionsPaused"}


def page(worker: RunningWorker) -> str:
    return f"{LOOPBACK}:{worker.port}"


def until_firing(prometheus: LocalPrometheus, *wanted: str) -> None:
    """Wait until these alerts fire, whatever others do."""
    names = {f"Starstream{name}" for name in wanted}
    try:
        wait_until(lambda: names <= prometheus.firing(), PATIENCE_S, f"{sorted(names)}")
    except TimeoutError as late:
        raise AssertionError(f"{late}; firing: {sorted(prometheus.firing())}") from None


def until_quiet(prometheus: LocalPrometheus) -> None:
    """Wait until no alert fires."""
    try:
        wait_until(lambda: not prometheus.firing(), PATIENCE_S, "no alert")
    except TimeoutError as late:
        raise AssertionError(f"{late}; firing: {sorted(prometheus.firing())}") from None


@contextmanager
def trickle(deployment: Deployment) -> Iterator[threading.Lock]:
    """Produce a few reviews a second, so that there is always work to do; not while the lock is held."""
    stopped, pause = threading.Event(), threading.Lock()

    def produce() -> None:
        while not stopped.wait(0.3):
            with pause:
                deployment.produce(Message(b"love it"), Message(b"bad"))

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield pause
    finally:
        stopped.set()
        thread.join()


def test_alerts_fire_in_the_faults_they_were_written_for(
    stoppable_kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    with Deployment(stoppable_kafka, redis_server.url, tmp_path) as deployment:
        see_alerts_fire(deployment, stoppable_kafka)


def see_alerts_fire(deployment: Deployment, kafka: LocalKafka) -> None:
    with serving(LocalRedis()) as redis, serving(LocalPrometheus(speed=60)) as prometheus, trickle(deployment) as pause:
        settings = {"redis_url": redis.url, "breaker_consecutive": "30", "redis_timeout_s": "1"}
        workers = [deployment.worker(**settings).ready() for _ in range(2)]
        prometheus.watch(*map(page, workers))
        until_quiet(prometheus)

        redis.stop()
        until_firing(prometheus, *WAITS)
        redis.start()
        until_quiet(prometheus)

        with pause:
            kafka.stop()
            # Lag needs a broker; and partitions are paused only if it goes in the middle of a batch.
            until_firing(prometheus, *WAITS - {"NoProgress", "PartitionsPaused"})
            kafka.start()
        until_quiet(prometheus)

        workers[0].child.kill()
        prometheus.watch(page(workers[1]))  # as Compose's DNS does
        until_firing(prometheus, "WorkerDown")

        deployment.produce(*[Message(b"\xff\xfe")] * 200)
        until_firing(prometheus, "BreakerOpen", "NoProgress", "NoWorkerReady")

        assert any(sample.value for query in tiles() for sample in prometheus.query(query.expr))
        workers[1].child.kill()
        prometheus.watch()
        wait_until(lambda: not prometheus.query("up"), PATIENCE_S, "no target is left")
        past = {query.where: found for query in tiles() if (found := prometheus.query(query.expr))}
        assert all(sample.value == 0 for found in past.values() for sample in found), past
        until_firing(prometheus, "NoWorkerReady", "WorkerDown")
