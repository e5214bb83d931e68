"""What only a real broker can show of the adapter on librdkafka: where it differs from kafka-python, and where it must
not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from deploy.kafka import LocalKafka
from deploy.process import wait_until
from tests import PATIENCE_S
from tests.contract.test_source import produce
from tests.contract.worlds import KafkaStreamWorld, as_set
from tests.doubles import ManualClock, commit, make_rated
from worker.errors import ExitCode, FencedError, TransientError
from worker.kafka.confluent.assignment import require_member
from worker.kafka.confluent.source import ConfluentSource
from worker.records import Partition, Record, first_offsets
from worker.stream.ports import Source

_HEARTBEAT_S = 1.0  # a fifth of the session of `StreamWorld.settings`


@pytest.fixture
def world(confluent_world: KafkaStreamWorld) -> KafkaStreamWorld:
    return confluent_world


@pytest.fixture
def stoppable_world(stoppable_kafka: LocalKafka) -> Iterator[KafkaStreamWorld]:
    """On a broker that this test may stop."""
    made = KafkaStreamWorld(stoppable_kafka, "exactly_once", "confluent")
    made.create(made.topic, made.output_topic, made.dead_letter_topic)
    yield made
    made.close()


def joining(world: KafkaStreamWorld, **more: Any) -> ConfluentSource:
    member = world.member(**more)
    assert isinstance(member, ConfluentSource)
    return member


def test_an_evicted_member_cannot_commit_before_it_has_joined_again(world: KafkaStreamWorld) -> None:
    """librdkafka's group metadata is private to it; it is the only way to recognise an evicted worker."""
    member = joining(world)
    with pytest.raises(TransientError, match="member of group"):
        member.membership()
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


def test_partitions_lost_during_a_hold_are_read_after_they_return(world: KafkaStreamWorld) -> None:
    """librdkafka keeps a partition paused while it is not assigned."""
    member = joining(world)
    world.settle_membership(member)
    member.hold(0.1)
    world.evict(member)

    def back() -> bool:
        member.hold(0.2)
        return len(member.take_revoked()) == 3

    wait_until(back, PATIENCE_S, "the eviction")
    positions = produce(world, 5)
    assert as_set(world.read(member, 15)) == positions


def test_both_clients_share_one_group(world: KafkaStreamWorld) -> None:
    """So that a deployment can switch its client one process at a time."""
    produce(world, 6)
    first = world.member(kafka_client="kafka-python")
    world.read(first, 18)
    world.commit(first, {world.at(number): 6 for number in range(3)})
    second = joining(world)
    world.settle_membership(first, second)
    positions = produce(world, 4, start=6)
    mine, theirs = world.read_shared([first, second], 12)
    assert mine
    assert theirs
    assert as_set(mine) | as_set(theirs) == positions


def test_both_clients_return_the_same_topic_id(world: KafkaStreamWorld) -> None:
    """The fence in Redis compares these ids, also after a switch of the client."""
    one, other = joining(world), world.member(kafka_client="kafka-python")
    assert one.topic_id(world.topic) == other.topic_id(world.topic)
    assert len(one.topic_id(world.topic)) == 36
    assert one.topic_id("nowhere-at-all") == other.topic_id("nowhere-at-all") == ""


def test_both_clients_publish_a_key_to_the_same_partition(world: KafkaStreamWorld) -> None:
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


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
@pytest.mark.parametrize("instance_id", ["static", None])
def test_a_member_that_is_removed_while_it_joins_again_keeps_no_partition(
    world: KafkaStreamWorld, client: str, instance_id: str | None
) -> None:
    """Both clients join under another member id then, keep partitions and positions, and call nobody back."""
    member = world.member(kafka_client=client, instance_id=instance_id)
    slow = world.member(kafka_client="kafka-python", instance_id="slow")
    world.settle_membership(member, slow)
    had = set(member.ownership.owned)
    assert had
    stop = threading.Event()

    def poll(one: Source, until: Callable[[], bool] = stop.is_set) -> None:
        """Poll until then; a member that was removed joins again."""

        def reached() -> bool:
            with suppress(TransientError):
                assert not one.poll(100, 0.2)
            return until()

        wait_until(reached, PATIENCE_S, "the end of the test")

    third = joining(world, instance_id="third")
    with ThreadPoolExecutor(2) as pool:
        try:
            pool.submit(poll, third)
            answered = time.monotonic() + 3 * _HEARTBEAT_S  # then it has asked to join, and waits for the slow one
            poll(member, lambda: time.monotonic() > answered)
            world.evict(member)
            pool.submit(poll, slow)
            lost: list[Partition] = []

            def all_lost() -> bool:
                lost.extend(member.take_revoked())
                return had <= set(lost)

            poll(member, all_lost)
            poll(member, lambda: member.not_ready_reason() is None and bool(member.ownership.owned))
            member.membership()
        finally:
            stop.set()


def test_a_replaced_static_member_is_fenced_with_exit_code_7(world: KafkaStreamWorld) -> None:
    first = joining(world, instance_id="same")
    world.settle_membership(first)
    second = joining(world, instance_id="same")
    world.settle_membership(second)
    with pytest.raises(FencedError) as caught:
        world.read(first, 1)
    assert caught.value.exit_code is ExitCode.FENCED


@pytest.mark.parametrize(
    "verify",
    [
        lambda member, at: member.topic_id(at.topic),
        lambda member, _at: member.membership(),
        lambda member, at: member.commit({at: 0}),
    ],
    ids=["topic id", "membership", "commit"],
)
def test_a_topic_created_again_is_read_from_its_beginning(
    verify: Callable[[ConfluentSource, Partition], object], world: KafkaStreamWorld
) -> None:
    """If there are enough records, librdkafka continues at its old position without an error."""
    produce(world, 5)
    member = joining(world)
    world.read(member, 15)
    member.commit({world.at(number): 5 for number in range(3)})
    world.admin.delete_topics([world.topic])
    wait_until(lambda: world.topic not in world.admin.list_topics(), PATIENCE_S, "the topic is gone")
    world.create(world.topic)
    positions = produce(world, 9)
    found: set[tuple[int, int]] = set()
    refusals: list[str] = []
    deadline = time.monotonic() + PATIENCE_S
    while found != positions and time.monotonic() < deadline:
        records = member.poll(100, 0.2)
        try:
            verify(member, world.at(0))
        except TransientError as error:  # as the loop does: these records are not committed, and read again
            refusals.append(str(error))
            member.rewind(first_offsets(records))
            continue
        assert refusals or not records, "records of the new topic are taken for those of the old"
        found |= as_set(records)
    assert found == positions
    assert "deleted and created again" in refusals[0]


def test_not_ready_reason_reports_a_broker_outage_and_its_end(
    stoppable_kafka: LocalKafka, stoppable_world: KafkaStreamWorld
) -> None:
    member = joining(stoppable_world)

    def reason() -> str | None:
        member.poll(1, 0.2)
        return member.not_ready_reason()

    wait_until(lambda: reason() is None, PATIENCE_S, "the member to join")
    stoppable_kafka.stop()
    wait_until(lambda: "answers; trying again" in str(reason()), PATIENCE_S, "the outage to be reported")
    stoppable_kafka.start()
    wait_until(lambda: reason() is None, PATIENCE_S, "the recovery to be reported")


def test_not_ready_reason_names_a_partition_blocked_by_an_open_transaction(world: KafkaStreamWorld) -> None:
    from confluent_kafka import Producer

    clock = ManualClock()
    producer = Producer({"bootstrap.servers": world.broker.bootstrap, "transactional.id": world.group})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(world.topic, b"held back", partition=0)
    producer.flush(PATIENCE_S)
    member = joining(world, clock=clock)

    def stall_reported() -> bool:
        clock.advance(20)
        member.poll(10, 0.2)
        return f"{world.topic}-0: records are waiting" in str(member.not_ready_reason())

    wait_until(stall_reported, PATIENCE_S, "the stall to be reported")
    producer.abort_transaction(PATIENCE_S)

    def ready() -> bool:
        clock.advance(2)
        member.poll(10, 0.2)
        past = member.offsets_past_markers() == {world.at(0): 2}  # the aborted record and its marker
        return past and member.not_ready_reason() is None

    wait_until(ready, PATIENCE_S, "the member to be ready again, past the aborted record")


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_reading_begins_at_the_committed_offset_though_the_assignment_changes_before_it_is_stable(
    librdkafka_world: KafkaStreamWorld, reset: str
) -> None:
    """librdkafka 2.16 takes "not stable" for "none" then, and begins where `auto_offset_reset` says."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    world = librdkafka_world
    positions = produce(world, 10)
    address = {"bootstrap.servers": world.broker.bootstrap}
    outsider = Consumer(address | {"group.id": world.group})
    outsider.commit(offsets=[TopicPartition(*world.at(number), 5) for number in range(3)], asynchronous=False)
    producer = Producer(address | {"transactional.id": world.group})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    pending = [TopicPartition(*world.at(number), 8) for number in range(3)]
    producer.send_offsets_to_transaction(pending, outsider.consumer_group_metadata(), PATIENCE_S)
    members = [joining(world, auto_offset_reset=reset)]
    world.poll_all(members, lambda _number, _shares: len(members[0].ownership.owned) == 3)
    members.append(joining(world, auto_offset_reset=reset))
    settled = threading.Event()

    def enough(_number: int, shares: list[list[Record]]) -> bool:
        done = sum(map(len, shares)) >= 15
        if done or all(member.ownership.owned for member in members):
            settled.set()
        return done

    def end_transaction() -> None:
        assert settled.wait(PATIENCE_S)
        time.sleep(1.0)  # the first answer after the change decides
        producer.abort_transaction(PATIENCE_S)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end_transaction)
        read = [record for share in world.poll_all(members, enough) for record in share]
        ended.result()
    assert as_set(read) == {(number, offset) for number, offset in positions if offset >= 5}
    assert len(read) == 15
    outsider.close()


def test_a_start_without_a_broker_names_the_addresses(world: KafkaStreamWorld) -> None:
    with pytest.raises(TransientError, match=r"WORKER_KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1: is a broker up there"):
        joining(world, kafka_bootstrap_servers=["127.0.0.1:1"], request_timeout_s=1.0)
