"""`python -m tests.benchmarks.trend_memory`: what the trend of an app takes in Redis, by reviews and by versions.

Reviews are spread evenly over 90 days, so that every hour has every version and star that the reviews suffice for: a
real app, which is quiet at night, takes less. The fields of a million reviews are written as they add up; first some
reviews are written by the store itself, and must give the same keys, fields and counts, or the command ends with 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import redis

from deploy.process import ServiceUnavailable
from deploy.redis import LocalRedis
from tests.benchmarks.machine import this_machine
from tests.benchmarks.redis_cost import made, stored
from tests.benchmarks.report import markdown_table
from worker.clock import iso_utc
from worker.records import Rated
from worker.redis.trend import DAY_S, HOUR_S, trend_key
from worker.settings import WorkerSettings

DAYS: Final = 90
_DAY_HOURS: Final = DAY_S // HOUR_S
_STARS: Final = (0.25, 0.07, 0.08, 0.15, 0.45)  # shares of 1 to 5; with enough reviews every hour has all
# Versions at once, how many fields Redis keeps in a hash's compact form, share of the reviews.
_ROWS: Final = ((1, 512, 1.0), (3, 512, 1.0), (10, 512, 1.0), (10, 2048, 1.0), (3, 512, 0.1), (3, 512, 0.01))
_TRIED: Final = 5_000  # reviews that the store writes, too
_BATCH: Final = 500


class Cell(NamedTuple):
    """What is counted: an hour since 1970, a version, stars."""

    hour: int
    version: str
    star: int


class Trend(NamedTuple):
    """What was measured of one app."""

    versions: int
    compact: int
    reviews: int
    keys: int
    fields: int
    bytes: int

    def cells(self) -> list[str]:
        """Return the row of the table."""
        figures = (self.versions, self.compact, self.reviews, self.keys, self.fields, self.bytes)
        return [*(f"{value:,}" for value in figures), f"{self.bytes / (DAYS * _DAY_HOURS):,.0f}"]


def reviews_of(count: int, versions: int, end_s: float) -> Iterator[Cell]:
    """Yield the reviews of an app, the same in each run but for the time."""
    rng = np.random.default_rng(13)
    last = int(end_s // HOUR_S)
    hours = last - rng.integers(0, DAYS * _DAY_HOURS - 1, count)
    numbers = rng.integers(0, versions, count)
    stars = rng.choice(len(_STARS), count, p=_STARS) + 1
    for hour, number, star in zip(hours.tolist(), numbers.tolist(), stars.tolist(), strict=True):
        yield Cell(hour, f"4.{number}.0", star)


def write(client: Any, cells: Counter[Cell], app: str) -> None:
    """Write what reviews add up to, under the keys and fields of a trend."""
    pipeline = client.pipeline(transaction=False)
    for cell, count in cells.items():
        day, hour = divmod(cell.hour, _DAY_HOURS)
        pipeline.hincrby(trend_key(app, day), f"{hour:02}:{cell.version}:{cell.star}", count)
    pipeline.execute()


def measure(client: Any, count: int, versions: int, compact: int) -> Trend:
    """Write the reviews of one app into an empty server, and return what its trend takes."""
    client.flushall()
    client.config_set("hash-max-listpack-entries", compact)
    write(client, Counter(reviews_of(count, versions, time.time())), "com.example.app0")
    keys = list(client.scan_iter("trend:*", count=1000))
    fields = sum(client.hlen(key) for key in keys)
    return Trend(versions, compact, count, len(keys), fields, sum(client.memory_usage(key, samples=0) for key in keys))


def store_writes_the_same(url: str, client: Any) -> bool:
    """Return whether the store makes the same trend of some reviews."""
    cells = list(reviews_of(_TRIED, 3, time.time()))
    rated = [
        Rated(
            row.record,
            replace(row.rating, rating=cell.star, created_at=iso_utc(cell.hour * HOUR_S), app_version=cell.version),
        )
        for row, cell in zip(made(_TRIED, apps=1), cells, strict=True)
    ]
    client.flushall()
    send, store = stored(WorkerSettings(_env_file=None, redis_url=url, redis_form=2))
    with closing(store):
        for start in range(0, _TRIED, _BATCH):
            send(rated[start : start + _BATCH])
    by_store = _trends(client)
    client.flushall()
    write(client, Counter(cells), str(rated[0].rating.app_id))
    return bool(by_store) and by_store == _trends(client)


def _trends(client: Any) -> dict[Any, Any]:
    return {key: client.hgetall(key) for key in client.scan_iter("trend:*", count=1000)}


def table(found: Sequence[Trend]) -> list[str]:
    """Return the table in Markdown."""
    heading = [
        "versions at once",
        "hash-max-listpack-entries",
        "reviews",
        "keys",
        "fields",
        "bytes",
        "bytes an app-hour",
    ]
    return markdown_table([heading, *(row.cells() for row in found)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code: 0, 1 when the store writes something else, 2 without a redis-server."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trend_memory", description=__doc__)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    given = parser.parse_args(arguments)
    try:
        with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
            if not store_writes_the_same(server.url, client):
                sys.stderr.write("the store writes other keys, fields or counts than are measured\n")
                return 1
            version: Any = client.info("server")
            found = [measure(client, round(given.reviews * share), *of) for *of, share in _ROWS]
    except ServiceUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{this_machine()}\nRedis {version['redis_version']}, one app, {DAYS} days\n\n")
    sys.stdout.write("\n".join(table(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
