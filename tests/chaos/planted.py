"""The classic faults of a stream worker, planted one at a time to see the suite fail (README.md has the table).

Nothing here runs in a normal run. Each entry of FAULTS patches the worker's classes in the launcher's process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kafka import TopicPartition

import worker.redis.servers as redis_servers
from worker.kafka.confluent.seeks import Seeks
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.delivery import ExactlyOnce
from worker.kafka.python.source import KafkaSource
from worker.records import Partition, Record, next_offsets
from worker.stream.pipeline import Pipeline


def commit_before_sink() -> None:
    """Commit offsets as soon as records are read: a crash after that loses the records."""
    real = Pipeline._parse

    def parse(self: Pipeline, records: Sequence[Record], poison: Any) -> Any:
        self.source.commit(next_offsets(records))  # type: ignore[attr-defined]
        return real(self, records, poison)

    Pipeline._parse = parse  # type: ignore[method-assign]


def last_offset() -> None:
    """Commit the last offset read, not the highest below which everything is settled: skips queued records."""
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
    """Commit offsets with the membership at the time of the commit, even none, which the broker does not fence."""
    KafkaSource.membership = lambda self: self._consumer.group_metadata()  # type: ignore[method-assign]
    ConfluentSource.membership = lambda self: self._consumer.consumer_group_metadata()  # type: ignore[method-assign]


def no_redis_fence() -> None:
    """Let Redis accept every write, also of an older source position."""
    _rewrite("local order = ", "local order = true and 1 or ")


def first_decision() -> None:
    """Let Redis keep the first rating of a source position, published or not."""
    _rewrite("again = order == 0", "again = false and order == 0")


def _rewrite(old: str, new: str) -> None:
    assert old in redis_servers.SCRIPT, f"write.lua has changed: no {old!r}"
    redis_servers.SCRIPT = redis_servers.SCRIPT.replace(old, new)  # type: ignore[misc]


def blind_rewind() -> None:
    """Always read the batch again after a failed commit, though it may have been committed and its answer lost."""
    KafkaSource._go_to_committed = lambda self: self._unsure.clear()  # type: ignore[method-assign]
    Seeks._committed = lambda _self, _consumer, _partitions, _timeout_s: {}  # type: ignore[method-assign,assignment]


FAULTS: Final[dict[str, Callable[[], None]]] = {
    "commit_before_sink": commit_before_sink,
    "last_offset": last_offset,
    "no_group_fence": no_group_fence,
    "no_redis_fence": no_redis_fence,
    "first_decision": first_decision,
    "blind_rewind": blind_rewind,
}
