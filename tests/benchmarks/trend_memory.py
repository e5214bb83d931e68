"""`python -m tests.benchmarks.trend_memory`: what the trend of an app takes in Redis, by reviews and by versions.

The store itself writes the reviews, with times spread evenly over 90 days, so that every hour has every version and
star that the reviews suffice for: a real app, which is quiet at night, takes less. Ratings are removed as soon as they
are written: they are no part of what is measured, and `redis_cost` measures them. Every review is counted in the trend
that is measured, or the command ends with 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final, NamedTuple

import redis

from deploy.process import ServiceUnavailable
from deploy.redis import LocalRedis
from schemas.rating import rating_key
from tests.benchmarks.machine import this_machine
from tests.benchmarks.redis_cost import made, stored
from tests.benchmarks.report import markdown_table
from worker.clock import iso_utc
from worker.records import Rated
from worker.redis.ratings import RatingsInRedis
from worker.redis.trend import DAY_S, HOUR_S, hours_of
from worker.settings import WorkerSettings

_DAYS: Final = 90
_CHUNK: Final = 20_000
_ROWS: Final = ((1, 1.0), (3, 1.0), (10, 1.0), (3, 0.1), (3, 0.01))  # versions at once, share of the reviews


class Trend(NamedTuple):
    """What was measured of one app."""

    versions: int
    reviews: int
    keys: int
    fields: int
    bytes: int

    def cells(self) -> list[str]:
        """Return the row of the table."""
        hour = self.bytes / (_DAYS * 24)
        figures = (self.versions, self.reviews, self.keys, self.fields, self.bytes)
        return [*(f"{value:,}" for value in figures), f"{hour:,.0f}", f"{self.bytes / self.reviews:.2f}"]


def measure(url: str, client: Any, reviews: int, versions: int) -> Trend:
    """Write the reviews of one app into an empty server, and return what its trend takes.

    Raises:
        RuntimeError: the trend has not counted every review.
    """
    client.flushall()
    rng = random.Random(13)  # noqa: S311 - the same reviews in each run
    settings = WorkerSettings(_env_file=None, redis_url=url, redis_form=2)
    rated = made(min(_CHUNK, reviews), apps=1)
    app = str(rated[0].rating.app_id)
    # The first of the days is the oldest that is kept until the end of the run.
    end_s = time.time()
    send, store = stored(settings)
    with closing(store):
        for start in range(0, reviews, _CHUNK):
            chunk = [_anew(row, end_s, versions, rng) for row in rated[: reviews - start]]
            for at in range(0, len(chunk), 512):
                send(chunk[at : at + 512])
            client.delete(*(rating_key(row.rating.review_id) for row in chunk))
    keys = list(client.scan_iter("trend:*", count=1000))
    counted = _counted(settings, app, end_s)
    if counted != reviews:
        raise RuntimeError(f"the trend counts {counted} of {reviews} reviews")
    fields = sum(client.hlen(key) for key in keys)
    return Trend(versions, reviews, len(keys), fields, sum(client.memory_usage(key, samples=0) for key in keys))


def _anew(row: Rated, end_s: float, versions: int, rng: random.Random) -> Rated:
    written = iso_utc(end_s - rng.random() * (_DAYS * DAY_S - HOUR_S))
    return Rated(row.record, replace(row.rating, created_at=written, app_version=f"4.{rng.randrange(versions)}.0"))


def _counted(settings: WorkerSettings, app: str, end_s: float) -> int:
    return sum(RatingsInRedis(settings).trend(app, hours_of(end_s, _DAYS * DAY_S)).cells.values())


def table(found: Sequence[Trend]) -> list[str]:
    """Return the table in Markdown."""
    heading = ["versions at once", "reviews", "keys", "fields", "bytes", "bytes an app-hour", "bytes a review"]
    return markdown_table([heading, *(row.cells() for row in found)])


def main() -> int:
    """Print the table and return the exit code: 0, 1 when reviews are missing, 2 when there is no redis-server."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trend_memory", description=__doc__)
    parser.add_argument("--reviews", type=int, default=1_000_000)
    given = parser.parse_args()
    try:
        with LocalRedis() as server, redis.Redis.from_url(server.url) as client:
            version: Any = client.info("server")
            found = [measure(server.url, client, round(given.reviews * share), count) for count, share in _ROWS]
    except ServiceUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{this_machine()}\nRedis {version['redis_version']}, one app, {_DAYS} days\n\n")
    sys.stdout.write("\n".join(table(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
