"""Writes a replay's ratings under the live keys (`--write-live`).

Owns the copying. The fence is the workers' own (`worker/redis/write.lua`): a replay's rating of the same record
replaces the older one; a review that was sent again since, or deleted, keeps what it has; summaries stay right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from schemas.rating import Rating, rating_from_hash
from worker.clock import Clock
from worker.ops.metrics import Metrics
from worker.records import Rated
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class RatedRecord:
    """The record of a rating, as far as the rating's hash describes it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class LiveKeys:
    """The workers' keys in Redis.

    Args:
        settings: the workers' own.
        metrics: counts the writes.
        clock: times them.
    """

    def __init__(self, settings: WorkerSettings, metrics: Metrics, clock: Clock) -> None:
        self._topic_id = ""
        self._store = RedisStore(settings, metrics=metrics, clock=clock, topic_id=lambda _topic: self._topic_id)

    def put(self, hashes: Sequence[Mapping[str, str]]) -> Counter[str]:
        """Write ratings read from their hashes; return how many were `written`, `replayed` and `stale`.

        `replayed` are ratings of the same record, replaced or not.

        Raises:
            ServiceError: Redis does not answer; writing again is safe.
        """
        counts: Counter[str] = Counter()
        for topic_id, group in groupby(sorted(hashes, key=_topic_id_of), _topic_id_of):
            self._topic_id = topic_id
            self._store.send(list(_rated(group)))
            counts.update(self._store.flush())
        return counts

    def close(self) -> None:
        """Close the connections."""
        self._store.close()


def _topic_id_of(fields: Mapping[str, str]) -> str:
    return fields.get("source_topic_id", "")


def _rated(hashes: Any) -> Iterator[Rated]:
    for fields in hashes:
        rating: Rating = rating_from_hash(fields)
        at = rating.source
        yield Rated(RatedRecord(at.topic, at.partition, at.offset, int(fields["source_timestamp_ms"])), rating)
