"""Cases that stop services: the broker, Redis, the network to it, the dead-letter topic, the broker's disk."""

from __future__ import annotations

import resource
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.proxy import Proxy
from tests.chaos.reviews import garbage, mixed
from tests.chaos.scene import SESSION_S, Scene
from tests.chaos.workers import Worker
from tests.fixtures.quotas import limit_client

_QUOTA_S: Final = 400.0  # 2,000 ratings are about 1.4 MB, 70 s of the quota


def broker_crash(scene: Scene) -> Verdict:
    """kill -9 the broker and restart it, once while a worker's transaction is open and once under load; the workers
    keep running.
    """
    held = scene.start("held", "--fail=before_end:hold:2", ready=False)
    scene.start("other")
    held.ready()
    scene.send(mixed(scene.sent, 4_000, scene.random))
    held.wait_reached("before_end")
    _crash_broker(scene)
    held.release("before_end")
    scene.settle()
    scene.send(mixed(scene.sent, 4_000, scene.random))
    _crash_broker(scene)
    return scene.finish()


def answer_lost(scene: Scene) -> Verdict:
    """The broker commits a transaction and its answer is lost, three times. The worker cannot know whether it was
    committed, and must not rate a review twice.
    """
    lossy = [f"--fail=answer:lose:{call}" for call in (2, 5, 6)]
    scene.start("one", *lossy)
    for _ in range(4):
        scene.send(mixed(scene.sent, 1_000, scene.random))
        scene.settle()
    scene.kills = len(lossy)
    return scene.finish()


def _crash_broker(scene: Scene) -> None:
    scene.stage.kafka.kill()
    scene.count_fault()
    scene.stage.kafka.start()
    scene.restored()


def redis_restart(scene: Scene) -> Verdict:
    """kill -9 Redis (with its append-only file) three times under load, and restart it at once."""
    scene.start("one")
    for _ in range(3):
        before = scene.published()
        scene.send(mixed(scene.sent, 2_000, scene.random))
        scene.wait_output(before + 1)
        scene.stage.redis.kill()
        scene.count_fault()
        scene.stage.redis.start()
        scene.restored()
    return scene.finish()


def redis_away(scene: Scene) -> Verdict:
    """Redis is down for longer than the session time-out, under load: the worker reports why it is not ready, keeps its
    partitions, and continues when Redis is back.
    """
    worker = scene.start("patient")
    scene.send(mixed(scene.sent, 1_000, scene.random))
    scene.settle()
    scene.stage.redis.kill()
    scene.count_fault()
    scene.send(mixed(scene.sent, scene.stage.scaled(8_000, 40_000), scene.random))
    worker.wait_reason("redis", "refused")
    published = scene.published()
    _watch(worker, 2 * SESSION_S)
    assert scene.published() == published, "something was published while Redis was away"
    scene.stage.redis.start()
    scene.restored()
    scene.settle()
    assert worker.total("starstream_rebalances_total", event="lost") == 0, (
        "the worker lost its partitions while it waited"
    )
    return scene.finish()


def _watch(worker: Worker, seconds: float) -> None:
    """Let time pass, since the outage must be long; the worker must stay alive and report why it is not ready."""
    import time

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert "redis" in worker.reasons, f"{worker.name} does not report that Redis is away: {worker.reasons}"
        worker.record_memory()
        time.sleep(0.2)


def redis_slow(scene: Scene) -> Verdict:
    """Through a proxy Redis answers late, then later than the time-out, then not at all; then its connections are cut
    in the middle of writes, five times.
    """
    with Proxy(scene.stage.redis.port) as proxy:
        worker = scene.start("one", redis_url=f"redis://127.0.0.1:{proxy.port}/0", redis_timeout_s=1)
        proxy.slow(0.2)
        scene.count_fault()
        scene.send(mixed(scene.sent, 1_000, scene.random))
        scene.settle()
        proxy.slow(3.0)
        scene.count_fault()
        scene.send(mixed(scene.sent, 1_000, scene.random))
        worker.wait_reason("redis", "Timeout")
        proxy.heal()
        scene.restored()
        scene.settle()
        proxy.silence()
        scene.count_fault()
        scene.send(mixed(scene.sent, 1_000, scene.random))
        worker.wait_reason("redis", "Timeout")
        proxy.heal()
        scene.restored()
        scene.settle()
        for _ in range(5):
            before = scene.published()
            scene.send(mixed(scene.sent, 1_000, scene.random))
            scene.wait_output(before + 1)
            proxy.cut()
            scene.count_fault()
        return scene.finish()


def dlq_missing(scene: Scene) -> Verdict:
    """The dead-letter topic does not exist when the first invalid record arrives: the worker reports it and waits,
    skips nothing, and continues once the topic exists.
    """
    scene.delete_topic(scene.dead)
    worker = scene.start("one", ready=False)
    scene.send(mixed(scene.sent, 1_000, scene.random))
    scene.count_fault()
    worker.wait_reason("kafka", scene.dead)
    scene.send(garbage(number) for number in range(scene.sent, scene.sent + 20))
    scene.create_topic(scene.dead)
    scene.restored()
    return scene.finish()


def topics_late(scene: Scene) -> Verdict:
    """No topic exists when a static member starts; they are created one by one, the input last. It reports each time
    which one is missing, and starts to read without a restart.
    """
    for topic in (scene.input, scene.output, scene.dead):
        scene.delete_topic(topic)
    worker = scene.start("early", ready=False, instance_id="early")
    scene.count_fault()
    for topic in (scene.output, scene.dead, scene.input):
        worker.wait_reason("kafka", topic)
        scene.create_topic(topic)
        if topic == scene.input:
            scene.send(mixed(scene.sent, 1_000, scene.random))
    scene.restored()
    return scene.finish()


def disk_full(scene: Scene) -> Verdict:
    """The broker's disk refuses writes (a limit on its file size, set from outside): Kafka gives up its only log folder
    and exits. It is restarted without the limit.
    """
    worker = scene.start("one")
    scene.send(mixed(scene.sent, 1_000, scene.random))
    scene.settle()
    resource.prlimit(scene.stage.kafka.pid, resource.RLIMIT_FSIZE, (1024, 1024))
    scene.count_fault()
    scene.send(mixed(scene.sent, 2_000, scene.random), wait=False)
    scene.wait("the broker gave up", lambda: not scene.stage.kafka.running, 60)
    worker.wait_reason("kafka", "kafka")
    scene.stage.kafka.start()
    scene.restored()
    scene.send([])  # waits for the records in flight
    return scene.finish()


def quota(scene: Scene) -> Verdict:
    """The brokers allow the workers 20 kB/s: a batch of 2,000 takes longer than a transaction may. Batches get smaller
    until they go through in time.
    """
    limited = f"{scene.name}-limited"
    limit_client(scene.kafka.bootstrap, limited, 20_000)
    scene.send(mixed(scene.sent, 2_000, scene.random))
    scene.count_fault()
    scene.start("one", ready=False, kafka_client_id=limited, batch_reviews=2_000)
    scene.wait("all is committed", lambda: scene.lag() == 0, _QUOTA_S)
    return scene.finish()


AWAY: Final = (
    Case(broker_crash),
    Case(answer_lost),
    Case(redis_restart),
    Case(redis_away),
    Case(redis_slow, nightly=True),
    Case(dlq_missing),
    Case(topics_late, nightly=True),
    Case(disk_full, nightly=True),
    Case(quota, nightly=True),
)
