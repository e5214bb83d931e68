"""`python -m tests.benchmarks.trend_cost`: what an app's trend costs Redis, and what other structures would.

One server, one run: the same reviews of one app, spread over 90 days of hours and three versions. The store writes them
with and without a trend; then the counts alone are written in each structure, one HINCRBY for each field of a review.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

import redis

from deploy.process import ServiceUnavailable
from deploy.redis import LocalRedis
from tests.benchmarks.machine import this_machine
from tests.benchmarks.redis_cost import made, measure, stored
from tests.benchmarks.report import markdown_table
from worker.clock import iso_utc
from worker.records import Rated
from worker.redis.trend import HOUR_S
from worker.settings import WorkerSettings

_DAYS: Final = 89
_VERSIONS: Final = 3


def history(count: int) -> list[Rated]:
    """Return reviews of one app with their own times and versions; each version has a third of the time."""
    rng = random.Random(11)  # noqa: S311 - the same reviews in each row
    now_s = time.time()
    rated = []
    for row in made(count, apps=1):
        ago_s = rng.random() * _DAYS * 24 * HOUR_S
        version = f"4.{_VERSIONS - 1 - int(ago_s / (_DAYS * 24 * HOUR_S) * _VERSIONS)}.0"
        rated.append(Rated(row.record, replace(row.rating, created_at=iso_utc(now_s - ago_s), app_version=version)))
    return rated


def _fields(structure: str, rating: Any) -> Iterator[tuple[str, str, int]]:
    """Yield key, field and number that a review adds."""
    hour, version, star = rating.created_at[:13], rating.app_version, rating.rating
    if structure == "a hash an hour: version:stars":
        yield f"trend:{{a}}:{hour}", f"{version}:{star}", 1
    elif structure == "a hash an hour: count and sum of a version":
        yield f"trend:{{a}}:{hour}", f"{version}:count", 1
        yield f"trend:{{a}}:{hour}", f"{version}:sum", star
    elif structure == "a hash a day: hour:version:stars":
        yield f"trend:{{a}}:{hour[:10]}", f"{hour[11:]}:{version}:{star}", 1
    else:
        yield f"trend:{{a}}:{hour}:{version}", str(star), 1


_STRUCTURES: Final = (
    "a hash an hour: version:stars",
    "a hash an hour: count and sum of a version",
    "a hash a day: hour:version:stars",
    "a hash an hour and version: stars",
)


def main() -> int:
    """Print the tables and return the exit code: 0, 2 when there is no redis-server."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trend_cost", description=__doc__)
    parser.add_argument("--reviews", type=int, default=100_000)
    given = parser.parse_args()
    try:
        with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
            _print(server.url, client, given.reviews)
    except ServiceUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _print(url: str, client: Any, count: int) -> None:
    rated = history(count)
    settings: Mapping[str, Mapping[str, Any]] = {"with a trend": {}, "without": {"trend_ttl_s": 0}}
    grid = [["row", "CPU us a rating", "memory, bytes a rating"]]
    totals = []
    for name, more in settings.items():
        send, store = stored(WorkerSettings(_env_file=None, redis_url=url, redis_form=2, **more))
        with closing(store):
            cost = measure(client, send, [rated])
        totals.append(cost.memory_bytes * count)
        grid.append([name, f"{cost.used_us[0]:.1f}", f"{cost.memory_bytes:.0f}"])
    sys.stdout.write(f"{this_machine()}\n{count} reviews of one app over {_DAYS} days, {_VERSIONS} versions\n\n")
    sys.stdout.write("\n".join(markdown_table(grid)) + f"\n\nthe app's trend: {totals[0] - totals[1]:,.0f} bytes\n\n")
    grid = [["structure", "HINCRBY a review", "keys", "bytes"]]
    for structure in _STRUCTURES:
        client.flushall()
        empty = client.info("memory")["used_memory"]
        commands = 0
        for start in range(0, count, 1000):
            pipeline = client.pipeline(transaction=False)
            for row in rated[start : start + 1000]:
                for key, field, by in _fields(structure, row.rating):
                    pipeline.hincrby(key, field, by)
                    pipeline.expire(key, 7_776_000)
                    commands += 1
            pipeline.execute()
        used = client.info("memory")["used_memory"] - empty
        grid.append([structure, f"{commands / count:.0f}", f"{client.dbsize():,}", f"{used:,}"])
    sys.stdout.write("\n".join(markdown_table(grid)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
