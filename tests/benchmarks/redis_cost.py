"""`python -m tests.benchmarks.redis_cost`: what a stored rating costs Redis, in CPU of its server and in bytes.

One server, one run: the store's own writes in both forms (WORKER_REDIS_FORM), those to a cluster of one node, and a
pipeline of plain HSET and EXPIRE that has no fence, no summaries and no deletions. Ids are UUIDs, the topic has an id,
and the apps are few, as in the batches of a stream. Compare the rows of a run with each other; the machine decides on
the rest.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

import redis
from prometheus_client import CollectorRegistry

from deploy.process import ServiceUnavailable
from deploy.redis import LocalRedis
from schemas.rating import Rating, rating_key
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import markdown_table
from tests.fixtures.clustered import clustered_redis, serve_all_slots
from worker.clock import SystemClock
from worker.ops.metrics import Metrics
from worker.records import PlainRecord, Rated, source_of
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings

_BATCH: Final = 512  # reviews sent at once, as the loop does
_TOPIC_ID: Final = "ApbmQyETQ5q2JqmLzDfDBw"
_VERSION: Final = "20261127T025739Z-6b108b55"
_FIRST_MS: Final = round(time.time() * 1000) - 3_600_000

_ROWS: Final[Mapping[str, Mapping[str, Any]]] = {
    "form 1": {"redis_form": 1},
    "form 2": {"redis_form": 2},
    "form 2, no trends": {"redis_form": 2, "trend_ttl_s": 0},
    "form 2, no summaries": {"redis_form": 2, "redis_summary": False},
}
_CLUSTER_ROWS: Final[Mapping[str, Mapping[str, Any]]] = {
    f"cluster, {name}": {"redis_cluster": True, **_ROWS[name]} for name in ("form 2", "form 2, no summaries")
}

Send = Callable[[Sequence[Rated]], None]


class Cost(NamedTuple):
    """Microseconds of the server's CPU and bytes, a rating."""

    used_us: tuple[float, ...]  # CPU of the server, each time that they are written
    memory_bytes: float
    dataset_bytes: float  # without the tables of keys and of expiries


def made(count: int, *, apps: int, later: int = 0) -> list[Rated]:
    """Return ratings as the worker makes them; the same for the same arguments but for `later`, a number of offsets."""
    rng = random.Random(7)  # noqa: S311 - the same ratings in each row
    rated = []
    for number in range(count):
        shares = [rng.random() ** 4 for _ in range(5)]
        probabilities = [round(share / sum(shares), 6) for share in shares]
        star = max(range(5), key=probabilities.__getitem__) + 1
        record = PlainRecord("reviews", number % 6, number // 6 + later, _FIRST_MS + number + later)
        rating = Rating(
            rating=star,
            expected_rating=round(sum(label * share for label, share in enumerate(probabilities, 1)), 4),
            confidence=max(probabilities),
            uncertain=False,
            probabilities=probabilities,
            model_version=_VERSION,
            review_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            app_id=f"com.example.app{rng.randrange(apps)}",
            rated_at=f"2026-11-27T02:57:{number // _BATCH % 60:02}.123Z",
            source=source_of(record),
        )
        rated.append(Rated(record, rating))
    return rated


def measure(client: Any, send: Send, passes: Sequence[Sequence[Rated]]) -> Cost:
    """Write ratings, one pass after the other, into an empty server; return what each pass cost it."""
    client.flushall()
    empty = client.info("memory")
    used = []
    count = len(passes[0])
    for rated in passes:
        before = _cpu_s(client)
        for start in range(0, count, _BATCH):
            send(rated[start : start + _BATCH])
        used.append((_cpu_s(client) - before) / count * 1e6)
    full = client.info("memory")
    grown = [(full[name] - empty[name]) / count for name in ("used_memory", "used_memory_dataset")]
    return Cost(tuple(used), *grown)


def _cpu_s(client: Any) -> float:
    found = client.info("cpu")
    return float(found["used_cpu_user"] + found["used_cpu_sys"])


def stored(settings: WorkerSettings) -> tuple[Send, RedisStore]:
    """Return what writes as the loop does, and the store to close."""
    store = RedisStore(
        settings, metrics=Metrics(CollectorRegistry()), clock=SystemClock(), topic_id=lambda _topic: _TOPIC_ID
    )

    def send(rated: Sequence[Rated]) -> None:
        store.send(rated)
        store.flush()

    return send, store


def _plain(client: Any, ttl_s: int) -> Send:
    """Return what writes the fields of form 2 without a script, so without asking what is there."""

    def send(rated: Sequence[Rated]) -> None:
        pipeline = client.pipeline(transaction=False)
        for row in rated:
            rating, at = row.rating, row.record
            fields = {
                "app_id": rating.app_id,
                "rating": rating.rating,
                "expected_rating": rating.expected_rating,
                "confidence": rating.confidence,
                "probabilities": ",".join(map(repr, rating.probabilities)),
                "model_version": rating.model_version,
                "rated_at": rating.rated_at,
                "source": f"{at.topic}:{_TOPIC_ID}:{at.partition}:{at.offset}:{at.timestamp}:+",
            }
            key = rating_key(rating.review_id)
            pipeline.hset(key, mapping=fields)
            pipeline.expire(key, ttl_s)
        pipeline.execute()

    return send


def main() -> int:
    """Print the table and return the exit code: 0, 2 when there is no redis-server."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.redis_cost", description=__doc__)
    parser.add_argument("--reviews", type=int, default=60_000)
    parser.add_argument("--apps", type=int, default=7, help="how many apps they are spread over")
    given = parser.parse_args()
    try:
        ratings = made(given.reviews, apps=given.apps)
        # New; as after a crash; from newer positions.
        passes = (ratings, ratings, made(given.reviews, apps=given.apps, later=given.reviews))
        with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
            costs = _costs(server.url, client, passes, _ROWS)
            costs["plain HSET and EXPIRE"] = measure(client, _plain(client, 30 * 24 * 3600), passes)
            version: Any = client.info("server")
        with clustered_redis() as server, redis.Redis.from_url(server.url) as client:
            serve_all_slots(client)
            costs |= _costs(server.url, client, passes, _CLUSTER_ROWS)
    except ServiceUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    heading = ["row", "first", "again", "newer", "memory", "of it dataset"]
    grid = [
        [name, *(f"{value:.1f}" for value in cost.used_us), *(f"{value:.0f}" for value in cost[1:])]
        for name, cost in costs.items()
    ]
    lines = markdown_table([heading, *grid])
    sys.stdout.write(
        f"{this_machine()}\nRedis {version['redis_version']}, {given.reviews} ratings of {given.apps} apps; CPU us and "
        f"bytes a rating\n\n" + "\n".join(lines) + "\n"
    )
    return 0


def _costs(
    url: str, client: Any, passes: Sequence[Sequence[Rated]], rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, Cost]:
    costs = {}
    for name, more in rows.items():
        settings = WorkerSettings(_env_file=None, redis_url=url, **more)
        send, store = stored(settings)
        with closing(store):
            costs[name] = measure(client, send, passes)
    return costs


if __name__ == "__main__":
    sys.exit(main())
