"""Lag and losses on a real broker, asked with either client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from deploy.process import wait_until
from tests import PATIENCE_S
from tests.contract.test_source import produce
from tests.contract.worlds import KafkaStreamWorld, as_set
from tests.fixtures.shared_kafka import AnyKafka, SharedKafka
from worker.clock import SystemClock
from worker.kafka.clients import watch_lag
from worker.kafka.group import GroupSource
from worker.ops.health import Health
from worker.ops.metrics import Metrics


class World(KafkaStreamWorld):
    """A group whose lag is watched."""

    def __init__(self, broker: AnyKafka, client: str) -> None:
        super().__init__(broker, "at_least_once", client)
        self.metrics = Metrics(CollectorRegistry())
        self.health = Health(SystemClock(), stall_s=60)
        self.stop = threading.Event()
        self._closers.insert(0, self.stop.set)
        self.create(self.topic, self.output_topic, self.dead_letter_topic)

    def watched(self, **settings: Any) -> GroupSource:
        """Return a member that has not joined yet."""
        source = self.member(**settings)
        watch_lag(
            self.settings(**settings),
            source,
            self.stop,
            clock=SystemClock(),
            metrics=self.metrics,
            health=self.health,
            log=self.log,
        )
        return source

    def shown(self, name: str) -> list[float | None]:
        labels = [{"topic": self.topic, "partition": str(number)} for number in range(3)]
        return [self.metrics.registry.get_sample_value(f"starstream_{name}", of) for of in labels]

    def until_lag(self, lag: list[float]) -> None:
        wait_until(lambda: self.shown("consumer_lag_records") == lag, PATIENCE_S, f"lag {lag}")

    def until_lost(self) -> None:
        wait_until(lambda: self.shown("records_lost_total") == [5, 5, 5], PATIENCE_S, "the losses")


@pytest.fixture(params=["kafka-python", "confluent"])
def world(request: pytest.FixtureRequest, kafka: SharedKafka) -> Iterator[World]:
    made = World(kafka, request.param)
    yield made
    made.close()


def test_lag_is_what_is_not_committed(world: World) -> None:
    produce(world, 5)
    member = world.watched()
    world.until_lag([5, 5, 5])  # before it has joined
    world.read(member, 15)
    member.commit({world.at(0): 4, world.at(1): 5})
    world.until_lag([1, 0, 5])
    produce(world, 2, start=5)
    world.until_lag([3, 2, 7])  # nobody polls
    wait_until(lambda: all(world.shown("consumer_behind_seconds")), PATIENCE_S, "how long they have waited")


def test_lag_counts_the_records_of_an_open_transaction(kafka: SharedKafka, world: World) -> None:
    """They wait, and so does everything behind them."""
    member = world.watched()
    world.settle_membership(member)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=world.group)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(world.topic, b"held back", partition=0).get(PATIENCE_S)
    world.until_lag([1, 0, 0])
    producer.abort_transaction()
    producer.close()


@pytest.mark.parametrize("moment", ["while it reads", "before it starts", "while it holds"])
def test_what_retention_removed_before_it_was_read_is_counted_once(moment: str, world: World) -> None:
    produce(world, 20)
    member = world.member() if moment == "before it starts" else world.watched()
    world.read(member, 60)
    member.commit({world.at(number): 10 for number in range(3)})
    if moment == "before it starts":
        member.close(2.0)
    else:
        member.rewind({world.at(number): 10 for number in range(3)})
        member.hold(0.1)
    world.admin.delete_records({TopicPartition(*world.at(number)): 15 for number in range(3)})
    if moment == "while it holds":
        world.until_lost()
    if moment == "before it starts":
        member = world.watched()
    assert as_set(world.read(member, 15)) == {(number, offset) for number in range(3) for offset in range(15, 20)}
    world.until_lost()
    said = [event.fields for event in world.log.events if event.event == "records_lost"]
    assert sorted((fields["partition"], fields["records"]) for fields in said) == [(0, 5), (1, 5), (2, 5)]
