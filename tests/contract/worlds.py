"""The world of each port, in memory and on the real service. The contract suites use nothing else.

Owns how a test looks behind a port: at the contents of Redis and the topics, and at the committed offsets.
"""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Any

import redis
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, MemberToRemove
from prometheus_client import CollectorRegistry

from deploy.redis import LocalRedis
from schemas.output.rating_hash import Form, rating_from_hash
from schemas.rating import Rating, rating_key, summary_key
from tests import PATIENCE_S
from tests.doubles import (
    ManualClock,
    MemoryCluster,
    MemoryDelivery,
    MemoryLog,
    MemoryPoisonLedger,
    MemorySource,
    MemoryStore,
)
from tests.fixtures.shared_kafka import AnyKafka
from worker.clock import Clock, SystemClock
from worker.kafka.clients import make_delivery, make_source
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.group import GroupSource
from worker.kafka.python.source import KafkaSource
from worker.ops.metrics import WRITE_RESULTS, Metrics
from worker.records import Partition, PlainRecord, Record
from worker.redis.poison_ledger import RedisPoisonLedger
from worker.redis.ratings import RatingsInRedis
from worker.redis.store import RedisStore
from worker.settings import WorkerSettings
from worker.stream.ports import Delivery, PoisonLedger, Source, Store


class StoreWorld(ABC):
    """A store and its contents."""

    def __init__(self) -> None:
        self.topic_ids: dict[str, str] = {}

    @abstractmethod
    def store(self, *, ttl_s: int = 0) -> Store: ...
    @abstractmethod
    def ledger(self) -> PoisonLedger: ...
    @abstractmethod
    def rating(self, review_id: str) -> Rating | None: ...
    @abstractmethod
    def summary(self, app_id: str) -> dict[str, int]: ...
    @abstractmethod
    def expires_in_s(self, review_id: str) -> float: ...
    @abstractmethod
    def results(self) -> dict[str, int]: ...
    @abstractmethod
    def close(self) -> None: ...


class MemoryStoreWorld(StoreWorld):
    def __init__(self) -> None:
        super().__init__()
        self._store = MemoryStore(ManualClock(), topic_id=lambda topic: self.topic_ids.get(topic, ""))
        self._ledger = MemoryPoisonLedger()

    def store(self, *, ttl_s: int = 0) -> Store:
        self._store.ttl_s = ttl_s
        return self._store

    def ledger(self) -> PoisonLedger:
        return self._ledger

    def rating(self, review_id: str) -> Rating | None:
        return self._store.ratings.get(review_id)

    def summary(self, app_id: str) -> dict[str, int]:
        return {name: count for name, count in self._store.summaries.get(app_id, Counter()).items() if count}

    def expires_in_s(self, review_id: str) -> float:
        return self._store.expires_in_s(review_id)

    def results(self) -> dict[str, int]:
        return {name: self._store.results[name] for name in WRITE_RESULTS}

    def close(self) -> None: ...


class RedisStoreWorld(StoreWorld):
    def __init__(self, server: LocalRedis, form: Form = 1) -> None:
        super().__init__()
        self.form = form
        self.prefix = f"{uuid.uuid4().hex[:8]}:"
        self.url = server.url
        self.client = redis.Redis.from_url(server.url, decode_responses=True)
        self.registry = CollectorRegistry()
        self._metrics = Metrics(self.registry)
        self.log = MemoryLog()
        self._stores: list[RedisStore | RedisPoisonLedger] = []

    def settings(self, **more: Any) -> WorkerSettings:
        given: dict[str, Any] = {
            "redis_url": self.url,
            "redis_prefix": self.prefix,
            "redis_timeout_s": 2.0,
            "redis_form": self.form,
        }
        return WorkerSettings(_env_file=None, **given | more)

    @cached_property
    def reader(self) -> RatingsInRedis:
        return RatingsInRedis(self.settings())

    def store(self, *, ttl_s: int = 0, **more: Any) -> RedisStore:
        store = RedisStore(
            self.settings(redis_ttl_s=ttl_s, **more),
            metrics=self._metrics,
            clock=SystemClock(),
            topic_id=lambda topic: self.topic_ids.get(topic, ""),
            log=self.log,
        )
        self._stores.append(store)
        return store

    def ledger(self) -> RedisPoisonLedger:
        ledger = RedisPoisonLedger(self.settings(), metrics=self._metrics)
        self._stores.append(ledger)
        return ledger

    def rating(self, review_id: str) -> Rating | None:
        fields: Any = self.client.hgetall(rating_key(review_id, prefix=self.prefix))
        return rating_from_hash(fields, review_id) if fields else None

    def summary(self, app_id: str) -> dict[str, int]:
        fields: Any = self.client.hgetall(summary_key(app_id, prefix=self.prefix))
        return {name: int(count) for name, count in fields.items() if int(count)}

    def expires_in_s(self, review_id: str) -> float:
        ttl_ms: Any = self.client.pttl(rating_key(review_id, prefix=self.prefix))
        return float("inf") if ttl_ms == -1 else ttl_ms / 1000

    def results(self) -> dict[str, int]:
        return {
            name: int(self.registry.get_sample_value("starstream_redis_writes_total", {"result": name}) or 0)
            for name in WRITE_RESULTS
        }

    def close(self) -> None:
        self.client.close()
        for store in self._stores:
            store.close()


class ClusterStoreWorld(RedisStoreWorld):
    """On a cluster, which the server is a node of."""

    def __init__(self, server: LocalRedis, form: Form = 1) -> None:
        super().__init__(server, form)
        self.client.close()
        client: Any = redis.RedisCluster.from_url(server.url, decode_responses=True)
        self.client = client

    def settings(self, **more: Any) -> WorkerSettings:
        return super().settings(**{"redis_cluster": True} | more)

    @cached_property
    def workers(self) -> tuple[RedisStore, RedisStore]:
        return self.store(), self.store()


Shares = list[list[Record]]  # what each member has read


class StreamWorld(ABC):
    """Topics for input (three partitions), output and dead letters, and a group with its members and deliveries."""

    partitions = 3

    def __init__(self) -> None:
        mark = uuid.uuid4().hex[:8]
        self.topic, self.group = f"reviews-{mark}", f"group-{mark}"
        self.output_topic, self.dead_letter_topic = f"ratings-{mark}", f"reviews.dlq-{mark}"

    def settings(self, **more: Any) -> WorkerSettings:
        given: dict[str, Any] = {
            "input_topics": [self.topic],
            "output_topic": self.output_topic,
            "dead_letter_topic": self.dead_letter_topic,
            "group_id": self.group,
            "session_timeout_s": 5.0,
            "request_timeout_s": 30.0,
        }
        return WorkerSettings(_env_file=None, **given | more)

    @abstractmethod
    def create(self, *topics: str) -> None: ...
    @abstractmethod
    def produce(self, *records: PlainRecord) -> None: ...
    @abstractmethod
    def member(self, **settings: Any) -> Source: ...
    @abstractmethod
    def commit(self, member: Source, offsets: Mapping[Partition, int]) -> None: ...
    @abstractmethod
    def committed(self, partition: int) -> int: ...
    @abstractmethod
    def published(self, topic: str, *, settled: bool = True) -> list[Record]:
        """Return what a `read_committed` reader sees; `settled` waits until open transactions have ended."""

    @abstractmethod
    def delivery(self, member: Source, **settings: Any) -> Delivery: ...
    @abstractmethod
    def evict(self, member: Source) -> None: ...
    @abstractmethod
    def close(self) -> None: ...

    def at(self, partition: int) -> Partition:
        return Partition(self.topic, partition)

    def read(self, member: Source, count: int, *, max_records: int = 100) -> list[Record]:
        """Poll until `count` records have arrived, and ask for the readiness after each poll, as the loop does."""
        found: list[Record] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < count and time.monotonic() < deadline:
            records = member.poll(max_records, 0.2)
            assert len(records) <= max_records
            found.extend(records)
            member.not_ready_reason()
        assert len(found) == count
        return found

    def read_shared(self, members: Sequence[Source], count: int) -> Shares:
        """Poll the members until `count` records have arrived in total; return the records of each."""
        shares = self.poll_all(members, lambda _number, shares: sum(map(len, shares)) >= count)
        assert sum(map(len, shares)) == count
        return shares

    def settle_membership(self, *members: Source) -> None:
        """Poll all until each has joined and the assignment is stable; there must be nothing to read."""
        wanted = 12 if len(members) > 1 else 3
        quiet = [0] * len(members)

        def settled(number: int, shares: Shares) -> bool:
            assert not shares[number]
            quiet[number] = quiet[number] + 1 if members[number].not_ready_reason() is None else 0
            return all(polls > wanted for polls in quiet)

        self.poll_all(members, settled)

    def poll_all(self, members: Sequence[Source], enough: Callable[[int, Shares], bool]) -> Shares:
        """Poll each member until `enough(its number, the records of all)` after a poll; return the records of each."""
        read: Shares = [[] for _ in members]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for number, member in enumerate(members):
                assert time.monotonic() < deadline
                read[number].extend(member.poll(100, 0.2))
                if enough(number, read):
                    return read


class MemoryStreamWorld(StreamWorld):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.cluster = MemoryCluster(self.clock)

    def create(self, *topics: str) -> None:
        for topic in topics:
            self.cluster.create(topic, self.partitions)

    def produce(self, *records: PlainRecord) -> None:
        for record in records:
            self.cluster.produce(record)

    def member(self, **settings: Any) -> Source:
        chosen = self.settings(**settings)
        return MemorySource(self.cluster, chosen.input_topics, self.group, reset=chosen.auto_offset_reset)

    def commit(self, member: Source, offsets: Mapping[Partition, int]) -> None:
        del member
        self.cluster.committed |= {(self.group, at): offset for at, offset in offsets.items()}

    def committed(self, partition: int) -> int:
        return self.cluster.committed.get((self.group, self.at(partition)), 0)

    def published(self, topic: str, *, settled: bool = True) -> list[Record]:  # noqa: ARG002 - there are no transactions
        return list(self.cluster.all_records(topic))

    def evict(self, member: Source) -> None:
        assert isinstance(member, MemorySource)
        self.cluster.evict(member)

    def delivery(self, member: Source, **settings: Any) -> Delivery:
        assert isinstance(member, MemorySource)
        return MemoryDelivery(self.cluster, self.settings(**settings), member)

    def close(self) -> None: ...


class KafkaStreamWorld(StreamWorld):
    def __init__(
        self,
        broker: AnyKafka,
        delivery: str = "at_least_once",
        client: str = "kafka-python",
        protocol: str = "classic",
    ) -> None:
        super().__init__()
        self.broker = broker
        self.kind = delivery
        self.client = client
        self.protocol = protocol
        self.admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        self._producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=4_000_000)
        self._closers: list[Callable[[], None]] = [self.admin.close, self._producer.close]
        self.log = MemoryLog()

    def settings(self, **more: Any) -> WorkerSettings:
        given = {
            "kafka_bootstrap_servers": [self.broker.bootstrap],
            "kafka_client": self.client,
            "kafka_group_protocol": self.protocol,
            "delivery": self.kind,
        }
        return super().settings(**given | more)

    def create(self, *topics: str, configs: Mapping[str, str] | None = None) -> None:
        self.broker.create_topics(dict.fromkeys(topics, self.partitions), configs)

    def produce(self, *records: PlainRecord) -> None:
        sent = [
            self._producer.send(
                record.topic,
                record.value,
                record.key,
                list(record.headers),
                partition=record.partition,
                timestamp_ms=record.timestamp,
            )
            for record in records
        ]
        self._producer.flush(PATIENCE_S)
        for future in sent:
            future.get(PATIENCE_S)

    def member(self, *, instance_id: str | None = None, clock: Clock | None = None, **settings: Any) -> GroupSource:
        metrics, clock = Metrics(CollectorRegistry()), clock or SystemClock()
        source = make_source(self.settings(**settings), instance_id=instance_id, metrics=metrics, clock=clock)
        self._closers.insert(0, lambda: source.close(2.0))
        return source

    def poll_all(self, members: Sequence[Source], enough: Callable[[int, Shares], bool]) -> Shares:
        """Poll each from a thread of its own: a joining member waits inside its poll for the others to join."""
        read: Shares = [[] for _ in members]
        stop = threading.Event()
        deadline = time.monotonic() + PATIENCE_S

        def poll(number: int) -> None:
            try:
                while not stop.is_set():
                    assert time.monotonic() < deadline
                    read[number].extend(members[number].poll(100, 0.2))
                    if enough(number, read):
                        return
            finally:
                stop.set()

        with ThreadPoolExecutor(len(members)) as pool:
            polls = [pool.submit(poll, number) for number in range(len(members))]
        for poll_result in polls:
            poll_result.result()
        return read

    def commit(self, member: Source, offsets: Mapping[Partition, int]) -> None:
        assert isinstance(member, KafkaSource | ConfluentSource)
        member.commit(offsets)

    def committed(self, partition: int) -> int:
        at = TopicPartition(self.topic, partition)
        found = self.admin.list_group_offsets({self.group: [at]})
        offset: OffsetAndMetadata | None = found[self.group].get(at)
        return 0 if offset is None or offset.offset < 0 else int(offset.offset)

    def _ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        with closing(KafkaConsumer(bootstrap_servers=self.broker.bootstrap)) as read_uncommitted:
            ends: dict[TopicPartition, int] = read_uncommitted.end_offsets(partitions)
            return ends

    def published(self, topic: str, *, settled: bool = True) -> list[Record]:
        consumer = KafkaConsumer(bootstrap_servers=self.broker.bootstrap, isolation_level="read_committed")
        try:
            partitions = [TopicPartition(topic, number) for number in range(self.partitions)]
            consumer.assign(partitions)
            consumer.seek_to_beginning()
            # Read to the end of the log: markers follow a commit's answer, so the last readable offset may lag behind.
            ends = self._ends(partitions) if settled else consumer.end_offsets(partitions)
            found: list[Record] = []
            deadline = time.monotonic() + PATIENCE_S
            while any(consumer.position(at) < ends[at] for at in partitions):
                assert time.monotonic() < deadline
                for records in consumer.poll(timeout_ms=200).values():
                    found.extend(records)
            return found
        finally:
            consumer.close()

    def evict(self, member: Source) -> None:
        if isinstance(member, KafkaSource):
            member_id = member.membership().member_id
        else:
            assert isinstance(member, ConfluentSource)
            member_id = member._consumer.memberid()
        removed = self.admin.remove_group_members(self.group, [MemberToRemove(member_id=member_id)])
        assert [error.__name__ for error in removed.values()] == ["NoError"]

    def delivery(self, member: Source, **settings: Any) -> Delivery:
        assert isinstance(member, KafkaSource | ConfluentSource)
        made = make_delivery(self.settings(**settings), member, f"{self.group}-tx", log=self.log, clock=SystemClock())
        self._closers.insert(0, lambda: made.close(2.0))
        return made

    def close(self) -> None:
        for close in self._closers:
            close()


def as_set(records: Sequence[Record]) -> set[tuple[int, int]]:
    """Return the positions of records."""
    return {(record.partition, record.offset) for record in records}
