"""Kafka and Redis of the benchmark, and the gate that gives every row the same start.

A run has topics of its own. Its reviews are written in one transaction while the program waits as a member of its
group, and committed at once: for a `read_committed` reader the whole backlog appears at that instant. So no row is
timed while it joins a group, and none reads before the clock starts.

The harness uses confluent-kafka: it must cost the two cores little.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import redis
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.kafka import LocalKafka
from deploy.redis import LocalRedis
from tests.benchmarks.processes import RowError, Watched, cpu_s

PARTITIONS: Final = 6
_LOOK_EVERY_S: Final = 0.02
_QUIET_S: Final = 1.0  # a group that has not changed for so long is not about to rebalance
_JOIN_S: Final = 240.0


@dataclass(slots=True)
class Stack:
    """The running services."""

    kafka: LocalKafka
    redis: LocalRedis
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})

    def services_cpu_s(self) -> dict[str, float]:
        """Return CPU seconds so far of the broker and of Redis."""
        return {"broker": cpu_s(self.kafka.pid), "redis": cpu_s(self.redis.pid)}

    def empty_redis(self, *, notify: str = "") -> None:
        """Delete every key, and publish these keyspace events."""
        with redis.Redis.from_url(self.redis.url) as client:
            client.flushall()
            client.config_set("notify-keyspace-events", notify)

    def stored(self) -> int:
        """Return how many keys Redis holds."""
        with redis.Redis.from_url(self.redis.url) as client:
            return int(client.dbsize())


class Run:
    """The topics and the group of one run of one row."""

    def __init__(self, stack: Stack, row: str) -> None:
        self.stack = stack
        name = f"{row}-{uuid.uuid4().hex[:8]}"
        self.group = name
        self.input_topic = f"reviews-{name}"
        self.output_topic = f"ratings-{name}"
        self.dead_letter_topic = f"dlq-{name}"
        stack.kafka.create_topics(
            {self.input_topic: PARTITIONS, self.output_topic: PARTITIONS, self.dead_letter_topic: 1}
        )
        self._backlog = [0] * PARTITIONS
        self._offsets = Consumer(
            {
                "bootstrap.servers": stack.kafka.bootstrap,
                "group.id": self.group,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
            }
        )

    def await_members(self, program: Watched, members: int) -> float:
        """Block until the group is stable with so many members that own all partitions; return when it became so."""
        deadline = time.monotonic() + _JOIN_S
        stable_since: float | None = None
        while time.monotonic() < deadline:
            program.require_alive()
            if not self._stable(members):
                stable_since = None
            elif stable_since is None:
                stable_since = time.monotonic()
            elif time.monotonic() - stable_since > _QUIET_S:
                return stable_since
            time.sleep(_LOOK_EVERY_S)
        raise RowError(f"its consumer group did not settle in {_JOIN_S:.0f} s")

    def preload(self, records: Iterable[tuple[bytes, bytes]]) -> Callable[[], None]:
        """Write the backlog into an open transaction and return what opens the gate."""
        producer = Producer(
            {
                "bootstrap.servers": self.stack.kafka.bootstrap,
                "transactional.id": f"gate-{self.group}",
                "transaction.timeout.ms": 600_000,
                "queue.buffering.max.messages": 1_000_000,
                "linger.ms": 20,
                "log_level": 0,  # it may outlive the broker for a moment, and would say so
            }
        )
        producer.init_transactions()
        producer.begin_transaction()
        for key, value in records:
            while True:
                try:
                    producer.produce(self.input_topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.flush()
        self._backlog = self._ends(self.input_topic)
        return producer.commit_transaction

    def committed(self) -> int:
        """Return how many reviews lie before the group's committed offsets.

        The transaction's marker stands behind the last review of each partition; a client may commit past it.
        """
        wanted = [TopicPartition(self.input_topic, number) for number in range(PARTITIONS)]
        try:
            found = self._offsets.committed(wanted, timeout=10)
        except KafkaException:
            return 0
        return sum(min(max(at.offset, 0), self._backlog[at.partition]) for at in found)

    def await_committed(self, program: Watched, reviews: int, timeout_s: float) -> float:
        """Block until the group has committed so many reviews; return when."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.committed() >= reviews:
                return time.monotonic()
            program.require_alive()
            time.sleep(_LOOK_EVERY_S)
        raise RowError(f"{self.committed()} of {reviews} reviews committed after {timeout_s:.0f} s")

    def published(self) -> int:
        """Return how many records, markers of transactions included, the output topic holds."""
        return sum(self._ends(self.output_topic))

    def close(self) -> None:
        """Remove the topics."""
        self._offsets.close()
        for future in self.stack.admin.delete_topics(
            [self.input_topic, self.output_topic, self.dead_letter_topic]
        ).values():
            future.result()

    def _ends(self, topic: str) -> list[int]:
        ends = (self._offsets.get_watermark_offsets(TopicPartition(topic, at), timeout=10) for at in range(PARTITIONS))
        return [0 if end is None else int(end[1]) for end in ends]

    def _stable(self, members: int) -> bool:
        try:
            group = self.stack.admin.describe_consumer_groups([self.group])[self.group].result()
        except KafkaException:
            return False
        owned = sum(len(member.assignment.topic_partitions) for member in group.members)
        return group.state == ConsumerGroupState.STABLE and len(group.members) == members and owned == PARTITIONS
