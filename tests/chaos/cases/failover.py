"""Cases in which another Redis server takes over, under load.

Replication is asynchronous, so the workers wait until a replica has each batch (WORKER_REDIS_WAIT_REPLICAS); without
that a failover forgets what the old primary had confirmed last.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Any, Final

import redis

from deploy.process import LOOPBACK, wait_until
from deploy.redis import LocalRedis
from tests.chaos.audit import Verdict
from tests.chaos.cases.play import Case
from tests.chaos.proxy import Proxy
from tests.chaos.reviews import mixed
from tests.chaos.scene import SETTLE_S, Scene
from tests.fixtures.clustered import cluster_with_replicas, fail_over
from tests.fixtures.sentinels import WatchedRedis


def redis_failover(scene: Scene) -> Verdict:
    """An address moves from the primary to a promoted replica three times under load; the old primary runs on as a
    replica, and the open connections still end there.
    """
    with ExitStack() as stack:
        servers = [stack.enter_context(LocalRedis(appendonly=True)) for _ in range(2)]
        clients = [stack.enter_context(redis.Redis.from_url(server.url, decode_responses=True)) for server in servers]
        _follow(clients[1], servers[0])
        address = stack.enter_context(Proxy(servers[0].port))
        url = f"redis://{LOOPBACK}:{address.port}/0"
        worker = scene.start("one", redis_url=url, redis_wait_replicas=1)
        for turn in range(3):
            old, new = turn % 2, (turn + 1) % 2
            before = scene.published()
            scene.send(mixed(scene.sent, 2_000, scene.random))
            scene.wait_output(before + 1)
            clients[new].replicaof("NO", "ONE")
            clients[old].replicaof(LOOPBACK, str(servers[new].port))
            scene.count_fault()
            scene.send(mixed(scene.sent, 500, scene.random))
            worker.wait_reason("redis", "redis: ")
            address.retarget(servers[new].port)
            scene.restored()
            scene.settle()
            scene.redis = clients[new]
        return scene.finish()


def _follow(replica: redis.Redis, primary: LocalRedis) -> None:
    replica.replicaof(LOOPBACK, str(primary.port))

    def linked() -> bool:
        info: dict[str, object] = dict(replica.info("replication"))
        return info["master_link_status"] == "up"

    wait_until(linked, SETTLE_S, "the replica")


def sentinel_failover(scene: Scene) -> Verdict:
    """kill -9 the primary that three Sentinels watch, twice under load; they promote a replica, and the old primary
    comes back as one.
    """
    with WatchedRedis() as watched:
        worker = scene.start("one", redis_url=watched.url, redis_wait_replicas=1)
        for _ in range(2):
            before = scene.published()
            scene.send(mixed(scene.sent, 3_000, scene.random))
            scene.wait_output(before + 1)
            scene.count_fault()
            new = watched.fail_over()
            scene.settle()
            worker.ready()
            scene.redis = redis.Redis.from_url(new.url, decode_responses=True)
        return scene.finish()


def redis_cluster(scene: Scene) -> Verdict:
    """In a Redis Cluster, where an app's summary and trend are on another server than its ratings: kill -9 a worker
    between the two, then half way through the second, and suspend one there until its partitions are another's. Then
    kill -9 a primary under load, so that its replica is promoted.
    """
    with cluster_with_replicas() as nodes:
        scene.settings |= {"redis_url": nodes[1].url, "redis_cluster": True, "redis_wait_replicas": 1}
        client: Any = redis.RedisCluster.from_url(nodes[1].url, decode_responses=True)
        scene.redis = client
        for point in ("uncounted", "half_counted"):
            dying = scene.start("dying", f"--fail={point}:die:3", instance_id="one", ready=False)
            scene.send(mixed(scene.sent, 1_000, scene.random))
            dying.wait_dead(-9)
            scene.count_fault()
        late = scene.start("late", "--fail=uncounted:stop:2", ready=False)
        late.wait_stopped()
        worker = scene.start("one", instance_id="one")
        scene.send(mixed(scene.sent, 1_000, scene.random))
        scene.settle()
        os.kill(late.child.pid, signal.SIGCONT)
        scene.count_fault()
        late.ready()
        before = scene.published()
        scene.send(mixed(scene.sent, 2_000, scene.random))
        scene.wait_output(before + 1)
        scene.count_fault()
        fail_over(nodes, nodes[0])
        scene.send(mixed(scene.sent, 500, scene.random))
        scene.settle()
        worker.ready()
        return scene.finish()


FAILOVER: Final = (Case(redis_failover), Case(sentinel_failover, nightly=True), Case(redis_cluster))
