"""A storm: faults drawn at random by a seed, for as long as asked, with workers of both Kafka clients in one group."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.reviews import mixed
from tests.chaos.scene import SESSION_S, Scene
from tests.chaos.workers import Worker

SECONDS: Final = 60.0
SEED: Final = 1
_CLIENTS: Final = ("kafka-python", "confluent")
_WORKERS: Final = 3
_SLICE: Final = 400
_MOST_PARTITIONS: Final = 12
_SETTLE_S: Final = 600.0


def storm_case(seconds: float = SECONDS, seed: int = SEED) -> Case:
    """Return a storm of this length; a seed draws the same faults again, though not at the same moments."""

    def storm(scene: Scene) -> Verdict:
        """Faults drawn at random strike three workers of both clients, Redis and the broker under steady load: kill -9,
        SIGTERM, SIGSTOP past the session, restarts and silences of the services, partitions added.
        """
        scene.random.seed(seed)
        for number in range(_WORKERS):
            scene.start("worker", ready=number == _WORKERS - 1, kafka_client=_CLIENTS[number % 2])
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            before = scene.published()
            scene.send(mixed(scene.sent, _SLICE, scene.random), wait=False)
            fault = scene.random.choice(_FAULTS)
            fault(scene)
            scene.count_fault()
            while len(scene.alive) < _WORKERS:
                scene.start("worker", ready=False, kafka_client=scene.random.choice(_CLIENTS))
            scene.wait_output(before + 1, _SETTLE_S)
            print(f"    {fault.__name__}: {scene.sent} produced, lag {scene.lag()}", flush=True)
        scene.send([])
        scene.settle(_SETTLE_S)
        return scene.finish()

    return Case(storm)


def _one_of(scene: Scene) -> Worker:
    return scene.random.choice(scene.alive)


def _kill_worker(scene: Scene) -> None:
    _one_of(scene).child.kill()


def _drain_worker(scene: Scene) -> None:
    _one_of(scene).ready().drain()


def _suspend_worker(scene: Scene) -> None:
    worker = _one_of(scene)
    worker.child.suspend()
    time.sleep(scene.random.uniform(1, 2 * SESSION_S))  # the fault itself, not a wait
    worker.child.resume()


def _restart_redis(scene: Scene) -> None:
    scene.stage.redis.kill()
    time.sleep(scene.random.uniform(0, SESSION_S))
    scene.stage.redis.start()


def _suspend_redis(scene: Scene) -> None:
    scene.stage.redis.suspend()
    time.sleep(scene.random.uniform(0.5, SESSION_S))
    scene.stage.redis.resume()


def _crash_broker(scene: Scene) -> None:
    scene.stage.kafka.kill()
    scene.stage.kafka.start()


def _suspend_broker(scene: Scene) -> None:
    scene.stage.kafka.suspend()
    time.sleep(scene.random.uniform(0.5, SESSION_S))
    scene.stage.kafka.resume()


def _add_partition(scene: Scene) -> None:
    if scene.topics[scene.input] < _MOST_PARTITIONS:
        scene.send([])
        scene.settle(_SETTLE_S)  # versions of a review in two partitions have no order
        scene.add_partitions(scene.topics[scene.input] + 1)


_FAULTS: Final[tuple[Callable[[Scene], None], ...]] = (
    _kill_worker,
    _drain_worker,
    _suspend_worker,
    _restart_redis,
    _suspend_redis,
    _crash_broker,
    _suspend_broker,
    _add_partition,
)
