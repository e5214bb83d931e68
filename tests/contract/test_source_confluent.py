"""What only a real broker can show of the adapter on librdkafka: where it differs from kafka-python, and where it must
not.
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
    """Members of a group on librdkafka by default."""

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

    def kafka_python_member(self, **settings: Any) -> GroupSource:
        return self.member(kafka_client="kafka-python", **settings)

    def close(self) -> None:
        super().close()
        self.admin.close()


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[World]:
    made = World(kafka)
    yield made
    made.close()


def test_group_metadata_has_the_format_that_require_member_parses(world: World) -> None:
    """The format is private to librdkafka; it is the only way to recognise an evicted worker."""
    member = world.joining()
    with pytest.raises(TransientError, match="member of group"):
        member.membership()
    world.settle_membership(member)
    membership = member.membership()
    assert membership.startswith(
        b"CGMDv2:" + struct.pack("=i", 1) + f"{world.group}\0{member._consumer.memberid()}".encode()
    )


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
    assert member.membership() == before, "it stays that of the last poll, which the broker fences"
    with pytest.raises(TransientError, match="UNKNOWN_MEMBER_ID"):
        commit(world.delivery(member), [make_rated()], {world.at(0): 3})
    with pytest.raises(TransientError, match="member of group"):
        member.commit({world.at(0): 3})
    assert world.committed(0) == 0
    world.settle_membership(member)
    assert member.take_revoked() == {world.at(number) for number in range(3)}
    assert member.membership() != before


def test_partitions_lost_during_a_hold_are_read_after_they_return(world: World) -> None:
    """librdkafka keeps a partition paused while it is not assigned."""
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


def test_a_member_without_partitions_is_ready(world: World) -> None:
    members = [world.joining() for _ in range(4)]
    world.settle_membership(*members)
    assert sorted(len(member._ownership.owned) for member in members) == [0, 1, 1, 1]


def test_both_clients_share_one_group(world: World) -> None:
    """So that a deployment can switch its client one process at a time."""
    produce(world, 6)
    first = world.kafka_python_member()
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


def test_both_clients_return_the_same_topic_id(world: World) -> None:
    """The fence in Redis compares these ids, also after a switch of the client."""
    one, other = world.joining(), world.kafka_python_member()
    assert one.topic_id(world.topic) == other.topic_id(world.topic)
    assert len(one.topic_id(world.topic)) == 36
    assert one.topic_id("nowhere-at-all") == ""


def test_both_clients_publish_a_key_to_the_same_partition(world: World) -> None:
    keys = [f"review-{number} é" for number in range(200)]
    for client in ("kafka-python", "confluent"):
        member = world.member(kafka_client=client, group_id=f"{world.group}-{client}")
        world.settle_membership(member)
        delivery = world.delivery(member, kafka_client=client, delivery="at_least_once")
        commit(delivery, [make_rated(key) for key in keys], {})
    partitions: dict[bytes | None, set[int]] = {}
    published = world.published(world.output_topic)
    for record in published:
        partitions.setdefault(record.key, set()).add(record.partition)
    assert len(published) == 400
    assert {len(found) for found in partitions.values()} == {1}
    assert {partition for found in partitions.values() for partition in found} == {0, 1, 2}


def test_a_replaced_static_member_is_fenced_with_exit_code_7(world: World) -> None:
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
    """If there are enough records, librdkafka continues at its old position without an error."""
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
            continue  # as the loop does: these records are not committed, and read again
        found |= as_set(records)
    assert found == positions


def test_records_of_the_deleted_topic_are_not_committed(world: World) -> None:
    """As above, with a new topic id at a chosen moment."""
    positions = produce(world, 5)
    member = world.joining()
    world.read(member, 15)
    assert member.topic_id(world.topic)
    member.commit({world.at(number): 3 for number in range(3)})
    positions |= produce(world, 1, start=5)
    member._topic_ids._ids[world.topic] = "the id before"
    newer = world.read(member, 3)
    for settle in (member.membership, lambda: member.commit({world.at(0): 6})):
        member._topic_ids._ids[world.topic] = "the id before"
        with pytest.raises(TransientError, match="deleted and created again"):
            settle()
    member.rewind({world.at(record.partition): record.offset for record in newer})
    assert as_set(world.read(member, 18)) == positions, "not from the offsets of the deleted topic"
    assert member.membership()


@pytest.mark.usefixtures("kafka")  # skips without Java; the test starts a broker of its own, to stop it
def test_not_ready_reason_reports_a_broker_outage_and_its_end() -> None:
    with LocalKafka() as broker:
        broker.create_topics({"reviews": 1})
        settings = WorkerSettings(
            _env_file=None, kafka_client="confluent", kafka_bootstrap_servers=[broker.bootstrap], session_timeout_s=6
        )
        member = ConfluentSource(settings, instance_id=None, metrics=Metrics(CollectorRegistry()), clock=SystemClock())

        def reason() -> str | None:
            member.poll(1, 0.2)
            return member.not_ready_reason()

        wait_until(lambda: reason() is None, PATIENCE_S, "the member to join")
        broker.stop()
        wait_until(lambda: "answers; trying again" in str(reason()), PATIENCE_S, "the outage to be reported")
        broker.start()
        wait_until(lambda: reason() is None, PATIENCE_S, "the recovery to be reported")
        member.close(2.0)


def test_not_ready_reason_names_a_partition_blocked_by_an_open_transaction(world: World) -> None:
    from confluent_kafka import Producer

    clock = ManualClock()
    producer = Producer({"bootstrap.servers": world.broker.bootstrap, "transactional.id": world.group})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"held back", partition=0)
    producer.flush(PATIENCE_S)
    member = world.joining(clock=clock)

    def stall_reported() -> bool:
        clock.advance(20)
        member.poll(10, 0.2)
        return f"{world.topic}-0: records are waiting" in str(member.not_ready_reason())

    wait_until(stall_reported, PATIENCE_S, "the stall to be reported")
    producer.abort_transaction(PATIENCE_S)

    def ready() -> bool:
        clock.advance(2)
        member.poll(10, 0.2)
        return member.not_ready_reason() is None

    wait_until(ready, PATIENCE_S, "the member to be ready again")
    assert member.offsets_past_markers() == {world.at(0): 2}, "past the aborted record and its marker"


def test_a_start_without_a_broker_names_the_addresses(world: World) -> None:
    with pytest.raises(TransientError, match=r"WORKER_KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1: is a broker up there"):
        world.joining(kafka_bootstrap_servers=["127.0.0.1:1"], request_timeout_s=1.0)
