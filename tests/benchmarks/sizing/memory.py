"""What a rating costs in Redis: a real redis-server, written through the worker's own store.

Owns two servers of its own, one after the other: a plain one, and a cluster of one node, where each rating is a call
and there are no summaries. CPU is read from `INFO cpu`, memory from `INFO memory`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import redis
from prometheus_client import CollectorRegistry

from deploy.process import wait_until
from deploy.redis import LocalRedis
from tests.benchmarks.corpus import Corpus
from tests.benchmarks.sizing.measured import RedisCost, RedisCosts
from tests.benchmarks.sizing.records import rated_reviews
from tests.fixtures.clustered import clustered_redis
from worker.clock import SystemClock
from worker.ops.metrics import Metrics
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings

_SLOTS: Final = 16_384  # of a Redis Cluster
_TOPIC_ID: Final = "q83vEjRWeJCrze8SNFZ4kA"  # 22 characters, as brokers give
_WARM_UP: Final = 1_000  # the script is loaded, connections and buffers are there


def redis_costs(corpus: Corpus, ratings: int) -> RedisCosts:
    """Write so many ratings into a plain server, then into a cluster, and return what each cost.

    Raises:
        LocalServiceError: there is no redis-server, or it did not start.
    """
    with LocalRedis() as server:
        version, single = _measured(server, corpus, ratings, cluster=False)
    with clustered_redis() as server:
        _serve_all_slots(server)
        _, cluster = _measured(server, corpus, ratings, cluster=True)
    return RedisCosts(version, ratings, single, cluster)


def settings_of(url: str, *, cluster: bool) -> WorkerSettings:
    """Return the worker's defaults on a Redis, whatever the environment says of what is measured."""
    fields = WorkerSettings.model_fields
    return WorkerSettings(
        _env_file=None,
        redis_url=url,
        redis_cluster=cluster,
        redis_summary=not cluster,
        redis_prefix=fields["redis_prefix"].default,
        redis_ttl_s=fields["redis_ttl_s"].default,
        output_topic=fields["output_topic"].default,
    )


def _measured(server: LocalRedis, corpus: Corpus, ratings: int, *, cluster: bool) -> tuple[str, RedisCost]:
    settings = settings_of(server.url, cluster=cluster)
    with _store(settings) as store, redis.Redis.from_url(server.url) as client:
        reviews = rated_reviews(corpus, _WARM_UP + ratings)
        store.write(list(islice(reviews, _WARM_UP)))
        before, cpu_before_s, client_s = _memory(client), _cpu_s(client), 0.0
        while batch := list(islice(reviews, settings.batch_reviews)):
            started_s = time.process_time()
            store.write(batch)
            client_s += time.process_time() - started_s
        stored = client.dbsize() - _WARM_UP
        cost = RedisCost(
            bytes_per_rating=(_memory(client) - before) / ratings,
            server_us=(_cpu_s(client) - cpu_before_s) * 1e6 / ratings,
            client_us=client_s * 1e6 / ratings,
        )
        if stored < ratings:
            raise AssertionError(f"{ratings} ratings made {stored} keys")
        return str(_info(client, "server")["redis_version"]), cost


@contextmanager
def _store(settings: WorkerSettings) -> Iterator[RedisStore]:
    store = RedisStore(
        settings, metrics=Metrics(CollectorRegistry()), clock=SystemClock(), topic_id=lambda _topic: _TOPIC_ID
    )
    try:
        yield store
    finally:
        store.close()


def _serve_all_slots(server: LocalRedis) -> None:
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.execute_command("CLUSTER ADDSLOTSRANGE", 0, _SLOTS - 1)
        wait_until(lambda: bool(client.cluster("INFO")["cluster_state"] == "ok"), 10, "the cluster")


def _info(client: redis.Redis, section: str) -> Any:
    return client.info(section)


def _memory(client: redis.Redis) -> int:
    """Return bytes of data with their share of the tables, without what connections hold."""
    found = client.memory_stats()
    return int(found["total.allocated"]) - int(found["clients.normal"])


def _cpu_s(client: redis.Redis) -> float:
    found = _info(client, "cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
