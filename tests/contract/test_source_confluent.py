"""What only a real broker can show of the adapter on librdkafka: where it differs from the other client, and where the
two must not.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient
from prometheus_client import CollectorRegistry

from deploy.kafka import LocalKafka
from deploy.process import wait_until
from tests import PATIENCE_S
from tests.contract.test_source import produce
from tests.contract.worlds import KafkaStreamWorld, as_set
from tests.doubles import ManualClock, commit, make_rated, make_record
from worker.clock import Clock, SystemClock
from worker.errors import ExitCode, FencedError, TransientError
from worker.kafka.clients import make_source
from worker.kafka.confluent.assignment import require_member
from worker.kafka.confluent.source import ConfluentSource
from worker.kafka.group import GroupSource
from worker.ops.metrics import Metrics
from worker.settings import WorkerSettings


class World(KafkaStreamWorld):
    """Members of a group on librdkafka, unless told otherwise."""

    def __init__(self, broker: LocalKafka) -> None:
        super().__init__(broker, "exactly_once", "confluent")
        self.broker = broker
        self.admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        self.create(self.topic, self.output_topic, self.dead_letter_topic)

    def joining(
        self, *, instance_id: str | None = None, clock: Clock | None = None, **settings: Any
    ) -> ConfluentSource:
        source = make_source(
            self.settings(**settings),
            instance_id=instance_id,
            metrics=Metrics(CollectorRegistry()),
            clock=clock or SystemClock(),
        )
        assert isinstance(source, ConfluentSource)
        self._closers.insert(0, lambda: source.close(2.0))
        return source

    def of_the_other_client(self, **settings: Any) -> GroupSource:
        return self.member(kafka_client="kafka-python", **settings)

    def close(self) -> None:
        super().close()
        self.admin.close()


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[World]:
    made = World(kafka)
    yield made
    made.close()


def test_the_membership_of_the_group_can_be_read(world: World) -> None:
    """Its form is private to librdkafka; without it a worker that was evicted could not be told from a member."""
    member = world.joining()
    with pytest.raises(TransientError, match="member of group"):
        member.membership()
    world.settle_membership(member)
    told = member.membership()
    assert told.startswith(b"CGMDv2:" + struct.pack("=i", 1) + f"{world.group}\0{member._consumer.memberid()}".encode())


def test_an_evicted_member_cannot_commit_before_it_has_joined_again(world: World) -> None:
    member = world.joining()
    world.settle_membership(member)
    before = member.membership()
    world.evict(member)

    def evicted() -> bool:
        try:
            require_member(member._consumer.consumer_group_metadata(), "")
        except TransientError:
            return True
        return False

    wait_until(evicted, PATIENCE_S, "the eviction")
    assert member.membership() == before, "the membership of the last poll stays: it is the one the broker fences"
    with pytest.raises(TransientError, match="UNKNOWN_MEMBER_ID"):
        commit(world.delivery(member), [make_rated()], {world.at(0): 3})
    with pytest.raises(TransientError, match="member of group"):
        member.commit({world.at(0): 3})
    assert world.committed(0) == 0
    world.settle_membership(member)
    assert member.take_revoked() == {world.at(number) for number in range(3)}
    assert member.membership() != before


def test_what_went_while_it_was_held_is_read_when_it_comes_back(world: World) -> None:
    """librdkafka remembers that a partition is paused, also over a time without it."""
    member = world.joining()
    world.settle_membership(member)
    member.hold(0.1)
    world.evict(member)

    def back() -> bool:
        member.hold(0.2)
        return len(member.take_revoked()) == 3

    wait_until(back, PATIENCE_S, "the eviction")
    positions = produce(world, 5)
    assert as_set(world.read(member, 15)) == positions


def test_a_member_without_a_partition_is_no_trouble(world: World) -> None:
    members = [world.joining() for _ in range(4)]
    world.settle_membership(*members)
    assert sorted(len(each._ownership.owned) for each in members) == [0, 1, 1, 1]


def test_both_clients_share_one_group(world: World) -> None:
    """So that a deployment can change its client one process after the other."""
    produce(world, 6)
    first = world.of_the_other_client()
    world.read(first, 18)
    world.commit(first, {world.at(number): 6 for number in range(3)})
    second = world.joining()
    world.settle_membership(first, second)
    positions = produce(world, 4, start=6)
    counts = [0, 0]

    def all_read(number: int, read: list[Any]) -> bool:
        counts[number] = len(read)
        return sum(counts) >= 12

    mine, theirs = world.poll_all([first, second], all_read)
    assert mine
    assert theirs
    assert as_set(mine) | as_set(theirs) == positions
    assert len(mine) + len(theirs) == 12


def test_both_clients_name_a_topic_alike(world: World) -> None:
    """The fence in Redis compares these names, also over a change of the client."""
    one, other = world.joining(), world.of_the_other_client()
    assert one.topic_id(world.topic) == other.topic_id(world.topic)
    assert len(one.topic_id(world.topic)) == 36
    assert one.topic_id("nowhere-at-all") == ""


def test_both_clients_put_a_review_into_the_same_partition(world: World) -> None:
    keys = [f"review-{number} é" for number in range(200)]
    for client in ("kafka-python", "confluent"):
        member = world.member(kafka_client=client, group_id=f"{world.group}-{client}")
        world.settle_membership(member)
        delivery = world.delivery(member, kafka_client=client, delivery="at_least_once")
        commit(delivery, [make_rated(key) for key in keys], {})
    places: dict[bytes | None, set[int]] = {}
    published = world.published(world.output_topic)
    for record in published:
        places.setdefault(record.key, set()).add(record.partition)
    assert len(published) == 400
    assert {len(found) for found in places.values()} == {1}
    assert {partition for found in places.values() for partition in found} == {0, 1, 2}


def test_a_replaced_static_member_ends_with_7(world: World) -> None:
    first = world.joining(instance_id="same")
    world.settle_membership(first)
    second = world.joining(instance_id="same")
    world.settle_membership(second)
    with pytest.raises(FencedError) as caught:
        world.read(first, 1)
    assert caught.value.exit_code is ExitCode.FENCED


def test_a_topic_that_is_created_later_is_read(world: World) -> None:
    late = f"{world.topic}-late"
    member = world.joining(input_topics=[late])
    for _ in range(3):
        member.poll(1, 0.1)
    assert f"{late}: no such topic" in str(member.not_ready_reason())
    world.create(late)
    world.produce(make_record("at last", topic=late))
    assert [record.value for record in world.read(member, 1)] == [b"at last"]
    assert member.not_ready_reason() is None


def test_a_topic_created_again_is_read_from_its_beginning(world: World) -> None:
    """librdkafka reads on at its old position where there are records enough, and says nothing."""
    produce(world, 5)
    member = world.joining()
    world.read(member, 15)
    member.commit({world.at(number): 5 for number in range(3)})
    world.admin.delete_topics([world.topic])
    wait_until(lambda: world.topic not in world.admin.list_topics(), PATIENCE_S, "the topic is gone")
    world.create(world.topic)
    positions = produce(world, 9)
    found: set[tuple[int, int]] = set()
    deadline = time.monotonic() + PATIENCE_S
    while found != positions and time.monotonic() < deadline:
        records = member.poll(100, 0.2)
        try:
            member.topic_id(world.topic)
        except TransientError:
            continue  # as the loop does: these are not settled, and read again
        found |= as_set(records)
    assert found == positions


def test_nothing_of_another_topic_is_committed_and_it_is_read_from_its_beginning(world: World) -> None:
    """The same, the moment at which the brokers name another topic being chosen."""
    positions = produce(world, 5)
    member = world.joining()
    world.read(member, 15)
    assert member.topic_id(world.topic)
    member.commit({world.at(number): 3 for number in range(3)})
    positions |= produce(world, 1, start=5)
    member._topic_ids._ids[world.topic] = "the one before"
    newer = world.read(member, 3)
    for settle in (member.membership, lambda: member.commit({world.at(0): 6})):
        member._topic_ids._ids[world.topic] = "the one before"
        with pytest.raises(TransientError, match="deleted and created again"):
            settle()
    member.rewind({world.at(record.partition): record.offset for record in newer})
    assert as_set(world.read(member, 18)) == positions, "not from the offsets of the topic before"
    assert member.membership()


@pytest.mark.usefixtures("kafka")  # which skips without Java; this broker is the test's own, to be stopped
def test_a_broker_that_is_away_is_told_and_its_return_too() -> None:
    with LocalKafka() as broker:
        broker.create_topics({"reviews": 1})
        settings = WorkerSettings(
            _env_file=None, kafka_client="confluent", kafka_bootstrap_servers=[broker.bootstrap], session_timeout_s=6
        )
        member = ConfluentSource(settings, instance_id=None, metrics=Metrics(CollectorRegistry()), clock=SystemClock())

        def trouble() -> str | None:
            member.poll(1, 0.2)
            return member.not_ready_reason()

        wait_until(lambda: trouble() is None, PATIENCE_S, "it has joined")
        broker.stop()
        wait_until(lambda: "answers; trying again" in str(trouble()), PATIENCE_S, "the outage is told")
        broker.start()
        wait_until(lambda: trouble() is None, PATIENCE_S, "the return is told")
        member.close(2.0)


def test_a_transaction_that_holds_records_back_is_told(world: World) -> None:
    from confluent_kafka import Producer

    clock = ManualClock()
    producer = Producer({"bootstrap.servers": world.broker.bootstrap, "transactional.id": world.group})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"held back", partition=0)
    producer.flush(PATIENCE_S)
    member = world.joining(clock=clock)

    def told() -> bool:
        clock.advance(20)
        member.poll(10, 0.2)
        return f"{world.topic}-0: records are waiting" in str(member.not_ready_reason())

    wait_until(told, PATIENCE_S, "the stall is told")
    producer.abort_transaction(PATIENCE_S)

    def untold() -> bool:
        clock.advance(2)
        member.poll(10, 0.2)
        return member.not_ready_reason() is None

    wait_until(untold, PATIENCE_S, "and taken back")
    assert member.offsets_past_markers() == {world.at(0): 2}, "behind the aborted record and its marker"


def test_a_brokerless_start_says_where_it_looked(world: World) -> None:
    with pytest.raises(TransientError, match=r"WORKER_KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1: is a broker up there"):
        world.joining(kafka_bootstrap_servers=["127.0.0.1:1"], request_timeout_s=1.0)
