"""Whatever codec a producer chooses, everything that reads Kafka reads it: the worker, the commands, the trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from confluent_kafka import Producer

from tests import PATIENCE_S
from tests.contract.worlds import KafkaStreamWorld
from tests.fixtures.shared_kafka import AnyKafka, SharedKafka
from trainer.collect.settings import CollectSettings
from trainer.collect.topics import read_topics
from worker.clock import SystemClock
from worker.kafka.offset_range import EARLIEST, LATEST
from worker.kafka.python.feedback_topic import FeedbackTopic
from worker.kafka.python.topics import Topics

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
VALUES: Final = [b"good app " * 11_000 + b"%d" % number for number in range(30)]  # 3 MB, far less when compressed


class World(KafkaStreamWorld):
    """A topic with a batch of each codec."""

    partitions: Final = 1  # type: ignore[misc]

    def __init__(self, broker: AnyKafka) -> None:
        super().__init__(broker)
        self.bootstrap = broker.bootstrap
        broker.create_topics({self.topic: 1})
        for codec in CODECS:
            limits = {"message.max.bytes": 4_000_000, "batch.size": 4_000_000, "linger.ms": 500}
            if codec == "none":
                limits = {}
            producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": codec, **limits})
            for value in VALUES:
                producer.produce(self.topic, value)
            assert producer.flush(PATIENCE_S) == 0


@pytest.fixture(scope="module")
def world(kafka: SharedKafka) -> Iterator[World]:
    made = World(kafka)
    yield made
    made.close()


def assert_all(found: Sequence[bytes | None]) -> None:
    assert list(found) == VALUES * len(CODECS)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_the_worker_reads_every_codec(client: str, world: World) -> None:
    member = world.member(kafka_client=client, group_id=f"{world.group}-{client}")
    assert_all([record.value for record in world.read(member, len(VALUES) * len(CODECS))])


def test_dlq_and_replay_read_every_codec(world: World) -> None:
    with closing(Topics(world.settings(), SystemClock())) as topics:
        ((partition, span),) = topics.spans(topics.partitions(world.topic), EARLIEST, LATEST).items()
        assert_all([record.value for record in topics.read(partition, span)])


def test_feedback_reads_every_codec(world: World) -> None:
    topic = FeedbackTopic(world.settings(auto_offset_reset="earliest"), world.topic)
    found: list[bytes | None] = []
    while len(found) < len(VALUES) * len(CODECS):
        found += topic.poll(1000, 0.5)
    assert_all(found)
    topic._consumer.close()


def test_collect_reads_every_codec(world: World) -> None:
    settings = CollectSettings(bootstrap_servers=[world.bootstrap], topic=[world.topic], out=Path("unused"))
    assert_all([record.value for record in read_topics(settings, None)])
