"""The classic faults of a stream worker, planted one at a time to see the suite turn red (README.md has the table).

Owns nothing that runs in a green suite. Each entry of FAULTS patches the worker's classes in the launcher's process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kafka import TopicPartition

import worker.redis.store as redis_store
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.delivery import ExactlyOnce
from worker.kafka.python.source import KafkaSource
from worker.records import Partition, Record, next_offsets
from worker.stream.pipeline import Pipeline


def commit_before_sink() -> None:
    """Offsets are committed as soon as records are read: a crash after that loses them."""
    real = Pipeline._parse

    def parse(self: Pipeline, records: Sequence[Record], poison: Any) -> Any:
        self.source.commit(next_offsets(records))  # type: ignore[attr-defined]
        return real(self, records, poison)

    Pipeline._parse = parse  # type: ignore[method-assign]


def last_offset() -> None:
    """The last offset read is committed, not the highest below which all are settled: what still waits is skipped."""
    real = ExactlyOnce.prepare

    def prepare(self: ExactlyOnce, outcomes: Sequence[Any], offsets: Mapping[Partition, int]) -> None:
        source: Any = self._consumer
        if isinstance(source, ConfluentSource):
            last = source._lag.last_returned
            read = {at: last[at] + 1 for at in offsets}
        else:
            read = {at: source._consumer.position(TopicPartition(*at)) for at in offsets}
        real(self, outcomes, read)

    ExactlyOnce.prepare = prepare  # type: ignore[method-assign]


def no_group_fence() -> None:
    """Offsets go with whatever membership there is at the commit, also none: the broker does not fence that."""
    KafkaSource.membership = lambda self: self._consumer.group_metadata()  # type: ignore[method-assign]
    ConfluentSource.membership = lambda self: self._consumer.consumer_group_metadata()  # type: ignore[method-assign]


def no_redis_fence() -> None:
    """Redis takes every write, also of an older source position."""
    _rewrite("local order = ", "local order = true and 1 or ")


def first_decision() -> None:
    """Redis keeps the first rating of a source position, published or not."""
    _rewrite("local again = ", "local again = false and ")


def _rewrite(old: str, new: str) -> None:
    assert old in redis_store._SCRIPT, f"write.lua has changed: no {old!r}"
    script = redis_store._SCRIPT.replace(old, new)
    redis_store._SCRIPT = script  # type: ignore[misc]
    redis_store._SCRIPT_SHA1 = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()  # type: ignore[misc]


def blind_rewind() -> None:
    """After a failed commit the batch is read again, though it may have been committed, its answer lost."""
    KafkaSource._skip_committed = lambda self: self._maybe_committed.clear()  # type: ignore[method-assign]
    ConfluentSource._committed = lambda _self: {}  # type: ignore[method-assign,assignment]


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "commit_before_sink": commit_before_sink,
    "last_offset": last_offset,
    "no_group_fence": no_group_fence,
    "no_redis_fence": no_redis_fence,
    "first_decision": first_decision,
    "blind_rewind": blind_rewind,
}
